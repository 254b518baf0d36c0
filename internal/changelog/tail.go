package changelog

import (
	"context"

	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

// fan is how many objects of the level below an index object is of; level 0 are entries.
const fan = 256

// levelsMax is above what 12 digits can number.
const levelsMax = 6

// Tail finds the last entry of a group, 0 when there is none, by looking whether names are there: from the highest level
// of the index down, in each by halving. An index object that is missing costs some calls more and misleads nobody:
// what was found is there, and what comes behind it is not.
func (l *Log) Tail(ctx context.Context, group uint32) (uint64, error) {
	n, _, err := l.tail(ctx, group)
	return n, err
}

// tail also returns how many index objects each level has, at least.
func (l *Log) tail(ctx context.Context, group uint32) (n uint64, counts [levelsMax + 1]uint64, err error) {
	if group >= l.Groups {
		return 0, counts, fault.New(fault.User, "group %d of a log of %d groups, which are numbered from 0", group, l.Groups)
	}
	at := func(level int) func(uint64) (bool, error) {
		return func(count uint64) (bool, error) {
			if level == 0 {
				return commit.Exists(ctx, l.bucket, entryName(l.dir, group, count))
			}
			return commit.Exists(ctx, l.bucket, indexName(l.dir, group, level, count-1))
		}
	}
	top := 0
	for top < levelsMax {
		if has, err := at(top + 1)(1); err != nil {
			return 0, counts, err
		} else if !has {
			break
		}
		top++
	}
	for level := top; level >= 0; level-- {
		if level == top && top > 0 {
			n, err = commit.Last(1, 1, at(level))
		} else {
			n, err = commit.Last(n*fan, fan, at(level))
		}
		if err != nil {
			return 0, counts, err
		}
		counts[level] = n
	}
	return n, counts, nil
}

// StateAt is where a group stands behind entry n, read from at most wholeEvery footers.
func (l *Log) StateAt(ctx context.Context, group uint32, n uint64) (*State, error) {
	if n == 0 {
		return newState(group), nil
	}
	all, err := l.footers(ctx, group, max(n-n%wholeEvery, 1), n)
	if err != nil {
		return nil, err
	}
	s := begin(all[0].entry)
	for _, f := range all[1:] {
		if s, err = s.next(f.entry); err != nil {
			return nil, l.damaged(err, entryName(l.dir, group, f.entry.N))
		}
	}
	return s, nil
}
