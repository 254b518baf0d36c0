package ion

import (
	"bytes"
	"io"

	"dynaferry/internal/fault"
)

var newline = []byte{'\n'}

// lookahead is how far behind its position the text cursor may look to tell what is wrong: closer to the window's end it
// may be wrong itself.
const lookahead = 16

// textStep reads one record, marker or table. When the window ends within, it grows to twice its size and all begins anew,
// so that no byte is read more than a few times.
func (r *Reader) textStep() error {
	if r.lost {
		return r.findRecord()
	}
	r.text.begin(r.win.Bytes(), r.final)
	err := r.textTry()
	if err != errShort {
		return err
	}
	return r.grow()
}

// grow doubles the window, or finds out that nothing follows.
func (r *Reader) grow() error {
	n := len(r.win.Bytes())
	if n > r.opts.RecordBytesMax {
		return r.tooLong()
	}
	err := r.atLeast(max(2*n, 1))
	if err == io.EOF {
		return nil
	}
	return err
}

// advance uses n bytes up and counts their lines.
func (r *Reader) advance(n int) {
	r.line += int64(bytes.Count(r.win.Bytes()[:n], newline))
	r.win.Advance(n)
}

func (r *Reader) textTry() error {
	c := &r.text
	err := c.space()
	if c.p > 0 { // white space and comments never come back
		r.advance(c.p)
		c.begin(r.win.Bytes(), r.final)
	}
	if err != nil {
		return r.refuseText(c.here(err))
	}
	if r.list {
		return r.element()
	}
	if c.end == 0 {
		return io.EOF
	}
	v := &r.mapper.v
	if err := c.value(v); err != nil {
		return r.refuseText(c.here(err))
	}
	switch {
	case v.kind == kindSymbol && v.notes == 0 && string(v.text.b) == "$ion_1_0":
		if !v.text.quoted {
			r.symbols.reset()
		}
		r.advance(c.p)
		return nil
	case v.kind == kindSymbol && v.notes == 0 && !v.text.quoted && isVersion(v.text.b):
		return r.placed(fault.New(fault.Unsupported, "ion: the version %.20s; this program reads $ion_1_0", v.text.b), r.line)
	case v.kind == kindList && v.notes == 0 && !v.null:
		r.list, r.comma = true, false
		r.advance(c.p)
		return nil
	case isTable(v):
		return r.textTable(v)
	}
	return r.textRecord(v)
}

// isVersion tells whether a symbol is a version marker: $ion_1_1.
func isVersion(b []byte) bool {
	rest, ok := bytes.CutPrefix(b, []byte("$ion_"))
	major, minor, both := bytes.Cut(rest, []byte("_"))
	return ok && both && isDigits(major) && isDigits(minor)
}

func isDigits(b []byte) bool {
	for _, c := range b {
		if class[c]&isDigit == 0 {
			return false
		}
	}
	return len(b) > 0
}

// textTable reads the symbol table that stands at the window's beginning.
func (r *Reader) textTable(v *value) error {
	if err := r.symbols.read(&r.text, v); err != nil {
		return r.refuseText(r.text.here(err))
	}
	r.advance(r.text.p)
	return nil
}

// textRecord makes v an item, which stands at the window's beginning.
func (r *Reader) textRecord(v *value) error {
	if err := r.append(&r.text, v, r.line); err != nil {
		return r.refuseText(err)
	}
	r.advance(r.text.p)
	return nil
}

// refuseText rejects the record at the window's beginning, whose error has an offset in the window. When the record is a
// whole value all the same, the next one follows behind it; else the next one is where a line begins like one.
func (r *Reader) refuseText(err error) error {
	if err == errShort {
		return err
	}
	c := &r.text
	place := fault.PlaceOf(err)
	if int(place.Offset)+lookahead > c.end && !r.final {
		return errShort
	}
	n, whole := r.wholeValue()
	switch {
	case whole == errShort:
		return errShort
	case whole != nil && r.list:
		return r.placed(err, r.lineAt(int(place.Offset)))
	case whole != nil || n == 0:
		if n = r.nextRecord(); n < 0 {
			return errShort
		}
		if int(place.Offset) > n { // what was cut ends before the error
			err = fault.At(cause(err), fault.Place{Offset: int64(n), Path: place.Path})
			place = fault.PlaceOf(err)
		}
	}
	line := r.lineAt(min(int(place.Offset), max(n-1, 0)))
	if err := r.reject(trimmed(c.src[:n]), r.placed(err, line)); err != nil {
		return err
	}
	r.advance(n)
	r.comma = true
	return nil
}

