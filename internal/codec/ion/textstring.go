package ion

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// Words of 8 equal bytes, for looking at 8 bytes at once.
const (
	ones    = 0x0101010101010101
	highs   = 0x8080808080808080
	quotes  = ones * '"'
	slashes = ones * '\\'
	spaces  = ones * ' '
)

// plainEnd returns the position of the first byte from p on that is no printable ASCII or a quote or backslash. There are
// 8 bytes behind b's length in its capacity, and a byte of the kind looked for at its end.
func plainEnd(b []byte, p int) int {
	for {
		x := binary.LittleEndian.Uint64(b[p : p+8])
		// A byte's high bit is set when it is a quote, a backslash, below a space, or above 0x7F. Subtraction borrows, so
		// that the lowest flag alone is exact.
		if found := (((x ^ quotes) - ones) | ((x ^ slashes) - ones) | (x - spaces) | x) & highs; found != 0 {
			return p + bits.TrailingZeros64(found)>>3
		}
		p += 8
	}
}

// short1 reads a string between double quotes.
func (c *textCursor) shortString(t *text, scratch *[]byte) error {
	start := c.p + 1
	p := plainEnd(c.src, start)
	if c.src[p] == '"' && p < c.end {
		*t = text{b: c.src[start:p], plain: true, at: c.p}
		c.p = p + 1
		return nil
	}
	at := c.p
	c.p = start
	out, err := c.content('"', (*scratch)[:0])
	*scratch = out
	if err != nil {
		return err
	}
	c.p++
	*t = text{b: out, at: at}
	return nil
}

// quoted reads a symbol between single quotes, or a long string.
func (c *textCursor) quoted(t *text, scratch *[]byte) (long bool, err error) {
	at := c.p
	if c.p+3 > c.end && !c.final {
		return false, errShort
	}
	if c.src[c.p+1] == '\'' && c.src[c.p+2] == '\'' {
		return true, c.long(t, scratch)
	}
	c.p++
	out, err := c.content('\'', (*scratch)[:0])
	*scratch = out
	if err != nil {
		return false, err
	}
	c.p++
	*t = text{b: out, quoted: true, at: at}
	return false, nil
}

// long reads strings between triple quotes, which are one when only white space stands between them.
func (c *textCursor) long(t *text, scratch *[]byte) error {
	at := c.p
	out := (*scratch)[:0]
	defer func() { *scratch = out }()
	for {
		c.p += 3
		var err error
		if out, err = c.segment(out); err != nil {
			return err
		}
		c.p += 3
		if err := c.space(); err != nil {
			return err
		}
		if c.p+3 > c.end && !c.final {
			return errShort
		}
		if c.src[c.p] != '\'' || c.src[c.p+1] != '\'' || c.src[c.p+2] != '\'' {
			break
		}
	}
	*t = text{b: out, at: at}
	return nil
}

// segment reads one long string up to its closing quotes. Line ends become line feeds.
func (c *textCursor) segment(out []byte) ([]byte, error) {
	for {
		var err error
		if out, err = c.content(0, out); err != nil {
			return out, err
		}
		switch c.src[c.p] {
		case '\'':
			if c.p+3 > c.end && !c.final {
				return out, errShort
			}
			if c.src[c.p+1] == '\'' && c.src[c.p+2] == '\'' {
				return out, nil
			}
			out = append(out, '\'')
			c.p++
		case '\r':
			if c.p+1 >= c.end && !c.final {
				return out, errShort
			}
			if c.p++; c.src[c.p] != '\n' {
				out = append(out, '\n')
			}
		default: // a line feed
			out = append(out, '\n')
			c.p++
		}
	}
}

// content reads text with escapes up to an unescaped quote; quote 0 reads up to a single quote or a line end, which other
// texts may not hold.
func (c *textCursor) content(quote byte, out []byte) ([]byte, error) {
	for {
		p := plainEnd(c.src, c.p)
		if quote != '"' {
			if i := bytes.IndexByte(c.src[c.p:p], '\''); i >= 0 {
				p = c.p + i
			}
		}
		out = append(out, c.src[c.p:p]...)
		c.p = p
		switch b := c.src[p]; {
		case p >= c.end:
			return out, c.endless()
		case b == quote, quote == 0 && (b == '\'' || b == '\n' || b == '\r'):
			return out, nil
		case b == '\\':
			var err error
			if out, err = c.escape(out); err != nil {
				return out, err
			}
		case b == '"' || b == '\t' || b == '\v' || b == '\f':
			out = append(out, b)
			c.p++
		case b < ' ':
			return out, corrupt("control character %#02x in a text", b)
		default:
			n := runeBytes(c.src[p:c.end])
			if n == 0 {
				if !c.final && !utf8.FullRune(c.src[p:c.end]) {
					return out, errShort
				}
				return out, corrupt("invalid UTF-8")
			}
			out = append(out, c.src[p:p+n]...)
			c.p += n
		}
	}
}

func (c *textCursor) endless() error {
	if !c.final {
		return errShort
	}
	return corrupt("a text without end")
}

