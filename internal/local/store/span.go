package store

import (
	"bytes"
	"slices"

	"dynaferry/internal/fault"
)

// span is what an iterator walks.
type span struct {
	table        TableID
	index        IndexID
	indexed      bool // it walks entries of index
	lower, upper []byte
	reverse      bool
	limit        int
}

// Scan walks a table, or one segment of it, in hash order.
func (s *Store) Scan(table TableID, o ScanOptions) *Iterator {
	sp, err := scanSpan(table, o)
	if err != nil {
		return &Iterator{err: err}
	}
	return s.iterate(sp)
}

func scanSpan(table TableID, o ScanOptions) (span, error) {
	sp := span{table: table, limit: o.Limit}
	var err error
	if sp.lower, sp.upper, err = scanBounds(tablePrefix(nil, table), o); err == nil && o.After.Hash != nil {
		sp.lower = later(sp.lower, append(itemKey(nil, table, o.After), 0))
	}
	return sp, err
}

// ScanIndex walks an index, or a segment of it, by the hash of its entries' Hash, then by Range, then by item key.
// Raw is the whole item. NotFound when the table's Settings do not name the index.
func (s *Store) ScanIndex(table TableID, index IndexID, o ScanOptions) *Iterator {
	sp := span{table: table, index: index, indexed: true, limit: o.Limit}
	var err error
	if sp.lower, sp.upper, err = scanBounds(entryPrefix(nil, table, index), o); err != nil {
		return &Iterator{err: err}
	}
	if o.After.Hash != nil {
		key := entryKey(nil, table, &Entry{Index: index, Key: o.After}, nil)
		sp.lower = later(sp.lower, behindEntry(key, o.AfterBase))
	}
	return s.iterate(sp)
}

// behindEntry is the first place behind the entry of an item under a key, or behind all entries of the key.
func behindEntry(key []byte, base Key) []byte {
	if base.Hash == nil {
		return successor(key)
	}
	return append(append(key, baseOf(itemKey(nil, 0, base))...), 0)
}

// scanBounds are the first place of a segment behind prefix and the first one behind it.
func scanBounds(prefix []byte, o ScanOptions) (lower, upper []byte, err error) {
	if o.Segments < 0 || o.Segment < 0 || o.Segment >= max(o.Segments, 1) {
		return nil, nil, fault.New(fault.User, "segment %d of %d", o.Segment, o.Segments)
	}
	lo, hi := segmentBounds(o.Segment, o.Segments)
	lower, upper = hashBound(prefix, lo), successor(prefix)
	if hi != ^uint64(0) {
		upper = hashBound(prefix, hi+1)
	}
	return lower, upper, nil
}

// Query walks the items of one hash key in the order of their sort keys.
func (s *Store) Query(table TableID, hash []byte, o QueryOptions) *Iterator {
	base := hashPrefix(nil, table, hash)
	// The first place of a sort key, and the first one behind it.
	place := func(rng []byte) []byte { return append(slices.Clone(base), rng...) }
	behind := func(rng []byte) []byte { return append(place(rng), 0) }
	sp := span{table: table, reverse: o.Descending, limit: o.Limit}
	sp.lower, sp.upper = queryBounds(base, &o, place, place, behind)
	switch {
	case o.After != nil && o.Descending:
		sp.upper = earlier(sp.upper, place(o.After))
	case o.After != nil:
		sp.lower = later(sp.lower, behind(o.After))
	}
	return s.iterate(sp)
}

// QueryIndex walks the entries of one Hash in the order of their Range, then of the item keys.
func (s *Store) QueryIndex(table TableID, index IndexID, hash []byte, o QueryOptions) *Iterator {
	base := appendHash(entryPrefix(nil, table, index), hash)
	start := func(rng []byte) []byte { return appendEscaped(slices.Clone(base), rng) }
	place := func(rng []byte) []byte { return append(start(rng), escape, keyEnd) }
	behind := func(rng []byte) []byte { return successor(place(rng)) }
	sp := span{table: table, index: index, indexed: true, reverse: o.Descending, limit: o.Limit}
	sp.lower, sp.upper = queryBounds(base, &o, start, place, behind)
	if o.After != nil || o.AfterBase.Hash != nil {
		if !o.Descending {
			sp.lower = later(sp.lower, behindEntry(place(o.After), o.AfterBase))
		} else {
			before := place(o.After)
			if o.AfterBase.Hash != nil {
				before = append(before, baseOf(itemKey(nil, 0, o.AfterBase))...)
			}
			sp.upper = earlier(sp.upper, before)
		}
	}
	return s.iterate(sp)
}

// queryBounds are the bounds of a query; start gives the first place of all sort keys with a prefix, place that of one
// sort key, behind the first place after it.
func queryBounds(base []byte, o *QueryOptions, start, place, behind func([]byte) []byte) (lower, upper []byte) {
	lower, upper = base, successor(base)
	if o.Prefix != nil {
		lower, upper = start(o.Prefix), earlier(upper, successor(start(o.Prefix)))
	}
	if o.Lower != nil {
		if o.LowerExclusive {
			lower = later(lower, behind(o.Lower))
		} else {
			lower = later(lower, place(o.Lower))
		}
	}
	if o.Upper != nil {
		if o.UpperExclusive {
			upper = earlier(upper, place(o.Upper))
		} else {
			upper = earlier(upper, behind(o.Upper))
		}
	}
	return lower, upper
}

func later(a, b []byte) []byte {
	if bytes.Compare(a, b) >= 0 {
		return a
	}
	return b
}

func earlier(a, b []byte) []byte {
	if bytes.Compare(a, b) <= 0 {
		return a
	}
	return b
}
