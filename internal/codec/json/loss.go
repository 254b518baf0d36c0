package json

import (
	"slices"
	"strings"

	"dynaferry/internal/item"
)

// LossPathsMax bounds how many paths the report holds apart; a map whose names are data would make any number of them.
const LossPathsMax = 1000

// Loss says how often values at one path lost their type in writing.
type Loss struct {
	Path  string    `json:"path"` // "tags", "orders[].photo"; "" sums up the paths beyond LossPathsMax
	Type  item.Type `json:"type"` // what it was: SS, NS, BS or B
	What  string    `json:"what"` // "SS becomes array", "B becomes base64 string"
	Count int64     `json:"count"`
}

// Becomes says what a type that JSON does not have is written as, "" for the others.
func Becomes(t item.Type) string {
	switch t {
	case item.B:
		return "B becomes base64 string"
	case item.SS, item.NS:
		return t.String() + " becomes array"
	case item.BS:
		return "BS becomes array of base64 strings"
	}
	return ""
}

// losses counts by type and path.
type losses struct {
	count [item.BS + 1]map[string]*int64
	paths int
	other [item.BS + 1]int64
}

func (l *losses) add(path []byte, t item.Type) {
	n := l.count[t][string(path)]
	if n == nil {
		if l.paths == LossPathsMax {
			l.other[t]++
			return
		}
		if l.count[t] == nil {
			l.count[t] = map[string]*int64{}
		}
		l.paths++
		n = new(int64)
		l.count[t][string(path)] = n
	}
	*n++
}

// report lists the losses by path, then type; the sums of what had no room come last.
func (l *losses) report() []Loss {
	var all []Loss
	for t, paths := range l.count {
		for path, n := range paths {
			all = append(all, Loss{path, item.Type(t), Becomes(item.Type(t)), *n})
		}
	}
	slices.SortFunc(all, func(a, b Loss) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return int(a.Type) - int(b.Type)
	})
	for t, n := range l.other {
		if n > 0 {
			all = append(all, Loss{"", item.Type(t), Becomes(item.Type(t)), n})
		}
	}
	return all
}
