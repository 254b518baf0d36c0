package itemtest

import (
	"strconv"
	"strings"

	"pgregory.net/rapid"

	"dynaferry/internal/item"
	"dynaferry/internal/sample"
)

// source is where an arbitrary item's choices come from: a seed, or rapid, which can shrink them.
type source interface {
	// below returns a number from 0 to n-1; small ones are simple.
	below(n int) int
}

type drawn struct{ t *rapid.T }

func (d drawn) below(n int) int { return rapid.IntRange(0, n-1).Draw(d.t, "choice") }

// Keys is the key schema that all generated items of this package satisfy but those of AppendOrder (hash key
// orderId) and AppendMixed (pk and sk): a string "pk".
var Keys = item.KeySchema{Hash: item.KeyAttr{Name: "pk", Type: item.S}}

// Members generates arbitrary valid items: all ten types, numbers of 38 digits at both ends of the range, deep
// nesting, odd names, letters of all planes, empty strings, lists and maps. "pk" is their key.
func Members() *rapid.Generator[map[string]item.Value] {
	return rapid.Custom(func(t *rapid.T) map[string]item.Value {
		return arbitraryItem(drawn{t}, "k"+strconv.Itoa(rapid.IntRange(0, 1<<20).Draw(t, "key")))
	})
}

// Item generates what Members does, as an Item with bytes of its own.
func Item() *rapid.Generator[item.Item] {
	return rapid.Custom(func(t *rapid.T) item.Item { return Must(Members().Draw(t, "members")) })
}

// Must is item.FromMap for members that are known to be valid.
func Must(members map[string]item.Value) item.Item {
	it, err := item.FromMap(members)
	if err != nil {
		panic(err)
	}
	return it
}

// Arbitrary returns the i-th arbitrary valid item of a seed, as Members generates them but thousands of times faster.
// Its key is unique within the seed.
func Arbitrary(seed, i uint64) map[string]item.Value {
	r := newRandom(seed^0x5eed, i)
	return arbitraryItem(&r, "k"+strconv.FormatUint(i, 10))
}

// AppendArbitrary appends Arbitrary(seed, i) as DynamoDB JSON, spelled in a way that the seed decides: order, white
// space, escapes and the form of numbers vary. With plain set it is compact and sorted instead.
func AppendArbitrary(dst []byte, seed, i uint64, plain bool) []byte {
	members := Arbitrary(seed, i)
	if plain {
		return item.AppendMap(dst, members)
	}
	r := newRandom(seed^0x5be11, i)
	return (&speller{&r, dst}).members(members)
}

// ArbitraryLines appends n export lines of arbitrary items, one in three of them oddly spelled.
func ArbitraryLines(dst []byte, seed, first uint64, n int) []byte {
	return sample.AppendLines(dst, func(dst []byte, seed, i uint64) []byte {
		if i%3 > 0 {
			return AppendArbitrary(dst, seed, i, true)
		}
		start := len(dst)
		dst = AppendArbitrary(dst, seed, i, false)
		for j := start; j < len(dst); j++ {
			if dst[j] == '\n' { // white space only: inside strings it is escaped
				dst[j] = ' '
			}
		}
		return dst
	}, seed, first, n)
}

const attributesMax = 8

func arbitraryItem(s source, key string) map[string]item.Value {
	members := map[string]item.Value{}
	for range s.below(attributesMax) {
		members[arbitraryName(s)] = arbitraryValue(s, 1)
	}
	members["pk"] = item.Value{Type: item.S, Str: key}
	return members
}

// oddNames are the names that have broken somebody's tool.
var oddNames = []string{"a", "b", "id", "name", "Name", "NAME", "a.b", "a/b", "a b", "a\"b", "a\nb", "a\\b", "", "__proto__",
	"constructor", "_extra", "_op", "_seq", "dt", "year", "é", "e\u0301", "ключ", "名前", "😀", "\u2028", "\x00", "a,b",
	"a;b", "a=b", "{}", "[0]", "#a", ":b", "select", "S", "N", "Item", "L", " lead", "trail ", "a'b", "a`b", "%41", "..", "-",
	"0", "long" + strings.Repeat("g", 300)}

func arbitraryName(s source) string {
	if s.below(3) > 0 {
		return oddNames[s.below(len(oddNames))]
	}
	return arbitraryText(s)
}

