package column

import (
	"slices"
	"strings"
	"unsafe"

	"dynaferry/internal/item"
)

// The bounds of Stats. Each is a rule about the set of all paths in all items, and each can only become true as items
// are added, never false again; that is why the outcome does not depend on order or cut.
const (
	// namesMax is the number of distinct attribute names that are tracked; of more, the first by length, then bytes
	// (names that people gave are shorter than names made of data). 60 to 80 bytes each.
	namesMax = 1 << 20
	// nameTextMax bounds the bytes of the tracked attribute names together, in the same order.
	nameTextMax = 64 << 20
	// nestedMax bounds the weight of all nested paths together; beyond it every map and list is a JSON column.
	nestedMax = 1 << 20
	// membersMax is the number of distinct member names a map may have before its keys count as data.
	membersMax = 200
	// depthMax is how many maps and lists within each other get columns; DynamoDB allows 32. DuckDB's reader doubles its work
	// with each list in a list: up to 12 that is lost among the rest, at 18 it takes ten times as long, at 28 it does not end.
	// BigQuery takes 15 levels.
	depthMax = 12
	// pointBytes is what a path costs per unit of weight: one for the path and one more for each 64 bytes of its name.
	pointBytes = 64
)

// weightMax is the greatest weight of the paths below a container at a depth; beyond it the container collapses, and
// then counts with just that weight above. Limits fall strictly with depth, so one collapsed member never makes its
// holder collapse, and none is below membersMax.
func weightMax(depth uint8) uint32 {
	top := [...]uint32{0, 8192, 4096, 2048, 1024, 768, 640, 560, 520, 496}
	if int(depth) < len(top) {
		return top[depth]
	}
	return 488 - 8*uint32(depth-10)
}

func weightOf(name string) uint32 { return 1 + uint32(len(name)/pointBytes) }

// Stats counts what a set of items holds, by attribute path: values of each type, and for numbers their digits in front
// of and behind the point. It is a pure function of the set of items: Observe and Merge may come in any order and
// any cut. The zero Stats is that of no items. Memory is bounded whatever the items are (see docs/formats/columns.md).
//
// A Stats may not be used by several goroutines at once.
type Stats struct {
	items  uint64
	top    kids
	text   int    // bytes of the names in top
	nested uint64 // weight of the paths below the top level
	// flat: too much for nested columns; no map or list is looked into any more.
	flat bool
	// over: names were dropped; only names up to last (by length, then bytes) are tracked.
	over bool
	last string

	nodes []node // the unused rest of a chunk of nodes
	chunk []byte // the unused rest of a chunk of name bytes
	space []byte // for numbers that are not in normal form
}

// Items is the number of items observed.
func (s *Stats) Items() uint64 { return s.items }

// Names is the number of distinct attribute names that are tracked.
func (s *Stats) Names() int { return s.top.n }

// Observe counts one item.
func (s *Stats) Observe(it item.Item) {
	s.items++
	for at := 1; at < len(it.Tape); at += 1 + int(it.Tape[at+1].Skip) {
		if n := s.attribute(it.Text(at)); n != nil {
			s.value(n, nil, 1, it, at+1)
		}
	}
}

// attribute returns the node of a top-level attribute, nil when the name is beyond what is tracked.
func (s *Stats) attribute(name []byte) *node {
	if n := s.top.find(name); n != nil {
		return n
	}
	if s.over && compareNames(string(name), s.last) > 0 {
		return nil
	}
	n := s.newNode(name)
	s.top.insert(n)
	s.text += len(name)
	if s.top.n > namesMax+namesMax/4 || s.text > nameTextMax+nameTextMax/4 {
		s.trim()
		if compareNames(n.name, s.last) > 0 {
			return nil
		}
	}
	return n
}

