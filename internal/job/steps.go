package job

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/source"
	"dynaferry/internal/step"
	"dynaferry/internal/world"
)

// stepping is the chain of a job, parsed once for all its tasks in this process: they share what lookups hold.
type stepping struct {
	once  sync.Once
	chain *step.Chain
	err   error
}

func (s *stepping) of(texts []string) (*step.Chain, error) {
	s.once.Do(func() { s.chain, s.err = step.Parse(texts) })
	return s.chain, s.err
}

// wholeSteps are the steps with the addresses in them whole: a task of the plan may run in another working directory.
func wholeSteps(texts []string) ([]string, error) {
	chain, err := step.Parse(texts)
	if err != nil {
		return nil, err
	}
	return chain.Resolve(func(address string) (string, error) {
		at, err := world.Parse(address)
		return at.String(), err
	})
}

// startSteps makes a task's runner of a chain; planned is when its plan was made.
func (e *Env) startSteps(ctx context.Context, chain *step.Chain, planned time.Time) (*step.Runner, error) {
	return chain.Start(ctx, *e.steps(planned))
}

// steps is what steps of a plan take from the world around.
func (e *Env) steps(planned time.Time) *step.Env { return &step.Env{Plan: planned, Open: e.readAll} }

// readAll reads all items of an address, for lookups. A table is read within the default budget.
func (e *Env) readAll(ctx context.Context, address string, each func(*item.Batch) error) error {
	src, err := source.Open(ctx, e.World, source.Spec{Address: address})
	if err != nil {
		return err
	}
	units, err := src.Units(ctx, taskBytesFiles, 1)
	if err != nil {
		return err
	}
	var gov governed
	var o source.ReadOptions
	if err := gov.read(ctx, e, src, "", &o, nil); err != nil {
		return err
	}
	for _, u := range units {
		if err := readUnit(ctx, src, u, o, each); err != nil {
			return fmt.Errorf("look up in %s: %w", address, err)
		}
	}
	return nil
}

// refused puts an item aside that a step refused, as it was before the first step: the same command over the dead letters is
// the retry.
func (d *deadLetters) refused(b *item.Batch) step.Refuse {
	return func(f step.Refusal) error {
		l := letter{File: b.File, Path: fault.PlaceOf(f.Reason).Path, ErrorMessages: []string{f.Reason.Error()}, Item: item.AppendCanonical(nil, f.Item)}
		if b.FirstLine > 0 {
			l.Line = b.FirstLine + int64(f.Line)
		}
		return d.add(l)
	}
}

// checkSteps refuses steps that are none, and those that take away what was asked for. What they name is whole afterwards.
func (c *Copy) checkSteps() error {
	var err error
	if c.Steps, err = wholeSteps(c.Steps); err != nil || !c.Bloom || c.Keys == nil {
		return err
	}
	chain, err := step.Parse(c.Steps)
	if err != nil {
		return err
	}
	if _, _, err := chain.Keys(*c.Keys); err != nil {
		return fmt.Errorf("--bloom: %w", err)
	}
	return nil
}

// arriving is the key as it is behind the steps, and whether equal keys are still those of one item; nil where there is none, or
// where a step takes it away.
func (c *Copy) arriving() (keys *item.KeySchema, unique bool) {
	if c.Keys == nil || len(c.Steps) == 0 {
		return c.Keys, true
	}
	chain, err := step.Parse(c.Steps)
	if err != nil {
		return nil, false // was refused when the plan was made
	}
	out, unique, err := chain.Keys(*c.Keys)
	if err != nil {
		return nil, false
	}
	return &out, unique
}

// arrivingDefinition is what is known of a table of the items behind the steps. One whose key became another says no more than its
// key: indexes and settings were of the table of before.
func (c *Copy) arrivingDefinition(def *dynamo.Definition) *dynamo.Definition {
	if def == nil || len(c.Steps) == 0 {
		return def
	}
	keys, _ := c.arriving()
	switch {
	case keys == nil:
		return nil
	case *keys == def.Keys:
		return def
	}
	return &dynamo.Definition{Version: def.Version, Name: def.Name, Keys: *keys, BillingMode: def.BillingMode, ReadUnits: def.ReadUnits, WriteUnits: def.WriteUnits}
}
