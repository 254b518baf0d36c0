package upstream

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/fault"
)

// Stream is a stream that is being followed. It belongs to one goroutine.
type Stream struct {
	client *Client
	arn    string
	trust  Trust
	now    func() time.Time

	shards    map[string]*Shard
	order     []*Shard  // by id: parents, being older, come first
	described time.Time // when the last description was asked for; zero: never
	fresh     bool      // nothing of it was known: what is trimmed was so before we came
}

// Follow returns the stream's reader. known are the positions kept by an earlier reader, none for one that begins: it reads
// every shard from the oldest record that there is.
func (c *Client) Follow(arn string, known []Position, trust Trust, now func() time.Time) *Stream {
	s := &Stream{client: c, arn: arn, trust: trust, now: now, shards: map[string]*Shard{}, fresh: len(known) == 0}
	for _, p := range known {
		s.add(p)
	}
	return s
}

func (s *Stream) add(p Position) {
	shard := &Shard{Position: p, stream: s}
	s.shards[p.Shard] = shard
	s.order = append(s.order, shard)
	slices.SortFunc(s.order, func(a, b *Shard) int { return cmp.Compare(a.Shard, b.Shard) })
}

// Shards are those that are known, ended ones too, in the order of their ids.
func (s *Stream) Shards() []*Shard { return s.order }

// PassedMs is the time, in Unix ms, before which every write has been handed over and kept. 0: not known yet.
func (s *Stream) PassedMs() int64 {
	passed := int64(-1)
	for _, shard := range s.order {
		if !s.counts(shard) {
			continue
		}
		if ms := shard.passes(); passed < 0 || ms < passed {
			passed = ms
		}
	}
	return max(passed, 0)
}

// counts tells whether the shard holds the stream's time back: not one whose parent still does, nor one that has ended and
// whose children are settled.
func (s *Stream) counts(shard *Shard) bool {
	if shard.Ended && len(shard.unread) == 0 {
		return !s.settled(shard)
	}
	return s.readable(shard)
}

// settled tells whether an ended shard's children are known, as of a description asked for a lag after its end: one of two
// may be told earlier than the other. ScyllaDB's shards need not have any.
func (s *Stream) settled(shard *Shard) bool {
	since := s.described.UnixMilli() - shard.EndedMs
	if since < s.trust.Lag.Milliseconds() {
		return false
	}
	return since >= childless.Milliseconds() || slices.ContainsFunc(s.order, func(c *Shard) bool { return c.Parent == shard.Shard })
}

// readable tells whether nothing before the shard is unread.
func (s *Stream) readable(shard *Shard) bool {
	parent := s.shards[shard.Parent]
	return parent == nil || parent.Ended && len(parent.unread) == 0
}

// Read asks for at most one page of every shard that has nothing unread, and for the stream's shards at first and when one
// has ended. A *Gap is final; other errors may pass, and what was read beside them stays.
func (s *Stream) Read(ctx context.Context) error {
	if s.stale() {
		if err := s.describe(ctx); err != nil {
			return err
		}
	}
	var next []*Shard // chosen before any is read, as reading one may let its children be read
	for _, shard := range s.order {
		if shard.Ended || len(shard.unread) > 0 || !s.readable(shard) {
			continue
		}
		if parent := s.shards[shard.Parent]; parent != nil {
			shard.PassedMs = max(shard.PassedMs, parent.PassedMs) // its records are behind all of its parent's
		}
		next = append(next, shard)
	}
	var group errgroup.Group
	group.SetLimit(readersMax)
	for _, shard := range next {
		group.Go(func() error { return shard.read(ctx) })
	}
	err := group.Wait()
	if gap := new(Gap); fault.KindOf(err) == fault.NotFound && !errors.As(err, &gap) {
		return cmp.Or(s.describe(ctx), err) // which says whether it is a gap
	}
	return err
}

// stale tells whether the stream's shards must be asked for: at first, and again and again while there are none, or one has
// ended whose children are not settled.
func (s *Stream) stale() bool {
	if s.described.IsZero() {
		return true
	}
	if s.now().Sub(s.described) < min(s.trust.Lag, describeWait) {
		return false
	}
	return len(s.order) == 0 || slices.ContainsFunc(s.order, func(shard *Shard) bool { return shard.Ended && !s.settled(shard) })
}

func (s *Stream) forgotten(shard *Shard) bool {
	return s.now().UnixMilli()-shard.EndedMs > endedKept.Milliseconds()
}

type described struct {
	ShardId, ParentShardId string
}

// describe asks for the stream's shards and checks them against those that are known.
func (s *Stream) describe(ctx context.Context) error {
	asked := s.now()
	var list []described
	status := ""
	for after := ""; ; {
		in := map[string]any{"StreamArn": s.arn}
		if after != "" {
			in["ExclusiveStartShardId"] = after
		}
		var reply struct {
			StreamDescription struct {
				StreamStatus, LastEvaluatedShardId string
				Shards                             []described
			}
		}
		if err := s.client.call(ctx, streamsStem+"DescribeStream", in, &reply); err != nil {
			if fault.KindOf(err) == fault.NotFound {
				return &Gap{"", "the stream " + s.arn + " is gone"}
			}
			return err
		}
		list, status = append(list, reply.StreamDescription.Shards...), reply.StreamDescription.StreamStatus
		if after = reply.StreamDescription.LastEvaluatedShardId; after == "" {
			break
		}
		if len(list) > shardsMax {
			return fault.New(fault.Limit, "the stream %s has more than %d shards", s.arn, shardsMax)
		}
	}
	if err := s.learn(list); err != nil {
		return err
	}
	s.described, s.fresh = asked, false
	return s.ended(status)
}

// learn takes in a description.
func (s *Stream) learn(list []described) error {
	listed := map[string]bool{}
	for _, d := range list {
		listed[d.ShardId] = true
	}
	for _, d := range list {
		if s.shards[d.ShardId] != nil {
			continue
		}
		if d.ParentShardId != "" && !s.fresh && s.shards[d.ParentShardId] == nil && !listed[d.ParentShardId] {
			return &Gap{d.ShardId, "its parent " + d.ParentShardId + " was never read and is gone"}
		}
		s.add(Position{Shard: d.ShardId, Parent: d.ParentShardId})
	}
	for _, shard := range slices.Clone(s.order) {
		switch {
		case listed[shard.Shard]:
		case !shard.Ended:
			return &Gap{shard.Shard, "it is gone and was not read to its end"}
		case s.forgotten(shard):
			delete(s.shards, shard.Shard)
			s.order = slices.DeleteFunc(s.order, func(o *Shard) bool { return o == shard })
		}
	}
	return nil
}

// ended tells of a stream that is off as a gap once all of it is read.
func (s *Stream) ended(status string) error {
	if status != "DISABLED" {
		return nil
	}
	for _, shard := range s.order {
		if !shard.Ended || len(shard.unread) > 0 {
			return nil
		}
	}
	return &Gap{"", "the stream " + s.arn + " was turned off"}
}
