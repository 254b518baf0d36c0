package job

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/column"
	"dynaferry/internal/dataset"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
)

// Commit decides the schema, asks for a second round where data have to be gathered or encoded again, and else publishes.
func (j *copyJob) Commit(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	if j.spec.Log != nil && c.Plan.Tasks == 0 && j.set.Carry == "" {
		return j.nothing(ctx)
	}
	made, err := j.collect(ctx, c)
	if err != nil {
		return plan.Outcome{}, err
	}
	switch {
	case j.set.Stage == stageChanges:
		return j.readRound(ctx, c, made)
	case j.set.Stage == stageRead && j.set.Overlay != nil:
		return j.mergeRound(ctx, c, made)
	}
	if err := made.prove(); err != nil {
		return plan.Outcome{}, err
	}
	// A version of this very plan that is decided already leaves nothing to choose.
	set, v, err := j.decided(ctx, c.Plan.ID)
	if err != nil {
		return plan.Outcome{}, err
	}
	if v != nil {
		return j.publish(ctx, c, set, *v, made)
	}
	proposed, next, err := j.propose(ctx, c, set, made)
	if fault.KindOf(err) == fault.Conflict {
		// What stands in the way may be this very plan's: another process that commits it was faster since the look above.
		if set, v, err := j.decided(ctx, c.Plan.ID); err != nil || v != nil {
			if err != nil {
				return plan.Outcome{}, err
			}
			return j.publish(ctx, c, set, *v, made)
		}
	}
	if err != nil || next.Next != nil {
		return next, err
	}
	stands, won, err := set.Decide(ctx, proposed)
	if err != nil {
		return plan.Outcome{}, err
	}
	if !won {
		return plan.Outcome{}, fault.Hint(fault.New(fault.Conflict, "%s: plan %s was first to decide version %d", j.at, stands.Plan, stands.Number),
			"run the same command again")
	}
	return j.publish(ctx, c, set, stands, made)
}

// propose makes the version to decide, or asks for the round that has to come before.
func (j *copyJob) propose(ctx context.Context, c *plan.Committing, set *dataset.Set, made *carried) (v dataset.Version, next plan.Outcome, err error) {
	if err := j.admits(ctx, set, c.Plan.ID); err != nil {
		return v, next, err
	}
	if err := j.goesOn(ctx, set); err != nil {
		return v, next, err
	}
	var schema *column.Schema
	if j.set.Form == source.Parquet || j.set.spills() && j.set.firstStage() {
		if schema, err = j.union(ctx, set, made); err != nil {
			return v, next, err
		}
	}
	if j.set.spills() && j.set.firstStage() {
		next, err = j.gatherRound(ctx, c, set, made, schema)
		return v, next, err
	}
	if j.set.Form == source.Parquet {
		if next, err = j.rewriteRound(ctx, c, set, made, schema); err != nil || next.Next != nil {
			return v, next, err
		}
	}
	v, err = j.version(ctx, c, set, made, schema)
	return v, next, err
}

// decided loads the history as it is now, and the version in it that the plan has decided, nil when it has not.
func (j *copyJob) decided(ctx context.Context, plan string) (*dataset.Set, *dataset.Version, error) {
	set, err := dataset.Load(ctx, j.dest.Bucket, j.dest.Prefix)
	if err != nil {
		return nil, nil, err
	}
	v, err := ownVersion(ctx, set, plan)
	return set, v, err
}

// ownVersion finds the version that a plan has decided, nil when it has not. Others may have decided more since.
func ownVersion(ctx context.Context, set *dataset.Set, plan string) (*dataset.Version, error) {
	for i := range set.Open {
		if set.Open[i].Plan == plan {
			return &set.Open[i], nil
		}
	}
	if n, ok := set.Plans[plan]; ok {
		return set.Version(ctx, n)
	}
	return nil, nil
}

