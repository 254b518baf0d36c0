package job

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"dynaferry/internal/delivery"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/step"
)

// changeSteps is a chain of steps over the changes of a delivery.
type changeSteps struct {
	chain  *step.Chain
	runner *step.Runner

	batch item.Batch // the images, in memory of their own: the log's stay as they were
	list  []step.Change
	at    []int // in the delivery's changes, by the row of the keys
}

// transforms makes steps for a delivery, and ends the programs of all of them at the end.
type transforms struct {
	env  *Env
	mu   sync.Mutex
	made []*changeSteps
}

// of implements delivery.Options.Transform.
func (t *transforms) of(ctx context.Context, texts []string) (delivery.Transform, error) {
	chain, err := step.Parse(texts)
	if err != nil {
		return nil, err
	}
	runner, err := chain.Start(ctx, step.Env{Open: t.env.readAll})
	if err != nil {
		return nil, err
	}
	s := &changeSteps{chain: chain, runner: runner}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.made = append(t.made, s)
	return s, nil
}

func (t *transforms) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.made {
		s.runner.Close()
	}
}

// Pure implements delivery.Transform.
func (s *changeSteps) Pure() bool { return s.chain.Pure() }

// Apply implements delivery.Transform.
func (s *changeSteps) Apply(ctx context.Context, changes []delivery.Change) error {
	s.gather(changes)
	passed, err := s.runner.Changes(ctx, &s.batch, s.list, func(f step.Refusal) error {
		c := &changes[f.Row]
		c.Fate, c.Reason = delivery.Refused, f.Reason.Error()
		return nil
	})
	if err != nil {
		return err
	}
	for i := range changes {
		if changes[i].Fate == delivery.Kept {
			changes[i].Fate = delivery.Dropped
		}
	}
	for i := range passed {
		p := &passed[i]
		c := &changes[s.at[p.Keys]]
		c.Fate = delivery.Kept
		s.settle(c, &c.Keys, p.Keys)
		s.settle(c, &c.New, p.New)
		s.settle(c, &c.Old, p.Old)
	}
	return nil
}

// settle puts an image in place, if the steps made another of it.
func (s *changeSteps) settle(c *delivery.Change, to *item.Item, row int32) {
	if row == item.NoImage {
		return
	}
	made := s.batch.Item(int(row))
	if !bytes.Equal(made.Raw(), to.Raw()) {
		*to, c.Changed = made, true
	}
}

// gather copies the images into the batch that steps work on.
func (s *changeSteps) gather(changes []delivery.Change) {
	s.batch.Reset()
	s.list, s.at = s.list[:0], s.at[:0]
	size := item.Slack
	for i := range changes {
		for _, it := range []item.Item{changes[i].Keys, changes[i].New, changes[i].Old} {
			if len(it.Tape) > 0 {
				size += len(it.Raw())
			}
		}
	}
	s.batch.Src = slices.Grow(s.batch.Src, size)
	for i := range changes {
		c := &changes[i]
		c.Fate, c.Reason, c.Changed = delivery.Kept, "", false
		s.list = append(s.list, step.Change{Keys: s.copy(c.Keys, i), New: s.copy(c.New, i), Old: s.copy(c.Old, i),
			Facts: step.Facts{Op: opOf(c.Event), Micros: c.Micros, Position: c.Position.String(), TTL: c.Service && c.Event == feed.Remove}})
	}
}

func opOf(e feed.Event) step.Op {
	switch e {
	case feed.Insert:
		return step.Insert
	case feed.Remove:
		return step.Remove
	}
	return step.Modify
}

// copy adds an image of the i-th change to the batch.
func (s *changeSteps) copy(it item.Item, i int) int32 {
	if len(it.Tape) == 0 {
		return item.NoImage
	}
	b := &s.batch
	row, shift := int32(len(b.Rows)), uint32(len(b.Src))-it.Tape[0].Off
	b.Rows = append(b.Rows, item.Row{First: uint32(len(b.Tape)), Line: uint32(i)})
	s.at = append(s.at, i)
	b.Src = append(b.Src, it.Raw()...)
	for _, t := range it.Tape {
		t.Off += shift
		t.End += shift
		b.Tape = append(b.Tape, t)
	}
	return row
}
