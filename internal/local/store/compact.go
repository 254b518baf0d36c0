package store

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"dynaferry/internal/fault"
)

// compactor wins back room: segments into which nothing points are freed, and when more than half of the sealed log is
// garbage, what still lives in the emptiest segment is written again behind the log's end.
type compactor struct {
	wake chan struct{}
	quit chan struct{}
	done sync.WaitGroup
	once sync.Once
	late atomic.Bool // the next pass looks at the clock and not at the time of the last write
	err  error       // why it gave up; read after done
}

func (c *compactor) init() {
	c.wake, c.quit = make(chan struct{}, 1), make(chan struct{})
}

func (c *compactor) stop() {
	c.once.Do(func() { close(c.quit) })
	c.done.Wait()
}

// wakeCompactor tells it that there may be something to do; it never blocks.
func (s *Store) wakeCompactor() {
	select {
	case s.compactor.wake <- struct{}{}:
	default:
	}
}

// compactLoop runs until Close. An error ends it (Close returns it): the disk then grows, but nothing is lost.
func (s *Store) compactLoop() {
	tick := time.NewTicker(compactEvery)
	defer tick.Stop()
	for {
		s.applying.Lock()
		now := s.reachedTime
		s.applying.Unlock()
		for {
			if s.compactor.late.Swap(false) {
				now = s.clock().UnixMilli()
			}
			again, err := s.compact(now)
			if err != nil {
				s.compactor.err = err
				return
			}
			if !again {
				break
			}
		}
		select {
		case <-s.compactor.quit:
			return
		case <-s.compactor.wake:
		case <-tick.C: // time makes room, too, when nothing is written
			s.compactor.late.Store(true)
		}
	}
}

// compactEvery is how long at most what nobody can read any more stays; what is read never depends on it.
const compactEvery = 10 * time.Minute

// garbageShare: compaction begins when live bytes are less than 1/garbageShare of the sealed segments. Two keeps the
// log below twice its content plus two segments, and each moved byte frees at least another one.
const garbageShare = 2

// weight is what an item counts for as live bytes of a segment: about its record's length, and the same number
// whether it is computed when the item comes or when it goes.
func weight(index []byte, length uint32) int64 { return int64(length) + int64(len(index)) + 18 }

// candidate is a sealed segment that may go.
type candidate struct {
	*segment
	live int64
}

// compact frees what is free at a time in Unix ms and moves at most one segment's content. It tells whether there may be more to do.
func (s *Store) compact(now int64) (again bool, err error) {
	if err := s.trim(now); err != nil {
		if s.queue.failed() != nil {
			return false, nil
		}
		return false, err
	}
	free, victim := s.candidates(now)
	if victim != nil {
		done, err := s.move(victim)
		if err != nil || !done || s.barrier() != nil {
			return false, err
		}
		s.applying.Lock()
		left := s.ledger.segmentLive(victim.number)
		s.applying.Unlock()
		if left != 0 {
			return false, fault.New(fault.Bug, "segment %d still counts live bytes after all was moved", victim.number)
		}
		free, _ = s.candidates(now) // without the victim when it is to be kept after all, by settings that are new
	}
	if len(free) > 0 {
		// Only what the flushed index no longer needs may go: neither a pointer into it nor the start of a replay.
		if err := s.db.Flush(); err != nil {
			return false, indexError(err)
		}
		for _, c := range free {
			s.log.drop(c.number)
		}
	}
	return victim != nil, s.sweep()
}

// barrier returns when all that was enqueued before it is in the index, a drop of a table for instance, whose records
// a move has passed over. Its error is that of a store that has stopped.
func (s *Store) barrier() error {
	g, err := s.queue.put(&s.overlay)
	if err != nil {
		return err
	}
	return g.wait()
}

// sweep frees the files of dropped segments that no reader holds any more, and then what the index says about them.
func (s *Store) sweep() error {
	gone, err := s.log.sweep()
	for _, number := range gone {
		if err := s.db.Delete(segmentKey(spaceSegment, number), noSync); err != nil {
			return indexError(err)
		}
	}
	return fault.As(fault.Unavailable, err)
}

