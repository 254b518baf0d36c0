// Package compress wraps streams in gzip, zstd or nothing.
//
// It hides one decision: which library packs and unpacks, and what protects us from hostile input. gzip is unpacked
// by codec/inflate and packed by klauspost/compress, zstd is both by the latter; all of them in the calling
// goroutine, so that a task's CPU and memory are its own. Encoders and decoders are kept for reuse.
//
// Invariants
//   - A stream that is cut, altered or followed by anything else is an error of kind Corrupt with both offsets. A
//     compressed stream of zero bytes is cut: a codec that was asked for writes at least its header.
//   - Output beyond Limits is an error of kind Limit, raised before the next chunk is handed out; memory does not
//     depend on what the stream claims (zstd windows above Limits.WindowMax are refused).
//   - What the reader below reports is passed on with its own kind, never taken for damage of the data.
//   - The same bytes written in the same calls with the same codec and level give the same compressed bytes.
//
// Sources and sinks use it. It imports codec, codec/inflate and fault.
//
//	r := compress.NewReader(body, "", compress.Limits{}) // "" looks at the first bytes
//	defer r.Close()
//	chunk, err := r.Next(0) // or Read
package compress
