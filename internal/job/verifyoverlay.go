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

// A verify whose first side is a base with changes goes the way of such a convert (docs/decisions/0010-overlays.md): the changes
// are spilled, both sides are summed up without the items that may have a change, and those are added with what the changes
// have made. What is searched for keys in the end is the same, once more.

// planOverlay settles what the rounds of an overlay share.
func (v *Verify) planOverlay(ctx context.Context, src source.Source) error {
	if len(src.Info().Windows) == 0 {
		return nil
	}
	var err error
	if v.Overlay, err = newOverlay(ctx, src, v.Keys, nil); err != nil {
		return err
	}
	if v.Keys == nil && v.Overlay.Keys != nil && v.Overlay.Keys.Range.Name == "" {
		v.Keys = v.Overlay.Keys // of two attributes a change does not tell which is the hash key
	}
	v.Stage = stageChanges
	return nil
}

// verifyCarry is what the rounds of a verify hand on.
type verifyCarry struct {
	Sums    [2][]string `json:"sums"` // objects with the item.Buckets, by side
	Rejects [2]int64    `json:"rejects"`
	Units   float64     `json:"units,omitempty"`
	Tasks   []string    `json:"tasks,omitempty"`   // ids of the plans whose tasks read the items
	Changes []string    `json:"changes,omitempty"` // indexes of the changes by bucket
	Aside   []string    `json:"aside,omitempty"`   // and of the items put aside
	Changed string      `json:"changed,omitempty"` // object with the filter of changed keys

	hashes, staged []string // of this round
}

// readCarry is empty in the first round.
func (j *verifyJob) readCarry(ctx context.Context) (*verifyCarry, error) {
	made := new(verifyCarry)
	if j.set.Carry == "" {
		return made, nil
	}
	data, _, err := blob.ReadAll(ctx, j.st.Bucket, j.set.Carry, metaBytesMax)
	if err != nil {
		return nil, fmt.Errorf("read what the round before made: %w", err)
	}
	if err := json.Unmarshal(data, made); err != nil {
		return nil, fault.New(fault.Corrupt, "%s: %w", j.set.Carry, err)
	}
	return made, nil
}

// collect adds one result of this round.
func (m *verifyCarry) collect(res *verifyResult) error {
	if res.Buckets != "" {
		m.Sums[res.Side] = append(m.Sums[res.Side], res.Buckets)
	}
	m.hashes = append(m.hashes, res.Hashes...)
	if res.Aside != nil {
		m.staged = append(m.staged, res.Aside.Index)
	}
	return nil
}

// count adds this round's counts to those of earlier ones, and the sum to the report.
func (m *verifyCarry) count(report *VerifyReport) {
	m.Units += report.Units
	for side := range m.Rejects {
		m.Rejects[side] += report.Rejects[side]
	}
	report.Units, report.Rejects = m.Units, m.Rejects
}

// allTasks are the tasks that read all items: of this plan, and of an earlier round's.
func (m *verifyCarry) allTasks(ctx context.Context, c *plan.Committing) ([]json.RawMessage, error) {
	var all []json.RawMessage
	for _, id := range m.Tasks {
		p, err := plan.Load(ctx, c.State, id)
		if err != nil {
			return nil, err
		}
		bodies, err := taskBodies(ctx, c.State, p)
		if err != nil {
			return nil, err
		}
		all = append(all, bodies...)
	}
	own, err := taskBodies(ctx, c.State, c.Plan)
	return append(all, own...), err
}

// overlayRound asks, behind the changes, for both sides to be read, and behind those for changes and items to be joined.
func (j *verifyJob) overlayRound(ctx context.Context, c *plan.Committing, made *verifyCarry) (plan.Outcome, error) {
	settings := j.set
	var tasks []json.RawMessage
	if j.set.Stage == stageChanges {
		settings.Stage, made.Changes = stageSum, made.staged
		made.Changed = j.st.Name("plans", c.Plan.ID, "staged", "commit.changed")
		if err := stageChanged(ctx, j.st, made.Changed, j.set.Overlay, made.hashes); err != nil {
			return plan.Outcome{}, err
		}
		var srcs [2]source.Source
		for side := range srcs {
			var err error
			if srcs[side], err = j.src[side].open(ctx, j.env, j.sides[side]); err != nil {
				return plan.Outcome{}, err
			}
		}
		var err error
		if tasks, err = j.cut(ctx, srcs); err != nil {
			return plan.Outcome{}, err
		}
	} else {
		settings.Stage, made.Aside, made.Tasks = stageMerge, made.staged, []string{c.Plan.ID}
		ranges, err := cutMerge(ctx, j.st.Bucket, made.Changes, made.Aside)
		if err != nil {
			return plan.Outcome{}, err
		}
		for _, buckets := range ranges {
			tasks = append(tasks, marshal(verifyTask{Buckets: buckets}))
		}
	}
	settings.Carry = j.st.Name("plans", c.Plan.ID, "staged", "commit.carry")
	if _, err := j.st.Bucket.Put(ctx, settings.Carry, marshal(made), blob.PutOptions{}); err != nil {
		return plan.Outcome{}, fmt.Errorf("stage %s: %w", settings.Carry, err)
	}
	return plan.Outcome{Next: furtherRound(j.env, c, settings, settings.Tuning,
		func(context.Context) ([]json.RawMessage, error) { return tasks, nil })}, nil
}

// changesTask spills the changes of its files. Those that contradict themselves are counted.
func (j *verifyJob) changesTask(ctx context.Context, a *plan.Attempt, res *verifyResult) error {
	src, err := j.src[0].open(ctx, j.env, j.sides[0])
	if err != nil {
		return err
	}
	t := &changeTask{keys: j.set.Overlay.keys(), src: src, dead: newDeadLetters(ctx, a), meter: a.Meter}
	defer t.dead.abandon()
	made, err := t.spill(ctx, a, j.set.Overlay, int(j.env.memory())/j.env.workers()/4)
	if err != nil {
		return err
	}
	res.Aside, res.Hashes, res.Rejects = &made.Staged, made.Hashes, t.dead.count
	return nil
}

// newAside takes the items out that may have a change: into a spill while sums are made, away when keys are searched for. It is
// nil where no changes are laid over the side.
func (j *verifyJob) newAside(ctx context.Context, a *plan.Attempt, side int) (*aside, error) {
	if j.set.Overlay == nil || side != 0 {
		return nil, nil
	}
	made, err := j.readCarry(ctx)
	if err != nil {
		return nil, err
	}
	filter, err := j.changed.read(ctx, j.st, made.Changed)
	if err != nil {
		return nil, err
	}
	if j.set.Stage == stageLocate {
		return passAside(j.set.Overlay, filter), nil
	}
	return newAside(ctx, a, j.set.Overlay, filter, int(j.env.memory())/j.env.workers()/4)
}

// mergeTask hands out the items of its buckets: what changes made of them, and those that have none.
func (j *verifyJob) mergeTask(ctx context.Context, a *plan.Attempt, buckets json.RawMessage, take func(*item.Batch) error) error {
	made, err := j.readCarry(ctx)
	if err != nil {
		return err
	}
	src, err := j.src[0].open(ctx, j.env, j.sides[0])
	if err != nil {
		return err
	}
	m, err := newMerging(ctx, j.st, j.set.Overlay, src.Info().Windows, buckets, made.Changes, made.Aside)
	if err != nil {
		return err
	}
	defer m.close()
	write := func(b *item.Batch) error {
		a.Meter.Note("merged items", float64(b.Len()))
		return take(b)
	}
	return m.run(ctx, write, nil, write)
}
