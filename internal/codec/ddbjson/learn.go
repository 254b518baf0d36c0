package ddbjson

import (
	"unicode/utf8"
	"unsafe"

	"dynaferry/internal/item"
)

// scratch is a transition in the making, with room for the deepest one.
type scratch struct {
	size   uint32
	slot   uint32
	kind   kind
	next   *state
	loose  bool // a name has no slot: its duplicates are found by the map of loose names
	popEnd []uint32
	token  []item.Token
	push   []push
}

// walk parses what stands between the leaf of state s, whose content ends at p, and the next one, in the compact form
// that DynamoDB, its SDKs and its exports write. It fills a.made and returns false for anything else, white space and
// escaped names included: then the checked parser takes the whole item.
func (a *automaton) walk(s *state, base unsafe.Pointer, p uint) bool {
	w := &a.made
	*w = scratch{popEnd: w.popEnd[:0], token: w.token[:0], push: w.push[:0]}
	q, in := p, a.root
	if s.kind == kindStart {
		if a.wrapped {
			if !follows(base, q, `{"Item":`) {
				return false
			}
			q += uint(len(`{"Item":`))
		}
		if at(base, q) != '{' {
			return false
		}
		w.open(item.M, q-p)
		q++
		if at(base, q) == '}' {
			return false // an item without attributes: rare enough
		}
		return a.member(in, base, p, q)
	}
	in = s.node.in
	if s.kind <= kind(item.B) {
		q++ // the closing quote, where the scan has stopped
	}
	if !in.t.IsSet() {
		if at(base, q) != '}' {
			return false
		}
		q++
	}
	for at(base, q) != ',' {
		if at(base, q) != closing(in.t) {
			return false
		}
		q++
		w.popEnd = append(w.popEnd, uint32(q-p))
		if a.wrapped || in.at != nil {
			if at(base, q) != '}' {
				return false
			}
			q++
		}
		if in.at == nil {
			w.kind, w.size = kindEnd, uint32(q-p)
			return true
		}
		in = in.at.in
	}
	return a.member(in, base, p, q+1)
}

func closing(t item.Type) byte {
	if t == item.M {
		return '}'
	}
	return ']'
}

func follows(base unsafe.Pointer, q uint, text string) bool {
	for i := 0; i < len(text); i++ {
		if at(base, q+uint(i)) != text[i] {
			return false
		}
	}
	return true
}

// open records a container that stays open.
func (w *scratch) open(t item.Type, off uint) {
	w.push = append(w.push, push{token: uint32(len(w.token))})
	w.token = append(w.token, item.Token{Off: uint32(off), Type: t})
}

// member parses from a member or element of in, at q, to the next leaf.
func (a *automaton) member(in *inside, base unsafe.Pointer, p, q uint) bool {
	w := &a.made
	for in != nil && in.level <= item.NestingMax+1 {
		n := in.any
		if in.t == item.M {
			var ok bool
			if n, q, ok = a.name(in, base, p, q); !ok {
				return false
			}
		}
		if in.t.IsSet() {
			return w.leaf(n, kind(in.t.Member()), base, p, q)
		}
		if in.level > item.NestingMax {
			return false
		}
		t, size := descriptor(load(base, q))
		q += size
		if size == 0 {
			return false
		}
		if t <= item.NULL {
			return w.leaf(n, kind(t), base, p, q)
		}
		if at(base, q) != opening(t) {
			return false
		}
		w.open(t, q-p)
		q++
		if at(base, q) == closing(t) {
			return w.empty(n, t, p, q+1)
		}
		in = a.inside(n, t)
	}
	return false
}

func opening(t item.Type) byte {
	if t == item.M {
		return '{'
	}
	return '['
}

// descriptor reads {"T": and returns the type and the bytes it took, 0 for none.
func descriptor(x uint64) (item.Type, uint) {
	if x&0xffff != '{'|'"'<<8 {
		return 0, 0
	}
	if x>>24&0xffff == '"'|':'<<8 {
		switch byte(x >> 16) {
		case 'S':
			return item.S, 5
		case 'N':
			return item.N, 5
		case 'B':
			return item.B, 5
		case 'L':
			return item.L, 5
		case 'M':
			return item.M, 5
		}
		return 0, 0
	}
	if x>>32&0xffff == '"'|':'<<8 {
		switch uint16(x >> 16) {
		case 'S' | 'S'<<8:
			return item.SS, 6
		case 'N' | 'S'<<8:
			return item.NS, 6
		case 'B' | 'S'<<8:
			return item.BS, 6
		}
		return 0, 0
	}
	if x>>48 == '"'|':'<<8 {
		switch uint32(x >> 16) {
		case 'B' | 'O'<<8 | 'O'<<16 | 'L'<<24:
			return item.BOOL, 8
		case 'N' | 'U'<<8 | 'L'<<16 | 'L'<<24:
			return item.NULL, 8
		}
	}
	return 0, 0
}

