package feed

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// TestNumbersCompareAsNumbers: whatever their width and leading zeros.
func TestNumbersCompareAsNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`0{0,3}[0-9]{1,40}`)
		a, b := digits.Draw(t, "a"), digits.Draw(t, "b")
		if rapid.Bool().Draw(t, "equal") {
			b = "0" + a
		}
		n, err := ParseNumber(a)
		if err != nil {
			t.Fatal(err)
		}
		m, err := ParseNumber(b)
		if err != nil {
			t.Fatal(err)
		}
		x, _ := new(big.Int).SetString(a, 10)
		y, _ := new(big.Int).SetString(b, 10)
		if got, want := n.Compare(m), x.Cmp(y); got != want {
			t.Fatalf("%s to %s: %d, want %d", a, b, got, want)
		}
		if n.String() != x.String() {
			t.Fatalf("%s is shown as %s", a, n)
		}
	})
}

func TestNoNumbers(t *testing.T) {
	for _, text := range []string{"", "-1", "+1", "1.0", "1e3", " 1", "١", string(make([]byte, 130))} {
		if n, err := ParseNumber(text); err == nil {
			t.Errorf("%q is %s", text, n)
		}
	}
}
