package store

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble"

	"dynaferry/internal/fault"
)

// recover brings the index to the end of the log and leaves an active segment to write to.
func (s *Store) recover() error {
	found, err := s.load()
	if err != nil {
		return err
	}
	segs, err := s.log.list()
	view := map[uint32]*segment{}
	for _, seg := range segs {
		view[seg.number] = seg
	}
	s.log.install(view) // so that close finds them whatever comes
	if err != nil {
		return err
	}
	if len(segs) == 0 {
		if found {
			return fault.At(fault.New(fault.Corrupt, "the index follows a log, but there is none"), fault.Place{File: s.log.dir})
		}
		return s.beginAt(1)
	}
	if !found {
		s.applied.pos = position{segment: 1, offset: segmentHeaderLen} // nothing was flushed yet: all is in the log
	}
	if err := s.checkSegments(segs, view); err != nil {
		return err
	}
	// A killed process may have written frames that it did not sync. They are read like all others, so they must be on the
	// device before an index is that has followed them.
	if err := segs[len(segs)-1].file.SyncData(); err != nil {
		return fault.As(fault.Unavailable, err)
	}
	clean, err := s.replay(segs)
	if err != nil {
		return err
	}
	if err := s.loadTables(); err != nil {
		return err
	}
	s.lastTable = s.applied.lastTable
	s.visible.Store(s.applied.seq)
	s.latest.Store(s.applied.time)
	s.reached, s.reachedTime = s.applied.pos, s.applied.time
	last := segs[len(segs)-1]
	s.log.active = last
	switch {
	case last.sealed:
	case clean && !last.unsynced && !s.log.unsynced && last.size == s.log.segBytes:
		return nil // go on where Close left off
	default:
		// What a crash left behind the last frame stays there, outside: the segment is sealed and a new one begun, so no
		// old bytes can ever follow a new frame.
		if err := s.log.seal(); err != nil {
			return fault.As(fault.Unavailable, err)
		}
		if err := s.bookSealed(last); err != nil {
			return fault.As(fault.Unavailable, err)
		}
	}
	return s.beginAt(last.number + 1)
}

func (s *Store) beginAt(number uint32) error {
	if err := s.log.begin(number); err != nil {
		return fault.At(fault.As(fault.Unavailable, err), fault.Place{File: s.log.dir})
	}
	s.applied.pos = position{number, segmentHeaderLen}
	s.applied.clean = false
	return fault.As(fault.Unavailable, s.applyBatch())
}

// load reads the position and the counts from the index; found is false for an index that was never flushed.
func (s *Store) load() (found bool, err error) {
	b, closer, err := s.db.Get(appliedKey)
	if err == pebble.ErrNotFound {
		return false, nil
	}
	if err != nil {
		return false, indexError(err)
	}
	ok := s.applied.parse(b)
	closer.Close()
	if !ok {
		return false, s.indexCorrupt("position")
	}
	if err := s.loadStreams(); err != nil {
		return false, err
	}
	err = s.each(spaceCount, func(k, v []byte) bool {
		if len(k) != 5 || len(v) != 16 {
			return false
		}
		s.ledger.counts[TableID(binary.BigEndian.Uint32(k[1:]))] = Counts{
			Items: int64(binary.LittleEndian.Uint64(v)), Bytes: int64(binary.LittleEndian.Uint64(v[8:]))}
		return true
	})
	if err != nil {
		return false, err
	}
	return true, s.each(spaceLive, func(k, v []byte) bool {
		if len(k) != 9 || len(v) != 8 {
			return false
		}
		segment, table := binary.BigEndian.Uint32(k[1:]), TableID(binary.BigEndian.Uint32(k[5:]))
		if s.ledger.live[segment] == nil {
			s.ledger.live[segment] = map[TableID]int64{}
		}
		s.ledger.live[segment][table] = int64(binary.LittleEndian.Uint64(v))
		return true
	})
}

// loadTables reads the tables, and the dropped ones whose history is kept.
func (s *Store) loadTables() error {
	err := s.each(spaceTable, func(k, v []byte) bool {
		if len(k) != 5 {
			return false
		}
		t := &table{Table: Table{ID: TableID(binary.BigEndian.Uint32(k[1:]))}}
		s.tables[t.ID] = t
		return t.parse(v)
	})
	if err != nil {
		return err
	}
	return s.each(spaceSettings, func(k, v []byte) bool {
		if len(k) != 5 {
			return false
		}
		id := TableID(binary.BigEndian.Uint32(k[1:]))
		t := s.tables[id]
		if t == nil {
			t = &table{Table: Table{ID: id}}
			s.dropped[id] = t
		}
		return t.parseSettings(v)
	})
}

