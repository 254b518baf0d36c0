// Package sink writes items into staged files: the task's half of every job that makes files.
//
// It hides one decision: how a stream of items becomes complete, durable objects that no reader sees yet. Parquet, lines of
// DynamoDB JSON or JSON or CSV, and Spill (runs by partition, for the second round) share one interface, Files. Each
// rolls to a new file at its target size and tells, for each file, all that the commit needs to publish it.
//
// Invariants: nothing outside the staged names is written; memory is bounded by the options, whatever the data; every file
// carries the fingerprint of exactly its items. It imports blob, column, the codecs, item and fault.
package sink
