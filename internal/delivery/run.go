package delivery

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
	"dynaferry/internal/planted"
)

// Run delivers a log into dst until ctx ends, which is no error, or Options say so. It goes on where the epochs of
// Settings.Name end: first it finishes the last one if need be. Any number of processes may run the same delivery.
//
// What is unavailable is tried again for ever. Errors: GapError; of kind User for settings; Conflict where the epochs are of
// another log, form or kind of rows, or where a file of a stranger stands; Corrupt where log or epochs are damaged; others
// that are not retryable.
func Run(ctx context.Context, log *changelog.Log, dst blob.Bucket, s Settings, o Options) error {
	o = o.filled()
	s, _, err := s.filled()
	if err != nil {
		return err
	}
	if _, err := s.pinned(); err != nil {
		return err
	}
	transform, err := o.transform(s.Steps)
	if err != nil {
		return err
	}
	r := &runner{log: log, set: s, o: &o, l: ledgerOf(dst, o.Dir, &s), impure: transform != nil && !transform.Pure()}
	if o.Once {
		if r.tails, err = r.logTails(ctx); err != nil {
			return err
		}
	}
	for pause := time.Second / 8; ; pause = min(2*pause, o.Retry) {
		before := o.Progress.Epochs.Load()
		err := r.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil || !again(err) {
			return err
		}
		o.Progress.retried(err)
		if o.Progress.Epochs.Load() > before {
			pause = time.Second / 8
		}
		if wait(ctx, jitter(ctx, pause)) != nil {
			return nil
		}
	}
}

// again tells whether another session may get further. An epoch whose put has an unknown outcome is found, or put again under
// the same number: whatever stands there then is the epoch.
func again(err error) bool {
	return fault.Retryable(err) || fault.KindOf(err) == fault.Unknown || errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrChanged)
}

