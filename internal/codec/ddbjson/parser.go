package ddbjson

import (
	"bytes"
	"sync"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Shape tells what one line of a stream is.
type Shape uint8

const (
	// Wrapped lines are {"Item":{...}}, as DynamoDB's full exports have them.
	Wrapped Shape = iota
	// Bare lines are the attribute map itself: {"Id":{"N":"1"}}.
	Bare
)

// Parser parses many chunks or pages of one stream and keeps what it has learnt about their items. The zero Parser is
// ready. It is not for concurrent use.
type Parser struct {
	automata [2]*automaton // by Shape
	records  recordParser  // its memory, from one reply to the next
	lineMax  int           // bytes of a line; 0: no limit
}

// parsers lends Parsers to the package's functions: learning anew for each page would cost more than parsing it.
// What they have learnt changes their speed alone.
var parsers = sync.Pool{New: func() any { return &Parser{} }}

// ParseLines parses the lines of b.Src, appends a row for each item, with Row.Line counted from b.FirstLine, and
// returns how many bytes it is done with. Unless final is set, what follows the last line feed is left for the
// next chunk. Blank lines count but give no row; a carriage return before the line feed is white space. A line
// that is no item goes to reject with line and offset in the stream, and the next line goes on; with reject nil it
// ends the parse as the error, and consumed tells where that line starts.
func ParseLines(b *item.Batch, shape Shape, final bool, reject codec.Rejects) (consumed int, err error) {
	p := parsers.Get().(*Parser)
	defer parsers.Put(p)
	consumed, _, err = p.ParseLines(b, shape, final, reject)
	return consumed, err
}

// ParseLines is the function ParseLines; it returns too how many lines it is done with.
func (p *Parser) ParseLines(b *item.Batch, shape Shape, final bool, reject codec.Rejects) (consumed, lines int, err error) {
	if err := fits(b); err != nil {
		return 0, 0, err
	}
	limit := len(b.Src)
	if !final {
		limit = bytes.LastIndexByte(b.Src, '\n') + 1
	}
	l := &lineParser{automaton: p.automaton(shape), b: b, shape: shape, limit: limit, reject: reject}
	if l.lineMax = p.lineMax; l.lineMax == 0 {
		l.lineMax = item.BatchBytesMax
	}
	restore := l.begin(b)
	defer restore()
	consumed, err = l.run()
	return consumed, l.line, err
}

func (p *Parser) automaton(shape Shape) *automaton {
	if p.automata[shape] == nil {
		p.automata[shape] = newAutomaton(shape == Wrapped)
	}
	return p.automata[shape]
}

// begin makes b.Src the bytes to be parsed and b.Tape the tape to append to. The byte behind Src is a control character
// until end is called, so that every scan stops there at the latest.
func (a *automaton) begin(b *item.Batch) (end func()) {
	b.Src = item.EnsureSlack(b.Src)
	sentinel := &b.Src[:len(b.Src)+1][len(b.Src)]
	before := *sentinel
	*sentinel = 0
	a.src, a.tape = b.Src, b.Tape
	if len(a.loose) > 0 {
		clear(a.loose)
	}
	return func() {
		*sentinel = before
		b.Tape = a.tape
		a.src, a.tape = nil, nil
	}
}

// lineParser is one call of ParseLines.
type lineParser struct {
	*automaton
	b      *item.Batch
	shape  Shape
	limit  int // where the last whole line ends
	line   int // lines done with
	reject codec.Rejects

	lineMax int
}

func (l *lineParser) run() (consumed int, err error) {
	p := 0
	for p < l.limit {
		first := len(l.tape)
		end, ok := l.item(uint(p))
		if ok && (int(end) == l.limit || l.src[end] == '\n') && int(end)-p <= l.lineMax {
			l.row(first)
			p = min(int(end)+1, l.limit)
			continue
		}
		l.tape = l.tape[:first]
		if p, err = l.odd(p); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (l *lineParser) row(first int) {
	l.b.Rows = append(l.b.Rows, item.Row{First: uint32(first), Line: uint32(l.line)})
	l.line++
}

// odd takes the line at p with the checked parser and returns where the next one starts. Only the caller's refusal is
// an error, or the line's own when nobody takes rejects.
func (l *lineParser) odd(p int) (next int, err error) {
	end, next := l.limit, l.limit
	if i := bytes.IndexByte(l.src[p:l.limit], '\n'); i >= 0 {
		end, next = p+i, p+i+1
	}
	c := &checked{src: l.src[:end], p: p, tape: l.tape, first: len(l.tape)}
	if c.space(); c.p == end {
		l.line++
		return next, nil
	}
	first := len(l.tape)
	if end-p > l.lineMax {
		return l.refuse(fault.At(errLineMax(l.lineMax), fault.Place{Offset: int64(p)}), p, end, next)
	}
	if err := c.record(l.shape); err != nil {
		return l.refuse(err, p, end, next)
	}
	l.tape = c.tape
	l.row(first)
	return next, nil
}

func errLineMax(lineMax int) error {
	return fault.New(fault.Limit, "line is longer than %d bytes", lineMax)
}

func (l *lineParser) refuse(err error, p, end, next int) (int, error) {
	at := fault.PlaceOf(err)
	place := fault.Place{Line: l.b.FirstLine + int64(l.line), Offset: l.b.Offset + at.Offset}
	if l.reject == nil {
		place.Path = at.Path
		return p, fault.At(cause(err), place)
	}
	l.line++
	refused := cause(err)
	if at.Path != "" {
		refused = fault.At(refused, fault.Place{Path: at.Path})
	}
	return next, l.reject(codec.Reject{Place: place, Raw: l.src[p:end:end], Err: refused})
}

// record parses one line up to the end of src.
func (c *checked) record(shape Shape) error {
	if shape == Wrapped {
		if err := c.wrapper(); err != nil {
			return err
		}
	}
	if err := c.attributeMap(); err != nil {
		return err
	}
	if shape == Wrapped {
		if err := c.expect('}'); err != nil {
			return err
		}
	}
	return c.finish()
}

// wrapper takes {"Item": in front of the item.
func (c *checked) wrapper() error {
	if err := c.expect('{'); err != nil {
		return err
	}
	at := len(c.tape)
	c.tape = append(c.tape, item.Token{Type: item.Name})
	if err := c.text(at, `"Item"`); err != nil {
		return err
	}
	name, off := c.content(at), int(c.tape[at].Off)-1
	c.tape = c.tape[:at]
	if string(name) != "Item" {
		return c.place(fault.New(fault.Corrupt, "the line's member is %.40q, want \"Item\"", name), off)
	}
	return c.expect(':')
}

// finish wants nothing but white space up to the end.
func (c *checked) finish() error {
	if c.space(); c.p < len(c.src) {
		return c.corrupt("unexpected %q behind the item", c.src[c.p])
	}
	return nil
}
