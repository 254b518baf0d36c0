package changelog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

// Chain is a group's chain as its writer sees it. It is not for concurrent use.
type Chain struct {
	log    *Log
	writer string
	state  *State
	o      ChainOptions
	dead   error // why this handle must not be used any more

	counts [levelsMax + 1]uint64 // index objects that are known to be there, by level
	kept   map[uint64]part       // of entries that the next object of level 1 is of
	held   int                   // bytes of them
	behind error                 // what kept the index from going on
}

// keptBytesMax bounds the footers that wait for the index; those beyond are read again.
const keptBytesMax = 8 << 20

// ChainOptions tune a chain; the zero value is right for production.
type ChainOptions struct {
	Commit commit.Options
}

// Chain opens a group's chain to append to it: it finds the tail and reads where capture stands. writer is the random id
// of this process, the same for all of its chains. Any number of processes may hold a chain open; of those that append
// after the same entry one wins.
func (l *Log) Chain(ctx context.Context, group uint32, writer string, o ChainOptions) (*Chain, error) {
	n, counts, err := l.tail(ctx, group)
	if err != nil {
		return nil, fmt.Errorf("open the chain of group %d: %w", group, err)
	}
	state, err := l.StateAt(ctx, group, n)
	if err != nil {
		return nil, fmt.Errorf("open the chain of group %d: %w", group, err)
	}
	return &Chain{log: l, writer: writer, state: state, o: o, counts: counts, kept: map[uint64]part{}}, nil
}

// State is where the chain stands. It is not changed: the next entry makes another.
func (c *Chain) State() *State { return c.state }

// Behind tells what keeps the index from going on, nil when nothing does. The log is complete without; each append tries
// again.
func (c *Chain) Behind() error { return c.behind }

// FencedError tells that another writer's entry stands where ours was to be. Ours is not in the log and never will be.
// The chain has learnt the entry: its State is the one behind it. Who only meant to write segments stops here, since
// another process captures the group; who takes the group over appends his fence again, behind that entry. What a
// builder holds is void either way.
type FencedError struct {
	Entry *Entry // the one that stands
	err   error
}

// Error names the entry and its writer.
func (e *FencedError) Error() string { return e.err.Error() }

// Unwrap gives the error of kind Conflict.
func (e *FencedError) Unwrap() error { return e.err }

// Append makes a draft the next entry: durable on return. It retries by itself until the outcome is known. Errors:
//
//   - FencedError: another writer was faster.
//   - kind Unknown: the draft may or may not be in the log, now or later. The chain is dead; nothing may be built on
//     either outcome; opening it again finds out.
//   - kind Conflict: the draft does not go on where the chain stands, and was not sent.
//   - kind Corrupt: what stands under the entry's name is none. The chain is dead.
//   - all others: the draft is not in the log and will not be; it may be appended again.
func (c *Chain) Append(ctx context.Context, d *Draft) (*Entry, error) {
	if c.dead != nil {
		return nil, fmt.Errorf("append to a chain that must be opened again: %w", c.dead)
	}
	e := c.compose(ctx, d)
	after, err := c.state.next(e)
	if err == nil {
		err = e.check(int64(len(d.body)))
	}
	if err != nil {
		return nil, fault.New(fault.Conflict, "entry %d of group %d would not go on where the chain stands: %w", e.N, e.Group, err)
	}
	data, err := c.log.zip.appendEntry(d.body, e)
	if err != nil {
		return nil, err
	}
	e.Size = int64(len(data))
	standing, err := commit.PutBytes(ctx, c.log.bucket, entryName(c.log.dir, e.Group, e.N), commit.Object{
		Data: data, ID: e.ID, Tail: tailBytes, ContentType: "application/zstd",
		IDOf: func(tail []byte) (commit.ID, error) {
			t, err := parseTrailer(tail, entryMagic)
			return t.id, err
		},
	}, c.o.Commit)
	if err != nil {
		return nil, c.lost(err, e)
	}
	if !standing.Won {
		return nil, c.fenced(ctx, e, standing)
	}
	c.state = after
	c.keep(&fetched{entry: e, frame: data[len(d.body):]})
	c.behind = c.index(ctx)
	return e, nil
}

// lost judges an append whose outcome is no entry.
func (c *Chain) lost(err error, e *Entry) error {
	err = c.log.damaged(err, entryName(c.log.dir, e.Group, e.N))
	if k := fault.KindOf(err); k == fault.Unknown || k == fault.Corrupt || k == fault.Unsupported {
		c.dead = err
	}
	return fmt.Errorf("append entry %d of group %d: %w", e.N, e.Group, err)
}