// compareNames orders names by length, then bytes.
func compareNames(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// trim drops the attributes beyond the bounds. They are cut with some room above the bound so that this is rare; every
// view of the Stats from outside trims first.
func (s *Stats) trim() {
	if s.top.n <= namesMax && s.text <= nameTextMax {
		return
	}
	all := s.attributes()
	slices.SortFunc(all, func(a, b *node) int { return compareNames(a.name, b.name) })
	keep, text := 0, 0
	for keep < namesMax && text+len(all[keep].name) <= nameTextMax {
		text += len(all[keep].name)
		keep++
	}
	s.over, s.last, s.text = true, "", text
	if keep > 0 {
		s.last = all[keep-1].name
	}
	s.top = kids{}
	for _, n := range all[:keep] {
		s.top.insert(n)
	}
	s.flatten()
}

// attributes lists the top-level nodes in no order.
func (s *Stats) attributes() []*node { return s.top.list() }

func (k *kids) list() []*node {
	list := make([]*node, 0, k.n)
	for _, n := range k.table {
		if n != nil {
			list = append(list, n)
		}
	}
	return list
}

// sorted lists the nodes by name.
func (k *kids) sorted() []*node {
	list := k.list()
	slices.SortFunc(list, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	return list
}

// flatten forgets everything below the top level, for good.
func (s *Stats) flatten() {
	s.flat = true
	for _, n := range s.top.table {
		if n != nil && n.more != nil && n.more.depth > 0 {
			n.more.collapse()
		}
	}
}

func (m *more) collapse() { m.collapsed, m.kids, m.elem = true, nil, nil }

// newNode makes a node with a copy of the name. Nodes and names come in chunks: a million of them each on its own would
// cost half as much again.
func (s *Stats) newNode(name []byte) *node {
	if len(s.nodes) == 0 {
		s.nodes = make([]node, min(max(8, s.top.n), 512))
	}
	n := &s.nodes[0]
	s.nodes = s.nodes[1:]
	if len(name) > 0 {
		if len(name) > len(s.chunk) {
			s.chunk = make([]byte, max(len(name), min(max(64, s.text), 1<<14)))
		}
		copy(s.chunk, name)
		n.name = unsafe.String(&s.chunk[0], len(name)) // these bytes are never written again
		s.chunk = s.chunk[len(name):]
	}
	return n
}

// value counts one value at node n, whose holder is parent, nil for an item.
func (s *Stats) value(n, parent *node, depth uint8, it item.Item, i int) {
	t := it.Tape[i].Type
	n.add(t, 1)
	switch t {
	case item.N:
		n.number(shapeOf(s.normal(it, i)), 1)
	case item.NS:
		m := n.extend()
		for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at++ {
			m.members.add(shapeOf(s.normal(it, at)), 1)
		}
	case item.L, item.M:
		s.container(n, parent, depth, it, i)
	}
}

// normal returns the normal form of the number at index i, valid until the next call.
func (s *Stats) normal(it item.Item, i int) []byte {
	if token := &it.Tape[i]; token.Flags&item.Normal != 0 {
		return it.Src[token.Off:token.End]
	}
	s.space = it.AppendNumber(s.space[:0], i)
	return s.space
}

func (s *Stats) container(n, parent *node, depth uint8, it item.Item, i int) {
	m := s.open(n, parent, depth)
	end := i + int(it.Tape[i].Skip)
	if it.Tape[i].Type == item.L {
		for at := i + 1; at < end && !m.collapsed; at += int(it.Tape[at].Skip) {
			s.value(s.element(n), n, depth+1, it, at)
		}
		return
	}
	for at := i + 1; at < end && !m.collapsed; at += 1 + int(it.Tape[at+1].Skip) {
		if kid := s.member(n, it.Text(at)); kid != nil {
			s.value(kid, n, depth+1, it, at+1)
		}
	}
}

// open makes n ready to hold members or elements.
func (s *Stats) open(n, parent *node, depth uint8) *more {
	m := n.extend()
	if m.depth == 0 {
		m.parent, m.depth = parent, depth
		if s.flat || depth > depthMax {
			m.collapse()
		}
	}
	return m
}

// element returns the node of an open list's elements; the list must not be collapsed.
func (s *Stats) element(n *node) *node {
	if n.more.elem == nil {
		n.more.elem = s.newNode(nil)
		s.charge(n, 1)
	}
	return n.more.elem
}

// member returns the node of a member of an open map, nil when the map has collapsed.
func (s *Stats) member(n *node, name []byte) *node {
	m := n.more
	if m.collapsed {
		return nil
	}
	if m.kids == nil {
		m.kids = &kids{}
	} else if kid := m.kids.find(name); kid != nil {
		return kid
	}
	kid := s.newNode(name)
	m.kids.insert(kid)
	if m.kids.n > membersMax {
		s.charge(n, weightMax(m.depth)+1)
	} else {
		s.charge(n, weightOf(kid.name))
	}
	if m.collapsed {
		return nil
	}
	return kid
}

// charge adds the weight of a new path below n to everything above it; what becomes too heavy collapses, and counts
// with its limit from then on.
func (s *Stats) charge(n *node, weight uint32) {
	for ; n != nil; n = n.more.parent {
		m := n.more
		if m.collapsed {
			return
		}
		if limit := weightMax(m.depth); m.weight+weight > limit {
			weight = limit - m.weight
			m.weight = limit
			m.collapse()
		} else {
			m.weight += weight
		}
	}
	s.nested += uint64(weight)
	if s.nested > nestedMax && !s.flat {
		s.flatten()
	}
}