// jitter draws a pause of at most most, from where write ids come, so that a simulated history can be run again.
func jitter(ctx context.Context, most time.Duration) time.Duration {
	id := commit.NewID(ctx, "pause of a delivery")
	return time.Duration(binary.LittleEndian.Uint64(id[:]) % uint64(most))
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// runner is one process's part of a delivery.
type runner struct {
	log    *changelog.Log
	set    Settings
	o      *Options
	l      *ledger
	impure bool
	tails  []uint64 // of Once

	last     *Epoch
	schema   uint64 // what the next epoch begins with
	pend     *pending
	proposed time.Time // when the last epoch was; zero before the first
}

func (r *runner) logTails(ctx context.Context) ([]uint64, error) {
	tails := make([]uint64, r.log.Groups)
	for g := range tails {
		var err error
		if tails[g], err = r.log.Tail(ctx, uint32(g)); err != nil {
			return nil, err
		}
	}
	return tails, nil
}

// session runs from what is durable until something goes wrong or the end is reached.
func (r *runner) session(ctx context.Context) error {
	if err := r.resume(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	ended := errors.New("the end is reached")
	news := make(chan noted, newsAhead)
	for g := range r.log.Groups {
		group.Go(func() error { return watch(ctx, r.log, g, r.pend.ends[g]+1, r.o, news) })
	}
	group.Go(func() error {
		if err := r.follow(ctx, news); err != nil {
			return err
		}
		return ended // stops the watchers
	})
	if err := group.Wait(); err != ended {
		return err
	}
	return nil
}

// resume finds where the epochs end, and finishes the last one.
func (r *runner) resume(ctx context.Context) (err error) {
	if r.last, err = r.l.last(ctx); err != nil {
		return err
	}
	if r.last == nil && r.o.Begin != nil {
		if r.last, err = r.decide(ctx); err != nil {
			return err
		}
	}
	r.schema = 0
	r.pend = &pending{groups: make([][]noted, r.log.Groups), states: make([]*changelog.State, r.log.Groups), ends: make([]uint64, r.log.Groups)}
	if r.last != nil {
		if err := r.fits(r.last); err != nil {
			return err
		}
		copy(r.pend.ends, r.last.Ends)
		r.pend.begin = r.last.Begin
		done, err := r.l.done(ctx, r.last.N)
		if err != nil {
			return err
		}
		if done == nil && planted.Is(planted.EpochEarly) {
			done = &Done{Schema: r.last.Schema}
		}
		if done == nil {
			if done, err = r.finish(ctx, r.last); err != nil {
				return err
			}
		}
		r.schema = done.Schema
	}
	for g := range r.pend.states {
		if r.pend.states[g], err = r.log.StateAt(ctx, uint32(g), r.pend.ends[g]); err != nil {
			return fmt.Errorf("where the log stands behind epoch %d: %w", r.number()-1, err)
		}
	}
	return nil
}

// number is that of the next epoch.
func (r *runner) number() uint64 {
	if r.last == nil {
		return 1
	}
	return r.last.N + 1
}

func (r *runner) logID() LogID {
	return LogID{Table: r.log.Table, Stream: r.log.Stream, Created: r.log.Created.UTC(), Groups: r.log.Groups}
}

// fits tells whether this run may go on behind an epoch.
func (r *runner) fits(e *Epoch) error {
	at := r.l.place(r.l.epochName(e.N))
	if e.Log != r.logID() {
		return fault.Hint(fault.At(fault.New(fault.Conflict, "what is delivered there is the log of %s of %s, not the one of %s of %s", e.Log.Table,
			e.Log.Created.Format(time.RFC3339), r.log.Table, r.log.Created.Format(time.RFC3339)), at), "deliver into another place, or under another --name")
	}
	if e.Settings.Into != r.set.Into {
		return fault.Hint(fault.At(fault.New(fault.Conflict, "what is delivered there goes into %s, not into %s", e.Settings.Into, r.set.Into), at),
			"go on with %s, or under another --name", e.Settings.Into)
	}
	if e.Settings.Form != r.set.Form || e.Settings.Images != r.set.Images {
		return fault.Hint(fault.At(fault.New(fault.Conflict, "what is delivered there is %s with images %s, not %s with images %s", e.Settings.Form,
			e.Settings.Images, r.set.Form, r.set.Images), at), "go on with --format %s --images %s, or deliver into another place, or under another --name",
			e.Settings.Form, e.Settings.Images)
	}
	return nil
}

// settle is how long the next epoch waits for entries that are read together with the one that it is for.
const settle = time.Millisecond

// follow proposes and finishes epochs as entries come.
func (r *runner) follow(ctx context.Context, news <-chan noted) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		r.take(news)
		if r.until(r.pend.reached()) && r.pend.weighs == 0 {
			return nil
		}
		due := r.due()
		if due <= 0 {
			if err := wait(ctx, settle); err != nil {
				return err
			}
			r.take(news)
			moved, err := r.epoch(ctx)
			if err != nil {
				return err
			}
			if moved {
				continue
			}
			if err := r.blocked(); err != nil {
				return err
			}
		}
		timer.Reset(max(due, 0))
		var ring <-chan time.Time
		if r.pend.weighs > 0 {
			ring = timer.C
		}
		select {
		case e := <-news:
			r.pend.add(e)
			r.seen(e)
		case <-ring:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take looks at what has come, as far as an epoch may hold it.
func (r *runner) take(news <-chan noted) {
	for r.pend.bytes < int64(r.o.spans(r.set.BufferBytes))*r.set.BufferBytes {
		select {
		case e := <-news:
			r.pend.add(e)
			r.seen(e)
		default:
			return
		}
	}
}

func (r *runner) seen(e noted) {
	if e.records > 0 {
		raise(&r.o.Progress.Newest, e.newest)
	}
	r.o.Progress.Waiting.Store(r.pend.bytes)
}

// due is how long the next epoch may still wait: not at all after a rest, with a full buffer, or when what is asked for is
// there.
func (r *runner) due() time.Duration {
	if r.pend.weighs == 0 {
		return r.o.Interval
	}
	if r.pend.bytes >= r.set.BufferBytes || r.until(r.pend.known()) {
		return 0
	}
	if r.tails != nil {
		return r.o.Interval // what else was in the log is still to come
	}
	if r.proposed.IsZero() {
		return 0
	}
	return r.o.Interval - time.Since(r.proposed)
}

// until tells whether the run ends with these states delivered.
func (r *runner) until(states []*changelog.State) bool {
	if r.tails != nil {
		for g, s := range states {
			if s.N < r.tails[g] {
				return false
			}
		}
		return true
	}
	return r.o.Until != nil && r.o.Until(states)
}

// epoch proposes the next epoch and finishes the one that stands. moved is false when a gap is in the way.
func (r *runner) epoch(ctx context.Context) (moved bool, err error) {
	var look error
	spans, ends, gaps := r.pend.cut(r.set.BufferBytes, r.o.spans(r.set.BufferBytes), func(e noted) *GapSeen {
		healed, err := healedBy(ctx, r.log, e.group, e.n)
		if err != nil {
			look = err
			return nil
		}
		if healed == 0 && !r.o.AcceptGaps {
			return nil
		}
		return &GapSeen{Group: e.group, Entry: e.n, Healed: healed, GapNote: *e.gap}
	})
	if look != nil || len(spans) == 0 {
		return false, look
	}
	e := &Epoch{Format: formatVersion, N: r.number(), Log: r.logID(), Settings: r.set, Impure: r.impure, Spans: spans, Ends: ends, Schema: r.schema, Begin: r.pend.begin, Gaps: gaps}
	r.proposed = time.Now()
	stands, won, err := r.l.propose(ctx, e, r.o.Commit)
	if err != nil {
		return false, err
	}
	if planted.Is(planted.OwnCut) {
		stands = e
	} else if !won {
		if err := errors.Join(r.fits(stands), stands.follows(r.last)); err != nil {
			return false, err
		}
	}
	done, err := r.stand(ctx, stands, won)
	if err != nil {
		return false, err
	}
	r.last, r.schema = stands, done.Schema
	r.l.note(ctx, stands.N)
	r.pend.delivered(stands.Ends)
	r.o.Progress.Waiting.Store(r.pend.bytes)
	r.o.Progress.Gaps.Add(int64(len(stands.Gaps)))
	for g, s := range r.pend.states {
		if s != nil && stands.Ends[g] > 0 {
			for _, shard := range s.Shards() {
				raise(&r.o.Progress.Delivered, shard.Time)
			}
		}
	}
	return true, nil
}

// stand finishes an epoch; one that another process decided when that takes too long.
func (r *runner) stand(ctx context.Context, e *Epoch, mine bool) (*Done, error) {
	begun := time.Now()
	for pause := 50 * time.Millisecond; !mine && time.Since(begun) < r.o.Patience; pause = min(2*pause, time.Second) {
		done, err := r.l.done(ctx, e.N)
		if err != nil || done != nil {
			return done, err
		}
		if err := wait(ctx, pause); err != nil {
			return nil, err
		}
	}
	return r.finish(ctx, e)
}

func (r *runner) finish(ctx context.Context, e *Epoch) (*Done, error) {
	done, err := r.l.finishEpoch(ctx, r.log, e, r.o)
	if err == nil {
		r.o.Progress.finished(done)
	}
	return done, err
}

// blocked returns the gap that nothing more can be delivered before.
func (r *runner) blocked() error {
	for _, list := range r.pend.groups {
		if len(list) > 0 && list[0].gap != nil {
			return newGapError(r.log, list[0])
		}
	}
	return nil
}
