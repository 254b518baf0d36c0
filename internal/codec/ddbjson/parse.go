package ddbjson

import (
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Parse reads b.Src[from:], one attribute map {"Id":{"N":"1"}} with white space around it allowed, and appends its
// row (Line 0). Errors carry the byte offset in the stream (b.Offset counted in) and the attribute path; their
// kind is Corrupt for what is no DynamoDB JSON and User, in DynamoDB's words, for what breaks a rule of values.
// After an error b holds no part of the item.
func Parse(b *item.Batch, from int) error { return ParseRecord(b, from, Bare) }

// ParseRecord is Parse for a record of either shape.
func ParseRecord(b *item.Batch, from int, shape Shape) error {
	if err := fits(b); err != nil {
		return err
	}
	c := checked{src: b.Src, p: from, tape: b.Tape, first: len(b.Tape)}
	if err := c.record(shape); err != nil {
		return shift(err, b)
	}
	b.Tape = c.tape
	b.Rows = append(b.Rows, item.Row{First: uint32(c.first)})
	b.Src = item.EnsureSlack(b.Src)
	return nil
}

// Next parses the attribute map that begins at b.Src[from], whatever follows it, appends its row (Line 0) and returns
// where it ends. It is several times faster than Parse, and knows no more than the compact form that SDKs write: when it
// returns false b has no more rows or tokens than before, and Parse has the last word. The byte behind b.Src is written
// while it runs, so nobody else may read it.
func Next(b *item.Batch, from int) (end int, ok bool) {
	if fits(b) != nil {
		return 0, false
	}
	p := parsers.Get().(*Parser)
	defer parsers.Put(p)
	a := p.automaton(Bare)
	first := len(b.Tape)
	restore := a.begin(b)
	defer restore()
	behind, ok := a.item(uint(from))
	if !ok || int(behind) > len(b.Src) {
		a.tape = a.tape[:first]
		return 0, false
	}
	b.Rows = append(b.Rows, item.Row{First: uint32(first)})
	return int(behind), true
}

// ParseItem is Parse for one item by itself; src is copied.
func ParseItem(src []byte) (item.Item, error) {
	b := &item.Batch{Src: item.WithSlack(src)}
	if err := Parse(b, 0); err != nil {
		return item.Item{}, err
	}
	return b.Item(0), nil
}

// fits refuses a batch that offsets of 32 bits cannot address.
func fits(b *item.Batch) error {
	if len(b.Src) > item.BatchBytesMax {
		return fault.New(fault.Limit, "%d bytes at once; at most %d", len(b.Src), item.BatchBytesMax)
	}
	return nil
}

// shift turns an offset in b.Src into one in the stream.
func shift(err error, b *item.Batch) error {
	if b.Offset == 0 {
		return err
	}
	place := fault.PlaceOf(err)
	return fault.At(cause(err), fault.Place{Offset: place.Offset + b.Offset, Path: place.Path})
}

// cause strips the place that this package has put around an error.
func cause(err error) error {
	if e, ok := err.(*fault.Error); ok && e.Place != (fault.Place{}) {
		return e.Err
	}
	return err
}
