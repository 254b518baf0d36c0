package column

import (
	"strconv"
	"strings"
)

// Paths in Extra are JSON pointers (RFC 6901): a slash in front of every segment, and "~1" for a slash and "~0" for a
// tilde inside of one, so that any attribute name is told from any path. A segment below a list is the element's index.

// appendSegment appends one member name.
func appendSegment[T string | []byte](dst []byte, name T) []byte {
	dst = append(dst, '/')
	for i := 0; i < len(name); i++ {
		switch c := name[i]; c {
		case '~':
			dst = append(dst, '~', '0')
		case '/':
			dst = append(dst, '~', '1')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendIndex appends one list index, or a set's.
func appendIndex(dst []byte, i int) []byte { return strconv.AppendInt(append(dst, '/'), int64(i), 10) }

// splitPointer appends the segments of a pointer; ok is false when it is none.
func splitPointer(segments []string, pointer string) (_ []string, ok bool) {
	if pointer == "" || pointer[0] != '/' {
		return segments, false
	}
	for rest, more := pointer[1:], true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if strings.IndexByte(segment, '~') >= 0 {
			if segment, ok = unescapeSegment(segment); !ok {
				return segments, false
			}
		}
		segments = append(segments, segment)
	}
	return segments, true
}

func unescapeSegment(segment string) (string, bool) {
	b := make([]byte, 0, len(segment))
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if c == '~' {
			if i++; i == len(segment) || segment[i] > '1' || segment[i] < '0' {
				return "", false
			}
			c = "~/"[segment[i]-'0']
		}
		b = append(b, c)
	}
	return string(b), true
}
