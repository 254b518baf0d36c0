package json

import (
	"bytes"
	"cmp"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"dynaferry/internal/fault"
)

// byteOrderMark may stand in front of files from Windows; RFC 8259 allows to ignore it.
var byteOrderMark = []byte("\xef\xbb\xbf")

// detect looks at the first record. A '[' opens an array. An object that ends on the line it began on means lines;
// one that goes on means a sequence, unless the next line begins another object, for then the first line is a broken
// one.
func (r *Reader) detect() error {
	if r.win.Offset() == 0 {
		if err := r.win.AtLeast(len(byteOrderMark)); err != nil && err != io.EOF {
			return err
		}
		if bytes.HasPrefix(r.win.Bytes(), byteOrderMark) {
			r.win.Advance(len(byteOrderMark))
		}
	}
	c, err := r.skipSpace()
	if err != nil {
		return err
	}
	if r.opts.Replies {
		r.shape = replies
		return nil
	}
	if c == '[' {
		r.shape = array
		r.win.AdvanceLines(1)
		return nil
	}
	r.shape = lines
	if c != '{' {
		return nil
	}
	end, err := r.valueEnd(false)
	if err != nil {
		return err
	}
	data := r.win.Bytes()
	first := bytes.IndexByte(data, '\n')
	if first < 0 {
		first = len(data)
	}
	switch {
	case end.closed && end.n <= first:
		if rest := bytes.TrimLeft(data[end.n:first], space); len(rest) > 0 && rest[0] == '{' {
			r.shape = sequence
		}
	case end.closed || end.n > first+1 && !end.resync:
		r.shape = sequence
	case end.resync && bytes.Count(data[:end.n], newline) > 1:
		r.shape = sequence
	}
	return nil
}

// extent is where the value at the front of the window ends.
type extent struct {
	n      int
	closed bool // its brackets are closed; else the input or the limit ends first
	resync bool // a line that begins with '{' inside of it: the value is broken and another begins
}

// resyncBytesMax bounds how far a value is followed beyond a line that may be the beginning of the next one. An item
// has 400 KB.
const resyncBytesMax = 1 << 20

// valueEnd finds the end of the object or array at the front by its brackets and strings alone, so that broken values
// have an end too. A line feed ends a string, since JSON has none in strings. A line that begins with '{' means that
// the value before was cut: at once where JSON allows no object, else when the brackets do not close. In an array of
// objects lines may begin with anything.
func (r *Reader) valueEnd(inArray bool) (extent, error) {
	depth, quoted, escaped, before := 0, false, false, byte('\n')
	maybe := 0 // where the next value may begin
	data := r.win.Bytes()
	for i := 0; ; i++ {
		if i == len(data) {
			err := error(io.EOF)
			if i <= r.opts.RecordBytesMax {
				err = r.win.More()
			}
			if err != nil && err != io.EOF {
				return extent{}, err
			}
			data = r.win.Bytes()
			if err == io.EOF || maybe > 0 && i > maybe+resyncBytesMax {
				if maybe > 0 {
					return extent{n: maybe, resync: true}, nil
				}
				return extent{n: i}, nil
			}
		}
		c := data[i]
		switch {
		case c == '\n':
			quoted, escaped = false, false
		case escaped:
			escaped = false
		case quoted:
			quoted, escaped = c != '"', c == '\\'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			if c == '{' && depth > 0 && data[i-1] == '\n' && !inArray {
				if maybe == 0 {
					maybe = i
				}
				if before != ',' && before != ':' && before != '[' {
					return extent{n: maybe, resync: true}, nil
				}
			}
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return extent{n: i + 1, closed: true}, nil
			}
		}
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			before = c
		}
	}
}

// sequenceRecord reads one object of a sequence. Behind a record that is rejected nothing is believed until a line
// begins with '{': an object further in would be a part of a broken one.
func (r *Reader) sequenceRecord() error {
	c, err := r.skipSpace()
	if err != nil {
		return err
	}
	if c != '{' {
		if err := r.lineRecord(); err != nil {
			return err
		}
		return r.resync()
	}
	end, err := r.valueEnd(false)
	if err != nil {
		return err
	}
	if end.n > r.opts.RecordBytesMax {
		if err := r.tooLong(); err != nil {
			return err
		}
		return r.resync()
	}
	fine, err := r.take(end.n)
	if err != nil || fine || end.resync {
		return err
	}
	if err := r.win.SkipLine(); err != nil {
		return err
	}
	return r.resync()
}

