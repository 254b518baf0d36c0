package store

import "github.com/cockroachdb/pebble"

// Recovery replays the log behind the index's last flush. Index keys fill pebble's memtable and have it flushed, so the
// number of records is bounded by what three memtables hold, some 130,000; with large items those may be gigabytes.
// Here their bytes are bounded, too.

// replayMax is the most that recovery replays, one frame excepted: 0.1 s of reading and checking. Items of less than
// about 2 KB fill the memtable before half of it is there, and are not flushed more often than without a bound.
const replayMax = 128 << 20

// replayAgain: a recovery that had more to replay has the index flushed, so that a process that is killed again and
// again does not replay the same each time.
const replayAgain = 1 << 20

// tail is the batcher's account of what a recovery would replay (recovery's own before there is a batcher).
type tail struct {
	max   int64
	bytes int64           // behind the flushed index, at most: it may have been flushed since
	look  int64           // bytes at which it is asked again
	under <-chan struct{} // closed when the flush under way is done; nil: none is
}

// work is what recovery had to do.
type work struct {
	records int
	bytes   int64 // of frames
}

// boundReplay makes room for a frame of n bytes that is to be written now: it has the index flushed in good time, and
// waits for that when it comes too late.
func (s *Store) boundReplay(n int64) error {
	t := &s.tail
	if t.bytes += n; s.log.memory || t.bytes <= t.max/2 {
		return nil
	}
	if t.bytes >= t.look || t.flushed() {
		if err := s.measureTail(n); err != nil {
			return err
		}
	}
	for t.bytes > t.max/2 {
		if err := s.flushTail(); err != nil {
			return err
		}
		if t.bytes <= t.max || t.bytes == n {
			return nil
		}
		select {
		case <-t.under:
			t.under = nil
		case <-s.queue.ended:
			return s.queue.failed()
		}
		if err := s.measureTail(n); err != nil {
			return err
		}
	}
	return nil
}

// flushed takes note of a flush that is done.
func (t *tail) flushed() bool {
	select {
	case <-t.under:
		t.under = nil
		return true
	default: // also when none is under way
		return false
	}
}

// flushTail begins a flush of all that the index holds, unless one is under way.
func (s *Store) flushTail() (err error) {
	if s.tail.under == nil {
		s.tail.under, err = s.db.AsyncFlush()
	}
	return indexError2(err)
}

// measureTail asks the flushed index how far it goes; n bytes are not yet in the log.
func (s *Store) measureTail(n int64) error {
	flushed, err := s.flushedTo()
	if err != nil {
		return err
	}
	s.tail.bytes = s.log.behind(flushed) + n
	s.tail.look = s.tail.bytes + s.tail.max/16
	return nil
}

// flushedTo is where a recovery would begin.
func (s *Store) flushedTo() (position, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{OnlyReadGuaranteedDurable: true, LowerBound: appliedKey, UpperBound: successor(appliedKey)})
	if err != nil {
		return position{}, indexError(err)
	}
	var a applied
	found := it.First()
	good := !found || a.parse(it.Value())
	if err := it.Close(); err != nil {
		return position{}, indexError(err)
	}
	if !good {
		return position{}, s.indexCorrupt("position")
	}
	return a.pos, nil
}

// behind counts the bytes of the log behind a position.
func (l *changeLog) behind(p position) (n int64) {
	for _, seg := range l.snapshot() {
		switch {
		case seg.number == p.segment:
			n += seg.end - p.offset
		case seg.number > p.segment:
			n += seg.end - segmentHeaderLen
		}
	}
	return n
}
