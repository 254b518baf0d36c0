package store

import (
	"cmp"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble"
	"github.com/cockroachdb/pebble/vfs"

	"dynaferry/internal/fault"
)

// noSync: pebble has no log to sync; what it has not flushed is replayed from ours.
var noSync = pebble.NoSync

// Store is an open store. All methods may be called concurrently.
type Store struct {
	fs    vfs.FS
	dir   string
	clock func() time.Time
	size  func([]byte) int
	keep  time.Duration

	entries EntriesFunc

	lock io.Closer
	db   *pebble.DB
	log  *changeLog

	// gate is held for reading by whoever uses the index, the log or the tables, and for writing by Close and by
	// changes of the set of tables; nobody holds it while waiting for the device, save when the queue is full.
	gate    sync.RWMutex
	closed  bool
	tables  map[TableID]*table
	dropped map[TableID]*table // whose history is kept

	ddl       sync.Mutex // one change of the set of tables at a time
	lastTable TableID    // under ddl: highest id ever given

	iterMu sync.Mutex
	iters  map[*Iterator]struct{} // open ones
	reads  sync.WaitGroup         // readings of the log under way

	stripes stripeLocks
	overlay overlay
	queue   queue
	ledger  *ledger
	streams streams
	visible atomic.Uint64 // the highest sequence number in the index
	latest  atomic.Int64  // the highest time of a record, Unix ms
	batcher sync.WaitGroup

	// The batcher's own (recovery's before there is one).
	applied applied
	batch   *pebble.Batch
	frame   []byte
	tail    tail

	// applying is held from the first entry in the ledger until the index has them all, so that its holder sees both
	// agree; reached is where the index stands and reachedTime the time of the last write in it, under it.
	applying    sync.Mutex
	reached     position
	reachedTime int64

	compactor compactor

	replayed work // by Open

	changedMax int
	lastRun    atomic.Uint64 // of the files in sortDir
}

