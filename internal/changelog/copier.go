package changelog

import (
	"cmp"
	"context"
	"fmt"

	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// CopierOptions are a copier's measures; zero values mean the defaults.
type CopierOptions struct {
	EntryBytes int // of records, uncompressed, that make an entry: 32 MiB, so that small entries of the other log become few
	Builder    BuilderOptions
}

const copyBytesDefault = 32 << 20

// Copier writes one chain of a log that holds a part of another (Info.Part): that one's entries in their order, with those of their
// records that are meant. Behind each entry of its own the state is that of the other log behind Through, but for what it counts. The
// tail of the chain is all its progress: whoever opens another Copier goes on where it ends, and of several that run at once one wins
// each entry, so that no record is lost or comes twice. It is not for concurrent use.
type Copier struct {
	from  *Log
	chain *Chain
	build *Builder
	runs  Run
	most  int               // bytes that make an entry
	gaps  map[uint64]uint64 // entries of kind gap: by their number in the other log, in this one

	// What the next entry says.
	stream  string
	at      int64
	listed  int64
	through uint64
}

// Copier opens the chain of a group to go on with it. writer is as in Chain.
func (l *Log) Copier(ctx context.Context, group uint32, writer string, from *Log, o CopierOptions) (*Copier, error) {
	if l.Part == nil || l.Part.Of != from.ID || int(group) >= len(l.Part.Entries) {
		return nil, fault.New(fault.Bug, "%s holds no part of group %d of %s", l.URL(), group, from.URL())
	}
	c := &Copier{from: from, runs: l.Part.Entries[group], most: cmp.Or(o.EntryBytes, copyBytesDefault)}
	var err error
	if c.chain, err = l.Chain(ctx, group, writer, ChainOptions{}); err != nil {
		return nil, err
	}
	state := c.chain.State()
	if c.build, err = NewBuilder(state, o.Builder); err != nil {
		return nil, err
	}
	if c.stream, c.listed, c.through = state.Stream, state.Listed, state.Through; state.N == 0 {
		err = c.begin(ctx)
	}
	return c, err
}

// Through is the last entry of the other log that is in this one, or will be with the next entry.
func (c *Copier) Through() uint64 { return c.through }

// begin takes over where the other chain stands before the first entry, so that nobody takes a shard that has nothing to tell for long for
// one that is not there.
func (c *Copier) begin(ctx context.Context) error {
	before := c.runs.First - 1
	if before == 0 {
		return nil
	}
	group := c.chain.State().Group
	e, err := c.from.Entry(ctx, group, before)
	if err != nil {
		return c.from.missing(err, group, before)
	}
	state, err := c.from.StateAt(ctx, group, before)
	if err != nil {
		return err
	}
	c.pass(e)
	whole := &Entry{}
	for _, s := range state.Shards() {
		whole.Shards = append(whole.Shards, *s)
	}
	return c.stand(whole)
}

// Records gives a copier the records of an entry that are meant, in the order of its blocks, each with the block that it is of.
type Records func(add func(p *Part, r Record) error) error

// Entry goes on with the next entry of the other log that is to be copied, behind Through. It may be durable or not before Finish. Errors are those of Chain.Append, with which the copier is void, and of records.
func (c *Copier) Entry(ctx context.Context, b *Batch, records Records) error {
	e := b.Entry
	switch e.Kind {
	case Gap:
		return c.alone(ctx, e, c.gap)
	case Release:
		return c.alone(ctx, e, func(context.Context, *Entry) (*Draft, error) {
			return c.build.Release(e.Release.Group, e.Release.Shards...)
		})
	case Compacted:
		if from, to := c.chain.log.Part.Bounds(); !e.Compacted.Meets(from, to) {
			c.pass(e) // of a gap of another time
			return nil
		}
		return c.alone(ctx, e, func(ctx context.Context, e *Entry) (*Draft, error) { return c.compacted(ctx, e, records) })
	}
	size := 0
	for i := range b.Parts {
		size += int(b.Parts[i].Bytes)
	}
	if c.build.Bytes() > 0 && c.build.Bytes()+size > c.most { // so that no entry of the other log is cut: what went into one goes into one again
		if err := c.Finish(ctx); err != nil {
			return err
		}
	}
	err := records(func(p *Part, r Record) error {
		if err := c.enter(e, p.Source); err != nil {
			return err
		}
		return c.build.Add(p.Source.ID, r)
	})
	if err == nil {
		err = c.stand(e)
	}
	c.pass(e)
	return err
}

// pass notes that an entry is done with.
func (c *Copier) pass(e *Entry) { c.through, c.at, c.stream, c.listed = e.N, e.At, e.Stream, e.Listed }

// enter begins a shard of an entry that is new here; its parents are done with then.
func (c *Copier) enter(e *Entry, s *Shard) error {
	if _, has := c.build.Shard(s.ID); has {
		return nil
	}
	for _, id := range s.Parents {
		if parent := e.Shard(id); parent != nil {
			if err := c.enter(e, parent); err != nil {
				return err
			}
			if err := c.build.Advance(parent); err != nil {
				return err
			}
		}
	}
	return c.build.Begin(Shard{ID: s.ID, Parents: s.Parents, Begun: s.Begun})
}

// stand takes over where shards stand behind an entry.
func (c *Copier) stand(e *Entry) error {
	for i := range e.Shards {
		if err := c.enter(e, &e.Shards[i]); err != nil {
			return err
		}
		if err := c.build.Advance(&e.Shards[i]); err != nil {
			return err
		}
	}
	return nil
}

// alone makes an entry of its own of one of the other log.
func (c *Copier) alone(ctx context.Context, e *Entry, draft func(context.Context, *Entry) (*Draft, error)) error {
	if err := c.Finish(ctx); err != nil {
		return err
	}
	d, err := draft(ctx, e)
	if err != nil {
		return err
	}
	c.pass(e)
	made, err := c.append(ctx, d)
	if err == nil && e.Kind == Gap && c.gaps != nil {
		c.gaps[e.N] = made.N
	}
	return err
}

// gap tells the same gap here.
func (c *Copier) gap(_ context.Context, e *Entry) (*Draft, error) {
	to := map[string]feed.Position{}
	for i := range e.Shards {
		to[e.Shards[i].ID] = e.Shards[i].End
	}
	return c.build.Gap(*e.Gap, to)
}

// compacted gives what is told of a gap its number here, which is 0 of one before the part.
func (c *Copier) compacted(ctx context.Context, e *Entry, records Records) (*Draft, error) {
	if c.gaps == nil {
		if err := c.findGaps(ctx); err != nil {
			return nil, err
		}
	}
	if err := records(func(_ *Part, r Record) error { return c.build.AddLoose(r) }); err != nil {
		return nil, err
	}
	d := c.build.Cut()
	note := *e.Compacted
	note.Gap = c.gaps[note.Gap]
	d.Kind, d.Compacted = Compacted, &note
	return d, nil
}

// findGaps finds the gaps that are copied already.
func (c *Copier) findGaps(ctx context.Context) error {
	c.gaps = map[uint64]uint64{}
	state := c.chain.State()
	for b, err := range c.chain.log.Entries(ctx, state.Group, 1, state.N) {
		if err != nil {
			return err
		}
		if b.Gap != nil {
			c.gaps[b.Through] = b.N
		}
	}
	return nil
}

// Finish makes durable what was copied.
func (c *Copier) Finish(ctx context.Context) error {
	if !c.build.Touched() && c.listed == c.chain.State().Listed {
		return nil
	}
	_, err := c.append(ctx, c.build.Cut())
	return err
}

func (c *Copier) append(ctx context.Context, d *Draft) (*Entry, error) {
	d.Stream, d.At, d.Listed, d.Through = c.stream, c.at, c.listed, c.through
	e, err := c.chain.Append(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("copy entry %d: %w", c.through, err)
	}
	return e, nil
}
