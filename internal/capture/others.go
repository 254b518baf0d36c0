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

// owner is the group that a listed shard belongs to: that which has it, else that of its first parent, else its home.
// Of one that another group has finished, it is that group; none while a list is older than another chain.
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
	if n, has := o.finished(id, parents); has {
		return n
	}
	for depth := 0; depth < len(listed)+1; depth++ {
		if g.over[id] {
			return g.n
		}
		for _, s := range o.states {
			if s.Shard(id) != nil {
				return s.Group
			}
		}
		up := parents[id]
		if len(up) == 0 {
			break
		}
		_, here := parents[up[0]]
		if !here && !g.over[up[0]] && !o.knows(up[0]) {
			break
		}
		id = up[0]
	}
	return home(id, g.log.Groups)
}

func (o *others) knows(id string) bool {
	return slices.ContainsFunc(o.states, func(s *changelog.State) bool { return s.Shard(id) != nil })
}

// finished tells whether a shard that another group has descends from this one, and which group that is.
func (o *others) finished(id string, parents map[string][]string) (group uint32, has bool) {
	for _, s := range o.states {
		for _, known := range s.Shards() {
			up := append([]string(nil), known.Parents...)
			for i := 0; i < len(up) && i < len(parents)+2; i++ {
				if up[i] == id {
					return s.Group, true
				}
				up = append(up, parents[up[i]]...)
			}
		}
	}
	return 0, false
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
		if _, done := o.finished(unseen[i].ID, parents); !done {
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