// name parses "name": at q and returns the member's node.
func (a *automaton) name(in *inside, base unsafe.Pointer, p, q uint) (*node, uint, bool) {
	if at(base, q) != '"' {
		return nil, 0, false
	}
	q++
	end := plainText(base, q)
	var flags item.Flags
	if at(base, end) >= utf8.RuneSelf {
		last, found, what := scanText(a.src, int(end))
		if what != fine {
			return nil, 0, false
		}
		end, flags = uint(last), found
	}
	if flags&item.Escaped != 0 || at(base, end) != '"' || at(base, end+1) != ':' {
		return nil, 0, false
	}
	w := &a.made
	n := a.named(in, unsafe.Slice((*byte)(unsafe.Add(base, q)), end-q))
	switch {
	case n.slot == 0:
		w.loose = true
	case len(w.push) > 0:
		w.push[len(w.push)-1].slot = n.slot
	default:
		w.slot = n.slot
	}
	w.token = append(w.token, item.Token{Off: uint32(q - p), End: uint32(end - p), Skip: 1,
		Type: item.Name, Flags: flags})
	return n, end + 2, true
}

// leaf ends the walk in front of a leaf's content.
func (w *scratch) leaf(n *node, k kind, base unsafe.Pointer, p, q uint) bool {
	if k <= kind(item.B) {
		if at(base, q) != '"' {
			return false
		}
		q++
	}
	leaf := item.Token{Off: uint32(q - p), Skip: 1, Type: item.Type(k)}
	if leaf.Type == item.N {
		leaf.Flags = item.Normal // what most are; the others' are set when they are read
	}
	w.token = append(w.token, leaf)
	w.kind, w.size, w.next = k, uint32(q-p), n.state(k)
	return true
}

// empty ends the walk behind the brackets of an empty container.
func (w *scratch) empty(n *node, t item.Type, p, q uint) bool {
	w.push = w.push[:len(w.push)-1]
	last := &w.token[len(w.token)-1]
	last.End, last.Skip = uint32(q-p), 1
	w.kind = kindEmptyList
	if t == item.M {
		w.kind = kindEmptyMap
	}
	w.size, w.next = uint32(q-p), n.state(w.kind)
	return true
}

// learn keeps the walk just made as a transition of s, if it is short and there is room.
func (a *automaton) learn(s *state, base unsafe.Pointer, p uint) *transition {
	w := &a.made
	if w.loose || w.size > literalMax || len(w.popEnd) > popsMax || len(w.token) > tokensMax ||
		len(w.push) > pushesMax || s.n == transitionsMax || a.learnt == learntMax {
		return nil
	}
	t := &transition{size: w.size, slot: w.slot, kind: w.kind, next: w.next,
		pops: uint8(len(w.popEnd)), tokens: uint8(len(w.token)), pushes: uint8(len(w.push))}
	copy(t.popEnd[:], w.popEnd)
	for i := range w.token {
		t.token[i] = *(*[2]uint64)(unsafe.Pointer(&w.token[i]))
	}
	copy(t.push[:], w.push)
	t.head.set(base, p, int(w.size))
	t.tail.set(base, p+headBytes, int(w.size)-headBytes)
	s.to[s.n] = t
	s.n++
	a.learnt++
	return t
}

// set takes the first size bytes at p, as far as there is room.
func (l *literal) set(base unsafe.Pointer, p uint, size int) {
	for i := range l.words {
		switch left := size - 8*i; {
		case left >= 8:
			l.masks[i] = ^uint64(0)
		case left > 0:
			l.masks[i] = 1<<(8*left) - 1
		default:
			return
		}
		l.words[i] = load(base, p+8*uint(i)) & l.masks[i]
	}
}
