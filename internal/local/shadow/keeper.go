package shadow

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/fault"
	"dynaferry/internal/local/store"
	"dynaferry/internal/local/upstream"
)

// Form makes of an item, or of its key alone, what the store keeps: the key, and the item in normal form.
type Form func(raw []byte, keyOnly bool) (store.Key, []byte, error)

// Options say what is followed and by which clocks.
type Options struct {
	Client *upstream.Client
	Clock  *Clock           // the store's
	Wall   func() time.Time // nil: time.Now
	Lag    time.Duration    // how late the upstream may show a record; 0: by what is known of it
	Pause  time.Duration    // between two looks at streams that had nothing; 0: 250 ms
}

// The rhythms of following.
const (
	idlePause    = 250 * time.Millisecond // AWS allows 5 requests a second and shard
	troublePause = time.Second            // of one copy
	joinBehind   = time.Minute            // a copy that is further behind the clock does not join yet
	lookEvery    = 5 * time.Second        // whether a table is still the one that is followed
	noteEvery    = 10 * time.Second       // of what is passed, when nothing else is written
)

// Keeper follows tables. Its methods may be called concurrently.
type Keeper struct {
	store *store.Store
	book  *book
	opts  Options

	mu     sync.Mutex
	moved  *sync.Cond // something that Wait waits for may have changed
	copies map[store.TableID]*shadow
	failed error // the store's: nothing goes on
	wake   chan struct{}
}

// Open returns a keeper of the store's copies; Resume says which there are.
func Open(s *store.Store, o Options) (*Keeper, error) {
	if o.Wall == nil {
		o.Wall = time.Now
	}
	o.Pause = cmp.Or(o.Pause, idlePause)
	b, err := openBook(s)
	if err != nil {
		return nil, err
	}
	k := &Keeper{store: s, book: b, opts: o, copies: map[store.TableID]*shadow{}, wake: make(chan struct{}, 1)}
	k.moved = sync.NewCond(&k.mu)
	return k, nil
}

// Begin follows a table into id, an empty table of the store with history. It is durable on return.
func (k *Keeper) Begin(id store.TableID, source Source, form Form) error {
	st := state{Source: source}
	if err := k.book.put(id, entryState, &st); err != nil {
		return err
	}
	k.take(newShadow(k, id, st, nil, form))
	return nil
}

// Resume goes on with a table that an earlier keeper followed; ok is false when it did not.
func (k *Keeper) Resume(id store.TableID, form Form) (ok bool, err error) {
	st, positions, ok, err := k.book.load(id)
	if !ok || err != nil {
		return false, err
	}
	k.take(newShadow(k, id, st, positions, form))
	return true, nil
}

// Resumed tells that all copies are known: the clock goes by them from now on.
func (k *Keeper) Resumed() {
	copies := k.all()
	k.advance(copies)
	for _, c := range copies {
		c.tell()
	}
}

func (k *Keeper) take(c *shadow) {
	k.mu.Lock()
	k.copies[c.id] = c
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// End stops following a table and forgets where it stood. The copy itself is the caller's.
func (k *Keeper) End(id store.TableID) error {
	k.mu.Lock()
	c := k.copies[id]
	delete(k.copies, id)
	k.moved.Broadcast()
	k.mu.Unlock()
	if c == nil {
		return nil
	}
	c.stop()
	c.work.Lock() // until what was under way is written
	defer c.work.Unlock()
	return k.book.drop(id)
}

// all are the copies, in the order of their ids.
func (k *Keeper) all() []*shadow {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.SortedFunc(maps.Values(k.copies), func(a, b *shadow) int { return cmp.Compare(a.id, b.id) })
}

// Status is where a copy stands.
type Status struct {
	Source   Source
	Scanned  int64         // items that the scan at the beginning has brought so far
	SinceMs  int64         // the state before this time, Unix ms, is the first that is exact; 0: not known yet
	PassedMs int64         // and that before this one the last
	Lag      time.Duration // how late the upstream may show a write
	Gap      error         // why there will never be more
	Trouble  error         // why nothing goes on at the moment
}

// Ready tells whether there is a time that the copy can answer for.
func (s *Status) Ready() bool { return s.Gap == nil && s.SinceMs != 0 && s.PassedMs >= s.SinceMs }

// Status tells where the copy in id stands; ok is false when nothing is followed there.
func (k *Keeper) Status(id store.TableID) (s Status, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.copies[id]
	if c == nil {
		return s, false
	}
	return c.told, true
}

// Wait waits until the copy can answer for the state before ms, and for some state at all: then that stays, over a
// crash too. The error is that of a gap, or of ctx.
func (k *Keeper) Wait(ctx context.Context, id store.TableID, ms int64) error {
	stop := context.AfterFunc(ctx, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.moved.Broadcast()
	})
	defer stop()
	k.mu.Lock()
	var c *shadow
	for {
		c = k.copies[id]
		switch {
		case c == nil:
			k.mu.Unlock()
			return fault.New(fault.NotFound, "the table is not followed any more")
		case c.told.Gap != nil:
			k.mu.Unlock()
			return c.told.Gap
		case k.failed != nil:
			k.mu.Unlock()
			return k.failed
		case ctx.Err() != nil:
			k.mu.Unlock()
			return ctx.Err()
		}
		if c.told.Ready() && c.told.PassedMs >= ms {
			break
		}
		k.moved.Wait()
	}
	k.mu.Unlock()
	return c.note() // or a later process, which knows less, could put a change before a time that was answered for
}

