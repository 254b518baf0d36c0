package changelog

import (
	"context"
	"iter"
	"sort"
)

// Since finds the first entry of a group that was written at a time (µs since 1970, the service's clock) or later, and the
// last entry of all. It is one behind the last when none was, and reads as many footers as halving takes.
func (l *Log) Since(ctx context.Context, group uint32, at int64) (first, last uint64, err error) {
	if last, err = l.Tail(ctx, group); err != nil || at <= 0 {
		return 1, last, err
	}
	n := sort.Search(int(last), func(i int) bool {
		if err != nil {
			return true
		}
		var f *fetched
		if f, err = l.fetch(ctx, group, uint64(i)+1); err != nil {
			err = l.missing(err, group, uint64(i)+1)
			return true
		}
		return f.entry.At >= at
	})
	return uint64(n) + 1, last, err
}

// Entries yields what entries say, in the order of the chain and checked as by Read, without a block being read: footers
// come from the index as far as it goes.
func (l *Log) Entries(ctx context.Context, group uint32, first, last uint64) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		if first > last {
			return
		}
		for s, err := range l.walk(ctx, Range{Group: group, First: max(first, 1), Last: last}, true) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(&Batch{Entry: s.entry, State: s.state}, nil) {
				return
			}
		}
	}
}
