package job

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/commit"
	"dynaferry/internal/dataset"
	"dynaferry/internal/fault"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// verbReplayLog is a replay into another log: a part of one, told to be that.
const verbReplayLog = "replay-log"

// ReplayLog are the settings of a replay into another log. A task is a chain: its own tail is all its progress, so that it may die or be
// doubled anywhere.
type ReplayLog struct {
	Dest       string        `json:"dest"`
	EntryBytes int64         `json:"entryBytes,omitempty"` // of records, at most, that entries are put together to; 0 is as many as may be
	Objects    blob.Settings `json:"objects,omitzero"`

	Tuning `json:"-"`
}

// entryBytesMost is where an entry has no use of growing.
const entryBytesMost = 32 << 20

// logTask is a chain of the log to be made. All tasks have the same Info: whoever is first makes the log.
type logTask struct {
	Info changelog.Info `json:"info"`
	Copy source.LogCopy `json:"copy"`
}

// loggedChain is what a chain came to: the body of a task's result.
type loggedChain struct {
	Group   uint32 `json:"group"`
	Tail    uint64 `json:"tail"` // its last entry, 0 of none
	Records uint64 `json:"records"`
	Bytes   int64  `json:"bytes"` // of blocks, as stored
	Gaps    int    `json:"gaps"`
	Open    int    `json:"open"` // of these, those for which nothing stands
}

// ReplayLogReport is what a finished replay into another log says: what that holds, whoever wrote it.
type ReplayLogReport struct {
	Type    string `json:"type"` // "replay-log"
	Log     string `json:"log"`  // the one that holds the part
	Of      string `json:"of"`   // the one that it is a part of
	Entries uint64 `json:"entries"`
	Records uint64 `json:"records"`
	Bytes   int64  `json:"bytes"` // of blocks, as stored
	Gaps    int    `json:"gaps"`  // of the window, told there too
	Open    int    `json:"openGaps"`
}

type replayLogJob struct {
	env  *Env
	set  ReplayLog
	spec source.Spec
	at   world.Address
	dest world.Location
	src  opened
}

// NewReplayLog prepares a replay into another log. The window is found, and what it comes to is told, but where yes says not to; nothing is
// written.
func NewReplayLog(ctx context.Context, env *Env, address string, log source.LogSpec, set ReplayLog, yes bool) (*Request, error) {
	if err := resolveWindow(&log, time.Now()); err != nil {
		return nil, err
	}
	log.AcceptCompacted = true // what is missing is told in the other log as in this one
	opened, err := source.Open(ctx, env.World, source.Spec{Address: address, Log: &log})
	if err != nil {
		return nil, err
	}
	src, ok := opened.(source.Logged)
	if !ok {
		return nil, fault.New(fault.User, "%s is no change log", opened.Address())
	}
	j := &replayLogJob{env: env, set: set, spec: src.Spec()}
	if err := env.alone(ctx, set.Dest); err != nil {
		return nil, err
	}
	if err := j.open(ctx); err != nil {
		return nil, err
	}
	if j.at.String() == src.Address().String() {
		return nil, fault.Hint(fault.New(fault.User, "%s is the log itself", j.at), "name a place of its own for the part")
	}
	j.set.Dest = j.at.String() // whole: a task of the plan may run in another working directory
	j.src.set(src)
	stateAt := cmp.Or(env.State, j.at.Join(dataset.Hidden).String())
	st, err := OpenState(ctx, env, stateAt)
	if err != nil {
		return nil, err
	}
	info := j.info(src)
	r := &Request{State: st, StateAddress: stateAt, Job: j, Destination: j.at.String() + ", a log", heeds: &j.dest, sources: []source.Source{src},
		Spec: plan.Spec{Verb: verbReplayLog, Source: marshal(j.spec), Settings: marshal(j.set), Tuning: marshal(j.set.Tuning), Writer: env.Version,
			Tasks: func(context.Context) (tasks []json.RawMessage, err error) {
				for _, c := range src.Info().Log.Copies {
					tasks = append(tasks, marshal(logTask{info, c}))
				}
				return tasks, nil
			}}}
	unfinished, err := plan.Unfinished(ctx, r.State, r.Spec)
	if err != nil || unfinished && !env.Fresh {
		return r, err
	}
	if err := j.free(ctx, info); err != nil {
		return nil, err
	}
	for _, warning := range src.Info().Warnings {
		env.say("warning: %s", warning)
	}
	return r, j.tell(ctx, r, src, yes)
}