// resync skips lines that do not begin with '{'.
func (r *Reader) resync() error {
	for {
		if err := r.win.AtLeast(1); err != nil {
			return err
		}
		if r.win.Bytes()[0] == '{' {
			return nil
		}
		if err := r.win.SkipLine(); err != nil {
			return err
		}
	}
}

// arrayRecord reads one element and the comma or bracket around it. An element that is JSON but no item is rejected;
// anything else, the end of the input too, is damage that cannot be passed over, since nothing tells where an element
// would begin.
func (r *Reader) arrayRecord() error {
	c, err := r.skipSpace()
	if err != nil {
		return r.cut(err)
	}
	if c == ']' && r.first {
		r.win.AdvanceLines(1)
		return r.endArray()
	}
	r.first = false
	end, err := r.elementEnd(c)
	if err != nil {
		return r.cut(err)
	}
	if end.n > r.opts.RecordBytesMax {
		return r.damaged("element of the array is longer than the limit of a record")
	}
	if end.n == 0 {
		return r.damaged("element missing in the array")
	}
	if !end.closed {
		return r.cut(io.EOF)
	}
	if !well(r.win.Bytes()[:end.n]) {
		return cmp.Or(r.parser.parse(r.win.Bytes()[:end.n], fault.Place{Line: r.win.Line(), Offset: r.win.Offset()}), r.damaged("malformed element"))
	}
	if _, err := r.take(end.n); err != nil {
		return err
	}
	c, err = r.skipSpace()
	if err != nil {
		return r.cut(err)
	}
	switch c {
	case ',':
		r.win.AdvanceLines(1)
		return nil
	case ']':
		r.win.AdvanceLines(1)
		return r.endArray()
	}
	return r.damaged("no comma behind an element of the array")
}

// endArray goes on behind the bracket that ends an array.
func (r *Reader) endArray() error {
	if r.opts.Replies {
		return r.afterMember()
	}
	r.shape = over
	return nil
}

// well tells whether raw is one JSON value by its brackets and tokens, whatever its names and strings hold.
func well(raw []byte) bool {
	return jsontext.Value(raw).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// elementEnd is valueEnd for any value; one that is no object will be rejected by the parser.
func (r *Reader) elementEnd(c byte) (extent, error) {
	if c == '{' || c == '[' {
		return r.valueEnd(true)
	}
	quoted, escaped := false, false
	for i := 0; ; i++ {
		if i == len(r.win.Bytes()) {
			if i > r.opts.RecordBytesMax {
				return extent{n: i}, nil
			}
			if err := r.win.More(); err != nil {
				return extent{}, err
			}
		}
		c := r.win.Bytes()[i]
		switch {
		case escaped:
			escaped = false
		case quoted:
			quoted, escaped = c != '"' && c != '\n', c == '\\'
		case c == '"':
			quoted = true
		case c == ',' || c == ']' || c == '}' || bytes.IndexByte([]byte(space), c) >= 0:
			return extent{n: i, closed: true}, nil
		}
	}
}

// afterArray allows white space alone.
func (r *Reader) afterArray() error {
	if _, err := r.skipSpace(); err != nil {
		return err
	}
	return r.damaged("data behind the end of the array")
}

// cut turns the input's end inside the array or the reply into damage.
func (r *Reader) cut(err error) error {
	if err == io.EOF && r.shape == reply {
		return r.damaged("input ends within the reply")
	}
	if err == io.EOF {
		return r.damaged("input ends within the array")
	}
	return err
}

func (r *Reader) damaged(what string) error {
	return fault.At(fault.New(fault.Corrupt, "json: %s", what), fault.Place{Line: r.win.Line(), Offset: r.win.Offset()})
}