// candidates looks at all segments behind which the index has gone on and whose time has passed: those without live
// bytes, and the emptiest one when there is too much garbage.
func (s *Store) candidates(now int64) (free []candidate, victim *segment) {
	s.gate.RLock() // settings that are not yet in effect have no pointers into what is free without them
	defer s.gate.RUnlock()
	needs := s.needs(now)
	segs := s.log.snapshot()
	s.applying.Lock() // never between the books and the index they stand for
	defer s.applying.Unlock()
	total, live := int64(0), int64(0)
	least := 0.0
	for _, seg := range segs {
		if seg.number >= s.reached.segment || now < s.heldUntil(seg, needs) {
			continue
		}
		c := candidate{seg, s.ledger.segmentLive(seg.number)}
		if c.live == 0 {
			free = append(free, c)
			continue
		}
		total, live = total+seg.size, live+c.live
		if share := float64(c.live) / float64(seg.size); victim == nil || share < least {
			victim, least = seg, share
		}
	}
	if live*garbageShare >= total {
		victim = nil
	}
	return free, victim
}

// move writes what lives in a segment behind the log's end; done is false when the store closes meanwhile.
func (s *Store) move(seg *segment) (done bool, err error) {
	v := s.log.acquire()
	defer v.release()
	r := seg.frames(segmentHeaderLen)
	for r.at < seg.end {
		f, err := r.next()
		if err == errNoFrame {
			err = fault.New(fault.Corrupt, "no valid frame inside a sealed segment")
		}
		if err != nil {
			return false, fault.At(fault.As(fault.Unavailable, err), fault.Place{File: seg.name, Offset: r.at})
		}
		waits, open, err := s.moveFrame(seg, &f)
		for _, g := range waits {
			if err := g.wait(); err != nil {
				return false, nil // the store has stopped and says so to its writers
			}
		}
		if err != nil || !open {
			return false, err
		}
	}
	return true, nil
}

// moveFrame enqueues one frame's live records and returns the groups to wait for.
func (s *Store) moveFrame(seg *segment, f *frame) (waits []*group, open bool, err error) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	rest, base := f.payload, f.offset+frameHeaderLen
	for range f.records {
		var r record
		at, n, ok := r.parse(rest)
		if !ok {
			return waits, false, unreadable(seg, base)
		}
		if s.closed {
			return waits, false, nil
		}
		if s.keepsItems(r.table) && (r.kind == kindPut || r.kind == kindMove) {
			g, err := s.moveRecord(seg, &r, uint32(base)+uint32(at))
			if err != nil {
				return waits, s.queue.failed() == nil, err
			}
			if g != nil && (len(waits) == 0 || waits[len(waits)-1] != g) {
				waits = append(waits, g)
			}
		}
		rest, base = rest[n:], base+int64(n)
	}
	return waits, true, nil
}

// moveRecord enqueues a record again if it is what its key points at. It returns the group to wait for before the
// segment may count as empty: that of the move, or of the write that is about to replace the item.
func (s *Store) moveRecord(seg *segment, r *record, offset uint32) (*group, error) {
	index := itemKey(nil, r.table, r.key)
	stripe := &s.stripes[stripeOf(index)]
	stripe.Lock()
	defer stripe.Unlock()
	if before := s.overlay.get(index); before != nil {
		return before.group, nil
	}
	var p pointer
	if _, ok, err := s.lookup(&p, index, false); !ok || err != nil || p.segment != seg.number || p.offset != offset {
		return nil, err
	}
	o := &op{kind: kindMove, table: r.table, index: index, value: bytes.Clone(r.value), size: r.size, crc: r.crc,
		key: Key{Hash: bytes.Clone(r.key.Hash), Range: bytes.Clone(r.key.Range)}, exists: true, prior: p,
		at: pointer{seq: r.seq, time: r.time}}
	if t := s.tables[r.table]; t != nil && t.indexed() {
		o.entries = s.entryList(t, nil, o.value)
	}
	g, err := s.queue.put(&s.overlay, o)
	if err != nil {
		return nil, nil // the store has stopped and says so to its writers
	}
	return g, nil
}
