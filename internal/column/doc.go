// Package column turns items into typed columns and back, without losing anything.
//
// It hides one decision: what a table's columns are. Three parts, used in this order:
//
//   - Stats observes items: by attribute path, counts of types and, for numbers, a histogram of (integer digits, scale).
//     Stats merge commutatively, so any permutation of the items and any cut into tasks gives the same Stats, and
//     Stats.Schema is a pure function of them (and of a pinned schema).
//   - Shredder fills typed vectors straight from tapes, observing on the way, by its working schema. What does not fit
//     its column goes exact into the Extra column, by path.
//   - Assembler turns vectors back into items, Extra laid over them, canonically equal to what went in.
//
// Schema is the shape; Vector, Slab and Leaf are the Dremel form that codec/parquet writes and reads. The rules are in
// docs/formats/columns.md. Invariants: shredding and assembling give canonically equal items whatever the schema; the
// union of all tasks' Stats gives one Schema whatever the order and cut; Reshape to it gives exactly the columns that a
// Shredder with that fixed schema makes. Every package above may import it; it imports item and fault.
//
//	s := column.NewShredder(column.ShredOptions{})
//	for i := range batch.Len() {
//		err := s.Append(batch.Item(i)) // only OnNew Fail gives one
//	}
//	slab := s.Slab()                                  // vectors, lent until the next Append
//	union.Merge(s.Stats())                            // at the commit, over all tasks
//	schema := union.Schema(column.SchemaOptions{})
//	if column.Compare(slab.Schema, schema) != column.Settled {
//		slab, err = column.Reshape(slab, schema)
//	}
//	err = column.NewAssembler(schema).Items(slab, &out)
package column
