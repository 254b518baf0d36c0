package item

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"
	"unicode/utf8"

	"dynaferry/internal/fault"
)

// Builder appends items to a batch, value by value: DynamoDB JSON grows in Src and its tape beside it, both
// canonical in form (minimal escapes, normal numbers) but in the order given. Inside a map every value follows its
// Name; inside a list or set values follow each other. Misuse is a programmer's error and asserted under the build
// tag checks.
//
//	w := item.NewBuilder(b)
//	w.Begin(0)
//	w.Name("Id")
//	w.Int(1)
//	w.Finish()
type Builder struct {
	b      *Batch
	open   []uint32 // tape indices of the open containers, the item first
	comma  bool     // a member or element precedes at this level
	bytes0 int      // what Abort returns to
	tape0  int
	line   uint32
}

// NewBuilder returns a builder that appends to b.
func NewBuilder(b *Batch) *Builder { return &Builder{b: b} }

// Reset makes the builder append to another batch; an unfinished item stays behind in the old one.
func (w *Builder) Reset(b *Batch) { w.b, w.open = b, w.open[:0] }

// Begin starts an item with the line number its Row will have.
func (w *Builder) Begin(line uint32) {
	fault.Check(len(w.open) == 0, "item begun inside another")
	w.bytes0, w.tape0, w.line = len(w.b.Src), len(w.b.Tape), line
	w.push(M, '{')
}

// Finish ends the item, appends its row and keeps the slack behind Src.
func (w *Builder) Finish() {
	fault.Check(len(w.open) == 1, "item finished with open containers")
	w.pop('}')
	w.b.Rows = append(w.b.Rows, Row{First: uint32(w.tape0), Line: w.line})
	w.b.Src = GrowSlack(w.b.Src)
}

// Abort drops the item that was begun.
func (w *Builder) Abort() {
	w.b.Src, w.b.Tape, w.open = w.b.Src[:w.bytes0], w.b.Tape[:w.tape0], w.open[:0]
}

// GrowSlack makes src's capacity leave Slack bytes behind its length, growing as append does.
func GrowSlack(src []byte) []byte {
	if cap(src)-len(src) >= Slack {
		return src
	}
	n := len(src)
	var space [Slack]byte
	return append(src, space[:]...)[:n]
}

func (w *Builder) push(t Type, bracket byte) {
	w.b.Tape = append(w.b.Tape, Token{Off: uint32(len(w.b.Src)), Type: t})
	w.open = append(w.open, uint32(len(w.b.Tape)-1))
	w.b.Src = append(w.b.Src, bracket)
	w.comma = false
}

func (w *Builder) pop(bracket byte) {
	at := w.open[len(w.open)-1]
	w.open = w.open[:len(w.open)-1]
	w.b.Src = append(w.b.Src, bracket)
	token := &w.b.Tape[at]
	token.End = uint32(len(w.b.Src))
	token.Skip = uint32(len(w.b.Tape)) - at
	w.comma = true
}

// parent returns the type of the innermost open container.
func (w *Builder) parent() Type { return w.b.Tape[w.open[len(w.open)-1]].Type }

// separate writes the comma in front of an element; in front of a member Name has done it.
func (w *Builder) separate() {
	if w.comma {
		w.b.Src = append(w.b.Src, ',')
	}
	w.comma = false
}

// before writes what stands in front of a value of type t: comma and, outside of sets, its wrapper up to the colon.
func (w *Builder) before(t Type) {
	w.separate()
	if parent := w.parent(); parent.IsSet() {
		fault.Check(parent.Member() == t, "member of another type in a set")
		return
	}
	w.b.Src = append(w.b.Src, '{', '"')
	w.b.Src = append(w.b.Src, typeNames[t]...)
	w.b.Src = append(w.b.Src, '"', ':')
}

func (w *Builder) after() {
	if !w.parent().IsSet() {
		w.b.Src = append(w.b.Src, '}')
	}
	w.comma = true
}

