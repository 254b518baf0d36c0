// Package ion reads and writes items as Amazon Ion 1.0, text and binary, in the forms that DynamoDB's exports write and its
// imports take: $ion_1_0 {Item:{Id:103.,Tags:$dynamodb_SS::["a","b"]}}.
//
// It hides one decision: how DynamoDB's ten types stand in Ion's thirteen. docs/formats/ion.md has the rules. Two layers: the
// grammar (cursor, with textCursor over characters and binaryCursor over type descriptors, both with symbol tables) knows
// nothing of DynamoDB; the mapping (mapper) knows nothing of bytes.
//
// Invariants
//   - Lossless both ways: every item comes back equal, from text and from binary.
//   - Reading is strict: what has no documented DynamoDB type (float, timestamp, clob, sexp, foreign annotations, shared
//     symbol tables) is rejected with offset and attribute path; nothing is dropped and no number passes through a float.
//   - A record that is rejected takes no other with it.
//   - A length in the bytes is believed only as far as bytes are there; memory is bounded by RecordBytesMax.
//
// Sources and sinks use it. It imports codec, item and fault.
//
//	r := ion.NewReader(in, ion.ReaderOptions{}) // text or binary, by the first bytes
//	w := ion.NewWriter(out, ion.WriterOptions{})
//	for r.Read(batch) == nil {
//		err = w.Write(batch)
//	}
//	err = w.Close()
package ion
