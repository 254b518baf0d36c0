package column

// levels are the Dremel levels of a position in a schema.
type levels struct{ def, rep uint8 }

// leavesOf walks the schema depth first.
func leavesOf(s *Schema) []Leaf {
	var leaves []Leaf
	for _, f := range s.Fields {
		leaves = appendLeaves(leaves, f, nil, levels{})
	}
	if s.Extra != "" {
		leaves = append(leaves, extraLeaf(s.Extra))
	}
	return leaves
}

// extraLeaf is the catch-all column: an optional JSON text that restores to no attribute of its own.
func extraLeaf(name string) Leaf {
	return Leaf{Field: &Field{Name: name, Kind: JSON}, Path: []string{name}, MaxDef: 1}
}

// appendLeaves appends f's leaves; at are the levels of what holds f.
func appendLeaves(leaves []Leaf, f *Field, path []string, at levels) []Leaf {
	path = append(path[:len(path):len(path)], f.Name)
	at.def++
	switch f.Kind {
	case Struct:
		for _, member := range f.Fields {
			leaves = appendLeaves(leaves, member, path, at)
		}
	case List:
		at.def++
		at.rep++
		leaves = appendLeaves(leaves, f.Elem, append(path[:len(path):len(path)], "list"), at)
	default:
		leaves = append(leaves, Leaf{Field: f, Path: path, MaxDef: at.def, MaxRep: at.rep})
	}
	return leaves
}

// countLeaves is the number of leaf columns below f, itself included.
func countLeaves(f *Field) int {
	switch f.Kind {
	case Struct:
		n := 0
		for _, member := range f.Fields {
			n += countLeaves(member)
		}
		return n
	case List:
		return countLeaves(f.Elem)
	}
	return 1
}
