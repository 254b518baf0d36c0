package item

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"dynaferry/internal/fault"
)

// Value is a decoded DynamoDB value, for the places that compute with values: expressions, tests, single items.
//
// Str holds the content of an S and the decimal text of an N; Bin the bytes of a B; Bool the truth of a BOOL. List
// holds the elements of an L and the members of a set (as S, N or B values); Map the members of an M. The zero
// Value has no type and is no valid DynamoDB value.
type Value struct {
	Type Type
	Str  string
	Bin  []byte
	Bool bool
	List []Value
	Map  map[string]Value
}

// AppendValue appends v as typed DynamoDB JSON: names sorted by their bytes, numbers in normal form when they are
// numbers at all, lists and sets in their order.
func AppendValue(dst []byte, v Value) []byte {
	switch v.Type {
	case S, N, B, BOOL, NULL, L, M, SS, NS, BS:
	default:
		return append(dst, "{}"...)
	}
	dst = append(dst, '{', '"')
	dst = append(dst, v.Type.String()...)
	dst = append(dst, '"', ':')
	dst = appendInner(dst, v)
	return append(dst, '}')
}

// appendInner appends the JSON value inside the wrapper.
func appendInner(dst []byte, v Value) []byte {
	switch v.Type {
	case S:
		return AppendString(dst, []byte(v.Str))
	case N:
		dst = append(dst, '"')
		normal, err := AppendNumber(dst, []byte(v.Str))
		if err != nil {
			return AppendString(dst[:len(dst)-1], []byte(v.Str))
		}
		return append(normal, '"')
	case B:
		return appendBinary(dst, v.Bin)
	case BOOL:
		return fmt.Appendf(dst, "%t", v.Bool)
	case NULL:
		return append(dst, "true"...)
	case M:
		return AppendMap(dst, v.Map)
	}
	dst = append(dst, '[')
	for i, e := range v.List {
		if i > 0 {
			dst = append(dst, ',')
		}
		if v.Type == L {
			dst = AppendValue(dst, e)
		} else {
			e.Type = v.Type.Member()
			dst = appendInner(dst, e)
		}
	}
	return append(dst, ']')
}

// AppendMap appends an attribute map as DynamoDB JSON, {"Id":{"N":"1"}}, names sorted by their bytes.
func AppendMap(dst []byte, members map[string]Value) []byte {
	dst = append(dst, '{')
	for i, name := range sortedNames(members) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, []byte(name))
		dst = append(dst, ':')
		dst = AppendValue(dst, members[name])
	}
	return append(dst, '}')
}

func sortedNames(members map[string]Value) []string {
	return slices.Sorted(maps.Keys(members))
}

// Equal tells whether two values are equal as DynamoDB compares them: numbers by value, sets without order.
func (v Value) Equal(w Value) bool {
	if v.Type != w.Type || len(v.List) != len(w.List) || len(v.Map) != len(w.Map) {
		return false
	}
	switch v.Type {
	case S:
		return v.Str == w.Str
	case N:
		return string(v.scalarKey(nil)) == string(w.scalarKey(nil))
	case B:
		return bytes.Equal(v.Bin, w.Bin)
	case BOOL:
		return v.Bool == w.Bool
	case L:
		return slices.EqualFunc(v.List, w.List, Value.Equal)
	case M:
		for name, member := range v.Map {
			if other, ok := w.Map[name]; !ok || !member.Equal(other) {
				return false
			}
		}
		return true
	case SS, NS, BS:
		return v.sameMembers(w)
	}
	return true
}

func (v Value) sameMembers(w Value) bool {
	count := map[string]int{}
	for i := range v.List {
		a, b := v.List[i], w.List[i]
		a.Type, b.Type = v.Type.Member(), w.Type.Member()
		count[string(a.scalarKey(nil))]++
		count[string(b.scalarKey(nil))]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// scalarKey appends bytes that are equal exactly when two scalars of one type are.
func (v Value) scalarKey(dst []byte) []byte {
	switch v.Type {
	case N:
		normal, err := AppendNumber(dst, []byte(v.Str))
		if err != nil {
			return append(dst, v.Str...)
		}
		return normal
	case B:
		return append(dst, v.Bin...)
	}
	return append(dst, v.Str...)
}

// ParseType returns the type of a descriptor: S, N, B, BOOL, NULL, L, M, SS, NS or BS.
func ParseType(text string) (Type, error) {
	for t := S; t <= BS; t++ {
		if typeNames[t] == text {
			return t, nil
		}
	}
	return 0, fault.New(fault.User, "unknown attribute type %q", text)
}

// MarshalText writes the descriptor.
func (t Type) MarshalText() ([]byte, error) {
	if t < S || t > BS {
		return nil, fault.New(fault.Bug, "type %d has no descriptor", uint8(t))
	}
	return []byte(typeNames[t]), nil
}

// UnmarshalText reads a descriptor.
func (t *Type) UnmarshalText(text []byte) error {
	parsed, err := ParseType(string(text))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}
