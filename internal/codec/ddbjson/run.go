package ddbjson

import (
	"math/bits"
	"unsafe"

	"dynaferry/internal/item"
)

const (
	// stepTokensMax is the most tokens that one step leaves on the tape: a name and a container for each level, a leaf,
	// and one that is written ahead.
	stepTokensMax = 2*(item.NestingMax+2) + 2
	tokenBytes    = uint(unsafe.Sizeof(item.Token{}))
)

// room returns the tape's memory, which holds n tokens, and up to how many it may hold before room is asked again.
func (a *automaton) room(n uint) (tape unsafe.Pointer, limit uint) {
	if uint(cap(a.tape)) < n+stepTokensMax {
		grown := make([]item.Token, max(8*stepTokensMax, 2*n))
		copy(grown, a.tape[:n])
		a.tape = grown[:len(a.tape)]
	}
	return unsafe.Pointer(unsafe.SliceData(a.tape)), uint(cap(a.tape)) - stepTokensMax
}

// item parses the item at p, appends its tokens to a.tape and returns the position behind it. When it returns false the
// checked parser is to have the last word and a.tape is as it was.
//
// It is one function because Go keeps no registers across calls: with the common case spread over a few functions it
// takes nearly twice as long. What is not common is elsewhere.
func (a *automaton) item(p uint) (uint, bool) {
	base := unsafe.Pointer(unsafe.SliceData(a.src))
	n, depth, s := uint(len(a.tape)), uint(0), a.start
	tape, limit := a.room(n)
	for {
		if n > limit {
			tape, limit = a.room(n)
		}
		t := s.to[0]
		want, mask := &t.head.words, &t.head.masks
		if (load(base, p)^want[0])&mask[0]|(load(base, p+8)^want[1])&mask[1]|
			(load(base, p+16)^want[2])&mask[2]|(load(base, p+24)^want[3])&mask[3] != 0 || t.size > headBytes {
			if t = s.match(base, p); t == nil {
				if t, n, depth = a.step(s, p, n, depth); t == nil {
					return 0, false
				}
			}
		}
		for i := range uint(t.pops) {
			depth--
			open := a.stack[depth%framesMax].token
			token := (*item.Token)(unsafe.Add(tape, uint(open)*tokenBytes))
			token.End, token.Skip = uint32(p)+t.popEnd[i%popsMax], uint32(n)-open
		}
		if t.slot != 0 {
			seen, instance := &a.seen[t.slot], a.stack[(depth-1)%framesMax].instance
			if *seen == instance {
				return 0, false // a duplicate name: the checked parser says where
			}
			*seen = instance
		}
		// Tokens are copied as two words, Off and End shifted by one addition: neither can carry into its neighbour.
		// Most steps leave a name and a leaf; what is written ahead is overwritten.
		to, shift := unsafe.Add(tape, n*tokenBytes), uint64(p|p<<32)
		words := (*[2][2]uint64)(to)
		words[0][0], words[0][1] = t.token[0][0]+shift, t.token[0][1]
		words[1][0], words[1][1] = t.token[1][0]+shift, t.token[1][1]
		for i := uint(2); i < uint(t.tokens); i++ {
			words := (*[2]uint64)(unsafe.Add(to, i*tokenBytes))
			words[0], words[1] = t.token[i%tokensMax][0]+shift, t.token[i%tokensMax][1]
		}
		for i := range uint(t.pushes) {
			push, instance := t.push[i%pushesMax], a.opened()
			a.stack[depth%framesMax] = frame{uint32(n) + push.token, instance}
			a.seen[push.slot] = instance // slot 0 is nobody's
			depth++
		}
		n += uint(t.tokens)
		p += uint(t.size)
		s = t.next
		leaf := (*item.Token)(unsafe.Add(tape, (n-1)*tokenBytes))
		switch t.kind {
		case kind(item.S):
			for {
				if found := special(load(base, p)); found != 0 {
					p += uint(bits.TrailingZeros64(found)) >> 3
					break
				}
				p += 8
			}
			if at(base, p) != '"' {
				var ok bool
				if p, leaf.Flags, ok = a.text(p); !ok {
					return 0, false
				}
			}
		case kind(item.N):
			end := shortNumber(load(base, p), p)
			if end == 0 {
				var ok bool
				if end, leaf.Flags, ok = a.number(base, p); !ok {
					return 0, false
				}
			}
			p = end
		case kind(item.B), kind(item.BOOL), kind(item.NULL):
			var ok bool
			if p, leaf.Flags, ok = a.other(t.kind, base, p); !ok {
				return 0, false
			}
		case kindEnd:
			a.tape = a.tape[:n]
			return p, true
		default: // an empty container, complete
			continue
		}
		leaf.End = uint32(p)
	}
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

// step parses what stands at p and learns it, or, when it is not worth keeping, does to tape and stack itself what it
// says. It returns the transition that remains to be taken, nil when the checked parser is to decide.
func (a *automaton) step(s *state, p, n, depth uint) (*transition, uint, uint) {
	base := unsafe.Pointer(unsafe.SliceData(a.src))
	if !a.walk(s, base, p) {
		return nil, 0, 0
	}
	if t := a.learn(s, base, p); t != nil {
		return t, n, depth
	}
	w := &a.made
	tape := a.tape[:cap(a.tape)]
	for _, end := range w.popEnd {
		depth--
		open := a.stack[depth].token
		token := &tape[open]
		token.End, token.Skip = uint32(p)+end, uint32(n)-open
	}
	var top uint32
	if depth > 0 {
		top = a.stack[depth-1].instance
	}
	if w.slot != 0 {
		if a.seen[w.slot] == top {
			return nil, 0, 0
		}
		a.seen[w.slot] = top
	}
	pushes := w.push
	for i, token := range w.token {
		token.Off += uint32(p)
		token.End += uint32(p)
		tape[n+uint(i)] = token
		if len(pushes) > 0 && pushes[0].token == uint32(i) {
			top = a.opened()
			a.stack[depth] = frame{uint32(n) + uint32(i), top}
			a.seen[pushes[0].slot] = top
			pushes = pushes[1:]
			depth++
		}
		if w.loose && token.Type == item.Name && a.repeated(top, a.src[token.Off:token.End]) {
			return nil, 0, 0
		}
	}
	a.rest = transition{size: w.size, kind: w.kind, next: w.next}
	return &a.rest, n + uint(len(w.token)), depth
}

// repeated tells whether a name stood in this map before, among those without slot. One with a slot is entered too,
// which does no harm: the two kinds never have a name in common.
func (a *automaton) repeated(instance uint32, name []byte) bool {
	if _, ok := a.loose[looseName{instance, string(name)}]; ok {
		return true
	}
	if len(a.loose) >= looseMax { // instances never come again, so that what is forgotten may only be too much
		return true
	}
	a.loose[looseName{instance, string(name)}] = struct{}{}
	return false
}

// text goes on with a string's content from its first odd byte on.
func (a *automaton) text(p uint) (end uint, flags item.Flags, ok bool) {
	last, flags, what := scanText(a.src, int(p))
	return uint(last), flags, what == fine
}

// shortNumber takes a number in normal form that ends within the 8 bytes x at p: digits, perhaps a point and digits. It
// returns its end, 0 for whatever else.
func shortNumber(x uint64, p uint) (end uint) {
	const point, quote = '.' ^ '0', '"' ^ '0'
	x ^= zeros
	other := (x&^highs + beyond9 | x) & highs // exact: no byte carries
	at := uint(bits.TrailingZeros64(other)) &^ 7
	if at == 0 || at == 64 || byte(x) == 0 && at > 8 {
		return 0
	}
	c := byte(x >> at)
	if c == quote {
		return p + at>>3
	}
	other &= other - 1
	last := uint(bits.TrailingZeros64(other)) &^ 7
	if c != point || last == 64 || last == at+8 || byte(x>>(last-8)) == 0 || byte(x>>last) != quote {
		return 0
	}
	return p + last>>3
}

// number takes an N that shortNumber does not.
func (a *automaton) number(base unsafe.Pointer, p uint) (end uint, flags item.Flags, ok bool) {
	if end, normal := plainNumber(base, p); normal {
		return end, item.Normal, true
	}
	end = plainText(base, p)
	if at(base, end) != '"' {
		return 0, 0, false
	}
	normal, err := item.CheckNumber(a.src[p:end])
	if normal {
		flags = item.Normal
	}
	return end, flags, err == nil
}

// other takes a B, BOOL or NULL.
func (a *automaton) other(k kind, base unsafe.Pointer, p uint) (end uint, flags item.Flags, ok bool) {
	if k == kind(item.B) {
		end = plainText(base, p)
		return end, 0, at(base, end) == '"' && validBase64(a.src[p:end])
	}
	const isTrue, isFals = 't' | 'r'<<8 | 'u'<<16 | 'e'<<24, 'f' | 'a'<<8 | 'l'<<16 | 's'<<24
	x := load(base, p)
	switch {
	case uint32(x) == isTrue && k == kind(item.BOOL):
		return p + 4, item.True, true
	case uint32(x) == isTrue:
		return p + 4, 0, true
	}
	return p + 5, 0, uint32(x) == isFals && byte(x>>32) == 'e' && k == kind(item.BOOL)
}
