package job

import (
	"context"
	"encoding/json"
	"fmt"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
)

// checkChanges refuses what makes no sense with changes, before a table is made.
func (j *importJob) checkChanges(src source.Source, wish ImportWish) error {
	info := src.Info()
	if len(info.Windows) == 0 {
		return nil
	}
	s := &j.set
	if info.Kind != source.KindIncremental {
		return j.checkOver()
	}
	switch {
	case wish.Create != nil:
		return fault.Hint(fault.New(fault.User, "--create: changes alone make no table"), "import what they follow first, or convert BASE --overlay %s DEST", src.Address())
	case s.Mode == ModeIfAbsent || s.Mode == ModeDelete:
		return fault.Hint(fault.New(fault.User, "--mode %s: a change replaces or deletes what is there", s.Mode), "use --overwrite, or --mode newer")
	case len(s.Compose) > 0:
		return fault.New(fault.User, "--key: changes have the table's own keys; none is composed")
	case s.Dedupe != "last":
		return fault.New(fault.User, "--dedupe %s: the last window wins", s.Dedupe)
	}
	for _, w := range info.Windows {
		if w.View == "KEYS_ONLY" || w.View == "OLD_IMAGE" {
			return fault.Hint(fault.New(fault.User, "%s has the view %s: what items became is not in it", w.URL, w.View), "follow the table with a stream of NEW_AND_OLD_IMAGES")
		}
		if s.Mode == ModeNewer && w.View != "NEW_AND_OLD_IMAGES" {
			return fault.Hint(fault.New(fault.User, "--mode newer: %s has the view %s, whose deletions tell no version", w.URL, w.View),
				"use an export with NEW_AND_OLD_IMAGES, or --overwrite")
		}
	}
	return nil
}

// checkOver refuses what makes no sense with changes that are laid over items.
func (j *importJob) checkOver() error {
	switch { // what tells its moment is a table, whole and in one version: no key is in it twice
	case j.set.Mode == ModeDelete:
		return fault.New(fault.User, "--mode delete: name the items by their keys, without --overlay")
	case len(j.set.Compose) > 0:
		return fault.New(fault.User, "--key: changes have the table's own keys; none is composed")
	}
	return nil
}

// planChanges settles how an incremental export, or a chain of them, goes into the table. One window is written as it is
// read: it has one change of an item. Of several only what each item has become in the end is written, so that no order
// of writes matters and none has to be taken back.
func (j *importJob) planChanges(ctx context.Context, src source.Source) error {
	windows := src.Info().Windows
	if len(windows) == 0 {
		return nil
	}
	s := &j.set
	var err error
	if s.Changes, err = newOverlay(ctx, src, &j.table.desc.Keys, j.changedKeys(src)); err != nil {
		return err
	}
	s.Stage = stageApply
	if len(windows) > 1 || windows[0].Log || src.Info().Kind != source.KindIncremental {
		s.Stage = stageChanges
	}
	return nil
}

// soleKey is the key of the changes where it is a single attribute: of two a change does not tell which is the hash key.
func soleKey(ctx context.Context, src source.Source) (*item.KeySchema, error) {
	keys, _, err := firstKeys(ctx, src)
	if err != nil || keys == nil || keys.Range.Name != "" {
		return nil, err
	}
	return keys, nil
}

func (j *importJob) newChangeTask(ctx context.Context, a *plan.Attempt, dead *deadLetters) (*changeTask, error) {
	src, err := j.src.open(ctx, j.env, j.spec)
	if err != nil {
		return nil, err
	}
	t := &changeTask{keys: j.set.Changes.keys(), version: j.set.Version, images: j.set.Images, src: src, dead: dead, meter: a.Meter,
		logged: j.env.steps(a.Plan.Created)}
	if len(j.set.Steps) > 0 {
		t.steps, err = j.startSteps(ctx, a)
	}
	return t, err
}