// leaf appends the token of a leaf whose content has been written since off.
func (w *Builder) leaf(t Type, off int, flags Flags) {
	w.b.Tape = append(w.b.Tape, Token{Off: uint32(off), End: uint32(len(w.b.Src)), Skip: 1, Type: t, Flags: flags})
}

// quoted writes a JSON string and its token, with the flags its content earns.
func quoted[T string | []byte](w *Builder, t Type, text T) {
	start := len(w.b.Src) + 1
	w.b.Src = AppendString(w.b.Src, []byte(text))
	end := len(w.b.Src) - 1
	var flags Flags
	if end-start != len(text) {
		flags |= Escaped
	}
	for i := 0; i < len(text); i++ {
		if text[i] >= utf8.RuneSelf {
			flags |= NonASCII
			break
		}
	}
	w.b.Tape = append(w.b.Tape, Token{Off: uint32(start), End: uint32(end), Skip: 1, Type: t, Flags: flags})
}

// Name starts a member of the innermost map; names must be valid UTF-8 and distinct within their map.
func (w *Builder) Name(name string) {
	fault.Check(w.parent() == M, "name outside of a map")
	w.separate()
	quoted(w, Name, name)
	w.b.Src = append(w.b.Src, ':')
}

// NameText is Name for a name in bytes.
func (w *Builder) NameText(name []byte) {
	fault.Check(w.parent() == M, "name outside of a map")
	w.separate()
	quoted(w, Name, name)
	w.b.Src = append(w.b.Src, ':')
}

// PlainName is NameText for printable ASCII without quote and backslash, which readers that saw every byte anyway need
// not have looked at again.
func (w *Builder) PlainName(name []byte) {
	fault.Check(w.parent() == M, "name outside of a map")
	src := w.room(len(name) + 4)
	n := len(src)
	src = src[:cap(src)]
	if w.comma {
		src[n] = ','
		n++
	}
	src[n] = '"'
	off := n + 1
	n = off + put(src[off:], name)
	src[n], src[n+1] = '"', ':'
	w.b.Src, w.comma = src[:n+2], false
	w.b.Tape = append(w.b.Tape, Token{Off: uint32(off), End: uint32(n), Skip: 1, Type: Name})
}

// room returns Src with capacity for n bytes more, and slack behind them.
func (w *Builder) room(n int) []byte {
	src := w.b.Src
	if cap(src)-len(src) >= n+Slack {
		return src
	}
	return slices.Grow(src, n+Slack)
}

// put is copy with slack behind dst: most names and values are short, and two words are moved faster than a few bytes.
func put(dst, text []byte) int {
	if len(text) > 16 || cap(text) < 16 {
		return copy(dst, text)
	}
	whole := text[:16]
	binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(whole))
	binary.LittleEndian.PutUint64(dst[8:], binary.LittleEndian.Uint64(whole[8:]))
	return len(text)
}

// wrapperWords are the wrappers of S and N as words; what follows overwrites their last two bytes.
var wrapperWords = func() (words [N + 1]uint64) {
	for t := S; t <= N; t++ {
		var b [8]byte
		copy(b[:], wrappers[t])
		words[t] = binary.LittleEndian.Uint64(b[:])
	}
	return words
}()

// PlainString is String for printable ASCII without quote and backslash.
func (w *Builder) PlainString(s []byte) { w.plain(S, s, 0) }

// NormalNumber appends an N whose text is in normal form.
func (w *Builder) NormalNumber(text []byte) { w.plain(N, text, Normal) }