// arbitraryValue returns a value whose own level is given, counted as item.NestingMax does.
func arbitraryValue(s source, level int) item.Value {
	if s.below(200) == 1 {
		return deep(s, level)
	}
	kinds := 10
	if level > 4 {
		kinds = 7 // leaves only
	}
	switch s.below(kinds) {
	case 0:
		return item.Value{Type: item.S, Str: arbitraryText(s)}
	case 1:
		return item.Value{Type: item.N, Str: arbitraryNumber(s)}
	case 2:
		return item.Value{Type: item.BOOL, Bool: s.below(2) == 1}
	case 3:
		return item.Value{Type: item.NULL}
	case 4:
		return item.Value{Type: item.B, Bin: arbitraryBytes(s)}
	case 5:
		return item.Value{Type: item.N, Str: strconv.Itoa(s.below(1000))}
	case 6:
		return arbitrarySet(s)
	case 7, 8:
		list := make([]item.Value, 0, 4)
		for range s.below(5) {
			list = append(list, arbitraryValue(s, level+1))
		}
		return item.Value{Type: item.L, List: list}
	}
	members := map[string]item.Value{}
	for range s.below(5) {
		members[arbitraryName(s)] = arbitraryValue(s, level+1)
	}
	return item.Value{Type: item.M, Map: members}
}

// deep wraps a leaf until it stands at the deepest level that DynamoDB takes.
func deep(s source, level int) item.Value {
	v := item.Value{Type: item.S, Str: "deep"}
	for range item.NestingMax - level {
		if s.below(2) == 0 {
			v = item.Value{Type: item.L, List: []item.Value{v}}
		} else {
			v = item.Value{Type: item.M, Map: map[string]item.Value{"d": v}}
		}
	}
	return v
}

// alphabets of one-letter strings: plain, JSON's and CSV's own, controls, two to four bytes, combining, separators.
var alphabets = [][]string{
	{"a", "b", "z", "A", "0", "9", " ", "-"},
	{"\"", "\\", "/", "'", ",", ";", "|", "=", "+", "@", "<", "&", "{", "}", "[", "]", ":"},
	{"\x00", "\x01", "\b", "\t", "\n", "\f", "\r", "\x1f", "\x7f"},
	{"é", "ß", "ж", "\u0301", "\u0080", "߿"},
	{"漢", "ह", "\u2028", "\u2029", "\ufeff", "\ufffd", "\uffff", "ࠀ"},
	{"😀", "𝄞", "\U0010ffff", "\U00010000", "👨‍👩‍👧"},
}

func arbitraryText(s source) string {
	var b strings.Builder
	switch s.below(8) {
	case 0:
		return ""
	case 1:
		return [...]string{"true", "null", "1", "1e5", "NaN", "Infinity", "-0", "2024-01-31", "2024-01-31T10:00:00Z", "=1+1",
			"+1", "@x", "-x", "\ttab", "NULL", `\N`, "{}", `{"S":"x"}`, " ", "a\r\nb"}[s.below(20)]
	case 2:
		for range s.below(60) {
			b.WriteString(alphabets[s.below(len(alphabets))][s.below(5)])
		}
	default:
		alphabet := alphabets[s.below(len(alphabets))]
		for range s.below(20) {
			b.WriteString(alphabet[s.below(len(alphabet))])
		}
	}
	return b.String()
}

// arbitraryNumber returns a number in some spelling that DynamoDB takes.
func arbitraryNumber(s source) string {
	switch s.below(6) {
	case 0:
		return [...]string{"0", "-0", "0.0", "1E-130", "-1E-130", "9.9999999999999999999999999999999999999E+125",
			"-9.9999999999999999999999999999999999999E+125", "99999999999999999999999999999999999999", "1e125", "+1", "1.",
			".5", "0010", "1.50", "100", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
			"0.1", "1.0E0", "123456789012345678", "12345678901234567.8", "0E+500"}[s.below(23)]
	case 1:
		return strconv.Itoa(s.below(2_000_000) - 1_000_000)
	case 2:
		return strconv.Itoa(s.below(1_000_000)) + "." + strconv.Itoa(s.below(100))
	}
	var b strings.Builder
	if s.below(3) == 0 {
		b.WriteByte('-')
	}
	b.WriteByte(byte('1' + s.below(9)))
	digits := s.below(item.NumberDigitsMax)
	if digits > 0 {
		b.WriteByte('.')
	}
	for range digits {
		b.WriteByte(byte('0' + s.below(10)))
	}
	if exp := s.below(256) - 130; s.below(2) == 0 && exp <= item.NumberExpMax {
		b.WriteByte('E')
		b.WriteString(strconv.Itoa(exp))
	}
	return b.String()
}

func arbitraryBytes(s source) []byte {
	b := []byte{}
	for range s.below(20) {
		b = append(b, byte(s.below(256)))
	}
	return b
}

// arbitrarySet returns a set with at least one member and no two equal ones.
func arbitrarySet(s source) item.Value {
	set := item.Value{Type: item.SS + item.Type(s.below(3))}
	for range 1 + s.below(5) {
		member := item.Value{Type: set.Type.Member()}
		switch member.Type {
		case item.S:
			member.Str = arbitraryText(s)
		case item.N:
			member.Str = arbitraryNumber(s)
		default:
			member.Bin = arbitraryBytes(s)
		}
		if !holds(set.List, member) {
			set.List = append(set.List, member)
		}
	}
	return set
}

func holds(list []item.Value, v item.Value) bool {
	for _, e := range list {
		if e.Equal(v) {
			return true
		}
	}
	return false
}