// trimmed is a record without the line end behind.
func trimmed(raw []byte) []byte {
	if t := bytes.TrimRight(raw, "\r\n"); len(t) > 0 {
		return t
	}
	return raw
}

// lineAt is the line of an offset in the window.
func (r *Reader) lineAt(at int) int64 {
	return r.line + int64(bytes.Count(r.text.src[:at], newline))
}

// wholeValue returns the length of the container at the window's beginning, by the grammar alone; 0 when there is none.
func (r *Reader) wholeValue() (int, error) {
	c, v := &r.text, &r.mapper.v
	c.restart(0)
	err := c.value(v)
	if err == nil && (!v.kind.container() || v.null) {
		if r.list { // a scalar as element
			return c.p, nil
		}
		return 0, nil
	}
	if err == nil {
		err = pass(c, v)
	}
	if err != nil && c.p+lookahead > c.end && !r.final {
		err = errShort
	}
	return c.p, err
}

// nextRecord finds where the next record begins, behind the line at the window's beginning: a line that begins with $ion_1_0,
// blanks before it allowed, or with a brace. It returns the end of the stream when there is none, -1 when that is not known yet.
func (r *Reader) nextRecord() int {
	data := r.text.src[:r.text.end]
	for at := 0; ; {
		i := bytes.IndexByte(data[at:], '\n')
		if i < 0 {
			break
		}
		at += i + 1
		rest := bytes.TrimLeft(data[at:], " \t")
		if len(rest) <= len("$ion_1_0") && !r.final {
			break
		}
		marked := bytes.HasPrefix(rest, []byte("$ion_1_0")) && (len(rest) == 8 || class[rest[8]]&isIdent == 0)
		if marked || len(rest) > 0 && data[at] == '{' {
			return at
		}
	}
	if r.final {
		return len(data)
	}
	return -1
}

// tooLong rejects what is in the window without end, and begins to pass over it.
func (r *Reader) tooLong() error {
	err := fault.New(fault.Limit, "ion: a record is longer than %d bytes", r.opts.RecordBytesMax)
	if r.list {
		return r.placed(err, r.line)
	}
	r.lost = true
	return r.reject(r.win.Bytes(), r.placed(err, r.line))
}

// findRecord drops the window up to the next record's beginning.
func (r *Reader) findRecord() error {
	r.text.begin(r.win.Bytes(), r.final)
	if n := r.nextRecord(); n >= 0 {
		r.advance(n)
		r.lost = false
		return nil
	}
	data := r.win.Bytes()
	keep := 0
	if last := bytes.LastIndexByte(data, '\n'); last >= 0 && len(data)-last <= blankMax {
		keep = len(data) - last
	}
	r.advance(len(data) - keep)
	if err := r.win.More(); err != nil && err != io.EOF {
		return err
	} else if err == io.EOF {
		r.final = true
	}
	return nil
}

// blankMax is how many blanks may stand before a marker where a record that was too long is passed over.
const blankMax = 256

// element reads the next element of a top-level list, or its end. An element that the grammar refuses is damage, since
// nothing tells where the next one begins.
func (r *Reader) element() error {
	c := &r.text
	if c.end == 0 {
		return r.damaged(0, corrupt("the input ends within a list"))
	}
	switch b := c.src[0]; {
	case b == ']':
		r.list = false
		r.advance(1)
		return nil
	case b == ',' && r.comma:
		r.comma = false
		r.advance(1)
		return nil
	case r.comma:
		return r.damaged(0, corrupt("no comma behind an element of the list"))
	case b == ',':
		return r.damaged(0, corrupt("an element is missing in the list"))
	}
	v := &r.mapper.v
	if err := c.value(v); err != nil {
		return r.refuseText(c.here(err))
	}
	if err := r.textRecord(v); err != nil {
		return err
	}
	r.comma = true
	return nil
}
