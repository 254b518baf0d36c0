package store

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble"

	"dynaferry/internal/fault"
)

// streams is what there is of streams and shards. The goroutine that applies changes it (and recovery, and trimming);
// control records have frames of their own, so the one that lays out frames sees it as it is where the frame stands.
type streams struct {
	mu        sync.RWMutex
	all       map[StreamID]*stream
	last      StreamID // highest ever used or handed out
	lastShard uint32   // highest ever used
}

type stream struct {
	id             StreamID
	table          TableID
	opened, closed int64    // Unix ms, closed 0: open
	shards         []*shard // ascending
	open           []*shard // those that take records, by their part of the hash space
}

type shard struct {
	id, parent     uint32
	first, last    uint64
	opened, closed int64 // Unix ms, closed 0: open
	lo, hi         uint64
	trimmed        uint64 // the last of its records that is gone
}

// route returns the shard that takes the records of a key with this hash; 0 when the stream has ended.
func (m *streams) route(id StreamID, hash uint64) uint32 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	st := m.all[id]
	if st == nil {
		return 0
	}
	i, _ := slices.BinarySearchFunc(st.open, hash, func(s *shard, hash uint64) int {
		switch {
		case s.hi < hash:
			return -1
		case s.lo > hash:
			return 1
		}
		return 0
	})
	if i == len(st.open) {
		return 0
	}
	return st.open[i].id
}

// begin makes a stream when it is new; its shards follow in records of their own.
func (m *streams) begin(b *pebble.Batch, c *change, id StreamID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id == 0 || m.all[id] != nil {
		return nil
	}
	st := &stream{id: id, table: c.table, opened: c.at.time}
	m.all[id] = st
	m.last = max(m.last, id)
	return cmp.Or(m.putLast(b), b.Set(tableKey(spaceStream, TableID(id)), st.append(nil), nil))
}

// endOthers ends the open streams of a table but the one given.
func (m *streams) endOthers(b *pebble.Batch, c *change, stays StreamID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, st := range m.all {
		if st.table != c.table || st.closed != 0 || st.id == stays {
			continue
		}
		st.closed = c.at.time
		for _, sh := range st.open {
			if err := sh.close(b, st.id, c); err != nil {
				return err
			}
		}
		st.open = nil
		if err := b.Set(tableKey(spaceStream, TableID(st.id)), st.append(nil), nil); err != nil {
			return err
		}
	}
	return nil
}

func (sh *shard) close(b *pebble.Batch, stream StreamID, c *change) error {
	sh.last, sh.closed = c.at.seq, c.at.time
	return b.Set(shardKey(stream, sh.id), sh.append(nil), nil)
}

// openShard adds a shard and closes its parent.
func (m *streams) openShard(b *pebble.Batch, c *change) error {
	sh := &shard{id: c.shard, first: c.at.seq, opened: c.at.time}
	id, ok := sh.parseBirth(c.key)
	if !ok {
		return fault.New(fault.Unsupported, "a shard of the log that this program cannot read")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	st := m.all[id]
	if st == nil {
		return fault.New(fault.Corrupt, "the log opens a shard of stream %d, which does not exist", id)
	}
	if i := slices.IndexFunc(st.open, func(o *shard) bool { return o.id == sh.parent }); i >= 0 {
		if err := st.open[i].close(b, id, c); err != nil {
			return err
		}
		st.open = slices.Delete(st.open, i, i+1)
	}
	m.lastShard = max(m.lastShard, sh.id)
	if err := m.putLast(b); err != nil {
		return err
	}
	st.add(sh)
	return b.Set(shardKey(id, sh.id), sh.append(nil), nil)
}

func (st *stream) add(sh *shard) {
	st.shards = append(st.shards, sh)
	if sh.closed == 0 {
		st.open = append(st.open, sh)
		slices.SortFunc(st.open, func(a, b *shard) int { return cmp.Compare(a.lo, b.lo) })
	}
}

func (m *streams) putLast(b *pebble.Batch) error {
	v := binary.LittleEndian.AppendUint32(nil, uint32(m.last))
	return b.Set(lastIDsKey, binary.LittleEndian.AppendUint32(v, m.lastShard), nil)
}

// The forms in the index; times are Unix ms.

const streamLen, shardLen = 4 + 8 + 8, 4 + 6*8

func (st *stream) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(st.table))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(st.opened))
	return binary.LittleEndian.AppendUint64(dst, uint64(st.closed))
}

func (st *stream) parse(b []byte) bool {
	if len(b) != streamLen {
		return false
	}
	st.table = TableID(binary.LittleEndian.Uint32(b))
	st.opened = int64(binary.LittleEndian.Uint64(b[4:]))
	st.closed = int64(binary.LittleEndian.Uint64(b[12:]))
	return true
}

func (sh *shard) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, sh.parent)
	for _, n := range []uint64{sh.first, sh.last, uint64(sh.opened), uint64(sh.closed), sh.lo, sh.hi} {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	return dst
}

func (sh *shard) parse(b []byte) bool {
	if len(b) != shardLen {
		return false
	}
	field := func(i int) uint64 { return binary.LittleEndian.Uint64(b[4+8*i:]) }
	sh.parent = binary.LittleEndian.Uint32(b)
	sh.first, sh.last, sh.opened, sh.closed = field(0), field(1), int64(field(2)), int64(field(3))
	sh.lo, sh.hi = field(4), field(5)
	return true
}

// appendBirth is what the record that opens a shard says beside its id: stream, parent, part of the hash space.
func (sh *shard) appendBirth(dst []byte, id StreamID) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(id)), uint64(sh.parent))
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dst, sh.lo), sh.hi)
}

func (sh *shard) parseBirth(b []byte) (id StreamID, ok bool) {
	p := cursor{b: b}
	id, sh.parent = StreamID(p.uint32()), p.uint32()
	sh.lo, sh.hi = p.fixed64(), p.fixed64()
	return id, !p.bad && p.at == len(b)
}

// place is where a record stands in the log.
type place struct {
	segment, offset, length, crc uint32
}

// located is the value of S/<shard>/<seq>: a record's place and time.
type located struct {
	place
	time int64
}

const changeLen = 4*4 + 8

func (l *located) append(dst []byte) []byte {
	for _, n := range []uint32{l.segment, l.offset, l.length, l.crc} {
		dst = binary.LittleEndian.AppendUint32(dst, n)
	}
	return binary.LittleEndian.AppendUint64(dst, uint64(l.time))
}

func (l *located) parse(b []byte) bool {
	if len(b) != changeLen {
		return false
	}
	l.segment, l.offset = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	l.length, l.crc = binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
	l.time = int64(binary.LittleEndian.Uint64(b[16:]))
	return true
}
