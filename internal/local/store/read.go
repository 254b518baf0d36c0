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
		f := s.newFinder()
		value, ok, err = f.lookup(p, index, withValue)
		stale := err == errNewSegment && !s.log.current(f.view)
		if closed := f.close(); err == nil {
			err = closed
		}
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

// finder looks up keys as of one moment, cheapest in their order. It holds back what it may read: close it soon.
type finder struct {
	view *view
	db   *pebble.DB
	it   *pebble.Iterator // made with the first look-up
}

// newFinder pins the segments; what its pointers name cannot be freed, since they are read later.
func (s *Store) newFinder() *finder { return &finder{view: s.log.acquire(), db: s.db} }

func (f *finder) close() error {
	f.view.release()
	if f.it == nil {
		return nil
	}
	return indexError2(f.it.Close())
}

// lookup is Store.lookup with errNewSegment for a value that was written after the finder was made.
func (f *finder) lookup(p *pointer, index []byte, withValue bool) ([]byte, bool, error) {
	if ok, err := f.find(p, index); !ok || err != nil || !withValue {
		return nil, ok, err
	}
	seg := f.view.segs[p.segment]
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
func (f *finder) find(p *pointer, index []byte) (bool, error) {
	if f.it == nil {
		var err error
		if f.it, err = f.db.NewIter(&pebble.IterOptions{UseL6Filters: true}); err != nil {
			return false, indexError(err)
		}
	}
	if !f.it.SeekPrefixGE(index) {
		return false, indexError2(f.it.Error())
	}
	if !bytes.Equal(f.it.Key(), index) {
		return false, nil
	}
	if !p.parse(f.it.Value()) {
		return false, fault.New(fault.Corrupt, "index entry that is no pointer")
	}
	return true, nil
}

func indexError(err error) error {
	if errors.Is(err, pebble.ErrCorruption) {
		return fault.As(fault.Corrupt, err)
	}
	return fault.As(fault.Unavailable, err)
}
