package column

import (
	"slices"
	"strings"

	"dynaferry/internal/item"
)

// elementName is the name of a list's element, fixed by Parquet's LIST.
const elementName = "element"

// Schema returns the shape that the observed items have under the given wishes. It is a pure function of both.
//
// The type of a path is the one that most of its values have (NULLs apart; of several the first in DynamoDB's order);
// numbers take the narrowest rung of the ladder that holds all of them, or the one that holds most. Of more than
// LeavesMax leaves those with most values stay, of equals the first by name. Columns of Base stand first and stay
// as they are, then those of Pinned, then Keys, then the rest by name.
func (s *Stats) Schema(o SchemaOptions) *Schema {
	s.trim()
	in := inference{stats: s, evolve: o.Base == nil || o.OnNew == Evolve}
	out := &Schema{Extra: ExtraName}
	if o.Base != nil && o.Base.Extra != "" {
		out.Extra = o.Base.Extra
	}
	out.Fields = given(o)
	budget := o.LeavesMax
	if budget <= 0 {
		budget = LeavesMax
	}
	for _, f := range out.Fields {
		budget -= countLeaves(f)
	}
	in.cut(out, max(budget, 0))
	out.Fields, out.Spilled = in.members(out.Fields, &s.top, o.Keys)
	out.Spilled = out.Spilled || s.over
	nameTree(out, o.Reserved)
	numberFields(out)
	return out
}

// given returns copies of the columns that the options fix, Base's first.
func given(o SchemaOptions) []*Field {
	var fields []*Field
	if o.Base != nil {
		fields = copyFields(o.Base.Fields)
		for _, f := range fields {
			clearSpilled(f)
		}
	}
	if o.Pinned == nil {
		return fields
	}
	for _, f := range o.Pinned.Fields {
		if findField(fields, f.Source) != nil {
			continue
		}
		f = copyField(f)
		clearSpilled(f)
		unnumber(f)
		if o.reserves(f.Name) || o.Base != nil && slices.ContainsFunc(fields, func(g *Field) bool { return foldName(g.Name) == foldName(f.Name) }) {
			f.Name = ""
		}
		fields = append(fields, f)
	}
	return fields
}

// reserves tells whether a top-level column may not have the name.
func (o *SchemaOptions) reserves(name string) bool {
	same := func(other string) bool { return foldName(other) == foldName(name) }
	return same(ExtraName) || slices.ContainsFunc(o.Reserved, same)
}

func clearSpilled(f *Field) {
	eachField(f, func(f *Field) { f.Spilled = false })
}

// unnumber marks the fields for numbering behind those of the existing data set.
func unnumber(f *Field) { eachField(f, func(f *Field) { f.ID = idOpen }) }

// eachField calls fn for f and all fields below it, holders first.
func eachField(f *Field, fn func(*Field)) {
	fn(f)
	if f.Elem != nil {
		eachField(f.Elem, fn)
	}
	for _, member := range f.Fields {
		eachField(member, fn)
	}
}

func copyField(f *Field) *Field {
	out := *f
	if f.Elem != nil {
		out.Elem = copyField(f.Elem)
	}
	out.Fields = copyFields(f.Fields)
	return &out
}

func copyFields(fields []*Field) []*Field {
	if fields == nil {
		return nil
	}
	out := make([]*Field, len(fields))
	for i, f := range fields {
		out[i] = copyField(f)
	}
	return out
}

func findField(fields []*Field, source string) *Field {
	for _, f := range fields {
		if f.Source == source {
			return f
		}
	}
	return nil
}

// inference builds fields from nodes. Which leaves come in is decided by count first (cut), so that building needs no
// memory for those that do not: with a million names that matters.
type inference struct {
	stats  *Stats
	evolve bool // attributes without a given column get one
	all    bool // every leaf comes in
	least  uint64
	ties   int // how many leaves with exactly least values come in, in order of their names
}

// admit tells whether the next leaf comes in; leaves are asked for in the order of their names.
func (in *inference) admit(count uint64) bool {
	if in.all || count > in.least {
		return true
	}
	if count == in.least && in.ties > 0 {
		in.ties--
		return true
	}
	return false
}

