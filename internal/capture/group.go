package capture

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// group carries one chain's shards. Its loop alone touches it; what runs beside hands back functions for the loop to run.
type group struct {
	*process
	n      uint32
	chain  *changelog.Chain // of the append under way, if there is one
	state  *changelog.State // behind the last entry
	build  *changelog.Builder
	reads  context.Context // of all that only reads
	writes context.Context // of appends: it outlives the end by finishMax

	beside  sync.WaitGroup
	done    chan func() error
	stopped bool // answers that still come are dropped

	shards map[string]*shard // those of this life, also closed ones whose children are still looked for
	list   []*shard          // those that the builder has, in the order in which they began
	due    schedule          // those that wait for their next page
	over   map[string]bool   // every shard that the log had in this life: none of them begins again

	queue     []*changelog.Draft // cut, and not in the log; the first is being put if appending
	appending bool
	since     time.Time // when the draft was touched first; zero when it is not
	cutAt     time.Time // when the last draft with records was cut
	reading   int       // pages that are on their way
	mark      bool      // a mark about a tip is due by itself
	seen      seen
	line      []byte // memory for one

	waiting  []feed.Shard    // listed, ours, and not begun: parents are not drained
	settled  map[string]bool // parents that no chain has and that hold nothing back, as the last list of all showed
	unsure   bool            // about a parent that only a list of all shows to be there or not
	listedAt time.Time
	// complete is up to when nothing was missing of shards that are not known yet: the last list of all in this life,
	// or in another as far as the log tells; 0 before the log's beginning.
	complete int64
	// tails is how far the chains of all groups were known behind the last list of all, heard how far before it was asked for;
	// nil of one group.
	tails, heard []uint64
	orphans      map[string]*orphan // of ours, those that are disputed
	disputes     int                // lists in a row that showed some of any group
	// tellListed: that is worth an entry, also of a group that has no shards: what is found after a downtime is judged by it.
	tellListed bool
	listing    bool
	listAt     time.Time // when to list all shards again
	listed     bool      // that was done once
	refused    int       // listings in a row that were older than the log
	lost       []*shard  // gone, and still to be told
	missing    int       // shards that the service said once or twice are not there
	doubted    int64     // what Metrics.Unsure has of this group
	telling    bool      // a gap that ends shards is on its way into the log; until it is there no list shows what begins behind it
	children   []*shard  // closed ones whose children are looked for
	asking     int       // of them, at once
}

const (
	// queueMax is how many drafts wait, the one that is being put included, before no page is begun.
	queueMax = 2
	// asksMax is of how many shards the children are asked for at once: an account has 10 such calls a second, and where
	// ShardFilter is not known each answer tells of all shards.
	asksMax = 4
	// finishMax is how long what was read may take into the log after the end: a process has about 10 s after SIGTERM.
	finishMax = 8 * time.Second
)

// carry opens a group's chain, takes it over if it was another's, and runs its loop.
func (p *process) carry(ctx context.Context, n uint32) error {
	g := &group{process: p, n: n, shards: map[string]*shard{}, over: map[string]bool{}, settled: map[string]bool{}, done: make(chan func() error)}
	writes, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		defer cancel()
		_ = pause(writes, finishMax)
	})()
	g.writes = writes
	if err := g.take(ctx); err != nil {
		return err
	}
	reads, stop := context.WithCancel(ctx)
	defer stop()
	g.reads = reads
	err := g.restore()
	if err == nil {
		err = g.loop(ctx)
	}
	g.stopped = true
	stop()
	go func() { g.beside.Wait(); close(g.done) }()
	for done := range g.done {
		_ = done() // gives its buffer back
	}
	for _, s := range g.shards {
		p.o.Metrics.forget(s.ID)
	}
	p.o.Metrics.Unsure.Add(-g.doubted)
	plantedKeep(p.o.Writer, g.shards)
	return err
}

// take opens the chain, and shuts out whoever wrote it before.
func (g *group) take(ctx context.Context) error {
	err := g.insist(ctx, g.name("chain"), func() (err error) {
		g.chain, err = g.log.Chain(ctx, g.n, g.o.Writer, g.o.Chain)
		return err
	})
	if err != nil {
		return err
	}
	var fenced *changelog.FencedError
	for s := g.chain.State(); s.N > 0 && s.Writer != g.o.Writer; s = g.chain.State() {
		_, err := g.append(ctx, &changelog.Draft{Kind: changelog.Fence, At: g.now()})
		if errors.As(err, &fenced) && fenced.Entry.Kind != changelog.Fence {
			continue // the one before wrote once more; the fence goes behind that
		}
		if err != nil {
			return err
		}
		g.o.Metrics.Fences.Add(1)
	}
	g.state = g.chain.State()
	return nil
}

