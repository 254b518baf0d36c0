package fault

import (
	"fmt"
	"testing"
)

// Places that are added from inside out read as one.
func TestPlaces(t *testing.T) {
	cause := New(Corrupt, "invalid UTF-8")
	inner := Hint(At(At(cause, Place{Path: "t"}), Place{Line: 2, Offset: 5}), "try iconv")
	for _, c := range []struct {
		err  error
		want string
	}{
		{At(cause, Place{Line: 2}), "line 2: invalid UTF-8"},
		{inner, "line 2 at byte 5, attribute t: invalid UTF-8"},
		{At(At(cause, Place{Line: 2, Offset: 5}), Place{File: "a.csv"}), "a.csv:2 at byte 5: invalid UTF-8"},
		{At(At(cause, Place{File: "a.csv", Line: 2}), Place{File: "a.csv", Line: 2, Offset: 5}), "a.csv:2 at byte 5: invalid UTF-8"},
		{At(At(cause, Place{Line: 3}), Place{Line: 2}), "line 2: line 3: invalid UTF-8"},
		{At(fmt.Errorf("read it: %w", At(cause, Place{Line: 2})), Place{File: "a.csv"}), "a.csv: read it: line 2: invalid UTF-8"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	whole := At(inner, Place{File: "a.csv"})
	if got, want := PlaceOf(whole), (Place{"a.csv", 2, 5, "t"}); got != want || KindOf(whole) != Corrupt || HintOf(whole) != "try iconv" {
		t.Errorf("%+v, %v, %q", got, KindOf(whole), HintOf(whole))
	}
	if got := Reason(whole); got != "invalid UTF-8" {
		t.Errorf("reason %q", got)
	}
}
