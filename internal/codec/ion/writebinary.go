package ion

import (
	"encoding/binary"

	"dynaferry/internal/item"
)

// Bounds of the writer's symbol table; beyond them a version marker begins a new one, so that maps whose keys are data cost
// no more memory than this.
const (
	writtenSymbolsMax     = 1 << 14
	writtenSymbolBytesMax = 1 << 20
)

// Ids of the system symbols that a symbol table is written with.
const (
	idSymbolTable = 3
	idImports     = 6
	idSymbols     = 7
)

// The symbols that every table begins with.
const (
	idItem = uint64(localFirst) + iota
	idSS   // the other sets follow
)

// binaryEncoder encodes items one by one. Symbols that an item is the first to use stand in a table in front of it, which
// appends to the table before.
type binaryEncoder struct {
	ids   map[string]uint64
	bytes int
	fresh [][]byte // symbols that no table has yet
	body  []byte
	text  []byte
	begun bool // a table has been written
}

func newBinaryEncoder() *binaryEncoder {
	e := &binaryEncoder{}
	e.reset()
	return e
}

// reset begins a new symbol table.
func (e *binaryEncoder) reset() {
	e.ids, e.bytes, e.fresh, e.begun = map[string]uint64{}, 0, e.fresh[:0], false
	e.id([]byte("Item"))
	for _, note := range setNotes {
		e.id([]byte(note))
	}
}

// id returns the id of a symbol, a new one if need be.
func (e *binaryEncoder) id(name []byte) uint64 {
	if id, ok := e.ids[string(name)]; ok {
		return id
	}
	id := uint64(localFirst + len(e.ids))
	own := string(name)
	e.ids[own] = id
	e.bytes += len(name)
	e.fresh = append(e.fresh, []byte(own))
	return id
}

// append encodes an item, its new symbols in front.
func (e *binaryEncoder) append(dst []byte, it item.Item) []byte {
	if len(e.ids) >= writtenSymbolsMax || e.bytes >= writtenSymbolBytesMax {
		dst = append(dst, versionMarker...)
		e.reset()
	}
	e.body = e.body[:0]
	start := e.open(idItem)
	e.fields(it, 0)
	if len(e.fresh) > 0 {
		dst = e.table(dst)
	}
	e.close(start, 0xD0)
	return append(dst, e.body...)
}

// table writes the new symbols as a table.
func (e *binaryEncoder) table(dst []byte) []byte {
	var b binaryEncoder
	b.body = append(b.body, 0x81, 0x80|idSymbolTable)
	fields := len(b.body)
	if e.begun {
		b.body = append(b.body, 0x80|idImports, 0x71, idSymbolTable)
	}
	b.body = append(b.body, 0x80|idSymbols)
	list := len(b.body)
	for _, name := range e.fresh {
		b.string(name)
	}
	b.close(list, 0xB0)
	b.close(fields, 0xD0)
	b.close(0, 0xE0)
	e.fresh, e.begun = e.fresh[:0], true
	return append(dst, b.body...)
}

// open writes a field's name and returns where its container begins.
func (e *binaryEncoder) open(id uint64) int {
	start := len(e.body)
	e.body = appendVarUint(e.body, id)
	return start
}

// close puts the descriptor in front of the content that begins at start.
func (e *binaryEncoder) close(start int, descriptor byte) {
	var head [headBytesMax]byte
	front := appendHead(head[:0], descriptor, len(e.body)-start)
	e.body = append(e.body, front...)
	copy(e.body[start+len(front):], e.body[start:len(e.body)-len(front)])
	copy(e.body[start:], front)
}

// appendHead writes a descriptor with a length.
func appendHead(dst []byte, descriptor byte, length int) []byte {
	if length >= 14 || descriptor == 0xD0 && length == 1 {
		return appendVarUint(append(dst, descriptor|14), uint64(length))
	}
	return append(dst, descriptor|byte(length))
}

func appendVarUint(dst []byte, n uint64) []byte {
	var space [10]byte
	at := len(space) - 1
	space[at] = 0x80 | byte(n&0x7F)
	for n >>= 7; n > 0; n >>= 7 {
		at--
		space[at] = byte(n & 0x7F)
	}
	return append(dst, space[at:]...)
}

// fields writes the map at index i.
func (e *binaryEncoder) fields(it item.Item, i int) {
	start := len(e.body)
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += 1 + int(it.Tape[at+1].Skip) {
		name := it.Src[it.Tape[at].Off:it.Tape[at].End]
		if it.Tape[at].Flags&item.Escaped != 0 {
			e.text = it.AppendText(e.text[:0], at)
			name = e.text
		}
		e.body = appendVarUint(e.body, e.id(name))
		e.value(it, at+1)
	}
	e.close(start, 0xD0)
}

func (e *binaryEncoder) value(it item.Item, i int) {
	token := &it.Tape[i]
	switch token.Type {
	case item.S:
		content := it.Src[token.Off:token.End]
		if token.Flags&item.Escaped != 0 {
			e.text = it.AppendText(e.text[:0], i)
			content = e.text
		}
		e.string(content)
	case item.N:
		e.decimal(it.Decimal(i))
	case item.B:
		e.text = it.Bytes(i, e.text[:0])
		e.body = append(appendHead(e.body, 0xA0, len(e.text)), e.text...)
	case item.BOOL:
		e.body = append(e.body, 0x10)
		if it.Bool(i) {
			e.body[len(e.body)-1] |= 1
		}
	case item.NULL:
		e.body = append(e.body, 0x0F)
	case item.M:
		e.fields(it, i)
	case item.L:
		e.list(it, i)
	default:
		start := len(e.body)
		e.body = append(e.body, 0x81, 0x80|byte(idSS+uint64(token.Type-item.SS)))
		e.list(it, i)
		e.close(start, 0xE0)
	}
}

func (e *binaryEncoder) string(s []byte) {
	e.body = append(appendHead(e.body, 0x80, len(s)), s...)
}

func (e *binaryEncoder) list(it item.Item, i int) {
	start := len(e.body)
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += int(it.Tape[at].Skip) {
		e.value(it, at)
	}
	e.close(start, 0xB0)
}

// decimal writes exponent and coefficient.
func (e *binaryEncoder) decimal(d item.Decimal) {
	if d.Digits == 0 {
		e.body = append(e.body, 0x50)
		return
	}
	var space [2 + 1 + 16]byte
	rep := appendVarInt(space[:0], int(d.Exp))
	var magnitude [1 + 16]byte // a sign before 127 bits
	binary.BigEndian.PutUint64(magnitude[1:], d.Hi)
	binary.BigEndian.PutUint64(magnitude[9:], d.Lo)
	first := 0
	for magnitude[first] == 0 {
		first++
	}
	if magnitude[first] >= 0x80 {
		first--
	}
	if d.Neg {
		magnitude[first] |= 0x80
	}
	rep = append(rep, magnitude[first:]...)
	e.body = append(appendHead(e.body, 0x50, len(rep)), rep...)
}

// appendVarInt writes an exponent, which is of at most 13 bits.
func appendVarInt(dst []byte, n int) []byte {
	sign := byte(0)
	if n < 0 {
		sign, n = 0x40, -n
	}
	if n < 0x40 {
		return append(dst, 0x80|sign|byte(n))
	}
	return append(dst, sign|byte(n>>7), 0x80|byte(n&0x7F))
}
