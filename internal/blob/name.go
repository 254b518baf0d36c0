package blob

import (
	"strings"
	"unicode/utf8"

	"dynaferry/internal/fault"
)

// NameBytesMax is the longest name (S3UG: object keys). A bucket's prefix counts against it; the bucket checks the sum.
const NameBytesMax = 1024

// CheckName tells whether name may name an object here: see the package comment. The error is of kind User and quotes
// the name. Names from manifests and other people's lists are checked before they are used, so that none leads outside
// its bucket's root.
func CheckName(name string) error {
	if why := badName(name); why != "" {
		return fault.New(fault.User, "object name %q %s", name, why)
	}
	return nil
}

// CheckPrefix is CheckName for what List takes: also empty, or ending inside or right after a segment.
func CheckPrefix(prefix string) error {
	rest := strings.TrimSuffix(prefix, "/")
	if prefix == "" {
		return nil
	}
	if rest == "" {
		return fault.New(fault.User, "prefix %q begins with a slash", prefix)
	}
	segments, last := rest, ""
	if rest == prefix { // the last segment may be the beginning of one: "." may become ".a"
		if i := strings.LastIndexByte(rest, '/'); i >= 0 {
			segments, last = rest[:i], rest[i+1:]
		} else {
			segments, last = "", rest
		}
	}
	for _, part := range []string{segments, strings.TrimLeft(last, ".")} {
		if part == "" {
			continue
		}
		if why := badName(part); why != "" {
			return fault.New(fault.User, "prefix %q %s", prefix, why)
		}
	}
	return nil
}

func badName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > NameBytesMax:
		return "is longer than 1,024 bytes"
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case strings.ContainsAny(name, "\x00\\"):
		return "holds a NUL or a backslash"
	}
	for segment := range strings.SplitSeq(name, "/") {
		switch segment {
		case "":
			return "has an empty segment"
		case ".", "..":
			return "has a segment that walks the tree"
		}
	}
	return ""
}
