package ion

import (
	"encoding/binary"
	"math/big"
	"strconv"
	"unicode/utf8"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// coefficientBytesMax bounds the coefficient of a decimal, 2,466 digits: turning it into text costs the square.
const coefficientBytesMax = 1024

// binaryCursor walks binary Ion. All of the record's bytes are there: its length said so.
type binaryCursor struct {
	src     []byte
	p       int
	open    []span
	symbols *symbols

	digits, texts []byte // scratch
}

// span is an open container: where it ends, and whether fields have names.
type span struct {
	end   int
	named bool
}

// begin puts the cursor on b, which is to be looked at as the inside of a list.
func (c *binaryCursor) begin(b []byte) {
	c.src, c.p, c.open = b, 0, append(c.open[:0], span{end: len(b)})
}

func (c *binaryCursor) where() int { return c.p }

// enter opens the container whose descriptor was read last; its length is where v.at left it.
func (c *binaryCursor) enter(v *value) {
	c.open = append(c.open, span{c.p + len(v.blob), v.kind == kindStruct})
}

// next implements cursor.
func (c *binaryCursor) next(v *value) (more bool, err error) {
	in := c.open[len(c.open)-1]
	for c.p < in.end {
		if in.named {
			at := c.p
			id, err := c.varUint(in.end)
			if err != nil {
				return false, err
			}
			if c.p < in.end && isPad(c.src[c.p]) {
				if err := c.pad(in.end); err != nil {
					return false, err
				}
				continue
			}
			name, err := c.symbols.find(id)
			if err != nil {
				c.p = at
				return false, err
			}
			v.field = name
			v.field.at = at
		} else if isPad(c.src[c.p]) {
			if err := c.pad(in.end); err != nil {
				return false, err
			}
			continue
		}
		return true, c.value(v, in.end)
	}
	c.open = c.open[:len(c.open)-1]
	return false, nil
}

// isPad tells whether a descriptor is of padding.
func isPad(descriptor byte) bool { return descriptor < 0x0F }

// pad passes over padding.
func (c *binaryCursor) pad(end int) error {
	_, n, err := c.descriptor(end)
	c.p += n
	return err
}

// descriptor reads a type descriptor and the length behind it, and makes sure that so many bytes are there.
func (c *binaryCursor) descriptor(end int) (d byte, length int, err error) {
	if c.p >= end {
		return 0, 0, corrupt("a value is missing")
	}
	at := c.p
	d = c.src[c.p]
	c.p++
	length = int(d & 15)
	switch {
	case d>>4 == 1 || length == 15:
		length = 0
	case length == 14 || d == 0xD1:
		n, err := c.varUint(end)
		if err != nil {
			return 0, 0, err
		}
		if n > uint64(end-c.p) || d == 0xD1 && n == 0 {
			c.p = at
			return 0, 0, corrupt("a length of %d bytes where %d are left", n, end-at)
		}
		return d, int(n), nil
	}
	if length > end-c.p {
		c.p = at
		return 0, 0, corrupt("a length of %d bytes where %d are left", length, end-at)
	}
	return d, length, nil
}

// varUint reads a VarUInt.
func (c *binaryCursor) varUint(end int) (uint64, error) {
	var n uint64
	for ; c.p < end; c.p++ {
		b := c.src[c.p]
		if n >= 1<<56 {
			return 0, corrupt("a number of more than 63 bits")
		}
		n = n<<7 | uint64(b&0x7F)
		if b >= 0x80 {
			c.p++
			return n, nil
		}
	}
	return 0, corrupt("a number goes beyond its container")
}

// value reads annotations and a value that ends at end at the latest. A container is left unopened: p is at its content,
// which v.blob holds.
func (c *binaryCursor) value(v *value, end int) error {
	v.notes, v.null, v.at = 0, false, c.p
	if c.p < end && c.src[c.p]>>4 == 0xE {
		var err error
		if end, err = c.annotations(v, end); err != nil {
			return err
		}
		if c.p < end && (isPad(c.src[c.p]) || c.src[c.p]>>4 == 0xE) {
			return corrupt("annotations around no value")
		}
	}
	at := c.p
	d, n, err := c.descriptor(end)
	if err != nil {
		return err
	}
	if v.notes > 0 && c.p+n != end {
		return corrupt("annotations of another length than their value")
	}
	if err := c.typed(v, d, c.src[c.p:c.p+n]); err != nil {
		c.p = at
		return err
	}
	if !v.kind.container() || v.null {
		c.p += n
	}
	return nil
}

// annotations reads a wrapper up to its value and returns where that ends.
func (c *binaryCursor) annotations(v *value, end int) (int, error) {
	at := c.p
	d, n, err := c.descriptor(end)
	if err != nil {
		return 0, err
	}
	if d == 0xE0 || d == 0xEF || n < 3 {
		c.p = at
		return 0, corrupt("invalid type descriptor %#02x", d)
	}
	end = c.p + n
	size, err := c.varUint(end)
	if err != nil {
		return 0, err
	}
	if size == 0 || size >= uint64(end-c.p) {
		c.p = at
		return 0, corrupt("annotations that leave no place for their value")
	}
	last := c.p + int(size)
	for c.p < last {
		at := c.p
		id, err := c.varUint(last)
		if err != nil {
			return 0, err
		}
		note, err := c.symbols.find(id)
		if err != nil {
			c.p = at
			return 0, err
		}
		if v.notes++; v.notes == 1 {
			v.note = note
			v.note.at = at
		}
	}
	return end, nil
}

// typed reads a value's representation.
func (c *binaryCursor) typed(v *value, d byte, b []byte) error {
	kinds := [16]kind{kindNull, kindBool, kindInt, kindInt, kindFloat, kindDecimal, kindTimestamp, kindSymbol, kindString, kindClob,
		kindBlob, kindList, kindSexp, kindStruct, kindNull, kindNull}
	v.kind, v.blob = kinds[d>>4], b
	t, l := d>>4, d&15
	invalid := t >= 0xE || t == 1 && l > 1 && l < 15 || t == 3 && l == 0 || t == 6 && l < 2 ||
		t == 4 && l != 0 && l != 4 && l != 8 && l != 15
	switch {
	case invalid:
		return corrupt("invalid type descriptor %#02x", d)
	case l == 15:
		v.null = true
		return nil
	}
	switch v.kind {
	case kindBool:
		v.truth = l == 1
	case kindInt:
		return c.integer(v, t == 3, b)
	case kindDecimal:
		return c.decimal(v, b)
	case kindSymbol:
		return c.symbol(v, b)
	case kindString:
		return stringText(&v.text, b)
	}
	return nil
}

// stringText checks a string's bytes and finds out whether they are plain.
func stringText(t *text, b []byte) error {
	*t = text{b: b, plain: isPlain(b)}
	if !t.plain && !utf8.Valid(b) {
		return corrupt("invalid UTF-8")
	}
	return nil
}

// isPlain tells whether text is printable ASCII without quote and backslash.
func isPlain(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		if (((x^quotes)-ones)|((x^slashes)-ones)|(x-spaces)|x)&highs != 0 {
			return false
		}
	}
	for _, c := range b {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (c *binaryCursor) symbol(v *value, b []byte) error {
	var id uint64
	for _, x := range b {
		if id >= 1<<32 {
			break
		}
		id = id<<8 | uint64(x)
	}
	found, err := c.symbols.find(id)
	v.text = found
	return err
}

// integer turns a magnitude into digits.
func (c *binaryCursor) integer(v *value, negative bool, b []byte) error {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	if negative && len(b) == 0 {
		return corrupt("a negative zero as int")
	}
	c.digits = c.digits[:0]
	if negative {
		c.digits = append(c.digits, '-')
	}
	if len(b) > intBytesMax {
		c.digits, v.normal = append(c.digits, tooLarge...), false
	} else {
		c.magnitude(b)
		v.normal = len(c.digits) <= item.NumberDigitsMax
	}
	v.number = c.digits
	return nil
}

// magnitude appends an unsigned big-endian number as digits.
func (c *binaryCursor) magnitude(b []byte) {
	if len(b) > 8 {
		c.digits = new(big.Int).SetBytes(b).Append(c.digits, 10)
		return
	}
	var n uint64
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	c.digits = strconv.AppendUint(c.digits, n, 10)
}

// decimal turns exponent and coefficient into digits.
func (c *binaryCursor) decimal(v *value, b []byte) error {
	c.digits, v.normal = c.digits[:0], false
	exponent, b, err := varInt(b)
	if err != nil {
		return err
	}
	if len(b) > coefficientBytesMax {
		return fault.New(fault.Limit, "ion: a decimal's coefficient of %d bytes; at most %d", len(b), coefficientBytesMax)
	}
	negative := len(b) > 0 && b[0] >= 0x80
	if negative {
		c.digits = append(c.digits, '-')
	}
	if len(b) <= 8 { // nearly all
		var n uint64
		for i, x := range b {
			if i == 0 {
				x &= 0x7F
			}
			n = n<<8 | uint64(x)
		}
		if n != 0 && -pointMax <= exponent && exponent <= pointMax {
			c.plainDecimal(v, n, int(exponent))
			return nil
		}
		v.normal = exponent == 0 && !negative
		c.digits = strconv.AppendUint(c.digits, n, 10)
	} else {
		c.texts = append(c.texts[:0], b...)
		c.texts[0] &= 0x7F
		c.magnitude(c.texts)
	}
	if exponent != 0 {
		c.digits = append(c.digits, 'e')
		c.digits = strconv.AppendInt(c.digits, exponent, 10)
	}
	v.number = c.digits
	return nil
}

// pointMax bounds the exponents that need none in text: with the 20 digits of 64 bits they stay below 38.
const pointMax = 17

// plainDecimal writes the coefficient n behind the sign with a point or zeros instead of the exponent.
func (c *binaryCursor) plainDecimal(v *value, n uint64, exponent int) {
	for exponent < 0 && n%10 == 0 {
		n, exponent = n/10, exponent+1
	}
	first := len(c.digits)
	c.digits = strconv.AppendUint(c.digits, n, 10)
	for ; exponent > 0; exponent-- {
		c.digits = append(c.digits, '0')
	}
	if exponent < 0 {
		if missing := 1 - exponent - (len(c.digits) - first); missing > 0 { // zeros in front of the first digit
			c.digits = append(c.digits, "000000000000000000"[:missing]...)
			copy(c.digits[first+missing:], c.digits[first:])
			copy(c.digits[first:], "000000000000000000"[:missing])
		}
		point := len(c.digits) + exponent
		c.digits = append(c.digits, 0)
		copy(c.digits[point+1:], c.digits[point:])
		c.digits[point] = '.'
	}
	v.number, v.normal = c.digits, true
}

// varInt reads a VarInt from the front of b; nothing is zero.
func varInt(b []byte) (n int64, rest []byte, err error) {
	for i, x := range b {
		if n >= 1<<48 {
			return 0, nil, corrupt("an exponent of more than 55 bits")
		}
		if i == 0 {
			n = int64(x & 0x3F)
		} else {
			n = n<<7 | int64(x&0x7F)
		}
		if x >= 0x80 {
			if b[0]&0x40 != 0 {
				n = -n
			}
			return n, b[i+1:], nil
		}
	}
	if len(b) > 0 {
		return 0, nil, corrupt("a decimal without end of its exponent")
	}
	return 0, nil, nil
}
