package kinesis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"dynaferry/internal/local/store"
)

// description is all of a stream beside its records; its JSON is the definition of the hidden table.
type description struct {
	Version        int               `json:"version"`
	Name           string            `json:"name"`
	ID             string            `json:"id"`
	CreatedMs      int64             `json:"createdMs"`
	Mode           string            `json:"mode"` // PROVISIONED or ON_DEMAND
	RetentionHours int               `json:"retentionHours"`
	RecordKiB      int               `json:"recordKiB"` // the largest record
	Shards         []shard           `json:"shards"`    // by index; those that are gone keep their place
	Consumers      []consumer        `json:"consumers,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
}

const descriptionVersion = 1

const (
	modeProvisioned = "PROVISIONED"
	modeOnDemand    = "ON_DEMAND"
)

// shard is a range of the hash space for a time. Parents are indexes, -1: none.
type shard struct {
	Parent   int    `json:"parent"`
	Adjacent int    `json:"adjacent"`
	Low      hash   `json:"low"`
	High     hash   `json:"high"`
	Start    uint64 `json:"start"`
	End      uint64 `json:"end,omitempty"`  // 0: open; no record has this number or a higher one
	Gone     bool   `json:"gone,omitempty"` // nothing of it is kept any more
}

func (s *shard) isOpen() bool { return s.End == 0 }

func (s *shard) holds(h hash) bool { return s.Low.compare(h) <= 0 && h.compare(s.High) <= 0 }

// open are the indexes of the open shards, in the order of the hash space.
func (d *description) open() []int {
	var list []int
	for i := range d.Shards {
		if d.Shards[i].isOpen() {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b int) int { return d.Shards[a].Low.compare(d.Shards[b].Low) })
	return list
}

// target is the open shard of a hash; the open shards cover the space.
func (d *description) target(h hash) int {
	for i := range d.Shards {
		if d.Shards[i].isOpen() && d.Shards[i].holds(h) {
			return i
		}
	}
	return -1
}

// children are the shards that have shard i as a parent.
func (d *description) children(i int) []int {
	var list []int
	for c := range d.Shards {
		if d.Shards[c].Parent == i || d.Shards[c].Adjacent == i {
			list = append(list, c)
		}
	}
	return list
}

// horizon is the first sequence number that the stream still keeps.
func (d *description) horizon(now time.Time) uint64 {
	return sequenceAt(now.Add(-time.Duration(d.RetentionHours) * time.Hour).UnixMilli())
}

// stream is a served stream. Its description is never changed in place.
type stream struct {
	table store.TableID

	// write is held by whoever writes records or changes the description: so a shard that is closed has all its records,
	// and records become visible in the order of their numbers.
	write sync.Mutex
	last  uint64 // under write: the highest sequence number given

	mu      sync.Mutex // guards what follows
	desc    *description
	pending []*batch

	limits limits
}

func newStream(id store.TableID, d *description) *stream { return &stream{table: id, desc: d} }

// now is the description as of now.
func (s *stream) now() *description {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.desc
}

// errUnchanged ends a change that has nothing to do.
var errUnchanged = errors.New("nothing to change")

// change stores another description, made by f out of a copy. An error of f leaves everything as it is.
func (s *stream) change(e *Engine, f func(d *description) error) error {
	s.write.Lock()
	defer s.write.Unlock()
	if e.find(s.now().Name) != s {
		return notFound(s.now().Name) // dropped meanwhile
	}
	d := *s.now()
	d.Shards = slices.Clone(d.Shards)
	d.Consumers = slices.Clone(d.Consumers)
	if err := f(&d); err != nil {
		if errors.Is(err, errUnchanged) {
			return nil
		}
		return err
	}
	text, err := json.Marshal(&d)
	if err != nil {
		return fmt.Errorf("write the description of stream %s: %w", d.Name, err)
	}
	if err := e.store.UpdateTable(s.table, text, store.Settings{}); err != nil {
		return err
	}
	s.mu.Lock()
	s.desc = &d
	s.mu.Unlock()
	return nil
}

// next gives a sequence number; write is held.
func (s *stream) next(now time.Time) uint64 {
	s.last = max(s.last+1, sequenceAt(now.UnixMilli()))
	return s.last
}

// recoverLast finds the highest number that was given before a restart.
func (e *Engine) recoverLast(s *stream) error {
	d := s.now()
	for i := range d.Shards {
		s.last = max(s.last, d.Shards[i].Start, d.Shards[i].End)
		if !d.Shards[i].isOpen() {
			continue
		}
		last, err := e.lastOf(s, i)
		if err != nil {
			return err
		}
		s.last = max(s.last, last)
	}
	return nil
}

// lastOf is the number of a shard's newest record, 0 without one.
func (e *Engine) lastOf(s *stream, shard int) (seq uint64, err error) {
	it := e.store.Query(s.table, shardKey(shard), store.QueryOptions{Descending: true, Limit: 1})
	if it.Next() {
		_, seq, err = parseRecord(it.Raw())
	}
	if closed := it.Close(); err == nil {
		err = closed
	}
	return seq, err
}

// put is one record on its way.
type put struct {
	key  string
	hash hash
	data []byte

	shard int
	seq   uint64
	err   error
}

// batch is the records of one call. done is set under stream.write.
type batch struct {
	puts []put
	done bool
}

// put writes records in their order. Whoever gets the lock writes what others have left waiting, so that many writers
// share the syncs. Each record succeeds or fails for itself.
func (s *stream) put(ctx context.Context, e *Engine, puts []put) error {
	b := &batch{puts: puts}
	s.mu.Lock()
	s.pending = append(s.pending, b)
	s.mu.Unlock()
	s.write.Lock()
	defer s.write.Unlock()
	if b.done {
		return nil
	}
	s.mu.Lock()
	work, d := s.pending, s.desc
	s.pending = nil
	s.mu.Unlock()
	// The others' records must not depend on whether this caller goes away.
	s.writeAll(context.WithoutCancel(ctx), e, d, work)
	for _, w := range work {
		w.done = true
	}
	return nil
}

func (s *stream) writeAll(ctx context.Context, e *Engine, d *description, work []*batch) {
	now := e.now()
	var writes []store.Write
	var of []*put
	for _, b := range work {
		for i := range b.puts {
			p := &b.puts[i]
			p.shard = d.target(p.hash)
			if p.err = s.limits.mayWrite(e, d.Name, p.shard, len(p.key)+len(p.data)); p.err != nil {
				continue
			}
			p.seq = s.next(now)
			raw := appendRecord(nil, p.seq, record{p.key, p.data})
			writes = append(writes, store.Write{Table: s.table, Blind: true,
				Key:    store.Key{Hash: shardKey(p.shard), Range: placeKey(p.seq)},
				Decide: func([]byte) (store.Op, []byte, error) { return store.OpPut, raw, nil }})
			of = append(of, p)
		}
	}
	if len(writes) == 0 {
		return
	}
	results, err := e.store.UpdateMany(ctx, writes, false)
	for i, p := range of {
		if err != nil {
			p.err = err
		} else {
			p.err = results[i].Err
		}
	}
}
