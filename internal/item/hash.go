package item

import (
	"encoding/binary"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// Hash is the 256-bit hash of an item as little-endian limbs: Hash[0] is the lowest.
type Hash [4]uint64

// half is a 128-bit hash of a part of an item.
type half struct{ lo, hi uint64 }

// Hasher hashes items. The zero Hasher is ready; it holds scratch memory, so each goroutine has its own.
//
// The hash is built from parts and nothing is sorted (docs/decisions/0002-fingerprint.md): a scalar is the
// hash of its canonical bytes, xxh3-128 from 16 bytes on, with its type folded in; a member of a map mixes the hashes of name and value,
// an element of a list those of position and value, a member of a set is mixed alone; a container adds what its
// members gave and folds in its type and their count. So two items hash alike exactly when their canonical JSON is
// alike, but for chance. The values are stored in manifests: they never change.
type Hasher struct {
	names   [nameSlots]nameSlot
	scratch []byte
	decoded []byte
}

// seeds are 128 bits a type, the fraction of pi in hexadecimal: nothing up the sleeve.
var seeds = [...]half{
	S:    {0x243f6a8885a308d3, 0x13198a2e03707344},
	N:    {0xa4093822299f31d0, 0x082efa98ec4e6c89},
	B:    {0x452821e638d01377, 0xbe5466cf34e90c6c},
	BOOL: {0xc0ac29b7c97c50dd, 0x3f84d5b5b5470917},
	NULL: {0x9216d5d98979fb1b, 0xd1310ba698dfb5ac},
	L:    {0x2ffd72dbd01adfb7, 0xb8e1afed6a267e96},
	M:    {0xba7c9045f12c7f99, 0x24a19947b3916cf7},
	SS:   {0x0801f2e2858efc16, 0x636920d871574e69},
	NS:   {0xa458fea3f4933d7e, 0x0d95748f728eb658},
	BS:   {0x718bcd5882154aee, 0x7b54a41dc25a59b5},
	Name: {0x9c30d5392af26013, 0xc5d1b023286085f0},
}

// positions is what a list folds in for the place of an element.
var positions = half{0xca417918b8db38ef, 0x8e79dcb0603a180e}

// fold multiplies to 128 bits and folds the halves into one.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// mix joins two hashes, in this order, so that sums of mixes tell who stood with whom.
func mix(a, b half) half {
	return half{
		fold(a.lo^0x6c9e0e8bb01e8a3e, b.lo^bits.RotateLeft64(a.hi, 23)) + b.hi,
		fold(a.hi^0xd71577c1bd314b27, b.hi^bits.RotateLeft64(a.lo, 41)) ^ b.lo,
	}
}

// add adds modulo 2^128.
func (h half) add(g half) half {
	lo, carry := bits.Add64(h.lo, g.lo, 0)
	return half{lo, h.hi + g.hi + carry}
}

// close ends a container of n members.
func (h half) close(t Type, n int) half {
	return mix(half{seeds[t].lo + uint64(n), seeds[t].hi}, h)
}

// Item returns the item's hash.
func (h *Hasher) Item(it Item) Hash {
	w0, w1, w2, w3 := h.limbs(it)
	return Hash{w0, w1, w2, w3}
}

// AddTo takes the item into a fingerprint, as f.Add(h.Item(it)) does, for all items of a table: the limbs stay in
// registers, where a Hash would be stored by limbs and copied as a whole, which waits for its stores.
func (h *Hasher) AddTo(f *Fingerprint, it Item) {
	w0, w1, w2, w3 := h.limbs(it)
	f.add(w0, w1, w2, w3)
}

func (h *Hasher) limbs(it Item) (w0, w1, w2, w3 uint64) {
	tree, _ := h.members(it, 0)
	a := avalanche(tree.lo ^ 0x78af2fda55605c60)
	b := avalanche(tree.hi ^ 0xe65525f3aa55ab94)
	return fold(a^0x5748986263e81440, tree.hi^0x55ca396a2aab10b6) + tree.lo,
		fold(b^0xb4cc5c341141e8ce, tree.lo^0xa15486af7c72e993) + tree.hi,
		avalanche(a + bits.RotateLeft64(tree.hi, 19)),
		avalanche(b + bits.RotateLeft64(tree.lo, 47))
}

// avalanche is the finaliser of MurmurHash3 as improved by Stafford (variant 13): a bijection.
func avalanche(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// members hashes the map at index i and returns the index behind it. The usual cases, a short name that was seen before
// and a plain scalar, are written out here: calls would take as long as the hashing.
func (h *Hasher) members(it Item, i int) (half, int) {
	var lo, hi, carry uint64
	n, tape, src, room := 0, it.Tape[:i+int(it.Tape[i].Skip)], it.Src, it.Src[:cap(it.Src)]
	for i++; i+1 < len(tape); n++ {
		token := &tape[i]
		var name half
		if size := uint64(token.End - token.Off); size-1 < 2*wordBytes && token.Flags&Escaped == 0 {
			first, last := binary.LittleEndian.Uint64(src[token.Off:]), uint64(0)
			if size < wordBytes {
				first &= 1<<(8*size) - 1
			} else {
				last = binary.LittleEndian.Uint64(src[token.End-wordBytes:])
			}
			slot := &h.names[(first^bits.RotateLeft64(last, 29)+size)*0x9e3779b97f4a7c15>>(64-nameBits)]
			if slot.first != first || slot.last != last || slot.size != size {
				*slot = nameSlot{first, last, size, hashed(src[token.Off:token.End], &seeds[Name])}
			}
			name = slot.hash
		} else {
			name = h.longName(src, token)
		}
		token = &tape[i+1]
		var value half
		if plain(token) {
			size, seed := token.End-token.Off, &seeds[token.Type]
			if size <= shortMax && uint(token.Off)+shortMax+1 <= uint(len(room)) {
				words, masks := (*[shortMax + 1]byte)(room[token.Off:]), &shortMasks[size&shortMax]
				value = short(binary.LittleEndian.Uint64(words[:8])&masks[0],
					binary.LittleEndian.Uint64(words[8:])&masks[1]|uint64(size)<<56, seed)
			} else {
				value = hashed(src[token.Off:token.End], seed)
			}
			i += 2
		} else {
			value, i = h.value(it, i+1)
		}
		member := mix(name, value)
		lo, carry = bits.Add64(lo, member.lo, 0)
		hi, _ = bits.Add64(hi, member.hi, carry)
	}
	return half{lo, hi}.close(M, n), len(tape)
}

// plain tells whether the token is a scalar whose bytes in Src are its canonical ones.
func plain(token *Token) bool {
	return token.Type == S && token.Flags&Escaped == 0 || token.Type == N && token.Flags&Normal != 0
}

// hashed is the hash of canonical bytes with a seed folded in.
func hashed(content []byte, seed *half) half {
	if len(content) <= shortMax {
		var words [shortMax + 1]byte
		copy(words[:], content)
		words[shortMax] = byte(len(content))
		return short(binary.LittleEndian.Uint64(words[:8]), binary.LittleEndian.Uint64(words[8:]), seed)
	}
	sum := xxh3.Hash128(content)
	return half{sum.Lo ^ seed.lo, sum.Hi + seed.hi}
}

// shortMax is how many bytes of content fill two words together with their number.
const shortMax = 15

// shortMasks keep as many bytes of two words as short content has.
var shortMasks = func() (masks [shortMax + 1][2]uint64) {
	for size := range masks {
		masks[size] = [2]uint64{1<<(8*size) - 1, 1<<max(8*size-64, 0) - 1}
	}
	return masks
}()

// short hashes content of at most shortMax bytes: a and b are its bytes, little-endian, zeros behind them, and their
// number in the highest byte of b, so that no two contents have one pair of words. Most values of most tables are
// short, and of all lengths: xxh3 takes another way for each few lengths, and the processor guesses wrong which.
func short(a, b uint64, seed *half) half {
	a, b = a^seed.lo, b^seed.hi
	return half{
		fold(a^0x3f84d5b5b5470917, b^0x9216d5d98979fb1b) + b,
		fold(a^0xd1310ba698dfb5ac, bits.RotateLeft64(b, 32)^0x2ffd72dbd01adfb7) ^ a,
	}
}

// value hashes the value at index i and returns the index behind it.
func (h *Hasher) value(it Item, i int) (half, int) {
	token := &it.Tape[i]
	switch token.Type {
	case M:
		return h.members(it, i)
	case L:
		return h.elements(it, i)
	case SS, NS, BS:
		return h.set(it, i)
	}
	return h.scalar(it.Src, token), i + 1
}

func (h *Hasher) elements(it Item, i int) (half, int) {
	var sum, value half
	n := 0
	end := i + int(it.Tape[i].Skip)
	for i++; i < end; n++ {
		value, i = h.value(it, i)
		sum = sum.add(mix(half{positions.lo + uint64(n), positions.hi}, value))
	}
	return sum.close(L, n), end
}

func (h *Hasher) set(it Item, i int) (half, int) {
	var sum half
	n := 0
	t, end := it.Tape[i].Type, i+int(it.Tape[i].Skip)
	for i++; i < end; n++ {
		sum = sum.add(mix(seeds[t], h.scalar(it.Src, &it.Tape[i])))
		i++
	}
	return sum.close(t, n), end
}

// scalar hashes a value without children.
func (h *Hasher) scalar(src []byte, token *Token) half {
	content := src[token.Off:token.End]
	switch token.Type {
	case S:
		if token.Flags&Escaped != 0 {
			content = h.unescape(content)
		}
	case N:
		if token.Flags&Normal == 0 {
			content = h.normal(content, token.Flags)
		}
	case B:
		content = h.decode(content, token.Flags)
	case BOOL:
		if token.Flags&True == 0 {
			return half{seeds[BOOL].hi, seeds[BOOL].lo}
		}
		return seeds[BOOL]
	default:
		return seeds[NULL]
	}
	return hashed(content, &seeds[token.Type])
}

func (h *Hasher) unescape(content []byte) []byte {
	h.scratch = AppendUnescaped(h.scratch[:0], content)
	return h.scratch
}

func (h *Hasher) normal(content []byte, flags Flags) []byte {
	if flags&Escaped != 0 {
		content = h.unescape(content)
	}
	h.decoded, _ = AppendNumber(h.decoded[:0], content) // checked by the tokenizer
	return h.decoded
}

func (h *Hasher) decode(content []byte, flags Flags) []byte {
	if flags&Escaped != 0 {
		content = h.unescape(content)
	}
	h.decoded = appendDecoded(h.decoded[:0], content, false)
	return h.decoded
}

// nameBits sets the size of the cache of name hashes: so much more than the distinct names of most tables that two of them
// seldom share a slot. Only the slots in use take room in the first-level cache.
const (
	nameBits  = 10
	nameSlots = 1 << nameBits
)

// nameSlot remembers the hash of a name of 1 to 16 bytes by its whole content: the same few names come with every item.
// The words are loaded without looking at their end: behind a name at least ":{"S":""} follows.
type nameSlot struct {
	first, last uint64 // the first and, from 8 bytes on, the last 8 bytes of the name, overlapping
	size        uint64 // 0: empty
	hash        half
}

const wordBytes = 8

// longName hashes a Name token of any length and spelling.
func (h *Hasher) longName(src []byte, token *Token) half {
	content := src[token.Off:token.End]
	if token.Flags&Escaped != 0 {
		content = h.unescape(content)
	}
	return hashed(content, &seeds[Name])
}
