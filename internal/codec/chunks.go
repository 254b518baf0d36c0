package codec

// Chunks is an optional power of an io.Reader that a format's reader asks for by assertion: it lends its own buffer, so that lines are
// scanned where they were decompressed. codec/inflate and codec/compress have it.
type Chunks interface {
	// Next returns the last keep bytes of what it returned before, followed by at least one new byte. The chunk is valid until the
	// next call; its capacity exceeds its length by item.Slack or more, and those bytes behind it may be changed. At the end
	// of the stream it returns the kept bytes alone with io.EOF, and before damage with the error.
	Next(keep int) ([]byte, error)
}
