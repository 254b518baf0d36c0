package capture

import (
	"cmp"
	"context"
	"slices"
	"time"

	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/planted"
)

const (
	// listEvery is how often all shards are listed: children are asked for when a shard closes, so this only finds what a
	// lagging answer left out.
	listEvery = 5 * time.Minute
	// listAgain is when, after a list that was older than the log.
	listAgain = 10 * time.Second
	// listLag is how much a list may be behind.
	listLag = 2 * time.Minute
)

// listAll asks for all shards of the stream.
func (g *group) listAll() {
	g.listing = true
	drained := !slices.ContainsFunc(g.list, func(s *shard) bool { return !s.closed })
	before := g.tails
	g.aside(func() func() error {
		var asked int64
		var listed []feed.Shard
		open := true
		err := g.insist(g.reads, g.name("shards"), func() error {
			return g.call(g.reads, func(ctx context.Context) (err error) {
				asked = g.now()
				listed, err = g.client.Shards(ctx, g.stream.ARN, "")
				if err == nil && drained {
					var s *feed.Stream
					if s, err = g.client.Describe(ctx, g.stream.ARN); err == nil {
						open = s.Open
					}
				}
				return err
			})
		})
		var rest *others
		if err == nil {
			rest, err = g.others(g.reads)
		}
		return func() error {
			g.listing = false
			if err != nil || g.stopped {
				return g.refuse(err)
			}
			if err := g.all(listed, rest, asked, before); err != nil {
				return err
			}
			return g.ended(open)
		}
	})
}

// refuse passes an error of a list on, unless it is of the end.
func (g *group) refuse(err error) error {
	if g.reads.Err() != nil || g.stopped {
		return nil
	}
	if fault.KindOf(err) == fault.NotFound {
		return fault.Hint(err, "aws dynamodb describe-table --table-name %s --query Table.LatestStreamArn; the table's next stream goes on in the same log", g.stream.Table)
	}
	return err
}

// all takes up what a list of all shards has that the log has not. asked is the time at which it was asked for, before how
// far the chains of all groups were known then.
func (g *group) all(listed []feed.Shard, rest *others, asked int64, before []uint64) error {
	absent, old := g.unlisted(listed)
	if old || rest.newer(listed) {
		g.refused++
		g.listAt = time.Now().Add(min(listAgain<<min(g.refused-1, 5), listEvery))
		return nil
	}
	g.refused, g.listed, g.unsure, g.listAt, g.listedAt = 0, true, false, time.Now().Add(listEvery), time.Now()
	unseen := g.state.Unseen(listed, absent...)
	rest.expect(unseen, listed)
	if err := g.release(rest, listed); err != nil {
		return err
	}
	g.settleParents(unseen, rest)
	disputed := g.claim(unseen, listed, rest)
	if err := g.beginWaiting(rest); err != nil {
		return err
	}
	if len(g.orphans) == 0 {
		g.complete = max(g.complete, asked-listLag.Microseconds())
	}
	g.heard, g.tails = before, rest.tails(g)
	g.tellListed = disputed || g.complete-g.state.Listed >= g.o.TipEvery.Microseconds() || g.awaited(g.state.Listed, g.complete)
	if soon := time.Now().Add(max(g.o.TipEvery, listAgain)); len(g.list) == 0 && soon.Before(g.listAt) {
		g.listAt = soon // nothing else tells that such a group misses nothing
	}
	return nil
}

// ended tells whether nothing more is to come of the stream.
func (g *group) ended(open bool) error {
	if open || len(g.list) == 0 || len(g.waiting) > 0 || g.build.Touched() || len(g.queue) > 0 ||
		slices.ContainsFunc(g.list, func(s *shard) bool { return !s.closed || s.looks < 2 }) {
		return nil
	}
	return fault.Hint(fault.New(fault.NotFound, "stream %s is closed, and all of its records are in the log", g.stream.ARN),
		"follow the table again once it has another stream: that goes on in the same log")
}

// release lets the parents of merged shards go that other groups have begun: nothing is to come of them here, and as long as
// they stood there nobody could say that their lineage has passed a time.
func (g *group) release(rest *others, listed []feed.Shard) error {
	if rest == nil {
		return nil
	}
	parents := make(map[string][]string, len(listed))
	for i := range listed {
		parents[listed[i].ID] = listed[i].Parents
	}
	for _, s := range slices.Clone(g.list) {
		to, begun := rest.had(s.ID, parents)
		if !s.elsewhere || !begun {
			continue
		}
		g.cut()
		d, err := g.build.Release(to, s.ID)
		if err != nil {
			return err
		}
		g.enqueue(d)
		g.tidy()
		g.forget(s)
	}
	return nil
}

// settleParents notes the parents that need not be waited for: those that a list of all lacks although it has their child, and
// those that are finished. A list that lacks both is only late.
func (g *group) settleParents(unseen []feed.Shard, rest *others) {
	clear(g.settled)
	for i := range unseen {
		for _, id := range unseen[i].Parents {
			if rest != nil {
				g.settled[id] = !rest.pending[id]
			} else if !slices.ContainsFunc(unseen, func(s feed.Shard) bool { return s.ID == id }) {
				g.settled[id] = true
			}
		}
	}
}

