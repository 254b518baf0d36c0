package column

import "dynaferry/internal/item"

// Work says what data of one schema need to become data of another, from the least to the most.
type Work uint8

// The kinds of work.
const (
	// Settled: nothing but top-level columns of nulls for what the data lack, other names, another order.
	Settled Work = iota
	// Refit: leaf by leaf, Convert along the number ladder and null leaves for members that structs lack. A
	// value may still turn out not to fit, then it is Rebuild; Reshape does either.
	Refit
	// Rebuild: values move between columns and Extra, row by row; Reshape.
	Rebuild
)

// Compare tells what data of schema from need to become exactly what a Shredder with the fixed schema to would have made
// of their items. Fields belong together by Source, at every level.
func Compare(from, to *Schema) Work {
	if from.Extra == "" && to.Extra != "" {
		return Rebuild // a foreign file, whatever it lacks
	}
	return compareMembers(from.Fields, to.Fields, from.Spilled, Settled)
}

// compareMembers compares siblings; lacking is the work for a field that from lacks.
func compareMembers(from, to []*Field, spilled bool, lacking Work) Work {
	target := bySource(to)
	work, matched := Settled, 0
	for _, f := range from {
		g := target[f.Source]
		if g == nil {
			return Rebuild // its values go to Extra
		}
		matched++
		if work = max(work, compareField(f, g)); work == Rebuild {
			return Rebuild
		}
	}
	if matched < len(to) {
		if spilled {
			return Rebuild // a value of the new column may lie in Extra
		}
		work = max(work, lacking)
	}
	return work
}

func compareField(f, g *Field) Work {
	switch {
	case f.Type != g.Type || (f.Kind == List) != (g.Kind == List) || (f.Kind == Struct) != (g.Kind == Struct):
		return Rebuild
	case f.Kind == Struct:
		return compareMembers(f.Fields, g.Fields, f.Spilled, Refit)
	case f.Kind == List:
		return compareField(f.Elem, g.Elem)
	case sameLeaf(f, g):
		return Settled
	case onLadder(f) && onLadder(g) && f.Type == item.N && !f.Spilled:
		return Refit
	}
	return Rebuild
}

// sameFields tells whether two lists of fields are the same columns in the same form, whatever their names and order.
func sameFields(a, b []*Field) bool {
	return len(a) == len(b) && compareMembers(a, b, false, Rebuild) == Settled
}
