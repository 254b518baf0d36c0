package local

import (
	"bytes"

	"dynaferry/internal/item"
)

// sizeOf is item.Size of an item in our own store, found in one pass without a tape: what is stored was checked when it
// came, and its numbers are in normal form. It is what a page of Scan costs most beside the reading itself. ok is false
// when raw is not what we store.
func sizeOf(raw []byte) (size int, ok bool) {
	s := sizing{raw: raw}
	s.space()
	size = s.members(0)
	s.space()
	return size, !s.bad && s.at == len(raw)
}

// sizing walks an item. After bad is set nothing it says counts.
type sizing struct {
	raw []byte
	at  int
	bad bool
}

func (s *sizing) space() {
	for s.at < len(s.raw) && s.raw[s.at] <= ' ' {
		s.at++
	}
}

// take steps over one byte and the space around it.
func (s *sizing) take(c byte) {
	if s.at+1 < len(s.raw) && s.raw[s.at] == c && s.raw[s.at+1] > ' ' {
		s.at++
		return
	}
	s.space()
	if s.at >= len(s.raw) || s.raw[s.at] != c {
		s.bad = true
		return
	}
	s.at++
	s.space()
}

// is tells whether c comes next.
func (s *sizing) is(c byte) bool { return !s.bad && s.at < len(s.raw) && s.raw[s.at] == c }

// text steps over a JSON string and returns the number of bytes it means.
func (s *sizing) text() int {
	content, escaped := s.content()
	if escaped {
		return len(item.AppendUnescaped(nil, content))
	}
	return len(content)
}

// content steps over a JSON string and returns what stands between its quotes.
func (s *sizing) content() (content []byte, escaped bool) {
	if !s.is('"') {
		s.bad = true
		return nil, false
	}
	raw, start := s.raw, s.at+1
	for i := start; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			s.at = i + 1
			return raw[start:i], escaped
		case '\\':
			escaped = true
			i++
		}
	}
	s.bad = true
	return nil, false
}

// members sizes the members of a map; each counts per more.
func (s *sizing) members(per int) (size int) {
	s.take('{')
	for !s.bad && !s.is('}') {
		size += s.text() + per
		s.take(':')
		size += s.value()
		if s.space(); s.is(',') {
			s.take(',')
		} else if !s.is('}') {
			s.bad = true
		}
	}
	s.take('}')
	return size
}

// containerBytes is what a list or map counts for itself.
const containerBytes = 3

func (s *sizing) value() (size int) {
	s.take('{')
	kind, _ := s.content()
	s.take(':')
	if s.bad {
		return 0
	}
	switch string(kind) {
	case "S":
		size = s.text()
	case "N":
		size = s.number()
	case "B":
		size = s.binary()
	case "BOOL", "NULL":
		for s.at < len(s.raw) && s.raw[s.at] >= 'a' && s.raw[s.at] <= 'z' {
			s.at++
		}
		size = 1
	case "M":
		size = containerBytes + s.members(1)
	case "L":
		size = containerBytes + s.elements(func() int { return s.value() + 1 })
	case "SS":
		size = s.elements(s.text)
	case "NS":
		size = s.elements(s.number)
	case "BS":
		size = s.elements(s.binary)
	default:
		s.bad = true
	}
	s.take('}')
	return size
}

func (s *sizing) elements(one func() int) (size int) {
	s.take('[')
	for !s.bad && !s.is(']') {
		size += one()
		if s.space(); s.is(',') {
			s.take(',')
		} else if !s.is(']') {
			s.bad = true
		}
	}
	s.take(']')
	return size
}

// number counts a number in normal form: a byte for two significant digits, one more, and one for a minus.
func (s *sizing) number() int {
	text, _ := s.content()
	size := 1
	if len(text) > 0 && text[0] == '-' {
		size++
		text = text[1:]
	}
	digits, zeros := 0, 0 // zeros are those at the end so far, which count only when a digit follows
	for _, c := range text {
		switch {
		case c == '.':
		case c == '0' && digits == 0:
		case c == '0':
			zeros++
		default:
			digits += zeros + 1
			zeros = 0
		}
	}
	return size + (digits+1)/2
}

func (s *sizing) binary() int {
	content, escaped := s.content()
	if escaped {
		content = item.AppendUnescaped(nil, content)
	}
	return len(content)/4*3 - bytes.Count(content[max(0, len(content)-2):], []byte("="))
}