// loadStreams reads streams and shards as they were at the index's position.
func (s *Store) loadStreams() error {
	m := &s.streams
	b, closer, err := s.db.Get(lastIDsKey)
	if err == pebble.ErrNotFound {
		return nil
	}
	if err != nil {
		return indexError(err)
	}
	ok := len(b) == 8
	if ok {
		m.last, m.lastShard = StreamID(binary.LittleEndian.Uint32(b)), binary.LittleEndian.Uint32(b[4:])
	}
	closer.Close()
	if !ok {
		return s.indexCorrupt("stream ids")
	}
	err = s.each(spaceStream, func(k, v []byte) bool {
		if len(k) != 5 {
			return false
		}
		st := &stream{id: StreamID(binary.BigEndian.Uint32(k[1:]))}
		m.all[st.id] = st
		return st.parse(v)
	})
	if err != nil {
		return err
	}
	gone := map[uint32]uint64{}
	err = s.each(spaceTrimmed, func(k, v []byte) bool {
		if len(k) != 5 || len(v) != 8 {
			return false
		}
		gone[binary.BigEndian.Uint32(k[1:])] = binary.LittleEndian.Uint64(v)
		return true
	})
	if err != nil {
		return err
	}
	return s.each(spaceShard, func(k, v []byte) bool {
		if len(k) != 9 || m.all[StreamID(binary.BigEndian.Uint32(k[1:]))] == nil {
			return false
		}
		sh := &shard{id: binary.BigEndian.Uint32(k[5:])}
		sh.trimmed = gone[sh.id]
		ok := sh.parse(v)
		m.all[StreamID(binary.BigEndian.Uint32(k[1:]))].add(sh)
		return ok
	})
}

// each walks one space of the index; f returns false for an entry it cannot read.
func (s *Store) each(space byte, f func(k, v []byte) bool) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{space}, UpperBound: []byte{space + 1}})
	if err != nil {
		return indexError(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		if !f(it.Key(), it.Value()) {
			it.Close()
			return s.indexCorrupt("entry")
		}
	}
	return indexError2(it.Close())
}

func indexError2(err error) error {
	if err == nil {
		return nil
	}
	return indexError(err)
}

func (s *Store) indexCorrupt(what string) error {
	err := fault.New(fault.Corrupt, "%s in the index that this program did not write", what)
	return fault.At(err, fault.Place{File: s.fs.PathJoin(s.dir, "index")})
}

// checkSegments compares what is there with what the index says: no segment that holds items may be missing, and those
// that are not replayed end where they were sealed.
func (s *Store) checkSegments(segs []*segment, view map[uint32]*segment) error {
	missing := func(number uint32) error {
		err := fault.New(fault.Corrupt, "a segment of the log is missing")
		return fault.At(err, fault.Place{File: s.log.path(segmentName(number))})
	}
	if view[s.applied.pos.segment] == nil {
		return missing(s.applied.pos.segment)
	}
	for number, tables := range s.ledger.live {
		if len(tables) > 0 && view[number] == nil {
			return missing(number)
		}
	}
	for _, seg := range segs {
		if seg.number >= s.applied.pos.segment {
			break
		}
		b, closer, err := s.db.Get(segmentKey(spaceSegment, seg.number))
		if err == pebble.ErrNotFound {
			return s.indexCorrupt("missing end of a segment")
		}
		if err != nil {
			return indexError(err)
		}
		var info sealed
		ok := info.parse(b)
		closer.Close()
		if !ok {
			return s.indexCorrupt("end of a segment")
		}
		seg.end, seg.lastSeq, seg.lastTime, seg.sealed = info.end, info.lastSeq, info.lastTime, true
		seg.tables = info.tables
		if seg.size < seg.end {
			err := fault.New(fault.Corrupt, "the segment is cut: %d bytes of %d", seg.size, seg.end)
			return fault.At(err, fault.Place{File: seg.name, Offset: seg.size})
		}
	}
	return nil
}

// replay applies the frames behind the index's position. It tells whether the process before closed cleanly, that is,
// whether there was none.
func (s *Store) replay(segs []*segment) (clean bool, err error) {
	clean = s.applied.clean
	for i, seg := range segs {
		if seg.number < s.applied.pos.segment {
			continue
		}
		from := int64(segmentHeaderLen)
		if seg.number == s.applied.pos.segment {
			from = s.applied.pos.offset
		}
		frames, err := s.replaySegment(seg, from)
		if err != nil {
			return false, err
		}
		last := i == len(segs)-1
		if !last && !seg.sealed {
			err := fault.New(fault.Corrupt, "no valid frame where the log goes on in another segment")
			return false, fault.At(err, fault.Place{File: seg.name, Offset: seg.end})
		}
		if !last && segs[i+1].number != seg.number+1 {
			err := fault.New(fault.Corrupt, "a segment of the log is missing")
			return false, fault.At(err, fault.Place{File: s.log.path(segmentName(seg.number + 1))})
		}
		clean = clean && frames == 0
	}
	return clean, nil
}

