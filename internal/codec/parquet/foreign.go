package parquet

import (
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/codec"
	"dynaferry/internal/column"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// foreign turns rows of files that others wrote into items, by the rules of docs/formats/parquet.md.
type foreign struct {
	root  *part
	nulls bool

	// of the slab under work
	vectors []column.Vector
	slot    []int // next slot, by leaf
	value   []int // next value, by leaf
	w       *item.Builder
	cell    []byte
	fault   error // first value of the row that cannot be one of an item
	bad     bool  // the columns disagree about the row's shape
}

// form is what a part of the schema becomes.
type form uint8

const (
	scalarForm form = iota
	structForm
	listForm
	mapForm
)

// part is a node of the schema in terms of items.
type part struct {
	form     form
	name     string
	path     string // as a person writes it: orders.price
	node     *node  // there when the definition level reaches node.maxDef
	repeated *node  // list and map: the repeated node
	parts    []*part
	set      item.Type // list: the set it becomes, or 0
	want     string    // of ReadOptions.Types
	scalar   scalar
}

func newForeign(root *node, o *ReadOptions) (*foreign, error) {
	b := partBuilder{o: o, used: map[string]bool{}}
	f := &foreign{root: &part{form: structForm, node: root}, nulls: o.Nulls}
	f.root.parts = b.members(root, "")
	if b.err != nil {
		return nil, b.err
	}
	for path := range o.Types {
		if !b.used[path] {
			return nil, fault.New(fault.User, "types name the column %q, which the file does not have", path)
		}
	}
	f.slot, f.value = make([]int, root.leaves), make([]int, root.leaves)
	return f, nil
}

type partBuilder struct {
	o    *ReadOptions
	used map[string]bool
	err  error
}

func (b *partBuilder) members(n *node, path string) []*part {
	var parts []*part
	seen := map[string]bool{}
	for _, child := range n.children {
		if seen[child.name] && b.err == nil {
			b.err = fault.New(fault.Unsupported, "file has two columns called %q", strings.TrimPrefix(path+"."+child.name, "."))
		}
		seen[child.name] = true
		p := b.part(child, strings.TrimPrefix(path+"."+child.name, "."))
		p.name = child.name
		parts = append(parts, p)
	}
	return parts
}

// part reads a node as LogicalTypes.md says, the rules for old lists and maps included.
func (b *partBuilder) part(n *node, path string) *part {
	p := &part{node: n, path: path}
	if want, ok := b.o.Types[path]; ok {
		p.want = want
		b.used[path] = true
	}
	if n.rep == format.Repeated { // a list without annotation: required, of required elements
		p.form, p.repeated = listForm, n
		element := *n
		element.rep = format.Required
		p.parts = []*part{b.value(&element, path, p.want)}
		return b.set(p)
	}
	return b.annotated(p, n, path)
}

func (b *partBuilder) annotated(p *part, n *node, path string) *part {
	_, list := n.element.LogicalType.Value.(*format.ListType)
	_, dict := n.element.LogicalType.Value.(*format.MapType)
	single := !n.leaf() && len(n.children) == 1 && n.children[0].rep == format.Repeated
	switch {
	case single && (list || n.converted(deprecated.List)):
		p.form, p.repeated = listForm, n.children[0]
		p.parts = []*part{b.element(n, n.children[0], path, p.want)}
		return b.set(p)
	case single && (dict || n.converted(deprecated.Map) || n.converted(deprecated.MapKeyValue)) &&
		!n.children[0].leaf() && len(n.children[0].children) == 2 && n.children[0].children[0].leaf():
		p.form, p.repeated = mapForm, n.children[0]
		key := b.value(n.children[0].children[0], path, "S")
		p.parts = []*part{key, b.part(n.children[0].children[1], path)}
		return p
	}
	*p = *b.value(n, path, p.want)
	return p
}

// element is the member of an annotated list: the repeated node's only child, or in the old two-level form the repeated
// node itself.
func (b *partBuilder) element(list, r *node, path, want string) *part {
	if r.leaf() || len(r.children) > 1 || r.name == "array" || r.name == list.name+"_tuple" {
		element := *r
		element.rep = format.Required
		return b.value(&element, path, want)
	}
	return b.part(r.children[0], path)
}

// value is a scalar or a struct.
func (b *partBuilder) value(n *node, path, want string) *part {
	p := &part{node: n, path: path, want: want}
	if !n.leaf() {
		p.form = structForm
		p.parts = b.members(n, path)
		return p
	}
	scalar, err := scalarOf(n.element, b.o.Epoch, want)
	if err != nil && b.err == nil {
		b.err = fault.At(err, fault.Place{Path: path})
	}
	p.scalar = scalar
	return p
}

// set makes a list a set when the options want it.
func (b *partBuilder) set(p *part) *part {
	t := map[string]item.Type{"SS": item.SS, "NS": item.NS, "BS": item.BS}[p.want]
	if t == 0 {
		return p
	}
	if p.parts[0].form != scalarForm && b.err == nil {
		b.err = fault.New(fault.User, "column %s is no list of scalars and cannot become %s", p.path, p.want)
	}
	p.set = t
	return p
}

// items appends the rows of a slab; first is the number of rows before it.
func (f *foreign) items(slab *column.Slab, b *item.Batch, first int64, rejects codec.Rejects) error {
	f.vectors = slab.Vectors
	clear(f.slot)
	clear(f.value)
	f.w = item.NewBuilder(b)
	for i := range slab.Rows {
		f.fault = nil
		f.w.Begin(uint32(i))
		f.members(f.root)
		f.w.Finish()
		place := fault.Place{Line: first + int64(i) + 1}
		if f.bad {
			return fault.At(fault.New(fault.Corrupt, "columns disagree about how often this row repeats"), place)
		}
		if f.fault == nil {
			continue
		}
		err := fault.At(f.fault, place)
		if rejects == nil {
			return err
		}
		last := len(b.Rows) - 1
		it := b.Item(last)
		if err := rejects(codec.Reject{Place: place, Raw: slices.Clone(it.Raw()), Err: err}); err != nil {
			return err
		}
		b.Src = b.Src[:it.Tape[0].Off]
		b.Tape = b.Tape[:b.Rows[last].First]
		b.Rows = b.Rows[:last]
	}
	return nil
}

// level is the definition level of the next slot of n's first leaf.
func (f *foreign) level(n *node) int {
	v, i := &f.vectors[n.first], f.slot[n.first]
	if i >= v.Slots {
		f.bad = true
		return 0
	}
	if v.Def == nil {
		return 1 << 10 // all are there
	}
	return int(v.Def[i])
}

// again tells whether the next slot of n's first leaf repeats at level rep.
func (f *foreign) again(n *node, rep int) bool {
	v, i := &f.vectors[n.first], f.slot[n.first]
	return !f.bad && i < v.Slots && v.Rep != nil && int(v.Rep[i]) == rep
}

// skip consumes the one slot that each leaf below n has for an absent n.
func (f *foreign) skip(n *node) {
	for i := n.first; i < n.first+n.leaves; i++ {
		v := &f.vectors[i]
		if f.slot[i] >= v.Slots || v.Def == nil {
			f.bad = true
			return
		}
		f.slot[i]++
	}
}

func (f *foreign) members(p *part) {
	for _, m := range p.parts {
		if f.bad {
			return
		}
		if f.absent(m) {
			f.skip(m.node)
			if f.nulls {
				f.w.Name(m.name)
				f.w.Null()
			}
			continue
		}
		f.w.Name(m.name)
		f.emit(m)
	}
}

// absent tells whether a part is null. A repeated node without annotation is never null, only empty.
func (f *foreign) absent(p *part) bool {
	return p.repeated != p.node && f.level(p.node) < p.node.maxDef
}

// emit appends the value of a part that is there.
func (f *foreign) emit(p *part) {
	if f.bad {
		f.w.Null()
		return
	}
	switch p.form {
	case scalarForm:
		f.scalar(p)
	case structForm:
		f.w.BeginMap()
		f.members(p)
		f.w.End()
	case listForm:
		f.list(p)
	case mapForm:
		f.dict(p)
	}
}

func (f *foreign) list(p *part) {
	if p.set != 0 {
		f.w.BeginSet(p.set)
	} else {
		f.w.BeginList()
	}
	defer f.w.End()
	if f.level(p.node) < p.repeated.maxDef {
		f.skip(p.node)
		if p.set != 0 {
			f.reject(p, fault.New(fault.User, "an empty list cannot become a set"))
		}
		return
	}
	element := p.parts[0]
	for more := true; more; more = f.again(p.node, p.repeated.maxRep) {
		switch {
		case !f.absent(element):
			f.emit(element)
		case p.set != 0:
			f.skip(element.node)
			f.reject(p, fault.New(fault.User, "a null cannot be a member of a set"))
		default:
			f.skip(element.node)
			f.w.Null() // an absent element would move those behind it
		}
	}
}

func (f *foreign) dict(p *part) {
	f.w.BeginMap()
	defer f.w.End()
	if f.level(p.node) < p.repeated.maxDef {
		f.skip(p.node)
		return
	}
	key, value := p.parts[0], p.parts[1]
	seen := map[string]bool{}
	for more := true; more && !f.bad; more = f.again(p.node, p.repeated.maxRep) {
		name, ok := "", false
		if f.absent(key) {
			f.skip(key.node)
			f.reject(p, fault.New(fault.User, "a null key"))
		} else {
			_, text, err := f.take(key)
			if err != nil {
				f.reject(p, err)
			}
			name, ok = string(text), err == nil
			if ok && seen[name] {
				f.reject(p, fault.New(fault.User, "key %q comes twice", name))
				ok = false
			}
			seen[name] = true
		}
		switch {
		case f.absent(value):
			f.skip(value.node)
			if f.nulls && ok {
				f.w.Name(name)
				f.w.Null()
			}
		default:
			if !ok {
				name = "?" // the row is rejected; its value must be walked over all the same
			}
			f.w.Name(name)
			f.emit(value)
		}
	}
}

func (f *foreign) reject(p *part, err error) {
	if f.fault == nil {
		f.fault = fault.At(err, fault.Place{Path: p.path})
	}
}

// take consumes the value of a scalar part.
func (f *foreign) take(p *part) (t item.Type, text []byte, err error) {
	leaf := p.node.first
	i := f.value[leaf]
	f.slot[leaf]++
	f.value[leaf]++
	t, f.cell, err = p.scalar(f.cell[:0], &f.vectors[leaf], i)
	return t, f.cell, err
}

func (f *foreign) scalar(p *part) {
	t, text, err := f.take(p)
	if err == nil {
		switch t {
		case item.N:
			if err = f.w.Number(text); err == nil {
				return
			}
		case item.S:
			f.w.String(text)
			return
		case item.B:
			f.w.Binary(text)
			return
		default:
			f.w.Bool(len(text) > 0 && text[0] == 't')
			return
		}
	}
	f.reject(p, err)
	f.w.Null()
}
