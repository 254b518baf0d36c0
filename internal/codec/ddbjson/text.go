package ddbjson

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
	"unsafe"

	"dynaferry/internal/item"
)

// Words of 8 equal bytes, for looking at 8 bytes at once.
const (
	ones    = 0x0101010101010101
	highs   = 0x8080808080808080
	quotes  = ones * '"'
	slashes = ones * '\\'
	spaces  = ones * ' '
	zeros   = ones * '0'
	// beyond9 carries into the high bit of every byte that is 10 or more.
	beyond9 = ones * (0x80 - 10)
)

// load reads 8 bytes, first byte lowest. There must be 8 readable bytes at base+p; item.Slack sees to that.
func load(base unsafe.Pointer, p uint) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(base, p))[:])
}

// at reads one byte.
func at(base unsafe.Pointer, p uint) byte { return *(*byte)(unsafe.Add(base, p)) }

// special flags, in the high bit of each byte, quotes, backslashes, control characters and bytes above 0x7F. The lowest
// flag is exact; those above may be too many, because subtraction borrows.
func special(x uint64) uint64 {
	return (((x ^ quotes) - ones) | ((x ^ slashes) - ones) | (x - spaces) | x) & highs
}

// plainText returns the position of the first byte from p on that special flags.
func plainText(base unsafe.Pointer, p uint) uint {
	for {
		if found := special(load(base, p)); found != 0 {
			return p + uint(bits.TrailingZeros64(found))>>3
		}
		p += 8
	}
}

// flaw is what is wrong with a string's content.
type flaw uint8

const (
	fine flaw = iota
	flawEnd
	flawControl
	flawUTF8
	flawEscape
	flawSurrogate
)

var flawTexts = [...]string{
	flawEnd:       "unexpected end inside a string",
	flawControl:   "control character in a string",
	flawUTF8:      "invalid UTF-8",
	flawEscape:    "invalid escape",
	flawSurrogate: "lone surrogate",
}

// scanText checks a string's content from p on and returns the position of its closing quote, or of the flaw. It is
// bounded by src's length and knows every rule; the hot path calls it from the first odd byte on.
func scanText(src []byte, p int) (end int, flags item.Flags, what flaw) {
	for p < len(src) {
		c := src[p]
		switch {
		case c == '"':
			return p, flags, fine
		case c < ' ':
			return p, flags, flawControl
		case c == '\\':
			flags |= item.Escaped
			n, what := scanEscape(src[p:])
			if what != fine {
				return p, flags, what
			}
			p += n
		case c < utf8.RuneSelf:
			p++
			for p+8 <= len(src) && special(binary.LittleEndian.Uint64(src[p:])) == 0 {
				p += 8
			}
		default:
			flags |= item.NonASCII
			n := runeBytes(src[p:])
			if n == 0 {
				return p, flags, flawUTF8
			}
			p += n
		}
	}
	return p, flags, flawEnd
}

// runeBytes returns the length of the valid multi-byte UTF-8 sequence that b starts with, 0 if there is none.
// The three ranges that most text lies in are told apart here, the rest by the library.
func runeBytes(b []byte) int {
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF && len(b) >= 2 && b[1]&0xC0 == 0x80:
		return 2
	case c >= 0xE1 && c <= 0xEC && len(b) >= 3 && b[1]&0xC0 == 0x80 && b[2]&0xC0 == 0x80:
		return 3
	}
	r, n := utf8.DecodeRune(b)
	if r == utf8.RuneError && n <= 1 {
		return 0
	}
	return n
}

// scanEscape checks the escape that b starts with and returns its length; a surrogate pair is one.
func scanEscape(b []byte) (int, flaw) {
	if len(b) < 2 {
		return 0, flawEnd
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, fine
	case 'u':
	default:
		return 0, flawEscape
	}
	unit, ok := hexUnit(b)
	switch {
	case !ok:
		return 0, flawEscape
	case unit < 0xD800 || unit > 0xDFFF:
		return 6, fine
	case unit >= 0xDC00 || len(b) < 12 || b[6] != '\\' || b[7] != 'u':
		return 0, flawSurrogate
	}
	low, ok := hexUnit(b[6:])
	if !ok {
		return 0, flawEscape
	}
	if low < 0xDC00 || low > 0xDFFF {
		return 0, flawSurrogate
	}
	return 12, fine
}

// hexUnit reads the four digits of \uXXXX.
func hexUnit(b []byte) (unit uint16, ok bool) {
	if len(b) < 6 {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		unit = unit<<4 | uint16(c)
	}
	return unit, true
}

// base64Class is 1 for the characters of standard base64.
var base64Class = func() (class [256]byte) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		class[c] = 1
	}
	return class
}()

// validBase64 tells whether content is padded standard base64 (RFC 4648 section 4) without line breaks.
func validBase64(content []byte) bool {
	if len(content)%4 != 0 {
		return false
	}
	for pad := 0; pad < 2 && len(content) > 0 && content[len(content)-1] == '='; pad++ {
		content = content[:len(content)-1]
	}
	ok := byte(1)
	for _, c := range content {
		ok &= base64Class[c]
	}
	return ok == 1
}

// plainNumber reads a number without exponent at p up to its closing quote. It returns the quote's position and
// true when the number is in normal form and surely in range; anything else is for item.CheckNumber to judge.
func plainNumber(base unsafe.Pointer, p uint) (end uint, normal bool) {
	if at(base, p) == '-' {
		p++
		if at(base, p) == '0' && at(base, p+1) != '.' {
			return 0, false // -0
		}
	}
	first := p
	p = skipDigits(base, p)
	whole := p - first
	if whole == 0 || whole > 1 && at(base, first) == '0' {
		return 0, false
	}
	if c := at(base, p); c != '"' {
		if c != '.' {
			return 0, false
		}
		point := p
		p = skipDigits(base, p+1)
		if p == point+1 || at(base, p-1) == '0' || at(base, p) != '"' {
			return 0, false
		}
	}
	return p, p-first <= item.NumberDigitsMax
}

// skipDigits returns the position of the first byte that is no digit.
func skipDigits(base unsafe.Pointer, p uint) uint {
	for {
		x := load(base, p) ^ zeros
		if other := (x&^highs + beyond9 | x) & highs; other != 0 {
			return p + uint(bits.TrailingZeros64(other))>>3
		}
		p += 8
	}
}