// cut finds the threshold that lets budget leaves in.
func (in *inference) cut(s *Schema, budget int) {
	if !in.evolve {
		in.all = true
		return
	}
	var counts []uint64
	in.visitMembers(s.Fields, &in.stats.top, func(n uint64) { counts = append(counts, n) })
	if len(counts) <= budget {
		in.all = true
		return
	}
	slices.Sort(counts)
	if budget == 0 {
		in.least = counts[len(counts)-1]
		return
	}
	counts = counts[len(counts)-budget:]
	in.least = counts[0]
	for _, c := range counts {
		if c == in.least {
			in.ties++
		}
	}
}

// visitMembers calls fn with the count of each leaf that members would add beside the given fields.
func (in *inference) visitMembers(fields []*Field, k *kids, fn func(uint64)) {
	given := bySource(fields)
	if k == nil {
		return
	}
	for _, n := range k.table {
		switch {
		case n == nil:
		case given[n.name] != nil:
			in.visitGiven(given[n.name], n, fn)
		default:
			visitNode(n, fn)
		}
	}
}

func (in *inference) visitGiven(f *Field, n *node, fn func(uint64)) {
	if n.more == nil {
		return
	}
	switch {
	case f.Kind == Struct:
		in.visitMembers(f.Fields, n.more.kids, fn)
	case f.Kind == List && f.Type == item.L && n.more.elem != nil:
		in.visitGiven(f.Elem, n.more.elem, fn)
	}
}

// visitNode calls fn with the count of each leaf below n.
func visitNode(n *node, fn func(uint64)) {
	t := n.majority()
	if t == 0 {
		return
	}
	switch {
	case t == item.M && n.more.fielded():
		for _, kid := range n.more.kids.table {
			if kid != nil {
				visitNode(kid, fn)
			}
		}
	case t == item.L && n.more.elemental():
		visitNode(n.more.elem, fn)
	default:
		fn(n.countOf(t))
	}
}

// fielded tells whether a map has members that can be columns; Parquet knows no struct without fields.
func (m *more) fielded() bool {
	return m.kids != nil && slices.ContainsFunc(m.kids.table, func(n *node) bool { return n != nil && n.majority() != 0 })
}

// elemental tells whether a list has elements of a type.
func (m *more) elemental() bool { return m.elem != nil && m.elem.majority() != 0 }

func bySource(fields []*Field) map[string]*Field {
	m := make(map[string]*Field, len(fields))
	for _, f := range fields {
		m[f.Source] = f
	}
	return m
}

// members completes the given fields by what the nodes know and appends new ones: keys first, then by name.
func (in *inference) members(fields []*Field, k *kids, keys []string) (_ []*Field, spilled bool) {
	if k == nil {
		return fields, false
	}
	given := bySource(fields)
	var fresh []*Field
	for _, n := range k.sorted() {
		if f := given[n.name]; f != nil {
			in.complete(f, n)
			continue
		}
		if n.majority() == 0 {
			continue
		}
		f := (*Field)(nil)
		if in.evolve {
			f = in.field(n)
		}
		if f == nil {
			spilled = true
			continue
		}
		fresh = append(fresh, f)
	}
	slices.SortStableFunc(fresh, func(a, b *Field) int { return keyRank(keys, a.Source) - keyRank(keys, b.Source) })
	return append(fields, fresh...), spilled
}

func keyRank(keys []string, source string) int {
	if i := slices.Index(keys, source); i >= 0 {
		return i
	}
	return len(keys)
}

// complete adds to a given field what its members turn out to be, and learns whether something spills.
func (in *inference) complete(f *Field, n *node) {
	m := n.more
	switch {
	case f.Kind == Struct && m != nil && m.collapsed:
		f.Spilled = true // the members' names are data and no longer known
	case f.Kind == Struct && m != nil:
		f.Fields, f.Spilled = in.members(f.Fields, m.kids, nil)
	case f.Kind == List && f.Type == item.L && m != nil && m.elem != nil:
		in.complete(f.Elem, m.elem)
	case f.Kind == List && f.Type == item.NS && m != nil:
		f.Elem.Spilled = spills(f.Elem, m.members)
	case f.Type == item.N:
		f.Spilled = spills(f, n.numbers())
	}
}