// unlisted are those of the group's shards that a list lacks and may lack. old tells that it lacks others: it is older than
// the log, and would have finished shards begin again. Whether one that is closed is gone, its iterator tells.
func (g *group) unlisted(listed []feed.Shard) (absent []string, old bool) {
	here, parents := make(map[string]bool, len(listed)), make(map[string]bool, len(listed))
	for i := range listed {
		here[listed[i].ID] = true
		for _, parent := range listed[i].Parents {
			parents[parent] = true
		}
	}
	for _, s := range g.list {
		switch {
		case here[s.ID]:
		case s.elsewhere || s.closed && parents[s.ID]:
			absent = append(absent, s.ID)
		default:
			old = true
			if s.closed && s.index < 0 {
				g.schedule(s, time.Now())
			}
		}
	}
	return absent, old
}

// listChildren asks for a closed shard's children.
func (g *group) listChildren(s *shard) {
	s.asking = true
	g.asking++
	g.aside(func() func() error {
		var listed []feed.Shard
		err := g.call(g.reads, func(ctx context.Context) (err error) {
			listed, err = g.client.Shards(ctx, g.stream.ARN, s.ID)
			return err
		})
		return func() error {
			s.asking = false
			g.asking--
			if err != nil && !fault.Retryable(err) || g.stopped {
				return g.refuse(err)
			}
			again := s.looked()
			if s.gone {
				return nil // with its children: the list of all says whose they are
			}
			if err != nil {
				g.o.Metrics.Retries.Add(1)
			} else if err := g.adopt(s, listed); err != nil {
				return err
			}
			if !again {
				g.children = slices.DeleteFunc(g.children, func(c *shard) bool { return c == s })
				delete(g.shards, s.ID)
			}
			return nil
		}
	})
}

// adopt takes up the children of a closed shard.
func (g *group) adopt(parent *shard, children []feed.Shard) error {
	for _, s := range children {
		if first := slices.Index(s.Parents, parent.ID); first > 0 && g.log.Groups > 1 && !g.over[s.Parents[0]] {
			parent.elsewhere, parent.known = true, true // it goes with its first parent
			g.unsure = true                             // the next list looks whether it has begun there
			continue
		}
		parent.known = true
		if parent.forgotten {
			g.over[s.ID] = true
		}
		if !g.over[s.ID] {
			g.wait(s)
		}
	}
	if len(children) == 0 && planted.Is(planted.LeafForgotten) {
		parent.forgotten = true
	}
	return g.beginWaiting(nil)
}

// wait puts a shard among those that begin once their parents are drained.
func (g *group) wait(s feed.Shard) {
	if !slices.ContainsFunc(g.waiting, func(w feed.Shard) bool { return w.ID == s.ID }) {
		g.waiting = append(g.waiting, s)
	}
}

// beginWaiting begins what may, until nothing more does.
func (g *group) beginWaiting(rest *others) error {
	for again := true; again; {
		again = false
		for i := 0; i < len(g.waiting); i++ {
			s := g.waiting[i]
			if !slices.ContainsFunc(s.Parents, func(id string) bool { return g.holdsBack(id, rest) }) {
				g.waiting = slices.Delete(g.waiting, i, i+1)
				if err := g.start(s); err != nil {
					return err
				}
				again = true
				break
			}
		}
	}
	if soon := g.listedAt.Add(listAgain); g.unsure && soon.Before(g.listAt) {
		g.listAt = soon
	}
	return nil
}

// holdsBack tells whether a parent is still to be drained.
func (g *group) holdsBack(id string, rest *others) bool {
	if planted.Is(planted.ChildEarly) {
		return false
	}
	if s, has := g.build.Shard(id); has {
		return !s.Closed
	}
	if slices.ContainsFunc(g.waiting, func(w feed.Shard) bool { return w.ID == id }) {
		return true
	}
	if g.over[id] {
		return false
	}
	held := !g.settled[id]
	if g.log.Groups > 1 {
		held = rest.holdsBack(id, held)
	}
	g.unsure = g.unsure || held
	return held
}

// start begins a shard at its oldest record. What is known of its parents' times is known of it.
func (g *group) start(s feed.Shard) error {
	own := g.enter(feed.Shard{ID: s.ID, Parents: s.Parents})
	first := true
	for _, id := range s.Parents {
		parent := g.shards[id]
		if parent == nil {
			own.tip, first = 0, false
			continue
		}
		own.time, own.basis = max(own.time, parent.time), max(own.basis, parent.basis)
		if first || parent.tip < own.tip {
			own.tip = parent.tip
		}
		first = false
	}
	if own.basis == 0 {
		// It was not there when all were listed last, or not told: lists lag by minutes, records stay a day.
		if o := g.orphans[s.ID]; o != nil {
			own.basis = o.floor
			delete(g.orphans, s.ID)
		}
		own.basis = cmp.Or(own.basis, g.complete, g.now())
	}
	own.told = own.tip
	begin := changelog.Shard{ID: s.ID, Parents: s.Parents, Time: own.time, Tip: own.tip, Begun: own.basis}
	if planted.Is(planted.ChildEarly) {
		begin.Parents = nil
	}
	if err := g.build.Begin(begin); err != nil {
		return err
	}
	for _, id := range s.Parents {
		if p, has := g.build.Shard(id); has && p.Closed {
			if err := g.build.Close(id, s.ID); err != nil {
				return err
			}
		}
		if parent := g.shards[id]; parent != nil {
			parent.known = true
		}
	}
	g.schedule(own, time.Now())
	return nil
}

// forget drops a shard that is gone.
func (g *group) forget(s *shard) {
	g.unschedule(s)
	g.children = slices.DeleteFunc(g.children, func(c *shard) bool { return c == s })
	delete(g.shards, s.ID)
}
