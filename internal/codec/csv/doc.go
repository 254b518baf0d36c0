// Package csv reads and writes items as CSV (RFC 4180): one record an item, one column a top-level attribute.
//
// It hides one decision: how typed, nested and sparse items fit into untyped rows. docs/formats/csv.md has the rules.
// A column has a Spec that says how its cells are read; the writer follows the same Spec, so that a file is read back
// exactly by the Specs it was written with (TypesOf), but for what Losses reports. Survey finds lossless columns in a
// first pass.
//
// Invariants
//   - No attribute is dropped silently: one that has no column ends writing with an error, unless dropping was asked
//     for, and then it is counted.
//   - A bad record (ragged, over-long, wrong quotes, invalid UTF-8, a cell that is not of its column's type) is
//     rejected with its first physical line and column, and reading goes on.
//   - Absent attributes are cells with nothing in them; an empty string is a quoted cell.
//
// Sources and sinks use it. It imports codec, codec/ddbjson, item, fault, and jsontext for cells with plain JSON.
//
//	columns := survey.Columns("pk", "sk")
//	w := csv.NewWriter(out, csv.WriterOptions{Columns: columns})
//	r := csv.NewReader(in, csv.ReaderOptions{Types: csv.TypesOf(columns), QuotedIsText: true})
package csv
