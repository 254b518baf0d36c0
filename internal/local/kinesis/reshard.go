package kinesis

import (
	"slices"
)

type splitShardIn struct {
	named
	ShardToSplit       *string
	NewStartingHashKey *string
}

// shardOf finds a shard that a request names.
func shardOf(d *description, id string) (int, error) {
	i, ok := parseShardID(id)
	if !ok || i >= len(d.Shards) || d.Shards[i].Gone {
		return 0, failf("ResourceNotFoundException", "Could not find shard %s in stream %s under account %s.", id, d.Name, account)
	}
	return i, nil
}

// provisioned refuses what streams on demand do by themselves.
func provisioned(d *description, operation string) error {
	if d.Mode == modeOnDemand {
		return validation("Request is invalid. Stream %s under account %s is in On-Demand mode, so %s is not possible.",
			d.Name, account, operation)
	}
	return nil
}

// closed refuses a shard that was closed before.
func (d *description) closed(i int) error {
	if d.Shards[i].isOpen() {
		return nil
	}
	return invalidArgument("Shard %s in stream %s under account %s has already been merged or split, "+
		"and thus is not eligible for merging or splitting.", shardID(i), d.Name, account)
}

func (c *call) splitShard(in *splitShardIn) (any, error) {
	v := &checks{}
	in.check(v)
	v.need(in.ShardToSplit != nil, "shardToSplit")
	v.name(in.ShardToSplit, "shardToSplit", nameMax)
	v.need(in.NewStartingHashKey != nil, "newStartingHashKey")
	if err := v.err(); err != nil {
		return nil, err
	}
	at, ok := parseHash(*in.NewStartingHashKey)
	if !ok {
		return nil, validation("1 validation error detected: Value '%s' at 'newStartingHashKey' failed to satisfy constraint: "+
			`Member must satisfy regular expression pattern: 0|([1-9]\d{0,38})`, *in.NewStartingHashKey)
	}
	s, err := c.stream(in.named)
	if err != nil {
		return nil, err
	}
	if err := c.mayOpen(1); err != nil {
		return nil, err
	}
	return nil, s.change(c.Engine, func(d *description) error {
		if err := provisioned(d, "SplitShard"); err != nil {
			return err
		}
		i, err := shardOf(d, *in.ShardToSplit)
		if err != nil {
			return err
		}
		if err := d.closed(i); err != nil {
			return err
		}
		sh := &d.Shards[i]
		if at.compare(sh.Low) <= 0 || at.compare(sh.Low.plus(1)) <= 0 || at.compare(sh.High) >= 0 {
			return invalidArgument("NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s is not "+
				"both greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
				*in.NewStartingHashKey, shardID(i), d.Name, account, sh.Low, sh.High)
		}
		d.split(i, at, s.next(c.now()))
		return nil
	})
}

// split closes shard i at the number and opens two in its place.
func (d *description) split(i int, at hash, seq uint64) {
	sh := d.Shards[i]
	d.Shards[i].End = seq
	d.Shards = append(d.Shards,
		shard{Parent: i, Adjacent: -1, Low: sh.Low, High: at.plus(-1), Start: seq},
		shard{Parent: i, Adjacent: -1, Low: at, High: sh.High, Start: seq})
}

// merge closes two neighbours and opens one in their place.
func (d *description) merge(a, b int, seq uint64) {
	d.Shards[a].End, d.Shards[b].End = seq, seq
	d.Shards = append(d.Shards, shard{Parent: a, Adjacent: b, Low: d.Shards[a].Low, High: d.Shards[b].High, Start: seq})
}

type mergeShardsIn struct {
	named
	ShardToMerge         *string
	AdjacentShardToMerge *string
}

func (c *call) mergeShards(in *mergeShardsIn) (any, error) {
	v := &checks{}
	v.need(in.ShardToMerge != nil, "shardToMerge")
	v.name(in.ShardToMerge, "shardToMerge", nameMax)
	v.need(in.AdjacentShardToMerge != nil, "adjacentShardToMerge")
	v.name(in.AdjacentShardToMerge, "adjacentShardToMerge", nameMax)
	s, err := c.asked(v, in.named)
	if err != nil {
		return nil, err
	}
	return nil, s.change(c.Engine, func(d *description) error {
		if err := provisioned(d, "MergeShards"); err != nil {
			return err
		}
		a, err := shardOf(d, *in.ShardToMerge)
		if err != nil {
			return err
		}
		b, err := shardOf(d, *in.AdjacentShardToMerge)
		if err != nil {
			return err
		}
		for _, i := range []int{a, b} {
			if err := d.closed(i); err != nil {
				return err
			}
		}
		if d.Shards[a].Low.compare(d.Shards[b].Low) > 0 {
			a, b = b, a
		}
		if d.Shards[a].High == hashMax || d.Shards[a].High.plus(1) != d.Shards[b].Low {
			return invalidArgument("Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging",
				*in.ShardToMerge, *in.AdjacentShardToMerge, d.Name, account)
		}
		d.merge(a, b, s.next(c.now()))
		return nil
	})
}

type updateShardCountIn struct {
	named
	TargetShardCount *int
	ScalingType      *string
}

func (c *call) updateShardCount(in *updateShardCountIn) (any, error) {
	v := &checks{}
	v.need(in.TargetShardCount != nil, "targetShardCount")
	v.between(in.TargetShardCount, "targetShardCount", 1, shardCountMax)
	v.need(in.ScalingType != nil, "scalingType")
	v.oneOf(in.ScalingType, "scalingType", "UNIFORM_SCALING")
	s, err := c.asked(v, in.named)
	if err != nil {
		return nil, err
	}
	target, current := *in.TargetShardCount, len(s.now().open())
	if target > current {
		if err := c.mayOpen(target - current); err != nil {
			return nil, err
		}
	}
	err = s.change(c.Engine, func(d *description) error {
		if err := provisioned(d, "UpdateShardCount"); err != nil {
			return err
		}
		current = len(d.open())
		switch {
		case target > 2*current:
			return failf("LimitExceededException", "UpdateShardCount cannot scale up over double your current open shard count. "+
				"Current open shard count: %d Target shard count: %d", current, target)
		case 2*target < current:
			return failf("LimitExceededException", "UpdateShardCount cannot scale down below half your current open shard count. "+
				"Current open shard count: %d Target shard count: %d", current, target)
		}
		d.resize(target, func() uint64 { return s.next(c.now()) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	name := s.now().Name
	return map[string]any{"StreamName": name, "StreamARN": ARN(c.region, name), "CurrentShardCount": current,
		"TargetShardCount": target}, nil
}

// resize splits and merges until there are n even open shards. As with the service, shards come up on the way that are
// closed at once.
func (d *description) resize(n int, next func() uint64) {
	for i := 1; i < n; i++ {
		at := evenStart(i, n)
		if of := d.target(at); d.Shards[of].Low != at {
			d.split(of, at, next())
		}
	}
	for i := range n {
		low, high := evenStart(i, n), hashMax
		if i+1 < n {
			high = evenStart(i+1, n).plus(-1)
		}
		for {
			open := d.open()
			first := slices.IndexFunc(open, func(s int) bool { return d.Shards[s].Low == low })
			if d.Shards[open[first]].High == high {
				break
			}
			d.merge(open[first], open[first+1], next())
		}
	}
}
