package column

import (
	"encoding/binary"
	"math"
	"slices"

	"dynaferry/internal/item"
)

// space is a run of slots: the rows of a slab, the presence of a struct or leaf in its holder's slots, or the element
// slots of a list. Definition levels are kept only from the first slot on that is not full.
type space struct {
	n   int
	def []uint8 // empty while every slot is full
	top uint8   // the level of a full slot
	gap bool    // some slot is not full
}

// push appends one slot.
func (p *space) push(def uint8) {
	if def != p.top && !p.gap {
		p.loosen()
	}
	if p.gap {
		p.def = append(p.def, def)
	}
	p.n++
}

// full appends one full slot.
func (p *space) full() {
	if p.gap {
		p.def = append(p.def, p.top)
	}
	p.n++
}

// loosen starts to keep levels.
func (p *space) loosen() {
	p.gap = true
	p.def = grow(p.def[:0], p.n)
	for i := range p.def {
		p.def[i] = p.top
	}
}

// at returns the level of slot i.
func (p *space) at(i int) uint8 {
	if p.gap {
		return p.def[i]
	}
	return p.top
}

// copyFrom appends the levels of slots [from,to) of the holder's space, in none of which this one is full.
//
// Where items of several kinds lie side by side, most gaps are a few slots: those are written as one word, the bytes
// behind them being overwritten by what follows.
func (p *space) copyFrom(up *space, from, to int) {
	if !p.gap {
		p.loosen()
	}
	n, size := len(p.def), to-from
	p.n += size
	if size <= wordBytes && n+wordBytes <= cap(p.def) && (!up.gap || from+wordBytes <= cap(up.def)) {
		levels := uint64(up.top) * 0x0101010101010101
		if up.gap {
			levels = binary.LittleEndian.Uint64(up.def[from : from+wordBytes])
		}
		binary.LittleEndian.PutUint64(p.def[n:n+wordBytes], levels)
		p.def = p.def[:n+size]
		return
	}
	if up.gap {
		p.def = append(p.def, up.def[from:to]...)
		return
	}
	p.def = grow(p.def, n+size)
	for i := range p.def[n:] {
		p.def[n+i] = up.top
	}
}

const wordBytes = 8

func (p *space) reset() { p.n, p.def, p.gap = 0, p.def[:0], false }

// grow returns b with length n, contents beyond its old length unspecified.
func grow(b []uint8, n int) []uint8 {
	return slices.Grow(b, n-len(b))[:n]
}

// Small numbers are counted in a table by shape; whatever is not small goes to the node straight.
const (
	binDigits = longDigits + 1
	binScales = 10
)

// col is a column, or a member of one, that is being filled.
//
// The levels of a slot are written once, where they differ: a leaf or struct holds one slot for each slot of its holder
// and shares its repetition levels, a list holds its element slots. What is absent is not written at all until something
// present follows or the slab ends (fill): a row costs only what it holds.
//
// What every value touches stands first, in as few cache lines as can be.
type col struct {
	source string    // field.Source
	name   nameWords // of source
	text   bool      // a String that holds S
	kind   Kind      // field.Kind
	typ    item.Type // field.Type
	scaled uint8     // field.Scale
	room   int8      // digits in front of the point that the rung has room for
	next   *col      // the member that stood behind this one
	up     *space
	done   int // slots of up that are done with; slots.n for all but lists
	count  uint64
	slots  space // own slots; of a list its elements'

	bytes  []byte
	ends   []uint32
	longs  []int64
	bins   []uint32 // by digits*binScales+scale
	digits int      // the ladder: most digits in front of the point and behind it so far
	scale  int

	rep   []uint8
	lists *col  // the nearest list above, nil at the top
	elem  *col  // of a list
	first *col  // the member that stood first in the last map
	level uint8 // repetition level of a list's elements
	index int   // of a list: the element at hand

	field   Field // Elem and Fields are not used while filling; sync after changes
	parent  *col  // nil for the whole item
	id      int
	kids    map[string]*col
	order   []*col // typed members in order of appearance
	names   *namer
	doubles []float64
	bools   []bool

	fixed  bool // form given from outside
	closed bool // no new members
	left   bool // no column though values have a type: beyond the budget
	beyond bool // some integer was too long for Long

	node    *node // in the Shredder's Stats, once something was counted
	nulls   uint64
	misfits [Inexact + 1]uint32
}

// sync copies what the field says to where values look for it.
func (c *col) sync() {
	c.source, c.kind, c.typ, c.scaled = c.field.Source, c.field.Kind, c.field.Type, uint8(c.field.Scale)
	c.room = int8(c.field.Precision() - c.field.Scale)
	c.name, c.text = wordsOf(c.source), c.kind == String && c.typ == item.S
}

