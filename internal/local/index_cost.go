package local

import (
	"bytes"

	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// units is what a request costs of one table: of the table itself, and of each of its indexes in their order.
type units struct {
	base    float64
	indexes []float64 // nil: none
}

func (u units) total() float64 {
	sum := u.base
	for _, n := range u.indexes {
		sum += n
	}
	return sum
}

func (u *units) add(v units) {
	u.base += v.base
	if v.indexes == nil {
		return
	}
	if u.indexes == nil {
		u.indexes = make([]float64, len(v.indexes))
	}
	for i := range min(len(u.indexes), len(v.indexes)) { // they differ when the table changed within one request
		u.indexes[i] += v.indexes[i]
	}
}

func (u units) times(factor float64) units {
	v := units{base: u.base * factor}
	for _, n := range u.indexes {
		v.indexes = append(v.indexes, n*factor)
	}
	return v
}

// measures tells whether somebody wants to know what a write costs the indexes, which needs the item before it.
func (c *call) measures(t *table, how consumption) bool {
	return len(t.indexes) > 0 && (how != consumedNone || c.db.opts.Throttle)
}

// indexUnits is what a change of an item costs the table's indexes; nil stands for no item. An entry that stays where it
// is costs the larger of its sizes, or nothing when what it projects stays; one that moves costs a deletion and a put.
func (t *table) indexUnits(old, new []byte) []float64 {
	if len(t.indexes) == 0 {
		return nil
	}
	costs := make([]float64, len(t.indexes))
	var was, is item.Batch
	before, _ := tokensOf(&was, old)
	after, _ := tokensOf(&is, new)
	for i := range t.indexes {
		ix := &t.indexes[i]
		oldKey, oldIn := entryOf(&ix.index, before)
		newKey, newIn := entryOf(&ix.index, after)
		var oldPart, newPart []byte
		if oldIn {
			oldPart = ix.project(nil, old)
		}
		if newIn {
			newPart = ix.project(nil, new)
		}
		switch {
		case oldIn && newIn && sameKey(oldKey, newKey):
			if !bytes.Equal(oldPart, newPart) && !sameItem(oldPart, newPart) {
				costs[i] = item.WriteUnits(max(size(oldPart), size(newPart)))
			}
		default:
			if oldIn {
				costs[i] += item.WriteUnits(size(oldPart))
			}
			if newIn {
				costs[i] += item.WriteUnits(size(newPart))
			}
		}
	}
	return costs
}

func tokensOf(b *item.Batch, raw []byte) (item.Item, error) {
	if raw == nil {
		return item.Item{}, nil
	}
	return tokens(b, raw)
}

// entryOf is key for an item that may not be there.
func entryOf(ix *index, it item.Item) (store.Key, bool) {
	if it.Tape == nil {
		return store.Key{}, false
	}
	return ix.key(it)
}

// sameItem tells whether two items are the same whatever order their members and sets were written in.
func sameItem(x, y []byte) bool {
	var a, b item.Batch
	one, err := tokens(&a, x)
	if err != nil {
		return false
	}
	two, err := tokens(&b, y)
	return err == nil && item.Equal(one, two)
}

func sameKey(a, b store.Key) bool {
	return bytes.Equal(a.Hash, b.Hash) && bytes.Equal(a.Range, b.Range)
}
