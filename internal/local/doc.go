// Package local is a DynamoDB on this machine: the service's wire protocol over HTTP on loopback, on our own store.
//
// It hides one decision: how the service's requests become reads and writes of the store, and in which order and words
// it complains. Nothing above it knows that a request is JSON, nothing below it (local/store) knows that there is a
// service. What it does not serve it refuses by name (docs/local.md has the list); it never accepts a parameter and
// then ignores it.
//
// Invariants: a write is answered after it is durable; items are kept and sent as the raw DynamoDB JSON they came in,
// numbers in normal form, and are decoded only where an expression looks at them; the listener is on loopback, and
// requests whose Host header names anything else are refused, so that no web page can reach it by DNS rebinding.
//
// With an upstream it is a relay: it forwards all but what the upstream lacks, and that works on copies of the upstream's
// tables, which local/shadow keeps (docs/decisions/0016-upstream.md).
//
// Package world, the faces and tests import it. It imports item, expression, codec/ddbjson, local/store and local/shadow.
//
//	in, err := local.Start(ctx, local.Options{})     // in memory, on a free port
//	defer in.Close()
//	// point any SDK at in.URL with any credentials
package local
