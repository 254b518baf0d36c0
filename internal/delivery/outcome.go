package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// outcomes makes durable what impure steps did, a block of the log at a time, before anything is made of it: the first
// outcome of a block is the one that counts, whoever runs the steps again. So all that comes behind is as repeatable as
// without steps, and a program that costs money is not run twice for what it has done.
type outcomes struct {
	l      *ledger
	epoch  uint64
	group  uint32
	commit commit.Options
}

// outcome is what became of one change; null is unchanged.
type outcome struct {
	Dropped bool            `json:"dropped,omitempty"`
	Refused string          `json:"refused,omitempty"`
	Keys    json.RawMessage `json:"keys,omitempty"`
	New     json.RawMessage `json:"new,omitempty"`
	Old     json.RawMessage `json:"old,omitempty"`
}

type blockOutcome struct {
	Format  int        `json:"format"`
	Changes []*outcome `json:"changes"`
}

func (o *outcomes) name(p *page) string {
	return path.Join(o.l.dir, fmt.Sprintf("outcomes/%012d/%03d-%012d-%05d", o.epoch, o.group, p.entry.N, p.block))
}

func (o *outcomes) apply(ctx context.Context, t Transform, p *page) error {
	name := o.name(p)
	body, err := commit.Read(ctx, o.l.bucket, name)
	if errors.Is(err, blob.ErrNotFound) {
		if err = t.Apply(ctx, p.changes); err != nil {
			return err
		}
		var result commit.Result
		if body, err = json.Marshal(told(p.changes)); err != nil {
			return fmt.Errorf("outcome of steps: %w", err)
		}
		if result, err = commit.Put(ctx, o.l.bucket, name, body, o.commit); err == nil {
			body = result.Body // also our own: what is used is what a restart will read
		}
	}
	if err != nil {
		return fmt.Errorf("outcome of steps: %w", err)
	}
	var b blockOutcome
	if err := o.l.decode(name, body, &b); err != nil {
		return err
	}
	if len(b.Changes) != len(p.changes) {
		return fault.At(fault.New(fault.Corrupt, "it is of %d changes, the block has %d", len(b.Changes), len(p.changes)), o.l.place(name))
	}
	for i, c := range b.Changes {
		if err := c.into(p, i); err != nil {
			return fault.At(err, o.l.place(name))
		}
	}
	return nil
}

func told(changes []Change) blockOutcome {
	b := blockOutcome{Format: formatVersion, Changes: make([]*outcome, len(changes))}
	for i := range changes {
		switch c := &changes[i]; {
		case c.Fate == Dropped:
			b.Changes[i] = &outcome{Dropped: true}
		case c.Fate == Refused:
			b.Changes[i] = &outcome{Refused: c.Reason}
		case c.Changed:
			b.Changes[i] = &outcome{Keys: raw(c.Keys), New: raw(c.New), Old: raw(c.Old)}
		}
	}
	return b
}

func raw(it item.Item) json.RawMessage {
	if !has(it) {
		return nil
	}
	return appendImage(nil, it)
}

// into sets what became of the i-th change of a page, whose images are those of the log again before.
func (o *outcome) into(p *page, i int) (err error) {
	c := &p.changes[i]
	r := &p.feed.Records[c.record]
	c.Fate, c.Reason, c.Changed = Kept, "", false
	c.Keys, c.New, c.Old = p.item(r.Keys), p.item(r.New), p.item(r.Old)
	switch {
	case o == nil:
	case o.Dropped:
		c.Fate = Dropped
	case o.Refused != "":
		c.Fate, c.Reason = Refused, o.Refused
	default:
		c.Changed = true
		c.Keys, err = parsed(o.Keys, err)
		c.New, err = parsed(o.New, err)
		c.Old, err = parsed(o.Old, err)
	}
	return err
}

func parsed(text json.RawMessage, before error) (item.Item, error) {
	if len(text) == 0 || before != nil {
		return item.Item{}, before
	}
	return ddbjson.ParseItem(text)
}
