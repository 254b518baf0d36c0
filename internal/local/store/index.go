package store

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/cockroachdb/pebble"
	"github.com/cockroachdb/pebble/bloom"
	"github.com/cockroachdb/pebble/vfs"

	"dynaferry/internal/fault"
)

// openIndex opens pebble as a map from keys to places. Its own log is off: what it has not flushed is replayed from
// ours. The sizes are those measured to keep a million items below 110 MB resident.
func openIndex(fs vfs.FS, dir string, cacheBytes int64, background func(error)) (*pebble.DB, error) {
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref() // the database holds its own reference
	o := &pebble.Options{
		FS:                          fs,
		Cache:                       cache,
		Comparer:                    wholeKeys(),
		DisableWAL:                  true,
		MemTableSize:                8 << 20,
		MemTableStopWritesThreshold: 3,
		MaxOpenFiles:                256,
		FormatMajorVersion:          pebble.FormatVirtualSSTables,
		Logger:                      silence{},
		EventListener:               &pebble.EventListener{BackgroundError: background},
		Levels:                      make([]pebble.LevelOptions, 7),
	}
	for i := range o.Levels {
		// Small files on all levels: a file's bloom filter is one block, and a big one would not stay in the cache.
		o.Levels[i] = pebble.LevelOptions{BlockSize: 8 << 10, FilterPolicy: bloom.FilterPolicy(10), TargetFileSize: 4 << 20}
	}
	db, err := pebble.Open(dir, o)
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, pebble.ErrCorruption):
		return nil, fault.At(fault.As(fault.Corrupt, err), fault.Place{File: dir})
	}
	return nil, fault.At(fault.As(fault.Unavailable, err), fault.Place{File: dir})
}

// wholeKeys is pebble's own order with the whole key as the part that bloom filters hold; without a Split there are none.
func wholeKeys() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Split = func(key []byte) int { return len(key) }
	return &c
}

// silence keeps pebble from writing to stderr; what matters comes back as errors.
type silence struct{}

func (silence) Infof(string, ...any)  {}
func (silence) Errorf(string, ...any) {}

// Fatalf is called where pebble cannot go on, for instance when its manifest cannot be written; it must not return.
func (silence) Fatalf(format string, args ...any) {
	panic(fault.New(fault.Unavailable, "index: "+format, args...))
}

// applied is the value of M/applied: how far the index has followed the log, and counters that only ever rise.
type applied struct {
	pos       position
	seq       uint64
	time      int64
	lastTable TableID
	clean     bool // written by Close: nothing was appended behind pos by that process
}

const appliedLen = 4 + 8 + 8 + 8 + 4 + 1

