package ddbjson

import (
	"bytes"
	"io"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// ChangeReader yields the changes of an incremental export, one a line:
// {"Metadata":{"WriteTimestampMicros":{"N":"1"}},"Keys":{...},"NewImage":{...},"OldImage":{...}}. It is a codec.ChangeReader.
type ChangeReader struct{ lines *Reader }

var _ codec.ChangeReader = (*ChangeReader)(nil)

// NewChangeReader returns a ChangeReader over r; the Shape of opts means nothing to it.
func NewChangeReader(r io.Reader, opts ReaderOptions) *ChangeReader {
	return &ChangeReader{NewReader(r, opts)}
}

// ReadChanges implements codec.ChangeReader.
func (c *ChangeReader) ReadChanges(b *item.Changes) error {
	r := c.lines
	for {
		file := b.File
		b.Reset()
		b.File = file
		if err := r.fill(&b.Batch); err != nil {
			return err
		}
		b.Offset, b.FirstLine = r.offset, r.line
		consumed, lines, err := r.parser.ParseChanges(b, r.err == io.EOF, r.opts.Rejects)
		r.carried = append(r.carried[:0], b.Src[consumed:]...)
		r.offset += int64(consumed)
		r.line += int64(lines)
		if err != nil {
			r.err, r.carried = err, nil
			b.Reset()
			return err
		}
		b.Src = b.Src[:consumed]
		if len(b.List) > 0 {
			return nil
		}
	}
}

// ParseChanges is ParseLines for lines that are changes.
func (p *Parser) ParseChanges(b *item.Changes, final bool, reject codec.Rejects) (consumed, lines int, err error) {
	if err := fits(&b.Batch); err != nil {
		return 0, 0, err
	}
	limit := len(b.Src)
	if !final {
		limit = bytes.LastIndexByte(b.Src, '\n') + 1
	}
	l := &changeParser{lineParser: lineParser{automaton: p.automaton(Bare), b: &b.Batch, limit: limit, reject: reject}, changes: b}
	if l.lineMax = p.lineMax; l.lineMax == 0 {
		l.lineMax = item.BatchBytesMax
	}
	restore := l.begin(&b.Batch)
	defer restore()
	consumed, err = l.run()
	return consumed, l.line, err
}

// changeParser is one call of ParseChanges. The members of a line are walked by the checked parser; images go to the
// automaton first.
type changeParser struct {
	lineParser
	changes *item.Changes
	checked checked
	change  item.Change
}

func (l *changeParser) run() (consumed int, err error) {
	for p := 0; p < l.limit; {
		end, next := l.limit, l.limit
		if i := bytes.IndexByte(l.src[p:l.limit], '\n'); i >= 0 {
			end, next = p+i, p+i+1
		}
		tape, rows := len(l.tape), len(l.b.Rows)
		err := l.record(p, end)
		if err == errBlank {
			l.line++
			p = next
			continue
		}
		if err != nil {
			l.tape, l.b.Rows = l.tape[:tape], l.b.Rows[:rows]
			if next, err = l.refuse(err, p, end, next); err != nil {
				return next, err
			}
			p = next
			continue
		}
		l.change.Line = uint32(l.line)
		l.changes.List = append(l.changes.List, l.change)
		l.line++
		p = next
	}
	return l.limit, nil
}

// errBlank is a line of white space.
var errBlank = fault.New(fault.Bug, "blank line")

// record parses the line src[p:end].
func (l *changeParser) record(p, end int) error {
	c := &l.checked
	c.src, c.p, c.tape, c.first = l.src[:end], p, c.tape[:0], 0
	if c.space(); c.p == end {
		return errBlank
	}
	if end-p > l.lineMax {
		return fault.At(errLineMax(l.lineMax), fault.Place{Offset: int64(p)})
	}
	start := c.p
	l.change = item.Change{Key: item.NoImage, New: item.NoImage, Old: item.NoImage}
	isItem := false
	err := c.object(func(name []byte) error {
		switch string(name) {
		case "Keys":
			return l.image(&l.change.Key)
		case "NewImage":
			return l.image(&l.change.New)
		case "OldImage":
			return l.image(&l.change.Old)
		case "Metadata":
			return l.metadata()
		}
		isItem = isItem || string(name) == "Item"
		return c.skip(0)
	})
	if err != nil {
		return err
	}
	if err := c.finish(); err != nil {
		return err
	}
	if l.change.Key == item.NoImage {
		err := fault.New(fault.Corrupt, "the change has no Keys")
		if isItem {
			err = fault.New(fault.Corrupt, "the line is an item, as full exports have them, not a change")
		}
		return c.place(err, start)
	}
	if len(l.tape) > 0 && l.b.Item(int(l.change.Key)).Count(0) == 0 {
		return c.place(fault.New(fault.Corrupt, "the change's Keys are empty"), start)
	}
	return nil
}

// image takes one attribute map as a row.
func (l *changeParser) image(into *int32) error {
	return l.automaton.image(l.b, &l.checked, uint32(l.line), into)
}

// image takes the attribute map in front of c as a row; a null is like its absence.
func (a *automaton) image(b *item.Batch, c *checked, line uint32, into *int32) error {
	if c.next() == 'n' {
		return c.skip(0)
	}
	first := len(a.tape)
	if end, ok := a.item(uint(c.p)); ok && int(end) <= len(c.src) {
		c.p = int(end)
	} else {
		a.tape = a.tape[:first]
		names := c.tape
		c.tape = a.tape
		err := c.attributeMap()
		a.tape, c.tape, c.first = c.tape, names, 0
		if err != nil {
			return err
		}
	}
	*into = int32(len(b.Rows))
	b.Rows = append(b.Rows, item.Row{First: uint32(first), Line: line})
	b.Tape = a.tape // rows are looked at before the parse ends
	return nil
}

// metadata takes the time of the last write.
func (l *changeParser) metadata() (err error) {
	l.change.Micros, err = l.checked.writeMicros()
	return err
}

// writeMicros takes {"WriteTimestampMicros":...}: {"N":"1"} in real files, a bare string in the documentation. 0 without.
func (c *checked) writeMicros() (micros int64, err error) {
	if c.next() != '{' {
		return 0, c.unexpected("Metadata's '{'")
	}
	err = c.object(func(name []byte) error {
		if string(name) != "WriteTimestampMicros" {
			return c.skip(0)
		}
		if c.next() != '{' {
			return c.micros(&micros)
		}
		return c.object(func(kind []byte) error {
			if string(kind) != "N" {
				return c.skip(0)
			}
			return c.micros(&micros)
		})
	})
	return micros, err
}

func (c *checked) micros(into *int64) error {
	c.space()
	start := c.p
	if err := c.skip(0); err != nil {
		return err
	}
	micros, err := item.ParseMicros(bytes.Trim(c.src[start:c.p], `"`))
	if err != nil {
		return c.place(fault.As(fault.Corrupt, err), start)
	}
	*into = micros
	return nil
}
