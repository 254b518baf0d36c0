package parquet

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// Bounds are the smallest and the largest value of a page or chunk in PLAIN encoding without length, in the order that
// the format defines for the column's type. Known is false when there is no value, or no order (NaN).
type Bounds struct {
	Known              bool
	Min, Max           []byte
	MinExact, MaxExact bool // not cut
}

func longBounds(v []int64, s storage) Bounds {
	if len(v) == 0 {
		return Bounds{}
	}
	low, high := v[0], v[0]
	for _, x := range v[1:] {
		low, high = min(low, x), max(high, x)
	}
	return Bounds{true, plainLong(low, s), plainLong(high, s), true, true}
}

func plainLong(v int64, s storage) []byte {
	if s == asDate {
		return binary.LittleEndian.AppendUint32(nil, uint32(v))
	}
	return binary.LittleEndian.AppendUint64(nil, uint64(v))
}

// doubleBounds follows the format's rules for floats: none with a NaN; a zero minimum is -0, a zero maximum +0.
func doubleBounds(v []float64) Bounds {
	if len(v) == 0 {
		return Bounds{}
	}
	low, high := v[0], v[0]
	for _, x := range v {
		if x != x {
			return Bounds{}
		}
		low, high = min(low, x), max(high, x)
	}
	if low == 0 {
		low = math.Copysign(0, -1)
	}
	if high == 0 {
		high = 0
	}
	return Bounds{true, plainDouble(low), plainDouble(high), true, true}
}

func plainDouble(v float64) []byte { return binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)) }

func boolBounds(v []bool) Bounds {
	if len(v) == 0 {
		return Bounds{}
	}
	low, high := byte(1), byte(0)
	for _, x := range v {
		if x {
			high = 1
		} else {
			low = 0
		}
	}
	return Bounds{true, []byte{low}, []byte{high}, true, true}
}

// textBounds walks values that lie one behind the other. Most are told apart by their first eight bytes.
func textBounds(text []byte, lengths []int64, utf bool) Bounds {
	if len(lengths) == 0 {
		return Bounds{}
	}
	low := text[:lengths[0]]
	high := low
	lowHead := head(low)
	highHead := lowHead
	at := int64(0)
	for _, n := range lengths {
		v := text[at : at+n]
		at += n
		h := head(v)
		if h < lowHead || h == lowHead && bytes.Compare(v, low) < 0 {
			low, lowHead = v, h
		}
		if h > highHead || h == highHead && bytes.Compare(v, high) > 0 {
			high, highHead = v, h
		}
	}
	return cut(low, high, utf)
}

// head is the first eight bytes as a number that compares like them.
func head(v []byte) uint64 {
	if len(v) >= 8 {
		return binary.BigEndian.Uint64(v)
	}
	var h uint64
	for i, b := range v {
		h |= uint64(b) << (56 - 8*i)
	}
	return h
}

// fixedBoundsOf orders 16-byte decimals by value: big-endian two's complement.
func fixedBoundsOf(text []byte) Bounds {
	if len(text) == 0 {
		return Bounds{}
	}
	low, high := text[:fixedBytes], text[:fixedBytes]
	for at := 0; at < len(text); at += fixedBytes {
		v := text[at : at+fixedBytes]
		if signedLess(v, low) {
			low = v
		}
		if signedLess(high, v) {
			high = v
		}
	}
	return Bounds{true, bytes.Clone(low), bytes.Clone(high), true, true}
}

func signedLess(a, b []byte) bool {
	if x, y := int8(a[0]), int8(b[0]); x != y {
		return x < y
	}
	return bytes.Compare(a, b) < 0
}

// cut shortens long bounds: a minimum may be any prefix, a maximum a prefix whose last character is raised. Cut UTF-8
// stays UTF-8, since readers decode it.
func cut(low, high []byte, utf bool) Bounds {
	b := Bounds{Known: true, MinExact: true, MaxExact: true}
	if len(low) > boundBytesMax {
		low, b.MinExact = low[:runeBoundary(low, utf)], false
	}
	if len(high) > boundBytesMax {
		if raised := raise(bytes.Clone(high[:runeBoundary(high, utf)]), utf); raised != nil {
			high, b.MaxExact = raised, false
		}
	}
	b.Min, b.Max = bytes.Clone(low), bytes.Clone(high)
	if b.Min == nil {
		b.Min = []byte{}
	}
	if b.Max == nil {
		b.Max = []byte{}
	}
	return b
}

func runeBoundary(v []byte, utf bool) int {
	n := boundBytesMax
	for utf && n > boundBytesMax-utf8.UTFMax && !utf8.RuneStart(v[n]) {
		n--
	}
	return n
}

// raise makes the smallest text of at most v's length that is greater than everything that begins with v, or nil.
func raise(v []byte, utf bool) []byte {
	for len(v) > 0 {
		if !utf {
			if v[len(v)-1] < 0xFF {
				v[len(v)-1]++
				return v
			}
			v = v[:len(v)-1]
			continue
		}
		r, n := utf8.DecodeLastRune(v)
		v = v[:len(v)-n]
		r++
		if r == 0xD800 { // the surrogates are no characters
			r = 0xE000
		}
		if r <= utf8.MaxRune && (r != utf8.RuneError+1 || n == 3) {
			return utf8.AppendRune(v, r)
		}
	}
	return nil
}

// widen makes b cover o too; less orders values of the column.
func (b *Bounds) widen(o Bounds, less func(a, b []byte) bool) {
	if !o.Known {
		return
	}
	if !b.Known {
		*b = o
		return
	}
	if less(o.Min, b.Min) {
		b.Min, b.MinExact = o.Min, o.MinExact
	}
	if less(b.Max, o.Max) {
		b.Max, b.MaxExact = o.Max, o.MaxExact
	}
}

// lessOf orders PLAIN values of a storage.
func lessOf(s storage) func(a, b []byte) bool {
	switch s {
	case asLong:
		return func(a, b []byte) bool {
			return int64(binary.LittleEndian.Uint64(a)) < int64(binary.LittleEndian.Uint64(b))
		}
	case asDate:
		return func(a, b []byte) bool {
			return int32(binary.LittleEndian.Uint32(a)) < int32(binary.LittleEndian.Uint32(b))
		}
	case asDouble:
		return func(a, b []byte) bool {
			return math.Float64frombits(binary.LittleEndian.Uint64(a)) < math.Float64frombits(binary.LittleEndian.Uint64(b))
		}
	case asFixed:
		return signedLess
	default:
		return func(a, b []byte) bool { return bytes.Compare(a, b) < 0 }
	}
}