// changesTask spills the changes of several windows by their keys.
func (j *importJob) changesTask(ctx context.Context, a *plan.Attempt) (*importResult, error) {
	dead := newDeadLetters(ctx, a)
	defer dead.abandon()
	t, err := j.newChangeTask(ctx, a, dead)
	if err != nil {
		return nil, err
	}
	defer t.steps.close()
	made, err := t.spill(ctx, a, j.set.Changes, int(j.env.memory())/j.env.workers()/3)
	if err != nil {
		return nil, err
	}
	res := &importResult{Staged: made.Staged, Hashes: made.Hashes, Counts: ImportCounts{Changes: t.read, DeadLetters: t.refused}}
	if j.spec.Kind == source.KindIncremental { // changes are all that is read
		res.Counts.Changes, res.Counts.Read = 0, t.read
	}
	if res.Dead, err = dead.close(); err == nil {
		err = t.steps.finish(res)
	}
	return res, err
}

// applyRound asks for what the windows come to to be written, or where they are laid over items, for those to be read.
func (j *importJob) applyRound(ctx context.Context, c *plan.Committing, made *importCarry) (plan.Outcome, error) {
	settings := j.set
	settings.Stage, settings.Indexes = stageApply, made.Indexes
	if j.spec.Kind == source.KindIncremental {
		return j.bucketRound(ctx, c, settings, made, made.Indexes)
	}
	settings.Stage = stageWrite
	settings.Changed = j.st.Name("plans", c.Plan.ID, "staged", "commit.changed")
	if err := stageChanged(ctx, j.st, settings.Changed, j.set.Changes, made.Hashes); err != nil {
		return plan.Outcome{}, err
	}
	src, err := j.src.open(ctx, j.env, j.spec)
	if err != nil {
		return plan.Outcome{}, err
	}
	tasks, err := j.cut(ctx, src)
	if err != nil {
		return plan.Outcome{}, err
	}
	return j.carryOn(ctx, c, settings, made, tasks)
}

// mergeRound asks for the changes, and the items that may have one, to be joined.
func (j *importJob) mergeRound(ctx context.Context, c *plan.Committing, made *importCarry) (plan.Outcome, error) {
	settings := j.set
	settings.Stage, settings.Aside = stageMerge, made.Indexes
	return j.bucketRound(ctx, c, settings, made, settings.Indexes, settings.Aside)
}

// bucketRound asks for a round over the buckets of runs.
func (j *importJob) bucketRound(ctx context.Context, c *plan.Committing, settings Import, made *importCarry, runs ...[]string) (plan.Outcome, error) {
	tasks, err := cutMerge(ctx, j.st.Bucket, runs...)
	if err != nil {
		return plan.Outcome{}, err
	}
	return j.carryOn(ctx, c, settings, made, tasks)
}

// carryOn asks for a further round, which gets what those before it made.
func (j *importJob) carryOn(ctx context.Context, c *plan.Committing, settings Import, made *importCarry, tasks []json.RawMessage) (plan.Outcome, error) {
	settings.Carry = j.st.Name("plans", c.Plan.ID, "staged", "commit.carry")
	if _, err := j.st.Bucket.Put(ctx, settings.Carry, marshal(made), blob.PutOptions{}); err != nil {
		return plan.Outcome{}, fmt.Errorf("stage %s: %w", settings.Carry, err)
	}
	return plan.Outcome{Next: furtherRound(j.env, c, settings, settings.Tuning,
		func(context.Context) ([]json.RawMessage, error) { return tasks, nil })}, nil
}

// changedAside takes the items out of what is read that may have a change; nil where none is laid over them.
func (j *importJob) changedAside(ctx context.Context, a *plan.Attempt) (*aside, error) {
	if j.set.Changed == "" {
		return nil, nil
	}
	filter, err := j.over.read(ctx, j.st, j.set.Changed)
	if err != nil {
		return nil, err
	}
	return newAside(ctx, a, j.set.Changes, filter, int(j.env.memory())/j.env.workers()/4)
}

