package kinesis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/local/store"
)

// Options say how the service behaves. The zero value never throttles.
type Options struct {
	Throttle bool             // hold shards to their 1 MB and 1,000 records in and 2 MB and 5 reads out in a second
	Clock    func() time.Time // nil: time.Now
}

// Engine serves the streams of one store. Its methods may be called concurrently. The store stays the caller's.
type Engine struct {
	store  *store.Store
	opts   Options
	change sync.Mutex   // held by operations that create or drop streams
	mu     sync.RWMutex // guards streams
	byName map[string]*stream

	gone     chan struct{} // closed when subscriptions are to end
	goneOnce sync.Once
}

// tablePrefix is what hidden tables of streams are called; a slash is in no table name of DynamoDB.
const tablePrefix = "/kinesis/"

// Open finds the streams that the store holds. Errors are the store's, and Corrupt or Unsupported descriptions.
func Open(s *store.Store, opts Options) (*Engine, error) {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	e := &Engine{store: s, opts: opts, byName: map[string]*stream{}, gone: make(chan struct{})}
	for _, table := range s.Tables() {
		name, ok := strings.CutPrefix(table.Name, tablePrefix)
		if !ok {
			continue
		}
		d := new(description)
		if err := json.Unmarshal(table.Definition, d); err != nil {
			return nil, fault.New(fault.Corrupt, "description of the local stream %s: %w", name, err)
		}
		if d.Version != descriptionVersion {
			err := fault.New(fault.Unsupported, "description of the local stream %s has version %d, this program knows %d",
				name, d.Version, descriptionVersion)
			return nil, fault.Hint(err, "open the folder with a newer dynaferry")
		}
		st := newStream(table.ID, d)
		if err := e.recoverLast(st); err != nil {
			return nil, err
		}
		e.byName[name] = st
	}
	return e, nil
}

// Hangup ends the subscriptions under way, for a server that is about to stop.
func (e *Engine) Hangup() { e.goneOnce.Do(func() { close(e.gone) }) }

func (e *Engine) now() time.Time { return e.opts.Clock() }

// find returns a stream, nil when there is none.
func (e *Engine) find(name string) *stream {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.byName[name]
}

// names are the streams' names, sorted.
func (e *Engine) names() []string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	names := make([]string, 0, len(e.byName))
	for name := range e.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// openShards counts the open shards of all streams.
func (e *Engine) openShards() int {
	n := 0
	for _, name := range e.names() {
		if s := e.find(name); s != nil {
			n += len(s.now().open())
		}
	}
	return n
}

// Exists tells whether there is a stream of this name.
func (e *Engine) Exists(name string) bool { return e.find(name) != nil }

// Entry is a record to put: its partition key and its data.
type Entry struct {
	Key  string
	Data []byte
}

// Put adds records in their order; it returns when they are durable. A stream that does not exist is NotFound. It may be
// called again after an error: some records are then there twice.
func (e *Engine) Put(ctx context.Context, name string, entries []Entry) error {
	s := e.find(name)
	if s == nil {
		return fault.New(fault.NotFound, "no stream %s", name)
	}
	for part := range slices.Chunk(entries, recordsPerPut) {
		puts := make([]put, len(part))
		for i, entry := range part {
			puts[i] = put{key: entry.Key, hash: hashOf(entry.Key), data: entry.Data}
		}
		if err := s.put(ctx, e, puts); err != nil {
			return err
		}
		for i := range puts {
			if puts[i].err != nil {
				return puts[i].err
			}
		}
	}
	return nil
}

// Trim deletes the records that are older than their stream keeps them. Readers do not see them anyway; this gives their
// room back. The newest record of a shard stays, so that a restart goes on behind it.
func (e *Engine) Trim(ctx context.Context) error {
	for _, name := range e.names() {
		s := e.find(name)
		if s == nil {
			continue
		}
		d := s.now()
		for i := range d.Shards {
			if err := e.trimShard(ctx, s, i, d.horizon(e.now())); err != nil {
				return fmt.Errorf("trim shard %s of stream %s: %w", shardID(i), name, err)
			}
		}
		if err := e.forgetShards(s); err != nil {
			return fmt.Errorf("trim the shards of stream %s: %w", name, err)
		}
	}
	return nil
}

// trimBatch is how many records one write of the trimmer deletes.
const trimBatch = 256

func (e *Engine) trimShard(ctx context.Context, s *stream, shard int, horizon uint64) error {
	for {
		var keys []store.Key
		it := e.store.Query(s.table, shardKey(shard), store.QueryOptions{Upper: placeKey(horizon), UpperExclusive: true, Limit: trimBatch})
		for it.Next() {
			_, seq, err := parseRecord(it.Raw())
			if err != nil {
				return cmp.Or(it.Close(), err)
			}
			keys = append(keys, store.Key{Hash: shardKey(shard), Range: placeKey(seq)})
		}
		if err := it.Close(); err != nil {
			return err
		}
		done := len(keys) < trimBatch
		if done && len(keys) > 0 {
			last, err := e.lastOf(s, shard)
			if err != nil {
				return err
			}
			if last < horizon {
				keys = keys[:len(keys)-1]
			}
		}
		writes := make([]store.Write, len(keys))
		for i, key := range keys {
			writes[i] = store.Write{Table: s.table, Key: key, Blind: true,
				Decide: func([]byte) (store.Op, []byte, error) { return store.OpDelete, nil, nil }}
		}
		if len(writes) > 0 {
			results, err := e.store.UpdateMany(ctx, writes, false)
			if err != nil {
				return err
			}
			for _, r := range results {
				if r.Err != nil {
					return r.Err
				}
			}
		}
		if done {
			return nil
		}
	}
}

// forgetShards takes shards off the description that were closed before everything a reader could ask for. Their places
// in the list stay, since ids count them.
func (e *Engine) forgetShards(s *stream) error {
	return s.change(e, func(d *description) error {
		horizon := d.horizon(e.now())
		changed := false
		for i := range d.Shards {
			if sh := &d.Shards[i]; !sh.Gone && sh.End != 0 && sh.End < horizon {
				sh.Gone, changed = true, true
			}
		}
		if !changed {
			return errUnchanged
		}
		return nil
	})
}

// RecordBytes is the largest record that every stream takes.
const RecordBytes = recordKiBMin << 10

// Throttled tells whether an error of Put says that a shard takes no more for now.
func Throttled(err error) bool {
	var e *apiError
	return errors.As(err, &e) && e.kind == "ProvisionedThroughputExceededException"
}
