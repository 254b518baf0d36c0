package local

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/local/store"
)

// localTargets are orders to the local world, which no service has.
var localTargets = map[string]func(*call) error{
	"RollShard":  func(c *call) error { return c.followShard(false) },
	"SplitShard": func(c *call) error { return c.followShard(true) },
}

// followShard splits or rolls a shard of a stream on request: {"StreamArn":...,"ShardId":...}.
func (c *call) followShard(split bool) error {
	v := &constraints{}
	arn, err := c.checked(v, "StreamArn", true, streamARNMin, streamARNMost)
	if err != nil {
		return err
	}
	shard, err := c.checked(v, "ShardId", true, shardIDMin, shardIDMax)
	if err != nil {
		return err
	}
	if err := v.err(); err != nil {
		return err
	}
	n, err := c.streamOf(arn)
	if err != nil {
		return err
	}
	id, ok := parseShardName(shard)
	if !ok {
		return invalid("Invalid ShardId: %s", shard)
	}
	if err := c.db.follow(n, id, split); err != nil {
		switch fault.KindOf(err) {
		case fault.Conflict:
			return invalid("Shard %s is closed already", shard)
		case fault.NotFound:
			return notFound("Requested resource not found: Shard does not exist")
		}
		return err
	}
	return c.finish()
}

// follow closes a shard and opens what follows it. That it was open, and since when, is noted first: its children name
// it longer than it is there.
func (db *DB) follow(n *streamNote, id uint32, split bool) error {
	db.streams.following.Lock()
	defer db.streams.following.Unlock()
	list, err := db.store.Shards(n.ID)
	if err != nil {
		return err
	}
	if n = db.streams.notes.get(streamID(n.ID)); n == nil {
		return fault.New(fault.NotFound, "the stream's time is over")
	}
	noted := *n
	noted.Opened = map[uint32]int64{}
	maps.Copy(noted.Opened, n.Opened)
	parents := map[uint32]bool{id: true}
	for i := range list {
		parents[list[i].Parent] = true
		if list[i].ID == id {
			noted.Opened[id] = list[i].Opened.UnixMilli()
		}
	}
	maps.DeleteFunc(noted.Opened, func(id uint32, _ int64) bool { return !parents[id] })
	if err := db.streams.notes.put(streamID(n.ID), &noted); err != nil {
		return err
	}
	if split {
		return db.store.SplitShard(n.ID, id)
	}
	return db.store.RollShard(n.ID, id)
}

// shardLife is how long a shard takes records before another follows it, with or without load.
const shardLife = 4 * time.Hour

// rollShards lets others follow the shards that are old enough.
func (db *DB) rollShards() error {
	life := db.opts.ShardLife
	if life == 0 {
		life = shardLife
	}
	return db.eachOpenShard(func(n *streamNote, s *store.Shard, _ int) error {
		if db.now().Sub(s.Opened) < life {
			return nil
		}
		return db.follow(n, s.ID, false)
	})
}

// eachOpenShard calls f for the open shards of all streams; shards is how many the stream has. What goes meanwhile is no
// error.
func (db *DB) eachOpenShard(f func(n *streamNote, s *store.Shard, shards int) error) error {
	for _, n := range db.streams.notes.list() {
		list, err := db.store.Shards(n.ID)
		if err != nil {
			continue // its time is over
		}
		open := 0
		for i := range list {
			open += btoi(list[i].Closed.IsZero())
		}
		for i := range list {
			if !list[i].Closed.IsZero() {
				continue
			}
			err := f(n, &list[i], open)
			if kind := fault.KindOf(err); err != nil && kind != fault.NotFound && kind != fault.Conflict && kind != fault.Limit {
				return fmt.Errorf("shard %d of stream %s: %w", list[i].ID, n.Label, err)
			}
		}
	}
	return nil
}

// A shard is split as a partition of the service is: when it has taken more than 1,000 writes a second for a while.
const (
	shardRateMax   = 1000
	shardRateFor   = 10 * time.Second
	openShardsMost = 64  // of a stream
	loadSample     = 512 // sequence numbers that tell a shard's share of the load
)

// loadWatch is what the last look at the load saw.
type loadWatch struct {
	mu    sync.Mutex
	at    time.Time
	seq   uint64
	since map[uint32]time.Time // shards that are above the rate, and since when
}

// splitLoaded looks how fast sequence numbers rise and, when that is fast, which shards they fall into.
func (db *DB) splitLoaded() error {
	w := &db.streams.load
	w.mu.Lock()
	defer w.mu.Unlock()
	now, seq := db.now(), db.store.LastSeq()
	passed, rose := now.Sub(w.at).Seconds(), float64(seq-min(seq, w.seq))
	first := w.at.IsZero()
	w.at, w.seq = now, seq
	if first || passed <= 0 {
		return nil
	}
	if rose/passed <= shardRateMax || seq < loadSample {
		w.since = nil
		return nil
	}
	hot := map[uint32]time.Time{}
	err := db.eachOpenShard(func(n *streamNote, s *store.Shard, shards int) error {
		p, err := db.store.ReadShard(n.ID, s.ID, max(seq-loadSample, s.First), loadSample, 0)
		if err != nil || rose/passed*float64(len(p.Changes))/loadSample <= shardRateMax {
			return err
		}
		since, known := w.since[s.ID]
		if !known {
			since = now
		}
		if now.Sub(since) < shardRateFor || shards >= openShardsMost {
			hot[s.ID] = since
			return nil
		}
		return db.follow(n, s.ID, true)
	})
	w.since = hot
	return err
}