// replaySegment applies a segment's frames from an offset on and finds its end.
func (s *Store) replaySegment(seg *segment, from int64) (frames int, err error) {
	r := seg.frames(from)
	seg.end, seg.lastSeq, seg.lastTime = from, s.applied.seq, s.applied.time
	if from > segmentHeaderLen {
		seg.holds(0) // what is before is not read again
	}
	for {
		f, err := r.next()
		if err == errNoFrame {
			break
		}
		if err != nil {
			return frames, fault.At(fault.As(fault.Unavailable, err), fault.Place{File: seg.name, Offset: r.at})
		}
		seg.end = f.end
		if f.records == 0 {
			seg.sealed = true
			if err := s.bookSealed(seg); err != nil {
				return frames, err
			}
			return frames, s.applyReplayed(true)
		}
		frames++
		s.replayed.records, s.replayed.bytes = s.replayed.records+f.records, s.replayed.bytes+f.end-f.offset
		if err := s.replayFrame(seg, &f); err != nil {
			return frames, err
		}
		seg.lastSeq, seg.lastTime = s.applied.seq, s.applied.time
		s.applied.pos, s.applied.clean = position{seg.number, f.end}, false
		if err := s.applyReplayed(false); err != nil {
			return frames, err
		}
	}
	if !seg.unsynced {
		at, damaged, err := seg.frames(seg.end).search(seg.end + 1)
		if err != nil {
			return frames, fault.At(fault.As(fault.Unavailable, err), fault.Place{File: seg.name})
		}
		if damaged {
			err := fault.New(fault.Corrupt, "no valid frame here, but one at byte %d: not the end of the log, but damage", at)
			return frames, fault.At(err, fault.Place{File: seg.name, Offset: seg.end})
		}
	}
	return frames, s.applyReplayed(true)
}

// replayBatchBytes is when replayed changes go to the index.
const replayBatchBytes = 1 << 20

func (s *Store) applyReplayed(all bool) error {
	if s.batch.Empty() || !all && s.batch.Len() < replayBatchBytes {
		return nil
	}
	return indexError2(s.applyBatch())
}

func (s *Store) replayFrame(seg *segment, f *frame) error {
	base := f.offset + frameHeaderLen
	rest := f.payload
	for range f.records {
		var r record
		at, n, ok := r.parse(rest)
		if !ok {
			return unreadable(seg, base)
		}
		c := replayed(seg, &r, uint32(base)+uint32(at))
		c.place = place{seg.number, uint32(base), uint32(n), checksum(rest[:n])}
		if r.kind == kindTableCreate {
			s.applied.lastTable = max(s.applied.lastTable, r.table)
		}
		if !r.kind.control() {
			seg.holds(r.table)
		}
		if err := s.apply(&c); err != nil {
			return fault.At(err, fault.Place{File: seg.name, Offset: base})
		}
		s.applied.seq, s.applied.time = max(s.applied.seq, r.seq), max(s.applied.time, r.time)
		rest, base = rest[n:], base+int64(n)
	}
	if len(rest) != 0 {
		return unreadable(seg, base)
	}
	return nil
}

// replayed is a record of the log as the index sees it; its value stands at offset.
func replayed(seg *segment, r *record, offset uint32) change {
	c := change{kind: r.kind, table: r.table, prior: r.prior, value: r.value, key: r.key.Hash, settings: r.key.Range,
		entries: r.entries, shard: r.shard}
	c.at = pointer{seq: r.seq, time: r.time, segment: seg.number, offset: offset, length: uint32(len(r.value)), size: r.size, crc: r.crc}
	if !r.kind.control() {
		c.key = itemKey(nil, r.table, r.key)
	}
	if r.kind == kindEntries {
		c.at = r.oldAt
	}
	return c
}

// unreadable is a record in a frame whose checksum is right: written by a program that knows more than we do.
func unreadable(seg *segment, at int64) error {
	err := fault.New(fault.Unsupported, "a record of the log that this program cannot read")
	return fault.Hint(fault.At(err, fault.Place{File: seg.name, Offset: at}), "open the folder with the newer dynaferry that wrote it")
}