// restore makes the builder and the shards from the chain's state.
func (g *group) restore() (err error) {
	if g.build, err = changelog.NewBuilder(g.state, g.o.Builder); err != nil {
		return err
	}
	for _, s := range g.state.Shards() {
		own := g.enter(feed.Shard{ID: s.ID, Parents: s.Parents})
		own.end, own.time, own.tip, own.told, own.closed = s.End, s.Time, s.Tip, s.Tip, s.Closed
		own.restored = true
		plantedStale(g.o.Writer, own)
		own.basis = max(s.Time, s.Tip, s.Begun)
		if s.Closed {
			own.look(len(s.Children) > 0)
			g.children = append(g.children, own)
		} else {
			g.schedule(own, time.Now())
		}
	}
	g.complete = g.state.Listed
	if old := g.state.Stream; g.state.N > 0 && old != g.stream.ARN {
		return g.newStream(old)
	}
	return nil
}

// loop runs until ctx ends, then cuts and appends what is left.
func (g *group) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if ctx.Err() != nil { // also when an answer was first to say so: nothing is begun any more
			return g.finish()
		}
		if err := g.advance(); err != nil {
			return err
		}
		if passed, err := g.passed(); passed || err != nil {
			return err
		}
		starved := g.begin()
		g.doubts()
		timer.Reset(time.Until(g.next(starved)))
		var free chan *buffer
		if starved {
			free = g.pages
		}
		var err error
		select {
		case <-ctx.Done():
		case done := <-g.done:
			err = done()
		case b := <-free:
			g.read(g.pop(), b)
		case <-timer.C:
		}
		if err != nil {
			return err
		}
	}
}

// name is what a pause of the group is for: those of two groups have nothing to do with each other.
func (g *group) name(of string) string { return fmt.Sprintf("%s %d", of, g.n) }

// aside runs work beside the loop, and what it returns in it.
func (g *group) aside(work func() func() error) {
	g.beside.Go(func() { g.done <- work() })
}

// advance does what is due of all but pages: cuts, appends, lists.
func (g *group) advance() error {
	now := time.Now()
	if err := g.tellLost(); err != nil {
		return err
	}
	if g.cutDue(now) {
		g.cut()
	}
	g.put()
	if !g.listing && !g.telling && !now.Before(g.listAt) {
		g.listAll()
	}
	for _, s := range g.children {
		if !s.asking && g.asking < asksMax && !now.Before(s.lookAt) {
			g.listChildren(s)
		}
	}
	return nil
}

// begin starts the pages that are due; starved tells that all buffers are in use.
func (g *group) begin() (starved bool) {
	now := time.Now()
	for len(g.queue) < queueMax && len(g.due) > 0 && !g.due[0].at.After(now) {
		select {
		case b := <-g.pages:
			g.read(g.pop(), b)
		default:
			return true
		}
	}
	return false
}

// next is when something is due. Pages that starve wait for a buffer, not for a time: they are due already.
func (g *group) next(starved bool) time.Time {
	next := time.Now().Add(time.Minute)
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if len(g.due) > 0 && len(g.queue) < queueMax && !starved {
		earlier(g.due[0].at)
	}
	if !g.since.IsZero() && len(g.queue) == 0 {
		earlier(g.ripe())
	}
	if !g.listing && !g.telling {
		earlier(g.listAt)
	}
	for _, s := range g.children {
		if !s.asking && g.asking < asksMax {
			earlier(s.lookAt)
		}
	}
	return next
}

// cutDue tells whether the draft is to become an entry: when it is full, or old enough and nothing is being put.
func (g *group) cutDue(now time.Time) bool {
	if !g.build.Touched() {
		g.since = time.Time{}
		return (g.mark || g.tellListed) && len(g.queue) == 0
	}
	if g.since.IsZero() {
		g.since = now
	}
	return g.build.Full() || g.build.Bytes() >= g.o.SegmentBytes || len(g.queue) == 0 && !now.Before(g.ripe())
}

// ripe is when a draft that was touched becomes an entry, if nothing is being put. Records wait for others that may be
// gathered with them: not after a rest, nor when none will be asked for within that time.
func (g *group) ripe() time.Time {
	if g.build.Bytes() == 0 {
		return g.since.Add(g.o.SegmentEvery)
	}
	at := later(g.since, g.cutAt.Add(g.o.SegmentEvery))
	if g.reading == 0 && (len(g.due) == 0 || g.due[0].at.After(at)) {
		return g.since
	}
	return at
}

// cut makes the draft the next in the queue. It tells with it which shards stand at their open end.
func (g *group) cut() {
	for _, s := range g.list {
		if s.tip-s.told >= tipStep || g.mark && s.tip > s.told {
			if err := g.build.Tip(s.ID, s.tip); err == nil {
				s.told = s.tip
			}
		}
	}
	g.mark = false
	if g.build.Bytes() > 0 {
		g.cutAt = time.Now()
	}
	if g.build.Touched() || g.tellListed {
		g.enqueue(g.build.Cut())
	}
	g.tellListed = false
	g.since = time.Time{}
	g.tidy()
}