// runeBytes returns the length of the valid UTF-8 sequence of several bytes that b starts with, 0 if there is none.
func runeBytes(b []byte) int {
	r, n := utf8.DecodeRune(b)
	if r == utf8.RuneError && n <= 1 {
		return 0
	}
	return n
}

// simpleEscapes are the letters of the escapes of one letter, and what they stand for.
var simpleEscapes = func() (to [256]byte) {
	for i, b := range []byte("abtnvfr\"'/?\\") {
		to[b] = "\a\b\t\n\v\f\r\"'/?\\"[i]
	}
	return to
}()

// escape reads the escape at p.
func (c *textCursor) escape(out []byte) ([]byte, error) {
	if c.p+1 >= c.end {
		return out, c.short()
	}
	b := c.src[c.p+1]
	if to := simpleEscapes[b]; to != 0 {
		c.p += 2
		return append(out, to), nil
	}
	switch b {
	case '0':
		c.p += 2
		return append(out, 0), nil
	case '\n':
		c.p += 2
		return out, nil
	case '\r':
		if c.p+2 >= c.end && !c.final {
			return out, errShort
		}
		if c.p += 2; c.src[c.p] == '\n' {
			c.p++
		}
		return out, nil
	case 'x':
		return c.hexEscape(out, 2)
	case 'u':
		return c.hexEscape(out, 4)
	case 'U':
		return c.hexEscape(out, 8)
	}
	return out, corrupt("invalid escape \\%c", b)
}

// hexEscape reads an escape of n digits. Two of 4 digits that are a surrogate pair are one character, as in JSON.
func (c *textCursor) hexEscape(out []byte, n int) ([]byte, error) {
	r, err := c.hex(c.p+2, n)
	if err != nil {
		return out, err
	}
	used := 2 + n
	if n == 4 && utf16.IsSurrogate(r) {
		next := c.p + used
		if next+2 > c.end && !c.final {
			return out, errShort
		}
		low := rune(0)
		if r < 0xDC00 && c.src[next] == '\\' && c.src[next+1] == 'u' {
			if low, err = c.hex(next+2, 4); err != nil {
				return out, err
			}
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return out, corrupt("lone surrogate")
		}
		used *= 2
	}
	if !utf8.ValidRune(r) {
		return out, corrupt("an escape for no character")
	}
	c.p += used
	return utf8.AppendRune(out, r), nil
}

// hex reads n digits at p.
func (c *textCursor) hex(p, n int) (rune, error) {
	if p+n > c.end && !c.final {
		return 0, errShort
	}
	var r uint32
	for _, b := range c.src[p : p+n] {
		digit, ok := hexDigit(b)
		if !ok {
			return 0, corrupt("invalid escape")
		}
		r = r<<4 | uint32(digit)
	}
	return rune(min(r, utf8.MaxRune+1)), nil
}

// brace reads what begins with a brace: of a struct that alone, else a blob or clob.
func (c *textCursor) brace(v *value) error {
	if c.p+1 >= c.end && !c.final {
		return errShort
	}
	if c.src[c.p+1] != '{' {
		v.kind = kindStruct
		c.p++
		return nil
	}
	c.p += 2
	c.blank()
	if b := c.src[c.p]; b == '"' || b == '\'' {
		return c.clob(v)
	}
	v.kind = kindBlob
	c.texts = c.texts[:0]
	for {
		start := c.p
		for class[c.src[c.p]]&isBase64 != 0 {
			c.p++
		}
		c.texts = append(c.texts, c.src[start:c.p]...)
		if class[c.src[c.p]]&isSpace == 0 {
			break
		}
		c.p++
	}
	if err := c.braces(); err != nil {
		return err
	}
	blob, err := base64.StdEncoding.AppendDecode(c.blobs[:0], c.texts)
	c.blobs, v.blob = blob, blob
	if err != nil {
		return corrupt("invalid base64")
	}
	return nil
}

// blank passes over white space alone: comments have no place in blobs and clobs.
func (c *textCursor) blank() {
	for class[c.src[c.p]]&isSpace != 0 {
		c.p++
	}
}

// braces reads the two that end a blob or clob.
func (c *textCursor) braces() error {
	if c.p+1 >= c.end && !c.final {
		return errShort
	}
	if c.src[c.p] != '}' || c.src[c.p+1] != '}' || c.p+1 >= c.end {
		return c.unexpected("'}}' or base64")
	}
	c.p += 2
	return nil
}

// clob passes over a clob: its bytes are ASCII, and none becomes an attribute.
func (c *textCursor) clob(v *value) error {
	v.kind = kindClob
	if c.src[c.p] == '"' {
		if err := c.shortString(&v.text, &c.texts); err != nil {
			return err
		}
		c.blank()
		return c.braces()
	}
	for {
		if c.p+3 > c.end && !c.final {
			return errShort
		}
		if c.src[c.p] != '\'' || c.src[c.p+1] != '\'' || c.src[c.p+2] != '\'' {
			return c.braces()
		}
		c.p += 3
		var err error
		if c.texts, err = c.segment(c.texts[:0]); err != nil {
			return err
		}
		c.p += 3
		c.blank()
	}
}
