package column

import (
	"math"
	"slices"
)

// slots are the slots of a column that is being filled: the rows of a slab, one for each slot of its holder in a leaf or
// struct, the elements of a list and one where a list is empty or absent. While values come in, only what is full (in a
// list what is not) is noted, and a row costs only what it holds; spread makes levels of that once a slab.
type slots struct {
	n      int
	sparse bool // some slot is not full
	top    uint8
	at     []uint32 // of a leaf or struct that is sparse: the full slots from dense on, rising
	dense  int      // of a leaf or struct that is sparse: so many slots at the front are full
	def    []uint8  // what spread has made, in use while sparse
	lent   bool     // def is the holder's, who is where the column is not
}

// elements is what a list keeps beside its slots.
type elements struct {
	rep   []uint8 // repetition levels of the slots
	gaps  []gap   // the slots that are not full
	level uint8   // repetition level of an element that is not the first
	index int     // of the element at hand
	done  int     // slots of the holder that are done with
}

// gap is a run of n slots from slot on that stand for slots of the holder, from the from-th on, without an element.
type gap struct{ slot, from, n uint32 }

// hollowList in place of gap.from: the list is there, and empty.
const hollowList = math.MaxUint32

// loosen notes the first full slot behind a gap.
func (p *slots) loosen(at int) {
	p.sparse, p.dense = true, p.n
	p.at = append(p.at[:0], uint32(at))
}

func (p *slots) reset() {
	p.n, p.sparse, p.dense = 0, false, 0
	p.at = p.at[:0]
	if p.def = p.def[:0]; p.lent {
		p.def, p.lent = nil, false
	}
}

// here makes a leaf or struct ready for a value in the holder's last slot.
func (c *col) here() {
	at := c.up.n - 1
	switch {
	case c.slots.sparse:
		c.slots.at = append(c.slots.at, uint32(at))
	case c.slots.n != at:
		c.slots.loosen(at)
	}
	c.slots.n = at + 1
}

// begin makes a list ready for one in the holder's last slot.
func (c *col) begin() {
	if at := c.up.n - 1; c.list.done != at {
		c.skip(at)
	}
	c.list.done = c.up.n
}

// skip brings a list up to slot n of its holder: it is absent in all slots it has not seen.
func (c *col) skip(n int) {
	l := c.list
	if c.lists != nil {
		l.rep = append(l.rep, c.lists.list.rep[l.done:n]...)
	} else {
		l.rep = append(l.rep, make([]uint8, n-l.done)...)
	}
	c.leave(l.done, n-l.done)
	l.done = n
}

// leave appends n slots without an element to a list's.
func (c *col) leave(from, n int) {
	c.list.gaps = append(c.list.gaps, gap{uint32(c.slots.n), uint32(from), uint32(n)})
	c.slots.n += n
	c.slots.sparse = true
}

// spread brings the column up to its holder's end and makes its levels; the holder's must be made already.
func (c *col) spread() {
	p := &c.slots
	if c.field.Kind == List {
		if c.list.done < c.up.n {
			c.skip(c.up.n)
		}
		if p.sparse {
			p.spreadList(c.up, c.list.gaps)
		}
		return
	}
	if !p.sparse && p.n < c.up.n {
		p.sparse, p.dense = true, p.n
	}
	p.n = c.up.n
	if !p.sparse {
		return
	}
	if p.dense == 0 && len(p.at) == 0 {
		p.def, p.lent = c.up.all(), true
		return
	}
	p.def = grow(p.def[:0], p.n)
	c.up.levels(p.def, 0)
	paint(p.def[:p.dense], p.top)
	for _, i := range p.at {
		p.def[i] = p.top
	}
}

func (p *slots) spreadList(up *slots, gaps []gap) {
	p.def = grow(p.def[:0], p.n)
	paint(p.def, p.top)
	for _, g := range gaps {
		if g.from == hollowList {
			p.def[g.slot] = p.top - 1
		} else {
			up.levels(p.def[g.slot:g.slot+g.n], int(g.from))
		}
	}
}

// levels copies the levels of the slots from the from-th on.
func (p *slots) levels(dst []uint8, from int) {
	if p.sparse {
		copy(dst, p.def[from:])
	} else {
		paint(dst, p.top)
	}
}

// all returns the levels of all slots, made once a slab: most of a wide schema's columns are absent from it.
func (p *slots) all() []uint8 {
	if len(p.def) < p.n {
		p.def = grow(p.def[:0], p.n)
		paint(p.def, p.top)
	}
	return p.def
}

// paint fills b.
func paint(b []uint8, level uint8) {
	if len(b) == 0 {
		return
	}
	b[0] = level
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

// grow returns b with length n, contents beyond its old length unspecified.
func grow(b []uint8, n int) []uint8 {
	return slices.Grow(b, n-len(b))[:n]
}