// collect adds this round's results to what earlier rounds carry.
func (j *copyJob) collect(ctx context.Context, c *plan.Committing) (*carried, error) {
	sum := &carried{Root: c.Plan.ID}
	if j.set.Carry != "" {
		var err error
		if sum, err = j.readCarry(ctx); err != nil {
			return nil, err
		}
	}
	total, stats := item.Fingerprint{}, new(column.Stats)
	observed := false
	if j.set.Stage == stageMerge {
		var err error
		if total, err = item.ParseFingerprint(sum.Fingerprint); err != nil {
			return nil, fault.New(fault.Corrupt, "%s: %w", j.set.Carry, err)
		}
		if observed = sum.Stats != ""; observed {
			if err := j.mergeStats(ctx, stats, sum.Stats); err != nil {
				return nil, err
			}
		}
	}
	for i := range c.Plan.Tasks {
		res, err := resultOf[taskResult](ctx, c, i)
		if err != nil {
			return nil, err
		}
		for n := range res.Staged.Files {
			f := &res.Staged.Files[n]
			f.Final = fmt.Sprintf("part-%05d-%03d-%s", i, n, c.Plan.ID)
		}
		sum.Files = append(sum.Files, res.Staged.Files...)
		sum.Recoded, sum.Copied = sum.Recoded+res.Recoded, sum.Copied+res.Copied
		sum.Losses.addAll(res.Losses)
		sum.Widened = append(sum.Widened, res.Widened...)
		if !j.set.firstStage() && j.set.Stage != stageChanges {
			continue
		}
		sum.overlay(j.set.Stage, res)
		print, err := item.ParseFingerprint(res.Fingerprint)
		if err != nil {
			return nil, fault.New(fault.Corrupt, "result of task %d: %w", i, err)
		}
		total.Merge(print)
		if res.Staged.Index != "" {
			sum.Indexes = append(sum.Indexes, res.Staged.Index)
		}
		if res.Staged.Stats != "" {
			if err := j.mergeStats(ctx, stats, res.Staged.Stats); err != nil {
				return nil, err
			}
			observed = true
		}
		sum.first(c.Plan.ID, i, res)
	}
	if j.set.firstStage() {
		sum.Items, sum.Fingerprint = int64(total.Count), total.String()
	}
	if observed {
		return sum, j.stageStats(ctx, c.Plan, sum, stats)
	}
	return sum, nil
}

// overlay adds what the rounds of an overlay leave for each other.
func (sum *carried) overlay(stage string, res *taskResult) {
	sum.Told += res.Changes
	sum.hashes = append(sum.hashes, res.Hashes...)
	switch {
	case res.Aside == nil:
	case stage == stageChanges:
		sum.Changes = append(sum.Changes, res.Aside.Index)
	default:
		sum.Aside = append(sum.Aside, res.Aside.Index)
	}
}

// first adds what only the rounds know that read.
func (sum *carried) first(plan string, i int, res *taskResult) {
	sum.Read += res.Read
	if res.Through != nil {
		sum.Through = res.Through
	}
	sum.Rejects += res.Rejects
	sum.Refused += res.Refused
	sum.Dropped += res.Dropped
	sum.Units += res.Units
	if res.Dead != nil {
		dead := *res.Dead
		dead.Final = fmt.Sprintf("%s-%05d%s", plan, i, source.DeadSuffix)
		sum.Dead = append(sum.Dead, dead)
	}
	if sum.Start.IsZero() || res.Start.Before(sum.Start) {
		sum.Start = res.Start
	}
	if res.End.After(sum.End) {
		sum.End = res.End
	}
}

// statsBytesMax bounds a task's stats: a million names of usual length.
const statsBytesMax = 512 << 20

func (j *copyJob) mergeStats(ctx context.Context, into *column.Stats, name string) error {
	data, _, err := blob.ReadAll(ctx, j.st.Bucket, name, statsBytesMax)
	if err != nil {
		return fmt.Errorf("read stats %s: %w", name, err)
	}
	var s column.Stats
	if err := s.UnmarshalBinary(data); err != nil {
		return fmt.Errorf("read stats %s: %w", name, err)
	}
	into.Merge(&s)
	return nil
}

// stageStats keeps the merged stats for later rounds, under a name made of their content.
func (j *copyJob) stageStats(ctx context.Context, p *plan.Plan, sum *carried, stats *column.Stats) error {
	data, err := stats.AppendBinary(nil)
	if err != nil {
		return err
	}
	sum.Stats, err = j.stageContent(ctx, p, "stats", data)
	return err
}

func (j *copyJob) stageContent(ctx context.Context, p *plan.Plan, kind string, data []byte) (string, error) {
	name := j.st.Name("plans", p.ID, "staged", contentName(data, kind))
	if _, err := j.st.Bucket.Put(ctx, name, data, blob.PutOptions{}); err != nil {
		return "", fmt.Errorf("stage %s: %w", name, err)
	}
	return name, nil
}

// contentName is the name of an object that a commit stages: a function of what it holds, which whoever reads it can check.
func contentName(data []byte, kind string) string {
	sum := sha256.Sum256(data)
	return "commit." + hex.EncodeToString(sum[:8]) + "." + kind
}

// prove holds the staged files against what was read: nothing lost, nothing doubled.
func (sum *carried) prove() error {
	if len(sum.Files) == 0 {
		return nil
	}
	var total item.Fingerprint
	for _, f := range sum.Files {
		print, err := item.ParseFingerprint(f.Fingerprint)
		if err != nil {
			return fault.New(fault.Corrupt, "fingerprint of %s: %w", f.Staged, err)
		}
		total.Merge(print)
	}
	if got := total.String(); got != sum.Fingerprint {
		return fault.New(fault.Bug, "the staged files hold %s, but %s was read", got, sum.Fingerprint)
	}
	return nil
}

