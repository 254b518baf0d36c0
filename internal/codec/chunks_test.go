package codec

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// A window counts the lines that it uses up, whatever the pieces that the stream comes in.
func TestWindowLines(t *testing.T) {
	const text = "one\ntwo\n\nfour"
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(text), "bytes": iotest.OneByteReader(strings.NewReader(text))} {
		w := NewWindow(r)
		if err := w.AtLeast(6); err != nil || w.Line() != 1 {
			t.Fatalf("%s: line %d, %v", name, w.Line(), err)
		}
		w.AdvanceLines(6) // "one\ntw"
		for _, want := range []struct {
			line, offset int64
		}{{3, 8}, {4, 9}} {
			if err := w.SkipLine(); err != nil || w.Line() != want.line || w.Offset() != want.offset {
				t.Errorf("%s: line %d at %d, %v; want %d at %d", name, w.Line(), w.Offset(), err, want.line, want.offset)
			}
		}
		if err := w.AtLeast(5); err != io.EOF || string(w.Bytes()) != "four" {
			t.Errorf("%s: %q, %v", name, w.Bytes(), err)
		}
		if err := w.SkipLine(); err != io.EOF || w.Line() != 4 || w.Offset() != int64(len(text)) {
			t.Errorf("%s: at the end line %d at %d, %v", name, w.Line(), w.Offset(), err)
		}
	}
}
