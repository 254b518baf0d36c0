package parquet

import (
	"strconv"
	"strings"

	"dynaferry/internal/column"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// leaf is a column.Leaf with what tells it apart from other leaves whatever its columns are called in a file.
type leaf struct {
	column.Leaf
	// keys[i] identifies the node Path[i] by the attribute it comes from. Two leaves of different schemas share as much
	// of their structure as they have leading keys in common.
	keys []string
	// repeated[i] tells whether Path[i] is a repeated group; every other node is optional. So the definition level of a
	// prefix is its length, and its repetition level the number of repeated nodes in it.
	repeated []bool
	// meaning says how values restore: DynamoDB types along the path and the leaf's format. It is not part of the
	// identity, but a chunk whose meaning is another than the schema's must be re-encoded.
	meaning string
}

func (l *leaf) key() string { return l.keys[len(l.keys)-1] }

// name is the path as texts show it.
func (l *leaf) name() string { return strings.Join(l.Path, ".") }

// leavesOf pairs the schema's leaves with their identities.
func leavesOf(s *column.Schema) ([]leaf, error) {
	plain := s.Leaves()
	w := shapeWalk{leaves: make([]leaf, 0, len(plain))}
	for _, f := range s.Fields {
		w.field(f, "."+strconv.Quote(f.Source))
	}
	if len(w.leaves) == len(plain)-1 {
		w.push("*", false, 0)
		w.leaf(&column.Field{Kind: column.JSON})
		w.pop()
	}
	if len(w.leaves) != len(plain) {
		return nil, fault.New(fault.Bug, "a schema of %d leaves walks as %d", len(plain), len(w.leaves))
	}
	for i := range plain {
		l := &w.leaves[i]
		l.Leaf = plain[i]
		if len(l.keys) != len(l.Path) || int(l.MaxDef) != len(l.Path) || int(l.MaxRep) != count(l.repeated) {
			return nil, fault.New(fault.Bug, "leaf %s has %d nodes, %d levels and %d lists; expected %d, %d and %d",
				l.name(), len(l.Path), l.MaxDef, l.MaxRep, len(l.keys), len(l.keys), count(l.repeated))
		}
	}
	return w.leaves, nil
}

func count(flags []bool) int {
	n := 0
	for _, f := range flags {
		if f {
			n++
		}
	}
	return n
}

type shapeWalk struct {
	leaves   []leaf
	keys     []string
	repeated []bool
	types    []item.Type
}

func (w *shapeWalk) push(key string, repeated bool, t item.Type) {
	if len(w.keys) > 0 {
		key = w.keys[len(w.keys)-1] + key
	}
	w.keys, w.repeated, w.types = append(w.keys, key), append(w.repeated, repeated), append(w.types, t)
}

func (w *shapeWalk) pop() {
	w.keys, w.repeated, w.types = w.keys[:len(w.keys)-1], w.repeated[:len(w.repeated)-1], w.types[:len(w.types)-1]
}

func (w *shapeWalk) field(f *column.Field, key string) {
	w.push(key, false, f.Type)
	defer w.pop()
	switch f.Kind {
	case column.List:
		if f.Elem == nil {
			return // has no leaf; leavesOf finds the miscount
		}
		w.push("[", true, 0)
		w.field(f.Elem, "]")
		w.pop()
	case column.Struct:
		for _, member := range f.Fields {
			w.field(member, "."+strconv.Quote(member.Source))
		}
	default:
		w.leaf(f)
	}
}

func (w *shapeWalk) leaf(f *column.Field) {
	meaning := make([]byte, 0, len(w.types)+len(f.Format)+4)
	for _, t := range w.types {
		meaning = append(meaning, 'a'+byte(t))
	}
	meaning = append(append(meaning, ' '), f.Format...)
	w.leaves = append(w.leaves, leaf{
		keys: append([]string(nil), w.keys...), repeated: append([]bool(nil), w.repeated...), meaning: string(meaning),
	})
}

// sameForm tells whether a chunk written for leaf a can stand for leaf b as it is.
func sameForm(a, b *leaf) bool {
	return a.key() == b.key() && a.Field.Kind == b.Field.Kind && a.meaning == b.meaning &&
		(a.Field.Scale == b.Field.Scale && a.Field.Precision() == b.Field.Precision() ||
			a.Field.Kind != column.Decimal18 && a.Field.Kind != column.Decimal38)
}

// shared counts the leading nodes that two leaves have in common.
func shared(a, b *leaf) int {
	n := 0
	for n < len(a.keys) && n < len(b.keys) && a.keys[n] == b.keys[n] {
		n++
	}
	return n
}

// byKey indexes leaves by identity.
func byKey(leaves []leaf) map[string]int {
	index := make(map[string]int, len(leaves))
	for i := range leaves {
		index[leaves[i].key()] = i
	}
	return index
}

// forgets tells whether a field that had spilled in one schema says in a later one that it has not: rows written under
// the first must not be described by the second.
func forgets(from, to *column.Schema) bool {
	return from.Spilled && !to.Spilled || forgetsMembers(from.Fields, to.Fields)
}

func forgetsMembers(from, to []*column.Field) bool {
	target := make(map[string]*column.Field, len(to))
	for _, g := range to {
		target[g.Source] = g
	}
	for _, f := range from {
		if g := target[f.Source]; g != nil && forgetsField(f, g) {
			return true
		}
	}
	return false
}

func forgetsField(f, g *column.Field) bool {
	if f.Spilled && !g.Spilled || forgetsMembers(f.Fields, g.Fields) {
		return true
	}
	return f.Elem != nil && g.Elem != nil && forgetsField(f.Elem, g.Elem)
}