// plain appends a string or number whose content is written as it is.
func (w *Builder) plain(t Type, content []byte, flags Flags) {
	src := w.room(len(content) + 9)
	n := len(src)
	src = src[:cap(src)]
	if w.comma {
		src[n] = ','
		n++
	}
	inSet := w.parent().IsSet()
	if inSet {
		fault.Check(w.parent().Member() == t, "member of another type in a set")
		src[n] = '"'
		n++
	} else {
		binary.LittleEndian.PutUint64(src[n:], wrapperWords[t])
		n += len(wrappers[S])
	}
	off := n
	n += put(src[n:], content)
	w.b.Tape = append(w.b.Tape, Token{Off: uint32(off), End: uint32(n), Skip: 1, Type: t, Flags: flags})
	src[n] = '"'
	n++
	if !inSet {
		src[n] = '}'
		n++
	}
	w.b.Src, w.comma = src[:n], true
}

// String appends an S; s must be valid UTF-8.
func (w *Builder) String(s []byte) {
	w.before(S)
	quoted(w, S, s)
	w.after()
}

// Number appends an N in normal form, or nothing and ParseNumber's error.
func (w *Builder) Number(text []byte) error {
	var space [NumberBytesMax]byte
	normal, err := AppendNumber(space[:0], text)
	if err != nil {
		return err
	}
	w.normal(normal)
	return nil
}

// Int appends an N.
func (w *Builder) Int(v int64) {
	var space [20]byte
	w.normal(strconv.AppendInt(space[:0], v, 10)) // plain digits are the normal form of an integer
}

// Decimal appends an N.
func (w *Builder) Decimal(d Decimal) {
	var space [NumberBytesMax]byte
	w.normal(d.Append(space[:0]))
}

func (w *Builder) normal(text []byte) {
	w.before(N)
	w.b.Src = append(w.b.Src, '"')
	off := len(w.b.Src)
	w.b.Src = append(w.b.Src, text...)
	w.leaf(N, off, Normal)
	w.b.Src = append(w.b.Src, '"')
	w.after()
}

// Binary appends a B.
func (w *Builder) Binary(data []byte) {
	w.before(B)
	w.b.Src = append(w.b.Src, '"')
	off := len(w.b.Src)
	w.b.Src = base64.StdEncoding.AppendEncode(w.b.Src, data)
	w.leaf(B, off, 0)
	w.b.Src = append(w.b.Src, '"')
	w.after()
}

// Bool appends a BOOL.
func (w *Builder) Bool(v bool) {
	w.before(BOOL)
	off := len(w.b.Src)
	w.b.Src = strconv.AppendBool(w.b.Src, v)
	var flags Flags
	if v {
		flags = True
	}
	w.leaf(BOOL, off, flags)
	w.after()
}

// Null appends a NULL.
func (w *Builder) Null() {
	w.before(NULL)
	off := len(w.b.Src)
	w.b.Src = append(w.b.Src, "true"...)
	w.leaf(NULL, off, 0)
	w.after()
}

// BeginMap opens an M; End closes it.
func (w *Builder) BeginMap() {
	w.before(M)
	w.push(M, '{')
}

// BeginList opens an L; End closes it.
func (w *Builder) BeginList() {
	w.before(L)
	w.push(L, '[')
}

// BeginSet opens a set of type SS, NS or BS; its members follow as String, Number or Binary; End closes it.
func (w *Builder) BeginSet(t Type) {
	fault.Check(t.IsSet(), "set of a type that is none")
	w.before(t)
	w.push(t, '[')
}

// End closes the innermost map, list or set.
func (w *Builder) End() {
	fault.Check(len(w.open) > 1, "end without begin")
	if w.parent() == M {
		w.pop('}')
	} else {
		w.pop(']')
	}
	w.after()
}

