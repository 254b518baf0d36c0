package store

import (
	"bytes"
	"errors"

	"github.com/cockroachdb/pebble"

	"dynaferry/internal/fault"
)

// Get returns the item under key, as of the last durable write. The bytes are the caller's.
func (s *Store) Get(table TableID, key Key) (item []byte, ok bool, err error) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed {
		return nil, false, errClosed()
	}
	if _, ok := s.tables[table]; !ok {
		return nil, false, noTable(table)
	}
	var p pointer
	return s.lookup(&p, itemKey(nil, table, key), true)
}

// lookup finds an index key's pointer and, when asked, its value.
func (s *Store) lookup(p *pointer, index []byte, withValue bool) (value []byte, ok bool, err error) {
	for {
		// The segments are pinned before the pointer is read, so what it names cannot be freed in between.
		v := s.log.acquire()
		value, ok, err = s.lookupIn(v, p, index, withValue)
		stale := err == errNewSegment && !s.log.current(v)
		v.release()
		if stale {
			continue // the log went on to a segment that this view does not hold
		}
		if err == errNewSegment {
			return nil, false, fault.New(fault.Corrupt, "the index names segment %d, which does not exist", p.segment)
		}
		return value, ok, err
	}
}

// errNewSegment says that a pointer leads to a segment that a view does not hold.
var errNewSegment = errors.New("segment is not in this view")

func (s *Store) lookupIn(v *view, p *pointer, index []byte, withValue bool) ([]byte, bool, error) {
	if ok, err := s.find(p, index); !ok || err != nil || !withValue {
		return nil, ok, err
	}
	seg := v.segs[p.segment]
	if seg == nil {
		return nil, false, errNewSegment
	}
	value := make([]byte, p.length)
	if err := seg.value(value, p); err != nil {
		return nil, false, err
	}
	return value, true, nil
}

// find reads a pointer. It goes through an iterator and not through pebble's Get, because Get does not ask the bloom
// filters of the lowest level, and so a new key, the common case of a load, would cost reading a block.
func (s *Store) find(p *pointer, index []byte) (bool, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return false, indexError(err)
	}
	found, good := false, true
	if it.SeekPrefixGE(index) && bytes.Equal(it.Key(), index) {
		found, good = true, p.parse(it.Value())
	}
	if err := it.Close(); err != nil {
		return false, indexError(err)
	}
	if !good {
		return false, fault.New(fault.Corrupt, "index entry that is no pointer")
	}
	return found, nil
}

func indexError(err error) error {
	if errors.Is(err, pebble.ErrCorruption) {
		return fault.As(fault.Corrupt, err)
	}
	return fault.As(fault.Unavailable, err)
}
