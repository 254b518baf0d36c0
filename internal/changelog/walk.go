package changelog

import (
	"context"
	"errors"
	"iter"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
)

// step is an entry on a walk along a chain, and where the group stands behind it.
type step struct {
	*fetched
	state *State
}

// unit is what one load of a walk reads: an entry, or with more than one the footers of a run of them.
type unit struct{ first, last uint64 }

// unitsAhead is how many runs of footers are read at once; single entries go flightMax at a time.
const unitsAhead = 2

// walk yields the entries of r in order, each checked to go on where the one before ended. With sparse few blocks are
// wanted: the footers come from the index as far as it goes.
func (l *Log) walk(ctx context.Context, r Range, sparse bool) iter.Seq2[step, error] {
	return func(yield func(step, error) bool) {
		state, err := l.before(ctx, r)
		if err != nil {
			yield(step{}, err)
			return
		}
		for f, err := range l.unchecked(ctx, r, sparse) {
			if err == nil && state == nil {
				state = begin(f.entry)
			} else if err == nil {
				if state, err = state.next(f.entry); err != nil {
					err = l.damaged(err, entryName(l.dir, r.Group, f.entry.N))
				}
			}
			if !yield(step{f, state}, err) || err != nil {
				return
			}
		}
	}
}

// before returns the state before r.First; nil where r begins with a whole entry before which nothing is kept.
func (l *Log) before(ctx context.Context, r Range) (*State, error) {
	state, err := l.StateAt(ctx, r.Group, r.First-1)
	if errors.Is(err, blob.ErrNotFound) && r.First%wholeEvery == 0 {
		return nil, nil
	}
	return state, err
}

func (l *Log) unchecked(ctx context.Context, r Range, sparse bool) iter.Seq2[*fetched, error] {
	return func(yield func(*fetched, error) bool) {
		last := r.Last
		if last == 0 {
			var err error
			if last, err = l.Tail(ctx, r.Group); err != nil {
				yield(nil, err)
				return
			}
		}
		units := func(context.Context) iter.Seq2[unit, error] { return units(r.First, last, sparse) }
		load := func(ctx context.Context, u unit) ([]*fetched, error) { return l.load(ctx, r.Group, u) }
		window := flightMax
		if sparse {
			window = unitsAhead
		}
		for some, err := range ahead(ctx, window, units, load) {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, f := range some {
				if !yield(f, nil) {
					return
				}
			}
		}
		if r.Poll > 0 && r.Last == 0 {
			l.follow(ctx, r, max(r.First, last+1), yield)
		}
	}
}

// units cuts a range of entries into what is loaded at once.
func units(first, last uint64, sparse bool) iter.Seq2[unit, error] {
	return func(yield func(unit, error) bool) {
		for n := first; n <= last; {
			end := n
			if sparse {
				end = min((n-1)/fan*fan+fan, last)
			}
			if !yield(unit{n, end}, nil) {
				return
			}
			n = end + 1
		}
	}
}

func (l *Log) load(ctx context.Context, group uint32, u unit) ([]*fetched, error) {
	switch u.last + 1 - u.first {
	case 1:
		f, err := l.fetch(ctx, group, u.first)
		return []*fetched{f}, l.missing(err, group, u.first)
	case fan:
		return l.leaf(ctx, group, u.first/fan)
	}
	return l.footers(ctx, group, u.first, u.last)
}

// holeAfter is how many empty polls go by between two looks whether the entry that is waited for was lost: the one behind
// it is there then.
const holeAfter = 8

// follow yields entries from n on as they come, until ctx ends.
func (l *Log) follow(ctx context.Context, r Range, n uint64, yield func(*fetched, error) bool) {
	for misses := 0; ; {
		var wake <-chan struct{}
		if r.Wake != nil {
			wake = r.Wake() // before the look, so that no entry that comes behind it is missed
		}
		f, err := l.fetch(ctx, r.Group, n)
		if errors.Is(err, blob.ErrNotFound) {
			misses++
			if err = l.hole(ctx, r.Group, n, misses, err); err == nil {
				err = pause(ctx, r.Poll, wake)
			}
			if err == nil {
				continue
			}
		}
		if !yield(f, err) || err != nil {
			return
		}
		misses = 0
		n++
	}
}

// hole returns the damage when an entry that is not there has a successor.
func (l *Log) hole(ctx context.Context, group uint32, n uint64, misses int, absent error) error {
	if misses%holeAfter != 0 {
		return nil
	}
	later, err := commit.Exists(ctx, l.bucket, entryName(l.dir, group, n+1))
	if err != nil || !later {
		return err
	}
	if here, err := commit.Exists(ctx, l.bucket, entryName(l.dir, group, n)); err != nil || here { // both came meanwhile
		return err
	}
	return l.missing(absent, group, n)
}

func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
