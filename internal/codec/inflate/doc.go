// Package inflate decodes gzip (RFC 1952) over deflate (RFC 1951) as fast as one core allows, since unzipping is the
// largest single cost of reading an export.
//
// It hides one decision: how compressed bytes become plain ones. A Reader keeps one buffer [32 KiB window | chunk] and
// decodes straight into it; Next lends the chunk to the caller, who scans lines in place and asks that the unfinished
// line be kept in front of the following chunk. Read and WriteTo serve everybody else.
//
// Invariants
//   - Output is delivered in order and exactly once; a byte is never delivered that the stream does not spell out.
//   - A stream that is not whole and valid ends in an error of kind Corrupt that names the offset in the compressed and
//     in the plain stream: bad headers, codes, distances, checksums and lengths, truncation, and anything after the
//     last member that is not another member. Bytes before the damage are delivered first; a checksum can only be
//     checked at its member's end.
//   - Memory is the input buffer, the output buffer and the tables: about 400 KiB with the default chunk, whatever the
//     input says. Only Next(keep) with a keep above the chunk size lets it grow.
//   - Word-wise loads and stores of the fast loop stay inside the buffers because both carry slack behind their
//     end (inSlack, outSlack); within reach of an end the careful loop takes over.
//
// What is accepted agrees with the standard library's compress/gzip, but for two rules: reserved header flags are
// refused (RFC 1952, 2.3.1.2), and header names may be longer than 511 bytes.
//
// codec/compress is its only user in production and adds limits against decompression bombs. It imports fault.
//
//	z := inflate.NewReader(file)
//	keep := 0
//	for {
//		chunk, err := z.Next(keep)      // kept bytes first, then new ones
//		if err == io.EOF { break }      // chunk is what was kept: a last line without line feed
//		keep = len(chunk) - scan(chunk) // scan returns how much it used up
//	}
package inflate
