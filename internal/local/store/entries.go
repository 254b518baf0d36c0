package store

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Index entries. The record of a change carries the entries that come and go with it, so applying it, now or on replay,
// reads neither the old item nor a definition. Their form in a record: index·2 (+1: goes) as uvarint, hash, range.

// entryPrefix is what all entries of an index share.
func entryPrefix(dst []byte, table TableID, index IndexID) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, spaceEntry), uint32(table))
	return binary.BigEndian.AppendUint32(dst, uint32(index))
}

// entryHead is the length of what stands before the escaped hash of an entry.
const entryHead = 1 + 4 + 4 + 8

// entryKey appends the index key of an entry: its own key, then the base key, so that equal keys of several items
// differ, and the order within a hash is by range, then by item.
func entryKey(dst []byte, table TableID, e *Entry, base []byte) []byte {
	dst = appendHash(entryPrefix(dst, table, e.Index), e.Key.Hash)
	dst = append(appendEscaped(dst, e.Key.Range), escape, keyEnd)
	return append(dst, base...)
}

// parseEntryKey is the reverse of entryKey.
func parseEntryKey(key []byte) (entry Key, base []byte) {
	hash, rest := cutEscaped(key[entryHead:])
	rng, base := cutEscaped(rest)
	return Key{Hash: hash, Range: some(rng)}, base
}

func appendEntry(dst []byte, e *Entry, goes bool) []byte {
	n := uint64(e.Index) << 1
	if goes {
		n |= 1
	}
	return appendBytes(appendBytes(binary.AppendUvarint(dst, n), e.Key.Hash), e.Key.Range)
}

// nextEntry cuts one entry from the front of a record's list.
func nextEntry(list []byte) (e Entry, goes bool, rest []byte, ok bool) {
	p := cursor{b: list}
	n := p.uvarint()
	e.Index = IndexID(n >> 1)
	e.Key.Hash, e.Key.Range = p.bytes(), p.bytes()
	return e, n&1 != 0, list[p.at:], !p.bad && n>>33 == 0
}

// entryList lists what becomes of a table's entries when old becomes new; nil for no item. Entries that stay are set
// again, since what they point at moves.
func (s *Store) entryList(t *table, old, new []byte) []byte {
	before, after := s.entriesOf(t, old), s.entriesOf(t, new)
	var list []byte
	for i := range before {
		if !slices.ContainsFunc(after, before[i].equal) {
			list = appendEntry(list, &before[i], true)
		}
	}
	for i := range after {
		list = appendEntry(list, &after[i], false)
	}
	return list
}

// entriesOf returns the entries of an item in the indexes that the table's settings name.
func (s *Store) entriesOf(t *table, raw []byte) []Entry {
	if raw == nil || s.entries == nil {
		return nil
	}
	list := s.entries(nil, t.Definition, raw)
	return slices.DeleteFunc(list, func(e Entry) bool { return !slices.Contains(t.Settings.Indexes, e.Index) })
}

func (e Entry) equal(o Entry) bool {
	return e.Index == o.Index && bytes.Equal(e.Key.Hash, o.Key.Hash) && bytes.Equal(e.Key.Range, o.Key.Range)
}
