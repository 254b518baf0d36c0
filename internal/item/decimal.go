package item

import "math/bits"

// Decimal is a number as integer mantissa and power of ten: (Neg) Hi·2^64+Lo × 10^Exp. The mantissa carries no trailing
// zeros and Digits tells how many it has; zero is the zero Decimal with Digits 0. Equal numbers are equal Decimals.
type Decimal struct {
	Hi, Lo uint64
	Neg    bool
	Digits uint8
	Exp    int16
}

// ParseDecimal reads any text that ParseNumber takes, with the same errors.
func ParseDecimal(text []byte) (Decimal, error) {
	d, err := takeApart(text)
	if err != nil {
		return Decimal{}, err
	}
	if d.count == 0 {
		return Decimal{}, nil
	}
	out := Decimal{Neg: d.neg, Digits: uint8(d.count), Exp: int16(d.exp - d.count + 1)}
	for _, c := range d.text[d.first:d.last] {
		if c == '.' {
			continue
		}
		out.Hi, out.Lo = mulAdd10(out.Hi, out.Lo, uint64(c-'0'))
	}
	return out, nil
}

// mulAdd10 returns (hi,lo)*10 + add. 38 digits stay below 2^127.
func mulAdd10(hi, lo, add uint64) (uint64, uint64) {
	carry, low := bits.Mul64(lo, 10)
	low, c := bits.Add64(low, add, 0)
	return hi*10 + carry + c, low
}

// Append appends the normal form.
func (d Decimal) Append(dst []byte) []byte {
	var space [NumberDigitsMax + 1]byte
	text := d.digits(space[:0])
	parts := digits{text: text, last: len(text), count: len(text), exp: int(d.Exp) + len(text) - 1, neg: d.Neg}
	return parts.append(dst)
}

// digits appends the mantissa in decimal.
func (d Decimal) digits(dst []byte) []byte {
	var space [NumberDigitsMax + 2]byte
	at := len(space)
	hi, lo := d.Hi, d.Lo
	for hi != 0 {
		var rem uint64
		hi, rem = hi/10, hi%10
		lo, rem = bits.Div64(rem, lo, 10)
		at--
		space[at] = byte('0' + rem)
	}
	for ; lo != 0; lo /= 10 {
		at--
		space[at] = byte('0' + lo%10)
	}
	return append(dst, space[at:]...)
}

// Int returns the value as an int64 when it is an integer of that range.
func (d Decimal) Int() (int64, bool) {
	if d.Digits == 0 {
		return 0, true
	}
	if d.Hi != 0 || d.Exp < 0 || d.Exp > 18 {
		return 0, false
	}
	v := d.Lo
	for range d.Exp {
		hi, lo := bits.Mul64(v, 10)
		if hi != 0 {
			return 0, false
		}
		v = lo
	}
	if d.Neg {
		return -int64(v), v <= 1<<63
	}
	return int64(v), v < 1<<63
}

// Compare orders two decimals by value: -1, 0 or 1.
func (d Decimal) Compare(e Decimal) int {
	switch ds, es := d.sign(), e.sign(); {
	case ds < es:
		return -1
	case ds > es:
		return 1
	case ds == 0:
		return 0
	case ds < 0:
		return e.compareMagnitude(d)
	}
	return d.compareMagnitude(e)
}

func (d Decimal) sign() int {
	switch {
	case d.Digits == 0:
		return 0
	case d.Neg:
		return -1
	}
	return 1
}

// compareMagnitude orders |d| and |e|, neither zero.
func (d Decimal) compareMagnitude(e Decimal) int {
	dTop, eTop := int(d.Exp)+int(d.Digits), int(e.Exp)+int(e.Digits)
	if dTop != eTop {
		if dTop < eTop {
			return -1
		}
		return 1
	}
	for d.Digits < e.Digits {
		d.Hi, d.Lo = mulAdd10(d.Hi, d.Lo, 0)
		d.Digits++
	}
	for e.Digits < d.Digits {
		e.Hi, e.Lo = mulAdd10(e.Hi, e.Lo, 0)
		e.Digits++
	}
	switch {
	case d.Hi < e.Hi || d.Hi == e.Hi && d.Lo < e.Lo:
		return -1
	case d.Hi == e.Hi && d.Lo == e.Lo:
		return 0
	}
	return 1
}
