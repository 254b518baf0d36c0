package column

// Spilling returns s for data that were written under from, whose fields s has and more: what spilled then (Field.Spilled)
// lies in their Extra column still.
func (s *Schema) Spilling(from *Schema) *Schema {
	out := &Schema{Fields: copyFields(s.Fields), Extra: s.Extra, Spilled: s.Spilled || from.Spilled}
	spill(out.Fields, from.Fields)
	return out
}

func spill(fields, from []*Field) {
	given := bySource(fields)
	for _, f := range from {
		for g := given[f.Source]; f != nil && g != nil; f, g = f.Elem, g.Elem {
			g.Spilled = g.Spilled || f.Spilled
			spill(g.Fields, f.Fields)
		}
	}
}
