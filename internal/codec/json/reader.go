package json

import (
	"bytes"
	"io"

	"dynaferry/internal/codec"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// The defaults of ReaderOptions.
const (
	// RecordBytesMax holds the largest item (400 KB) written with six bytes a character and indented.
	RecordBytesMax = 16 << 20
	// BatchBytes is about the best for caches and small enough for many batches in flight.
	BatchBytes = 1 << 20
)

// ReaderOptions of a Reader. The zero value reads plain types and stops at the first bad record.
type ReaderOptions struct {
	// Types restores what JSON lost, by path as in Loss.Path: "tags" is SS, "orders[].photo" is B. Sets are read from
	// arrays, B from base64 strings, N also from strings, S also from numbers, with their text as it stands. A null
	// stays NULL, an empty array stays L, and any other value is rejected.
	Types map[string]item.Type
	// DynamoDB, when set, reads records of DynamoDB JSON of that shape, in place of plain JSON.
	DynamoDB *ddbjson.Shape
	// Replies tells that the stream is replies of Scan or Query, one after the other, whose Items are the records.
	Replies bool
	// Rejects receives bad records. When nil the first one ends reading with its error.
	Rejects codec.Rejects
	// RecordBytesMax bounds one record; longer ones are rejected. 0 is the default.
	RecordBytesMax int
	// BatchBytes is how large a batch becomes before it is returned. 0 is the default.
	BatchBytes int
}

// shape is how records follow each other.
type shape uint8

const (
	unknown  shape = iota // nothing seen yet
	lines                 // one object a line
	sequence              // objects over several lines, or several on one
	array                 // elements of one top-level array, or of a reply
	over                  // behind the array's end
	reply                 // members of a reply
	replies               // between replies
)

// Reader is a codec.Reader of JSON lines, of pretty-printed objects one after the other, or of one top-level array of
// objects. Which of them is seen from the first record. Replies of Scan and Query are read where it is told so.
type Reader struct {
	win    *codec.Window
	opts   ReaderOptions
	parser interface {
		begin(b *item.Batch)                       // b is the batch that items go to
		parse(raw []byte, place fault.Place) error // appends the item of a record, or nothing
	}
	shape shape
	first bool  // no element of the array was read yet
	comma bool  // a member must follow in the reply
	items bool  // the reply's items were met
	err   error // sticky
}

// NewReader returns a reader over r, whose codec.Chunks are used when it has them.
func NewReader(r io.Reader, opts ReaderOptions) *Reader {
	if opts.RecordBytesMax == 0 {
		opts.RecordBytesMax = RecordBytesMax
	}
	if opts.BatchBytes == 0 {
		opts.BatchBytes = BatchBytes
	}
	reader := &Reader{win: codec.NewWindow(r), opts: opts, first: true}
	if opts.DynamoDB != nil {
		reader.parser = &typedParser{shape: *opts.DynamoDB}
	} else {
		reader.parser = newParser(opts.Types)
	}
	return reader
}

// Read implements codec.Reader.
func (r *Reader) Read(b *item.Batch) error {
	b.Reset()
	b.FirstLine, b.Offset = r.win.Line(), r.win.Offset()
	r.parser.begin(b)
	for r.err == nil && len(b.Src) < r.opts.BatchBytes {
		r.err = r.record()
	}
	if len(b.Rows) > 0 {
		return nil
	}
	return r.err
}

// record reads one record, or some of the space between records.
func (r *Reader) record() error {
	switch r.shape {
	case lines:
		return r.lineRecord()
	case sequence:
		return r.sequenceRecord()
	case array:
		return r.arrayRecord()
	case over:
		return r.afterArray()
	case reply:
		return r.replyRecord()
	case replies:
		return r.nextReply()
	}
	return r.detect()
}

// take parses the n bytes at the front as one record, uses them up and tells whether they were an item.
func (r *Reader) take(n int) (fine bool, err error) {
	raw := r.win.Bytes()[:n]
	problem := r.parser.parse(raw, fault.Place{Line: r.win.Line(), Offset: r.win.Offset()})
	if problem != nil {
		err = r.reject(raw, problem)
	}
	if err == nil {
		r.win.AdvanceLines(n)
	}
	return problem == nil, err
}

// reject hands the record at the front over.
func (r *Reader) reject(raw []byte, err error) error {
	place := fault.PlaceOf(err)
	if place.Line == 0 {
		place = fault.Place{Line: r.win.Line(), Offset: r.win.Offset()}
		err = fault.At(err, place)
	}
	if r.opts.Rejects == nil {
		return err
	}
	return r.opts.Rejects(codec.Reject{Place: place, Raw: raw, Err: err})
}

var newline = []byte{'\n'}

// lineRecord reads one line; the last one may lack its line feed.
func (r *Reader) lineRecord() error {
	seen := 0
	for {
		data := r.win.Bytes()
		if i := bytes.IndexByte(data[seen:], '\n'); i >= 0 && seen+i <= r.opts.RecordBytesMax {
			return r.takeLine(seen + i + 1)
		}
		if len(data) > r.opts.RecordBytesMax {
			return r.tooLong()
		}
		seen = len(data)
		if err := r.win.More(); err == io.EOF && seen > 0 {
			return r.takeLine(seen)
		} else if err != nil {
			return err
		}
	}
}

// takeLine takes a line that is not blank.
func (r *Reader) takeLine(n int) error {
	if len(bytes.TrimLeft(r.win.Bytes()[:n], space)) == 0 {
		r.win.AdvanceLines(n)
		return nil
	}
	_, err := r.take(n)
	return err
}

const space = " \t\r\n"

// tooLong rejects a record above the bound and skips the rest of its line without holding it.
func (r *Reader) tooLong() error {
	err := fault.New(fault.Limit, "record is longer than %d bytes", r.opts.RecordBytesMax)
	if err := r.reject(r.win.Bytes()[:r.opts.RecordBytesMax], err); err != nil {
		return err
	}
	r.win.AdvanceLines(r.opts.RecordBytesMax)
	return r.win.SkipLine()
}

// skipSpace uses white space up and returns the byte behind it.
func (r *Reader) skipSpace() (byte, error) {
	for {
		data := r.win.Bytes()
		rest := bytes.TrimLeft(data, space)
		r.win.AdvanceLines(len(data) - len(rest))
		if len(rest) > 0 {
			return rest[0], nil
		}
		if err := r.win.More(); err != nil {
			return 0, err
		}
	}
}
