package column

import (
	"cmp"
	"slices"
	"strconv"
)

// shape is what the number ladder needs to know of a number: its digits in front of the point (0 for 0.5 and for 0)
// and behind it, of the normal form. The high byte holds the former, the low byte the latter.
type shape uint16

const (
	// digitsLong is the shape of integers that have 19 digits and fit an int64, told apart so that Long can hold
	// them; DynamoDB's numbers have at most 126 digits in front of the point, so the codes from 127 on are free.
	digitsLong = 127
	longDigits = 18 // integers of this many digits always fit an int64
	scaleMax   = 167
)

func makeShape(digits, scale int) shape { return shape(digits<<8 | scale) }

func (s shape) scale() int { return int(s & 0xff) }

// digits are those in front of the point.
func (s shape) digits() int {
	if d := int(s >> 8); d != digitsLong {
		return d
	}
	return longDigits + 1
}

// fits tells whether numbers of this shape have an exact place in a column of the rung.
func (s shape) fits(r rung) bool {
	switch {
	case r.kind == Long:
		return s.scale() == 0 && (s.digits() <= longDigits || s>>8 == digitsLong)
	case s.scale() > r.scale:
		return false
	}
	return s.digits() <= r.precision-r.scale
}

// shapeOf reads the shape from a number's normal form.
func shapeOf(text []byte) shape {
	digits := text
	if digits[0] == '-' {
		digits = digits[1:]
	}
	whole, scale := len(digits), 0
	for i, c := range digits {
		if c == '.' {
			whole, scale = i, len(digits)-i-1
			break
		}
	}
	if digits[0] == '0' {
		whole = 0
	} else if whole == longDigits+1 && scale == 0 {
		if _, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			whole = digitsLong
		}
	}
	return makeShape(whole, scale)
}

// rung is a step of the number ladder.
type rung struct {
	kind      Kind
	scale     int
	precision int
}

func rungOf(f *Field) rung { return rung{f.Kind, f.Scale, f.Precision()} }

// bin counts the numbers of one shape.
type bin struct {
	shape shape
	n     uint64
}

// histogram counts numbers by shape, sorted by shape.
type histogram []bin

func (h *histogram) add(s shape, n uint64) {
	i, found := slices.BinarySearchFunc(*h, s, func(b bin, s shape) int { return cmp.Compare(b.shape, s) })
	if !found {
		*h = slices.Insert(*h, i, bin{shape: s})
	}
	(*h)[i].n += n
}

func (h histogram) total() (n uint64) {
	for _, b := range h {
		n += b.n
	}
	return n
}

// held counts the numbers that a rung holds.
func (h histogram) held(r rung) (n uint64) {
	for _, b := range h {
		if b.shape.fits(r) {
			n += b.n
		}
	}
	return n
}

// rung returns the narrowest rung that holds all numbers, or the one that holds most: of several the lowest, then the
// one with the smallest scale. An empty histogram gets Long.
func (h histogram) rung() rung {
	long := rung{kind: Long}
	digits, scale, whole := 0, 0, true
	for _, b := range h {
		digits, scale = max(digits, b.shape.digits()), max(scale, b.shape.scale())
		whole = whole && b.shape.fits(long)
	}
	switch {
	case whole:
		return long
	case digits+scale <= 18:
		return rung{Decimal18, scale, 18}
	case digits+scale <= 38:
		return rung{Decimal38, scale, 38}
	}
	best, most := long, h.held(long)
	for _, kind := range []Kind{Decimal18, Decimal38} {
		precision := 18
		if kind == Decimal38 {
			precision = 38
		}
		for scale := 0; scale <= precision; scale++ {
			r := rung{kind, scale, precision}
			if n := h.held(r); n > most {
				best, most = r, n
			}
		}
	}
	return best
}
