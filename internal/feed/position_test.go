package feed

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// TestPositionsInText: a position comes back from its text, and texts that are none are refused.
func TestPositionsInText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Position{Number(rapid.StringMatching(`([1-9][0-9]{0,60})?`).Draw(t, "seq")), rapid.Uint64().Draw(t, "sub")}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var q Position
		if err := json.Unmarshal(text, &q); err != nil || q != p {
			t.Fatalf("%v is %s and then %v, %v", p, text, q, err)
		}
	})
	for _, text := range []string{"", ".", ".1", "1.", "1.x", "1.-1", "1.2.3", "x.1", "1.18446744073709551616"} {
		if p, err := ParsePosition(text); err == nil {
			t.Errorf("%q is %v", text, p)
		}
	}
	if !(Position{}).IsZero() || (Position{Sub: 1}).IsZero() || (Position{Seq: "1"}).IsZero() {
		t.Error("zero positions")
	}
}
