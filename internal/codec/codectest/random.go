package codectest

import (
	"strings"

	"pgregory.net/rapid"

	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// hostile is itemtest's corpus.
func hostile() []string {
	var all []string
	for _, named := range itemtest.Hostile() {
		all = append(all, string(named.Raw))
	}
	return all
}

// Draws of random items: few names, so that items share and lack attributes; text that formats may mistake for
// something else.
var (
	drawName = rapid.OneOf(rapid.SampledFrom([]string{"id", "a", "b", "A", "a.b", "né", "x,y", "q\"",
		"=f", " s ", "l\n"}),
		rapid.StringN(0, 12, -1))
	drawText = rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "null", "NULL", "NA", "true", "1", "-1.5",
		"1e5", "=1", "+", "-", "@", "\t", "\r", "\n", "\"", "\"\"", ",", ";", "'", "'=", " ", "{}",
		`{"S":"x"}`, "\\", "\ufeff", "\u0000", "\u2028", "\U0001F600"}),
		rapid.StringOfN(rapid.RuneFrom([]rune("ab\",;\n\r\t '\\=é")), 0, 20, -1))
	drawDigits = rapid.StringMatching(`-?[0-9]{1,20}(\.[0-9]{1,18})?(E[+-]?[0-9]{1,2})?`)
)

// drawItem draws an item of any types up to a few levels deep: one of itemtest's, or one of few names and awkward
// texts.
func drawItem(t *rapid.T) map[string]item.Value {
	if rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
		return itemtest.Members().Draw(t, "members")
	}
	return drawMembers(t, 0)
}

func drawMembers(t *rapid.T, depth int) map[string]item.Value {
	members := map[string]item.Value{}
	for range rapid.IntRange(0, 6-2*min(depth, 2)).Draw(t, "members") {
		members[strings.ToValidUTF8(drawName.Draw(t, "name"), "?")] = drawValue(t, depth)
	}
	return members
}

func drawValue(t *rapid.T, depth int) item.Value {
	v := item.Value{Type: item.Type(rapid.IntRange(int(item.S), int(item.BS)).Draw(t, "type"))}
	if depth > 3 && (v.Type == item.L || v.Type == item.M) {
		v.Type = item.NULL
	}
	switch v.Type {
	case item.BOOL:
		v.Bool = rapid.Bool().Draw(t, "bool")
	case item.M:
		v.Map = drawMembers(t, depth+1)
	case item.L:
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			v.List = append(v.List, drawValue(t, depth+1))
		}
	case item.SS, item.NS, item.BS:
		seen := map[string]bool{}
		for range rapid.IntRange(1, 4).Draw(t, "set") {
			m := drawScalar(t, v.Type.Member())
			if key := m.Str + "\x00" + string(m.Bin); !seen[key] {
				seen[key] = true
				v.List = append(v.List, m)
			}
		}
	case item.S, item.N, item.B:
		return drawScalar(t, v.Type)
	}
	return v
}

func drawScalar(t *rapid.T, kind item.Type) item.Value {
	v := item.Value{Type: kind}
	switch kind {
	case item.S:
		v.Str = strings.ToValidUTF8(drawText.Draw(t, "text"), "?")
	case item.N:
		normal, err := item.ParseNumber([]byte(drawDigits.Draw(t, "number")))
		must(err)
		v.Str = string(normal)
	case item.B:
		v.Bin = rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(t, "bytes")
	}
	return v
}