// mergeTask writes the items of its buckets: what changes made of them, and those that have none.
func (j *importJob) mergeTask(ctx context.Context, a *plan.Attempt) (*importResult, error) {
	t, err := j.newWriting(ctx, a)
	if err != nil {
		return nil, err
	}
	defer t.dead.abandon()
	err = t.run(ctx, func(ctx context.Context, hand handing) error {
		return j.eachBucket(ctx, a, t, func(m *merging, give func(gone bool) func(*item.Batch) error) error {
			return m.run(ctx, give(false), nil, give(false))
		}, hand)
	})
	if err != nil {
		return nil, err
	}
	return t.finish()
}

// applyTask writes changes: of its files, or of its buckets.
func (j *importJob) applyTask(ctx context.Context, a *plan.Attempt) (*importResult, error) {
	t, err := j.newWriting(ctx, a)
	if err != nil {
		return nil, err
	}
	defer t.dead.abandon()
	switch {
	case j.set.Every:
		err = j.applyEvery(ctx, a, t)
	case len(j.set.Indexes) > 0:
		err = t.run(ctx, func(ctx context.Context, hand handing) error { return j.applyBuckets(ctx, a, t, hand) })
	default:
		var in *changeTask
		if in, err = j.newChangeTask(ctx, a, t.dead); err != nil {
			return nil, err
		}
		t.steps = in.steps
		defer t.steps.close()
		err = t.run(ctx, func(ctx context.Context, hand handing) error { return applyFiles(ctx, a, in, t, hand) })
	}
	if err != nil {
		return nil, err
	}
	return t.finish()
}

func applyFiles(ctx context.Context, a *plan.Attempt, in *changeTask, t *writing, hand handing) error {
	err := in.each(ctx, a.Task.Body, func(_ int, b *item.Changes) error {
		gone, puts := t.free(), t.free()
		gone.Reset()
		gone.File, gone.FirstLine = b.File, b.FirstLine
		build := item.NewBuilder(gone)
		var kept []item.Row
		for i, c := range b.List {
			if c.New == item.NoImage {
				in.gone(build, b, i)
				continue
			}
			row := b.Rows[c.New]
			row.Line = c.Line
			kept = append(kept, row)
		}
		*puts, b.Batch = b.Batch, *puts
		puts.Rows = kept
		if err := hand(gone, true); err != nil {
			return err
		}
		return hand(puts, false)
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Read, t.counts.DeadLetters = in.read, t.counts.DeadLetters+in.refused
	return err
}

func (j *importJob) applyBuckets(ctx context.Context, a *plan.Attempt, t *writing, hand handing) error {
	return j.eachBucket(ctx, a, t, func(m *merging, give func(gone bool) func(*item.Batch) error) error {
		return m.run(ctx, give(false), give(true), nil)
	}, hand)
}

// eachBucket joins the task's buckets. give makes what hands copies of the batches of merging to the writers.
func (j *importJob) eachBucket(ctx context.Context, a *plan.Attempt, t *writing, run func(m *merging, give func(gone bool) func(*item.Batch) error) error,
	hand handing) error {
	src, err := j.src.open(ctx, j.env, j.spec)
	if err != nil {
		return err
	}
	m, err := newMerging(ctx, j.st, j.set.Changes, src.Info().Windows, a.Task.Body, j.set.Indexes, j.set.Aside)
	if err != nil {
		return err
	}
	defer m.close()
	give := func(gone bool) func(*item.Batch) error {
		return func(b *item.Batch) error {
			own := t.free()
			own.Reset()
			own.Src, own.Tape, own.Rows = item.GrowSlack(append(own.Src, b.Src...)), append(own.Tape, b.Tape...), append(own.Rows, b.Rows...)
			return hand(own, gone)
		}
	}
	return run(m, give)
}
