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
	s       *Store
	view    *view
	index   *pebble.Iterator
	reverse bool
	started bool
	left    int // items still wanted, -1: all
	ahead   int

	batch []fetched
	order []int32
	at    int
	buf   []byte
	raw   []byte
	end   bool
	err   error
}

// fetched is one pointer and the place of its value in the iterator's buffer.
type fetched struct {
	pointer
	from int
}

// Scan walks a table, or one segment of it, in hash order.
func (s *Store) Scan(table TableID, o ScanOptions) *Iterator {
	if o.Segments < 0 || o.Segment < 0 || o.Segment >= max(o.Segments, 1) {
		return &Iterator{err: fault.New(fault.User, "segment %d of %d", o.Segment, o.Segments)}
	}
	lo, hi := segmentBounds(o.Segment, o.Segments)
	lower, upper := hashBound(table, lo), successor(tablePrefix(nil, table))
	if hi != ^uint64(0) {
		upper = hashBound(table, hi+1)
	}
	if o.After.Hash != nil {
		lower = later(lower, append(itemKey(nil, table, o.After), 0))
	}
	return s.iterate(table, lower, upper, false, o.Limit)
}

// Query walks the items of one hash key in the order of their sort keys.
func (s *Store) Query(table TableID, hash []byte, o QueryOptions) *Iterator {
	base := hashPrefix(nil, table, hash)
	place := func(rangeKey []byte) []byte { return append(slices.Clone(base), rangeKey...) }
	lower, upper := base, successor(base)
	if o.Prefix != nil {
		lower, upper = place(o.Prefix), earlier(upper, successor(place(o.Prefix)))
	}
	if o.Lower != nil {
		bound := place(o.Lower)
		if o.LowerExclusive {
			bound = append(bound, 0) // the next possible key
		}
		lower = later(lower, bound)
	}
	if o.Upper != nil {
		bound := place(o.Upper)
		if !o.UpperExclusive {
			bound = append(bound, 0)
		}
		upper = earlier(upper, bound)
	}
	switch {
	case o.After != nil && o.Descending:
		upper = earlier(upper, place(o.After))
	case o.After != nil:
		lower = later(lower, append(place(o.After), 0))
	}
	return s.iterate(table, lower, upper, o.Descending, o.Limit)
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

func (s *Store) iterate(table TableID, lower, upper []byte, reverse bool, limit int) *Iterator {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed {
		return &Iterator{err: errClosed()}
	}
	if _, ok := s.tables[table]; !ok {
		return &Iterator{err: noTable(table)}
	}
	it := &Iterator{s: s, reverse: reverse, left: -1, ahead: aheadFirst}
	if limit > 0 {
		it.left = limit
	}
	if bytes.Compare(lower, upper) >= 0 {
		it.end = true
		return it
	}
	for {
		it.view = s.log.acquire()
		it.index, it.err = s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if it.err != nil {
			it.view.release()
			it.view = nil
			return it
		}
		if s.log.current(it.view) {
			break // all that the index shows lies in segments of this view
		}
		it.view.release()
		if err := it.index.Close(); err != nil {
			return &Iterator{err: indexError(err)}
		}
	}
	s.watch(it, true)
	return it
}

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
	if it.index != nil {
		if err := it.index.Close(); err != nil && it.err == nil {
			it.err = indexError(err)
		}
		it.index = nil
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
	it.batch, it.at = it.batch[:0], 0
	want := it.ahead
	if it.left >= 0 {
		want = min(want, it.left)
	}
	total := 0
	for len(it.batch) < want && total < aheadBytes && it.step() {
		b, err := it.index.ValueAndErr()
		if err != nil {
			return indexError(err)
		}
		var f fetched
		if !f.parse(b) {
			return fault.New(fault.Corrupt, "index entry that is no pointer")
		}
		f.from = total
		total += int(f.length)
		it.batch = append(it.batch, f)
	}
	if err := it.index.Error(); err != nil {
		return indexError(err)
	}
	if it.left >= 0 {
		it.left -= len(it.batch)
	}
	it.buf = slices.Grow(it.buf[:0], total)[:total]
	return nil
}

func (it *Iterator) step() bool {
	first := !it.started
	it.started = true
	switch {
	case first && it.reverse:
		return it.index.Last()
	case first:
		return it.index.First()
	case it.reverse:
		return it.index.Prev()
	}
	return it.index.Next()
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
			return fault.New(fault.Corrupt, "the index names segment %d, which does not exist", first.segment)
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