func (g *group) enqueue(d *changelog.Draft) {
	d.Stream, d.At, d.Listed, d.Seen = g.stream.ARN, g.now(), g.complete, g.heard
	for _, o := range g.orphans {
		if o.draft == nil {
			o.draft = d
		}
	}
	g.queue = append(g.queue, d)
}

// tidy takes out what the builder has finished.
func (g *group) tidy() {
	kept := g.list[:0]
	for _, s := range g.list {
		if _, has := g.build.Shard(s.ID); has {
			kept = append(kept, s)
		} else {
			g.o.Metrics.forget(s.ID)
		}
	}
	clear(g.list[len(kept):])
	g.list = kept
}

// put starts to append the first draft, if none is under way.
func (g *group) put() {
	if g.appending || len(g.queue) == 0 {
		return
	}
	g.appending = true
	draft := g.queue[0]
	g.aside(func() func() error {
		e, err := g.append(g.writes, draft)
		return func() error {
			g.appending = false
			if err != nil || g.stopped {
				return err
			}
			for _, o := range g.orphans {
				if o.draft == draft {
					o.entry = e.N
				}
			}
			g.queue[0] = nil
			g.queue = g.queue[1:]
			return g.appended(e)
		}
	})
}

// append appends a draft, as often as it takes while nothing was sent.
func (g *group) append(ctx context.Context, d *changelog.Draft) (*changelog.Entry, error) {
	for failures := 1; ; failures++ {
		e, err := g.chain.Append(ctx, d)
		var fenced *changelog.FencedError
		if errors.As(err, &fenced) && fenced.Entry.Kind == changelog.Compacted && ctx.Err() == nil {
			continue // somebody healed a gap: that moves no shard, and ours goes behind it
		}
		if err == nil || ctx.Err() != nil || !fault.Retryable(err) || fault.KindOf(err) == fault.Unknown {
			return e, err
		}
		g.o.Metrics.Puts.Add(1)
		if err := pause(ctx, backoff(ctx, g.name("append"), failures)); err != nil {
			return nil, err
		}
	}
}

// appended counts an entry: from now on, and not before, its records are captured.
func (g *group) appended(e *changelog.Entry) error {
	g.state = g.chain.State()
	m := g.o.Metrics
	m.Entries.Add(1)
	m.Records.Add(int64(e.Records()))
	m.Bytes.Add(e.Size)
	m.Progress.Store(g.now())
	for i := range e.Shards {
		if s := &e.Shards[i]; s.Records > 0 && !s.Closed {
			m.setLag(s.ID, time.Duration(g.now()-s.Time)*time.Microsecond)
		}
	}
	if g.o.OnEntry != nil {
		g.o.OnEntry(e)
	}
	if e.Kind == changelog.Gap {
		if len(e.Gap.Gone) > 0 || e.Gap.Stream != "" {
			g.telling, g.listAt = false, time.Now() // lists lack what the log had, and could not be used before
		}
		return g.toldGap(e)
	}
	return nil
}

// finish cuts what was read and appends it. What is asked for and not answered yet is left.
func (g *group) finish() error {
	g.cut()
	for len(g.queue) > 0 {
		g.put()
		if err := (<-g.done)(); err != nil {
			return fmt.Errorf("append what was read before the end: %w", err)
		}
	}
	return nil
}

// passed tells whether Until has passed for the group, and all that it read is in the log.
func (g *group) passed() (bool, error) {
	if g.o.Until.IsZero() || !g.listed || len(g.waiting)+len(g.orphans)+len(g.queue) > 0 || g.build.Touched() {
		return false, nil
	}
	return g.state.Passed(g.o.Until.UnixMicro()), nil
}

// schedule is a heap of shards by when their next page is due.
type schedule []*shard

func (q schedule) Len() int { return len(q) }
func (q schedule) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].ID < q[j].ID // so that a history is the same each time
}
func (q schedule) Swap(i, j int) { q[i], q[j] = q[j], q[i]; q[i].index, q[j].index = i, j }
func (q *schedule) Push(x any) {
	s := x.(*shard)
	s.index = len(*q)
	*q = append(*q, s)
}
func (q *schedule) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	s.index = -1
	return s
}

// schedule says when a shard's next page is due.
func (g *group) schedule(s *shard, at time.Time) {
	s.at = at
	if s.index >= 0 {
		heap.Fix(&g.due, s.index)
	} else {
		heap.Push(&g.due, s)
	}
}

// unschedule takes a shard out.
func (g *group) unschedule(s *shard) {
	if s.index >= 0 {
		heap.Remove(&g.due, s.index)
	}
}

func (g *group) pop() *shard { return heap.Pop(&g.due).(*shard) }