// Open opens the store in o.Dir, made when missing, and brings it to the state of its last durable write. Fault kinds:
// Conflict when another process has it open or the folder holds something else, Unsupported for a newer format,
// Corrupt with file and offset for anything that a crash cannot explain.
func Open(o Options) (*Store, error) {
	s := &Store{fs: o.fs, dir: o.Dir, clock: o.Clock, size: o.Size, keep: o.Retention, entries: o.Entries,
		tables: map[TableID]*table{}, dropped: map[TableID]*table{}, iters: map[*Iterator]struct{}{}, ledger: newLedger()}
	s.streams.all = map[StreamID]*stream{}
	s.changedMax = cmp.Or(o.changedMax, changedMax)
	s.tail.max = cmp.Or(o.replayMax, replayMax)
	if s.fs == nil {
		s.fs = vfs.Default
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.size == nil {
		s.size = func(raw []byte) int { return len(raw) }
	}
	o.SegmentBytes = cmp.Or(o.SegmentBytes, segmentBytes)
	o.CacheBytes = cmp.Or(o.CacheBytes, cacheBytes)
	if o.Dir == "" && o.fs == nil {
		s.fs, s.dir = vfs.NewMem(), "/store"
		o.SegmentBytes = min(o.SegmentBytes, segmentBytesMemory)
	} else if dir, err := filepath.Abs(o.Dir); o.fs == nil && err == nil {
		s.dir = dir // so that two spellings of one folder are one lock
	}
	s.queue.init()
	s.compactor.init()
	if err := s.open(&o); err != nil {
		s.abandon()
		return nil, err
	}
	s.batcher.Go(s.batchLoop)
	s.compactor.done.Go(s.compactLoop)
	return s, nil
}

const cacheBytes = 24 << 20

// open locks the folder, looks at its version, opens index and log and replays.
func (s *Store) open(o *Options) error {
	logDir, indexDir := s.fs.PathJoin(s.dir, "log"), s.fs.PathJoin(s.dir, "index")
	if err := s.claim(); err != nil {
		return err
	}
	for _, dir := range []string{logDir, indexDir} {
		if err := s.fs.MkdirAll(dir, 0o777); err != nil {
			return fault.At(fault.As(fault.Unavailable, err), fault.Place{File: dir})
		}
	}
	if err := syncDir(s.fs, s.dir); err != nil {
		return fault.As(fault.Unavailable, err)
	}
	err := s.clearRuns()
	if err != nil {
		return err
	}
	if s.db, err = openIndex(s.fs, indexDir, o.CacheBytes, s.indexTrouble); err != nil {
		return err
	}
	s.log = newLog(s.fs, logDir, o)
	s.batch = s.db.NewBatch()
	if err := s.recover(); err != nil {
		return err
	}
	if s.tail.bytes = s.replayed.bytes; s.tail.bytes > replayAgain {
		return s.flushTail()
	}
	return nil
}

// clearRuns removes sorted runs that a crash left.
func (s *Store) clearRuns() error {
	dir := s.fs.PathJoin(s.dir, sortDir)
	names, err := s.fs.List(dir)
	if err != nil {
		return nil // there is none; if that is not why, making one says so
	}
	for _, name := range names {
		if err := s.fs.Remove(s.fs.PathJoin(dir, name)); err != nil {
			return fault.At(fault.As(fault.Unavailable, err), fault.Place{File: s.fs.PathJoin(dir, name)})
		}
	}
	return nil
}

// indexTrouble hears of flushes and compactions of the index that fail, for instance on a full disk. They are tried
// again, but nobody can say for how long the memory holds, so writing stops; reading goes on.
func (s *Store) indexTrouble(err error) {
	s.queue.fail(fault.New(fault.Unavailable, "the store stopped writing: index: %w", err))
}

// abandon gives back what a failed open had taken.
func (s *Store) abandon() {
	if s.log != nil {
		s.log.close()
	}
	if s.db != nil {
		s.batch.Close()
		s.db.Close()
	}
	if s.lock != nil {
		s.lock.Close()
	}
}

// Close waits for the writes under way, makes the index durable and gives the folder back. Iterators left open end
// with an error. Close returns what made the store stop writing, or its compaction fail, if anything did.
func (s *Store) Close() error {
	s.gate.Lock()
	if s.closed {
		s.gate.Unlock()
		return nil
	}
	s.closed = true
	s.iterMu.Lock()
	for it := range s.iters {
		it.err = cmp.Or(it.err, errClosed())
		it.shut()
	}
	s.iterMu.Unlock()
	s.gate.Unlock()
	s.reads.Wait()
	s.compactor.stop()
	s.queue.close()
	s.batcher.Wait()
	sweepErr := s.sweep()
	err := cmp.Or(s.queue.failed(), s.compactor.err)
	if s.queue.failed() == nil {
		err = cmp.Or(err, s.settle())
	}
	s.batch.Close()
	return cmp.Or(err, fault.As(fault.Unavailable, s.db.Close()), sweepErr,
		fault.As(fault.Unavailable, s.log.close()), fault.As(fault.Unavailable, s.lock.Close()))
}

// settle flushes the index with a mark that the log ends here.
func (s *Store) settle() error {
	s.applied.clean = true
	if err := s.applyBatch(); err != nil {
		return fault.As(fault.Unavailable, err)
	}
	return fault.As(fault.Unavailable, s.db.Flush())
}

// watch keeps account of open iterators.
func (s *Store) watch(it *Iterator, open bool) {
	s.iterMu.Lock()
	defer s.iterMu.Unlock()
	if open {
		s.iters[it] = struct{}{}
	} else {
		delete(s.iters, it)
	}
}

// usable tells why nothing can be written, if so. The gate is held.
func (s *Store) usable() error {
	if s.closed {
		return errClosed()
	}
	return nil
}

func errClosed() error { return fault.New(fault.Unavailable, "the store is closed") }

func noTable(id TableID) error { return fault.New(fault.NotFound, "no table with id %d", id) }

// The file that tells what the folder is.
const (
	versionName    = "VERSION"
	versionPrefix  = "dynaferry local store "
	versionCurrent = "2"
	versionBefore  = "1" // is made the current one: nothing of it has changed but that there is more
)

// claim takes the folder: makes it, locks it against other processes and checks or writes its version.
func (s *Store) claim() error {
	if err := s.fs.MkdirAll(s.dir, 0o777); err != nil {
		return fault.At(fault.As(fault.Unavailable, err), fault.Place{File: s.dir})
	}
	names, err := s.fs.List(s.dir)
	if err != nil {
		return fault.At(fault.As(fault.Unavailable, err), fault.Place{File: s.dir})
	}
	known, current, foreign := false, false, ""
	for _, name := range names {
		switch name {
		case versionName:
			known = true
		case "LOCK", versionName + ".new":
		default:
			foreign = name
		}
	}
	if !known && foreign != "" {
		err := fault.New(fault.Conflict, "the folder holds %s but no store", foreign)
		return fault.Hint(fault.At(err, fault.Place{File: s.dir}), "name an empty or new folder with --dir")
	}
	if known {
		if current, err = s.checkVersion(); err != nil {
			return err
		}
	}
	lock, err := s.fs.Lock(s.fs.PathJoin(s.dir, "LOCK"))
	if err != nil {
		err = fault.New(fault.Conflict, "the store is open in another process: %w", err)
		return fault.Hint(fault.At(err, fault.Place{File: s.dir}), "stop the other dynaferry local, or name another --dir")
	}
	s.lock = lock
	if current {
		return nil
	}
	return fault.As(fault.Unavailable, s.writeVersion())
}

// checkVersion refuses what this program does not know; current is false for a version that is to be made so.
func (s *Store) checkVersion() (current bool, err error) {
	name := s.fs.PathJoin(s.dir, versionName)
	f, err := s.fs.Open(name)
	if err != nil {
		return false, fault.At(fault.As(fault.Unavailable, err), fault.Place{File: name})
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return false, fault.At(fault.As(fault.Unavailable, err), fault.Place{File: name})
	}
	switch string(text) {
	case versionPrefix + versionCurrent + "\n":
		return true, nil
	case versionPrefix + versionBefore + "\n":
		return false, nil
	case "":
		return false, fault.At(fault.New(fault.Corrupt, "empty version file"), fault.Place{File: name})
	}
	if len(text) > len(versionPrefix) && string(text[:len(versionPrefix)]) == versionPrefix {
		err := fault.New(fault.Unsupported, "a store of format %.20q, this program knows %s", text[len(versionPrefix):], versionCurrent)
		return false, fault.Hint(fault.At(err, fault.Place{File: name}), "open it with the newer dynaferry that wrote it")
	}
	err = fault.New(fault.Conflict, "not a store of dynaferry local: it says %.40q", text)
	return false, fault.Hint(fault.At(err, fault.Place{File: name}), "name an empty or new folder with --dir")
}

// writeVersion gives the folder its version, whole or not at all.
func (s *Store) writeVersion() error {
	name := s.fs.PathJoin(s.dir, versionName)
	f, err := s.fs.Create(name + ".new")
	if err != nil {
		return err
	}
	if _, err = f.Write([]byte(versionPrefix + versionCurrent + "\n")); err == nil {
		err = f.Sync()
	}
	if err := cmp.Or(err, f.Close()); err != nil {
		return err
	}
	if err := s.fs.Rename(name+".new", name); err != nil {
		return err
	}
	return syncDir(s.fs, s.dir)
}

// unsupported tells that a file system cannot allocate ahead.
func unsupported(err error) bool { return os.IsPermission(err) || isNotSupported(err) }
