package ddbjson

import (
	"unsafe"

	"dynaferry/internal/item"
)

// The automaton knows places. A node is a place where a value may stand: a member of a map by its name, any further
// member, or any element of a list or set. An inside is a container at a node. A state is "a leaf of this kind has just
// been read at this node", from which transitions lead to the next leaf: the literal bytes between the two contents,
// and what they do to the tape. Since a state fixes every container that is open around it, what a literal means
// depends on the state alone, and comparing it byte for byte is as good as parsing it.

// kind is what a transition leads to. Kinds up to item.NULL are item.Type: a leaf whose content must be scanned.
type kind uint8

const (
	kindEmptyMap  kind = 16 + iota // an empty container, its token complete
	kindEmptyList                  // also of sets
	kindEnd                        // behind the item, wrapper included
	kindStart                      // in front of it
	kinds
)

// Bounds of what is learnt. They hold the worst data to a few megabytes; what does not fit is parsed anew each time.
const (
	literalMax     = 64      // bytes: compared as 8 words, so that no load passes item.Slack
	transitionsMax = 8       // of one state
	learntMax      = 4096    // transitions in all
	nodesMax       = 1 << 13 // in all
	namesMax       = 256     // of one map; the next are data rather than attributes, and share a node
	popsMax        = 8       // this and the next three are powers of two, so that indices need no check
	tokensMax      = 8
	pushesMax      = 4
	framesMax      = 64      // at least item.NestingMax + 2
	looseMax       = 1 << 16 // names without slot that are remembered at once
)

// node is a place of values.
type node struct {
	in     *inside
	slot   uint32 // index into automaton.seen for a named member, 0 for places without name of their own
	states [kinds]*state
	holds  [item.BS + 1]*inside
}

// inside is a container at a node.
type inside struct {
	at    *node // nil for the item itself
	t     item.Type
	level int // of the values in it
	names map[string]*node
	any   *node
}

// state is a leaf of one kind just read at a node.
type state struct {
	node *node
	kind kind
	n    int
	to   [transitionsMax]*transition
}

// transition is what stands between two leaves.
type transition struct {
	head   literal
	size   uint32 // bytes of the literal
	slot   uint32 // of the name for the map that is open after the pops, 0 for none
	pops   uint8
	tokens uint8
	pushes uint8
	kind   kind
	hits   uint32
	next   *state
	token  [tokensMax][2]uint64 // item.Tokens with offsets from the literal's start, the leaf's last
	popEnd [popsMax]uint32      // behind the closing bracket, from the literal's start
	push   [pushesMax]push
	tail   literal
}

// headBytes is what most literals fit in: "},"customerId":{"S":" has 22.
const headBytes = literalMax / 2

// literal is half a literal as words, with masks that cut it off behind its last byte.
type literal struct {
	words, masks [headBytes / 8]uint64
}

// matches tells whether the bytes at p are the literal's: all words at once, since it nearly always holds.
func (l *literal) matches(base unsafe.Pointer, p uint) bool {
	return (load(base, p)^l.words[0])&l.masks[0]|(load(base, p+8)^l.words[1])&l.masks[1]|
		(load(base, p+16)^l.words[2])&l.masks[2]|(load(base, p+24)^l.words[3])&l.masks[3] == 0
}

// push is a container that the literal opens and leaves open: which of its tokens, and the slot of its first name.
type push struct {
	token, slot uint32
}

// frame is a container that is open around the current leaf.
type frame struct {
	token    uint32
	instance uint32 // number of this map since the automaton began, for duplicate names
}

// automaton is the learnt knowledge and the scratch memory of one stream's parser. It is not for concurrent use.
type automaton struct {
	wrapped bool
	start   *state
	root    *inside
	nodes   int
	learnt  int

	// seen holds for each slot the instance of its map that had this name last: names of one map are told apart by
	// one comparison. Two instances of one inside are never open at once, since the slot belongs to a path.
	seen     []uint32
	instance uint32
	loose    map[looseName]struct{} // names without slot of the current item

	made  scratch    // by walk
	rest  transition // by step
	stack [framesMax]frame
	src   []byte // what is being parsed, for the few who need its length
	tape  []item.Token
}

// looseName is a name that has no slot, in one map.
type looseName struct {
	instance uint32
	name     string
}

func newAutomaton(wrapped bool) *automaton {
	a := &automaton{wrapped: wrapped, seen: make([]uint32, 1, 64), loose: map[looseName]struct{}{}}
	a.root = &inside{t: item.M, level: 1, names: map[string]*node{}}
	a.root.any = &node{in: a.root}
	a.start = newState(nil, kindStart)
	return a
}

// named returns the node of a member.
func (a *automaton) named(in *inside, name []byte) *node {
	if found := in.names[string(name)]; found != nil {
		return found
	}
	if len(in.names) >= namesMax || a.nodes >= nodesMax {
		return in.any
	}
	a.nodes++
	fresh := &node{in: in, slot: uint32(len(a.seen))}
	a.seen = append(a.seen, 0)
	in.names[string(name)] = fresh
	return fresh
}

// inside returns the container of type t at a node, nil when too much has been learnt.
func (a *automaton) inside(n *node, t item.Type) *inside {
	if found := n.holds[t]; found != nil {
		return found
	}
	if a.nodes >= nodesMax {
		return nil
	}
	a.nodes++
	fresh := &inside{at: n, t: t, level: n.in.level + 1}
	fresh.any = &node{in: fresh}
	if t == item.M {
		fresh.names = map[string]*node{}
	}
	n.holds[t] = fresh
	return fresh
}

// newState returns a state whose first transition matches nothing, so that there always is a first one.
func newState(n *node, k kind) *state {
	s := &state{node: n, kind: k}
	s.to[0] = &transition{size: literalMax + 1}
	return s
}

// state returns the state of a leaf at a node.
func (n *node) state(k kind) *state {
	if n.states[k] == nil {
		n.states[k] = newState(n, k)
	}
	return n.states[k]
}

// opened counts a map that opens and returns its instance.
func (a *automaton) opened() uint32 {
	a.instance++
	if a.instance == 0 { // after 4 billion maps: no stale instance may look like a fresh one
		clear(a.seen)
		a.instance = 1
	}
	return a.instance
}
