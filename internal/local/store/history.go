package store

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble"

	"dynaferry/internal/fault"
)

// ErrTooOld is what the error of StateAt and Changes wraps when the history does not reach back so far.
var ErrTooOld = errors.New("before the history begins")

// HistoryFrom returns the earliest time that StateAt and Changes reach: when History became more than 0, but at most
// History ago. ErrTooOld when the table keeps no history, NotFound when it is not there, nor dropped within History.
func (s *Store) HistoryFrom(id TableID) (time.Time, error) {
	now := s.now()
	s.gate.RLock()
	defer s.gate.RUnlock()
	from, err := s.historyFrom(id, now)
	if err != nil {
		return time.Time{}, err
	}
	return time.UnixMilli(from), nil
}

func (s *Store) historyFrom(id TableID, now int64) (int64, error) {
	if err := s.usable(); err != nil {
		return 0, err
	}
	t := s.tables[id]
	if t == nil {
		t = s.dropped[id]
	}
	if t == nil || t.dropped != 0 && now-t.dropped > t.Settings.History.Milliseconds() {
		return 0, noTable(id)
	}
	if t.Settings.History == 0 || t.since == never {
		return 0, fault.New(fault.NotFound, "table %d keeps no history: %w", id, ErrTooOld)
	}
	return max(t.since, now-t.Settings.History.Milliseconds()), nil
}

// now is the time in Unix ms that the past is measured from; like the times of commits it never runs backwards.
func (s *Store) now() int64 { return max(s.clock().UnixMilli(), s.latest.Load()) }

// StateAt walks the table as it was when t had passed: every item by its last change at or before t (of a dropped
// table at most its last state). It reads the log from t on before it returns, and holds what it reads: Close it soon.
func (s *Store) StateAt(id TableID, t time.Time, o ScanOptions) *Iterator {
	sp, err := scanSpan(id, o)
	if err != nil {
		return &Iterator{err: err}
	}
	p, err := s.pinPast(id, t.UnixMilli(), &sp)
	if err != nil {
		return &Iterator{err: err}
	}
	defer s.reads.Done()
	c := newChanged(s)
	if bytes.Compare(sp.lower, sp.upper) < 0 {
		err = p.read(context.Background(), t.UnixMilli(), math.MaxInt64, func(seg *segment, r *record, base, at uint32) error {
			key := itemKey(c.scratch[:0], id, r.key)
			c.scratch = key
			if bytes.Compare(key, sp.lower) < 0 || bytes.Compare(key, sp.upper) >= 0 {
				return nil
			}
			return c.add(key, seg, r, base, at)
		})
	}
	if err == nil {
		err = c.sort()
	}
	w := &stateWalk{now: p.walk, then: c}
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err == nil {
		err = s.usable()
	}
	if err != nil {
		_ = w.close() // the first error counts
		p.view.release()
		return &Iterator{err: err}
	}
	return s.walking(w, p.view, sp.limit)
}

// stateWalk merges the items of now with those that changed since.
type stateWalk struct {
	now     *indexWalk
	then    *changed
	started bool

	key   []byte // where now stands, nil: at its end
	place pointer
	ch    *touched // where then stands, nil: at its end
	out   []byte   // the key that was returned
}

func (w *stateWalk) next() ([]byte, pointer, bool, error) {
	if !w.started {
		w.started = true
		if err := errors.Join(w.stepNow(), w.stepThen()); err != nil {
			return nil, pointer{}, false, err
		}
	}
	for w.key != nil || w.ch != nil {
		order := -1
		switch {
		case w.key == nil:
			order = 1
		case w.ch != nil:
			order = bytes.Compare(w.key, w.ch.key)
		}
		found, p := true, w.place
		if order >= 0 {
			found, p = w.ch.old.exists, w.ch.old.pointer
			w.out = append(w.out[:0], w.ch.key...)
		} else {
			w.out = append(w.out[:0], w.key...)
		}
		var err error
		if order <= 0 {
			err = w.stepNow()
		}
		if order >= 0 && err == nil {
			err = w.stepThen()
		}
		if err != nil || found {
			return w.out, p, err == nil, err
		}
	}
	return nil, pointer{}, false, nil
}

func (w *stateWalk) stepNow() error {
	key, p, ok, err := w.now.next()
	if w.key, w.place = key, p; !ok {
		w.key = nil
	}
	return err
}

func (w *stateWalk) stepThen() (err error) {
	w.ch, err = w.then.next()
	return err
}

func (w *stateWalk) close() error { return errors.Join(w.now.close(), w.then.close()) }

