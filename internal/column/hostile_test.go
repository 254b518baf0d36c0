package column

import (
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// The hostile corpus in one table, and each item alone, with the inferred schema and with one of a single column, which
// leaves all else to Extra.
func TestHostileItemsComeBack(t *testing.T) {
	narrow := mustSchema(t, `{"version":1,"extra":"_extra","columns":[{"name":"pk","kind":"text"}]}`)
	var all []item.Item
	for _, h := range itemtest.Hostile() {
		it, err := ddbjson.ParseItem(h.Raw)
		if err != nil {
			t.Fatalf("%s: %v", h.Name, err)
		}
		all = append(all, it)
		for _, o := range []ShredOptions{{}, {Schema: narrow}} {
			slabs, _ := shredCut(t, o, []item.Item{it}, func(int) bool { return false })
			equalLines(t, h.Name, canonical([]item.Item{it}), assemble(t, slabs...))
		}
	}
	slabs, stats := shredCut(t, ShredOptions{}, all, func(i int) bool { return i%7 == 0 })
	equalLines(t, "all", canonical(all), assemble(t, slabs...))
	schema := stats.Schema(SchemaOptions{})
	var after []string
	for _, slab := range slabs {
		to, err := Reshape(slab, schema)
		if err != nil {
			t.Fatal(err)
		}
		checkSlab(t, to)
		after = append(after, assemble(t, to)...)
	}
	equalLines(t, "reshaped", canonical(all), after)
}

func TestArbitraryItemsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfN(itemtest.Item(), 1, 5).Draw(t, "items")
		slabs, _ := shredCut(t, ShredOptions{}, items, func(int) bool { return rapid.Bool().Draw(t, "cut") })
		equalLines(t, "items", canonical(items), assemble(t, slabs...))
	})
}
