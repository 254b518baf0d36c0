package ddbjson

import (
	"bytes"
	"io"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

const (
	// chunkBytesDefault is small enough to stay in the second-level cache with its tape.
	chunkBytesDefault = 256 << 10
	// lineMaxDefault is ten times DynamoDB's largest item, since JSON may escape every letter.
	lineMaxDefault = 4 << 20
	// emptyReadsMax is how many reads without a byte are borne.
	emptyReadsMax = 100
)

// ReaderOptions set up a Reader; the zero value reads export lines and ends at the first bad one.
type ReaderOptions struct {
	Shape      Shape
	Rejects    codec.Rejects // takes bad lines; nil makes the first one the Reader's error
	ChunkBytes int           // read at once and given out as one batch; 0: 256 KB
	LineMax    int           // bytes; 0: 4 MiB. A longer line is rejected without being held
}

// Reader yields the items of a stream of lines. It is a codec.Reader: each Read fills the batch with the lines of about
// one chunk, parsed where they were read to; an unfinished line is carried over to the next.
type Reader struct {
	r       io.Reader
	opts    ReaderOptions
	parser  Parser
	carried []byte // the unfinished line
	offset  int64  // of carried[0] in the stream
	line    int64  // number of the next line, from 1
	err     error  // what the stream ended with
	skip    bool   // in the middle of a line that was too long
}

var _ codec.Reader = (*Reader)(nil)

// NewReader returns a Reader over r.
func NewReader(r io.Reader, opts ReaderOptions) *Reader {
	if opts.ChunkBytes <= 0 {
		opts.ChunkBytes = chunkBytesDefault
	}
	if opts.LineMax <= 0 {
		opts.LineMax = lineMaxDefault
	}
	return &Reader{r: r, opts: opts, line: 1, parser: Parser{lineMax: opts.LineMax}}
}

// Read implements codec.Reader. An error of the stream below comes after the items of the whole lines before it, with
// the offset at which the stream broke off.
func (r *Reader) Read(b *item.Batch) error {
	for {
		file := b.File
		b.Reset()
		b.File = file
		if err := r.fill(b); err != nil {
			return err
		}
		b.Offset, b.FirstLine = r.offset, r.line
		final := r.err == io.EOF
		consumed, lines, err := r.parser.ParseLines(b, r.opts.Shape, final, r.opts.Rejects)
		r.carried = append(r.carried[:0], b.Src[consumed:]...)
		r.offset += int64(consumed)
		r.line += int64(lines)
		if err != nil {
			r.err, r.carried = err, nil
			b.Reset()
			return err
		}
		b.Src = b.Src[:consumed]
		if b.Len() > 0 {
			return nil
		}
	}
}

// fill makes b.Src the carried bytes and a chunk more, up to at least one whole line or the stream's end.
func (r *Reader) fill(b *item.Batch) error {
	if r.err != nil && (len(r.carried) == 0 || r.err != io.EOF) {
		return r.ended()
	}
	b.Src = append(b.Src, r.carried...)
	scanned := 0
	for r.err == nil {
		b.Src = r.read(b.Src)
		if r.skip {
			b.Src = r.dropLine(b.Src)
		}
		if bytes.IndexByte(b.Src[scanned:], '\n') >= 0 {
			return nil
		}
		scanned = len(b.Src)
		if scanned > r.opts.LineMax {
			if err := r.tooLong(b.Src); err != nil {
				r.err = err
				return err
			}
			b.Src, scanned = b.Src[:0], 0
		}
	}
	if len(b.Src) == 0 || r.err != io.EOF {
		return r.ended()
	}
	return nil
}

// ended is what Read returns once nothing is left.
func (r *Reader) ended() error {
	if r.err == io.EOF {
		return io.EOF
	}
	return r.err
}

// read appends up to one chunk to src, which keeps slack behind it.
func (r *Reader) read(src []byte) []byte {
	want := len(src) + r.opts.ChunkBytes
	if cap(src) < want+item.Slack {
		grown := make([]byte, len(src), want+item.Slack)
		copy(grown, src)
		src = grown
	}
	for empty := 0; len(src) < want; {
		n, err := r.r.Read(src[len(src):want])
		src = src[:len(src)+n]
		if n == 0 && err == nil {
			if empty++; empty == emptyReadsMax {
				err = io.ErrNoProgress
			}
		}
		if err == io.EOF {
			r.err = io.EOF
			return src
		}
		if err != nil {
			r.err = fault.At(err, fault.Place{Offset: r.offset + int64(len(src))})
			return src
		}
	}
	return src
}

// tooLong rejects the line that src starts with and begins to skip it.
func (r *Reader) tooLong(src []byte) error {
	place := fault.Place{Line: r.line, Offset: r.offset}
	err := errLineMax(r.opts.LineMax)
	r.offset += int64(len(src))
	r.skip = true
	if r.opts.Rejects == nil {
		return fault.At(err, place)
	}
	return r.opts.Rejects(codec.Reject{Place: place, Raw: src, Err: err})
}

// dropLine drops what src holds of the line that is being skipped.
func (r *Reader) dropLine(src []byte) []byte {
	end := bytes.IndexByte(src, '\n')
	if end < 0 {
		r.offset += int64(len(src))
		return src[:0]
	}
	r.offset += int64(end) + 1
	r.line++
	r.skip = false
	return src[:copy(src, src[end+1:])]
}
