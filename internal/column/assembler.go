package column

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Assembler turns columns back into items, Extra laid over them. The items are canonically equal to those that were
// shredded; members come in the order of the schema, then those in Extra. Not for concurrent use.
//
// A schema may hold fewer columns than the data set: then the items hold fewer attributes. With Partial set, entries of
// Extra below columns that are not there are left out too; without it they are Corrupt. A schema whose Extra is "" has
// no Extra vector.
type Assembler struct {
	Partial bool

	schema *Schema
	top    []part
	leaves int
	at     []cursor
	w      *item.Builder
	over   overrides
	text   []byte
	raw    item.Item // one value made here, to be copied as it is
	reader textReader
	err    error
}

// part is a field with what assembling needs to know of it.
type part struct {
	field       *Field
	def         uint8 // level of a value that is there; of a list that is there, empty or not
	rep         uint8 // repetition level of a list's elements
	first, last int   // its leaves
	kids        []part
	elem        *part
	name        item.Item // an item whose only member has the field's name, at index 1
}

// cursor is a position in one vector.
type cursor struct {
	v      *Vector
	slot   int
	value  int
	maxDef uint8
}

func (c *cursor) def() uint8 {
	if c.v.Def == nil {
		return c.maxDef
	}
	return c.v.Def[c.slot]
}

// NewAssembler returns an Assembler for slabs of one schema.
func NewAssembler(s *Schema) *Assembler {
	a := &Assembler{schema: s, w: item.NewBuilder(nil), raw: item.Item{Tape: make([]item.Token, 1)}}
	for _, f := range s.Fields {
		a.top = append(a.top, a.part(f, levels{}))
	}
	return a
}

func (a *Assembler) part(f *Field, at levels) part {
	p := part{field: f, def: at.def + 1, first: a.leaves}
	p.name, _ = item.FromMap(map[string]item.Value{f.Source: {Type: item.NULL}}) // NULL is never refused
	switch f.Kind {
	case Struct:
		for _, member := range f.Fields {
			p.kids = append(p.kids, a.part(member, levels{p.def, at.rep}))
		}
	case List:
		p.rep = at.rep + 1
		elem := a.part(f.Elem, levels{p.def + 1, p.rep})
		p.elem = &elem
	default:
		a.leaves++
	}
	p.last = a.leaves
	return p
}

// Items appends the slab's rows to b as items; Row.Line counts rows from 0. Errors are of kind Corrupt and name the
// row; b then holds the rows before it.
func (a *Assembler) Items(s *Slab, b *item.Batch) error {
	vectors := a.leaves
	if a.schema.Extra != "" {
		vectors++
	}
	if len(s.Vectors) != vectors {
		return fault.New(fault.Bug, "assemble rows: %d vectors for %d leaves", len(s.Vectors), vectors)
	}
	a.w.Reset(b)
	a.err = nil
	a.at = a.at[:0]
	for i := range s.Vectors {
		v := &s.Vectors[i]
		if err := checkVector(v, s.Rows); err != nil {
			return err
		}
		a.at = append(a.at, cursor{v: v, maxDef: v.Leaf.MaxDef})
	}
	for row := range s.Rows {
		a.w.Begin(uint32(row))
		if a.row(row); a.err != nil {
			a.w.Abort()
			return fault.As(fault.Corrupt, fault.At(a.err, fault.Place{Line: int64(row) + 1}))
		}
		a.w.Finish()
	}
	return nil
}

// checkVector refuses vectors whose parts do not match, so that nothing below reads beyond their ends.
func checkVector(v *Vector, rows int) error {
	values := v.Slots
	if v.Def != nil {
		values = 0
		for _, d := range v.Def {
			if d == v.Leaf.MaxDef {
				values++
			} else if d > v.Leaf.MaxDef {
				return fault.New(fault.Corrupt, "column %s: definition level %d", v.Leaf.Field.Name, d)
			}
		}
	}
	have := len(v.Ends)
	switch v.Leaf.Field.Kind {
	case Long, Decimal18, Date, Timestamp:
		have = len(v.Longs)
	case Double:
		have = len(v.Doubles)
	case Bool:
		have = len(v.Bools)
	default:
		last := uint32(0)
		for _, end := range v.Ends {
			if end < last || int(end) > len(v.Bytes) || v.Leaf.Field.Kind == Decimal38 && end-last != 16 {
				return fault.New(fault.Corrupt, "column %s: ends of values out of order", v.Leaf.Field.Name)
			}
			last = end
		}
	}
	if have != values || v.Def != nil && len(v.Def) != v.Slots || v.Rep != nil && len(v.Rep) != v.Slots ||
		v.Leaf.MaxRep == 0 && v.Slots != rows || v.Leaf.MaxRep > 0 && v.Rep == nil && v.Slots > 0 {
		return fault.New(fault.Corrupt, "column %s: levels and values do not match", v.Leaf.Field.Name)
	}
	return nil
}

