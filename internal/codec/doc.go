// Package codec is the seam of file formats: bytes in, items out, and back.
//
// It hides one decision: how formats meet the rest. Reader and Writer are the two interfaces; codec/ddbjson, codec/json,
// codec/csv and codec/ion implement them for rows, codec/parquet for columns (with finer entry points of
// its own for the hot path); codec/compress wraps streams. A codec opens no file and knows no bucket; codec/codectest is the suite that each passes.
//
// It imports item and fault.
package codec
