package column

import (
	"github.com/zeebo/xxh3"

	"dynaferry/internal/item"
)

// node is what Stats knows of one path. Most paths of a table with very many names have one type and numbers of one
// shape, so everything else lies in more.
type node struct {
	name  string
	count uint64 // values of type first
	nulls uint64
	more  *more
	first item.Type // the type seen first, 0 when only NULLs were; no meaning beyond saving space
	one   bool      // shape is set and all numbers have it
	shape shape
}

// more is what containers, paths of several types and numbers of several shapes need.
type more struct {
	others  []typeCount // types other than first
	numbers histogram   // of N, when not all of one shape
	members histogram   // of the numbers in NS
	kids    *kids       // members of M
	elem    *node       // elements of L
	parent  *node       // nil at the top level
	weight  uint32      // what the paths below cost; see cost and weightMax
	depth   uint8       // 1 at the top level
	// collapsed: the paths below are forgotten for good; M and L are JSON columns.
	collapsed bool
}

type typeCount struct {
	t item.Type
	n uint64
}

// counts returns the number of values of each type, NULL included.
func (n *node) counts() (c [item.BS + 1]uint64) {
	c[item.NULL] = n.nulls
	if n.first != 0 {
		c[n.first] = n.count
	}
	if n.more != nil {
		for _, o := range n.more.others {
			c[o.t] = o.n
		}
	}
	return c
}

// count0 returns the number of values of one type.
func (n *node) countOf(t item.Type) uint64 {
	c := n.counts()
	return c[t]
}

// majority returns the type that most values have, NULLs apart; of several the first in DynamoDB's order; 0 for none.
func (n *node) majority() (best item.Type) {
	if n.more == nil || len(n.more.others) == 0 {
		return n.first
	}
	counts := n.counts()
	for t := item.S; t <= item.BS; t++ {
		if t != item.NULL && counts[t] > 0 && (best == 0 || counts[t] > counts[best]) {
			best = t
		}
	}
	return best
}

// add counts values of a type.
func (n *node) add(t item.Type, by uint64) {
	switch {
	case t == item.NULL:
		n.nulls += by
		return
	case n.first == 0:
		n.first = t
	}
	if t == n.first {
		n.count += by
		return
	}
	m := n.extend()
	for i := range m.others {
		if m.others[i].t == t {
			m.others[i].n += by
			return
		}
	}
	m.others = append(m.others, typeCount{t, by})
}

func (n *node) extend() *more {
	if n.more == nil {
		n.more = &more{}
	}
	return n.more
}

// number counts numbers of a shape.
func (n *node) number(s shape, by uint64) {
	switch {
	case n.more != nil && n.more.numbers != nil:
		n.more.numbers.add(s, by)
	case !n.one:
		n.one, n.shape = true, s
	case n.shape != s:
		m := n.extend()
		m.numbers.add(n.shape, n.countOf(item.N)-by) // the numbers so far; this one is counted in types already
		m.numbers.add(s, by)
		n.one = false
	}
}

// numbers returns the histogram of N.
func (n *node) numbers() histogram {
	switch {
	case n.more != nil && n.more.numbers != nil:
		return n.more.numbers
	case n.one:
		return histogram{{n.shape, n.countOf(item.N)}}
	}
	return nil
}

// kids are the members of a map, or the attributes of all items: an open-addressed hash table.
type kids struct {
	table []*node // length a power of two, at most three quarters full
	n     int
}

func hashName[T string | []byte](name T) uint64 { return xxh3.HashString(string(name)) }

// find returns the member or nil; name is not kept.
func (k *kids) find(name []byte) *node {
	if k.n == 0 {
		return nil
	}
	mask := uint64(len(k.table) - 1)
	for at := xxh3.Hash(name) & mask; ; at = (at + 1) & mask {
		n := k.table[at]
		if n == nil || n.name == string(name) {
			return n
		}
	}
}

// insert adds a member that is not there yet.
func (k *kids) insert(n *node) {
	if 4*(k.n+1) > 3*len(k.table) {
		old := k.table
		k.table = make([]*node, max(4, 2*len(old)))
		for _, o := range old {
			if o != nil {
				k.place(o)
			}
		}
	}
	k.place(n)
	k.n++
}

func (k *kids) place(n *node) {
	mask := uint64(len(k.table) - 1)
	at := hashName(n.name) & mask
	for k.table[at] != nil {
		at = (at + 1) & mask
	}
	k.table[at] = n
}