// Raw appends a copy of the value at index i of another item, bytes and tokens as they are.
func (w *Builder) Raw(it Item, i int) {
	token := it.Tape[i]
	w.before(token.Type)
	if token.Type <= B {
		w.b.Src = append(w.b.Src, '"')
	}
	shift := uint32(len(w.b.Src)) - token.Off // modulo 2^32
	w.b.Src = append(w.b.Src, it.Src[token.Off:token.End]...)
	at := len(w.b.Tape)
	w.b.Tape = append(w.b.Tape, it.Tape[i:i+int(token.Skip)]...)
	for j := range w.b.Tape[at:] {
		w.b.Tape[at+j].Off += shift
		w.b.Tape[at+j].End += shift
	}
	if token.Type <= B {
		w.b.Src = append(w.b.Src, '"')
	}
	w.after()
}

// Members appends a copy of the members of another item's map from the name at index i up to that at index j, or up to the map's
// end when j is behind its last token; owner is the map's own index. Bytes and tokens stay as they are, and many members
// cost little more than one.
func (w *Builder) Members(it Item, owner, i, j int) {
	if i == j {
		return
	}
	w.separate()
	from := it.Tape[i].Off - 1 // the quote in front of the name
	to := it.Tape[owner].End - 1
	if j < owner+int(it.Tape[owner].Skip) {
		to = uint32(bytes.LastIndexByte(it.Src[from:it.Tape[j].Off-1], ',')) + from
	}
	shift := uint32(len(w.b.Src)) - from // modulo 2^32
	w.b.Src = append(w.b.Src, it.Src[from:to]...)
	at := len(w.b.Tape)
	w.b.Tape = append(w.b.Tape, it.Tape[i:j]...)
	for k := at; k < len(w.b.Tape); k++ {
		w.b.Tape[k].Off += shift
		w.b.Tape[k].End += shift
	}
	w.comma = true
}

// RawName starts a member with the name at index i of another item.
func (w *Builder) RawName(it Item, i int) {
	w.separate()
	token := it.Tape[i]
	w.b.Src = append(w.b.Src, '"')
	off := len(w.b.Src)
	w.b.Src = append(w.b.Src, it.Src[token.Off:token.End]...)
	w.leaf(Name, off, token.Flags)
	w.b.Src = append(w.b.Src, '"', ':')
}

// Value appends a decoded value. A number that is none is ParseNumber's error, a value without type one of kind Bug;
// the item is then to be aborted.
func (w *Builder) Value(v Value) error {
	switch v.Type {
	case S:
		w.String([]byte(v.Str))
	case N:
		return w.Number([]byte(v.Str))
	case B:
		w.Binary(v.Bin)
	case BOOL:
		w.Bool(v.Bool)
	case NULL:
		w.Null()
	case L:
		w.BeginList()
		return w.elements(v.List, 0)
	case M:
		w.BeginMap()
		return w.members(v.Map)
	case SS, NS, BS:
		w.BeginSet(v.Type)
		return w.elements(v.List, v.Type.Member())
	default:
		return fault.New(fault.Bug, "value without type")
	}
	return nil
}

func (w *Builder) elements(list []Value, member Type) error {
	for _, e := range list {
		if member != 0 {
			e.Type = member
		}
		if err := w.Value(e); err != nil {
			return err
		}
	}
	w.End()
	return nil
}

func (w *Builder) members(members map[string]Value) error {
	for _, name := range sortedNames(members) {
		w.Name(name)
		if err := w.Value(members[name]); err != nil {
			return err
		}
	}
	w.End()
	return nil
}

// Item appends a whole decoded item as a row of its own: Begin, its members sorted by name, Finish. On error nothing
// is appended.
func (w *Builder) Item(line uint32, members map[string]Value) error {
	w.Begin(line)
	for _, name := range sortedNames(members) {
		w.Name(name)
		if err := w.Value(members[name]); err != nil {
			w.Abort()
			return err
		}
	}
	w.Finish()
	return nil
}

// FromMap returns a decoded item as an Item with bytes of its own.
func FromMap(members map[string]Value) (Item, error) {
	b := &Batch{}
	if err := NewBuilder(b).Item(0, members); err != nil {
		return Item{}, err
	}
	return b.Item(0), nil
}