func (a *applied) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, a.pos.segment)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(a.pos.offset))
	dst = binary.LittleEndian.AppendUint64(dst, a.seq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(a.time))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(a.lastTable))
	if a.clean {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func (a *applied) parse(b []byte) bool {
	if len(b) != appliedLen {
		return false
	}
	a.pos = position{binary.LittleEndian.Uint32(b), int64(binary.LittleEndian.Uint64(b[4:]))}
	a.seq = binary.LittleEndian.Uint64(b[12:])
	a.time = int64(binary.LittleEndian.Uint64(b[20:]))
	a.lastTable = TableID(binary.LittleEndian.Uint32(b[28:]))
	a.clean = b[32] == 1
	return true
}

// ledger keeps the exact counts of tables and of live bytes in segments. The goroutine that applies changes it, others
// read it; what a batch changed is written into the same batch.
type ledger struct {
	mu     sync.Mutex
	counts map[TableID]Counts
	live   map[uint32]map[TableID]int64

	dirtyCounts map[TableID]bool
	dirtyLive   map[liveRef]bool
}

type liveRef struct {
	segment uint32
	table   TableID
}

func newLedger() *ledger {
	return &ledger{counts: map[TableID]Counts{}, live: map[uint32]map[TableID]int64{},
		dirtyCounts: map[TableID]bool{}, dirtyLive: map[liveRef]bool{}}
}

// count books a change of a table's items.
func (l *ledger) count(c *change) {
	items, bytes := int64(0), int64(0)
	if c.kind == kindPut {
		items, bytes = 1, int64(c.at.size)
	}
	if c.prior.exists {
		items, bytes = items-1, bytes-int64(c.prior.size)
	}
	if items == 0 && bytes == 0 {
		return
	}
	n := l.counts[c.table]
	l.counts[c.table] = Counts{n.Items + items, n.Bytes + bytes}
	l.dirtyCounts[c.table] = true
}

// keep books live bytes of a segment.
func (l *ledger) keep(segment uint32, table TableID, bytes int64) {
	m := l.live[segment]
	if m == nil {
		m = map[TableID]int64{}
		l.live[segment] = m
	}
	if m[table] += bytes; m[table] == 0 {
		delete(m, table)
	}
	l.dirtyLive[liveRef{segment, table}] = true
}

// forget drops all of a table.
func (l *ledger) forget(table TableID) {
	delete(l.counts, table)
	l.dirtyCounts[table] = true
	for segment, m := range l.live {
		if _, ok := m[table]; ok {
			delete(m, table)
			l.dirtyLive[liveRef{segment, table}] = true
		}
	}
}

// segmentLive returns the live bytes of a segment.
func (l *ledger) segmentLive(segment uint32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int64(0)
	for _, bytes := range l.live[segment] {
		n += bytes
	}
	return n
}

// item books a put, a move or a delete, and drop a table whose items go.
func (l *ledger) item(c *change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.prior.exists {
		l.keep(c.prior.segment, c.table, -weight(c.key, c.prior.length))
	}
	if c.kind != kindMove {
		l.count(c)
	}
	if c.kind != kindDelete {
		l.keep(c.at.segment, c.table, weight(c.key, c.at.length))
	}
}

func (l *ledger) drop(table TableID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(table)
}

// flush writes what the batch changed in the ledger, and how far it goes, into the batch.
func (l *ledger) flush(b *pebble.Batch, a *applied) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for table := range l.dirtyCounts {
		n, ok := l.counts[table]
		if err := setOrDelete(b, tableKey(spaceCount, table), []int64{n.Items, n.Bytes}, ok); err != nil {
			return err
		}
	}
	for ref := range l.dirtyLive {
		n, ok := l.live[ref.segment][ref.table]
		if err := setOrDelete(b, liveKey(ref.segment, ref.table), []int64{n}, ok); err != nil {
			return err
		}
	}
	clear(l.dirtyCounts)
	clear(l.dirtyLive)
	return b.Set(appliedKey, a.append(nil), nil)
}

func setOrDelete(b *pebble.Batch, key []byte, values []int64, set bool) error {
	if !set {
		return b.Delete(key, nil)
	}
	var v []byte
	for _, n := range values {
		v = binary.LittleEndian.AppendUint64(v, uint64(n))
	}
	return b.Set(key, v, nil)
}

// sealed is the value of G/<segment>: where a sealed segment ends and what it last held.
type sealed struct {
	end      int64
	lastSeq  uint64
	lastTime int64
	tables   []TableID // as in segment
}

func (s *sealed) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.end))
	dst = binary.LittleEndian.AppendUint64(dst, s.lastSeq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.lastTime))
	for _, table := range s.tables {
		dst = binary.AppendUvarint(dst, uint64(table))
	}
	return dst
}

func (s *sealed) parse(b []byte) bool {
	if len(b) < 24 {
		return false
	}
	s.end = int64(binary.LittleEndian.Uint64(b))
	s.lastSeq = binary.LittleEndian.Uint64(b[8:])
	s.lastTime = int64(binary.LittleEndian.Uint64(b[16:]))
	p := cursor{b: b, at: 24}
	for p.at < len(b) && !p.bad {
		s.tables = append(s.tables, TableID(p.uint32()))
	}
	return !p.bad
}
