package dataset

import (
	"fmt"
	"strings"

	"dynaferry/internal/fault"
)

// NullPartition stands for a partition value that is absent, empty or cannot be read (Hive's own word).
const NullPartition = "__HIVE_DEFAULT_PARTITION__"

// SegmentBytesMax bounds one escaped segment: file systems end at 255 bytes a name.
const SegmentBytesMax = 255

// Segment renders column=value as one path segment. Bytes that a path, a shell or Hive could misread are %XX; the
// true value is in the file's and the data set's metadata, since readers differ in what they unescape.
func Segment(column, value string) string {
	if value == "" {
		value = NullPartition
	}
	return escape(column) + "=" + escape(value)
}

const hexDigits = "0123456789ABCDEF"

func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < ' ' || c == 0x7f || strings.IndexByte("\"#%'*/:=?\\{[]^&;|<>`~$,", c) >= 0 || (c == '.' && strings.Trim(s, ".") == "") {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// ParseSegment is the inverse of Segment; ok is false for a path segment that is no partition.
func ParseSegment(segment string) (column, value string, ok bool) {
	column, value, ok = strings.Cut(segment, "=")
	if !ok {
		return "", "", false
	}
	column, err1 := unescape(column)
	value, err2 := unescape(value)
	return column, value, err1 == nil && err2 == nil
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		var c byte
		if i+3 > len(s) {
			return "", fault.New(fault.Corrupt, "%q ends inside an escape", s)
		}
		if _, err := fmt.Sscanf(s[i+1:i+3], "%02X", &c); err != nil {
			return "", fault.New(fault.Corrupt, "%q has a bad escape", s)
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String(), nil
}
