package ddbjson

import (
	"bytes"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// checked is the parser that has the last word: RFC 8259 and DynamoDB's rules by the letter, bounded by len(src), with
// an exact place for every refusal. The automaton hands it whatever it does not expect.
//
// Refusals of kind Corrupt are no DynamoDB JSON at all; those of kind User are well-formed but break a rule of
// DynamoDB's, in its words.
type checked struct {
	src   []byte
	p     int
	tape  []item.Token
	first int // tape index of the item's M token
}

// attributeMap parses {"name":{"S":"..."},...} into an M token and what follows from it.
func (c *checked) attributeMap() error {
	c.first = len(c.tape)
	c.space()
	c.push(item.M)
	return c.members(0)
}

// push appends an open token at p.
func (c *checked) push(t item.Type) {
	c.tape = append(c.tape, item.Token{Off: uint32(c.p), Type: t})
}

func (c *checked) space() {
	for c.p < len(c.src) {
		switch c.src[c.p] {
		case ' ', '\t', '\r', '\n':
			c.p++
		default:
			return
		}
	}
}

// next returns the first byte that is no white space, 0 at the end (no valid byte at any such place).
func (c *checked) next() byte {
	c.space()
	if c.p < len(c.src) {
		return c.src[c.p]
	}
	return 0
}

// expect takes one byte.
func (c *checked) expect(want byte) error {
	if got := c.next(); got != want {
		return c.unexpected(string([]byte{'\'', want, '\''}))
	}
	c.p++
	return nil
}

func (c *checked) unexpected(want string) error {
	if c.p >= len(c.src) {
		return c.corrupt("unexpected end, want %s", want)
	}
	return c.corrupt("unexpected %q, want %s", c.src[c.p], want)
}

func (c *checked) corrupt(format string, args ...any) error {
	return c.place(fault.New(fault.Corrupt, format, args...), c.p)
}

// pathBytesMax bounds the attribute path in an error.
const pathBytesMax = 1024

// place says where: the byte offset in src and the path of the last token.
func (c *checked) place(err error, offset int) error {
	var path []byte
	if last := len(c.tape) - 1; last > c.first {
		path = item.AppendPath(nil, c.src, c.tape[c.first:], last-c.first)
	}
	if len(path) > pathBytesMax {
		path = append(path[:pathBytesMax], "..."...)
	}
	return fault.At(err, fault.Place{Offset: int64(offset), Path: string(path)})
}

// text takes a JSON string whose opening quote comes next into the token at index at.
func (c *checked) text(at int, what string) error {
	if c.next() != '"' {
		return c.unexpected(what)
	}
	c.p++
	token := &c.tape[at]
	token.Off = uint32(c.p)
	end, flags, flaw := scanText(c.src, c.p)
	if flaw != fine {
		c.p = end
		if token.Type == item.Name { // its content has no end: it must not be part of the path
			c.tape = c.tape[:at]
		}
		return c.corrupt("%s", flawTexts[flaw])
	}
	token.End, token.Flags, token.Skip = uint32(end), flags, 1
	c.p = end + 1
	return nil
}

// content returns the unescaped text of a finished token.
func (c *checked) content(at int) []byte { return item.Item{Src: c.src, Tape: c.tape}.Text(at) }

// members parses a map whose open token is the last of the tape, from its brace on. Its values are at level+1.
func (c *checked) members(level int) error {
	open := len(c.tape) - 1
	if err := c.expect('{'); err != nil {
		return err
	}
	if c.next() == '}' {
		return c.closeAt(open)
	}
	names := nameSet{checked: c, open: open}
	for {
		at := len(c.tape)
		c.tape = append(c.tape, item.Token{Type: item.Name})
		if err := c.text(at, "an attribute name"); err != nil {
			return err
		}
		if names.seen(at) {
			return c.place(fault.New(fault.Corrupt, "duplicate attribute name"), int(c.tape[at].Off)-1)
		}
		if err := c.expect(':'); err != nil {
			return err
		}
		if err := c.value(level + 1); err != nil {
			return err
		}
		if c.next() == ',' {
			c.p++
			continue
		}
		if c.next() != '}' {
			return c.unexpected("',' or '}'")
		}
		return c.closeAt(open)
	}
}

// closeAt takes the closing bracket of the container at tape index open.
func (c *checked) closeAt(open int) error {
	c.p++
	token := &c.tape[open]
	token.End, token.Skip = uint32(c.p), uint32(len(c.tape)-open)
	return nil
}

// value parses {"S":"..."} into tokens.
func (c *checked) value(level int) error {
	at := len(c.tape)
	c.tape = append(c.tape, item.Token{})
	if c.next() != '{' {
		return c.unexpected("a typed value such as {\"S\":\"...\"}")
	}
	start := c.p
	if level > item.NestingMax {
		return c.place(item.ErrNesting(), start)
	}
	c.p++
	if c.next() == '}' {
		return c.place(fault.New(fault.User,
			"Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"), start)
	}
	if err := c.text(at, "a type descriptor"); err != nil {
		return err
	}
	t, err := item.ParseType(string(c.content(at)))
	if err != nil {
		return c.place(fault.New(fault.Corrupt, "unknown type descriptor %.40q", c.content(at)), int(c.tape[at].Off)-1)
	}
	c.tape[at] = item.Token{Type: t}
	if err := c.expect(':'); err != nil {
		return err
	}
	if err := c.inner(at, level); err != nil {
		return err
	}
	if c.next() == ',' {
		return c.place(fault.New(fault.User, "Supplied AttributeValue has more than one datatypes set, "+
			"must contain exactly one of the supported datatypes"), c.p)
	}
	return c.expect('}')
}

// inner parses the JSON value inside a wrapper into the token at index at.
func (c *checked) inner(at, level int) error {
	switch t := c.tape[at].Type; t {
	case item.S, item.N, item.B:
		return c.scalar(at)
	case item.BOOL, item.NULL:
		return c.literal(at)
	case item.M:
		c.space()
		c.tape[at].Off = uint32(c.p)
		return c.members(level)
	case item.L:
		return c.elements(at, func() error { return c.value(level + 1) })
	default:
		return c.elements(at, func() error {
			c.push(t.Member())
			return c.scalar(len(c.tape) - 1)
		})
	}
}

// scalar parses a string and checks what it must hold.
func (c *checked) scalar(at int) error {
	t := c.tape[at].Type
	if err := c.text(at, "a string"); err != nil {
		return err
	}
	token := &c.tape[at]
	switch t {
	case item.N:
		normal, err := item.CheckNumber(c.content(at))
		if err != nil {
			return c.place(err, int(token.Off))
		}
		if normal && token.Flags&item.Escaped == 0 {
			token.Flags |= item.Normal
		}
	case item.B:
		if !validBase64(c.content(at)) {
			return c.place(fault.New(fault.Corrupt, "invalid base64"), int(token.Off))
		}
	}
	return nil
}

// literal parses true or false for a BOOL, true for a NULL.
func (c *checked) literal(at int) error {
	c.space()
	token := &c.tape[at]
	token.Off, token.Skip = uint32(c.p), 1
	rest := c.src[c.p:]
	switch {
	case bytes.HasPrefix(rest, []byte("true")):
		c.p += len("true")
		if token.Type == item.BOOL {
			token.Flags = item.True
		}
	case bytes.HasPrefix(rest, []byte("false")):
		if token.Type == item.NULL {
			return c.place(fault.New(fault.User, "One or more parameter values were invalid: "+
				"Null attribute value types must have the value of true"), c.p)
		}
		c.p += len("false")
	case token.Type == item.NULL:
		return c.unexpected("true")
	default:
		return c.unexpected("true or false")
	}
	token.End = uint32(c.p)
	return nil
}

// elements parses an array into the children of the token at index at.
func (c *checked) elements(at int, element func() error) error {
	if c.next() != '[' {
		return c.unexpected("'['")
	}
	c.tape[at].Off = uint32(c.p)
	c.p++
	if c.next() == ']' {
		return c.closeAt(at)
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if c.next() == ',' {
			c.p++
			continue
		}
		if c.next() != ']' {
			return c.unexpected("',' or ']'")
		}
		return c.closeAt(at)
	}
}

// nameSet finds duplicate names of one map: a few by looking back on the tape, many by a Go map.
type nameSet struct {
	*checked
	open  int
	count int
	many  map[string]struct{}
}

// namesFew is up to how many names looking back is cheaper than hashing.
const namesFew = 16

// seen tells whether the name at tape index at stood in this map before.
func (s *nameSet) seen(at int) bool {
	s.count++
	if s.count <= namesFew {
		name := s.content(at)
		for i := s.open + 1; i < at; i += 1 + int(s.tape[i+1].Skip) {
			if bytes.Equal(s.content(i), name) {
				return true
			}
		}
		return false
	}
	if s.many == nil {
		s.many = map[string]struct{}{}
		for i := s.open + 1; i < at; i += 1 + int(s.tape[i+1].Skip) {
			s.many[string(s.content(i))] = struct{}{}
		}
	}
	if _, ok := s.many[string(s.content(at))]; ok {
		return true
	}
	s.many[string(s.content(at))] = struct{}{}
	return false
}