// Check compares a copy with what the upstream tells of its table now, and ends it when that is another one. It returns the gap.
func (k *Keeper) Check(id store.TableID, t *upstream.Table) error {
	k.mu.Lock()
	c := k.copies[id]
	k.mu.Unlock()
	if c == nil {
		return nil
	}
	c.work.Lock()
	defer c.work.Unlock()
	return c.check(t)
}

// Run follows until ctx ends. The error is the store's; trouble with the upstream is told by Status and tried again.
func (k *Keeper) Run(ctx context.Context) error {
	defer func() {
		for _, c := range k.all() {
			_ = c.note() // best: the next process knows as much as this one
		}
	}()
	for ctx.Err() == nil {
		progress, err := k.round(ctx)
		if err != nil {
			k.mu.Lock()
			k.failed = err
			k.moved.Broadcast()
			k.mu.Unlock()
			return err
		}
		if !progress {
			k.idle(ctx)
		}
	}
	return nil
}

func (k *Keeper) idle(ctx context.Context) {
	timer := time.NewTimer(k.opts.Pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-k.wake:
	case <-timer.C:
	}
}

// round reads once of everything that is followed and puts what can be put.
func (k *Keeper) round(ctx context.Context) (progress bool, err error) {
	copies := k.all()
	for _, c := range copies {
		c.work.Lock()
	}
	defer func() {
		for _, c := range copies {
			c.tell()
			c.work.Unlock()
		}
		k.mu.Lock()
		k.moved.Broadcast()
		k.mu.Unlock()
	}()
	var group errgroup.Group
	for _, c := range copies {
		group.Go(func() error { c.read(ctx); return nil })
	}
	_ = group.Wait() // nothing fails but for the copies themselves
	for _, c := range copies {
		if err := c.begin(ctx); err != nil {
			return false, err
		}
	}
	for more := true; more; {
		k.advance(copies)
		if more, err = k.apply(copies); err != nil {
			return false, err
		}
		progress = progress || more
	}
	for _, c := range copies {
		progress = progress || c.progress
		if c.alive() && k.opts.Wall().Sub(c.noted) >= noteEvery {
			if err := c.noteHeld(); err != nil {
				return false, err
			}
		}
	}
	return progress, nil
}

// advance moves the clock to what all copies that have begun have passed.
func (k *Keeper) advance(copies []*shadow) {
	passed := int64(0)
	for _, c := range copies {
		if c.joined() && (passed == 0 || c.passedMs() < passed) {
			passed = c.passedMs()
		}
	}
	if before := k.opts.Clock.pinned.Load(); passed == 0 || passed > before {
		k.opts.Clock.pinned.Store(passed) // 0: the wall's
	}
}

// apply puts the records of the clock's time, of all copies.
func (k *Keeper) apply(copies []*shadow) (more bool, err error) {
	at := k.opts.Clock.pinned.Load()
	for _, c := range copies {
		if !c.joined() {
			continue
		}
		put, err := c.put(at)
		if err != nil {
			return more, err
		}
		more = more || put
	}
	return more, nil
}

// errEnded is the cause of a copy's context when it is not followed any more.
var errEnded = errors.New("the table is not followed any more")