func (a *Assembler) fail(what string) {
	if a.err == nil {
		a.err = fault.New(fault.Corrupt, "assemble rows: %s", what)
	}
}

func (a *Assembler) row(row int) {
	a.over = a.over[:0]
	if a.schema.Extra != "" {
		if c := &a.at[a.leaves]; c.def() == c.maxDef {
			if a.over, a.err = a.over.parse(c.bytes()); a.err != nil {
				return
			}
		}
		a.at[a.leaves].slot = row + 1
	}
	a.members(a.top, a.over, 0)
	for i := range a.over {
		if !a.over[i].used && !a.Partial {
			a.fail("an entry of Extra lies below a column that is not there")
		}
	}
}

// bytes returns the value at hand and steps on.
func (c *cursor) bytes() []byte {
	from := uint32(0)
	if c.value > 0 {
		from = c.v.Ends[c.value-1]
	}
	to := c.v.Ends[c.value]
	c.value++
	return c.v.Bytes[from:to]
}

// members writes the members of a map: those with columns, then what only Extra knows.
func (a *Assembler) members(parts []part, over overrides, depth int) {
	for i := range parts {
		p := &parts[i]
		var mine overrides
		if len(over) > 0 {
			mine = over.below(depth, p.field.Source)
		}
		switch {
		case mine.whole(depth):
			a.w.RawName(p.name, 1)
			a.override(&mine[0])
			a.discard(p)
		case a.def(p) < p.def:
			a.skip(p)
		default:
			a.w.RawName(p.name, 1)
			a.value(p, mine, depth+1)
		}
		if a.err != nil {
			return
		}
	}
	for i := range over {
		if e := &over[i]; !e.used && len(e.segments) == depth+1 {
			a.w.Name(e.segments[depth])
			if a.override(e); a.err != nil {
				return
			}
		}
	}
}

func (a *Assembler) override(e *override) {
	e.used = true
	a.reader.src, a.reader.at, a.reader.depth = e.value, 0, 0
	a.typed()
}

// typed writes the value that the reader stands before.
func (a *Assembler) typed() {
	if err := a.reader.value(a.w); err != nil {
		a.err = err
	} else if err := a.reader.end(); err != nil {
		a.err = err
	}
}

// def is the level at hand in a part, read from its first leaf.
func (a *Assembler) def(p *part) uint8 {
	if p.first == p.last {
		a.fail("a struct without fields")
		return 0
	}
	c := &a.at[p.first]
	if c.slot >= c.v.Slots {
		a.fail("a column ends early")
		return 0
	}
	return c.def()
}

// skip passes the one slot that every leaf of an absent part has.
func (a *Assembler) skip(p *part) {
	for i := p.first; i < p.last; i++ {
		a.at[i].slot++
	}
}

// discard passes a part without writing it, there or not.
func (a *Assembler) discard(p *part) {
	switch {
	case a.err != nil:
	case a.def(p) < p.def:
		a.skip(p)
	case p.field.Kind == Struct:
		for i := range p.kids {
			a.discard(&p.kids[i])
		}
	case p.field.Kind == List && a.def(p) == p.def:
		a.skip(p)
	case p.field.Kind == List:
		for more := true; more && a.err == nil; more = a.more(p) {
			a.discard(p.elem)
		}
	default:
		a.at[p.first].slot++
		a.at[p.first].value++
	}
}

// more tells whether another element of the list at hand follows.
func (a *Assembler) more(p *part) bool {
	c := &a.at[p.first]
	if c.slot >= c.v.Slots || c.v.Rep[c.slot] < p.rep {
		return false
	}
	if c.v.Rep[c.slot] > p.rep {
		a.fail("repetition levels out of order")
	}
	return a.err == nil
}

// value writes a part that is there.
func (a *Assembler) value(p *part, over overrides, depth int) {
	switch p.field.Kind {
	case Struct:
		a.w.BeginMap()
		a.members(p.kids, over, depth)
		if a.err == nil {
			a.w.End()
		}
	case List:
		a.list(p, over, depth)
	default:
		a.scalar(p)
	}
}