// union is the schema of the data set with this job's items in it.
func (j *copyJob) union(ctx context.Context, set *dataset.Set, made *carried) (*column.Schema, error) {
	stats := new(column.Stats)
	if made.Stats != "" {
		if err := j.mergeStats(ctx, stats, made.Stats); err != nil {
			return nil, err
		}
	}
	base, err := j.baseOf(set)
	if err != nil {
		return nil, err
	}
	o, err := j.set.columns(base)
	if err != nil {
		return nil, err
	}
	if j.set.Form != source.Parquet {
		o.LeavesMax = leavesUnlimited // rows have no _extra to keep the rest
	}
	schema := stats.Schema(o)
	if base != nil && o.OnNew == column.Fail {
		if fresh := stats.Unknown(base, 100); len(fresh) > 0 {
			return nil, fault.Hint(fault.New(fault.Conflict, "%s has no columns for new attributes, the first of %d is %s", j.at, len(fresh), fresh[0]),
				"let it grow: --on-new evolve, or keep them in _extra: --on-new extra")
		}
	}
	return schema, nil
}

// leavesUnlimited is more columns than any item set has names in the stats.
const leavesUnlimited = 1 << 30

// unsettled finds the files whose columns differ from the union.
func (j *copyJob) unsettled(ctx context.Context, made *carried, schema *column.Schema) ([]int, error) {
	var rewrite []int
	for i, f := range made.Files {
		meta, err := j.readMeta(ctx, f)
		if err != nil {
			return nil, err
		}
		if !parquet.Settled(meta, schema) {
			rewrite = append(rewrite, i)
		}
	}
	return rewrite, nil
}

// rewriteRound asks for a round when files have other columns than the union: those that were staged, or those that the
// data set has.
func (j *copyJob) rewriteRound(ctx context.Context, c *plan.Committing, set *dataset.Set, made *carried, schema *column.Schema) (plan.Outcome, error) {
	rewrite, err := j.unsettled(ctx, made, schema)
	if err != nil {
		return plan.Outcome{}, err
	}
	widen, err := j.cutWiden(set, made, schema, touchedBy(made.Files))
	if err != nil || len(rewrite)+len(widen) == 0 {
		return plan.Outcome{}, err
	}
	tasks := make([]json.RawMessage, 0, len(rewrite)+len(widen))
	kept := make([]sink.File, 0, len(made.Files)-len(rewrite))
	next := 0
	for i, f := range made.Files {
		if next < len(rewrite) && rewrite[next] == i {
			tasks, next = append(tasks, marshal(f)), next+1
			continue
		}
		kept = append(kept, f)
	}
	hand := *made
	hand.Files = kept
	settings := j.set
	settings.Stage = stageRewrite
	return j.round(ctx, c, settings, &hand, schema, append(tasks, widen...))
}

func (j *copyJob) gatherRound(ctx context.Context, c *plan.Committing, set *dataset.Set, made *carried, schema *column.Schema) (plan.Outcome, error) {
	_, parts, err := readIndexes(ctx, j.st.Bucket, made.Indexes, func(string) bool { return true })
	if err != nil {
		return plan.Outcome{}, err
	}
	settings := j.set
	settings.Stage = stageGather
	if j.set.Form == source.CSV {
		stats := new(column.Stats)
		if err := j.mergeStats(ctx, stats, made.Stats); err != nil {
			return plan.Outcome{}, err
		}
		settings.Cells = csvColumns(schema, stats)
	}
	touched := map[string]bool{}
	for _, p := range parts {
		touched[strings.Join(p.Segments, "/")] = true
	}
	widen, err := j.cutWiden(set, made, schema, touched)
	if err != nil {
		return plan.Outcome{}, err
	}
	return j.round(ctx, c, settings, made, schema, append(cutGather(parts), widen...))
}

// round makes the spec of a second round.
func (j *copyJob) round(ctx context.Context, c *plan.Committing, settings Copy, hand *carried, schema *column.Schema,
	tasks []json.RawMessage) (plan.Outcome, error) {
	carry, err := j.stageContent(ctx, c.Plan, "carry", marshal(hand))
	if err != nil {
		return plan.Outcome{}, err
	}
	settings.Carry = carry
	if schema != nil {
		settings.Schema = schema.AppendJSON(nil)
	}
	return plan.Outcome{Next: furtherRound(j.env, c, settings, settings.Tuning,
		func(context.Context) ([]json.RawMessage, error) { return tasks, nil })}, nil
}
