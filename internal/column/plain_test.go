package column

import (
	"strings"
	"testing"
)

// TestPlain sees each byte that JSON escapes, at each place of text of each length around the word.
func TestPlain(t *testing.T) {
	for length := 1; length <= 26; length++ {
		for at := range length {
			for c := range 256 {
				text := []byte(strings.Repeat("a", length))
				text[at] = byte(c)
				want := c >= ' ' && c < 0x80 && c != '"' && c != '\\'
				if got := plain(text); got != want {
					t.Fatalf("plain(%q) = %t", text, got)
				}
			}
		}
	}
}
