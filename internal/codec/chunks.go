package codec

import (
	"bytes"
	"io"
)

// Chunks is an optional power of an io.Reader that a format's reader asks for by assertion: it lends its own buffer, so
// that lines are scanned where they were decompressed. codec/inflate and codec/compress have it.
type Chunks interface {
	// Next returns the last keep bytes of what it returned before, followed by at least one new byte. The chunk is
	// valid until the next call; its capacity exceeds its length by item.Slack or more, and those bytes behind it may
	// be changed. At the end of the stream it returns the kept bytes alone with io.EOF, and before damage with the
	// error.
	Next(keep int) ([]byte, error)
}

const (
	chunkBytes    = 256 << 10 // what a chunk holds at most beside the kept bytes
	chunkFreshMin = 64 << 10  // what it holds at least, so that kept bytes are not moved for every small read
	chunkSlack    = 64        // item.Slack
	emptyReadsMax = 100
)

// NewChunks returns r's own Chunks when it has them, else some over a buffer.
func NewChunks(r io.Reader) Chunks {
	if c, ok := r.(Chunks); ok {
		return c
	}
	return &chunks{r: r}
}

type chunks struct {
	r   io.Reader
	buf []byte
	end int   // buf[:end] was lent last
	err error // follows the bytes that came with it
}

func (c *chunks) Next(keep int) ([]byte, error) {
	kept := c.buf[c.end-keep : c.end]
	if len(c.buf)-chunkSlack-keep < chunkFreshMin {
		c.buf = make([]byte, 2*keep+chunkBytes+chunkSlack)
	}
	copy(c.buf, kept)
	c.end = keep
	limit := min(keep+chunkBytes, len(c.buf)-chunkSlack)
	for empty := 0; c.err == nil && c.end < keep+chunkFreshMin; {
		n, err := c.r.Read(c.buf[c.end:limit])
		c.end, c.err = c.end+n, err
		if empty++; n > 0 {
			empty = 0
		} else if empty == emptyReadsMax && err == nil {
			c.err = io.ErrNoProgress
		}
	}
	if c.end == keep {
		return c.buf[:keep], c.err
	}
	return c.buf[:c.end], nil
}

// Window is what a format's reader looks at: the bytes of a stream that it has not used up yet. A reader that uses them up
// by AdvanceLines and SkipLine alone knows the line it is at.
type Window struct {
	src    Chunks
	data   []byte
	offset int64
	line   int64
	err    error
}

// NewWindow returns an empty window at the beginning of r.
func NewWindow(r io.Reader) *Window { return &Window{src: NewChunks(r), line: 1} }

// Bytes returns what is in the window; valid until More.
func (w *Window) Bytes() []byte { return w.data }

// Offset is the position of Bytes()[0] in the stream.
func (w *Window) Offset() int64 { return w.offset }

// Advance uses n bytes up.
func (w *Window) Advance(n int) {
	w.data = w.data[n:]
	w.offset += int64(n)
}

// Line is the number, from 1, of the line that Bytes()[0] is of.
func (w *Window) Line() int64 { return w.line }

var newline = []byte{'\n'}

// AdvanceLines uses n bytes up and counts the lines that end in them.
func (w *Window) AdvanceLines(n int) {
	w.line += int64(bytes.Count(w.data[:n], newline))
	w.Advance(n)
}

// SkipLine uses up what is left of a line, its line feed included, without holding it. At the stream's end that is io.EOF.
func (w *Window) SkipLine() error {
	for {
		if i := bytes.IndexByte(w.data, '\n'); i >= 0 {
			w.AdvanceLines(i + 1)
			return nil
		}
		w.AdvanceLines(len(w.data))
		if err := w.More(); err != nil {
			return err
		}
	}
}

// AtLeast makes the window hold n bytes, or returns io.EOF or the stream's error when there are fewer.
func (w *Window) AtLeast(n int) error {
	for len(w.data) < n {
		if err := w.More(); err != nil {
			return err
		}
	}
	return nil
}

// More appends at least one byte to the window, or returns io.EOF or the stream's error and leaves it as it is.
func (w *Window) More() error {
	if w.err != nil {
		return w.err
	}
	data, err := w.src.Next(len(w.data))
	w.data, w.err = data, err
	return err
}
