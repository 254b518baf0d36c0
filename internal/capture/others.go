package capture

import (
	"context"
	"hash/fnv"
	"slices"

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

// none is no group.
const none = ^uint32(0)

// owner is the group that a listed shard belongs to: that which has it or has finished it, else that of its first parent,
// else its home. Those that are gone count for nothing: other groups could not know whose they were.
func (o *others) owner(id string, listed []feed.Shard, g *group) uint32 {
	if g.log.Groups == 1 {
		return g.n
	}
	if o == nil {
		return none
	}
	parents := make(map[string][]string, len(listed))
	for i := range listed {
		parents[listed[i].ID] = listed[i].Parents
	}
	for range len(listed) + 1 {
		if g.had(id, parents) {
			return g.n
		}
		if n, has := o.had(id, parents); has {
			return n
		}
		up := parents[id]
		if len(up) == 0 {
			break
		}
		if _, here := parents[up[0]]; !here && !g.had(up[0], parents) {
			if _, has := o.had(up[0], parents); !has {
				break
			}
		}
		id = up[0]
	}
	return home(id, g.log.Groups)
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

// complete is up to when all shards were known to the log, as far as the other groups tell: 0 when they have none.
func (o *others) complete() (at int64) {
	for _, s := range o.states {
		for _, shard := range s.Shards() {
			if known := max(shard.Time, shard.Tip, shard.Begun); len(shard.Children) == 0 && (at == 0 || known < at) {
				at = known
			}
		}
	}
	return at
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

// holdsBack tells whether a parent that is not of this group is still to be drained.
func (o *others) holdsBack(id string) bool {
	if o == nil {
		return true // not looked yet: the next list of all does
	}
	for _, s := range o.states {
		if shard := s.Shard(id); shard != nil {
			return !shard.Closed
		}
	}
	return o.pending[id]
}
