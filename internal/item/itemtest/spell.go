package itemtest

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"

	"dynaferry/internal/item"
)

// Spelled generates DynamoDB JSON of an item in any spelling JSON and DynamoDB allow: members and sets in any order,
// white space anywhere, letters as escapes, numbers with exponents and needless zeros. All of them are the same item.
func Spelled(members map[string]item.Value) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte { return (&speller{s: drawn{t}}).members(members) })
}

type speller struct {
	s   source
	dst []byte
}

// gap writes white space, mostly none.
func (w *speller) gap() {
	for w.s.below(8) == 1 {
		w.dst = append(w.dst, " \t\r\n"[w.s.below(4)])
	}
}

// put writes one structural byte with gaps around.
func (w *speller) put(c byte) {
	w.gap()
	w.dst = append(w.dst, c)
	w.gap()
}

func (w *speller) members(members map[string]item.Value) []byte {
	var names []string
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	shuffle(w.s, names)
	w.put('{')
	for i, name := range names {
		if i > 0 {
			w.put(',')
		}
		w.text(name)
		w.put(':')
		w.value(members[name])
	}
	w.put('}')
	return w.dst
}

func shuffle[T any](s source, list []T) {
	for i := len(list) - 1; i > 0; i-- {
		j := s.below(i + 1)
		list[i], list[j] = list[j], list[i]
	}
}

func (w *speller) value(v item.Value) {
	w.put('{')
	w.text(v.Type.String())
	w.put(':')
	w.inner(v)
	w.put('}')
}

func (w *speller) inner(v item.Value) {
	switch v.Type {
	case item.S:
		w.text(v.Str)
	case item.N:
		w.text(w.number(v.Str))
	case item.B:
		w.text(base64.StdEncoding.EncodeToString(v.Bin))
	case item.BOOL:
		w.dst = fmt.Append(w.dst, v.Bool)
	case item.NULL:
		w.dst = append(w.dst, "true"...)
	case item.M:
		w.members(v.Map)
	case item.L:
		w.list(v.List, w.value)
	default:
		set := slices.Clone(v.List)
		shuffle(w.s, set)
		w.list(set, w.inner)
	}
}

func (w *speller) list(list []item.Value, element func(item.Value)) {
	w.put('[')
	for i, e := range list {
		if i > 0 {
			w.put(',')
		}
		element(e)
	}
	w.put(']')
}

// text writes a JSON string; letters that need no escape get one at times.
func (w *speller) text(text string) {
	w.dst = append(w.dst, '"')
	for _, r := range text {
		switch {
		case w.s.below(12) == 1:
			w.escape(r)
		case r == '"' || r == '\\' || r < ' ':
			quoted := item.AppendString(nil, []byte(string(r)))
			w.dst = append(w.dst, quoted[1:len(quoted)-1]...)
		default:
			w.dst = utf8.AppendRune(w.dst, r)
		}
	}
	w.dst = append(w.dst, '"')
}

func (w *speller) escape(r rune) {
	if r == '/' {
		w.dst = append(w.dst, `\/`...)
		return
	}
	form := `\u%04x`
	if w.s.below(2) == 1 {
		form = `\u%04X`
	}
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		w.dst = fmt.Appendf(w.dst, form, high)
		r = low
	}
	w.dst = fmt.Appendf(w.dst, form, r)
}

// number respells a number: in normal form, or as digits and an exponent with zeros around.
func (w *speller) number(text string) string {
	d, err := item.ParseDecimal([]byte(text))
	if err != nil || w.s.below(3) > 0 {
		return text
	}
	sign := ""
	if d.Neg {
		sign = "-"
	}
	exp := int(d.Exp)
	d.Neg, d.Exp = false, 0
	digits := string(d.Append(nil))
	zeros := w.s.below(3)
	return sign + strings.Repeat("0", w.s.below(3)) + digits + strings.Repeat("0", zeros) +
		[]string{"e", "E", "e"}[w.s.below(3)] + strconv.Itoa(exp-zeros)
}
