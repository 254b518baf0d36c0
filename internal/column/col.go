package column

import (
	"encoding/binary"
	"math"

	"dynaferry/internal/item"
)

// Small numbers are counted in a table by shape; whatever is not small goes to the node straight.
const (
	binDigits = longDigits + 1
	binScales = 10
)

// col is a column, or a member of one, that is being filled.
//
// What every value touches stands first, in as few cache lines as can be: where items of several kinds lie side by side,
// more columns are at work than the first-level cache holds with all they append to.
type col struct {
	name   nameWords // of source
	text   bool      // a String that holds S
	kind   Kind      // field.Kind
	typ    item.Type // field.Type
	scaled uint8     // field.Scale
	room   int8      // digits in front of the point that the rung has room for
	next   *col      // the member that stood behind this one
	count  uint64
	up     *slots // of the holder, whose repetition levels a leaf or struct shares
	slots  slots  // own ones
	bytes  []byte
	ends   []uint32

	longs  []int64
	bins   []uint32 // by digits*binScales+scale
	source string   // field.Source
	digits int      // the ladder: most digits in front of the point and behind it so far
	scale  int

	lists *col      // the nearest list above, nil at the top
	list  *elements // of a list
	elem  *col      // of a list
	first *col      // the member that stood first in the last map

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
}

// nameMasks keep as many bytes of two words as a name has; it is longer than need be so that its index is a mask away.
var nameMasks = func() (masks [2 * nameWordsMax][2]uint64) {
	for size := range nameWordsMax + 1 {
		masks[size] = [2]uint64{1<<(8*size) - 1, 1<<max(8*size-64, 0) - 1}
	}
	return masks
}()

const nameWordsMax = 16

func wordsOf(name string) (w nameWords) {
	if len(name) > nameWordsMax {
		w.size = math.MaxUint32
		return w
	}
	var text [nameWordsMax]byte
	w.size = uint32(copy(text[:], name))
	w.first, w.last = binary.LittleEndian.Uint64(text[:8]), binary.LittleEndian.Uint64(text[8:])
	return w
}

// is tells whether the name token is this name, its bytes being in src with what lies behind them. False may mean that
// this is not the way to find out.
func (w *nameWords) is(src []byte, token *item.Token) bool {
	if token.End-token.Off != w.size || token.Flags&item.Escaped != 0 || uint(token.Off)+nameWordsMax > uint(len(src)) {
		return false
	}
	text, masks := (*[nameWordsMax]byte)(src[token.Off:]), &nameMasks[w.size%(2*nameWordsMax)]
	return (binary.LittleEndian.Uint64(text[:8])&masks[0]^w.first)|
		(binary.LittleEndian.Uint64(text[8:])&masks[1]^w.last) == 0
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
	c.list = &elements{level: 1}
	if c.lists != nil {
		c.list.level = c.lists.list.level + 1
	}
	c.elem = &col{field: Field{Name: elementName}}
	c.elem.place(c)
}

// outer is the repetition level of the holder's last slot.
func (c *col) outer() uint8 {
	if c.lists == nil {
		return 0
	}
	return c.lists.list.rep[c.up.n-1]
}

// clear empties the column for the next slab, all below included.
func (c *col) clear() {
	c.slots.reset()
	if c.list != nil {
		c.list.rep, c.list.gaps, c.list.done = c.list.rep[:0], c.list.gaps[:0], 0
	}
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
		return appendIndex(dst, c.parent.list.index)
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
