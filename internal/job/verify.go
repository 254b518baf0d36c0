package job

import (
	"context"
	"encoding/json"
	"fmt"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
)

// Verify are the settings of verify: are the items of two sources equal?
type Verify struct {
	Keys    *item.KeySchema `json:"keys,omitempty"`
	Buckets int             `json:"buckets"`
	Limit   int             `json:"limit"` // differences in the report

	// Further rounds.
	Stage   string   `json:"stage,omitempty"`
	Differ  []int    `json:"differ,omitempty"`  // buckets whose fingerprints differ
	Overlay *Overlay `json:"overlay,omitempty"` // changes are laid over the first side
	Carry   string   `json:"carry,omitempty"`   // object with what earlier rounds of an overlay left, see verifyCarry

	Tuning `json:"-"`
}

// The stages of a verify: both sides are summed up, and where that differs the keys are found. Of an overlay, stageChanges comes
// before, and stageMerge adds what changes have made (verifyoverlay.go).
const (
	stageSum    = ""
	stageLocate = "locate"
)

// Sides are the identity of what verify reads.
type Sides [2]source.Spec

// BucketsDefault cuts a table's fingerprint so finely that a single difference is located by reading a four-thousandth
// of both sides.
const BucketsDefault = 4096

// LimitDefault is how many differences a report lists; the file in the state root has all.
const LimitDefault = 100

type verifyJob struct {
	env   *Env
	set   Verify
	sides Sides
	st    plan.State
	src   [2]opened
	gov   [2]governed

	changed changedOnce
}

// verifyTask is one task: units of one side, or buckets of the changes that are laid over it.
type verifyTask struct {
	Side    int             `json:"side"`
	Units   []source.Unit   `json:"units,omitempty"`
	Buckets json.RawMessage `json:"buckets,omitempty"`
}

// NewVerify prepares the comparison of two sources.
func NewVerify(ctx context.Context, env *Env, a, b source.Spec, set Verify) (*Request, error) {
	j := &verifyJob{env: env}
	if err := set.Tuning.check(); err != nil {
		return nil, err
	}
	var srcs [2]source.Source
	for i, spec := range []source.Spec{a, b} {
		src, err := source.Open(ctx, env.World, spec)
		if err != nil {
			return nil, err
		}
		for _, warning := range src.Info().Warnings {
			env.say("warning: %s: %s", src.Address(), warning)
		}
		if src.Info().Kind == source.KindIncremental {
			return nil, fault.Hint(fault.New(fault.User, "%s is an incremental export: changes say nothing of the items that did not change", src.Address()),
				"lay it over its base: dynaferry verify BASE OTHER --overlay %s", src.Address())
		}
		srcs[i], j.sides[i] = src, src.Spec()
		j.src[i].set(src)
		if set.Keys == nil {
			set.Keys = src.Info().Keys
		}
	}
	if err := set.planOverlay(ctx, srcs[0]); err != nil {
		return nil, err
	}
	if set.Buckets == 0 {
		set.Buckets = BucketsDefault
	}
	if set.Limit < 0 {
		return nil, fault.New(fault.User, "--limit %d: it is 0, for the default, or more", set.Limit)
	}
	if set.Limit == 0 {
		set.Limit = LimitDefault
	}
	if set.Keys == nil {
		set.Buckets = 1
		env.say("the keys of the items are not known (--key names them): a difference can be seen, not located")
	}
	j.set = set
	var err error
	var stateAt string
	if j.st, stateAt, err = stateBeside(ctx, env, srcs[0], srcs[1]); err != nil {
		return nil, err
	}
	return &Request{State: j.st, StateAddress: stateAt, Job: j, Destination: "a report", sources: srcs[:], Spec: plan.Spec{Verb: "verify", Source: marshal(j.sides), Settings: marshal(set),
		Tuning: marshal(set.Tuning), Before: set.before(), Writer: env.Version,
		Tasks: func(ctx context.Context) ([]json.RawMessage, error) {
			if set.Stage == stageChanges {
				return j.sideTasks(0, srcs[0].(source.Changer).ChangeUnits(), taskBytesFiles), nil
			}
			return j.cut(ctx, srcs)
		}}}, nil
}

