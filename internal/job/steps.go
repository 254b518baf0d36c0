package job

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
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

// checkSteps refuses steps of an import that nothing would heed, or that take the table's key away.
func (j *importJob) checkSteps(src source.Source) error {
	if log := src.Spec().Log; log != nil && len(log.Steps) > 0 {
		chain, err := step.Parse(log.Steps)
		if err == nil {
			err = chain.KeepsKeys(j.table.desc.Keys)
		}
		if err != nil {
			return fmt.Errorf("items for %s: %w", j.at, err)
		}
	}
	if len(j.set.Steps) == 0 {
		return nil
	}
	if len(src.Info().Windows) > 0 {
		return fault.Hint(fault.New(fault.Unsupported, "--step: steps are for items, and %s holds changes, of which some are deletions", src.Address()),
			"lay the changes over their base first, convert BASE DEST --overlay … --step …, and import DEST")
	}
	chain, err := j.steps.of(j.set.Steps)
	if err != nil {
		return err
	}
	if err := chain.KeepsKeys(j.table.desc.Keys); err != nil {
		return fmt.Errorf("items for %s: %w", j.at, err)
	}
	return nil
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

// importSteps are the steps of a task, and who takes what they refuse.
type importSteps struct {
	*step.Runner
	refuse func(*item.Batch) step.Refuse
}

func (j *importJob) startSteps(ctx context.Context, a *plan.Attempt, refuse func(*item.Batch) step.Refuse) (*importSteps, error) {
	chain, err := j.steps.of(j.set.Steps)
	if err != nil {
		return nil, err
	}
	r, err := j.env.startSteps(ctx, chain, a.Plan.Created)
	return &importSteps{r, refuse}, err
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
