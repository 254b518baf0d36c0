package parquet

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDocumented: the numbers of docs/formats/parquet.md are those of the code.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/formats/parquet.md")
	if err != nil {
		t.Fatal(err)
	}
	four := regexp.MustCompile(`(\d)((?:\d{3})+)\b`)
	n := func(format string, args ...any) string { // with numbers as 1,000
		return four.ReplaceAllStringFunc(fmt.Sprintf(format, args...), func(digits string) string {
			for i := len(digits) - 3; i > 0; i -= 3 {
				digits = digits[:i] + "," + digits[i:]
			}
			return digits
		})
	}
	const kb, mb = 1 << 10, 1 << 20
	for _, want := range []string{
		n("data pages | version 1, %d KB before compression, at most %d rows", PageBytesDefault/kb, PageRowsMax),
		n("%d KB while all open pages together take less than %d MB, else an equal share of that each, at least %d KB", PageBytesDefault/kb, openBytes/mb, pageBytesMin/kb),
		n("row group | %d MB encoded before compression, or %d MB held, or %d rows", RowGroupBytesDefault/mb, HeldBytesDefault/mb, RowGroupRowsMax),
		n("RLE / bit-packed hybrid; %d equal ones begin a run", runMin),
		n("given up above %d entries, for values over %d bytes", dictionaryMax, entryBytesMax),
		n("DELTA_BINARY_PACKED (%d / %d)", deltaBlock, deltaMinis),
		n("a page whose first %d values share %d %%", prefixSample, prefixShare),
		n("cut at %d bytes", boundBytesMax),
		n("at most %d MB | |", bloomBytesMax/mb),
		n("FIXED_LEN_BYTE_ARRAY(%d)", fixedBytes),
		fmt.Sprintf("version %d\n", metaVersion),
		n("Limits: page %d MB before and after compression (option), footer %d MB and %d elements, text of one run of rows %d MB, %d million repeats in a row, depth %d.",
			PageBytesMaxDefault/mb, FooterBytesMax/mb, footerStructsMax, vectorBytesMax/mb, slotsMax/mb, pathDepthMax),
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}