func (a *Assembler) list(p *part, over overrides, depth int) {
	if p.field.Type.IsSet() {
		a.w.BeginSet(p.field.Type)
	} else {
		a.w.BeginList()
	}
	if a.def(p) == p.def {
		a.skip(p)
		a.w.End()
		return
	}
	for i, more := 0, true; more; i, more = i+1, a.more(p) {
		var mine overrides
		if len(over) > 0 {
			mine = over.below(depth, strconv.Itoa(i))
		}
		switch {
		case mine.whole(depth):
			if p.field.Type.IsSet() {
				a.member(p, &mine[0])
			} else {
				a.override(&mine[0])
			}
			a.discard(p.elem)
		case a.def(p.elem) < p.elem.def:
			a.skip(p.elem)
			if p.field.Type.IsSet() {
				a.fail("null in a set")
			} else {
				a.w.Null()
			}
		default:
			a.value(p.elem, mine, depth+1)
		}
		if a.err != nil {
			return
		}
	}
	a.w.End()
}

// member writes an entry of Extra that is a set's member: its type goes without saying there.
func (a *Assembler) member(p *part, e *override) {
	e.used = true
	t := &a.reader
	t.src, t.at, t.depth = e.value, 0, 0
	if a.err = t.expect('{'); a.err != nil {
		return
	}
	descriptor, err := t.str()
	if err != nil || typeOf(descriptor) != p.field.Type.Member() {
		a.fail("a set's member of another type")
		return
	}
	if a.err = t.expect(':'); a.err != nil {
		return
	}
	if a.err = t.scalar(p.field.Type.Member(), a.w); a.err == nil {
		a.err = t.expect('}')
	}
}

func (a *Assembler) scalar(p *part) {
	c := &a.at[p.first]
	c.slot++
	f := p.field
	switch f.Kind {
	case Long:
		a.w.Int(c.v.Longs[c.value])
		c.value++
	case Decimal18:
		a.text = wideOf(c.v.Longs[c.value]).appendDecimal(a.text[:0], f.Scale)
		c.value++
		a.copy(item.N, a.text, item.Normal)
	case Decimal38:
		a.text = wideAt(c.bytes()).appendDecimal(a.text[:0], f.Scale)
		if len(a.text) > 38 {
			a.number() // 39 digits are possible in foreign files, and no number of DynamoDB's
		} else {
			a.copy(item.N, a.text, item.Normal)
		}
	case String:
		if f.Type == item.N {
			a.text = append(a.text[:0], c.bytes()...)
			a.number()
		} else if text := c.bytes(); plain(text) {
			a.copy(item.S, text, 0)
		} else {
			a.w.String(text)
		}
	case Binary:
		a.w.Binary(c.bytes())
	case Bool:
		a.w.Bool(c.v.Bools[c.value])
		c.value++
	case Double:
		a.double(c.v.Doubles[c.value])
		c.value++
	case Date, Timestamp:
		a.text = appendMoment(a.text[:0], f, c.v.Longs[c.value])
		c.value++
		if f.Type == item.N {
			a.number()
		} else {
			a.w.String(a.text)
		}
	case JSON:
		a.reader.src, a.reader.at, a.reader.depth = c.bytes(), 0, 0
		a.typed()
	}
}

// copy writes a value whose text is known to need neither escapes nor another form.
func (a *Assembler) copy(t item.Type, text []byte, flags item.Flags) {
	a.raw.Src = text
	a.raw.Tape[0] = item.Token{End: uint32(len(text)), Skip: 1, Type: t, Flags: flags}
	a.w.Raw(a.raw, 0)
}

// plain tells whether text is ASCII that JSON writes without escapes, eight bytes at a time.
func plain(text []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for len(text) >= 8 {
		w := binary.LittleEndian.Uint64(text)
		quote, slash := w^ones*'"', w^ones*'\\'
		// In Go | and - have the same rank, hence the parentheses.
		if (w|(w-ones*' ')|(quote-ones)|(slash-ones))&tops != 0 {
			return plainBytes(text[:8]) && plain(text[8:])
		}
		text = text[8:]
	}
	return plainBytes(text)
}

func plainBytes(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (a *Assembler) number() {
	if err := a.w.Number(a.text); err != nil && a.err == nil {
		a.err = fault.New(fault.Corrupt, "assemble rows: %w", err)
	}
}

// double writes a float64. What DynamoDB has no number for, which only foreign files hold, becomes text.
func (a *Assembler) double(v float64) {
	switch {
	case math.IsNaN(v):
		a.w.String([]byte("NaN"))
	case math.IsInf(v, 1):
		a.w.String([]byte("Infinity"))
	case math.IsInf(v, -1):
		a.w.String([]byte("-Infinity"))
	default:
		a.text = strconv.AppendFloat(a.text[:0], v, 'e', -1, 64)
		if a.w.Number(a.text) != nil {
			a.w.String(a.text)
		}
	}
}
