package changelog

import (
	"maps"
	"slices"

	"dynaferry/internal/feed"
)

// State is where a group stands behind an entry: all of capture that must survive it. Its shards are those that are not
// finished: open ones, closed ones whose children are not all taken up yet, and those that wait for such parents.
type State struct {
	Group  uint32
	N      uint64 // the last entry; 0 of an empty chain
	Stream string // ARN, of the last entry
	Writer string // of the last entry
	Listed int64  // of the last entry
	Seen   []uint64
	At     int64 // of the last entry: when it was written
	// Through is that of the last entry, in a log that holds a part of another.
	Through uint64
	shards  map[string]*Shard
}

func newState(group uint32) *State { return &State{Group: group, shards: map[string]*Shard{}} }

// Shard returns where a shard stands, nil when it is not known or finished. It is not to be changed.
func (s *State) Shard(id string) *Shard { return s.shards[id] }

// Shards lists the shards by id. They are not to be changed.
func (s *State) Shards() []*Shard {
	list := make([]*Shard, 0, len(s.shards))
	for _, id := range slices.Sorted(maps.Keys(s.shards)) {
		list = append(list, s.shards[id])
	}
	return list
}

// Unseen returns those of a listing's shards that the chain has still to take up. A shard from which a known one
// descends is finished, also when all between them are. A listing of all shards may be older than the log: then it tells
// nothing, since what lies between a finished shard and a known one may be missing in it, and the finished one would begin
// again. Known shards that the service no longer keeps are named in gone: they need not be listed.
func (s *State) Unseen(listed []feed.Shard, gone ...string) (unseen []feed.Shard) {
	parents := make(map[string][]string, len(listed))
	followed := make(map[string]bool, len(listed)) // has a child in the list, which is younger than its end
	for i := range listed {
		parents[listed[i].ID] = listed[i].Parents
		for _, parent := range listed[i].Parents {
			followed[parent] = true
		}
	}
	for id, shard := range s.shards {
		if _, has := parents[id]; !has && !(shard.Closed && followed[id]) && !slices.Contains(gone, id) {
			return nil
		}
	}
	done := map[string]bool{}
	var finish func(id string, of []string)
	finish = func(id string, of []string) {
		if !done[id] {
			done[id] = true
			for _, parent := range of {
				finish(parent, parents[parent])
			}
		}
	}
	for id, shard := range s.shards {
		finish(id, shard.Parents)
	}
	for i := range listed {
		if !done[listed[i].ID] {
			unseen = append(unseen, listed[i])
		}
	}
	return unseen
}

// SettleMicros is how far behind a record's time an earlier record may still come: stamps are approximate and to the second.
const SettleMicros = 2_000_000

// Passed tells whether every record of before t (µs since 1970) is in the log, as far as the group's shards are known:
// each yielded a record of SettleMicros later, or was seen at its open end after t, or is closed and its children have
// passed. A chain without shards has passed what it was Listed behind.
func (s *State) Passed(t int64) bool {
	for _, shard := range s.shards {
		if shard.Tip < t && shard.Time < t+SettleMicros && !s.followed(shard) {
			return false
		}
	}
	return len(s.shards) > 0 || s.Listed >= t
}

// followed tells whether a shard is closed and its children have begun: these are asked themselves.
func (s *State) followed(shard *Shard) bool {
	return shard.Closed && len(shard.Children) > 0 &&
		!slices.ContainsFunc(shard.Children, func(id string) bool { return s.shards[id] == nil })
}

// clone is a copy that is changed by itself.
func (s *State) clone() *State {
	c := *s
	c.shards = maps.Clone(s.shards) // what it points to is replaced, never changed
	return &c
}

// begin makes the state that a whole entry tells.
func begin(e *Entry) *State {
	s := newState(e.Group)
	s.put(e)
	return s
}

// next checks that e is the entry behind this state, and returns the state behind e. An error is of kind Corrupt.
func (s *State) next(e *Entry) (*State, error) {
	if e.N != s.N+1 || e.Group != s.Group {
		return nil, broken("entry %d of group %d follows entry %d of group %d", e.N, e.Group, s.N, s.Group)
	}
	if s.N > 0 && e.Stream != s.Stream && e.Kind != Gap {
		return nil, broken("it is of stream %s, the entry before of %s, and no gap is told", e.Stream, s.Stream)
	}
	if e.Through < s.Through {
		return nil, broken("it holds another log up to entry %d; the entry before it to %d", e.Through, s.Through)
	}
	for i := range e.Shards {
		if err := s.follows(e, &e.Shards[i]); err != nil {
			return nil, err
		}
	}
	if e.Release != nil {
		for _, id := range e.Release.Shards {
			if s.shards[id] == nil {
				return nil, broken("it releases shard %s, which is not of the group", id)
			}
		}
	}
	if e.Gap != nil {
		for _, id := range e.Gap.Gone {
			if shard := e.Shard(id); shard == nil || !shard.Closed {
				return nil, broken("shard %s is said to be gone, and not to be closed", id)
			}
		}
	}
	after := s.clone()
	after.put(e)
	if e.Whole && len(after.shards) > 0 {
		told := make(map[string]bool, len(e.Shards))
		for i := range e.Shards {
			told[e.Shards[i].ID] = true
		}
		for id := range after.shards {
			if !told[id] {
				return nil, broken("it should tell the whole state and leaves shard %s out", id)
			}
		}
	}
	return after, nil
}

