package column

import (
	"encoding/binary"
	"math/bits"
	"strconv"

	"dynaferry/internal/item"
)

// normal returns the normal form of the N at index i, valid until the next call.
func (s *Shredder) normal(it item.Item, i int) []byte {
	if token := &it.Tape[i]; token.Flags&item.Normal != 0 {
		return it.Src[token.Off:token.End]
	}
	s.space = it.AppendNumber(s.space[:0], i)
	return s.space
}

// small is a number of at most 18 digits: its signed digits without point, the digits in front of the point (0 for
// 0.5) and behind it.
type small struct {
	mantissa      int64
	digits, scale int
}

// parseSmall reads a normal form of at most 18 digits.
func parseSmall(text []byte) (n small, ok bool) {
	digits := text
	if digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) > longDigits+1 {
		return n, false
	}
	v, point := int64(0), -1
	for i, c := range digits {
		if c == '.' {
			point = i
			continue
		}
		v = v*10 + int64(c-'0')
	}
	n.digits = len(digits)
	if point >= 0 {
		n.digits, n.scale = point, len(digits)-point-1
	} else if n.digits > longDigits {
		return n, false
	}
	if digits[0] == '0' {
		n.digits = 0
	}
	if len(digits) < len(text) {
		v = -v
	}
	n.mantissa = v
	return n, true
}

// shortSmall reads a normal form of at most 16 characters without sign, and with a point only among the first eight
// and nowhere behind them, as most numbers are: from two words, without a loop. Characters behind the text may be any.
func shortSmall(text *[16]byte, size uint) (n small, ok bool) {
	const zeros, marks = 0x3030303030303030, 0x1010101010101010
	first := binary.LittleEndian.Uint64(text[:8]) ^ zeros // digits become 0 to 9; point and sign have bit 4 set
	if size > 8 {
		last := binary.LittleEndian.Uint64(text[8:]) ^ zeros
		last <<= (16 - size) * 8 & 63
		if (first|last)&marks != 0 {
			return n, false
		}
		n.mantissa = int64(digits8(first)*pow10[size-8] + digits8(last))
		n.digits = int(size) // a normal form this long begins with no zero
		return n, true
	}
	first <<= (8 - size) * 8
	n.digits = int(size)
	if mark := first & marks; mark != 0 {
		at := uint(bits.TrailingZeros64(mark)) &^ 7
		if byte(first>>at) != '.'^'0' {
			return n, false
		}
		// What stands in front of the point moves up by one byte.
		front := first & (1<<at - 1)
		first = first>>at>>8<<at<<8 | front<<8
		n.scale = int(56-at) >> 3
		n.digits -= n.scale + 1
	}
	n.mantissa = int64(digits8(first))
	if text[0] == '0' {
		n.digits = 0
	}
	return n, true
}

// smallOf reads the N at index i where shortSmall can.
func smallOf(it item.Item, i int) (n small, ok bool) {
	if token := &it.Tape[i]; token.Flags&item.Normal != 0 && token.End-token.Off <= 16 {
		if src := it.Src[:cap(it.Src)]; uint(token.Off)+16 <= uint(len(src)) {
			return shortSmall((*[16]byte)(src[token.Off:]), uint(token.End-token.Off))
		}
	}
	return n, false
}

// digits8 is the number whose eight decimal digits, 0 to 9, are the bytes of x, the highest in the lowest byte.
func digits8(x uint64) uint64 {
	const mask = 0x000000FF000000FF
	x = x*10 + x>>8
	return (x&mask*(100+1000000<<32) + x>>16&mask*(1+10000<<32)) >> 32
}

// number appends to a column of the ladder.
func (s *Shredder) number(c *col, it item.Item, i int) {
	n, ok := smallOf(it, i)
	if !ok {
		text := s.normal(it, i)
		if n, ok = parseSmall(text); !ok || n.scale >= binScales {
			s.large(c, it, i, shapeOf(text))
			return
		}
	}
	if c.bins != nil {
		c.bins[n.digits*binScales+n.scale]++
		c.digits, c.scale = max(c.digits, n.digits), max(c.scale, n.scale)
	}
	for {
		switch c.kind {
		case Long:
			if n.scale == 0 {
				c.here()
				c.longs = append(c.longs, n.mantissa)
				return
			}
		case Decimal18:
			if n.scale <= int(c.scaled) && n.digits <= int(c.room) {
				c.here()
				c.longs = append(c.longs, n.mantissa*int64(pow10[int(c.scaled)-n.scale]))
				return
			}
		default:
			if w, ok := wideOf(n.mantissa).rescale(n.scale, c.field.Scale, c.field.Precision()); ok {
				s.wide(c, w)
				return
			}
		}
		if !s.climb(c) {
			s.range_(c, it, i)
			return
		}
	}
}

