package store

import (
	"time"

	"github.com/cockroachdb/pebble/vfs"
)

// Options says where and how a store lives. The zero value is an empty store in memory.
type Options struct {
	Dir       string               // folder, made when missing; "": in memory, gone after Close
	NoSync    bool                 // reply without a sync: a power cut may lose the last writes, a killed process does not
	Size      func(raw []byte) int // an item's size for the table's byte count and Commit.OldSize; nil: len(raw)
	Clock     func() time.Time     // nil: time.Now; commit times are its running maximum
	Retention time.Duration        // how long a segment is kept after its last record even when nothing points into it
	Entries   EntriesFunc          // an item's index entries; nil: there are no indexes

	SegmentBytes int64 // size of a log segment, 0: 64 MB (4 MB in memory); tests make it small
	CacheBytes   int64 // the index's block cache, 0: 24 MB

	changedMax int   // 0: the constant; tests make it small, and the next
	replayMax  int64 // 0: the constant

	fs vfs.FS // tests put a failing or crashing file system here
}

// TableID names a table for good: a table created later under the same name has another id.
type TableID uint32

// Table is one table's entry. Definition is the caller's JSON, opaque here.
type Table struct {
	ID         TableID
	Name       string
	Definition []byte
	Settings   Settings
}

// IndexID names an index within its table; the caller chooses it and never uses it twice for one table.
type IndexID uint32

// StreamID names a stream for good, over all tables; NewStream gives them. 0 is no stream.
type StreamID uint32

// Settings say what the store keeps of a table beside its items. The zero value keeps nothing more.
type Settings struct {
	Indexes   []IndexID     // that entries are kept for; one that is new has those of later writes only until BuildIndex
	Stream    StreamID      // 0: none. Another id ends the stream before and begins this one
	Shards    int           // that a stream begins with, even parts of the hash space; 0: 1
	OldImages bool          // changes of the stream tell the item as it was before
	History   time.Duration // StateAt and Changes reach back so far, but not to before History became more than 0
}

// Entry says that an item stands in an index under Key, whose Hash and Range are made as those of items; Range is nil
// in an index without a sort key. The store adds the item's own key behind it, so any number of items may share a Key.
type Entry struct {
	Index IndexID
	Key   Key
}

// EntriesFunc appends the entries of an item to dst: a pure function of the table's definition and the item, called
// under the lock of the item's key. Entries of indexes that Settings do not name are ignored.
type EntriesFunc func(dst []Entry, definition, raw []byte) []Entry

// Op is what a write does to its key.
type Op uint8

// The operations a write function may ask for.
const (
	OpNone   Op = iota // leave the item as it is
	OpPut              // the new bytes become the item
	OpDelete           // the item goes; without an item it does nothing
)

// Decide is called under the key's lock with the item as of now (nil: there is none) and says what to do. It must be
// quick, must not call the store and must not keep old. new is kept by the store until the write returns. An error
// ends the write, nothing happens, and the error is returned as it is.
type Decide func(old []byte) (op Op, new []byte, err error)

// Write is one key's part of UpdateMany.
type Write struct {
	Table TableID
	Key   Key
	Blind bool // Decide does not look at old: it gets nil and the value is not read; Commit.Existed still tells
	// Service marks a change of the service's own, a deletion by TTL for instance; Change tells it.
	Service bool
	Size    int // of what Decide puts, when it is known before; 0: Options.Size tells
	Decide  Decide
}

// Commit tells what became of a write. Seq and Time are 0 when nothing was written.
type Commit struct {
	Seq     uint64 // sequence number, unique and rising over all tables
	Time    int64  // Unix ms, never running backwards
	Existed bool   // there was an item before
	OldSize int    // its size by Options.Size, 0 without one
}

// Result is the outcome of one Write of UpdateMany: Err is Decide's error or the store's.
type Result struct {
	Commit Commit
	Err    error
}

// Key is a primary key in order-preserving bytes, made by EncodeString, EncodeNumber and EncodeBinary. Range is nil in
// tables without a sort key.
type Key struct {
	Hash  []byte
	Range []byte
}

// ScanOptions cut a scan. The zero value reads the whole table in hash order.
type ScanOptions struct {
	Segment, Segments int // part Segment of Segments even parts of the hash space; Segments 0 or 1: all
	After             Key // start behind this key, which need not exist; zero: at the start
	AfterBase         Key // ScanIndex: behind the entry of this item under After; zero: behind all entries of After
	Limit             int // stop after so many items; 0: no limit. A small limit also reads ahead less
}

// QueryOptions cut a query within one hash key. The zero value reads all its items in ascending order of the sort key.
type QueryOptions struct {
	Lower, Upper                   []byte // encoded sort keys, nil: open end
	LowerExclusive, UpperExclusive bool
	Prefix                         []byte // only sort keys that start with these encoded bytes (begins_with)
	Descending                     bool
	After                          []byte // start behind this sort key in the direction of travel; nil: at the start
	AfterBase                      Key    // QueryIndex: behind the entry of this item under After; zero: all entries of After
	Limit                          int    // as in ScanOptions
}

// Counts are a table's exact item count and the sum of its item sizes by Options.Size.
type Counts struct {
	Items int64
	Bytes int64
}
