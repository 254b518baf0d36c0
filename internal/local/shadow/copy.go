package shadow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/local/store"
	"dynaferry/internal/local/upstream"
)

// shadow is one table that is followed. work is held by whoever reads for it or writes it; what others may see is told.
type shadow struct {
	keeper *Keeper
	id     store.TableID
	form   Form
	trust  upstream.Trust
	stream *upstream.Stream
	ctx    context.Context // ends when it is not followed any more
	stop   context.CancelFunc

	work     sync.Mutex
	state    state
	trouble  error
	again    time.Time // not asked before then
	progress bool      // at the beginning, in the last round
	looked   time.Time // at the upstream's table
	noted    time.Time
	kept     map[string]upstream.Position // as the book has them, by shard
	reached  int64                        // time of the latest record put, Unix ms

	told Status // under keeper.mu
}

func newShadow(k *Keeper, id store.TableID, st state, positions []upstream.Position, form Form) *shadow {
	c := &shadow{keeper: k, id: id, form: form, state: st, kept: map[string]upstream.Position{}}
	ctx, cancel := context.WithCancelCause(context.Background())
	c.ctx, c.stop = ctx, func() { cancel(errEnded) }
	for i := range positions {
		if st.SinceMs != 0 { // else it has passed no more than it says itself
			positions[i].PassedMs = max(positions[i].PassedMs, st.PassedMs)
		}
		c.kept[positions[i].Shard] = positions[i]
		c.reached = max(c.reached, positions[i].PassedMs)
	}
	c.trust = upstream.TrustOf(st.Source.ARN)
	if k.opts.Lag > 0 {
		c.trust.Lag = k.opts.Lag
	}
	c.stream = k.opts.Client.Follow(st.Source.Stream, positions, c.trust, k.opts.Wall)
	c.told = c.status()
	return c
}

func (c *shadow) alive() bool  { return c.state.Gap == "" && c.ctx.Err() == nil }
func (c *shadow) joined() bool { return c.alive() && c.state.SinceMs != 0 }

// passedMs is what the copy lets the clock pass.
func (c *shadow) passedMs() int64 { return max(c.stream.PassedMs(), c.state.PassedMs) }

func (c *shadow) status() Status {
	s := Status{Source: c.state.Source, Scanned: c.state.Scanned, SinceMs: c.state.SinceMs, Lag: c.trust.Lag, Trouble: c.trouble}
	if c.state.SinceMs != 0 {
		s.PassedMs = c.keeper.opts.Clock.pinned.Load()
	}
	if c.state.Gap != "" {
		s.Gap = fault.New(fault.Conflict, "%s", c.state.Gap)
	}
	return s
}

// tell shows others where the copy stands; work is held.
func (c *shadow) tell() {
	s := c.status()
	c.keeper.mu.Lock()
	c.told = s
	c.keeper.mu.Unlock()
}

// read asks the upstream for what is new, and now and then whether the table is the same. What goes wrong is kept.
func (c *shadow) read(ctx context.Context) {
	c.progress = false
	now := c.keeper.opts.Wall()
	if !c.alive() || now.Before(c.again) {
		return
	}
	c.trouble = nil
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	if now.Sub(c.looked) >= lookEvery {
		t, err := c.keeper.opts.Client.Describe(ctx, c.state.Source.Table)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			c.fails(&upstream.Gap{Reason: "the upstream's table is gone"})
			return
		case err != nil:
			c.fails(err)
			return
		}
		c.looked = now
		if c.check(t) != nil {
			return
		}
	}
	if err := c.stream.Read(ctx); err != nil {
		c.fails(err)
	}
}

// fails keeps an error: a gap for good, the store not answering not at all.
func (c *shadow) fails(err error) {
	var gap *upstream.Gap
	switch {
	case errors.As(err, &gap):
		c.end(gap.Error())
	case c.ctx.Err() != nil:
	default:
		c.trouble, c.again = err, c.keeper.opts.Wall().Add(troublePause)
	}
}

// end notes a gap.
func (c *shadow) end(reason string) {
	c.state.Gap = fmt.Sprintf("since %s: %s", c.keeper.opts.Wall().UTC().Format(time.RFC3339), reason)
	c.trouble = c.keeper.book.put(c.id, entryState, &c.state) // if this fails the store has stopped, and the gap is found again
}

// check ends the copy when t is not the table that is followed, or its stream another one. It returns the gap.
func (c *shadow) check(t *upstream.Table) error {
	if c.state.Gap != "" {
		return c.status().Gap
	}
	s := &c.state.Source
	switch {
	case t.CreatedMs() != s.CreatedMs, t.TableId != s.TableID:
		c.end("the upstream's table was deleted and made again")
	case t.LatestStreamArn != s.Stream:
		c.end("the table's stream was turned off and another one turned on: " + t.LatestStreamArn)
	case !t.StreamSpecification.StreamEnabled:
		c.end("the table's stream was turned off")
	default:
		return nil
	}
	return c.status().Gap
}

