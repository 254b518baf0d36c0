package cbor

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// depthMax bounds nesting; no request of Kinesis nests deeper than four.
const depthMax = 32

// ErrMalformed is what every error of ToJSON wraps.
var ErrMalformed = errors.New("malformed CBOR")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

// The major types, the upper three bits of an item's first byte.
const (
	majorUnsigned = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorSimple
)

const (
	indefinite = 31   // in the lower five bits: the length is not known, a break ends it
	breakByte  = 0xFF // what ends it

	tagTime         = 1
	tagSelfDescribe = 55799 // may stand in front of everything and means nothing
)

// ToJSON returns the JSON that says what one CBOR item does: bytes as base64, times as seconds. Errors wrap ErrMalformed
// and name the offset; src is not kept.
func ToJSON(src []byte) ([]byte, error) {
	d := &decoder{src: src, out: make([]byte, 0, len(src)+len(src)/2+16)}
	if err := d.item(0); err != nil {
		return nil, err
	}
	if d.at != len(src) {
		return nil, malformed("more at offset %d", d.at)
	}
	return d.out, nil
}

type decoder struct {
	src []byte
	at  int
	out []byte
}

// head reads an item's first bytes: its type, its argument, and whether its length is unknown. info is the argument's form.
func (d *decoder) head() (major, info byte, argument uint64, err error) {
	if d.at == len(d.src) {
		return 0, 0, 0, malformed("it ends at offset %d", d.at)
	}
	first := d.src[d.at]
	d.at++
	if major, info = first>>5, first&31; info < 24 {
		return major, info, uint64(info), nil
	}
	if info == indefinite {
		return major, info, 0, nil
	}
	if info > 27 {
		return 0, 0, 0, malformed("byte %#x at offset %d", first, d.at-1)
	}
	n := 1 << (info - 24)
	if len(d.src)-d.at < n {
		return 0, 0, 0, malformed("it ends at offset %d", len(d.src))
	}
	var wide [8]byte
	copy(wide[8-n:], d.src[d.at:])
	d.at += n
	return major, info, binary.BigEndian.Uint64(wide[:]), nil
}

func (d *decoder) item(depth int) error {
	if depth > depthMax {
		return malformed("nested deeper than %d at offset %d", depthMax, d.at)
	}
	start := d.at
	major, info, n, err := d.head()
	if err != nil {
		return err
	}
	if info == indefinite && (major < majorBytes || major > majorMap) {
		return malformed("byte %#x at offset %d", d.src[start], start)
	}
	switch major {
	case majorUnsigned:
		d.out = strconv.AppendUint(d.out, n, 10)
	case majorNegative:
		return d.negative(n, start)
	case majorBytes, majorText:
		content, err := d.content(major, info, n)
		if err != nil {
			return err
		}
		if major == majorText {
			return d.text(content, start)
		}
		d.out = append(d.out, '"')
		d.out = append(base64.StdEncoding.AppendEncode(d.out, content), '"')
	case majorArray:
		return d.list(info, n, depth)
	case majorMap:
		return d.members(info, n, depth)
	case majorTag:
		return d.tagged(n, start, depth)
	default:
		return d.simple(info, n, start)
	}
	return nil
}

// negative writes -1-n.
func (d *decoder) negative(n uint64, start int) error {
	if n == math.MaxUint64 {
		return malformed("a number out of range at offset %d", start)
	}
	d.out = strconv.AppendUint(append(d.out, '-'), n+1, 10)
	return nil
}

// content returns the bytes of a string, pieces of one of unknown length joined.
func (d *decoder) content(major, info byte, n uint64) ([]byte, error) {
	if info != indefinite {
		return d.take(n)
	}
	var whole []byte
	for !d.ended() {
		start := d.at
		m, i, n, err := d.head()
		if err != nil {
			return nil, err
		}
		if m != major || i == indefinite {
			return nil, malformed("byte %#x at offset %d", d.src[start], start)
		}
		piece, err := d.take(n)
		if err != nil {
			return nil, err
		}
		if m == majorText && !utf8.Valid(piece) {
			return nil, malformed("text that is not UTF-8 at offset %d", start)
		}
		whole = append(whole, piece...)
	}
	return whole, nil
}