// before are the settings as plans of format 1 have them.
func (v *Verify) before() json.RawMessage {
	return marshal(struct {
		Verify
		ReadUnits string `json:"readUnits,omitempty"`
	}{*v, v.ReadUnits})
}

func newVerify(env *Env, st plan.State, p *plan.Plan) (plan.Job, error) {
	j := &verifyJob{env: env, st: st}
	var err error
	j.set.Tuning, err = parsePlan(p, &j.sides, &j.set)
	return j, err
}

func (j *verifyJob) cut(ctx context.Context, srcs [2]source.Source) ([]json.RawMessage, error) {
	var tasks []json.RawMessage
	for side, src := range srcs {
		bytes := int64(taskBytesFiles)
		if src.Info().Kind == source.KindTable {
			bytes = taskBytesTable
		}
		units, err := src.Units(ctx, bytes, max(segmentsLeast, j.env.workers()))
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, j.sideTasks(side, units, bytes)...)
	}
	return tasks, nil
}

func (j *verifyJob) sideTasks(side int, units []source.Unit, bytes int64) []json.RawMessage {
	var tasks []json.RawMessage
	for _, units := range groupUnits(units, bytes, j.env.workers()) {
		tasks = append(tasks, marshal(verifyTask{Side: side, Units: units}))
	}
	return tasks
}

// verifyResult is the body of a task's result.
type verifyResult struct {
	Side    int         `json:"side"`
	Buckets string      `json:"buckets,omitempty"` // object with the item.Buckets
	Staged  sink.Staged `json:"staged"`            // the second round's runs
	Items   int64       `json:"items"`
	Rejects int64       `json:"rejects,omitempty"`
	Units   float64     `json:"units,omitempty"`

	Hashes []string     `json:"hashes,omitempty"` // of the keys of changes
	Aside  *sink.Staged `json:"aside,omitempty"`  // changes by bucket, or items that may have one
}

// Task fingerprints its units by bucket; in the second round it keeps the items of the buckets that differ.
func (j *verifyJob) Task(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	var task verifyTask
	if err := json.Unmarshal(a.Task.Body, &task); err != nil || task.Side < 0 || task.Side > 1 {
		return nil, fault.New(fault.Corrupt, "task %d is none of verify's", a.Task.Index)
	}
	res := &verifyResult{Side: task.Side}
	if j.set.Stage == stageChanges {
		err := j.changesTask(ctx, a, res)
		return marshal(res), err
	}
	take, finish, err := j.taker(ctx, a, res)
	if err != nil {
		return nil, err
	}
	if task.Buckets != nil {
		err = j.mergeTask(ctx, a, task.Buckets, take)
	} else {
		err = j.readTask(ctx, a, &task, res, take)
	}
	if err != nil {
		return nil, err
	}
	if err := finish(); err != nil {
		return nil, err
	}
	return json.Marshal(res)
}

// readTask reads units of one side. Items that may have a change are put aside.
func (j *verifyJob) readTask(ctx context.Context, a *plan.Attempt, task *verifyTask, res *verifyResult, take func(*item.Batch) error) error {
	aside, err := j.newAside(ctx, a, task.Side)
	if err != nil {
		return err
	}
	defer aside.abandon()
	for _, u := range task.Units {
		err := j.read(ctx, a, task.Side, u, res, func(b *item.Batch) error {
			if err := aside.take(b); err != nil {
				return err
			}
			return take(b)
		})
		if err != nil {
			return err
		}
	}
	res.Aside, err = aside.close()
	return err
}

