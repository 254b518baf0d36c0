package store

import (
	"errors"
	"slices"
	"time"

	"dynaferry/internal/fault"
)

// StreamKeep is how long the records of a stream stay readable, also after it has ended or its table is gone.
const StreamKeep = 24 * time.Hour

// ErrTrimmed is what ReadShard's error wraps when records behind the asked position are gone after StreamKeep.
var ErrTrimmed = errors.New("stream records are trimmed")

// Stream is one stream, open or ended less than StreamKeep ago.
type Stream struct {
	ID     StreamID
	Table  TableID
	Opened time.Time
	Closed time.Time // zero: open
}

// Shard is a part of a stream: the changes of the keys whose hash lies in [Lo, Hi], from when it opened until it
// closed. A shard that was split or rolled has children, whose Parent it is, and which hold what came later.
type Shard struct {
	ID          uint32 // unique over all streams
	Parent      uint32 // 0: none, or gone
	First, Last uint64 // its records have sequence numbers in (First, Last]; Last 0: open
	Opened      time.Time
	Closed      time.Time // zero: open
	Lo, Hi      uint64
}

// Change is one change of an item, or what several came to. The bytes are the caller's.
type Change struct {
	Seq      uint64    // unique and rising over all tables
	Time     time.Time // to the millisecond, never falls
	Key      Key
	Old, New []byte // nil: there was none, is none, or (Old) Settings do not ask for it
	Service  bool   // see Write
}

// Page is a part of a shard.
type Page struct {
	Changes []Change
	Next    uint64 // the after of the next call; it rises also when there was nothing, so a quiet reader is never trimmed
	End     bool   // the shard is closed and this was its last part
}

// NewStream returns an id for Settings.Stream that was never used before.
func (s *Store) NewStream() StreamID {
	s.streams.mu.Lock()
	defer s.streams.mu.Unlock()
	s.streams.last++
	return s.streams.last
}

// LastSeq returns the highest sequence number that readers see: the position of an iterator that begins now.
func (s *Store) LastSeq() uint64 { return s.visible.Load() }

// Streams lists the streams, oldest first.
func (s *Store) Streams() []Stream {
	horizon := s.streamHorizon()
	s.streams.mu.RLock()
	defer s.streams.mu.RUnlock()
	var list []Stream
	for _, st := range s.streams.all {
		if !endedBefore(st.closed, horizon) {
			list = append(list, Stream{ID: st.id, Table: st.table, Opened: at(st.opened), Closed: at(st.closed)})
		}
	}
	slices.SortFunc(list, func(a, b Stream) int { return int(int64(a.ID) - int64(b.ID)) })
	return list
}

// Shards lists a stream's shards, oldest first: the open ones, and the closed ones while they can hold records.
// NotFound for a stream that is not there or ended more than StreamKeep ago.
func (s *Store) Shards(id StreamID) ([]Shard, error) {
	horizon := s.streamHorizon()
	s.streams.mu.RLock()
	defer s.streams.mu.RUnlock()
	st := s.streams.all[id]
	if st == nil || endedBefore(st.closed, horizon) {
		return nil, noStream(id)
	}
	var list []Shard
	for _, sh := range st.shards {
		if !endedBefore(sh.closed, horizon) {
			list = append(list, Shard{ID: sh.id, Parent: sh.parent, First: sh.first, Last: sh.last,
				Opened: at(sh.opened), Closed: at(sh.closed), Lo: sh.lo, Hi: sh.hi})
		}
	}
	return list, nil
}

// streamHorizon is the time, in Unix ms, before which stream records are trimmed.
func (s *Store) streamHorizon() int64 { return s.now() - StreamKeep.Milliseconds() }

// endedBefore tells whether something closed before the horizon; 0 is open.
func endedBefore(closed, horizon int64) bool { return closed != 0 && closed < horizon }

func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func noStream(id StreamID) error { return fault.New(fault.NotFound, "no stream with id %d", id) }

// SplitShard closes a shard and opens two that halve its part of the hash space. Conflict when it is closed already.
func (s *Store) SplitShard(id StreamID, shard uint32) error { return s.follow(id, shard, true) }

// RollShard closes a shard and opens a successor of the same part. Conflict when it is closed already.
func (s *Store) RollShard(id StreamID, shard uint32) error { return s.follow(id, shard, false) }

// follow lets one or two shards follow another.
func (s *Store) follow(id StreamID, old uint32, split bool) error {
	s.ddl.Lock()
	defer s.ddl.Unlock()
	parent, table, err := s.streams.find(id, old)
	if err != nil {
		return err
	}
	if parent.closed != 0 {
		return fault.New(fault.Conflict, "shard %d is closed already", old)
	}
	children := []shard{{parent: old, lo: parent.lo, hi: parent.hi}}
	if split {
		if parent.lo == parent.hi {
			return fault.New(fault.Limit, "shard %d holds one hash only and cannot be split", old)
		}
		middle := parent.lo + (parent.hi-parent.lo)/2
		children = []shard{{parent: old, lo: parent.lo, hi: middle}, {parent: old, lo: middle + 1, hi: parent.hi}}
	}
	s.gate.RLock()
	g, err := s.control(s.streams.births(id, table, children)...)
	s.gate.RUnlock()
	if err != nil {
		return err
	}
	return g.wait()
}

// shardOps opens the shards that a table's new stream begins with; none when the table keeps the one it has.
func (s *Store) shardOps(t *table, old StreamID) []*op {
	if t.Settings.Stream == 0 || t.Settings.Stream == old {
		return nil
	}
	shards := make([]shard, max(t.Settings.Shards, 1))
	for i := range shards {
		shards[i].lo, shards[i].hi = segmentBounds(i, len(shards))
	}
	return s.streams.births(t.Settings.Stream, t.ID, shards)
}

// births gives new shards their ids and makes the operations that open them; ddl is held.
func (m *streams) births(id StreamID, table TableID, shards []shard) []*op {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ops []*op
	for i := range shards {
		m.lastShard++
		ops = append(ops, &op{kind: kindShardOpen, table: table, shard: m.lastShard, index: shards[i].appendBirth(nil, id)})
	}
	return ops
}

// find returns what is known of a shard and the table of its stream.
func (m *streams) find(id StreamID, number uint32) (shard, TableID, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	st := m.all[id]
	if st == nil {
		return shard{}, 0, noStream(id)
	}
	for _, sh := range st.shards {
		if sh.id == number {
			return *sh, st.table, nil
		}
	}
	return shard{}, 0, fault.New(fault.NotFound, "stream %d has no shard %d", id, number)
}

// known tells whether there is such a stream.
func (m *streams) known(id StreamID) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.all[id] != nil
}
