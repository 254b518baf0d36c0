package compress

import (
	"bytes"
	"strings"

	"dynaferry/internal/fault"
)

// Codec names a compression as users type it.
type Codec string

// The codecs. "" asks NewReader to detect.
const (
	None Codec = "none"
	Gzip Codec = "gzip"
	Zstd Codec = "zstd"
)

// HeadBytes is how many bytes of a stream Detect wants to see.
const HeadBytes = 4

// Codecs lists them for help texts.
func Codecs() []Codec { return []Codec{None, Gzip, Zstd} }

// Parse reads a codec's name. Errors are of kind User.
func Parse(text string) (Codec, error) {
	for _, c := range Codecs() {
		if text == string(c) {
			return c, nil
		}
	}
	return "", fault.Hint(fault.New(fault.User, "unknown compression %q", text), "use none, gzip or zstd")
}

// Suffix is what file names of the codec end with: ".gz", ".zst" or "".
func (c Codec) Suffix() string {
	switch c {
	case Gzip:
		return ".gz"
	case Zstd:
		return ".zst"
	}
	return ""
}

// BySuffix returns the codec that a file name promises, and the name without that suffix: "a.json.gz" is Gzip and
// "a.json". Case does not matter.
func BySuffix(name string) (c Codec, base string) {
	for suffix, c := range map[string]Codec{".gz": Gzip, ".gzip": Gzip, ".zst": Zstd, ".zstd": Zstd} {
		if n := len(name) - len(suffix); n >= 0 && strings.EqualFold(name[n:], suffix) {
			return c, name[:n]
		}
	}
	return None, name
}

// Detect tells the codec by a stream's first HeadBytes bytes (fewer when it is shorter): gzip's 1F 8B 08 (RFC 1952,
// 2.3.1), zstd's frame or skippable frame (RFC 8878, 3.1). No text and no Parquet file begins so.
func Detect(head []byte) Codec {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 0x08}):
		return Gzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Zstd
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		return Zstd
	}
	return None
}

// CheckLevel tells whether level is one of c's: 0 is the default of each (gzip 6, zstd 1), gzip has 1 to 9 and zstd 1
// to 22, of which the encoder knows four steps. Errors are of kind User.
func CheckLevel(c Codec, level int) error {
	most := map[Codec]int{None: 0, Gzip: 9, Zstd: 22}
	limit, known := most[c]
	if !known {
		_, err := Parse(string(c))
		return err
	}
	if level < 0 || level > limit {
		return fault.New(fault.User, "%s has no level %d, only 0 to %d", c, level, limit)
	}
	return nil
}
