package store

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/cockroachdb/pebble"
)

// What nobody may read any more goes here: stream records after StreamKeep, ended streams, the items of dropped tables
// after their history. Only then may the segments that held it.

// outlive is how much longer than its records may be read a segment is kept: records point at what they replaced when
// that is younger than pointedAge, and it may stand in a segment that ended so much earlier.
const outlive = 24 * time.Hour

// needs tells for how long, in ms, the records of which tables may be read; the gate is held.
func (s *Store) needs(now int64) map[TableID]int64 {
	needs := map[TableID]int64{}
	need := func(id TableID, keep time.Duration) { needs[id] = max(needs[id], keep.Milliseconds()) }
	for _, tables := range []map[TableID]*table{s.tables, s.dropped} {
		for id, t := range tables {
			if t.Settings.History > 0 {
				need(id, t.Settings.History)
			}
		}
	}
	s.streams.mu.RLock()
	defer s.streams.mu.RUnlock()
	for _, st := range s.streams.all {
		if !endedBefore(st.closed, now-StreamKeep.Milliseconds()) {
			need(st.table, StreamKeep)
		}
	}
	for id := range s.tables { // a stream whose record is on its way is not among the streams yet
		if s.tables[id].Settings.Stream != 0 {
			need(id, StreamKeep)
		}
	}
	return needs
}

// heldUntil is when, in Unix ms, a segment may go as far as reading the past is concerned.
func (s *Store) heldUntil(seg *segment, needs map[TableID]int64) int64 {
	keep := s.keep.Milliseconds()
	for id, need := range needs {
		if seg.mayHold(id) {
			keep = max(keep, need+outlive.Milliseconds())
		}
	}
	return seg.lastTime + keep
}

// keepsItems tells whether items of the table are in the index; the gate is held.
func (s *Store) keepsItems(id TableID) bool { return s.tables[id] != nil || s.dropped[id] != nil }

// trim takes away what may not be read any more at a time in Unix ms.
func (s *Store) trim(now int64) error {
	horizon := now - StreamKeep.Milliseconds()
	for _, sh := range s.streams.snapshot() {
		if err := s.trimShard(sh, horizon); err != nil {
			return err
		}
	}
	if err := s.forgetStreams(horizon); err != nil {
		return err
	}
	return s.purge(now)
}

// snapshot lists all shards.
func (m *streams) snapshot() []*shard {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var list []*shard
	for _, st := range m.all {
		list = append(list, st.shards...)
	}
	return list
}

// trimShard removes the records of a shard from before the horizon. What is trimmed is noted first, so that a reader
// who misses records hears of it.
func (s *Store) trimShard(sh *shard, horizon int64) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: changeKey(sh.id, 0), UpperBound: changeKey(sh.id+1, 0)})
	if err != nil {
		return indexError(err)
	}
	defer it.Close()
	if !it.First() {
		return indexError2(it.Error())
	}
	l, err := locate(it)
	if err != nil || l.time >= horizon {
		return err
	}
	last, err := seekTime(it, sh.id, horizon)
	if err != nil || last == 0 {
		return indexError2(err)
	}
	s.streams.mu.Lock()
	sh.trimmed = last
	s.streams.mu.Unlock()
	b := s.db.NewBatch()
	defer b.Close()
	if err := b.DeleteRange(changeKey(sh.id, 0), changeKey(sh.id, last+1), nil); err != nil {
		return indexError(err)
	}
	if err := b.Set(segmentKey(spaceTrimmed, sh.id), binary.LittleEndian.AppendUint64(nil, last), nil); err != nil {
		return indexError(err)
	}
	return indexError2(s.db.Apply(b, noSync))
}

// forgetStreams removes shards that closed before the horizon and streams that ended before it.
func (s *Store) forgetStreams(horizon int64) error {
	b := s.db.NewBatch()
	defer b.Close()
	m := &s.streams
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, st := range m.all {
		for _, sh := range st.shards {
			if !endedBefore(sh.closed, horizon) {
				continue
			}
			for _, key := range [][]byte{shardKey(id, sh.id), segmentKey(spaceTrimmed, sh.id)} {
				if err := b.Delete(key, nil); err != nil {
					return indexError(err)
				}
			}
		}
		st.shards = slices.DeleteFunc(st.shards, func(sh *shard) bool { return endedBefore(sh.closed, horizon) })
		if endedBefore(st.closed, horizon) {
			delete(m.all, id)
			if err := b.Delete(tableKey(spaceStream, TableID(id)), nil); err != nil {
				return indexError(err)
			}
		}
	}
	if b.Empty() {
		return nil
	}
	return indexError2(s.db.Apply(b, noSync))
}

// purge removes the items of dropped tables whose history has passed.
func (s *Store) purge(now int64) error {
	if purged := s.purgeDropped(now); !purged {
		return nil
	}
	return s.barrier()
}

func (s *Store) purgeDropped(now int64) (purged bool) {
	s.gate.Lock()
	defer s.gate.Unlock()
	for id, t := range s.dropped {
		if now-t.dropped <= t.Settings.History.Milliseconds() {
			continue
		}
		if _, err := s.control(&op{kind: kindTablePurge, table: id, index: []byte{}}); err != nil {
			return false // the store is closed or has stopped, and says so to its writers
		}
		delete(s.dropped, id)
		purged = true
	}
	return purged
}
