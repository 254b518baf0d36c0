package job

import (
	"fmt"
	"strings"
	"testing"
	"testing/quick"

	"dynaferry/internal/item"
)

// TestMarks: what stands in front of a spilled change reads back, and those of before times had are known.
func TestMarks(t *testing.T) {
	back := func(window uint16, micros uint32, before, gone bool) bool {
		m := changeMark{int(window), int64(micros), before, gone}
		line := m.append(nil)
		got, n := parseMark(append(line, '{'))
		return got == m && n == len(line)
	}
	if err := quick.Check(back, nil); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]int{"12+{": 3, "3-{": 2, "+{": 0, "": 0, "7": 0, "7:": 0, "7:5": 0, "7:5={": 0} {
		if _, n := parseMark([]byte(text)); n != want {
			t.Errorf("%q: a mark of %d bytes, want %d", text, n, want)
		}
	}
}

func itemOf(t *testing.T, text string) item.Item {
	t.Helper()
	it, err := parseItem([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return it
}

// TestExactly: a condition over all attributes names each once, asks what else is known to be absent, and is not made where the
// service would not take it.
func TestExactly(t *testing.T) {
	a, b := itemOf(t, `{"id":{"S":"x"},"size":{"N":"1"}}`), itemOf(t, `{"id":{"S":"x"},"note":{"S":"n"},"size":{"N":"2"}}`)
	c, ok := exactly(a, namesBeside(b, a))
	if want := "#0 = :0 AND #1 = :1 AND attribute_not_exists(#2)"; !ok || c.text != want || c.names["#2"] != "note" || c.values[":1"].Str != "1" {
		t.Errorf("%+v, %v", c, ok)
	}
	if got := namesBeside(b, item.Item{}); len(got) != 3 {
		t.Errorf("beside nothing: %q", got)
	}
	for n, want := range map[int]bool{150: true, 151: false} {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, `,"a%d":{"N":"1"}`, i)
		}
		if _, ok := exactly(itemOf(t, "{"+text.String()[1:]+"}"), nil); ok != want {
			t.Errorf("%d attributes: %v", n, ok)
		}
	}
}
