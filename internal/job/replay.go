package job

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
)

// Replay are the settings of replay: a window of a change log, forward or reverted, into a table. The first rounds are an
// import's, or with Revert one of conditional writes; the last reads the keys back and compares.
type Replay struct {
	Import *Import `json:"import"`
	Revert bool    `json:"revert,omitempty"`
	// Version is the attribute that a revert compares where an item is too wide for a condition over all.
	Version string `json:"version,omitempty"`
	Stage   string `json:"stage,omitempty"`

	// The last round.
	Loaded  *ImportReport `json:"loaded,omitempty"`
	Indexes []string      `json:"indexes,omitempty"`

	Tuning `json:"-"`
}

const (
	verbReplay  = "replay"
	stageRevert = "revert" // write what was before, where the item is still what the window left
)

// ReplayWish is what the user asked for beyond the settings.
type ReplayWish struct {
	Log  source.LogSpec
	Mode Import // Table, Mode, Version, Overwrite, Every, Tuning
	Revert,
	Yes bool // write without a question
}

type replayJob struct {
	env   *Env
	set   Replay
	spec  source.Spec
	st    plan.State
	inner *importJob
	reads governed
}

// NewReplay prepares a replay. The window is found and checked here, and what it comes to is told; nothing is written.
func NewReplay(ctx context.Context, env *Env, address string, wish ReplayWish) (*Request, error) {
	if err := resolveWindow(&wish.Log, time.Now()); err != nil {
		return nil, err
	}
	var err error
	if wish.Log.Steps, err = wholeSteps(wish.Log.Steps); err != nil {
		return nil, err
	}
	j := &replayJob{env: env, set: Replay{Revert: wish.Revert, Tuning: wish.Mode.Tuning}}
	j.inner = &importJob{env: env, set: wish.Mode, as: j.plan}
	if env.DryRun && j.inner.set.Mode == "" { // what the window comes to is told whatever the table holds
		j.inner.set.Mode = ModePut
	}
	if wish.Revert {
		j.inner.set.Images, j.inner.set.Mode, j.inner.set.Version = true, ModePut, ""
		j.inner.set.Overwrite = true // each write has its own condition
		j.set.Version = wish.Mode.Version
	}
	r, err := j.inner.prepare(ctx, source.Spec{Address: address, Log: &wish.Log}, ImportWish{Import: j.inner.set})
	if err != nil {
		return nil, err
	}
	j.st, j.spec = j.inner.st, j.inner.spec
	r.Job = j
	src := r.sources[0]
	if info := src.Info().Log; wish.Revert && !(info.View.HasNew() && info.View.HasOld()) {
		return nil, fault.Hint(fault.New(fault.User, "%s has the view %s: a revert needs what was before and what came of it", src.Address(), info.View),
			"follow the table with a stream of NEW_AND_OLD_IMAGES")
	}
	unfinished, err := plan.Unfinished(ctx, r.State, r.Spec)
	if err != nil || unfinished && !env.Fresh || wish.Yes && !env.DryRun {
		return r, err
	}
	n, err := j.count(ctx, src)
	if err != nil {
		return nil, err
	}
	r.costs = n.lines(wish.Revert, j.inner.set.Every)
	if env.DryRun {
		return r, nil
	}
	for _, line := range r.costs {
		env.say("%s", line)
	}
	if env.Ask != nil {
		yes, err := env.Ask(fmt.Sprintf("write that into %s?", j.inner.at))
		if err != nil {
			return nil, err
		}
		if !yes {
			return nil, fault.New(fault.User, "nothing was written")
		}
	}
	return r, nil
}

// resolveWindow turns the texts of a window into times.
func resolveWindow(l *source.LogSpec, now time.Time) (err error) {
	for _, t := range []struct {
		flag, text string
		at         *time.Time
	}{{"--from", l.FromText, &l.From}, {"--to", l.ToText, &l.To}} {
		if t.text == "" {
			continue
		}
		if *t.at, err = parseMoment(t.text, now); err != nil {
			return fmt.Errorf("%s: %w", t.flag, err)
		}
	}
	return nil
}

// plan makes an import's plan one of ours.
func (j *replayJob) plan(spec plan.Spec) plan.Spec {
	set := j.set
	inner := j.inner.set
	set.Import = &inner
	spec.Verb, spec.Settings, spec.Before = verbReplay, marshal(set), nil
	return spec
}

func newReplay(env *Env, st plan.State, p *plan.Plan) (plan.Job, error) {
	j := &replayJob{env: env, st: st}
	var err error
	if j.set.Tuning, err = parsePlan(p, &j.spec, &j.set); err != nil {
		return nil, err
	}
	inner, err := newImport(env, st, j.within(p))
	if err != nil {
		return nil, err
	}
	j.inner = inner.(*importJob)
	return j, nil
}

// within is a plan of ours as the import knows it.
func (j *replayJob) within(p *plan.Plan) *plan.Plan {
	inner := *p
	inner.Verb, inner.Settings = "import", marshal(j.set.Import)
	return &inner
}

// counted is what a window comes to.
type counted struct {
	records, puts, gone int64
	keys                map[uint64]bool // by the hash of the key: it is gone in the end
	more                bool            // keys that were not told apart
}

