package store

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/zeebo/xxh3"
)

// Type tags in front of an encoded key attribute, so that equal bytes of different types are different keys.
const (
	tagBinary = 'B'
	tagNumber = 'N'
	tagString = 'S'
)

// EncodeString appends the order-preserving form of an S key attribute: a tag and its UTF-8 bytes. The encoding of a
// prefix is a prefix of the encoding.
func EncodeString(dst, text []byte) []byte { return append(append(dst, tagString), text...) }

// EncodeBinary appends the order-preserving form of a B key attribute: a tag and its (decoded) bytes.
func EncodeBinary(dst, data []byte) []byte { return append(append(dst, tagBinary), data...) }

// hash64 is the place of a hash key in the hash space that segments and shards cut. It is part of the disk format.
func (k Key) hash64() uint64 { return xxh3.Hash(k.Hash) }

// InSegment tells whether a scan of this segment meets the key; Segments 0 or 1 is the whole table.
func (k Key) InSegment(segment, segments int) bool {
	lo, hi := segmentBounds(segment, segments)
	h := k.hash64()
	return h >= lo && h <= hi
}

// segmentBounds returns the first and the last hash of a segment: [s·2^64/n, (s+1)·2^64/n).
func segmentBounds(segment, segments int) (lo, hi uint64) {
	if segments <= 1 {
		return 0, ^uint64(0)
	}
	n := uint64(segments)
	lo, _ = bits.Div64(uint64(segment), 0, n)
	if segment == segments-1 {
		return lo, ^uint64(0)
	}
	hi, _ = bits.Div64(uint64(segment)+1, 0, n)
	return lo, hi - 1
}

// The first byte of an index key says what it is about; see docs/formats/local-store.md.
const (
	spaceItem     = 'C' // table, hash64, escaped hash key, 0 1, sort key → pointer
	spaceTable    = 'D' // table → name and definition
	spaceEntry    = 'E' // table, index, hash64, escaped hash and range of the entry, base key → pointer to the base item
	spaceSegment  = 'G' // segment → where it ends, its last sequence number and time, its tables
	spaceShard    = 'H' // stream, shard → what Shard says
	spaceLive     = 'L' // segment, table → bytes of values in that segment that are items of that table now
	spaceMeta     = 'M' // applied → the position and counters of the last applied frame
	spaceCount    = 'N' // table → items and bytes
	spaceChange   = 'S' // shard, seq → place and time of a stream record
	spaceSettings = 'T' // table → settings, also of a dropped table whose history is kept
	spaceStream   = 'W' // stream → its table and times
	spaceTrimmed  = 'X' // shard → the last sequence number that was trimmed
)

// Behind an escaped hash key: 0 1 ends it, a 0 inside is 0 255, so no key's bytes are a prefix of another's and
// the order within one hash key is the order of sort keys.
const (
	escape    = 0x00
	escaped00 = 0xFF
	keyEnd    = 0x01
)

func tablePrefix(dst []byte, table TableID) []byte {
	return binary.BigEndian.AppendUint32(append(dst, spaceItem), uint32(table))
}

// hashPrefix is what all items of one hash key share.
func hashPrefix(dst []byte, table TableID, hash []byte) []byte {
	return appendHash(tablePrefix(dst, table), hash)
}

// appendHash appends a hash key behind its place in the hash space.
func appendHash(dst, hash []byte) []byte {
	return append(appendEscaped(binary.BigEndian.AppendUint64(dst, xxh3.Hash(hash)), hash), escape, keyEnd)
}

func appendEscaped(dst, key []byte) []byte {
	for _, c := range key {
		dst = append(dst, c)
		if c == escape {
			dst = append(dst, escaped00)
		}
	}
	return dst
}

// cutEscaped is the reverse of appendEscaped with its end: the key's bytes and what stands behind.
func cutEscaped(b []byte) (key, rest []byte) {
	key = []byte{}
	for i := 0; i+1 < len(b); i++ {
		if b[i] != escape {
			key = append(key, b[i])
			continue
		}
		if b[i+1] == keyEnd {
			return key, b[i+2:]
		}
		key = append(key, escape)
		i++
	}
	return key, nil
}

// itemKeyHead is the length of what stands before the escaped hash key of an item.
const itemKeyHead = 1 + 4 + 8

// hashOf returns the hash in an item's index key.
func hashOf(index []byte) uint64 { return binary.BigEndian.Uint64(index[5:]) }

// baseOf is what an item's index key holds behind the hash: how entries name their item.
func baseOf(index []byte) []byte { return index[itemKeyHead:] }

// parseBase is the reverse of baseOf; the key is the caller's.
func parseBase(base []byte) Key {
	hash, rest := cutEscaped(base)
	return Key{Hash: hash, Range: some(rest)}
}

// some copies a key, and makes nil of nothing: no encoded key is empty.
func some(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return slices.Clone(b)
}

func itemKey(dst []byte, table TableID, key Key) []byte {
	dst = slices.Grow(dst, itemKeyHead+len(key.Hash)+2+len(key.Range)) // all of it, but for a hash key with zeros
	return append(hashPrefix(dst, table, key.Hash), key.Range...)
}

// hashBound is the first key behind prefix with at least this hash.
func hashBound(prefix []byte, hash uint64) []byte {
	return binary.BigEndian.AppendUint64(slices.Clone(prefix), hash)
}

// successor returns the first key behind all keys that start with prefix; prefix must hold a byte below 255.
func successor(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

func tableKey(space byte, table TableID) []byte {
	return binary.BigEndian.AppendUint32([]byte{space}, uint32(table))
}

func liveKey(segment uint32, table TableID) []byte {
	return binary.BigEndian.AppendUint32(segmentKey(spaceLive, segment), uint32(table))
}

func segmentKey(space byte, segment uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{space}, segment)
}

func shardKey(stream StreamID, shard uint32) []byte {
	return binary.BigEndian.AppendUint32(tableKey(spaceShard, TableID(stream)), shard)
}

func changeKey(shard uint32, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(segmentKey(spaceChange, shard), seq)
}

var (
	appliedKey = []byte{spaceMeta, 'a'}
	lastIDsKey = []byte{spaceMeta, 's'}
)
