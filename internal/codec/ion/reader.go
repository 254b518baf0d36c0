package ion

import (
	"bytes"
	"io"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// The defaults of ReaderOptions.
const (
	// RecordBytesMax holds the largest item (400 KB) with every character escaped, or printed with much white space.
	RecordBytesMax = 16 << 20
	// BatchBytes is about the best for caches and small enough for many batches in flight.
	BatchBytes = 1 << 20
)

// versionMarker begins every binary stream.
var versionMarker = []byte{0xE0, 0x01, 0x00, 0xEA}

var byteOrderMark = []byte("\xef\xbb\xbf")

// ReaderOptions of a Reader; the zero value stops at the first bad record.
type ReaderOptions struct {
	// Rejects receives bad records. When nil the first one ends reading with its error.
	Rejects codec.Rejects
	// RecordBytesMax bounds one record; longer ones are rejected. 0 is the default.
	RecordBytesMax int
	// BatchBytes is how large a batch becomes before it is returned. 0 is the default.
	BatchBytes int
}

// Reader is a codec.Reader of Ion, text or binary as the first bytes say: records {Item:{...}} one after the other, or lists
// of them. A place's line counts line feeds in text and records in binary.
type Reader struct {
	win     *codec.Window
	opts    ReaderOptions
	mapper  mapper
	symbols *symbols
	text    textCursor
	binary  binaryCursor
	step    func() error // reads one record, or some of what stands between
	line    int64
	final   bool  // nothing follows the window
	list    bool  // inside of a top-level list
	comma   bool  // an element of it was read, of text
	left    int64 // bytes of it, of binary
	drop    int64 // bytes to pass over, of binary
	lost    bool  // in the middle of a record that was too long, of text
	err     error // sticky
}

var _ codec.Reader = (*Reader)(nil)

// NewReader returns a reader over r, whose codec.Chunks are used when it has them.
func NewReader(r io.Reader, opts ReaderOptions) *Reader {
	if opts.RecordBytesMax <= 0 {
		opts.RecordBytesMax = RecordBytesMax
	}
	if opts.BatchBytes <= 0 {
		opts.BatchBytes = BatchBytes
	}
	s := newSymbols()
	reader := &Reader{win: codec.NewWindow(r), opts: opts, symbols: s, line: 1}
	reader.mapper.build = item.NewBuilder(nil)
	reader.text.symbols, reader.binary.symbols = s, s
	reader.step = reader.detect
	return reader
}

// Read implements codec.Reader.
func (r *Reader) Read(b *item.Batch) error {
	b.Reset()
	b.FirstLine, b.Offset = r.line, r.win.Offset()
	r.mapper.begin(b)
	for r.err == nil && len(b.Src) < r.opts.BatchBytes {
		r.err = r.step()
	}
	if len(b.Rows) > 0 {
		return nil
	}
	return r.err
}

// detect tells binary from text.
func (r *Reader) detect() error {
	if err := r.atLeast(len(versionMarker)); err != nil && err != io.EOF {
		return err
	}
	r.step = r.textStep
	switch data := r.win.Bytes(); {
	case bytes.HasPrefix(data, versionMarker):
		r.step = r.binaryStep
	case bytes.HasPrefix(data, byteOrderMark):
		r.win.Advance(len(byteOrderMark))
	case bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")):
		return r.damaged(0, fault.Hint(corrupt("the file is UTF-16"), "convert it with iconv -f UTF-16 -t UTF-8"))
	}
	return nil
}

// atLeast fills the window with n bytes, or returns the stream's end as io.EOF.
func (r *Reader) atLeast(n int) error {
	for len(r.win.Bytes()) < n {
		if err := r.win.More(); err != nil {
			r.final = r.final || err == io.EOF
			return err
		}
	}
	return nil
}

// append makes v, which c has just returned, an item. An error has its place.
func (r *Reader) append(c cursor, v *value, line int64) error {
	m := &r.mapper
	err := m.record(c, v, uint32(line-m.batch.FirstLine))
	if err == nil {
		return nil
	}
	path := ""
	if tape := m.batch.Tape[m.tape0:]; len(tape) > 0 {
		path = string(item.AppendPath(nil, m.batch.Src, tape, len(tape)))
	}
	m.abort()
	if err == errShort {
		return err
	}
	at := m.at
	if at < 0 {
		at = c.where()
	}
	if len(path) > pathBytesMax {
		path = path[:pathBytesMax] + "..."
	}
	return fault.At(err, fault.Place{Offset: int64(at), Path: path})
}

// pathBytesMax bounds the attribute path in an error.
const pathBytesMax = 1024

// reject hands a record over whose error has its place.
func (r *Reader) reject(raw []byte, err error) error {
	if r.opts.Rejects == nil {
		return err
	}
	return r.opts.Rejects(codec.Reject{Place: fault.PlaceOf(err), Raw: raw, Err: err})
}

// placed puts an error at the stream's line and offset; its own offset counts from the window's beginning.
func (r *Reader) placed(err error, line int64) error {
	place := fault.PlaceOf(err)
	return fault.At(cause(err), fault.Place{Line: line, Offset: r.win.Offset() + place.Offset, Path: place.Path})
}

// cause strips the place that this package has put around an error.
func cause(err error) error {
	if e, ok := err.(*fault.Error); ok && e.Place != (fault.Place{}) {
		return &fault.Error{Kind: e.Kind, Hint: e.Hint, Err: e.Err}
	}
	return err
}

// damaged is the error of what nobody can read on behind.
func (r *Reader) damaged(at int, err error) error {
	return r.placed(fault.At(err, fault.Place{Offset: int64(at)}), r.line)
}