// countKeysMax bounds the memory of a count.
const countKeysMax = 1 << 21

// count reads the window once.
func (j *replayJob) count(ctx context.Context, src source.Source) (*counted, error) {
	n := &counted{keys: map[uint64]bool{}}
	keys := j.inner.table.desc.Keys
	var key []byte
	for _, u := range src.(source.Changer).ChangeUnits() {
		in, err := src.(source.Changer).Changes(ctx, u, source.ReadOptions{Rejects: ignoreReject, Steps: j.env.steps(time.Now())})
		if err != nil {
			return nil, err
		}
		err = eachChange(in, func(b *item.Changes, i int) error {
			n.records++
			_, put := b.New(i)
			if put {
				n.puts++
			} else {
				n.gone++
			}
			if key, err = keys.AppendKey(key[:0], b.Key(i)); err != nil {
				return nil // a dead letter to come
			}
			hash := xxh3.Hash(key)
			if _, known := n.keys[hash]; known || len(n.keys) < countKeysMax {
				n.keys[hash] = !put
			} else {
				n.more = true
			}
			return nil
		})
		in.Close()
		if err != nil {
			return nil, err
		}
	}
	return n, nil
}

// lines says it.
func (n *counted) lines(revert, every bool) []string {
	about := ""
	if n.more {
		about = "more than "
	}
	var gone int64
	for _, is := range n.keys {
		if is {
			gone++
		}
	}
	lines := []string{fmt.Sprintf("%d changes of %s%d keys: %d puts, %d deletions", n.records, about, len(n.keys), n.puts, n.gone)}
	switch {
	case revert:
		return append(lines, fmt.Sprintf("would put %s%d items back as they were before, or delete those that were not there, each where it is still what the window left", about, len(n.keys)))
	case every:
		return append(lines, fmt.Sprintf("would write each change in order: %d puts, %d deletions", n.puts, n.gone))
	}
	return append(lines, fmt.Sprintf("would write what each key comes to: %s%d puts, %d deletions", about, int64(len(n.keys))-gone, gone))
}

// Task runs one task of whichever stage the plan is of.
func (j *replayJob) Task(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	switch j.set.Stage {
	case stageProve:
		return j.proveTask(ctx, a)
	case stageRevert:
		return j.revertTask(ctx, a)
	}
	return j.inner.Task(ctx, a)
}

// Check looks that staged objects are there.
func (j *replayJob) Check(ctx context.Context, r plan.Result) error { return j.inner.Check(ctx, r) }

// Sweep removes what the plan staged.
func (j *replayJob) Sweep(ctx context.Context, st plan.State, p *plan.Plan) error {
	return sweepStaged(ctx, st, p)
}

// Commit goes from the import's rounds, or from the spilled images, to the proof.
func (j *replayJob) Commit(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	switch j.set.Stage {
	case stageProve:
		return j.proven(ctx, c)
	case stageRevert:
		return j.reverted(ctx, c)
	}
	inner := *c
	inner.Plan = j.within(c.Plan)
	out, err := j.inner.Commit(ctx, &inner)
	if err != nil {
		return out, err
	}
	set := j.set
	if out.Next == nil {
		set.Stage, set.Indexes, set.Loaded = stageProve, j.set.Import.Indexes, new(ImportReport)
		if err := json.Unmarshal(out.Report, set.Loaded); err != nil {
			return plan.Outcome{}, fault.New(fault.Corrupt, "report of the import: %w", err)
		}
		tasks, err := cutMerge(ctx, j.st.Bucket, set.Indexes)
		if err != nil {
			return plan.Outcome{}, err
		}
		return plan.Outcome{Next: furtherRound(j.env, c, set, set.Tuning, func(context.Context) ([]json.RawMessage, error) { return tasks, nil })}, nil
	}
	set.Import = new(Import)
	if err := json.Unmarshal(out.Next.Settings, set.Import); err != nil {
		return plan.Outcome{}, fault.New(fault.Bug, "settings of a further round: %w", err)
	}
	if j.set.Revert {
		set.Stage = stageRevert
	}
	out.Next.Verb, out.Next.Settings = verbReplay, marshal(set)
	return out, nil
}

// eachChange gives every change of a stream with its place in the batch.
func eachChange(in source.ChangeStream, take func(b *item.Changes, i int) error) error {
	var b item.Changes
	for {
		if err := in.ReadChanges(&b); isEOF(err) {
			return nil
		} else if err != nil {
			return err
		}
		for i := range b.List {
			if err := take(&b, i); err != nil {
				return err
			}
		}
	}
}

// readBack reads items by their keys, strongly, below the table's read budget. The batch is reset.
func readBack(ctx context.Context, table *importJob, gov *dynamo.Governor, keys []item.Item, b *item.Batch) (units float64, err error) {
	// A key of a few KB costs a unit for each 4 KB of its item, which is seen when it was read: settled by the governor.
	err = gov.Do(ctx, float64(len(keys)), func(ctx context.Context) (float64, error) {
		page, err := table.table.client.Get(ctx, table.at.Host, keys, b)
		if err != nil {
			return 0, err
		}
		units = page.Units
		return units, nil
	})
	return units, err
}
