// Package item is the words everything else is said in: DynamoDB's items, values, numbers, keys, their sizes in bytes
// and units, their canonical form and their fingerprints.
//
// It hides one decision: an item is never a map. It is a slice of the DynamoDB JSON it came in, plus a tape of tokens
// that point into those bytes (Item, Token); many items share one Batch, so the hot path allocates nothing per item.
// Decoded trees (Value) exist for the places that compute with values: expressions, tests, single items.
//
// Invariants: numbers are decimal text and never floats; two items are equal exactly when their canonical DynamoDB
// JSON (AppendCanonical) is equal byte for byte, which is exactly when their Hash is equal (but for chance).
//
// Every package may import it. It imports fault alone. Parsing bytes into a tape is codec/ddbjson's work; making items
// from values is Builder's.
package item
