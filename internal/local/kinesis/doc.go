// Package kinesis is a Kinesis Data Streams on this machine: the service's protocol, in JSON and CBOR, over our own store.
//
// It hides one decision: a stream is a hidden table of the store, its records are items under shard and sequence number,
// and a sequence number is the arrival's millisecond and a counter, so that time and place in a shard are one order.
// What it does not serve it refuses by name (docs/local.md has the list); it never accepts a parameter and ignores it.
//
// Invariants: a record is answered after it is durable, and readers see only durable ones; sequence numbers of a stream
// only rise, also over restarts and clocks that step back; a closed shard gets no more records; a reader never sees a
// record and later one that belongs before it.
//
// Only internal/local imports it; it imports fault, local/cbor and local/store.
//
//	e, err := kinesis.Open(store, kinesis.Options{})
//	e.Serve(w, r, kinesis.Request{Operation: "PutRecord", Region: "eu-west-1", Body: body})
//	err = e.Put(ctx, "orders", []kinesis.Entry{{Key: "o-1", Data: data}}) // a table's streaming destination
package kinesis
