package column

import (
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Reshape returns the rows of a slab as a Shredder with the fixed schema to would have made them of the same items:
// leaves converted along the number ladder, missing ones added, and values moved between columns and Extra where they
// change place. The result may share memory with s. Errors are of kind Corrupt: s is not what a Shredder makes.
func Reshape(s *Slab, to *Schema) (*Slab, error) {
	if Compare(s.Schema, to) != Rebuild {
		if out, ok := refit(s, to); ok {
			return out, nil
		}
	}
	var batch item.Batch
	work := NewShredder(ShredOptions{Schema: to})
	assembler := NewAssembler(s.Schema)
	if err := assembler.Items(s, &batch); err != nil {
		return nil, err
	}
	for i := range batch.Len() {
		if err := work.Append(batch.Item(i)); err != nil {
			return nil, err
		}
	}
	out := work.Slab()
	if out == nil {
		out = work.gathered()
	}
	if out.Rows != s.Rows {
		return nil, fault.New(fault.Bug, "reshape rows: %d became %d", s.Rows, out.Rows)
	}
	return out, nil
}

// refit converts leaf by leaf; ok is false when some value has no exact place. The values in Extra stay what they are,
// so their counts do too.
func refit(s *Slab, to *Schema) (*Slab, bool) {
	out := &Slab{Rows: s.Rows, Schema: to, Misfits: s.Misfits}
	r := refitter{from: s, out: out, leaves: to.Leaves()}
	first := map[*Field]int{}
	n := 0
	for _, f := range s.Schema.Fields {
		n = firstLeaves(first, f, n)
	}
	r.first = first
	if !r.members(s.Schema.Fields, to.Fields, levels{}, nil) {
		return nil, false
	}
	if to.Extra == "" {
		return out, s.Schema.Extra == ""
	}
	extra := s.Vectors[len(s.Vectors)-1]
	extra.Leaf = r.leaves[len(r.leaves)-1]
	out.Vectors = append(out.Vectors, extra)
	return out, true
}

// firstLeaves notes the index of the first leaf of f and all fields below, counting from n.
func firstLeaves(first map[*Field]int, f *Field, n int) int {
	first[f] = n
	switch f.Kind {
	case Struct:
		for _, member := range f.Fields {
			n = firstLeaves(first, member, n)
		}
		return n
	case List:
		return firstLeaves(first, f.Elem, n)
	}
	return n + 1
}

type refitter struct {
	from   *Slab
	out    *Slab
	leaves []Leaf
	first  map[*Field]int
}

// members appends the vectors of the fields to, of which from are there. at are the levels of the holder, and sibling
// is a vector below the same holder, nil at the top level.
func (r *refitter) members(from, to []*Field, at levels, sibling *Vector) bool {
	have := bySource(from)
	for _, g := range to {
		if !r.field(have[g.Source], g, at, sibling) {
			return false
		}
	}
	return true
}

func (r *refitter) field(f, g *Field, at levels, sibling *Vector) bool {
	if f == nil {
		for range countLeaves(g) {
			r.null(at, sibling)
		}
		return true
	}
	vector := &r.from.Vectors[r.first[f]]
	at.def++
	switch g.Kind {
	case Struct:
		return r.members(f.Fields, g.Fields, at, vector)
	case List:
		return r.field(f.Elem, g.Elem, levels{at.def + 1, at.rep + 1}, vector)
	}
	v, ok := Convert(vector, r.leaves[len(r.out.Vectors)])
	if ok {
		r.out.Vectors = append(r.out.Vectors, *v)
	}
	return ok
}

// null appends a leaf of nulls below a holder with levels at: it has the holder's slots, which a sibling tells.
func (r *refitter) null(at levels, sibling *Vector) {
	v := Vector{Leaf: r.leaves[len(r.out.Vectors)]}
	if sibling == nil {
		v.Slots = r.from.Rows
		v.Def = make([]uint8, v.Slots)
	} else {
		for i := range sibling.Slots {
			rep, def := uint8(0), sibling.Leaf.MaxDef
			if sibling.Rep != nil {
				rep = sibling.Rep[i]
			}
			if sibling.Def != nil {
				def = sibling.Def[i]
			}
			if rep <= at.rep {
				v.Rep = append(v.Rep, rep)
				v.Def = append(v.Def, min(def, at.def))
			}
		}
		v.Slots = len(v.Def)
	}
	if v.Leaf.MaxRep == 0 {
		v.Rep = nil
	} else if v.Rep == nil {
		v.Rep = make([]uint8, v.Slots)
	}
	r.out.Vectors = append(r.out.Vectors, v)
}
