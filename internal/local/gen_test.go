package local

import (
	"fmt"

	"pgregory.net/rapid"

	"dynaferry/internal/item"
)

// Generators of values, small enough that keys meet and large enough that every type and shape comes.

var drawText = rapid.OneOf(
	rapid.SampledFrom([]string{"", "a", "b", "ab", "ä", "😀", "x\"y", "tab\t", "\\", "1", "10", "\x00", "zzz"}),
	rapid.StringN(0, 6, 12))

var drawNumber = rapid.OneOf(
	rapid.SampledFrom([]string{"0", "-0", "1", "1.0", "-1", "10", "1e1", "0.5", ".5", "00042", "1E-130", "-3.1400",
		"99999999999999999999999999999999999999", "9.9999999999999999999999999999999999999E+125", "1e38", "123456789.987654321"}),
	rapid.Map(rapid.Int64(), func(n int64) string { return fmt.Sprint(n) }),
	rapid.Map(rapid.IntRange(-20, 20), func(n int) string { return fmt.Sprint(n) }))

var drawBytes = rapid.SliceOfN(rapid.Byte(), 0, 5)

func drawSet[V comparable](t *rapid.T, kind item.Type, g *rapid.Generator[V], value func(V) item.Value) item.Value {
	v := item.Value{Type: kind}
	for _, member := range rapid.SliceOfNDistinct(g, 1, 4, rapid.ID[V]).Draw(t, "set") {
		v.List = append(v.List, value(member))
	}
	return v
}

func drawValue(t *rapid.T, depth int) item.Value {
	kinds := []item.Type{item.S, item.N, item.B, item.BOOL, item.NULL, item.SS, item.NS, item.BS}
	if depth > 0 {
		kinds = append(kinds, item.L, item.M)
	}
	v := item.Value{Type: rapid.SampledFrom(kinds).Draw(t, "type")}
	switch v.Type {
	case item.S:
		v.Str = drawText.Draw(t, "S")
	case item.N:
		v.Str = drawNumber.Draw(t, "N")
	case item.B:
		v.Bin = drawBytes.Draw(t, "B")
	case item.BOOL:
		v.Bool = rapid.Bool().Draw(t, "BOOL")
	case item.NULL:
		v.Bool = true
	case item.SS:
		return drawSet(t, v.Type, drawText, func(s string) item.Value { return item.Value{Type: item.S, Str: s} })
	case item.NS:
		return drawSet(t, v.Type, rapid.IntRange(-9, 9), func(n int) item.Value {
			return item.Value{Type: item.N, Str: fmt.Sprint(n)}
		})
	case item.BS:
		return drawSet(t, v.Type, rapid.StringMatching("[a-c]{0,2}"), func(s string) item.Value {
			return item.Value{Type: item.B, Bin: []byte(s)}
		})
	case item.L:
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			v.List = append(v.List, drawValue(t, depth-1))
		}
	case item.M:
		v.Map = drawMembers(t, depth-1, rapid.SampledFrom([]string{"a", "b", "c", "ä"}))
	}
	return v
}

func drawMembers(t *rapid.T, depth int, names *rapid.Generator[string]) map[string]item.Value {
	m := map[string]item.Value{}
	for range rapid.IntRange(0, 4).Draw(t, "members") {
		m[names.Draw(t, "name")] = drawValue(t, depth)
	}
	return m
}

var drawName = rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "läng", "x.y", "q\"q"})
