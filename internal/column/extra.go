package column

import (
	"bytes"
	"slices"

	"dynaferry/internal/item"
)

// extras gathers what goes into the Extra column: canonical values by path, row after row.
type extras struct {
	text    []byte // path, value, path, value, ...
	entries []extraEntry
}

type extraEntry struct {
	row            int
	from, mid, end int // path is text[from:mid], value text[mid:end]
}

func (x *extras) reset() { x.text, x.entries = x.text[:0], x.entries[:0] }

func (x *extras) add(row int, path []byte, it item.Item, i int) {
	from := len(x.text)
	x.text = append(x.text, path...)
	mid := len(x.text)
	x.text = item.AppendCanonicalValue(x.text, it, i)
	x.entries = append(x.entries, extraEntry{row, from, mid, len(x.text)})
}

func (x *extras) path(e extraEntry) []byte { return x.text[e.from:e.mid] }

// vector makes the Extra column of rows rows: where a row has entries one JSON object of paths in the order of
// their bytes, null elsewhere.
func (x *extras) vector(name string, rows int) Vector {
	v := Vector{Leaf: extraLeaf(name), Slots: rows}
	if rows == 0 {
		return v
	}
	v.Def = make([]uint8, rows)
	filled := 0
	for from := 0; from < len(x.entries); {
		to := from + 1
		for to < len(x.entries) && x.entries[to].row == x.entries[from].row {
			to++
		}
		row := x.entries[from:to]
		slices.SortFunc(row, func(a, b extraEntry) int { return bytes.Compare(x.path(a), x.path(b)) })
		for i, e := range row {
			v.Bytes = append(v.Bytes, "{,"[min(i, 1)])
			v.Bytes = item.AppendString(v.Bytes, x.path(e))
			v.Bytes = append(v.Bytes, ':')
			v.Bytes = append(v.Bytes, x.text[e.mid:e.end]...)
		}
		v.Bytes = append(v.Bytes, '}')
		v.Ends = append(v.Ends, uint32(len(v.Bytes)))
		v.Def[row[0].row] = 1
		filled++
		from = to
	}
	if filled == rows {
		v.Def = nil
	}
	return v
}
