package column

import (
	"testing"

	"dynaferry/internal/item"
)

// What spilled under the schema of before is marked in the one of now, at its place; the rest is as it was.
func TestSpilling(t *testing.T) {
	leaf := func(name string, spilled bool) *Field {
		return &Field{Name: name, Source: name, Kind: Long, Type: item.N, Spilled: spilled}
	}
	within := func(members ...*Field) *Field {
		return &Field{Name: "l", Source: "l", Kind: List, Type: item.L, Elem: &Field{Name: elementName, Kind: Struct, Type: item.M, Fields: members}}
	}
	from := &Schema{Spilled: true, Fields: []*Field{leaf("a", true), leaf("b", false), within(leaf("x", true))}}
	to := &Schema{Fields: []*Field{leaf("b", true), leaf("a", false), within(leaf("y", false), leaf("x", false)), leaf("new", false)}}
	before := string(to.AppendJSON(nil))
	got := to.Spilling(from)
	want := &Schema{Spilled: true, Fields: []*Field{leaf("b", true), leaf("a", true), within(leaf("y", false), leaf("x", true)), leaf("new", false)}}
	if !identical(got, want) {
		t.Errorf("got %s", got.AppendJSON(nil))
	}
	if string(to.AppendJSON(nil)) != before {
		t.Error("the schema itself was changed")
	}
}
