package store

import (
	"bytes"
	"cmp"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble"

	"dynaferry/internal/fault"
)

const (
	aheadFirst  = 16      // pointers read ahead at first
	aheadMax    = 512     // and at most
	aheadBytes  = 2 << 20 // values held at most, one item may exceed it
	runGap      = 4 << 10 // neighbours in a segment this near are read in one go
	runBytes    = 256 << 10
	readersMax  = 4  // at a time for one iterator
	readsForOne = 32 // below this many reads more readers do not pay
)

// Iterator walks items as of the moment it was made, in the order of its Scan or Query. It holds memory for at most
// 2 MB of items (or one larger one) and pins the log's segments: close it soon. Not for concurrent use.
type Iterator struct {
	s     *Store
	view  *view
	walk  walk
	left  int // items still wanted, -1: all
	ahead int

	batch []fetched
	keys  []byte // of the batch
	order []int32
	at    int
	buf   []byte
	raw   []byte
	end   bool
	err   error
}

// fetched is one pointer and the place of its value in the iterator's buffer, and of its key.
type fetched struct {
	pointer
	from           int
	keyFrom, keyTo int
}

// walk yields index keys and the pointers they stand for.
type walk interface {
	next() (key []byte, p pointer, ok bool, err error) // key until the next call
	close() error
}

func (s *Store) iterate(sp span) *Iterator {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed {
		return &Iterator{err: errClosed()}
	}
	t, ok := s.tables[sp.table]
	if !ok {
		return &Iterator{err: noTable(sp.table)}
	}
	if sp.indexed && !slices.Contains(t.Settings.Indexes, sp.index) {
		return &Iterator{err: noIndex(sp.table, sp.index)}
	}
	if bytes.Compare(sp.lower, sp.upper) >= 0 {
		return &Iterator{}
	}
	index, view, err := s.pinned(sp.lower, sp.upper)
	if err != nil {
		return &Iterator{err: err}
	}
	return s.walking(&indexWalk{index: index, reverse: sp.reverse}, view, sp.limit)
}

func noIndex(id TableID, index IndexID) error {
	return fault.New(fault.NotFound, "table %d has no index %d", id, index)
}

// walking makes an iterator of what a walk yields; view pins the segments it points into.
func (s *Store) walking(w walk, v *view, limit int) *Iterator {
	it := &Iterator{s: s, walk: w, view: v, left: -1, ahead: aheadFirst}
	if limit > 0 {
		it.left = limit
	}
	s.watch(it, true)
	return it
}

// pinned opens the index between two keys together with all segments that it points into; the gate is held.
func (s *Store) pinned(lower, upper []byte) (*pebble.Iterator, *view, error) {
	for {
		v := s.log.acquire()
		index, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			v.release()
			return nil, nil, indexError(err)
		}
		if s.log.current(v) {
			return index, v, nil // all that the index shows lies in segments of this view
		}
		v.release()
		if err := index.Close(); err != nil {
			return nil, nil, indexError(err)
		}
	}
}

// indexWalk walks a part of the index.
type indexWalk struct {
	index   *pebble.Iterator
	reverse bool
	started bool
}

func (w *indexWalk) next() (key []byte, p pointer, ok bool, err error) {
	if !w.step() {
		if err := w.index.Error(); err != nil {
			return nil, p, false, indexError(err)
		}
		return nil, p, false, nil
	}
	b, err := w.index.ValueAndErr()
	if err != nil {
		return nil, p, false, indexError(err)
	}
	if !p.parse(b) {
		return nil, p, false, fault.New(fault.Corrupt, "index entry that is no pointer")
	}
	return w.index.Key(), p, true, nil
}

func (w *indexWalk) step() bool {
	first := !w.started
	w.started = true
	switch {
	case first && w.reverse:
		return w.index.Last()
	case first:
		return w.index.First()
	case w.reverse:
		return w.index.Prev()
	}
	return w.index.Next()
}

func (w *indexWalk) close() error { return indexError2(w.index.Close()) }

// Next moves to the next item; false at the end or on an error, which Close returns.
func (it *Iterator) Next() bool {
	if it.at >= len(it.batch) && !it.fill() {
		it.raw = nil
		return false
	}
	f := &it.batch[it.at]
	it.raw = it.buf[f.from:][:f.length:f.length]
	it.at++
	return true
}

// Raw returns the item that Next moved to; it is valid until the next call of Next.
func (it *Iterator) Raw() []byte { return it.raw }

// Key returns the key that Next moved to, in an index that of the entry. It is the caller's. Only after a Next that
// returned true.
func (it *Iterator) Key() Key {
	key := it.key()
	if key[0] == spaceEntry {
		entry, _ := parseEntryKey(key)
		return entry
	}
	return parseBase(baseOf(key))
}

// BaseKey returns the key of the item that Next moved to, which Key is but in an index.
func (it *Iterator) BaseKey() Key {
	key := it.key()
	if key[0] == spaceEntry {
		_, base := parseEntryKey(key)
		return parseBase(base)
	}
	return parseBase(baseOf(key))
}