func (d *decoder) take(n uint64) ([]byte, error) {
	if n > uint64(len(d.src)-d.at) {
		return nil, malformed("it ends at offset %d", len(d.src))
	}
	from := d.at
	d.at += int(n)
	return d.src[from:d.at], nil
}

// ended takes the break that ends an item of unknown length.
func (d *decoder) ended() bool {
	if d.at < len(d.src) && d.src[d.at] == breakByte {
		d.at++
		return true
	}
	return false
}

func (d *decoder) text(content []byte, start int) error {
	out, err := jsontext.AppendQuote(d.out, content)
	if err != nil {
		return malformed("text that is not UTF-8 at offset %d", start)
	}
	d.out = out
	return nil
}

func (d *decoder) list(info byte, n uint64, depth int) error {
	d.out = append(d.out, '[')
	for i := uint64(0); info == indefinite && !d.ended() || info != indefinite && i < n; i++ {
		if i > 0 {
			d.out = append(d.out, ',')
		}
		if err := d.item(depth + 1); err != nil {
			return err
		}
	}
	d.out = append(d.out, ']')
	return nil
}

func (d *decoder) members(info byte, n uint64, depth int) error {
	d.out = append(d.out, '{')
	for i := uint64(0); info == indefinite && !d.ended() || info != indefinite && i < n; i++ {
		if i > 0 {
			d.out = append(d.out, ',')
		}
		if d.at < len(d.src) && d.src[d.at]>>5 != majorText {
			return malformed("a member whose name is no text at offset %d", d.at)
		}
		if err := d.item(depth + 1); err != nil {
			return err
		}
		d.out = append(d.out, ':')
		if err := d.item(depth + 1); err != nil {
			return err
		}
	}
	d.out = append(d.out, '}')
	return nil
}

// tagged reads a time, in milliseconds, or what the self-describing tag stands in front of.
func (d *decoder) tagged(tag uint64, start, depth int) error {
	switch {
	case tag == tagSelfDescribe && start == 0:
		return d.item(depth + 1)
	case tag != tagTime:
		return malformed("tag %d at offset %d", tag, start)
	}
	at := d.at
	major, info, n, err := d.head()
	switch {
	case err != nil:
		return err
	case major > majorNegative || info == indefinite || n > math.MaxInt64-1:
		return malformed("a time that is no number of milliseconds at offset %d", at)
	}
	if major == majorNegative {
		d.out = append(d.out, '-')
		n++
	}
	d.out = fmt.Appendf(d.out, "%d.%03d", n/1000, n%1000)
	return nil
}

// simple reads true, false, null, undefined and floating-point numbers.
func (d *decoder) simple(info byte, n uint64, start int) error {
	var f float64
	switch info {
	case 20, 21:
		d.out = strconv.AppendBool(d.out, info == 21)
		return nil
	case 22, 23:
		d.out = append(d.out, "null"...)
		return nil
	case 25:
		f = half(uint16(n))
	case 26:
		f = float64(math.Float32frombits(uint32(n)))
	case 27:
		f = math.Float64frombits(n)
	default:
		return malformed("byte %#x at offset %d", d.src[start], start)
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return malformed("a number that JSON does not have at offset %d", start)
	}
	d.out = strconv.AppendFloat(d.out, f, 'g', -1, 64)
	return nil
}

// half is the value of a 16-bit floating-point number.
func half(bits uint16) float64 {
	sign, exponent, fraction := 1.0, int(bits>>10&31), float64(bits&1023)
	if bits>>15 == 1 {
		sign = -1
	}
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction == 0 {
			return math.Inf(int(sign))
		}
		return math.NaN()
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}
