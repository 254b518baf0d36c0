package cli

import (
	"strconv"
	"strings"
	"unicode"
)

// printable is text on a terminal: what comes from data, names of attributes above all, must neither begin a line of its
// own nor move the cursor. Spaces and letters of all scripts stay.
func printable(text string) string {
	if strings.IndexFunc(text, unprintable) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if !unprintable(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
