package step

import (
	"strings"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// path names a value inside of an item: names with dots between, [] for every element of a list. A name with a dot or a
// bracket in it is quoted.
type path []part

type part struct {
	name string
	each bool // every element of the list at this place; name is ""
}

// pathPartsMax is DynamoDB's depth of nested attributes.
const pathPartsMax = 32

// parsePath reads customer.card, orders[].price, 'a.b'.c.
func parsePath(w word) (path, error) {
	var p path
	for _, piece := range w.split('.') {
		each := 0
		for strings.HasSuffix(piece.text, "[]") && !piece.literal[len(piece.text)-1] {
			piece = piece.slice(0, len(piece.text)-2)
			each++
		}
		name, err := piece.name()
		if err != nil {
			return nil, err
		}
		for i := range piece.text {
			if c := piece.text[i]; (c == '[' || c == ']') && !piece.literal[i] {
				return nil, place(piece.at+i, "a path is names with dots between, [] for every element; quote a name with brackets in it")
			}
		}
		p = append(p, part{name: name})
		for range each {
			p = append(p, part{each: true})
		}
	}
	if len(p) > pathPartsMax {
		return nil, place(w.at, "a path of %d parts; at most %d", len(p), pathPartsMax)
	}
	return p, nil
}

func (p path) String() string {
	var b strings.Builder
	for i, part := range p {
		switch {
		case part.each:
			b.WriteString("[]")
		case i > 0:
			b.WriteString("." + part.name)
		default:
			b.WriteString(part.name)
		}
	}
	return b.String()
}

// tree is a set of paths: of each value whether it is meant itself (leaf), or what inside of it.
type tree struct {
	leaf    bool
	value   int // of a leaf: which of the step's targets
	members map[string]*tree
	lengths uint64 // bit n: a name of members has n bytes
	each    *tree
}

// add puts a path into the tree. One inside of another is refused: what would become of it depends on which comes first.
func (t *tree) add(p path, value int) error {
	at := t
	for _, part := range p {
		if at.leaf {
			return fault.New(fault.User, "%s is inside of another attribute that the step names", p)
		}
		var next *tree
		if part.each {
			if at.each == nil {
				at.each = &tree{}
			}
			next = at.each
		} else {
			if at.members == nil {
				at.members = map[string]*tree{}
			}
			if next = at.members[part.name]; next == nil {
				next = &tree{}
				at.members[part.name] = next
				at.lengths |= 1 << len(part.name) // none when it is longer
			}
		}
		at = next
	}
	if at.leaf || at.members != nil || at.each != nil {
		return fault.New(fault.User, "%s twice", p)
	}
	at.leaf, at.value = true, value
	return nil
}

// parseTree reads paths; the i-th is target i.
func parseTree(ws []word) (*tree, []path, error) {
	t := &tree{}
	var paths []path
	for i, w := range ws {
		p, err := parsePath(w)
		if err != nil {
			return nil, nil, err
		}
		if err := t.add(p, i); err != nil {
			return nil, nil, place(w.at, "%s", fault.Reason(err))
		}
		paths = append(paths, p)
	}
	return t, paths, nil
}

// member finds what the tree has under the name at tape index i.
func (t *tree) member(it item.Item, i int) *tree {
	token := &it.Tape[i]
	if token.Flags&item.Escaped != 0 {
		return t.members[string(it.Text(i))]
	}
	// Most steps name few attributes, and most names differ from all of them in length: no hash is worth it.
	if n := token.End - token.Off; n < 64 && t.lengths>>n&1 == 0 {
		return nil
	}
	return t.members[string(it.Src[token.Off:token.End])]
}

// touches tells whether the item has any value that the tree names.
func (t *tree) touches(it item.Item, i int) bool {
	if t.leaf {
		return true
	}
	switch token := &it.Tape[i]; {
	case token.Type == item.M && t.members != nil:
		for at, end := i+1, i+int(token.Skip); at < end; at += 1 + int(it.Tape[at+1].Skip) {
			if sub := t.member(it, at); sub != nil && sub.touches(it, at+1) {
				return true
			}
		}
	case token.Type == item.L && t.each != nil:
		for at, end := i+1, i+int(token.Skip); at < end; at += int(it.Tape[at].Skip) {
			if t.each.touches(it, at) {
				return true
			}
		}
	}
	return false
}

// change writes what a step makes of the value at index i, in its place; its name is written already.
type change func(w *item.Builder, it item.Item, i, target int) error

// rewrite writes the members of the map at index i, or the elements of the list, with what t names changed. With drop set
// these are left out.
func (t *tree) rewrite(w *item.Builder, it item.Item, i int, drop bool, change change) error {
	if it.Tape[i].Type != item.M {
		for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += int(it.Tape[at].Skip) {
			if drop && t.each.leaf {
				continue
			}
			if err := t.each.writeValue(w, it, at, drop, change); err != nil {
				return err
			}
		}
		return nil
	}
	run, end := i+1, i+int(it.Tape[i].Skip) // members from run on are copied together
	for at := run; at < end; at += 1 + int(it.Tape[at+1].Skip) {
		sub := t.member(it, at)
		if sub == nil {
			continue
		}
		w.Members(it, i, run, at)
		if run = at + 1 + int(it.Tape[at+1].Skip); drop && sub.leaf {
			continue
		}
		w.RawName(it, at)
		if err := sub.writeValue(w, it, at+1, drop, change); err != nil {
			return err
		}
	}
	w.Members(it, i, run, end)
	return nil
}

// writeValue writes the value at index i, of which t is what the tree names.
func (t *tree) writeValue(w *item.Builder, it item.Item, i int, drop bool, change change) error {
	switch kind := it.Tape[i].Type; {
	case t.leaf:
		return change(w, it, i, t.value)
	case kind == item.M && t.members != nil:
		w.BeginMap()
	case kind == item.L && t.each != nil:
		w.BeginList()
	default:
		w.Raw(it, i)
		return nil
	}
	if err := t.rewrite(w, it, i, drop, change); err != nil {
		return err
	}
	w.End()
	return nil
}

// reaches tells whether the tree names a value of this type, or something inside of it.
func (t *tree) reaches(kind item.Type) bool {
	return t.leaf || kind == item.M && t.members != nil || kind == item.L && t.each != nil
}

// keepOnly writes what t names of the map or list at index i, and nothing else.
func (t *tree) keepOnly(w *item.Builder, it item.Item, i int) {
	end := i + int(it.Tape[i].Skip)
	if it.Tape[i].Type != item.M {
		for at := i + 1; at < end; at += int(it.Tape[at].Skip) {
			if t.each.reaches(it.Tape[at].Type) {
				t.each.keepValue(w, it, at)
			}
		}
		return
	}
	run := i + 1
	for at := run; at < end; at += 1 + int(it.Tape[at+1].Skip) {
		sub := t.member(it, at)
		if sub != nil && sub.leaf {
			continue
		}
		w.Members(it, i, run, at)
		run = at + 1 + int(it.Tape[at+1].Skip)
		if sub != nil && sub.reaches(it.Tape[at+1].Type) {
			w.RawName(it, at)
			sub.keepValue(w, it, at+1)
		}
	}
	w.Members(it, i, run, end)
}

func (t *tree) keepValue(w *item.Builder, it item.Item, i int) {
	switch {
	case t.leaf:
		w.Raw(it, i)
		return
	case it.Tape[i].Type == item.M:
		w.BeginMap()
	default:
		w.BeginList()
	}
	t.keepOnly(w, it, i)
	w.End()
}
