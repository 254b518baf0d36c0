package store

import (
	"context"
	"time"

	"dynaferry/internal/fault"
)

func soon() error { return fault.New(fault.Unsupported, "not yet in this build") }

// BuildIndex makes the entries of an index for the items that were there before it was in the table's Settings, and
// returns when they are durable. Writes go on meanwhile. It may be called again, for instance after a crash: what is
// there stays. progress, when not nil, hears how many items have been looked at.
func (s *Store) BuildIndex(ctx context.Context, table TableID, index IndexID, progress func(items int64)) error {
	return soon()
}

// DropIndex takes an index out of the table's Settings and removes its entries.
func (s *Store) DropIndex(table TableID, index IndexID) error { return soon() }

// ScanIndex walks an index, or a segment of it, by the hash of its entries' Hash, then by Range, then by item key.
// Raw is the whole item. NotFound when the table's Settings do not name the index.
func (s *Store) ScanIndex(table TableID, index IndexID, o ScanOptions) *Iterator {
	return &Iterator{err: soon()}
}

// QueryIndex walks the entries of one Hash in the order of their Range, then of the item keys.
func (s *Store) QueryIndex(table TableID, index IndexID, hash []byte, o QueryOptions) *Iterator {
	return &Iterator{err: soon()}
}

// Key returns the key that Next moved to, in an index that of the entry; valid until the next call of Next.
func (it *Iterator) Key() Key { return Key{} }

// BaseKey returns the key of the item that Next moved to.
func (it *Iterator) BaseKey() Key { return Key{} }

// NewStream returns an id for Settings.Stream that was never used before.
func (s *Store) NewStream() StreamID { return 0 }

// LastSeq returns the highest sequence number that readers see: the position of an iterator that begins now.
func (s *Store) LastSeq() uint64 { return 0 }

// Streams lists the streams, oldest first.
func (s *Store) Streams() []Stream { return nil }

// Shards lists a stream's shards, oldest first: the open ones, and the closed ones while they can hold records.
// NotFound for a stream that is not there or ended more than StreamKeep ago.
func (s *Store) Shards(stream StreamID) ([]Shard, error) { return nil, soon() }

// SplitShard closes a shard and opens two that halve its part of the hash space. Conflict when it is closed already.
func (s *Store) SplitShard(stream StreamID, shard uint32) error { return soon() }

// RollShard closes a shard and opens a successor of the same part. Conflict when it is closed already.
func (s *Store) RollShard(stream StreamID, shard uint32) error { return soon() }

// ReadShard reads changes with sequence numbers above after, at most limit (at least 1) and about so many bytes of
// images (0: no bound, and one change is always read). after 0 begins at the oldest that is kept; with any other, an
// error that wraps ErrTrimmed says that changes behind it are gone.
func (s *Store) ReadShard(stream StreamID, shard uint32, after uint64, limit, bytes int) (Page, error) {
	return Page{}, soon()
}

// HistoryFrom returns the earliest time that StateAt and Changes reach; ErrTooOld when the table keeps no history.
func (s *Store) HistoryFrom(table TableID) (time.Time, error) { return time.Time{}, soon() }

// StateAt walks the table as it was when t had passed: every item by its last change at or before t (of a dropped
// table at most its last state). It reads the log from t on before it returns, and holds what it reads: Close it soon.
func (s *Store) StateAt(table TableID, t time.Time, o ScanOptions) *Iterator {
	return &Iterator{err: soon()}
}

// Changes calls each for every key that changed in (from, to], in hash order, with the item before the first and after
// the last of these changes, whose Seq, Time and Service it tells; both are nil for one that came and went. It stops
// at the first error of each and returns it.
func (s *Store) Changes(ctx context.Context, table TableID, from, to time.Time, each func(Change) error) error {
	return soon()
}
