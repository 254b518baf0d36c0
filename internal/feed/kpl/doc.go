// Package kpl takes apart what the Kinesis Producer Library aggregates: many user records in the data of one.
//
// It hides one decision: the form of an aggregate (aggregation-format.md of amazon-kinesis-producer): four bytes of magic,
// a protobuf message, the message's MD5. What only looks like one is none, as Amazon's own consumers have it: it is a
// record by itself.
//
// Nothing is allocated but the table of partition keys, and nothing is trusted: lengths are checked before they are
// used. It imports the standard library alone.
//
//	if a, ok := kpl.Parse(data); ok {
//		for key, data := range a.Records() { ... }
//	}
package kpl