func (it *Iterator) key() []byte {
	f := &it.batch[it.at-1]
	return it.keys[f.keyFrom:f.keyTo]
}

// pointer returns where the item stands that Next moved to.
func (it *Iterator) pointer() *pointer { return &it.batch[it.at-1].pointer }

// Close ends the walk and returns the error that ended it early, if any. It may be called more than once.
func (it *Iterator) Close() error {
	if it.s == nil {
		return it.err
	}
	it.s.gate.RLock()
	defer it.s.gate.RUnlock()
	it.s.watch(it, false)
	it.shut()
	return it.err
}

// shut gives everything back; the store calls it for iterators left open when it closes.
func (it *Iterator) shut() {
	it.end, it.batch, it.at = true, nil, 0
	if it.walk != nil {
		if err := it.walk.close(); err != nil && it.err == nil {
			it.err = err
		}
		it.walk = nil
	}
	if it.view != nil {
		it.view.release()
		it.view = nil
	}
}

// fill fetches the next batch of items: pointers in key order, values in the order of their places.
func (it *Iterator) fill() bool {
	if it.err != nil || it.end || it.s == nil {
		return false
	}
	it.s.gate.RLock()
	defer it.s.gate.RUnlock()
	if it.s.closed {
		it.err = errClosed()
		return false
	}
	if err := it.collect(); err != nil {
		it.err = err
		return false
	}
	if len(it.batch) == 0 {
		it.end = true
		return false
	}
	if err := it.fetch(); err != nil {
		it.err, it.batch = err, nil
		return false
	}
	it.ahead = min(it.ahead*2, aheadMax)
	return true
}

// collect gathers the next pointers and gives each its place in the buffer.
func (it *Iterator) collect() error {
	it.batch, it.keys, it.at = it.batch[:0], it.keys[:0], 0
	want := it.ahead
	if it.left >= 0 {
		want = min(want, it.left)
	}
	total := 0
	for len(it.batch) < want && total < aheadBytes {
		key, p, ok, err := it.walk.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		f := fetched{pointer: p, from: total, keyFrom: len(it.keys)}
		it.keys = append(it.keys, key...)
		f.keyTo = len(it.keys)
		total += int(p.length)
		it.batch = append(it.batch, f)
	}
	if it.left >= 0 {
		it.left -= len(it.batch)
	}
	it.buf = slices.Grow(it.buf[:0], total)[:total]
	return nil
}

// fetch reads the values of the batch sorted by place, with several readers when there are many reads.
func (it *Iterator) fetch() error {
	it.order = it.order[:0]
	for i := range it.batch {
		it.order = append(it.order, int32(i))
	}
	slices.SortFunc(it.order, func(a, b int32) int {
		x, y := &it.batch[a], &it.batch[b]
		return cmp.Or(cmp.Compare(x.segment, y.segment), cmp.Compare(x.offset, y.offset))
	})
	n := len(it.order)
	readers := min(readersMax, n/readsForOne+1)
	if readers == 1 {
		return it.read(it.order)
	}
	var wg sync.WaitGroup
	errs := make([]error, readers)
	for r := range readers {
		part := it.order[n*r/readers : n*(r+1)/readers]
		wg.Go(func() { errs[r] = it.read(part) })
	}
	wg.Wait()
	return cmp.Or(errs...)
}

// read fetches values whose pointers are sorted by place, near ones in one go.
func (it *Iterator) read(order []int32) error {
	var scratch []byte
	for len(order) > 0 {
		first := &it.batch[order[0]]
		seg := it.view.segs[first.segment]
		if seg == nil {
			return noSegment(first.segment)
		}
		n, end := it.run(order)
		if n == 1 {
			if err := seg.value(it.buf[first.from:][:first.length], &first.pointer); err != nil {
				return err
			}
			order = order[1:]
			continue
		}
		if scratch == nil {
			scratch = make([]byte, runBytes)
		}
		whole := pointer{offset: first.offset, length: end - first.offset}
		if err := seg.readAt(scratch[:whole.length], &whole); err != nil {
			return err
		}
		for _, i := range order[:n] {
			f := &it.batch[i]
			value := it.buf[f.from:][:f.length]
			copy(value, scratch[f.offset-first.offset:])
			if err := seg.check(value, &f.pointer); err != nil {
				return err
			}
		}
		order = order[n:]
	}
	return nil
}

// run tells how many of the sorted pointers from the front lie near enough together for one read, and where it ends.
func (it *Iterator) run(order []int32) (n int, end uint32) {
	first := &it.batch[order[0]]
	end = first.offset + first.length
	for n = 1; n < len(order); n++ {
		f := &it.batch[order[n]]
		to := f.offset + f.length
		if f.segment != first.segment || f.offset > end+runGap || to-first.offset > runBytes {
			break
		}
		end = max(end, to)
	}
	return n, end
}
