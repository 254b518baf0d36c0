package job

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"dynaferry/internal/dataset"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// Move are the settings of archive --where: the rounds of an export, behind whose commit another reads the published files back
// and deletes from the table what they hold, each item only where it is still that very item.
type Move struct {
	Copy    Copy   `json:"copy"`
	Table   string `json:"table"`
	Version string `json:"version,omitempty"` // attribute that tells versions of items too wide for a condition over all attributes

	Stage  string       `json:"stage,omitempty"`
	Report *Report      `json:"report,omitempty"` // of the export
	Files  *source.Spec `json:"files,omitempty"`  // what was published

	Tuning `json:"-"`
}

const (
	verbMove    = "archive-where"
	stageRemove = "remove"
)

// MoveReport is what a finished archive --where says.
type MoveReport struct {
	Type        string   `json:"type"` // "move"
	Table       string   `json:"table"`
	Destination string   `json:"destination"`
	Version     int      `json:"version"` // of the data set
	Items       int64    `json:"items"`   // in the files
	Files       int      `json:"files"`
	Bytes       int64    `json:"bytes"`
	Fingerprint string   `json:"fingerprint"`
	Deleted     int64    `json:"deleted"`
	Gone        int64    `json:"gone,omitempty"`    // were deleted by others meanwhile
	Changed     int64    `json:"changed,omitempty"` // stay in the table: they are no longer what was copied
	Changes     []string `json:"changedFiles,omitempty"`
	ReadUnits   float64  `json:"readUnits"`
	WriteUnits  float64  `json:"writeUnits"`
	Rejects     int64    `json:"rejects,omitempty"`
	DeadLetters []string `json:"deadLetters,omitempty"`
}

type moveJob struct {
	env   *Env
	set   Move
	spec  source.Spec
	st    plan.State
	inner *copyJob
	files opened
	shell *replayJob // whose conditional writes are used: to delete a copied item is to revert its being made
}

// NewMove prepares a move of the items of a table for which where holds, an expression of package step.
func NewMove(ctx context.Context, env *Env, table, where, version string, set Copy) (*Request, error) {
	if len(set.Steps) > 0 {
		return nil, fault.New(fault.User, "--step: what is deleted from the table must be what was copied; steps that change items do not go with --where")
	}
	if set.Form == source.JSON || set.Form == source.CSV {
		return nil, fault.Hint(fault.New(fault.User, "--format %s loses types: an item that is deleted could not come back as it was", set.Form), "use parquet, dynamodb-json or ion")
	}
	set.Into, set.Steps = IntoAppend, []string{"filter " + where}
	r, err := NewCopy(ctx, env, "export", source.Spec{Address: table}, set)
	if err != nil {
		return nil, err
	}
	j := &moveJob{env: env, st: r.State, inner: r.Job.(*copyJob)}
	j.spec = j.inner.spec
	j.set = Move{Copy: j.inner.set, Table: j.spec.Address, Version: version, Tuning: set.Tuning}
	if err := j.open(ctx); err != nil {
		return nil, err
	}
	r.Job = j
	r.Spec.Verb, r.Spec.Settings, r.Spec.Before = verbMove, marshal(j.set), nil
	r.Spec.Stands = func(context.Context, *plan.Plan) (bool, error) { return true, nil } // what was deleted stays deleted
	r.costs = append(r.costs, "then deletes what was copied, each item only where it is still the same: about a write unit a KB")
	return r, nil
}

func newMove(env *Env, st plan.State, p *plan.Plan) (plan.Job, error) {
	j := &moveJob{env: env, st: st}
	var err error
	if j.set.Tuning, err = parsePlan(p, &j.spec, &j.set); err != nil {
		return nil, err
	}
	inner, err := newCopy(env, st, j.within(p))
	if err != nil {
		return nil, err
	}
	j.inner = inner.(*copyJob)
	return j, j.open(context.Background())
}

// open describes the table.
func (j *moveJob) open(ctx context.Context) error {
	at, err := world.Parse(j.set.Table)
	if err != nil {
		return err
	}
	j.shell = &replayJob{env: j.env, st: j.st, inner: &importJob{env: j.env, at: at}, set: Replay{Version: j.set.Version, Tuning: j.set.Tuning}}
	return j.shell.inner.describe(ctx)
}

// within is a plan of ours as the export knows it.
func (j *moveJob) within(p *plan.Plan) *plan.Plan {
	inner := *p
	inner.Verb, inner.Settings = "export", marshal(j.set.Copy)
	return &inner
}

// Task is the export's, or deletes what a few files hold.
func (j *moveJob) Task(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	if j.set.Stage != stageRemove {
		return j.inner.Task(ctx, a)
	}
	var g group
	if err := json.Unmarshal(a.Task.Body, &g); err != nil {
		return nil, fault.New(fault.Corrupt, "task %d: %w", a.Task.Index, err)
	}
	src, err := j.files.open(ctx, j.env, *j.set.Files)
	if err != nil {
		return nil, err
	}
	t := &reverting{j: j.shell, a: a, lines: newLines(ctx, a, "changed"), since: "since it was copied"}
	defer t.lines.abandon()
	if t.reads, err = j.shell.readGovernor(); err != nil {
		return nil, err
	}
	if t.write, err = j.shell.inner.table.gov.write(j.env, j.shell.inner.table.desc, j.set.WriteUnits); err != nil {
		return nil, err
	}
	for _, u := range g.Units {
		// First to its end: only a file that is whole, by its fingerprint, stands for what is deleted.
		if err := readUnit(ctx, src, u, source.ReadOptions{}, func(*item.Batch) error { return nil }); err != nil {
			return nil, fmt.Errorf("read back what was copied: %w", err)
		}
		if err := readUnit(ctx, src, u, source.ReadOptions{}, func(b *item.Batch) error { return t.remove(ctx, b) }); err != nil {
			return nil, err
		}
	}
	if t.res.Lines, err = t.lines.close(); err != nil {
		return nil, err
	}
	return marshal(&t.res), nil
}

