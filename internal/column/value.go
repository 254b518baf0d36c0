package column

import (
	"bytes"
	"cmp"
	"slices"

	"dynaferry/internal/item"
)

// value appends the value at index i to column c, at the holder's last slot.
func (s *Shredder) value(c *col, it item.Item, i int) {
	token := &it.Tape[i]
	if token.Type != c.typ || token.Type == 0 {
		s.other(c, it, i)
		return
	}
	switch c.kind {
	case String:
		if token.Type == item.N {
			s.countNumber(c, shapeOf(s.normal(it, i)), 1)
			c.here()
			c.bytes = it.AppendNumber(c.bytes, i)
		} else {
			c.count++
			c.here()
			if token.Flags&item.Escaped == 0 {
				c.bytes = appendShort(c.bytes, it.Src, int(token.Off), int(token.End))
			} else {
				c.bytes = it.AppendText(c.bytes, i)
			}
		}
		c.ends = append(c.ends, uint32(len(c.bytes)))
	case Long, Decimal18, Decimal38:
		s.number(c, it, i)
	case Struct:
		c.count++
		c.here()
		s.members(c, it, i)
	case List:
		c.count++
		s.list(c, it, i)
	case Bool:
		c.count++
		c.here()
		c.bools = append(c.bools, token.Flags&item.True != 0)
	case Binary:
		c.count++
		c.here()
		c.bytes = it.Bytes(i, c.bytes)
		c.ends = append(c.ends, uint32(len(c.bytes)))
	case JSON:
		s.json(c, it, i)
	default:
		s.wished(c, it, i)
	}
}

// shortBytes is what one unconditional copy moves.
const shortBytes = 32

// appendShort appends src[from:to]. Most texts are short; those are copied as one block of fixed size, which needs no
// call: the bytes behind the text are src's slack or the next text, and are overwritten by the next value.
func appendShort(dst, src []byte, from, to int) []byte {
	n := len(dst)
	if to-from <= shortBytes && n+shortBytes <= cap(dst) && from+shortBytes <= cap(src) {
		*(*[shortBytes]byte)(dst[n : n+shortBytes]) = *(*[shortBytes]byte)(src[from : from+shortBytes])
		return dst[:n+to-from]
	}
	return append(dst, src[from:to]...)
}

// other handles a value whose type is not its column's.
func (s *Shredder) other(c *col, it item.Item, i int) {
	t := it.Tape[i].Type
	switch {
	case c.field.Kind == JSON && c.field.Type == 0:
		s.json(c, it, i)
	case t == item.NULL:
		c.nulls++
		s.misfit(c, Null, it, i)
	case c.typed():
		s.observe(c, it, i)
		s.misfit(c, Conflict, it, i)
	case !c.left && s.form(c, it, i):
		s.value(c, it, i)
	default:
		c.left, c.parent.field.Spilled = true, true
		s.observe(c, it, i)
		s.misfit(c, Capped, it, i)
	}
}

// form gives a column the form of its first value; false when there are too many columns. The first leaf of a container
// always has room, since a container without leaves cannot be.
func (s *Shredder) form(c *col, it item.Item, i int) bool {
	room := s.leaves < s.limit && !s.full
	if !room && (c.parent == s.root || c.parent.leafCount() > 0) {
		return false
	}
	t := it.Tape[i].Type
	kind := kindOf(t)
	if kind == JSON && !hollow(it, i) && !s.collapsed(c) {
		kind = Struct
		if t == item.L {
			kind = List
		}
	}
	c.become(t, kind)
	if c.parent.field.Kind != List {
		c.field.Name = c.parent.names.give(c.field.Source)
		c.parent.order = append(c.parent.order, c)
	} else {
		c.id = s.nextID
		s.nextID++
	}
	switch {
	case t.IsSet():
		c.elem.become(t.Member(), kindOf(t.Member()))
		c.elem.id = s.nextID
		s.nextID++
		s.leaves++
	case kind != Struct && kind != List:
		s.leaves++
	}
	return true
}

// hollow tells whether a map or list holds nothing but NULLs: nothing that a column could be made of.
func hollow(it item.Item, i int) bool {
	step := 0
	if it.Tape[i].Type == item.M {
		step = 1
	}
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += step + int(it.Tape[at+step].Skip) {
		if it.Tape[at+step].Type != item.NULL {
			return false
		}
	}
	return true
}

// json appends the canonical text of a whole value. A column that is JSON only because its maps or lists were hollow so
// far puts the first others aside; the end of the slab makes it a struct or list.
func (s *Shredder) json(c *col, it item.Item, i int) {
	if s.stats != nil {
		s.observe(c, it, i)
		if t := it.Tape[i].Type; !c.fixed && !hollow(it, i) && (t == item.M || t == item.L) && !s.collapsed(c) {
			s.misfit(c, Conflict, it, i)
			return
		}
	}
	c.here()
	c.bytes = item.AppendCanonicalValue(c.bytes, it, i)
	c.ends = append(c.ends, uint32(len(c.bytes)))
}

// list appends a list or set.
func (s *Shredder) list(c *col, it item.Item, i int) {
	c.begin()
	rep := c.outer()
	end := i + int(it.Tape[i].Skip)
	if i+1 == end {
		c.list.rep = append(c.list.rep, rep)
		c.leave(hollowList, 1)
		return
	}
	if it.Tape[i].Type != item.L && !s.inOrder(it, i) {
		s.unordered(c, it, i, rep)
		return
	}
	elem := c.elem
	c.list.index = 0
	for at := i + 1; at < end; at += int(it.Tape[at].Skip) {
		c.list.rep = append(c.list.rep, rep)
		c.slots.n++
		s.value(elem, it, at)
		rep = c.list.level
		c.list.index++
	}
}

// unordered appends the members of a set in canonical order, so that equal sets are equal columns.
func (s *Shredder) unordered(c *col, it item.Item, i int, rep uint8) {
	s.order = s.order[:0]
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at++ {
		s.order = append(s.order, at)
	}
	if len(s.order) == 2 { // out of order, or they would not be here
		s.order[0], s.order[1] = s.order[1], s.order[0]
	} else {
		slices.SortFunc(s.order, func(a, b int) int { return compareSet(it, a, b) })
	}
	for k, at := range s.order {
		c.list.index = k
		c.list.rep = append(c.list.rep, rep)
		c.slots.n++
		s.value(c.elem, it, at)
		rep = c.list.level
	}
}

// inOrder tells whether a set's members rise.
func (s *Shredder) inOrder(it item.Item, i int) bool {
	for at, end := i+2, i+int(it.Tape[i].Skip); at < end; at++ {
		if compareSet(it, at-1, at) > 0 {
			return false
		}
	}
	return true
}

func compareSet(it item.Item, a, b int) int {
	x, y := &it.Tape[a], &it.Tape[b]
	if x.Type == item.S && (x.Flags|y.Flags)&item.Escaped == 0 {
		return bytes.Compare(it.Src[x.Off:x.End], it.Src[y.Off:y.End])
	}
	switch x.Type {
	case item.N:
		if v, ok := smallOf(it, a); ok {
			if w, ok := smallOf(it, b); ok && v.scale == w.scale {
				return cmp.Compare(v.mantissa, w.mantissa)
			}
		}
		return it.Decimal(a).Compare(it.Decimal(b))
	case item.B:
		return bytes.Compare(it.Bytes(a, nil), it.Bytes(b, nil))
	}
	return bytes.Compare(it.Text(a), it.Text(b))
}