// fenced learns the entry that stands where ours was to be.
func (c *Chain) fenced(ctx context.Context, e *Entry, standing commit.Standing) error {
	name := entryName(c.log.dir, e.Group, e.N)
	f, err := c.log.complete(ctx, name, e.Group, e.N, standing.Tail, standing.Info)
	if fault.KindOf(err) == fault.Corrupt {
		f, err = c.log.fetch(ctx, e.Group, e.N) // the tail may have been damaged on its way
	}
	if err == nil {
		var after *State
		if after, err = c.state.next(f.entry); err == nil {
			c.state = after
			c.keep(f)
			return &FencedError{f.entry, fault.Hint(fault.New(fault.Conflict,
				"entry %d of group %d is a %s of writer %s, not ours", e.N, e.Group, f.entry.Kind, f.entry.Writer),
				"another process captures this group now; stop one of them")}
		}
	}
	if err = c.log.damaged(err, name); !fault.Retryable(err) {
		c.dead = err
	} // else the next append of this number asks for it again
	return fmt.Errorf("entry %d of group %d was lost to another: %w", e.N, e.Group, err)
}

// compose gives a draft its number and, where it is due, the whole state.
func (c *Chain) compose(ctx context.Context, d *Draft) *Entry {
	n := c.state.N + 1
	id := commit.NewID(ctx, entryName(c.log.dir, c.state.Group, n))
	e := &Entry{N: n, Group: c.state.Group, ID: id, Kind: d.Kind, Stream: d.Stream, Writer: c.writer, At: d.At, Listed: cmp.Or(d.Listed, c.state.Listed), Seen: d.Seen,
		Shards: d.Shards, Blocks: d.Blocks, Release: d.Release, Gap: d.Gap, Compacted: d.Compacted, Through: max(d.Through, c.state.Through)}
	if e.Seen == nil {
		e.Seen = c.state.Seen
	}
	e.At = max(e.At, c.state.At) // clocks differ, and Log.Since halves: time never goes back along a chain
	if e.Stream == "" {
		e.Stream = c.state.Stream
	}
	if e.Stream == "" {
		e.Stream = c.log.Stream
	}
	if e.Kind == Fence {
		e.Fence = &FenceNote{Writer: c.state.Writer}
	}
	if e.Whole = wholeDue(e.N, e.Kind); !e.Whole {
		return e
	}
	after := c.state.clone()
	after.put(e)
	e.Shards = append([]Shard(nil), d.Shards...)
	touched := make(map[string]bool, len(d.Shards))
	for i := range d.Shards {
		touched[d.Shards[i].ID] = true
	}
	for _, s := range after.Shards() {
		if !touched[s.ID] {
			e.Shards = append(e.Shards, *s)
		}
	}
	return e
}

// keep holds a footer until it is indexed, if there is room.
func (c *Chain) keep(f *fetched) {
	if f.entry.N > c.counts[1]*fan && c.held+len(f.frame) <= keptBytesMax {
		p := f.part()
		p.footer = bytes.Clone(p.footer) // not with the blocks before it
		c.kept[f.entry.N] = p
		c.held += len(p.footer)
	}
}

// index puts the first index object that is missing, if any: one an append, since entries come faster than those.
func (c *Chain) index(ctx context.Context) error {
	c.counts[0] = c.state.N
	for level := 1; level <= levelsMax; level++ {
		if c.counts[level] >= c.counts[level-1]/fan {
			continue
		}
		k := c.counts[level]
		object, err := c.indexObject(ctx, level, k)
		if err != nil {
			return fmt.Errorf("make index object %d of level %d of group %d: %w", k, level, c.state.Group, err)
		}
		name := indexName(c.log.dir, c.state.Group, level, k)
		_, err = c.log.bucket.Put(ctx, name, object, blob.PutOptions{Condition: blob.Condition{IfAbsent: true}, NoRetry: true,
			ContentType: "application/zstd"})
		if err != nil && !errors.Is(err, blob.ErrExists) { // which has the same bytes
			return fmt.Errorf("put %s: %w", name, err)
		}
		c.counts[level]++
		for n, p := range c.kept {
			if n <= c.counts[1]*fan {
				c.held -= len(p.footer)
				delete(c.kept, n)
			}
		}
		return nil
	}
	return nil
}

func (c *Chain) indexObject(ctx context.Context, level int, k uint64) ([]byte, error) {
	group := c.state.Group
	if level > 1 {
		rows, err := c.log.hulls(ctx, group, level-1, k*fan, (k+1)*fan)
		if err != nil {
			return nil, err
		}
		return buildIndex(group, level, k, nil, rows), nil
	}
	all := make([]part, 0, fan)
	for n := k*fan + 1; n <= (k+1)*fan; {
		if p, has := c.kept[n]; has {
			all = append(all, p)
			n++
			continue
		}
		last := n
		for _, has := c.kept[last+1]; !has && last < (k+1)*fan; _, has = c.kept[last+1] {
			last++
		}
		read, err := c.log.footers(ctx, group, n, last)
		if err != nil {
			return nil, err
		}
		all = append(all, partsOf(read)...)
		n = last + 1
	}
	return buildIndex(group, 1, k, all, leafRows(all)), nil
}
