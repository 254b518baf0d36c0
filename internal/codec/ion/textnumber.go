package ion

import (
	"bytes"
	"math/big"
	"strconv"

	"dynaferry/internal/item"
)

// tooLarge stands for an int that is far beyond DynamoDB's numbers.
const tooLarge = "1e999"

// intBytesMax is above the bytes of 1E126, which no int of DynamoDB reaches.
const intBytesMax = 64

// signed reads what begins with a sign: a number, an infinity, or in an s-expression an operator.
func (c *textCursor) signed(v *value) error {
	if c.p+4 > c.end && !c.final {
		return errShort
	}
	if string(c.src[c.p+1:c.p+4]) == "inf" && class[c.src[c.p+4]]&isIdent == 0 {
		if c.p+4 >= c.end && !c.final {
			return errShort
		}
		c.p += 4
		v.kind = kindFloat
		return nil
	}
	if c.src[c.p] == '-' && class[c.src[c.p+1]]&isDigit != 0 {
		return c.number(v)
	}
	return c.operator(v)
}

// number reads an int, decimal, float or timestamp.
func (c *textCursor) number(v *value) error {
	start := c.p
	p := start
	if c.src[p] == '-' {
		p++
	}
	first := p
	if c.src[p] == '0' && (c.src[p+1]|0x20 == 'x' || c.src[p+1]|0x20 == 'b') {
		return c.radix(v, start, p)
	}
	p, scored := c.run(p)
	whole := p - first
	if whole == 4 && first == start && (c.src[p] == '-' || c.src[p] == 'T') {
		return c.timestamp(v)
	}
	if whole > 1 && c.src[first] == '0' {
		return corrupt("a number with leading zeros")
	}
	v.kind, v.normal = kindInt, whole <= item.NumberDigitsMax
	last := p // behind the text that says it all
	if c.src[p] == '.' {
		v.kind = kindDecimal
		p++
		if class[c.src[p]]&isDigit != 0 {
			var more bool
			frac := p
			p, more = c.run(p)
			scored = scored || more
			v.normal = whole+p-frac <= item.NumberDigitsMax && c.src[p-1] != '0'
			last = p
		}
	}
	if exponent := c.src[p] | 0x20; exponent == 'd' || exponent == 'e' {
		v.kind = kindDecimal
		if exponent == 'e' {
			v.kind = kindFloat
		}
		v.normal, scored = false, true
		if p++; c.src[p] == '-' || c.src[p] == '+' {
			p++
		}
		digits := p
		for class[c.src[p]]&isDigit != 0 {
			p++
		}
		if p == digits && p < c.end {
			c.p = p
			return corrupt("a number without exponent behind its letter")
		}
		last = p
	}
	if err := c.stop(p); err != nil {
		return err
	}
	v.number = c.src[start:last]
	if first != start && c.src[first] == '0' && whole == 1 && last == first+1 { // -0
		v.normal = false
	}
	if scored {
		v.normal = false
		c.digits = unscored(c.digits[:0], v.number)
		v.number = c.digits
	}
	return nil
}

// run reads digits with single underscores between and returns the position behind; scored tells of underscores. Where
// they stand wrong the position is the underscore's, which no number may end with.
func (c *textCursor) run(p int) (end int, scored bool) {
	for {
		for class[c.src[p]]&isDigit != 0 {
			p++
		}
		if c.src[p] != '_' || class[c.src[p+1]]&isDigit == 0 || class[c.src[p-1]]&isDigit == 0 {
			return p, scored
		}
		p++
		scored = true
	}
}

// unscored appends digits without underscores and with e for the exponent's letter.
func unscored(dst, digits []byte) []byte {
	for _, b := range digits {
		switch b {
		case '_':
		case 'd', 'D', 'E':
			dst = append(dst, 'e')
		default:
			dst = append(dst, b)
		}
	}
	return dst
}

// stop makes sure that a number ends at p and moves there.
func (c *textCursor) stop(p int) error {
	if p >= c.end {
		if !c.final {
			return errShort
		}
		c.p = c.end
		return nil
	}
	c.p = p
	if class[c.src[p]]&isStop == 0 {
		return corrupt("unexpected %q within a number", c.src[p])
	}
	return nil
}

// radix reads a hexadecimal or binary int whose zero is at p.
func (c *textCursor) radix(v *value, start, p int) error {
	base := 16
	if c.src[p+1]|0x20 == 'b' {
		base = 2
	}
	p += 2
	c.digits = c.digits[:0]
	if p-2 > start {
		c.digits = append(c.digits, '-')
	}
	sign := len(c.digits)
	for before := byte('_'); ; p++ {
		b := c.src[p]
		if b == '_' && before != '_' {
			before = b
			continue
		}
		if n, ok := hexDigit(b); !ok || n >= base {
			if before == '_' && p < c.end {
				c.p = p
				return corrupt("a number that lacks digits")
			}
			break
		}
		before = b
		c.digits = append(c.digits, b)
	}
	if err := c.stop(p); err != nil {
		return err
	}
	if len(c.digits) == sign {
		return corrupt("a number that lacks digits")
	}
	v.kind, v.normal = kindInt, false
	magnitude := bytes.TrimLeft(c.digits[sign:], "0")
	bits := 4 * len(magnitude)
	if base == 2 {
		bits = len(magnitude)
	}
	switch {
	case bits == 0:
		c.digits = append(c.digits[:sign], '0')
	case bits <= 64:
		n, _ := strconv.ParseUint(string(magnitude), base, 64)
		c.digits = strconv.AppendUint(c.digits[:sign], n, 10)
	case bits > 8*intBytesMax:
		c.digits = append(c.digits[:sign], tooLarge...)
	default:
		n, _ := new(big.Int).SetString(string(magnitude), base)
		c.digits = n.Append(c.digits[:sign], 10)
	}
	v.number = c.digits
	return nil
}

// hexDigit returns the value of a hexadecimal digit.
func hexDigit(b byte) (int, bool) {
	switch {
	case b-'0' <= 9:
		return int(b - '0'), true
	case b|0x20 >= 'a' && b|0x20 <= 'f':
		return int(b|0x20-'a') + 10, true
	}
	return 0, false
}

// timestamp passes over a timestamp by its characters: none becomes an attribute, so its calendar does not matter.
func (c *textCursor) timestamp(v *value) error {
	p := c.p
	for b := c.src[p]; class[b]&isDigit != 0 || b == '-' || b == ':' || b == '.' || b == '+' || b == 'T' || b == 'Z'; b = c.src[p] {
		p++
	}
	v.kind = kindTimestamp
	return c.stop(p)
}
