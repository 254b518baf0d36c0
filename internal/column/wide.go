package column

import (
	"encoding/binary"
	"math/bits"

	"dynaferry/internal/item"
)

// wide is a 128-bit two's complement integer, the mantissa of a Decimal38.
type wide struct {
	hi int64
	lo uint64
}

func wideOf(v int64) wide { return wide{v >> 63, uint64(v)} }

// int64 returns the value when it fits.
func (w wide) int64() (int64, bool) { return int64(w.lo), w.hi == int64(w.lo)>>63 }

func (w wide) neg() wide {
	lo, borrow := bits.Sub64(0, w.lo, 0)
	hi, _ := bits.Sub64(0, uint64(w.hi), borrow)
	return wide{int64(hi), lo}
}

// abs returns the magnitude; that of a decimal stays below 10^38 < 2^127.
func (w wide) abs() (hi, lo uint64, neg bool) {
	if w.hi < 0 {
		w, neg = w.neg(), true
	}
	return uint64(w.hi), w.lo, neg
}

func signed(hi, lo uint64, neg bool) wide {
	w := wide{int64(hi), lo}
	if neg {
		return w.neg()
	}
	return w
}

// pow10 are the powers of ten that fit 64 bits.
var pow10 = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10,
	1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// mulPow10 multiplies a magnitude by 10^n; ok is false when it leaves 128 bits.
func mulPow10(hi, lo uint64, n int) (_, _ uint64, ok bool) {
	for n > 0 {
		step := min(n, len(pow10)-1)
		n -= step
		p := pow10[step]
		over, high := bits.Mul64(hi, p)
		carry, low := bits.Mul64(lo, p)
		high, c := bits.Add64(high, carry, 0)
		if over != 0 || c != 0 {
			return 0, 0, false
		}
		hi, lo = high, low
	}
	return hi, lo, true
}

// divPow10 divides a magnitude by 10^n; ok is false when a remainder is left.
func divPow10(hi, lo uint64, n int) (_, _ uint64, ok bool) {
	for n > 0 {
		step := min(n, len(pow10)-1)
		n -= step
		p := pow10[step]
		high, rem := hi/p, hi%p
		low, rem := bits.Div64(rem, lo, p)
		if rem != 0 {
			return 0, 0, false
		}
		hi, lo = high, low
	}
	return hi, lo, true
}

// below10 tells whether a magnitude has at most n decimal digits, n up to 38.
func below10(hi, lo uint64, n int) bool {
	if n < len(pow10) {
		return hi == 0 && lo < pow10[n]
	}
	limitHi, limitLo := bits.Mul64(pow10[19], pow10[n-19])
	return hi < limitHi || hi == limitHi && lo < limitLo
}

// mantissa returns the number as an integer times 10^-scale with at most digits digits, or false.
func mantissa(d item.Decimal, digits, scale int) (wide, bool) {
	shift := int(d.Exp) + scale
	if shift < 0 || shift > 38 {
		return wide{}, d.Digits == 0
	}
	hi, lo, ok := mulPow10(d.Hi, d.Lo, shift)
	if !ok || !below10(hi, lo, digits) {
		return wide{}, false
	}
	return signed(hi, lo, d.Neg), true
}

// rescale changes the scale of a mantissa, exactly, within digits digits.
func (w wide) rescale(from, to, digits int) (wide, bool) {
	hi, lo, neg := w.abs()
	ok := true
	if to >= from {
		hi, lo, ok = mulPow10(hi, lo, to-from)
	} else {
		hi, lo, ok = divPow10(hi, lo, from-to)
	}
	if !ok || !below10(hi, lo, digits) {
		return wide{}, false
	}
	return signed(hi, lo, neg), true
}

// appendWide appends the 16 bytes that a Decimal38 has in a Vector.
func appendWide(dst []byte, w wide) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.hi))
	return binary.BigEndian.AppendUint64(dst, w.lo)
}

func wideAt(b []byte) wide {
	return wide{int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])}
}

// appendDecimal appends a mantissa with its point, in normal form.
func (w wide) appendDecimal(dst []byte, scale int) []byte {
	hi, lo, neg := w.abs()
	if hi == 0 && lo == 0 {
		return append(dst, '0')
	}
	var space [40]byte
	at := len(space)
	for hi != 0 || lo != 0 {
		var rem uint64
		hi, rem = hi/10, hi%10
		lo, rem = bits.Div64(rem, lo, 10)
		at--
		space[at] = byte('0' + rem)
	}
	if neg {
		dst = append(dst, '-')
	}
	return appendPoint(dst, space[at:], scale)
}

// appendPoint appends digits with a point scale digits before their end, in normal form.
func appendPoint(dst, digits []byte, scale int) []byte {
	for scale > 0 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
		scale--
	}
	if scale == 0 {
		return append(dst, digits...)
	}
	if whole := len(digits) - scale; whole > 0 {
		dst = append(dst, digits[:whole]...)
		dst = append(dst, '.')
		return append(dst, digits[whole:]...)
	}
	dst = append(dst, '0', '.')
	for range scale - len(digits) {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}
