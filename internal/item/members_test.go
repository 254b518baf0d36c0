package item_test

import (
	"testing"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
)

// TestMembers: runs of members are copied with the white space in them, and bytes and tape agree.
func TestMembers(t *testing.T) {
	it, err := ddbjson.ParseItem([]byte(`{ "a" : {"S":"x"} , "b,}": { "M" : { "c":{"N":"1"} , "d":{"L":[]} } } ,"e":{"NULL":true} }`))
	if err != nil {
		t.Fatal(err)
	}
	b, e := 3, 9
	m := b + 1
	for _, c := range []struct {
		owner int
		runs  [][2]int
		want  string
	}{
		{0, [][2]int{{1, len(it.Tape)}}, `{"a":{"S":"x"},"b,}":{"M":{"c":{"N":"1"},"d":{"L":[]}}},"e":{"NULL":true}}`},
		{0, [][2]int{{1, b}, {e, len(it.Tape)}}, `{"a":{"S":"x"},"e":{"NULL":true}}`},
		{0, [][2]int{{b, e}}, `{"b,}":{"M":{"c":{"N":"1"},"d":{"L":[]}}}}`},
		{m, [][2]int{{m + 1, e}}, `{"c":{"N":"1"},"d":{"L":[]}}`},
		{0, [][2]int{{1, 1}}, `{}`},
	} {
		var out item.Batch
		w := item.NewBuilder(&out)
		w.Begin(0)
		for _, run := range c.runs {
			w.Members(it, c.owner, run[0], run[1])
		}
		w.Finish()
		if got := string(item.AppendCompact(nil, out.Item(0))); got != c.want {
			t.Errorf("%v: %s, want %s", c.runs, got, c.want)
		}
		if _, err := ddbjson.ParseItem(out.Item(0).Raw()); err != nil {
			t.Errorf("%v: %s: %v", c.runs, out.Item(0).Raw(), err)
		}
	}
}
