package local

import (
	"strings"
	"testing"

	"dynaferry/internal/item/itemtest"
)

// TestSkipString: a string ends at the first quote that nothing escapes, however far in and wherever the escapes stand.
func TestSkipString(t *testing.T) {
	for n := range 40 {
		for _, middle := range []string{"", `\"`, `\\`, `\\\"`, `\\\\`, `\u0022`} {
			s := `"` + strings.Repeat("x", n) + middle + `"`
			if end := skipString([]byte(s+`,"more"`), 0); end != len(s) {
				t.Errorf("%s ends at %d, not %d", s, end, len(s))
			}
			for cut := 1; cut < len(s); cut++ {
				if end := skipString([]byte(s[:cut]), 0); end != -1 {
					t.Errorf("%s, cut to %d bytes, ends at %d", s, cut, end)
				}
			}
		}
	}
}

// The bound is a byte a nanosecond.
func BenchmarkSkipValue(b *testing.B) {
	raw := itemtest.AppendOrder(nil, 1, 1)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if skipValue(raw, 0) != len(raw) {
			b.Fatal("not skipped")
		}
	}
}