// open resolves the destination; it touches nothing.
func (j *replayLogJob) open(ctx context.Context) (err error) {
	if j.at, err = world.Parse(j.set.Dest); err != nil {
		return err
	}
	j.dest, err = j.env.location(ctx, j.at, j.set.Objects)
	return err
}

// info is that of the log to be made.
func (j *replayLogJob) info(src source.Logged) changelog.Info {
	of, o := src.Log(), src.Spec().Log
	part := &changelog.PartOf{Of: of.ID, Log: j.spec.Address, Key: o.Key, Ops: o.Ops, Where: o.Where, Within: of.Part}
	if !o.From.IsZero() {
		part.From = o.From.UnixMicro()
	}
	if !o.To.IsZero() {
		part.To = o.To.UnixMicro()
	}
	for _, c := range src.Info().Log.Copies {
		part.Entries = append(part.Entries, changelog.Run{First: c.First, Last: c.Last})
	}
	info := of.Info
	info.Part, info.Created = part, time.Now().UTC().Truncate(time.Second)
	return info
}

// free tells whether the destination takes the log: it is free, or has this very part.
func (j *replayLogJob) free(ctx context.Context, info changelog.Info) error {
	found, err := dataset.Stands(ctx, j.dest.Bucket, j.dest.Prefix)
	if err != nil {
		return err
	}
	if found {
		return fault.Hint(fault.New(fault.Conflict, "%s holds a data set", j.at), "name a place of its own for the log")
	}
	_, err = changelog.Find(ctx, j.dest.Bucket, j.dest.Prefix, info)
	return err
}

// tell says what the window comes to, and asks.
func (j *replayLogJob) tell(ctx context.Context, r *Request, src source.Logged, yes bool) error {
	if yes && !j.env.DryRun {
		return nil
	}
	n, err := j.count(ctx, src)
	if err != nil {
		return err
	}
	r.costs = []string{n}
	for _, gap := range src.Info().Log.Gaps {
		r.costs = append(r.costs, gap+", which goes along")
	}
	if j.env.DryRun {
		return nil
	}
	for _, line := range r.costs {
		j.env.say("%s", line)
	}
	if j.env.Ask == nil {
		return nil
	}
	yes, err = j.env.Ask(fmt.Sprintf("write that into %s?", j.at))
	if err == nil && !yes {
		err = fault.New(fault.User, "nothing was written")
	}
	return err
}

// count says how much of the log the window comes to. It reads the records where what entries say of them does not tell.
func (j *replayLogJob) count(ctx context.Context, src source.Logged) (string, error) {
	o, groups := src.Spec().Log, src.Log().Groups
	if o.From.IsZero() && o.To.IsZero() && len(o.Key) == 0 && len(o.Ops) == 0 && o.Where == "" {
		return fmt.Sprintf("all %d records of %d groups", src.Info().Items, groups), nil
	}
	var all, kept uint64
	for _, c := range src.Info().Log.Copies {
		for e, err := range src.Entries(ctx, c, 0, j.ahead()) {
			if err != nil {
				return "", err
			}
			all += e.Entry.Records()
			err = e.Records(func(*changelog.Part, changelog.Record) error { kept++; return nil })
			if err != nil {
				return "", err
			}
		}
	}
	return fmt.Sprintf("%d of the %d records in the entries of the window, of %d groups", kept, all, groups), nil
}

// ahead is how much one of the chains reads before it is asked for.
func (j *replayLogJob) ahead() int64 {
	return max(j.env.memory()/int64(j.env.workers())/8, 1<<20)
}

func newReplayLog(env *Env, _ plan.State, p *plan.Plan) (plan.Job, error) {
	j := &replayLogJob{env: env}
	var err error
	if j.set.Tuning, err = parsePlan(p, &j.spec, &j.set); err != nil {
		return nil, err
	}
	return j, j.open(context.Background())
}

