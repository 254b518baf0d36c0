package column

import (
	"cmp"
	"slices"
	"strings"
)

// Slab hands over the rows since the last one, nil when there are none. Without a fixed schema it settles the columns'
// forms by the Stats so far. The Slab is valid until the next Append.
func (s *Shredder) Slab() *Slab {
	if s.lent || s.root.slots.n == 0 {
		return nil
	}
	if s.stats != nil {
		s.flush(s.root)
	}
	out := s.gathered()
	s.lent = true
	if s.opts.Schema != nil || s.full {
		return out
	}
	settled := s.stats.Schema(s.opts.SchemaOptions)
	s.full = settledCapped(s.stats, settled, s.opts)
	if sameFields(out.Schema.Fields, settled.Fields) {
		s.limit = s.opts.LeavesMax
		return out
	}
	target := s.settle(out.Schema, settled)
	reshaped, err := Reshape(out, target)
	if err != nil {
		// Cannot happen to what this Shredder gathered; if it does, the slab as gathered is exact as well.
		return out
	}
	s.build(target)
	s.limit = s.opts.LeavesMax
	return reshaped
}

// settledCapped tells whether LeavesMax cut the schema.
func settledCapped(stats *Stats, settled *Schema, o ShredOptions) bool {
	n := 0
	for _, f := range settled.Fields {
		n += countLeaves(f)
	}
	return n >= o.LeavesMax && len(stats.Unknown(settled, 1)) > 0
}

// gathered makes a slab of the columns as they are. It shares their memory.
func (s *Shredder) gathered() *Slab {
	out := &Slab{Rows: s.root.slots.n, Schema: s.shape()}
	leaves := out.Schema.Leaves()
	for _, c := range s.root.order {
		out.Vectors = c.appendVectors(out.Vectors, leaves)
	}
	if s.schema.Extra != "" {
		out.Vectors = append(out.Vectors, s.extra.vector(s.schema.Extra, out.Rows))
		out.Vectors[len(leaves)-1].Leaf = leaves[len(leaves)-1]
	}
	out.Misfits = s.root.appendMisfits(nil)
	slices.SortFunc(out.Misfits, func(a, b Misfit) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return cmp.Compare(a.Reason, b.Reason)
	})
	return out
}

// shape is the schema of the columns as they are; the last one itself while nothing changed.
func (s *Shredder) shape() *Schema {
	if s.opts.Schema != nil {
		return s.schema
	}
	now := &Schema{Extra: s.schema.Extra, Spilled: s.root.field.Spilled, Fields: fieldsOf(s.root)}
	if !identical(now, s.schema) {
		s.schema = now
	}
	return s.schema
}

func fieldsOf(c *col) []*Field {
	var fields []*Field
	for _, kid := range c.order {
		fields = append(fields, kid.asField())
	}
	return fields
}

func (c *col) asField() *Field {
	f := c.field
	f.ID = c.id
	switch f.Kind {
	case Struct:
		f.Fields = fieldsOf(c)
	case List:
		f.Elem = c.elem.asField()
	}
	return &f
}

// identical tells whether two schemas are equal in everything.
func identical(a, b *Schema) bool {
	return a.Extra == b.Extra && a.Spilled == b.Spilled && slices.EqualFunc(a.Fields, b.Fields, identicalField)
}

func identicalField(a, b *Field) bool {
	if (a.Elem == nil) != (b.Elem == nil) || a.Elem != nil && !identicalField(a.Elem, b.Elem) {
		return false
	}
	return a.Name == b.Name && a.Source == b.Source && a.Kind == b.Kind && a.Scale == b.Scale && a.Digits == b.Digits &&
		a.Type == b.Type && a.Format == b.Format && a.ID == b.ID && a.Spilled == b.Spilled &&
		slices.EqualFunc(a.Fields, b.Fields, identicalField)
}

// appendVectors appends the vectors of c's leaves; leaves are those of the whole schema, in the same order.
func (c *col) appendVectors(out []Vector, leaves []Leaf) []Vector {
	c.spread()
	switch c.field.Kind {
	case Struct:
		for _, kid := range c.order {
			out = kid.appendVectors(out, leaves)
		}
		return out
	case List:
		return c.elem.appendVectors(out, leaves)
	}
	v := Vector{Leaf: leaves[len(out)], Slots: c.slots.n, Longs: c.longs, Doubles: c.doubles, Bools: c.bools,
		Bytes: c.bytes, Ends: c.ends}
	if c.slots.sparse {
		v.Def = c.slots.def
	}
	if c.lists != nil {
		v.Rep = c.lists.list.rep
	}
	return append(out, v)
}

// appendMisfits appends the counts of c and all below. What has no column counts with its holder.
func (c *col) appendMisfits(out []Misfit) []Misfit {
	counts := c.misfits
	for _, kid := range c.kids {
		if kid.typed() {
			out = kid.appendMisfits(out)
			continue
		}
		for reason, n := range kid.misfits {
			counts[reason] += n
		}
	}
	if c.elem != nil {
		out = c.elem.appendMisfits(out)
	}
	for reason, n := range counts {
		if n > 0 {
			out = append(out, Misfit{c.pattern(), Reason(reason), uint64(n)})
		}
	}
	return out
}

// settle gives the settled form to the working schema: names, IDs and order of what is there already stay.
func (s *Shredder) settle(work, settled *Schema) *Schema {
	out := &Schema{Extra: work.Extra, Spilled: work.Spilled || settled.Spilled}
	out.Fields = s.settleFields(work.Fields, settled.Fields, append([]string{work.Extra}, s.opts.Reserved...))
	return out
}

func (s *Shredder) settleFields(work, settled []*Field, reserved []string) []*Field {
	var out, fresh []*Field
	names := newNamer(reserved...)
	bySettled := bySource(settled)
	byWork := bySource(work)
	for _, w := range work {
		if f := bySettled[w.Source]; f != nil {
			f = s.settleField(w, f)
			names.take(f.Name)
			out = append(out, f)
		}
	}
	for _, f := range settled {
		if byWork[f.Source] == nil {
			f = s.settleField(nil, f)
			f.Name = ""
			fresh = append(fresh, f)
		}
	}
	nameFields(fresh, names)
	return append(out, fresh...)
}

// settleField copies f with the name and ID of its working column w, nil when it is new.
func (s *Shredder) settleField(w, f *Field) *Field {
	out := *f
	if w != nil {
		out.Name, out.ID = w.Name, w.ID
		out.Spilled = out.Spilled || w.Spilled
	} else {
		w = &Field{}
		out.ID = s.nextID
		s.nextID++
	}
	if f.Elem != nil {
		out.Elem = s.settleField(w.Elem, f.Elem)
	}
	if f.Fields != nil {
		out.Fields = s.settleFields(w.Fields, f.Fields, nil)
	}
	return &out
}
