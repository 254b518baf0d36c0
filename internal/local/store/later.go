package store

import (
	"context"
	"time"

	"dynaferry/internal/fault"
)

func soon() error { return fault.New(fault.Unsupported, "not yet in this build") }

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