// Task carries one chain to its end. Another attempt at the same changes nothing: each entry is put by whoever is first, and the other
// goes on behind it.
func (j *replayLogJob) Task(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	var t logTask
	if err := json.Unmarshal(a.Task.Body, &t); err != nil {
		return nil, fault.New(fault.Corrupt, "task %d: %w", a.Task.Index, err)
	}
	opened, err := j.src.open(ctx, j.env, j.spec)
	if err != nil {
		return nil, err
	}
	src := opened.(source.Logged)
	log, err := changelog.Create(ctx, j.dest.Bucket, j.dest.Prefix, t.Info)
	if err != nil {
		return nil, err
	}
	for {
		var fenced *changelog.FencedError
		err := j.chain(ctx, a, &t, src, log)
		if err == nil {
			return chainOf(ctx, log, t.Copy.Group)
		}
		if !errors.As(err, &fenced) {
			return nil, err
		}
	}
}

// chain goes on with a chain where it ends.
func (j *replayLogJob) chain(ctx context.Context, a *plan.Attempt, t *logTask, src source.Logged, log *changelog.Log) error {
	o := changelog.CopierOptions{EntryBytes: int(min(cmp.Or(j.set.EntryBytes, entryBytesMost), entryBytesMost, j.ahead())),
		Builder: changelog.BuilderOptions{Workers: max(1, j.env.workers()/int(log.Groups)), OpenBytes: int(j.ahead())}}
	c, err := log.Copier(ctx, t.Copy.Group, commit.NewID(ctx, "replay").String(), src.Log(), o)
	if err != nil {
		return err
	}
	for e, err := range src.Entries(ctx, t.Copy, c.Through(), j.ahead()) {
		if err != nil {
			return err
		}
		if err := a.Look(ctx); err != nil {
			return err
		}
		records, bytes := int64(0), int64(0)
		err = c.Entry(ctx, e.Batch, func(add func(*changelog.Part, changelog.Record) error) error {
			return e.Records(func(p *changelog.Part, r changelog.Record) error {
				records, bytes = records+1, bytes+int64(len(r.Raw))
				return add(p, r)
			})
		})
		if err != nil {
			return err
		}
		a.Meter.Add(records, bytes)
	}
	return c.Finish(ctx)
}

// chainOf reads what a chain says that it holds.
func chainOf(ctx context.Context, log *changelog.Log, group uint32) (json.RawMessage, error) {
	tail, err := log.Tail(ctx, group)
	if err != nil {
		return nil, err
	}
	r := loggedChain{Group: group, Tail: tail}
	open := map[uint64]bool{}
	for b, err := range log.Entries(ctx, group, 1, tail) {
		if err != nil {
			return nil, err
		}
		r.Records += b.Entry.Records()
		r.Bytes += blockBytes(b.Entry)
		if b.Gap != nil {
			r.Gaps++
			open[b.N] = true
		}
		if c := b.Compacted; c != nil && b.Heals(c.Gap) {
			delete(open, c.Gap)
		}
	}
	r.Open = len(open)
	return marshal(r), nil
}

// Check looks that the chain still ends where it was found to.
func (j *replayLogJob) Check(ctx context.Context, r plan.Result) error {
	c, err := bodyOf[loggedChain](r)
	if err != nil {
		return err
	}
	log, err := changelog.Open(ctx, j.dest.Bucket, j.dest.Prefix)
	if err == nil && c.Tail > 0 {
		_, err = log.Entry(ctx, c.Group, c.Tail)
	}
	return err
}

// Commit adds up what the chains came to: all of it is there already.
func (j *replayLogJob) Commit(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	report := ReplayLogReport{Type: verbReplayLog, Log: j.at.String(), Of: j.spec.Address}
	for i := range c.Plan.Tasks {
		chain, err := resultOf[loggedChain](ctx, c, i)
		if err != nil {
			return plan.Outcome{}, err
		}
		report.Entries, report.Records, report.Bytes = report.Entries+chain.Tail, report.Records+chain.Records, report.Bytes+chain.Bytes
		report.Gaps, report.Open = report.Gaps+chain.Gaps, report.Open+chain.Open
	}
	return plan.Outcome{Report: marshal(report)}, nil
}

// Sweep has nothing to remove: nothing is staged.
func (j *replayLogJob) Sweep(context.Context, plan.State, *plan.Plan) error { return nil }
