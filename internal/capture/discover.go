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
)

// listAll asks for all shards of the stream.
func (g *group) listAll() {
	g.listing = true
	drained := !slices.ContainsFunc(g.list, func(s *shard) bool { return !s.closed })
	g.aside(func() func() error {
		var listed []feed.Shard
		open := true
		err := g.insist(g.reads, g.name("shards"), func() error {
			return g.call(g.reads, func(ctx context.Context) (err error) {
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
			return g.all(listed, rest, open)
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

// all takes up what a list of all shards has that the log has not.
func (g *group) all(listed []feed.Shard, rest *others, open bool) error {
	absent, old := g.unlisted(listed)
	if old {
		g.refused++
		g.listAt = time.Now().Add(min(listAgain<<min(g.refused-1, 5), listEvery))
		return nil
	}
	g.refused, g.listed, g.unsure, g.listAt, g.listedAt = 0, true, false, time.Now().Add(listEvery), time.Now()
	unseen := g.state.Unseen(listed, absent...)
	rest.expect(unseen, listed)
	if rest != nil && g.complete == 0 {
		g.complete = rest.complete()
	}
	g.settleParents(unseen)
	for _, s := range unseen {
		if !g.over[s.ID] && rest.owner(s.ID, listed, g) == g.n {
			g.wait(s)
		}
	}
	if err := g.beginWaiting(rest); err != nil {
		return err
	}
	g.complete = g.now()
	if !open && len(g.list) > 0 && len(g.waiting) == 0 && !g.build.Touched() && len(g.queue) == 0 &&
		!slices.ContainsFunc(g.list, func(s *shard) bool { return !s.closed || s.looks < 2 }) {
		return fault.Hint(fault.New(fault.NotFound, "stream %s is closed, and all of its records are in the log", g.stream.ARN),
			"follow the table again once it has another stream: that goes on in the same log")
	}
	return nil
}

// settleParents notes the parents that need not be waited for: those that a list of all lacks, and those that are finished.
func (g *group) settleParents(unseen []feed.Shard) {
	clear(g.settled)
	for i := range unseen {
		for _, id := range unseen[i].Parents {
			if !slices.ContainsFunc(unseen, func(s feed.Shard) bool { return s.ID == id }) {
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
	g.aside(func() func() error {
		var listed []feed.Shard
		err := g.call(g.reads, func(ctx context.Context) (err error) {
			listed, err = g.client.Shards(ctx, g.stream.ARN, s.ID)
			return err
		})
		return func() error {
			s.asking = false
			if err != nil && !fault.Retryable(err) || g.stopped {
				return g.refuse(err)
			}
			again := s.looked()
			if err != nil {
				g.o.Metrics.Retries.Add(1)
			} else if err := g.adopt(s, listed); err != nil {
				return err
			}
			if !again || s.gone {
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
		held = rest.holdsBack(id)
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
		own.basis = cmp.Or(g.complete, g.now())
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