// Changes calls each for every key that changed in (from, to], in hash order, with the item before the first and after
// the last of these changes, whose Seq, Time and Service it tells; both are nil for one that came and went. It stops
// at the first error of each and returns it.
func (s *Store) Changes(ctx context.Context, id TableID, from, to time.Time, each func(Change) error) error {
	p, err := s.pinPast(id, from.UnixMilli(), nil)
	if err != nil {
		return err
	}
	defer s.reads.Done()
	defer p.view.release()
	c := newChanged(s)
	defer c.close()
	err = p.read(ctx, from.UnixMilli(), to.UnixMilli(), func(seg *segment, r *record, base, at uint32) error {
		c.scratch = itemKey(c.scratch[:0], id, r.key)
		return c.add(c.scratch, seg, r, base, at)
	})
	if err == nil {
		err = c.sort()
	}
	for err == nil {
		var t *touched
		if t, err = c.next(); t == nil || err != nil {
			break
		}
		if err = ctx.Err(); err == nil {
			err = p.tell(t, each)
		}
	}
	return err
}

// tell reads the images of a change and passes it on.
func (p *past) tell(t *touched, each func(Change) error) error {
	c := Change{Seq: t.last, Time: at(t.time), Key: parseBase(baseOf(t.key)), Service: t.service}
	read := func() (err error) {
		p.s.gate.RLock()
		defer p.s.gate.RUnlock()
		if err := p.s.usable(); err != nil {
			return err
		}
		if t.old.exists {
			c.Old, err = p.view.value(&t.old.pointer)
		}
		if t.new.exists && err == nil {
			c.New, err = p.view.value(&t.new.pointer)
		}
		return err
	}
	if err := read(); err != nil {
		return err
	}
	return each(c)
}

// past is the log of a table from a time until the index's position, pinned, and the index there.
type past struct {
	s     *Store
	id    TableID
	view  *view
	walk  *indexWalk // with a span only
	parts []part
}

// part is a segment up to an offset.
type part struct {
	*segment
	end int64
}

// pinPast pins the log from a time on, and with a span the index as it is where that log ends. The caller releases the
// view and is among s.reads until it has done what reads the log, save through an iterator.
func (s *Store) pinPast(id TableID, from int64, sp *span) (*past, error) {
	now := s.now()
	s.gate.RLock()
	defer s.gate.RUnlock()
	begins, err := s.historyFrom(id, now)
	if err != nil {
		return nil, err
	}
	if from < begins {
		return nil, fault.New(fault.NotFound, "table %d at %d, its history begins at %d: %w", id, from, begins, ErrTooOld)
	}
	s.applying.Lock() // nothing is between log and index
	defer s.applying.Unlock()
	p := &past{s: s, id: id, view: s.log.acquire()}
	if sp != nil {
		index, err := s.db.NewIter(&pebble.IterOptions{LowerBound: sp.lower, UpperBound: sp.upper})
		if err != nil {
			p.view.release()
			return nil, indexError(err)
		}
		p.walk = &indexWalk{index: index}
	}
	for _, number := range slices.Sorted(maps.Keys(p.view.segs)) {
		seg := p.view.segs[number]
		switch {
		case number < s.reached.segment && seg.lastTime > from && seg.mayHold(id):
			p.parts = append(p.parts, part{seg, seg.end})
		case number == s.reached.segment && s.reachedTime > from:
			p.parts = append(p.parts, part{seg, s.reached.offset})
		}
	}
	s.reads.Add(1)
	return p, nil
}

// read calls f for each change of the table's items in (from, to], with the offset of the record and of its value.
func (p *past) read(ctx context.Context, from, to int64, f func(seg *segment, r *record, base, at uint32) error) error {
	for _, part := range p.parts {
		frames := part.frames(segmentHeaderLen)
		for frames.at < part.end {
			done, err := p.readFrame(part.segment, frames, from, to, f)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil || done {
				return err
			}
		}
	}
	return nil
}

// readFrame reads one frame; done tells that all behind it is later than to. The gate is held for no longer than that.
func (p *past) readFrame(seg *segment, frames *frameReader, from, to int64, f func(seg *segment, r *record, base, at uint32) error) (done bool, err error) {
	p.s.gate.RLock()
	defer p.s.gate.RUnlock()
	if err := p.s.usable(); err != nil {
		return false, err
	}
	fr, err := frames.next()
	if err == errNoFrame {
		err = fault.New(fault.Corrupt, "no valid frame inside the log")
	}
	if err != nil {
		return false, fault.At(fault.As(fault.Unavailable, err), fault.Place{File: seg.name, Offset: frames.at})
	}
	rest, base := fr.payload, fr.offset+frameHeaderLen
	for range fr.records {
		var r record
		at, n, ok := r.parse(rest)
		if !ok {
			return false, unreadable(seg, base)
		}
		if !r.kind.repeats() && r.time > to {
			return true, nil
		}
		if r.table == p.id && r.time > from && (r.kind == kindPut || r.kind == kindDelete) {
			if err := f(seg, &r, uint32(base), uint32(base)+uint32(at)); err != nil {
				return false, err
			}
		}
		rest, base = rest[n:], base+int64(n)
	}
	return false, nil
}