func (j *verifyJob) read(ctx context.Context, a *plan.Attempt, side int, u source.Unit, res *verifyResult, take func(*item.Batch) error) error {
	src, err := j.src[side].open(ctx, j.env, j.sides[side])
	if err != nil {
		return err
	}
	o := source.ReadOptions{Rejects: func(codec.Reject) error { res.Rejects++; return nil }}
	err = j.gov[side].read(ctx, j.env, src, j.set.ReadUnits, &o, func(units float64) {
		res.Units += units
		a.Meter.Note("read units", units)
	})
	if err != nil {
		return err
	}
	return readUnit(ctx, src, u, o, func(b *item.Batch) error {
		res.Items += int64(b.Len())
		a.Meter.Add(int64(b.Len()), int64(len(b.Src)))
		return take(b)
	})
}

// taker is what a stage does with each batch, and at the end.
func (j *verifyJob) taker(ctx context.Context, a *plan.Attempt, res *verifyResult) (take func(*item.Batch) error, finish func() error, err error) {
	if j.set.Stage == stageLocate {
		return j.keeper(ctx, a, res)
	}
	sums := make(item.Buckets, j.set.Buckets)
	var hasher item.Hasher
	var key []byte
	take = func(b *item.Batch) error {
		for i := range b.Rows {
			it := b.Item(i)
			if key, err = j.key(key[:0], b, i, it); err != nil {
				return err
			}
			sums.Add(key, hasher.Item(it))
		}
		return nil
	}
	finish = func() error {
		res.Buckets = a.Staged("buckets")
		_, err := a.State.Bucket.Put(ctx, res.Buckets, []byte(sums.String()), blob.PutOptions{})
		return err
	}
	return take, finish, nil
}

// key appends the item's canonical key, nothing when keys are unknown.
func (j *verifyJob) key(dst []byte, b *item.Batch, i int, it item.Item) ([]byte, error) {
	if j.set.Keys == nil {
		return dst, nil
	}
	dst, err := j.set.Keys.AppendKey(dst, it)
	if err != nil {
		return dst, fault.Hint(fault.At(fault.New(fault.User, "an item without the key: %w", err), fault.Place{File: b.File, Line: b.FirstLine + int64(b.Rows[i].Line)}),
			"name the keys: --key, --sort")
	}
	return dst, nil
}

// keeper keeps the items of differing buckets as runs by bucket.
func (j *verifyJob) keeper(ctx context.Context, a *plan.Attempt, res *verifyResult) (take func(*item.Batch) error, finish func() error, err error) {
	wanted := make([]bool, j.set.Buckets)
	for _, n := range j.set.Differ {
		wanted[n] = true
	}
	var key []byte
	bucket := 0
	var route sink.Route
	spill, err := sink.NewSpill(ctx, sink.SpillOptions{Bucket: a.State.Bucket, Staged: a.Staged, Memory: int(j.env.memory()) / j.env.workers() / 3, Put: stagedPut,
		Route: func(it item.Item) (*sink.Route, error) {
			if key, err = j.set.Keys.AppendKey(key[:0], it); err != nil {
				return nil, err
			}
			bucket = item.BucketOf(key, j.set.Buckets)
			route.Key = fmt.Sprintf("%08d", bucket)
			return &route, nil
		}})
	if err != nil {
		return nil, nil, err
	}
	take = func(b *item.Batch) error {
		rows := b.Rows[:0]
		for i, row := range b.Rows {
			if key, err = j.key(key[:0], b, i, b.Item(i)); err != nil {
				return err
			}
			if wanted[item.BucketOf(key, j.set.Buckets)] {
				rows = append(rows, row)
			}
		}
		b.Rows = rows
		return spill.Write(b)
	}
	finish = func() error {
		res.Staged, err = spill.Close()
		return err
	}
	return take, finish, nil
}

// Check looks that the staged objects are there.
func (j *verifyJob) Check(ctx context.Context, r plan.Result) error {
	res, err := bodyOf[verifyResult](r)
	if err != nil {
		return err
	}
	names := append(res.Hashes, res.Buckets, res.Staged.Index)
	if res.Aside != nil {
		names = append(names, res.Aside.Index)
	}
	return stillStaged(ctx, j.st, r, names...)
}

// Sweep removes what the plan staged.
func (j *verifyJob) Sweep(ctx context.Context, st plan.State, p *plan.Plan) error {
	return sweepStaged(ctx, st, p)
}