func spills(f *Field, h histogram) bool {
	switch f.Kind {
	case Long, Decimal18, Decimal38:
		return h.held(rungOf(f)) < h.total()
	}
	return false
}

// field returns the column of a node that has a type, nil when it is left out.
func (in *inference) field(n *node) *Field {
	t := n.majority()
	f := &Field{Source: n.name, Type: t, Kind: kindOf(t), ID: idOpen}
	switch {
	case t == item.M && n.more.fielded():
		f.Kind = Struct
		f.Fields, f.Spilled = in.members(nil, n.more.kids, nil)
		if len(f.Fields) == 0 {
			return nil
		}
		return f
	case t == item.L && n.more.elemental():
		f.Kind = List
		if f.Elem = in.field(n.more.elem); f.Elem == nil {
			return nil
		}
		f.Elem.Name = elementName
		return f
	}
	if !in.admit(n.countOf(t)) {
		return nil
	}
	switch t {
	case item.N:
		numberField(f, n.numbers())
	case item.SS, item.BS, item.NS:
		f.Elem = &Field{Name: elementName, Type: t.Member(), Kind: kindOf(t.Member()), ID: idOpen}
		if t == item.NS {
			numberField(f.Elem, n.more.members)
		}
	}
	return f
}

func numberField(f *Field, h histogram) {
	r := h.rung()
	f.Kind, f.Scale = r.kind, r.scale
	f.Spilled = spills(f, h)
}

// kindOf is the kind of a type's column as long as nothing else is known: JSON for maps and lists.
func kindOf(t item.Type) Kind {
	switch t {
	case item.S:
		return String
	case item.N:
		return Long
	case item.B:
		return Binary
	case item.BOOL:
		return Bool
	case item.SS, item.NS, item.BS:
		return List
	}
	return JSON
}

// nameTree names what has no name yet, level by level.
func nameTree(s *Schema, reserved []string) {
	n := newNamer(s.Extra)
	for _, name := range reserved {
		n.take(name)
	}
	nameFields(s.Fields, n)
	for _, top := range s.Fields {
		eachField(top, func(f *Field) {
			if f.Kind == Struct {
				nameFields(f.Fields, newNamer())
			}
		})
	}
}

// idOpen marks a field that still needs its ID; IDs count from 0.
const idOpen = -1

// numberFields gives the new fields the IDs behind the greatest given one, in order of the schema.
func numberFields(s *Schema) {
	next := 0
	for _, top := range s.Fields {
		eachField(top, func(f *Field) { next = max(next, f.ID+1) })
	}
	for _, top := range s.Fields {
		eachField(top, func(f *Field) {
			if f.ID == idOpen {
				f.ID = next
				next++
			}
		})
	}
}

// Unknown lists up to limit paths (JSON pointers) that hold values but have no column in schema, sorted by name: what
// OnNew Fail refuses.
func (s *Stats) Unknown(schema *Schema, limit int) []string {
	s.trim()
	u := unknown{limit: limit}
	u.members("", schema.Fields, &s.top)
	return u.paths
}

type unknown struct {
	paths []string
	limit int
}

func (u *unknown) members(path string, fields []*Field, k *kids) {
	if k == nil {
		return
	}
	given := bySource(fields)
	for _, n := range k.sorted() {
		at := path + string(appendSegment(nil, n.name))
		switch f := given[n.name]; {
		case len(u.paths) >= u.limit:
			return
		case f != nil:
			u.below(at, f, n)
		case n.majority() != 0:
			u.paths = append(u.paths, strings.Clone(at))
		}
	}
}

func (u *unknown) below(at string, f *Field, n *node) {
	if n.more == nil {
		return
	}
	switch {
	case f.Kind == Struct:
		u.members(at, f.Fields, n.more.kids)
	case f.Kind == List && f.Type == item.L && n.more.elem != nil:
		u.below(at+"/*", f.Elem, n.more.elem)
	}
}
