// Package json reads and writes items as the plain JSON that people and other programs expect: {"Id":1,"Tags":["a"]}.
//
// It hides one decision: how DynamoDB's ten types map to JSON's six, and what that costs. docs/formats/json.md has
// the rules. Numbers keep every digit; sets become arrays and binary becomes base64 text, which the writer reports by
// path (Loss) and the reader restores when it is told their types (ReaderOptions.Types).
//
// Invariants
//   - Reading is strict: invalid UTF-8, lone surrogates, duplicate names and anything but one object a record is
//     rejected with line, offset and attribute path; nothing is mangled and no number passes through a float.
//   - A record that is rejected takes no other with it: reading goes on at the next line, object or array element.
//   - Items without sets and binary come back equal; the others equal but for what Loss says.
//
// How records follow each other, lines, sequences, an array, replies of Scan, is the same for DynamoDB JSON; then codec/ddbjson
// says what a record is.
//
// Sources and sinks use it. It imports codec, codec/ddbjson, item, fault, and jsontext for the grammar.
//
//	w := json.NewWriter(out)
//	err := w.Write(batch)
//	err = w.Close()
//	for _, l := range w.Losses() { fmt.Println(l.Path, l.What, l.Count) }
package json
