package capture

import (
	"context"
	"hash/fnv"
	"slices"
	"time"

	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
)

// others is where the other groups of a log stand. nil stands for a log of one group, and for not having looked.
type others struct {
	states []*changelog.State
	// pending are shards that were listed when the tails were read, and that no chain had.
	pending map[string]bool
}

// others reads the tails of all other chains. They are asked after the list of shards, and so are no older.
func (g *group) others(ctx context.Context) (*others, error) {
	if g.log.Groups == 1 {
		return nil, nil
	}
	o := &others{}
	for n := range g.log.Groups {
		if n == g.n {
			continue
		}
		err := g.insist(ctx, g.name("others"), func() error {
			tail, err := g.log.Tail(ctx, n)
			if err != nil {
				return err
			}
			s, err := g.log.StateAt(ctx, n, tail)
			if err == nil {
				o.states = append(o.states, s)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return o, nil
}

// home is the group of a shard from which a stream begins.
func home(id string, groups uint32) uint32 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return uint32(h.Sum64() % uint64(groups))
}

// owner is the group that a listed shard belongs to: that which has it or has finished it, else that of its first parent,
// else its home. by tells how that is known.
func (o *others) owner(id string, listed []feed.Shard, g *group) (group uint32, by lineage) {
	if o == nil {
		return g.n, told
	}
	by = root
	parents := make(map[string][]string, len(listed))
	for i := range listed {
		parents[listed[i].ID] = listed[i].Parents
	}
	for range len(listed) + 1 {
		if g.had(id, parents) {
			return g.n, told
		}
		if n, has := o.had(id, parents); has {
			return n, told
		}
		up := parents[id]
		if len(up) == 0 {
			break
		}
		if _, here := parents[up[0]]; !here && !g.had(up[0], parents) {
			if _, has := o.had(up[0], parents); !has {
				by = fading
				break
			}
		}
		id = up[0]
	}
	return home(id, g.log.Groups), by
}

// lineage is how a shard's group is known.
type lineage int

const (
	told   lineage = iota // by a chain
	root                  // the way up ended at a shard without parents
	fading                // it ended at a parent that no list and no chain shows any more: it hangs on how old the list is
)

// orphan is a shard of this group that may be another's.
type orphan struct {
	floor int64            // up to when shards were known to all groups when it was seen first; 0 before the log's beginning
	draft *changelog.Draft // the first that was cut since
	entry uint64           // its number, once it is in the log
}

// claim puts those of the group's shards that the log has not among those that wait. An orphan is left out at first: a list
// that is a moment older shows its parent, which leads to another group, and that one may have begun it and not told so yet.
// So it waits until every other group tells that it asked for a list after it had seen an entry of this group from after the
// orphan was found: from then on none begins the parent, and what was begun before its chain shows. disputed tells that
// there are orphans, or shards that no chain has yet, of whatever group: all list and tell soon again.
func (g *group) claim(unseen, listed []feed.Shard, rest *others) (disputed bool) {
	g.waiting = slices.DeleteFunc(g.waiting, func(s feed.Shard) bool { // but for children of ours
		return !slices.ContainsFunc(s.Parents, func(id string) bool { _, has := g.build.Shard(id); return has })
	})
	was := g.orphans
	g.orphans = map[string]*orphan{}
	for _, s := range unseen {
		if g.over[s.ID] {
			continue
		}
		owner, by := rest.owner(s.ID, listed, g)
		if owner != g.n {
			disputed = disputed || by != told
			continue
		}
		if by == fading {
			o := was[s.ID]
			if o == nil {
				o = &orphan{floor: rest.complete(g.complete)}
			}
			if g.orphans[s.ID] = o; o.entry == 0 || !rest.heard(g.n, o.entry) {
				disputed = true
				continue
			}
		}
		g.wait(s)
	}
	if !disputed {
		g.disputes = 0
		return false
	}
	g.listAt = time.Now().Add(min(disputeAgain<<min(g.disputes, 10), listAgain))
	g.disputes++
	return true
}

// disputeAgain is when all shards are listed again where there are orphans; then twice as long, up to listAgain.
const disputeAgain = time.Second / 2

// heard tells whether each other group has seen an entry of group n before it last asked for a list.
func (o *others) heard(n uint32, entry uint64) bool {
	return !slices.ContainsFunc(o.states, func(s *changelog.State) bool { return len(s.Seen) <= int(n) || s.Seen[n] < entry })
}

// tails is the last entry of each chain; nil of a log of one.
func (o *others) tails(g *group) []uint64 {
	if o == nil {
		return nil
	}
	tails := make([]uint64, g.log.Groups)
	tails[g.n] = g.state.N
	for _, s := range o.states {
		tails[s.Group] = s.N
	}
	return tails
}

// complete is up to when all shards were known, as far as own and the other groups tell: 0 when none does.
func (o *others) complete(own int64) int64 {
	for _, s := range o.states {
		if s.Listed > 0 && (own == 0 || s.Listed < own) {
			own = s.Listed
		}
	}
	return own
}

// had tells whether the group has a shard, or one that descends from it: then it is finished.
func (g *group) had(id string, parents map[string][]string) bool {
	return slices.ContainsFunc(g.list, func(s *shard) bool { return s.ID == id || descends(s.Parents, id, parents) })
}

// had is that of the other groups.
func (o *others) had(id string, parents map[string][]string) (group uint32, has bool) {
	for _, s := range o.states {
		for _, known := range s.Shards() {
			if known.ID == id || descends(known.Parents, id, parents) {
				return s.Group, true
			}
		}
	}
	return 0, false
}

// descends tells whether a shard with the parents up descends from id, as far as a list shows.
func descends(up []string, id string, parents map[string][]string) bool {
	up = slices.Clone(up)
	for i := 0; i < len(up) && i < len(parents)+2; i++ { // no longer in a ring, which no service has
		if up[i] == id {
			return true
		}
		up = append(up, parents[up[i]]...)
	}
	return false
}

// newer tells whether another group has a shard that a list lacks, and may not lack: then it is older than that chain, and
// does not show what descends from what. One that is gone its group tells soon.
func (o *others) newer(listed []feed.Shard) bool {
	if o == nil {
		return false
	}
	shown := make(map[string]bool, 2*len(listed))
	for i := range listed {
		shown[listed[i].ID] = true
		for _, parent := range listed[i].Parents {
			shown[parent] = true
		}
	}
	return slices.ContainsFunc(o.states, func(s *changelog.State) bool {
		return slices.ContainsFunc(s.Shards(), func(shard *changelog.Shard) bool { return !shown[shard.ID] })
	})
}

// expect notes which of the shards that this group has not seen no other has seen either.
func (o *others) expect(unseen, listed []feed.Shard) {
	if o == nil {
		return
	}
	parents := make(map[string][]string, len(listed))
	for i := range listed {
		parents[listed[i].ID] = listed[i].Parents
	}
	o.pending = map[string]bool{}
	for i := range unseen {
		if _, done := o.had(unseen[i].ID, parents); !done {
			o.pending[unseen[i].ID] = true
		}
	}
}

// holdsBack tells whether a parent that is not of this group is still to be drained; unknown is what holds for one that no
// chain has.
func (o *others) holdsBack(id string, unknown bool) bool {
	if o == nil {
		return true // not looked yet: the next list of all does
	}
	for _, s := range o.states {
		if shard := s.Shard(id); shard != nil {
			return !shard.Closed
		}
	}
	return unknown
}
