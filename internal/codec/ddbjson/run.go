package ddbjson

import (
	"unsafe"

	"dynaferry/internal/item"
)

// stepTokensMax is the most tokens that one step leaves on the tape: a name and a container for each level, and a leaf.
const stepTokensMax = 2*(item.NestingMax+2) + 1

// item parses the item at p and appends its tokens to a.tape. When it returns false the checked parser is to have the
// last word and a.tape is as it was.
func (a *automaton) item(p uint) (end uint, ok bool) {
	base := unsafe.Pointer(unsafe.SliceData(a.src))
	first, depth, s := len(a.tape), 0, a.start
	if len(a.loose) > 0 {
		clear(a.loose)
	}
	for {
		if cap(a.tape)-len(a.tape) < stepTokensMax {
			a.tape = append(a.tape, make([]item.Token, max(stepTokensMax, len(a.tape)/2))...)[:len(a.tape)]
		}
		var k kind
		if t := s.match(base, p); t != nil {
			if depth, ok = a.take(t, p, depth); !ok {
				break
			}
			p += uint(t.size)
			s, k = t.next, t.kind
		} else {
			if !a.walk(s, base, p) {
				break
			}
			a.learn(s, base, p)
			if depth, ok = a.takeScratch(p, depth); !ok {
				break
			}
			p += uint(a.step.size)
			s, k = a.step.next, a.step.kind
		}
		switch k {
		case kind(item.S):
			p, ok = a.text(base, p)
		case kind(item.N):
			p, ok = a.number(base, p)
		case kind(item.B):
			p, ok = a.binary(base, p)
		case kind(item.BOOL), kind(item.NULL):
			p, ok = a.literal(base, p, item.Type(k))
		case kindEnd:
			return p, true
		}
		if !ok {
			break
		}
	}
	a.tape = a.tape[:first]
	return 0, false
}

// match finds the transition whose literal stands at p. What matches more often moves to the front.
func (s *state) match(base unsafe.Pointer, p uint) *transition {
	for i := range s.n {
		t := s.to[i]
		if !t.head.matches(base, p) || t.size > headBytes && !t.tail.matches(base, p+headBytes) {
			continue
		}
		if i > 0 {
			if t.hits++; t.hits > s.to[i-1].hits {
				s.to[i-1], s.to[i] = t, s.to[i-1]
			}
		}
		return t
	}
	return nil
}

// take does to tape and stack what a transition at p says. It returns false for a duplicate name.
func (a *automaton) take(t *transition, p uint, depth int) (int, bool) {
	tape, n := a.tape[:cap(a.tape)], len(a.tape)
	for i := range t.pops {
		depth--
		open := a.stack[depth].token
		token := &tape[open]
		token.End, token.Skip = uint32(p)+t.popEnd[i], uint32(n)-open
	}
	if t.slot != 0 {
		seen, instance := &a.seen[t.slot], a.stack[depth-1].instance
		if *seen == instance {
			return 0, false
		}
		*seen = instance
	}
	for i := range t.tokens {
		token := t.token[i]
		token.Off += uint32(p)
		token.End += uint32(p)
		tape[n+int(i)] = token
	}
	for i := range t.pushes {
		push := t.push[i]
		instance := a.opened()
		a.stack[depth] = frame{uint32(n) + push.token, instance}
		a.seen[push.slot] = instance // slot 0 is nobody's
		depth++
	}
	a.tape = tape[:n+int(t.tokens)]
	return depth, true
}

// takeScratch is take for the walk just made, which may be longer and hold names without slot.
func (a *automaton) takeScratch(p uint, depth int) (int, bool) {
	w, n := &a.step, len(a.tape)
	for _, end := range w.popEnd {
		depth--
		open := a.stack[depth].token
		token := &a.tape[open]
		token.End, token.Skip = uint32(p)+end, uint32(n)-open
	}
	var top uint32
	if depth > 0 {
		top = a.stack[depth-1].instance
	}
	if w.slot != 0 {
		if a.seen[w.slot] == top {
			return 0, false
		}
		a.seen[w.slot] = top
	}
	pushes := w.push
	for i, token := range w.token {
		token.Off += uint32(p)
		token.End += uint32(p)
		a.tape = append(a.tape, token)
		if len(pushes) > 0 && pushes[0].token == uint32(i) {
			top = a.opened()
			a.stack[depth] = frame{uint32(n + i), top}
			a.seen[pushes[0].slot] = top
			pushes = pushes[1:]
			depth++
		}
		if w.loose && token.Type == item.Name && a.repeated(top, a.src[token.Off:token.End]) {
			return 0, false
		}
	}
	return depth, true
}

// repeated tells whether a name stood in this map before, among those without slot. One with a slot is entered too,
// which does no harm: the two kinds never have a name in common.
func (a *automaton) repeated(instance uint32, name []byte) bool {
	if _, ok := a.loose[looseName{instance, string(name)}]; ok {
		return true
	}
	a.loose[looseName{instance, string(name)}] = struct{}{}
	return false
}

func (a *automaton) leaf(p, end uint, t item.Type, flags item.Flags) {
	a.tape = append(a.tape, item.Token{Off: uint32(p), End: uint32(end), Skip: 1, Type: t, Flags: flags})
}

// text takes a string's content at p and returns its end, where the closing quote stands.
func (a *automaton) text(base unsafe.Pointer, p uint) (uint, bool) {
	end := plainText(base, p)
	if at(base, end) == '"' {
		a.leaf(p, end, item.S, 0)
		return end, true
	}
	last, flags, what := scanText(a.src, int(end))
	a.leaf(p, uint(last), item.S, flags)
	return uint(last), what == fine
}

func (a *automaton) number(base unsafe.Pointer, p uint) (uint, bool) {
	if end, normal := plainNumber(base, p); normal {
		a.leaf(p, end, item.N, item.Normal)
		return end, true
	}
	end := plainText(base, p)
	if at(base, end) != '"' {
		return 0, false
	}
	normal, err := item.CheckNumber(a.src[p:end])
	if err != nil {
		return 0, false
	}
	var flags item.Flags
	if normal {
		flags = item.Normal
	}
	a.leaf(p, end, item.N, flags)
	return end, true
}

func (a *automaton) binary(base unsafe.Pointer, p uint) (uint, bool) {
	end := plainText(base, p)
	if at(base, end) != '"' || !validBase64(a.src[p:end]) {
		return 0, false
	}
	a.leaf(p, end, item.B, 0)
	return end, true
}

func (a *automaton) literal(base unsafe.Pointer, p uint, t item.Type) (uint, bool) {
	const isTrue, isFals = 't' | 'r'<<8 | 'u'<<16 | 'e'<<24, 'f' | 'a'<<8 | 'l'<<16 | 's'<<24
	x := load(base, p)
	switch {
	case uint32(x) == isTrue && t == item.BOOL:
		a.leaf(p, p+4, t, item.True)
		return p + 4, true
	case uint32(x) == isTrue:
		a.leaf(p, p+4, t, 0)
		return p + 4, true
	case uint32(x) == isFals && byte(x>>32) == 'e' && t == item.BOOL:
		a.leaf(p, p+5, t, 0)
		return p + 5, true
	}
	return 0, false
}