// note keeps what is passed.
func (c *shadow) note() error {
	c.work.Lock()
	defer c.work.Unlock()
	return c.noteHeld()
}

// noteHeld is note for who holds work.
func (c *shadow) noteHeld() error {
	if !c.alive() {
		return nil
	}
	c.noted = c.keeper.opts.Wall()
	if passed := c.passedMs(); c.joined() {
		c.state.PassedMs = passed
	}
	writes := make([]store.Write, 0, writesMax)
	w, err := c.keeper.book.write(c.id, entryState, &c.state)
	if err != nil {
		return err
	}
	writes = append(writes, w)
	for _, shard := range c.stream.Shards() {
		p := shard.Behind(0)
		if kept, ok := c.kept[p.Shard]; ok && kept.After == p.After && kept.Ended == p.Ended {
			continue // what it has passed since is in the state
		}
		if w, err = c.keeper.book.write(c.id, entryShard+p.Shard, p); err != nil {
			return err
		}
		c.kept[p.Shard] = p
		if writes = append(writes, w); len(writes) == writesMax {
			if err := commit(c.keeper.store, writes); err != nil {
				return err
			}
			writes = writes[:0]
		}
	}
	if len(writes) == 0 {
		return nil
	}
	return commit(c.keeper.store, writes)
}

// writesMax is the store's bound on one frame.
const writesMax = 256

// put puts all unread records up to a time into the copy, run by run, each in one commit with the position behind it.
func (c *shadow) put(untilMs int64) (more bool, err error) {
	for _, shard := range c.stream.Shards() {
		for {
			run := shard.Run(untilMs, writesMax-1)
			if len(run) == 0 {
				break
			}
			writes, err := c.writes(run)
			if err != nil {
				c.end(err.Error())
				return more, nil
			}
			p := shard.Behind(len(run))
			position, err := c.keeper.book.write(c.id, entryShard+p.Shard, p)
			if err != nil {
				return more, err
			}
			if err := commit(c.keeper.store, append(writes, position)); err != nil {
				return more, err
			}
			c.kept[p.Shard], c.reached = p, max(c.reached, run[len(run)-1].Ms)
			shard.Advance(len(run))
			more = true
		}
	}
	return more, nil
}

// writes are the records of one time as writes of distinct keys: the last of a key counts.
func (c *shadow) writes(run []upstream.Record) ([]store.Write, error) {
	list := make([]store.Write, 0, writesMax)
	seen := map[string]int{}
	for i := range run {
		r := &run[i]
		raw, op := r.New, store.OpPut
		if raw == nil {
			raw, op = r.Keys, store.OpDelete
		}
		key, value, err := c.form(raw, op == store.OpDelete)
		if err != nil {
			return nil, fmt.Errorf("record %s of the stream: %w", r.Seq, err)
		}
		w := store.Write{Table: c.id, Key: key, Blind: true, Service: r.Service,
			Decide: func([]byte) (store.Op, []byte, error) { return op, value, nil }}
		name := string(key.Hash) + "\x00" + string(key.Range)
		if at, twice := seen[name]; twice {
			list[at] = w
			continue
		}
		seen[name] = len(list)
		list = append(list, w)
	}
	return list, nil
}

// begin goes on with the beginning of the copy, if it has not joined the clock yet: what the streams told, then a page of the
// scan, then the time from which it is exact.
func (c *shadow) begin(ctx context.Context) error {
	if !c.alive() || c.joined() {
		return nil
	}
	if c.noted.IsZero() && len(c.stream.Shards()) > 0 {
		// Before any is read: a shard that is not in the book and whose parent is gone is a gap to the next process.
		if err := c.noteHeld(); err != nil {
			return err
		}
	}
	put, err := c.put(math.MaxInt64)
	if c.progress = put; err != nil {
		return err
	}
	if c.state.ScanEndMs == 0 {
		return c.scan(ctx)
	}
	passed := c.stream.PassedMs()
	if passed < max(c.state.ScanEndMs, c.keeper.opts.Clock.pinned.Load()-joinBehind.Milliseconds()) {
		return nil
	}
	// Before this time there are changes that were put later than they were made.
	next := c.state
	next.SinceMs = max(c.state.ScanEndMs, c.reached, c.keeper.store.LastTime().UnixMilli()) + 1
	next.PassedMs = passed
	if err := c.keeper.book.put(c.id, entryState, &next); err != nil {
		return err
	}
	c.state, c.progress = next, true
	return nil
}