// remove deletes the items of a batch from the table, as they are there.
func (t *reverting) remove(ctx context.Context, b *item.Batch) error {
	keys := make(map[string]*ends, getKeys)
	var names []string
	for i := range b.Rows {
		key, err := t.j.inner.table.desc.Keys.AppendKey(nil, b.Item(i))
		if err != nil {
			return err
		}
		raw := bytes.Clone(b.Item(i).Raw())
		keys[string(key)] = &ends{after: raw, key: raw}
		if names = append(names, string(key)); len(names) == getKeys || i == b.Len()-1 {
			if err := t.some(ctx, names, keys); err != nil {
				return err
			}
			names = names[:0]
			clear(keys)
		}
	}
	t.a.Meter.Note("items looked at again", float64(b.Len()))
	return nil
}

// Check is the export's in its rounds.
func (j *moveJob) Check(ctx context.Context, r plan.Result) error {
	if j.set.Stage == stageRemove {
		return nil
	}
	return j.inner.Check(ctx, r)
}

// Sweep is the export's.
func (j *moveJob) Sweep(ctx context.Context, st plan.State, p *plan.Plan) error {
	return j.inner.Sweep(ctx, st, p)
}

// Commit goes from the export to the deletions, only behind the version that has the rows.
func (j *moveJob) Commit(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	if j.set.Stage == stageRemove {
		return j.removed(ctx, c)
	}
	inner := *c
	inner.Plan = j.within(c.Plan)
	out, err := j.inner.Commit(ctx, &inner)
	if err != nil {
		return out, err
	}
	set := j.set
	if out.Next != nil {
		if err := json.Unmarshal(out.Next.Settings, &set.Copy); err != nil {
			return plan.Outcome{}, fault.New(fault.Bug, "settings of a further round: %w", err)
		}
		out.Next.Verb, out.Next.Settings = verbMove, marshal(set)
		return out, nil
	}
	set.Stage, set.Report = stageRemove, new(Report)
	if err := json.Unmarshal(out.Report, set.Report); err != nil {
		return plan.Outcome{}, fault.New(fault.Corrupt, "report of the export: %w", err)
	}
	tasks, err := j.publishedBy(ctx, c.Plan.ID, &set)
	if err != nil {
		return plan.Outcome{}, err
	}
	return plan.Outcome{Next: furtherRound(j.env, c, set, set.Tuning, func(context.Context) ([]json.RawMessage, error) { return tasks, nil })}, nil
}

// publishedBy makes tasks of the files that the export's version added.
func (j *moveJob) publishedBy(ctx context.Context, id string, set *Move) ([]json.RawMessage, error) {
	history, err := dataset.Load(ctx, j.inner.dest.Bucket, j.inner.dest.Prefix)
	if err != nil {
		return nil, err
	}
	v, err := ownVersion(ctx, history, id)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, fault.New(fault.Bug, "plan %s has published no version", id)
	}
	src, err := source.Open(ctx, j.env.World, source.Spec{Address: j.inner.at.String()})
	if err != nil {
		return nil, err
	}
	own := map[string]bool{}
	for _, f := range v.Added {
		if f.From == "" {
			own[history.Name(f.Name)] = true
		}
	}
	units, err := src.Units(ctx, taskBytesFiles, 1)
	if err != nil {
		return nil, err
	}
	var mine []source.Unit
	for _, u := range units {
		if own[u.File.Name] {
			mine = append(mine, u)
		}
	}
	if len(mine) != len(own) {
		return nil, fault.Hint(fault.New(fault.Conflict, "%s: of the %d files that were published %d are there: another job has replaced them", j.inner.at, len(own), len(mine)),
			"nothing was deleted from the table: run the same command with --fresh")
	}
	spec := src.Spec()
	set.Files = &spec
	return groups(mine, taskBytesFiles, j.env.workers()), nil
}

func (j *moveJob) removed(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	e := j.set.Report
	r := MoveReport{Type: "move", Table: j.set.Table, Destination: e.Destination, Version: e.Version, Items: e.Items, Files: e.Files, Bytes: e.Bytes, Fingerprint: e.Fingerprint,
		ReadUnits: e.Units, Rejects: e.Rejects, DeadLetters: e.DeadLetters}
	var files []sink.File
	for i := range c.Plan.Tasks {
		res, err := resultOf[revertResult](ctx, c, i)
		if err != nil {
			return plan.Outcome{}, err
		}
		r.Deleted, r.Gone, r.Changed = r.Deleted+res.Deleted, r.Gone+res.Unchanged, r.Changed+res.Conflicts
		r.ReadUnits, r.WriteUnits = r.ReadUnits+res.ReadUnits, r.WriteUnits+res.Units
		if res.Lines != nil {
			res.Lines.Final = fmt.Sprintf("%s-%05d%s", c.Plan.ID, i, ConflictSuffix)
			files = append(files, *res.Lines)
		}
	}
	var err error
	r.Changes, err = publishLines(ctx, c.State, "archive", files)
	return plan.Outcome{Report: marshal(r)}, err
}
