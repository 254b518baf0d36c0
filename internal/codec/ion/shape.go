package ion

import (
	"bytes"
	"encoding/binary"

	"dynaferry/internal/item"
)

// Bounds of what a mapper learns: a struct with more names than these holds data, not attributes.
const (
	shapeNamesMax = 64
	learntMax     = 4096 // names in all
)

// shape is what the structs at one place looked like so far: names, in the order they came. A struct whose names come in this
// order cannot have one twice, and each is known by comparing a few words.
type shape struct {
	names []known
}

// known is a name that was seen.
type known struct {
	text  text
	raw   []byte // how it stands in text, with the colon; nil when it needs quotes
	words [2]uint64
	masks [2]uint64 // cut the words off behind raw; 0 when raw is longer
	inner *shape    // of structs at this place, in lists too
}

const wordBytes = 16

func newKnown(t text) known {
	own := append(make([]byte, 0, max(wordBytes, len(t.b))), t.b...)
	k := known{text: text{b: own, plain: t.plain}}
	if !t.plain || !isName(t.b) {
		return k
	}
	k.raw = append(bytes.Clone(t.b), ':')
	if len(k.raw) > wordBytes {
		return k
	}
	var raw, mask [wordBytes]byte
	copy(raw[:], k.raw)
	for i := range k.raw {
		mask[i] = 0xFF
	}
	for i := range k.words {
		k.words[i] = binary.LittleEndian.Uint64(raw[8*i:])
		k.masks[i] = binary.LittleEndian.Uint64(mask[8*i:])
	}
	return k
}

// at tells whether the name stands at p of b, which has 16 bytes behind.
func (k *known) at(b []byte, p int) bool {
	if k.masks[0] != 0 {
		b = b[p : p+wordBytes]
		return (binary.LittleEndian.Uint64(b)^k.words[0])&k.masks[0]|(binary.LittleEndian.Uint64(b[8:])^k.words[1])&k.masks[1] == 0
	}
	return k.raw != nil && bytes.HasPrefix(b[p:], k.raw)
}

// find returns the index of a name, -1 when the shape has none like it.
func (s *shape) find(name []byte) int {
	for i := range s.names {
		if bytes.Equal(s.names[i].text.b, name) {
			return i
		}
	}
	return -1
}

// fields follows the names of one struct along its shape.
type fields struct {
	shape *shape // nil once a name came out of order, or when nothing is learnt of this place
	next  int    // index of the name that is expected
	names nameSet
}

// expected is the name that should come next, nil when nobody knows.
func (f *fields) expected() *known {
	if f.shape == nil || f.next >= len(f.shape.names) {
		return nil
	}
	return &f.shape.names[f.next]
}

// name appends the name of the field that m has read. It returns what is known of it, and whether the struct had it before.
func (f *fields) name(m *mapper) (k *known, twice bool) {
	v := &m.v
	if k = v.expect; k != nil && (v.met || bytes.Equal(k.text.b, v.field.b)) {
		f.next++
	} else if k = nil; f.shape != nil {
		k = f.other(m)
	}
	if v.field.plain {
		m.build.PlainName(v.field.b)
	} else {
		m.build.NameText(v.field.b)
	}
	if f.shape != nil {
		return k, false
	}
	return nil, f.names.seen(m.batch, len(m.batch.Tape)-1)
}

// other takes a name that was not expected: one further on in the shape, or a new one, which is learnt. For any other the
// shape is left, and nil returned.
func (f *fields) other(m *mapper) *known {
	s, name := f.shape, m.v.field
	i := s.find(name.b)
	switch {
	case i < 0 && len(s.names) < shapeNamesMax && m.learnt < learntMax:
		m.learnt++
		i = f.next
		s.names = append(s.names, known{})
		copy(s.names[i+1:], s.names[i:])
		s.names[i] = newKnown(name)
	case i < f.next:
		f.shape = nil
		f.names.begin(m.batch)
		return nil
	}
	f.next = i + 1
	return &s.names[i]
}

// below is the shape of what lies below a name, nil when nothing is learnt of it.
func (k *known) below() *shape {
	if k == nil {
		return nil
	}
	if k.inner == nil {
		k.inner = &shape{}
	}
	return k.inner
}

// namesFew is up to how many names of a struct looking back is cheaper than hashing.
const namesFew = 64

// nameSet finds names that a struct has twice. Most are told apart by a filter, few by looking back on the tape.
type nameSet struct {
	open   int // tape index of the map
	count  int
	filter [4]uint64
	many   map[string]struct{}
}

// begin takes in the names that the struct has so far.
func (s *nameSet) begin(b *item.Batch) {
	for i := s.open + 1; i < len(b.Tape); i += 1 + int(b.Tape[i+1].Skip) {
		s.seen(b, i)
	}
}

// seen tells whether the name at tape index at stood in this map before. Builder spells equal names alike.
func (s *nameSet) seen(b *item.Batch, at int) bool {
	token := &b.Tape[at]
	name := b.Src[token.Off:token.End]
	if s.count++; s.count > namesFew {
		return s.seenAmongMany(b, at, name)
	}
	h := uint32(len(name)) * 0x9E3779B1
	for _, c := range name[max(0, len(name)-8):] {
		h = (h ^ uint32(c)) * 0x01000193
	}
	h ^= h >> 15
	word, bit := &s.filter[h>>8&3], uint64(1)<<(h&63)
	if *word&bit == 0 {
		*word |= bit
		return false
	}
	for i := s.open + 1; i < at; i += 1 + int(b.Tape[i+1].Skip) {
		if before := &b.Tape[i]; bytes.Equal(b.Src[before.Off:before.End], name) {
			return true
		}
	}
	return false
}

func (s *nameSet) seenAmongMany(b *item.Batch, at int, name []byte) bool {
	if s.many == nil {
		s.many = map[string]struct{}{}
		for i := s.open + 1; i < at; i += 1 + int(b.Tape[i+1].Skip) {
			s.many[string(b.Src[b.Tape[i].Off:b.Tape[i].End])] = struct{}{}
		}
	}
	if _, ok := s.many[string(name)]; ok {
		return true
	}
	s.many[string(name)] = struct{}{}
	return false
}
