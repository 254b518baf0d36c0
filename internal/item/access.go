package item

import "bytes"

// Get returns the tape index of the value of a top-level attribute.
func (it Item) Get(name string) (i int, ok bool) { return it.Member(0, name) }

// Member returns the tape index of the value of a member of the map at index i.
func (it Item) Member(i int, name string) (int, bool) {
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; {
		token := &it.Tape[at]
		if it.named(token, name) {
			return at + 1, true
		}
		at += 1 + int(it.Tape[at+1].Skip)
	}
	return 0, false
}

func (it Item) named(token *Token, name string) bool {
	if token.Flags&Escaped == 0 {
		return string(it.Src[token.Off:token.End]) == name
	}
	return string(AppendUnescaped(nil, it.Src[token.Off:token.End])) == name
}

// Element returns the tape index of the n-th element of the list or set at index i, counted from 0.
func (it Item) Element(i, n int) (int, bool) {
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += int(it.Tape[at].Skip) {
		if n == 0 {
			return at, true
		}
		n--
	}
	return 0, false
}

// Count returns the number of members or elements of the container at index i.
func (it Item) Count(i int) int {
	n := 0
	isMap := it.Tape[i].Type == M
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += int(it.Tape[at].Skip) {
		if isMap {
			at++
		}
		n++
	}
	return n
}

// Text returns the unescaped content of an S, N or Name token. It aliases Src when there is nothing to unescape, which
// is the rule; AppendText never does.
func (it Item) Text(i int) []byte {
	token := &it.Tape[i]
	content := it.Src[token.Off:token.End:token.End]
	if token.Flags&Escaped == 0 {
		return content
	}
	return AppendUnescaped(make([]byte, 0, len(content)), content)
}

// AppendText appends the unescaped content of an S, N or Name token.
func (it Item) AppendText(dst []byte, i int) []byte {
	token := &it.Tape[i]
	content := it.Src[token.Off:token.End]
	if token.Flags&Escaped == 0 {
		return append(dst, content...)
	}
	return AppendUnescaped(dst, content)
}

// AppendNumber appends the normal form of the N token at index i.
func (it Item) AppendNumber(dst []byte, i int) []byte {
	token := &it.Tape[i]
	if token.Flags&Normal != 0 {
		return append(dst, it.Src[token.Off:token.End]...)
	}
	dst, _ = AppendNumber(dst, it.Text(i)) // checked by the tokenizer
	return dst
}

// Decimal returns the value of the N token at index i.
func (it Item) Decimal(i int) Decimal {
	d, _ := ParseDecimal(it.Text(i)) // checked by the tokenizer
	return d
}

// Bytes appends the decoded content of the B token at index i to dst.
func (it Item) Bytes(i int, dst []byte) []byte {
	token := &it.Tape[i]
	return appendDecoded(dst, it.Src[token.Off:token.End], token.Flags&Escaped != 0)
}

// Bool returns the truth of the BOOL token at index i.
func (it Item) Bool(i int) bool { return it.Tape[i].Flags&True != 0 }

// Value returns the decoded tree of the value at index i. Numbers keep the text they came with.
func (it Item) Value(i int) Value {
	token := &it.Tape[i]
	switch token.Type {
	case S, N:
		return Value{Type: token.Type, Str: string(it.Text(i))}
	case B:
		return Value{Type: B, Bin: it.Bytes(i, []byte{})}
	case BOOL:
		return Value{Type: BOOL, Bool: it.Bool(i)}
	case NULL:
		return Value{Type: NULL}
	case M:
		return Value{Type: M, Map: it.members(i)}
	}
	list := []Value{}
	for at, end := i+1, i+int(token.Skip); at < end; at += int(it.Tape[at].Skip) {
		list = append(list, it.Value(at))
	}
	return Value{Type: token.Type, List: list}
}

// Map returns the whole item decoded.
func (it Item) Map() map[string]Value { return it.members(0) }

func (it Item) members(i int) map[string]Value {
	members := map[string]Value{}
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += 1 + int(it.Tape[at+1].Skip) {
		members[string(it.Text(at))] = it.Value(at + 1)
	}
	return members
}

// wrappers are the bytes in front of an inner JSON value of each type, wrapper and opening quote included.
var wrappers = [...]string{S: `{"S":"`, N: `{"N":"`, B: `{"B":"`, BOOL: `{"BOOL":`, NULL: `{"NULL":`,
	L: `{"L":`, M: `{"M":`, SS: `{"SS":`, NS: `{"NS":`, BS: `{"BS":`}

// AppendValue appends the value at index i as typed DynamoDB JSON, {"N":"1"}, its content as it came.
func (it Item) AppendValue(dst []byte, i int) []byte {
	token := &it.Tape[i]
	dst = append(dst, wrappers[token.Type]...)
	dst = append(dst, it.Src[token.Off:token.End]...)
	if token.Type <= B {
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// AppendName appends the Name token at index i as a JSON string with quotes, its content as it came.
func (it Item) AppendName(dst []byte, i int) []byte {
	token := &it.Tape[i]
	dst = append(dst, '"')
	dst = append(dst, it.Src[token.Off:token.End]...)
	return append(dst, '"')
}

// Clone returns an item with bytes and tape of its own that outlives the batch.
func (it Item) Clone() Item {
	start := it.Tape[0].Off
	src := WithSlack(it.Raw())
	tape := make([]Token, len(it.Tape))
	for i, token := range it.Tape {
		token.Off -= start
		token.End -= start
		tape[i] = token
	}
	return Item{Src: src, Tape: tape}
}

// WithSlack returns a copy of src with Slack readable bytes behind its length, as Batch.Src must have.
func WithSlack(src []byte) []byte {
	out := make([]byte, len(src), len(src)+Slack)
	copy(out, src)
	return out
}

// EnsureSlack returns src itself when its capacity leaves Slack bytes behind its length, else a copy that does.
func EnsureSlack(src []byte) []byte {
	if cap(src)-len(src) >= Slack {
		return src
	}
	return WithSlack(src)
}

// Equal tells whether two items are equal as DynamoDB sees them: canonical bytes equal.
func Equal(a, b Item) bool {
	return bytes.Equal(AppendCanonical(nil, a), AppendCanonical(nil, b))
}
