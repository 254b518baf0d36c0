package column

// Convert returns the same values in the form of another leaf of the number ladder (Long, Decimal18, Decimal38), exactly,
// or false when some value has no exact place there or the forms are not both of the ladder. Levels are shared
// with v; to must have the same levels. Leaves of equal form share everything.
func Convert(v *Vector, to Leaf) (*Vector, bool) {
	from := v.Leaf.Field
	if v.Leaf.MaxDef != to.MaxDef || v.Leaf.MaxRep != to.MaxRep {
		return nil, false
	}
	out := *v
	if sameLeaf(from, to.Field) {
		out.Leaf = to
		return &out, true
	}
	if !onLadder(from) || !onLadder(to.Field) || from.Type != to.Field.Type || !out.climb(rungOf(to.Field)) {
		return nil, false
	}
	out.Leaf = to
	return &out, true
}

func onLadder(f *Field) bool { return f.Kind == Long || f.Kind == Decimal18 || f.Kind == Decimal38 }

// sameLeaf tells whether two leaves hold values in the same form.
func sameLeaf(a, b *Field) bool {
	return a.Kind == b.Kind && a.Type == b.Type && a.Scale == b.Scale && a.Precision() == b.Precision() &&
		(a.Kind != Date && a.Kind != Timestamp || a.Format == b.Format)
}

// climb rewrites the values for a rung, into new memory. On false v is unchanged.
func (v *Vector) climb(to rung) bool {
	from := rungOf(v.Leaf.Field)
	if to.kind != Decimal38 && from.kind != Decimal38 {
		return v.climbLongs(from, to)
	}
	n := len(v.Longs)
	if from.kind == Decimal38 {
		n = len(v.Ends)
	}
	var longs []int64
	var wides []byte
	var ends []uint32
	for i := range n {
		var w wide
		if from.kind == Decimal38 {
			w = wideAt(v.Bytes[16*i:])
		} else {
			w = wideOf(v.Longs[i])
		}
		digits := to.precision
		if to.kind == Long {
			digits = longDigits + 1
		}
		w, ok := w.rescale(from.scale, to.scale, digits)
		if !ok {
			return false
		}
		if to.kind == Decimal38 {
			wides = appendWide(wides, w)
			ends = append(ends, uint32(len(wides)))
			continue
		}
		small, ok := w.int64()
		if !ok {
			return false
		}
		longs = append(longs, small)
	}
	v.Longs, v.Bytes, v.Ends = longs, wides, ends
	return true
}

func (v *Vector) climbLongs(from, to rung) bool {
	longs := make([]int64, len(v.Longs))
	digits := to.precision
	if to.kind == Long {
		digits = longDigits + 1
	}
	for i, l := range v.Longs {
		w, ok := wideOf(l).rescale(from.scale, to.scale, digits)
		if !ok {
			return false
		}
		if longs[i], ok = w.int64(); !ok {
			return false
		}
	}
	v.Longs = longs
	return true
}