// nameWords is a name of at most nameWordsMax bytes as two words, so that it is compared without a call.
type nameWords struct {
	size        uint32 // larger than any name's when it is longer
	first, last uint64 // little-endian, zeros behind the end
	masks       [2]uint64
}

const nameWordsMax = 16

func wordsOf(name string) (w nameWords) {
	if len(name) > nameWordsMax {
		w.size = math.MaxUint32
		return w
	}
	var text, mask [nameWordsMax]byte
	for i := range copy(text[:], name) {
		mask[i] = 0xFF
	}
	w.size = uint32(len(name))
	w.first, w.last = binary.LittleEndian.Uint64(text[:8]), binary.LittleEndian.Uint64(text[8:])
	w.masks = [2]uint64{binary.LittleEndian.Uint64(mask[:8]), binary.LittleEndian.Uint64(mask[8:])}
	return w
}

// is tells whether the name token is this name, its bytes being in src with what lies behind them. False may mean that
// this is not the way to find out.
func (w *nameWords) is(src []byte, token *item.Token) bool {
	if token.End-token.Off != w.size || token.Flags&item.Escaped != 0 || uint(token.Off)+nameWordsMax > uint(len(src)) {
		return false
	}
	text := (*[nameWordsMax]byte)(src[token.Off:])
	return (binary.LittleEndian.Uint64(text[:8])&w.masks[0]^w.first)|
		(binary.LittleEndian.Uint64(text[8:])&w.masks[1]^w.last) == 0
}

// typed tells whether the column has a form; until its first value that is not NULL it has none.
func (c *col) typed() bool { return c.field.Kind != 0 }

// place sets up the levels of a column below parent.
func (c *col) place(parent *col) {
	c.parent, c.up, c.lists = parent, &parent.slots, parent.lists
	if parent.field.Kind == List {
		c.lists = parent
	}
	c.slots.top = parent.slots.top + 1
}

// become gives the column its form.
func (c *col) become(t item.Type, k Kind) {
	c.field.Type, c.field.Kind = t, k
	c.sync()
	if k == List {
		c.asList()
	}
	if t == item.N && c.bins == nil {
		c.bins = make([]uint32, binDigits*binScales)
	}
}

func (c *col) asList() {
	c.slots.top = c.up.top + 2
	c.level = 1
	if c.lists != nil {
		c.level = c.lists.level + 1
	}
	c.elem = &col{field: Field{Name: elementName}}
	c.elem.place(c)
}

// fill brings the column up to slot n of its holder: it is absent in all slots it has not seen.
func (c *col) fill(n int) {
	if c.done >= n {
		return
	}
	c.slots.copyFrom(c.up, c.done, n)
	if c.field.Kind == List {
		if c.lists != nil {
			c.rep = append(c.rep, c.lists.rep[c.done:n]...)
		} else {
			c.rep = append(c.rep, make([]uint8, n-c.done)...)
		}
	}
	c.done = n
}

// here makes the column ready for a value in the holder's last slot.
func (c *col) here() {
	at := c.up.n - 1
	if c.done != at {
		c.fill(at)
	}
	c.done = at + 1
}

// outer is the repetition level of the holder's last slot.
func (c *col) outer() uint8 {
	if c.lists == nil {
		return 0
	}
	return c.lists.rep[c.up.n-1]
}

// clear empties the column for the next slab, all below included.
func (c *col) clear() {
	c.slots.reset()
	c.done = 0
	c.rep = c.rep[:0]
	c.longs, c.doubles, c.bools = c.longs[:0], c.doubles[:0], c.bools[:0]
	c.bytes, c.ends = c.bytes[:0], c.ends[:0]
	c.misfits = [Inexact + 1]uint32{}
	if c.elem != nil {
		c.elem.clear()
	}
	for _, kid := range c.kids {
		kid.clear()
	}
}

// leafCount is the number of leaf columns below c, itself included.
func (c *col) leafCount() int {
	switch c.field.Kind {
	case 0:
		return 0
	case Struct:
		n := 0
		for _, kid := range c.order {
			n += kid.leafCount()
		}
		return n
	case List:
		return c.elem.leafCount()
	}
	return 1
}

// appendPath appends the JSON pointer of the value at hand in c.
func (c *col) appendPath(dst []byte) []byte {
	if c.parent == nil {
		return dst
	}
	dst = c.parent.appendPath(dst)
	if c.parent.field.Kind == List {
		return appendIndex(dst, c.parent.index)
	}
	return appendSegment(dst, c.field.Source)
}

// pattern is the JSON pointer of the column, "*" standing for elements.
func (c *col) pattern() string {
	switch {
	case c.parent == nil:
		return ""
	case c.parent.field.Kind == List:
		return c.parent.pattern() + "/*"
	}
	return string(appendSegment([]byte(c.parent.pattern()), c.field.Source))
}
