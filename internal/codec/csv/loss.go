package csv

import (
	"slices"
	"strings"

	"dynaferry/internal/item"
)

// LossPathsMax bounds how many columns the report holds apart.
const LossPathsMax = 1000

// Loss says how often values of one column will not come back.
type Loss struct {
	Path  string    `json:"path"` // the attribute; "" with Other sums up those beyond LossPathsMax
	Type  item.Type `json:"type"` // what it was
	What  string    `json:"what"` // "N becomes text", "S is dropped"
	Count int64     `json:"count"`
	Other bool      `json:"other,omitempty"`
}

const (
	becomesText = " becomes text"
	dropped     = " is dropped"
)

type lossKey struct {
	path string
	t    item.Type
	what string
}

type losses map[lossKey]int64

func (l losses) add(path string, t item.Type, what string) {
	key := lossKey{path, t, what}
	if _, known := l[key]; !known && len(l) >= LossPathsMax {
		key = lossKey{"\xff", t, what} // no attribute's name, as those are UTF-8
	}
	l[key]++
}

func (l losses) report() []Loss {
	var all []Loss
	for key, n := range l {
		other := key.path == "\xff"
		if other {
			key.path = ""
		}
		all = append(all, Loss{key.path, key.t, key.t.String() + key.what, n, other})
	}
	slices.SortFunc(all, func(a, b Loss) int {
		if a.Other != b.Other {
			if b.Other {
				return -1
			}
			return 1
		}
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return strings.Compare(a.What, b.What)
	})
	return all
}
