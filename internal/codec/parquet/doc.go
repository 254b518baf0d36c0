// Package parquet writes column slabs to Parquet files, and reads Parquet files of ours and of others back to items.
//
// It hides one decision: how values lie in a Parquet file, and that the footer is written last, by somebody else. A
// Writer cuts slabs into pages, encodes, compresses and streams them; what it leaves behind ends with the data. The
// FileMeta that Close returns says where each page lies. Footer turns it, with the schema of the whole data set, into
// the bytes that make the data a file: columns that the data lacks become null chunks, columns may change their order
// and their names. Rewrite re-encodes the columns whose type turned out another, and copies the rest. MetaOf is the way
// back: what a finished file says of its data, to be given another footer.
//
// Invariants:
//   - Pages begin at row boundaries. A row group's chunks have one kind each; another kind begins a new row group.
//   - What a file of ours holds comes back as the same items: the schema travels in the metadata "dynaferry.schema" and
//     is checked against the file's own; without it (a foreign rewrite drops it) the rules for foreign files apply.
//   - Reading damaged or hostile bytes ends in an error of kind Corrupt (or Limit) with a file offset; never in a
//     panic, never in memory beyond the limits of ReadOptions.
//
// The byte-level description is docs/formats/parquet.md. It imports column, item, codec and fault; sources, sinks and
// jobs import it.
//
//	w := parquet.NewWriter(out, parquet.Options{Bloom: []string{"pk"}})
//	err := w.Write(shredder.Slab())            // as often as there are slabs
//	meta, err := w.Close()                     // out holds the data, meta says where
//	tail, err := parquet.Footer(meta, schema, parquet.FooterOptions{Staged: staged})
//	// data + tail is the file
//	r, err := parquet.Open(file, size, parquet.ReadOptions{})
//	err = r.Read(&batch)                       // until io.EOF
package parquet
