package store

import "dynaferry/internal/fault"

// Classes of numbers, in their order. The gaps leave room for nothing: the format is complete.
const (
	classNegative = 0x40
	classZero     = 0x80
	classPositive = 0xC0
)

// exponentMax bounds the decimal exponent that fits the two bytes it gets; DynamoDB's own range is about ±130.
const exponentMax = 1 << 14

// EncodeNumber appends the order-preserving form of an N key attribute to dst: byte order is numeric order, and equal
// numbers have equal bytes however they are written (1, 1.0, 10E-1, -0). text is any decimal that DynamoDB takes.
//
// The value is ±0.ddd… × 10^e without zeros at either end of ddd: class, e biased by 2^15 in two bytes, two digits a
// byte plus one, a zero byte; behind the class of a negative number all bytes are inverted.
func EncodeNumber(dst, text []byte) ([]byte, error) {
	d, ok := scanDecimal(text)
	if !ok {
		return nil, fault.New(fault.User, "%.60q is not a number", text)
	}
	dst = append(dst, tagNumber)
	if len(d.digits) == 0 {
		return append(dst, classZero), nil
	}
	class, flip := byte(classPositive), byte(0)
	if d.negative {
		class, flip = classNegative, 0xFF
	}
	biased := uint16(d.exponent + 1<<15)
	dst = append(dst, class, byte(biased>>8)^flip, byte(biased)^flip)
	for i := 0; i < len(d.digits); i += 2 {
		pair := (d.digits[i] - '0') * 10
		if i+1 < len(d.digits) {
			pair += d.digits[i+1] - '0'
		}
		dst = append(dst, (pair+1)^flip)
	}
	return append(dst, flip), nil
}

// decimal is ±0.digits × 10^exponent; digits holds ASCII without zeros at either end and is empty for zero.
type decimal struct {
	negative bool
	digits   []byte
	exponent int
}

func scanDecimal(text []byte) (decimal, bool) {
	var d decimal
	i := 0
	if i < len(text) && (text[i] == '-' || text[i] == '+') {
		d.negative = text[i] == '-'
		i++
	}
	var store [48]byte
	digits, seen, point, zeros := store[:0], 0, false, 0
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		seen++
		switch {
		case c == '0' && len(digits) == 0: // a leading zero only moves the point
			if point {
				d.exponent--
			}
			continue
		case c == '0':
			zeros++ // a digit only if another one follows
		default:
			for ; zeros > 0; zeros-- {
				digits = append(digits, '0')
			}
			digits = append(digits, c)
		}
		if !point {
			d.exponent++
		}
	}
	if seen == 0 {
		return d, false
	}
	power, ok := scanExponent(text[i:])
	d.exponent += power
	d.digits = digits
	return d, ok && d.exponent > -exponentMax && d.exponent < exponentMax
}

// scanExponent reads what follows the digits: nothing, or e and a whole number.
func scanExponent(text []byte) (int, bool) {
	if len(text) == 0 {
		return 0, true
	}
	if text[0] != 'e' && text[0] != 'E' {
		return 0, false
	}
	text = text[1:]
	sign := 1
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		if text[0] == '-' {
			sign = -1
		}
		text = text[1:]
	}
	if len(text) == 0 {
		return 0, false
	}
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int(c-'0'); n > exponentMax {
			return 0, false
		}
	}
	return sign * n, true
}
