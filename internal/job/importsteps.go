package job

import (
	"context"
	"fmt"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
	"dynaferry/internal/step"
)

// checkSteps refuses steps of an import that take the table's key away.
func (j *importJob) checkSteps(src source.Source) error {
	texts := j.set.Steps
	if log := src.Spec().Log; log != nil {
		texts = log.Steps
	}
	chain, err := step.Parse(texts)
	if err == nil {
		err = chain.KeepsKeys(j.table.desc.Keys)
	}
	if err != nil {
		return fmt.Errorf("items for %s: %w", j.at, err)
	}
	return nil
}

// changedKeys is what the steps make of a key of the source's changes; nil where there are no steps. Of two keys that become one
// nobody could tell whose change is the last.
func (j *importJob) changedKeys(src source.Source) func(item.KeySchema) (item.KeySchema, error) {
	if len(j.set.Steps) == 0 {
		return nil
	}
	return func(keys item.KeySchema) (item.KeySchema, error) {
		chain, err := j.steps.of(j.set.Steps)
		if err != nil {
			return keys, err
		}
		through := chain.StateKeys
		if src.Info().Kind != source.KindIncremental { // over items, whose keys a program may make others of
			through = chain.Keys
		}
		out, unique, err := through(keys)
		if err == nil && !unique {
			err = fault.Hint(fault.New(fault.User, "--step: behind the steps two keys may be one, and %s holds changes: which of theirs is the last is not known",
				src.Address()), "lay the changes over their base first, convert BASE DEST --overlay … --step …, and import DEST")
		}
		return out, err
	}
}

// stillUnique tells whether items of a source without repeated keys have none behind the steps.
func (j *importJob) stillUnique(src source.Source) bool {
	if len(j.set.Steps) == 0 {
		return true
	}
	chain, err := j.steps.of(j.set.Steps)
	if err != nil || src.Info().Keys == nil {
		return false
	}
	keys, unique, err := chain.Keys(*src.Info().Keys)
	return err == nil && unique && keys == j.table.desc.Keys
}

// keysOf is the key of a table to be made for what comes of the source's items; nil where that is not known.
func (s *stepping) keysOf(texts []string, src source.Source, wished item.KeySchema) (*item.KeySchema, error) {
	known := src.Info().Keys
	if known == nil && src.Info().Definition != nil {
		known = &src.Info().Definition.Keys
	}
	if !wished.Empty() || known == nil {
		return nil, nil
	}
	chain, err := s.of(texts)
	if err != nil {
		return nil, err
	}
	keys, _, err := chain.Keys(*known)
	if err != nil {
		return nil, fault.Hint(err, "name the keys of the table to be made: --key, --sort")
	}
	return &keys, nil
}

// importSteps are the steps of a task, and where it puts what they refuse. Its methods do nothing on nil.
type importSteps struct {
	*step.Runner
	refused *deadLetters // nil where another round tells of them
}

func (j *importJob) startSteps(ctx context.Context, a *plan.Attempt) (*importSteps, error) {
	chain, err := j.steps.of(j.set.Steps)
	if err != nil {
		return nil, err
	}
	r, err := j.env.startSteps(ctx, chain, a.Plan.Created)
	if err != nil {
		return nil, err
	}
	return &importSteps{r, newLines(ctx, a, "refused")}, nil
}

// refuse is what becomes of an item of b that cannot pass.
func (s *importSteps) refuse(b *item.Batch) step.Refuse {
	if s.refused == nil {
		return func(step.Refusal) error { return nil }
	}
	return s.refused.refused(b)
}

// finish adds what was dropped and refused to a result that counts what passed.
func (s *importSteps) finish(res *importResult) error {
	if s == nil {
		return nil
	}
	res.Counts.Dropped, res.Counts.Refused = s.Dropped, s.Refused
	var err error
	res.Refused, err = s.refused.close()
	return err
}

func (s *importSteps) close() {
	if s == nil {
		return
	}
	s.Close()
	s.refused.abandon()
}

// arrive has changes go through the steps of an import, as what became of items. A put that a step refuses is put aside as an item, a
// deletion as the record that it was.
func (t *changeTask) arrive(ctx context.Context, b *item.Changes) error {
	if t.steps == nil {
		return nil
	}
	t.list = t.list[:0]
	for i := range b.List {
		c := &b.List[i]
		if c.New != item.NoImage || t.version == "" { // nobody asks what it was before
			c.Old = item.NoImage
		}
		t.list = append(t.list, step.Change{Keys: c.Key, New: c.New, Old: c.Old})
	}
	passed, err := t.steps.States(ctx, &b.Batch, t.list, func(f step.Refusal) error {
		t.refused++
		c := b.List[f.Row]
		if f.Line = c.Line; c.New != item.NoImage {
			return t.steps.refuse(&b.Batch)(f)
		}
		name := "Keys"
		if c.Old != item.NoImage {
			name = "OldImage"
		}
		return t.dead.record(b, c.Line, name, f.Item, f.Reason)
	})
	if err != nil {
		return err
	}
	kept, next := b.List[:0], 0
	for _, p := range passed {
		for b.List[next].Key != p.Keys {
			next++
		}
		c := b.List[next]
		next++
		c.New, c.Old = p.New, p.Old
		kept = append(kept, c)
	}
	b.List = kept
	return nil
}
