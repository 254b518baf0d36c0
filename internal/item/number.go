package item

import (
	"bytes"

	"dynaferry/internal/fault"
)

// Number is a decimal in DynamoDB's normal form: plain decimal notation without exponent, no needless zeros in front or
// behind, "0" for every zero. Two numbers are equal exactly when their normal forms are equal byte for byte.
type Number string

// The limits of DynamoDB's numbers (Developer Guide, "Supported data types"): 38 significant digits, magnitudes from
// 1E-130 to 9.9999999999999999999999999999999999999E+125.
const (
	NumberDigitsMax = 38
	NumberExpMin    = -130 // power of ten of the first significant digit
	NumberExpMax    = 125
	// NumberBytesMax bounds a normal form: sign, "0.", 129 zeros and 38 digits.
	NumberBytesMax = 1 + 2 + 129 + NumberDigitsMax
)

// numberErrorTextMax bounds how much of a wrong number an error repeats.
const numberErrorTextMax = 128

// digits is a number taken apart: the significant digits stand in text[first:last] with at most one point between.
type digits struct {
	text        []byte
	first, last int // from the first to behind the last significant digit, 0 and 0 for zero
	count       int // significant digits
	exp         int // power of ten of the first significant digit
	neg         bool
}

// exponentMax caps what an exponent's digits are read to: far beyond the range either way, far from overflow.
const exponentMax = 1 << 40

// ParseNumber returns the normal form of a number as DynamoDB takes it: optional sign, digits with an optional point
// ("1.", ".5"), optional exponent. White space is refused. Errors are of kind User and speak DynamoDB's words.
func ParseNumber(text []byte) (Number, error) {
	var space [NumberBytesMax]byte
	normal, err := AppendNumber(space[:0], text)
	if err != nil {
		return "", err
	}
	return Number(normal), nil
}

// AppendNumber appends the normal form of text to dst; see ParseNumber. After an error dst is unchanged.
func AppendNumber(dst, text []byte) ([]byte, error) {
	d, err := takeApart(text)
	if err != nil {
		return dst, err
	}
	return d.append(dst), nil
}

// CheckNumber tells whether DynamoDB takes text as a number and whether it is in normal form already.
func CheckNumber(text []byte) (normal bool, err error) {
	d, err := takeApart(text)
	if err != nil {
		return false, err
	}
	var space [NumberBytesMax]byte
	return bytes.Equal(d.append(space[:0]), text), nil
}

// takeApart reads the syntax and checks the range.
func takeApart(text []byte) (digits, error) {
	d := digits{text: text}
	i := 0
	if i < len(text) && (text[i] == '-' || text[i] == '+') {
		d.neg = text[i] == '-'
		i++
	}
	var some bool               // any digit at all
	point, significant := -1, 0 // index of the point; digits since the first significant one
	firstAt, seen := 0, false   // exponent of the first significant digit counts from the point
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' && point < 0 {
			point = i
			continue
		}
		if c-'0' > 9 {
			break
		}
		some = true
		if seen {
			significant++
		}
		if c == '0' {
			continue
		}
		if !seen {
			seen, firstAt, significant = true, i, 1
			d.first = i
		}
		d.last, d.count = i+1, significant
	}
	if !some {
		return d, errNumberSyntax(text)
	}
	whole := i
	exponent, err := takeExponent(text, i)
	if err != nil {
		return d, err
	}
	if !seen {
		d.neg = false
		return d, nil
	}
	if point < 0 {
		point = whole
	}
	d.exp = point - firstAt + exponent
	if firstAt < point {
		d.exp--
	}
	return d, d.check()
}

// takeExponent reads what follows the mantissa: nothing, or e, sign and digits up to the end.
func takeExponent(text []byte, i int) (int, error) {
	if i == len(text) {
		return 0, nil
	}
	if text[i]|0x20 != 'e' {
		return 0, errNumberSyntax(text)
	}
	i++
	neg := false
	if i < len(text) && (text[i] == '-' || text[i] == '+') {
		neg = text[i] == '-'
		i++
	}
	if i == len(text) {
		return 0, errNumberSyntax(text)
	}
	exponent := 0
	for ; i < len(text); i++ {
		if text[i]-'0' > 9 {
			return 0, errNumberSyntax(text)
		}
		if exponent < exponentMax {
			exponent = exponent*10 + int(text[i]-'0')
		}
	}
	if neg {
		exponent = -exponent
	}
	return exponent, nil
}

func (d *digits) check() error {
	switch {
	case d.count > NumberDigitsMax:
		return fault.New(fault.User, "Attempting to store more than 38 significant digits in a Number")
	case d.exp > NumberExpMax:
		return fault.New(fault.User,
			"Number overflow. Attempting to store a number with magnitude larger than supported range")
	case d.exp < NumberExpMin:
		return fault.New(fault.User,
			"Number underflow. Attempting to store a number with magnitude smaller than supported range")
	}
	return nil
}

func errNumberSyntax(text []byte) error {
	if len(text) == 0 {
		return fault.New(fault.User, "The parameter cannot be converted to a numeric value")
	}
	if len(text) > numberErrorTextMax {
		return fault.New(fault.User, "The parameter cannot be converted to a numeric value: %s...",
			text[:numberErrorTextMax])
	}
	return fault.New(fault.User, "The parameter cannot be converted to a numeric value: %s", text)
}

// mantissa appends the significant digits without point.
func (d *digits) mantissa(dst []byte) []byte {
	run := d.text[d.first:d.last]
	if point := bytes.IndexByte(run, '.'); point >= 0 {
		dst = append(dst, run[:point]...)
		return append(dst, run[point+1:]...)
	}
	return append(dst, run...)
}

// append renders the normal form.
func (d *digits) append(dst []byte) []byte {
	if d.count == 0 {
		return append(dst, '0')
	}
	if d.neg {
		dst = append(dst, '-')
	}
	if d.exp < 0 {
		dst = append(dst, '0', '.')
		dst = appendZeros(dst, -d.exp-1)
		return d.mantissa(dst)
	}
	start := len(dst)
	dst = d.mantissa(dst)
	whole := d.exp + 1 // digits in front of the point
	if d.count <= whole {
		return appendZeros(dst, whole-d.count)
	}
	dst = append(dst, 0)
	at := start + whole
	copy(dst[at+1:], dst[at:])
	dst[at] = '.'
	return dst
}

func appendZeros(dst []byte, n int) []byte {
	for ; n > 0; n-- {
		dst = append(dst, '0')
	}
	return dst
}
