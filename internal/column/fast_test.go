package column

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/item"
)

// What reads a number from two words agrees with what reads it digit by digit, whatever stands behind it.
func TestShortSmall(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, text string, behind byte) {
		var words [16]byte
		for i := copy(words[:], text); i < len(words); i++ {
			words[i] = behind
		}
		got, ok := shortSmall(&words, uint(len(text)))
		want, good := parseSmall([]byte(text))
		if ok && (!good || got != want) {
			t.Fatalf("%q is %+v, want %+v", text, got, want)
		}
		point := strings.IndexByte(text, '.')
		if !ok && text[0] != '-' && (point < 0 || len(text) <= 8) {
			t.Fatalf("%q was not read", text)
		}
	}
	for _, text := range []string{"0", "7", "10", "0.5", "0.000001", "99999999", "123456.7", "1.234567", "1700083884202",
		"9999999999999999", "1234567890123.45", "-1", "-0.5", "-12345678901"} {
		for _, behind := range []byte{0, '"', '9', '.', 0xFF} {
			check(t, text, behind)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,15})(\.[0-9]{0,8}[1-9])?`).Draw(t, "text")
		if len(text) <= 16 && text != "-0" {
			check(t, text, rapid.Byte().Draw(t, "behind"))
		}
	})
}

// A name is its own only, whatever its length, whatever stands behind it and wherever the bytes end.
func TestNameWords(t *testing.T) {
	for n := range 20 {
		name := strings.Repeat("n", n)
		words := wordsOf(name)
		for _, other := range []string{name, name + "n", strings.Repeat("n", max(0, n-1)), strings.Repeat("n", max(0, n-1)) + "m", "m" + name[min(1, n):]} {
			for _, slack := range []int{0, 15, 16} {
				src := []byte(other + strings.Repeat("n", slack))
				token := item.Token{End: uint32(len(other)), Type: item.Name}
				same, short := other == name, len(other) <= nameWordsMax && len(src) >= nameWordsMax
				if got := words.is(src, &token); got != (same && short) {
					t.Errorf("%q is %q, %d behind: %v", other, name, slack, got)
				}
			}
		}
	}
	words := wordsOf("ab")
	if token := (item.Token{End: 2, Type: item.Name, Flags: item.Escaped}); words.is(make([]byte, 64), &token) {
		t.Error("an escaped name was compared as it stands")
	}
}
