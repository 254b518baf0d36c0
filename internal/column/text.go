package column

import (
	"bytes"
	"encoding/base64"
	"slices"
	"unicode/utf8"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// textReader reads the DynamoDB JSON in Extra and JSON columns: our own canonical text, or what foreign hands made of it,
// hence checked like any input. White space is allowed between tokens.
type textReader struct {
	src   []byte
	at    int
	space []byte
	depth int
}

// textDepthMax bounds the nesting of values in text; DynamoDB allows 32 levels, other sources somewhat more.
const textDepthMax = 256

func (t *textReader) corrupt(what string) error {
	return fault.At(fault.New(fault.Corrupt, "read DynamoDB JSON of a column: %s", what), fault.Place{Offset: int64(t.at)})
}

func (t *textReader) blank() {
	for t.at < len(t.src) {
		switch t.src[t.at] {
		case ' ', '\t', '\n', '\r':
			t.at++
		default:
			return
		}
	}
}

// take consumes one punctuation byte.
func (t *textReader) take(c byte) bool {
	t.blank()
	if t.at < len(t.src) && t.src[t.at] == c {
		t.at++
		return true
	}
	return false
}

func (t *textReader) expect(c byte) error {
	if !t.take(c) {
		return t.corrupt("expected '" + string(rune(c)) + "'")
	}
	return nil
}

// str reads a JSON string and returns its text, valid until the next call.
func (t *textReader) str() ([]byte, error) {
	if err := t.expect('"'); err != nil {
		return nil, err
	}
	from, escaped := t.at, false
	for ; ; t.at++ {
		if t.at >= len(t.src) {
			return nil, t.corrupt("string without end")
		}
		c := t.src[t.at]
		if c == '"' {
			break
		}
		if c < ' ' {
			return nil, t.corrupt("control character in a string")
		}
		if c == '\\' {
			escaped = true
			if !t.escape() {
				return nil, t.corrupt("bad escape in a string")
			}
		}
	}
	text := t.src[from:t.at]
	t.at++
	if !utf8.Valid(text) {
		return nil, t.corrupt("invalid UTF-8 in a string")
	}
	if escaped {
		t.space = item.AppendUnescaped(t.space[:0], text)
		return t.space, nil
	}
	return text, nil
}

// escape checks the escape at hand and stops at its last byte.
func (t *textReader) escape() bool {
	t.at++
	if t.at >= len(t.src) {
		return false
	}
	if c := t.src[t.at]; c != 'u' {
		return bytes.IndexByte([]byte(`"\/bfnrt`), c) >= 0
	}
	r, ok := t.hex(t.at + 1)
	t.at += 4
	if !ok || r >= 0xDC00 && r < 0xE000 {
		return false
	}
	if r < 0xD800 || r >= 0xE000 {
		return true
	}
	low, ok := t.hex(t.at + 3)
	ok = ok && t.src[t.at+1] == '\\' && t.src[t.at+2] == 'u' && low >= 0xDC00 && low < 0xE000
	t.at += 6
	return ok
}

func (t *textReader) hex(at int) (r rune, ok bool) {
	if at+4 > len(t.src) {
		return 0, false
	}
	for _, c := range t.src[at : at+4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// typeOf returns the type that a descriptor names, 0 for none.
func typeOf(descriptor []byte) item.Type {
	for t := item.S; t <= item.BS; t++ {
		if t.String() == string(descriptor) {
			return t
		}
	}
	return 0
}

// value reads one typed value, {"N":"1"}, and hands it to w.
func (t *textReader) value(w *item.Builder) error {
	if err := t.expect('{'); err != nil {
		return err
	}
	descriptor, err := t.str()
	if err != nil {
		return err
	}
	kind := typeOf(descriptor)
	if err := t.expect(':'); err != nil {
		return err
	}
	if t.depth++; t.depth > textDepthMax {
		return t.corrupt("nested too deep")
	}
	if err := t.inner(kind, w); err != nil {
		return err
	}
	t.depth--
	return t.expect('}')
}

func (t *textReader) inner(kind item.Type, w *item.Builder) error {
	switch kind {
	case item.S, item.N, item.B:
		return t.scalar(kind, w)
	case item.BOOL, item.NULL:
		return t.literal(kind, w)
	case item.L:
		w.BeginList()
		return t.elements(w, func() error { return t.value(w) })
	case item.M:
		return t.members(w)
	case item.SS, item.NS, item.BS:
		w.BeginSet(kind)
		return t.elements(w, func() error { return t.scalar(kind.Member(), w) })
	}
	return t.corrupt("unknown type")
}

func (t *textReader) scalar(kind item.Type, w *item.Builder) error {
	text, err := t.str()
	if err != nil {
		return err
	}
	switch kind {
	case item.S:
		w.String(text)
	case item.N:
		if err := w.Number(text); err != nil {
			return t.corrupt(err.Error())
		}
	case item.B:
		data, err := base64.StdEncoding.AppendDecode(nil, text)
		if err != nil {
			return t.corrupt("bad base64")
		}
		w.Binary(data)
	}
	return nil
}

func (t *textReader) literal(kind item.Type, w *item.Builder) error {
	t.blank()
	rest := t.src[t.at:]
	truth := bytes.HasPrefix(rest, []byte("true"))
	switch {
	case truth:
		t.at += len("true")
	case kind == item.BOOL && bytes.HasPrefix(rest, []byte("false")):
		t.at += len("false")
	default:
		return t.corrupt("expected true or false")
	}
	if kind == item.NULL {
		w.Null()
	} else {
		w.Bool(truth)
	}
	return nil
}

// elements reads an array; each reads one element.
func (t *textReader) elements(w *item.Builder, each func() error) error {
	if err := t.expect('['); err != nil {
		return err
	}
	for first := true; !t.take(']'); first = false {
		if !first {
			if err := t.expect(','); err != nil {
				return err
			}
		}
		if err := each(); err != nil {
			return err
		}
	}
	w.End()
	return nil
}

func (t *textReader) members(w *item.Builder) error {
	w.BeginMap()
	if err := t.expect('{'); err != nil {
		return err
	}
	var names []string
	for !t.take('}') {
		if len(names) > 0 {
			if err := t.expect(','); err != nil {
				return err
			}
		}
		text, err := t.str()
		if err != nil {
			return err
		}
		name := string(text)
		// Our own text is sorted, so twins cost a search only where somebody else wrote it.
		if len(names) > 0 && name <= names[len(names)-1] && slices.Contains(names, name) {
			return t.corrupt("a member's name comes twice")
		}
		names = append(names, name)
		w.Name(name)
		if err := t.expect(':'); err != nil {
			return err
		}
		if err := t.value(w); err != nil {
			return err
		}
	}
	w.End()
	return nil
}

// skip passes over one value without looking at more than its strings and brackets.
func (t *textReader) skip() error {
	t.blank()
	for depth := 0; ; {
		if t.at >= len(t.src) {
			return t.corrupt("value without end")
		}
		switch t.src[t.at] {
		case '"':
			if end := closingQuote(t.src[t.at+1:]); end >= 0 {
				t.at += end + 1
			} else {
				return t.corrupt("string without end")
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		t.at++
		if depth == 0 {
			return nil
		}
	}
}

// closingQuote is the index of the quote that ends a string's content.
func closingQuote(content []byte) int {
	for i := 0; i < len(content); i++ {
		switch content[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// end checks that nothing follows.
func (t *textReader) end() error {
	if t.blank(); t.at != len(t.src) {
		return t.corrupt("something follows the value")
	}
	return nil
}