// large appends a number that is not small.
func (s *Shredder) large(c *col, it item.Item, i int, sh shape) {
	s.countNumber(c, sh, 1)
	c.digits, c.scale = max(c.digits, sh.digits()), max(c.scale, sh.scale())
	c.beyond = c.beyond || sh.scale() == 0 && !sh.fits(rung{kind: Long})
	d := it.Decimal(i)
	for {
		switch c.field.Kind {
		case Long:
			if v, ok := d.Int(); ok {
				c.here()
				c.longs = append(c.longs, v)
				return
			}
		case Decimal18:
			if w, ok := mantissa(d, c.field.Precision(), c.field.Scale); ok {
				c.here()
				c.longs = append(c.longs, int64(w.lo))
				return
			}
		default:
			if w, ok := mantissa(d, c.field.Precision(), c.field.Scale); ok {
				s.wide(c, w)
				return
			}
		}
		if !s.climb(c) {
			s.range_(c, it, i)
			return
		}
	}
}

func (s *Shredder) wide(c *col, w wide) {
	c.here()
	c.bytes = appendWide(c.bytes, w)
	c.ends = append(c.ends, uint32(len(c.bytes)))
}

func (s *Shredder) range_(c *col, it item.Item, i int) {
	c.field.Spilled = true
	s.misfit(c, Range, it, i)
}

// climb takes the column to the narrowest rung that holds all numbers so far; false when it stands there, is not free
// to move, or there is none. The last is left to Slab, which knows the histogram.
func (s *Shredder) climb(c *col) bool {
	if c.fixed {
		return false
	}
	to := rung{Decimal38, c.scale, 38}
	switch {
	case c.scale == 0 && !c.beyond:
		to = rung{kind: Long}
	case c.digits+c.scale <= 18:
		to = rung{Decimal18, c.scale, 18}
	case c.digits+c.scale > 38:
		return false
	}
	if to.kind == c.field.Kind && to.scale == c.field.Scale {
		return false
	}
	v := Vector{Leaf: Leaf{Field: &c.field}, Longs: c.longs, Bytes: c.bytes, Ends: c.ends}
	if !v.climb(to) {
		return false
	}
	c.longs, c.bytes, c.ends = v.Longs, v.Bytes, v.Ends
	c.field.Kind, c.field.Scale, c.field.Digits = to.kind, to.scale, 0
	c.sync()
	return true
}

// wished appends to the columns that exist by wish only: double, date, timestamp.
func (s *Shredder) wished(c *col, it item.Item, i int) {
	var text []byte
	if it.Tape[i].Type == item.N {
		text = s.normal(it, i)
		s.countNumber(c, shapeOf(text), 1)
	} else {
		text = it.Text(i)
		c.count++
	}
	if c.field.Kind == Double {
		v, _ := strconv.ParseFloat(string(text), 64) // DynamoDB's range lies within float64's
		c.here()
		c.doubles = append(c.doubles, v)
		if !restores(v, text) {
			s.misfit(c, Inexact, it, i)
		}
		return
	}
	v, how := parseMoment(&c.field, text)
	if how == noMoment {
		s.misfit(c, Range, it, i)
		return
	}
	c.here()
	c.longs = append(c.longs, v)
	if how == near {
		s.misfit(c, Inexact, it, i)
	}
}

// restores tells whether the shortest text of a double is the same number again.
func restores(v float64, normal []byte) bool {
	var shortest [32]byte
	var space [item.NumberBytesMax]byte
	back, err := item.AppendNumber(space[:0], strconv.AppendFloat(shortest[:0], v, 'e', -1, 64))
	return err == nil && string(back) == string(normal)
}