// follows checks that what an entry says of a shard goes on where the log stands.
func (s *State) follows(e *Entry, now *Shard) error {
	old := s.shards[now.ID]
	if old == nil {
		return s.starts(e, now)
	}
	switch {
	case now.After != old.End:
		return broken("shard %s goes on behind %v; the log ends at %v", now.ID, now.After, old.End)
	case !slices.Equal(now.Parents, old.Parents):
		return broken("shard %s has the parents %q; before it had %q", now.ID, now.Parents, old.Parents)
	case old.Closed && (!now.Closed || now.End != now.After):
		return broken("shard %s is closed and goes on to %v", now.ID, now.End)
	case now.Begun != old.Begun:
		return broken("shard %s began at %d; before it was %d", now.ID, now.Begun, old.Begun)
	case now.Time < old.Time || now.Tip < old.Tip:
		return broken("shard %s goes back from the time %d and tip %d to %d and %d", now.ID, old.Time, old.Tip, now.Time, now.Tip)
	case now.Total != old.Total+now.Records:
		return broken("shard %s has %d records in all; the log has %d and this entry %d", now.ID, now.Total, old.Total, now.Records)
	}
	for _, child := range old.Children {
		if !slices.Contains(now.Children, child) {
			return broken("shard %s no longer has the child %s", now.ID, child)
		}
	}
	return nil
}

// starts checks a shard that the group has not, or no longer: from its oldest record, behind the end of its parents.
func (s *State) starts(e *Entry, now *Shard) error {
	if now.Taken == nil && !now.After.IsZero() {
		return broken("shard %s begins behind %v instead of at its oldest record", now.ID, now.After)
	}
	if now.Taken == nil && now.Total != now.Records {
		return broken("shard %s begins with %d records in all and %d in this entry", now.ID, now.Total, now.Records)
	}
	for _, parent := range now.Parents {
		p := e.Shard(parent)
		if p == nil {
			p = s.shards[parent]
		}
		if p != nil && !p.Closed {
			return broken("shard %s begins before its parent %s is closed", now.ID, parent)
		}
		if p != nil && now.Time < p.Time {
			return broken("shard %s begins at the time %d, before the %d of its parent %s", now.ID, now.Time, p.Time, parent)
		}
	}
	for _, known := range s.shards {
		if slices.Contains(known.Parents, now.ID) {
			return broken("shard %s begins again after its child %s", now.ID, known.ID)
		}
	}
	return nil
}

// put takes over what an entry says, without a check.
func (s *State) put(e *Entry) {
	s.N, s.Stream, s.Writer, s.At, s.Listed, s.Seen, s.Through = e.N, e.Stream, e.Writer, e.At, e.Listed, e.Seen, e.Through
	if e.Gap != nil && e.Gap.Stream != "" {
		clear(s.shards) // the stream before is over, with all that was to come of it
	}
	for i := range e.Shards {
		shard := e.Shards[i]
		shard.After, shard.Records = shard.End, 0
		s.shards[shard.ID] = &shard
	}
	if e.Release != nil {
		for _, id := range e.Release.Shards {
			delete(s.shards, id)
		}
	}
	if e.Gap != nil {
		for _, id := range e.Gap.Gone {
			delete(s.shards, id)
		}
	}
	prune(s.shards, func(s *Shard) *Shard { return s })
}

// prune takes shards that are finished out of a set: closed, with all children in it, and without a parent in it. So a
// child is in the set as long as a parent is that waits for it, and needs no mark to say that it was taken up.
func prune[T any](set map[string]T, shard func(T) *Shard) {
	for again := true; again; {
		again = false
		for id, each := range set {
			s := shard(each)
			has := func(id string) bool { _, has := set[id]; return has }
			if s.Closed && len(s.Children) > 0 && !slices.ContainsFunc(s.Parents, has) &&
				!slices.ContainsFunc(s.Children, func(id string) bool { return !has(id) }) {
				delete(set, id)
				again = true
			}
		}
	}
}
