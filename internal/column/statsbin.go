package column

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// The binary form of Stats; docs/formats/columns.md is its specification.
const (
	statsMagic   = "DFCS"
	statsVersion = 1

	statsFlat = 1 << 0
	statsOver = 1 << 1

	nodeCollapsed = 1 << 0
	nodeOpen      = 1 << 1 // a container was seen here
	nodeElem      = 1 << 2
	nodeKids      = 1 << 3
	nodeMembers   = 1 << 4
)

// AppendBinary appends the compact binary form, equal for equal Stats. The error is always nil; it is there for
// encoding.BinaryAppender.
func (s *Stats) AppendBinary(dst []byte) ([]byte, error) {
	s.trim()
	start := len(dst)
	dst = append(dst, statsMagic...)
	dst = append(dst, statsVersion)
	var flags byte
	if s.flat {
		flags |= statsFlat
	}
	if s.over {
		flags |= statsOver
	}
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, s.items)
	if s.over {
		dst = appendName(dst, s.last)
	}
	dst = appendKids(dst, &s.top)
	return binary.LittleEndian.AppendUint64(dst, xxh3.Hash(dst[start:])), nil
}

// MarshalBinary is AppendBinary to a new slice.
func (s *Stats) MarshalBinary() ([]byte, error) { return s.AppendBinary(nil) }

func appendName(dst []byte, name string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(name))), name...)
}

func appendKids(dst []byte, k *kids) []byte {
	dst = binary.AppendUvarint(dst, uint64(k.n))
	for _, n := range k.sorted() {
		dst = appendNode(appendName(dst, n.name), n)
	}
	return dst
}

func appendNode(dst []byte, n *node) []byte {
	var types uint64
	counts := n.counts()
	for t, c := range counts {
		if c > 0 {
			types |= 1 << t
		}
	}
	dst = binary.AppendUvarint(dst, types)
	for t, c := range counts {
		if c > 0 && item.Type(t) != item.N { // numbers are counted by their histogram
			dst = binary.AppendUvarint(dst, c)
		}
	}
	if counts[item.N] > 0 {
		dst = appendHistogram(dst, n.numbers())
	}
	m := n.more
	if m == nil {
		m = &more{}
	}
	flags := m.flags()
	dst = append(dst, flags)
	if flags&nodeMembers != 0 {
		dst = appendHistogram(dst, m.members)
	}
	if flags&nodeElem != 0 {
		dst = appendNode(dst, m.elem)
	}
	if flags&nodeKids != 0 {
		dst = appendKids(dst, m.kids)
	}
	return dst
}

func (m *more) flags() (flags byte) {
	if m.collapsed {
		flags |= nodeCollapsed
	}
	if m.depth > 0 {
		flags |= nodeOpen
	}
	if m.elem != nil {
		flags |= nodeElem
	}
	if m.kids != nil && m.kids.n > 0 {
		flags |= nodeKids
	}
	if len(m.members) > 0 {
		flags |= nodeMembers
	}
	return flags
}

func appendHistogram(dst []byte, h histogram) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(h)))
	for _, b := range h {
		dst = binary.AppendUvarint(append(dst, byte(b.shape>>8), byte(b.shape)), b.n)
	}
	return dst
}

// UnmarshalBinary replaces s by what data holds. Memory stays within a small multiple of len(data) and of the bounds of
// Stats. Errors are of kind Corrupt, or Unsupported for a later version.
func (s *Stats) UnmarshalBinary(data []byte) error {
	*s = Stats{}
	head := len(statsMagic) + 1
	switch {
	case len(data) < head+8 || string(data[:len(statsMagic)]) != statsMagic:
		return fault.New(fault.Corrupt, "read column statistics: not of this kind")
	case data[head-1] != statsVersion:
		return fault.New(fault.Unsupported, "read column statistics: version %d is not known", data[head-1])
	}
	body := data[:len(data)-8]
	if xxh3.Hash(body) != binary.LittleEndian.Uint64(data[len(body):]) {
		return fault.New(fault.Corrupt, "read column statistics: checksum does not match")
	}
	d := statsDecoder{data: body[head:], s: s}
	flags := d.byte()
	s.flat, s.over = flags&statsFlat != 0, flags&statsOver != 0
	s.items = d.uvarint()
	if s.over {
		s.last = string(d.name())
	}
	d.attributes()
	if d.bad || len(d.data) > 0 {
		*s = Stats{}
		return fault.New(fault.Corrupt, "read column statistics: malformed at byte %d", len(body)-len(d.data))
	}
	return nil
}

