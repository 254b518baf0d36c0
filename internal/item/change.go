package item

import (
	"math/bits"

	"dynaferry/internal/fault"
)

// NoImage stands where a change has no image of a kind.
const NoImage = -1

// Change is what happened to one item within a window of time: its state when the window ended, or that it was gone by
// then. Key, New and Old are indices of Changes.Rows; New is NoImage of a deletion, Old where it is not told.
type Change struct {
	Key, New, Old int32
	Micros        int64  // time of the last write, in µs since 1970; 0 when it is not told
	Line          uint32 // like Row.Line
	Service       bool   // by DynamoDB itself, as TTL deletes are, where that is told
}

// Changes is a batch of changes: its items are the keys and images of List.
type Changes struct {
	Batch
	List []Change
}

// Reset empties the batch and keeps its memory.
func (c *Changes) Reset() {
	c.Batch.Reset()
	c.List = c.List[:0]
}

// Key returns the key of the i-th change, an item of the key attributes alone.
func (c *Changes) Key(i int) Item { return c.Item(int(c.List[i].Key)) }

// New returns the item as it was when the window ended; ok is false when it was deleted.
func (c *Changes) New(i int) (it Item, ok bool) { return c.image(c.List[i].New) }

// Old returns the item as it was before the window, where that is told.
func (c *Changes) Old(i int) (it Item, ok bool) { return c.image(c.List[i].Old) }

func (c *Changes) image(row int32) (Item, bool) {
	if row == NoImage {
		return Item{}, false
	}
	return c.Item(int(row)), true
}

// ParseMicros reads a time in microseconds: a whole number of at most 63 bits in any of the forms of a number.
func ParseMicros(text []byte) (int64, error) {
	d, err := ParseDecimal(text)
	if err != nil {
		return 0, err
	}
	value := d.Lo
	for e := d.Exp; e > 0 && d.Hi == 0 && value>>63 == 0; e-- {
		hi, lo := bits.Mul64(value, 10)
		if value = lo; hi != 0 {
			value = 1 << 63
		}
	}
	if d.Neg || d.Hi != 0 || d.Exp < 0 || value>>63 != 0 {
		return 0, fault.New(fault.Corrupt, "%.40q is no time in microseconds", text)
	}
	return int64(value), nil
}
