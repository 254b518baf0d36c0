package store

import (
	"math"

	"dynaferry/internal/fault"
)

// batchLoop is the one goroutine that appends to the log and applies to the index. It ends when the queue is closed
// and empty, or when a write failed.
func (s *Store) batchLoop() {
	for g := s.queue.take(); g != nil; g = s.queue.take() {
		if err := s.commit(g); err != nil {
			s.stop(g, err)
			return
		}
		for _, o := range g.ops {
			s.overlay.done(o)
		}
		s.queue.finished(g)
		close(g.done)
	}
}

// stop ends all writing for good: after a failed write or sync nobody can say what the device holds, and a later sync
// that succeeds would prove nothing about the pages that failed. What was in flight has an unknown outcome.
func (s *Store) stop(g *group, err error) {
	g.err = fault.New(fault.Unknown, "write to the store of unknown outcome: %w", err)
	stopped := fault.New(fault.Unavailable, "the store stopped writing: %w", err)
	s.queue.fail(fault.Hint(stopped, "look after the disk that holds the folder, then start again: what was acknowledged is there"))
	close(g.done)
}

// commit makes one group durable and visible: lays out its frame, writes and syncs it, applies it to the index.
func (s *Store) commit(g *group) error {
	if len(g.ops) == 0 {
		return nil // a barrier; a frame without records would be a seal
	}
	s.applied.time = max(s.applied.time, s.clock().UnixMilli())
	need := frameHeaderLen
	for _, o := range g.ops {
		if err := s.copyAged(o); err != nil {
			return err
		}
		need += o.bound()
	}
	if !s.log.fits(need) {
		if err := s.rotate(); err != nil {
			return err
		}
	}
	frame := s.layOut(g)
	if len(frame) > segmentMax {
		return fault.New(fault.Limit, "a frame of %d bytes", len(frame))
	}
	if err := s.boundReplay(int64(len(frame))); err != nil {
		return err
	}
	if err := s.log.write(frame); err != nil {
		return err
	}
	s.applied.pos = position{s.log.active.number, s.log.active.end}
	s.log.active.lastSeq, s.log.active.lastTime = s.applied.seq, s.applied.time
	s.applying.Lock()
	defer s.applying.Unlock()
	for _, o := range g.ops {
		c := change{kind: o.kind, table: o.table, key: o.index, at: o.at, prior: o.replaced(), value: o.value,
			settings: o.key.Range, entries: o.entries, shard: o.shard, place: o.place}
		if err := s.apply(&c); err != nil {
			return err
		}
	}
	return s.applyBatch()
}

// applyBatch commits the collected changes with the position they reach; applying is held, or nobody else is there.
func (s *Store) applyBatch() error {
	if err := s.ledger.flush(s.batch, &s.applied); err != nil {
		return err
	}
	if err := s.db.Apply(s.batch, noSync); err != nil {
		return err
	}
	s.batch.Reset()
	s.reached, s.reachedTime = s.applied.pos, s.applied.time
	s.visible.Store(s.applied.seq)
	s.latest.Store(s.applied.time)
	return nil
}

// copyAged puts into an operation's record what it was to point at, if that has aged since it was decided: a machine
// may sleep for days between the two, and then the segment it stands in would go before the record does.
func (s *Store) copyAged(o *op) (err error) {
	if !o.tellOld || o.inline != nil {
		return nil
	}
	written := o.prior.time
	if o.before != nil {
		if o.before.group == o.group {
			return nil
		}
		written = o.before.written
	}
	switch {
	case s.applied.time-written <= outlive.Milliseconds():
	case o.before != nil:
		o.inline = o.before.value
	default:
		var p pointer // still the same: nobody else writes the key while the operation is on its way
		o.inline, _, err = s.lookup(&p, o.index, true)
	}
	return err
}

// layOut assigns sequence numbers and places to a group, all at the time that is applied, and returns its frame, closed.
func (s *Store) layOut(g *group) []byte {
	s.latest.Store(s.applied.time)
	s.applied.clean = false
	base := s.log.active.end
	var header [frameHeaderLen]byte
	buf := append(s.frame[:0], header[:]...)
	for _, o := range g.ops {
		if !o.kind.repeats() {
			s.applied.seq++
			o.at = pointer{seq: s.applied.seq, time: s.applied.time}
		}
		o.written = s.applied.time
		if o.kind == kindTableCreate {
			s.applied.lastTable = max(s.applied.lastTable, o.table)
		}
		if o.before != nil {
			o.prior = o.before.at
			o.before = nil // else a hot key's operations would hold each other for ever
		}
		start := len(buf)
		r := s.record(o)
		var at int
		buf, at = r.append(buf)
		if o.kind != kindEntries { // those point at what stands elsewhere
			o.at.segment, o.at.offset = s.log.active.number, uint32(base)+uint32(at)
			o.at.length, o.at.size, o.at.crc = uint32(len(o.value)), o.size, o.crc
		}
		if o.stream != 0 {
			o.place = place{s.log.active.number, uint32(base) + uint32(start), uint32(len(buf) - start), checksum(buf[start:])}
		}
		if !o.kind.control() {
			s.log.active.holds(o.table)
		}
	}
	sealFrame(buf, s.log.active.salt, len(g.ops))
	if s.frame = buf; cap(buf) > 2*framePayload {
		s.frame = nil // one huge batch does not stay in memory
	}
	return buf
}

// record is the operation's record; its seq, time and prior are known.
func (s *Store) record(o *op) record {
	r := record{kind: o.kind, table: o.table, seq: o.at.seq, time: o.at.time, key: o.key, prior: o.replaced(),
		service: o.service, entries: o.entries, value: o.value, size: o.size, crc: o.crc}
	if o.kind.control() {
		r.key.Hash, r.shard = o.index, o.shard
		return r
	}
	if o.stream != 0 {
		o.shard = s.streams.route(o.stream, hashOf(o.index))
		r.shard = o.shard
	}
	switch {
	case o.kind == kindEntries:
		r.old, r.oldAt = oldPointer, o.at
	case o.inline != nil:
		r.old, r.oldInline = oldInline, o.inline
	case o.tellOld && o.exists:
		r.old, r.oldAt = oldPointer, o.prior
	}
	return r
}

// replaced tells what the operation replaces; valid once its predecessor is laid out.
func (o *op) replaced() prior {
	if !o.exists {
		return prior{}
	}
	return prior{exists: true, segment: o.prior.segment, length: o.prior.length, size: o.prior.size}
}

// rotate seals the active segment and begins the next.
func (s *Store) rotate() error {
	a := s.log.active
	if a.number == math.MaxUint32 {
		return fault.New(fault.Limit, "the log has used up its segment numbers")
	}
	if err := s.log.seal(); err != nil {
		return err
	}
	if err := s.bookSealed(a); err != nil {
		return err
	}
	if err := s.log.begin(a.number + 1); err != nil {
		return err
	}
	s.wakeCompactor()
	return nil
}

// bookSealed notes in the next batch where a segment ends, so that it can be read later without searching.
func (s *Store) bookSealed(a *segment) error {
	info := sealed{end: a.end, lastSeq: a.lastSeq, lastTime: a.lastTime, tables: a.tables}
	return s.batch.Set(segmentKey(spaceSegment, a.number), info.append(nil), nil)
}