// statsDecoder reads what AppendBinary wrote. After the first fault everything reads as zero and bad is set.
type statsDecoder struct {
	data []byte
	s    *Stats
	bad  bool
}

func (d *statsDecoder) fail() { d.bad, d.data = true, nil }

func (d *statsDecoder) byte() byte {
	if len(d.data) == 0 {
		d.fail()
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

func (d *statsDecoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *statsDecoder) name() []byte {
	n := d.uvarint()
	if n > uint64(len(d.data)) {
		d.fail()
		return nil
	}
	name := d.data[:n]
	d.data = d.data[n:]
	return name
}

// attributes reads the top level. Names must rise, which also keeps them distinct.
func (d *statsDecoder) attributes() {
	last := ""
	for i, n := uint64(0), d.uvarint(); i < n && !d.bad; i++ {
		name := d.name()
		if i > 0 && string(name) <= last || d.bad {
			d.fail()
			return
		}
		last = string(name)
		to := d.s.attribute(name)
		if to == nil {
			d.fail()
			return
		}
		d.node(to, nil, 1)
	}
}

func (d *statsDecoder) node(n, parent *node, depth uint8) {
	types := d.uvarint()
	if types>>(item.BS+1) != 0 || types&1 != 0 {
		d.fail()
		return
	}
	for t := item.S; t <= item.BS; t++ {
		if types>>t&1 != 0 && t != item.N {
			n.add(t, d.uvarint())
		}
	}
	if types>>item.N&1 != 0 {
		d.histogram(func(s shape, by uint64) {
			n.add(item.N, by)
			n.number(s, by)
		})
	}
	flags := d.byte()
	if flags&nodeMembers != 0 {
		m := n.extend()
		d.histogram(m.members.add)
	}
	held := types&(1<<item.L|1<<item.M) != 0
	switch {
	case held != (flags&nodeOpen != 0) || !held && flags&(nodeElem|nodeKids|nodeCollapsed) != 0:
		d.fail()
	case held && !d.bad:
		d.container(n, parent, depth, flags)
	}
}

func (d *statsDecoder) container(n, parent *node, depth uint8, flags byte) {
	m := d.s.open(n, parent, depth)
	if flags&nodeCollapsed != 0 {
		d.s.charge(n, weightMax(depth)+1)
	}
	if flags&(nodeElem|nodeKids) != 0 && m.collapsed {
		if depth > depthMax {
			d.passOver(depth, flags)
		} else {
			d.fail()
		}
		return
	}
	if flags&nodeElem != 0 {
		d.node(d.s.element(n), n, depth+1)
	}
	if flags&nodeKids == 0 {
		return
	}
	last := ""
	for i, count := uint64(0), d.uvarint(); i < count && !d.bad; i++ {
		name := d.name()
		if i > 0 && string(name) <= last || d.bad || m.collapsed {
			d.fail()
			return
		}
		last = string(name)
		kid := d.s.member(n, name)
		if kid == nil {
			d.fail()
			return
		}
		d.node(kid, n, depth+1)
	}
}

// passOver reads what lies in a container that is deeper than today's rules look: earlier versions looked to level 32.
func (d *statsDecoder) passOver(depth uint8, flags byte) {
	if depth > schemaDepthMax {
		d.fail()
		return
	}
	if flags&nodeElem != 0 {
		d.passOverNode(depth + 1)
	}
	if flags&nodeKids != 0 {
		for i, count := uint64(0), d.uvarint(); i < count && !d.bad; i++ {
			d.name()
			d.passOverNode(depth + 1)
		}
	}
}

func (d *statsDecoder) passOverNode(depth uint8) {
	types := d.uvarint()
	for t := item.S; t <= item.BS; t++ {
		if types>>t&1 != 0 && t != item.N {
			d.uvarint()
		}
	}
	none := func(shape, uint64) {}
	if types>>item.N&1 != 0 {
		d.histogram(none)
	}
	flags := d.byte()
	if flags&nodeMembers != 0 {
		d.histogram(none)
	}
	d.passOver(depth, flags)
}

func (d *statsDecoder) histogram(add func(shape, uint64)) {
	for i, n := uint64(0), d.uvarint(); i < n && !d.bad; i++ {
		s := shape(d.byte())<<8 | shape(d.byte())
		if count := d.uvarint(); !d.bad {
			add(s, count)
		}
	}
}
