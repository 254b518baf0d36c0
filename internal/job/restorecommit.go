package job

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
)

// RestoreReport is what a finished restore says.
type RestoreReport struct {
	Type        string           `json:"type"` // "restore"
	Source      string           `json:"source"`
	Table       string           `json:"table"`
	ARN         string           `json:"arn"`
	TableID     string           `json:"tableId"`
	Of          string           `json:"of"` // ARN of the table that was backed up
	At          time.Time        `json:"at"`
	By          string           `json:"by"`                // backup or service
	Backup      int              `json:"backup"`            // -1: the base was none
	Windows     int              `json:"windows,omitempty"` // of changes laid over the base
	Log         string           `json:"log,omitempty"`     // whose changes were laid over that
	Proof       string           `json:"proof"`             // see the constants
	Fingerprint string           `json:"fingerprint,omitempty"`
	Found       string           `json:"tableFingerprint,omitempty"`
	Written     int64            `json:"written"`
	Skipped     int64            `json:"skipped,omitempty"` // the table's own item stayed
	Settings    []dynamo.Setting `json:"settings,omitempty"`
	Unset       []Unset          `json:"unset,omitempty"`
	WriteUnits  float64          `json:"writeUnits,omitempty"`
	ReadUnits   float64          `json:"readUnits,omitempty"`
	DeadLetters int64            `json:"deadLetters,omitempty"`
	DeadFiles   []string         `json:"deadLetterFiles,omitempty"`
}

// What proves a restore.
const (
	ProofEqual   = "equal"   // the fingerprint of what was read is that of the table
	ProofDiffers = "differs" // and here it is not
	ProofLive    = "live"    // none: the table held items before
	ProofService = "service" // none of ours: the service restored
)

// Unset is a setting that the table does not have, though the backup's had it.
type Unset struct {
	Setting dynamo.Setting `json:"setting"`
	Reason  string         `json:"reason"`
	Wished  bool           `json:"wished,omitempty"` // or could not be otherwise: nobody has to do anything about it
}

// Partial tells whether something of the definition or the items is missing that was wanted.
func (r *RestoreReport) Partial() bool {
	return r.DeadLetters > 0 || slices.ContainsFunc(r.Unset, func(u Unset) bool { return !u.Wished })
}

// Commit goes from the table to its items, to the proof, and ends with the settings.
func (j *restoreJob) Commit(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	switch j.set.Stage {
	case stageTable:
		return j.loadRound(ctx, c)
	case stageLoad:
		inner := *c
		inner.Plan = j.within(c.Plan)
		out, err := j.inner.Commit(ctx, &inner)
		if err != nil {
			return out, err
		}
		if out.Next == nil {
			return j.proveRound(ctx, c, out.Report)
		}
		set := j.set
		set.Import = new(Import)
		if err := json.Unmarshal(out.Next.Settings, set.Import); err != nil {
			return plan.Outcome{}, fault.New(fault.Bug, "settings of a further round: %w", err)
		}
		out.Next.Verb, out.Next.Settings = verbRestore, marshal(set)
		return out, nil
	}
	return j.proven(ctx, c)
}

// loadRound asks for the items, where the service has not brought them itself.
func (j *restoreJob) loadRound(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	r, err := c.Results.Result(ctx, 0)
	if err != nil {
		return plan.Outcome{}, err
	}
	tasks, err := plan.Tasks(ctx, c.State, c.Plan)
	if err != nil {
		return plan.Outcome{}, err
	}
	set := j.set
	set.Stage, set.Chosen, set.Made = stageLoad, new(restoreTask), new(restored)
	for _, p := range []struct {
		raw  json.RawMessage
		into any
	}{{tasks[0].Body, set.Chosen}, {r.Body, set.Made}} {
		if err := json.Unmarshal(p.raw, p.into); err != nil {
			return plan.Outcome{}, fault.New(fault.Corrupt, "the first round: %w", err)
		}
	}
	if set.Chosen.Spec == nil {
		report := j.report(&set)
		report.By, report.Proof = "service", ProofService
		return j.finish(ctx, &set, report)
	}
	src, err := source.Open(ctx, j.env.World, *set.Chosen.Spec)
	if err != nil {
		return plan.Outcome{}, err
	}
	load := &importJob{env: j.env, st: j.st, at: j.at, spec: src.Spec(), set: Import{Table: j.at.String(), TableID: set.Made.ID, Mode: set.Mode, Version: set.Version,
		Overwrite: set.Overwrite, Dedupe: "last", Prove: true, Tuning: set.Tuning}}
	if load.set.Mode == "" {
		load.set.Mode = ModePut
	}
	if err := load.describe(ctx); err != nil {
		return plan.Outcome{}, err
	}
	load.stage(src)
	if err := load.planChanges(ctx, src); err != nil {
		return plan.Outcome{}, err
	}
	set.Import = &load.set
	return plan.Outcome{Next: &plan.Spec{Verb: verbRestore, Source: marshal(load.spec), Settings: marshal(set), Tuning: marshal(set.Tuning), Writer: j.env.Version,
		Tasks: func(ctx context.Context) ([]json.RawMessage, error) { return load.firstTasks(ctx, src) }}}, nil
}

// provingBytes is how much of a table one proving task reads.
const provingBytes = 1 << 30

// proveRound asks for the table to be read again, where that can prove something.
func (j *restoreJob) proveRound(ctx context.Context, c *plan.Committing, raw json.RawMessage) (plan.Outcome, error) {
	set := j.set
	set.Stage, set.Import, set.Loaded = stageProve, nil, new(ImportReport)
	if err := json.Unmarshal(raw, set.Loaded); err != nil {
		return plan.Outcome{}, fault.New(fault.Corrupt, "report of the import: %w", err)
	}
	if !set.Made.Empty {
		report := j.report(&set)
		report.Proof = ProofLive
		return plan.Outcome{Report: marshal(report)}, nil
	}
	// A unit is at most a KB; what the service counts of a new table comes hours later.
	n := int(min(max(segmentsLeast, int64(j.env.workers()), int64(set.Loaded.Units)*1024/provingBytes), source.SegmentsMax))
	tasks := make([]json.RawMessage, n)
	for i := range tasks {
		tasks[i] = marshal(source.Unit{Order: i, Segment: i, Segments: n})
	}
	return plan.Outcome{Next: furtherRound(j.env, c, set, set.Tuning, func(context.Context) ([]json.RawMessage, error) { return tasks, nil })}, nil
}

// proven compares, and gives an equal table its settings.
func (j *restoreJob) proven(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	report := j.report(&j.set)
	var total item.Fingerprint
	for i := range c.Plan.Tasks {
		p, err := resultOf[proof](ctx, c, i)
		if err != nil {
			return plan.Outcome{}, err
		}
		print, err := item.ParseFingerprint(p.Fingerprint)
		if err != nil {
			return plan.Outcome{}, fault.New(fault.Corrupt, "result of task %d: %w", i, err)
		}
		total.Merge(print)
		report.ReadUnits += p.Units
	}
	report.Found = total.String()
	if report.Proof = ProofEqual; report.Found != report.Fingerprint {
		report.Proof = ProofDiffers
		return plan.Outcome{Report: marshal(report)}, nil
	}
	if j.set.ARN != "" {
		return plan.Outcome{Report: marshal(report)}, nil
	}
	return j.finish(ctx, &j.set, report)
}

func (j *restoreJob) report(set *Restore) *RestoreReport {
	r := &RestoreReport{Type: "restore", Source: j.from.String(), Table: j.at.String(), ARN: set.Made.ARN, TableID: set.Made.ID, Of: set.Chosen.Of, At: set.Chosen.At, By: "backup",
		Backup: set.Chosen.Number, Windows: set.Chosen.Windows,
		Log: set.Chosen.Log}
	if l := set.Loaded; l != nil {
		r.Fingerprint, r.Written, r.Skipped, r.WriteUnits, r.DeadLetters, r.DeadFiles = l.Fingerprint, l.Written, l.Skipped+l.Equal, l.Units, l.DeadLetters, l.DeadLetterFiles
	}
	return r
}

// finish gives the table its settings, those last that would make it hard to throw away.
func (j *restoreJob) finish(ctx context.Context, set *Restore, report *RestoreReport) (plan.Outcome, error) {
	t, err := dynamo.Describe(ctx, j.client, j.at.Host)
	if err != nil {
		return plan.Outcome{}, fmt.Errorf("describe %s: %w", j.at, err)
	}
	if tableIDOf(t) != set.Made.ID {
		return plan.Outcome{}, fault.New(fault.Conflict, "%s is not the table that was restored: it was deleted and made again", j.at)
	}
	def := &set.Chosen.Definition
	for _, s := range dynamo.SettingsMade {
		if !def.Has(s) {
			continue
		}
		if slices.Contains(set.Without, s) && set.Chosen.Spec != nil {
			report.Unset = append(report.Unset, Unset{s, "left out by --without", true})
			continue
		}
		report.Settings = append(report.Settings, s)
	}
	for _, s := range dynamo.SettingsAfter {
		if !def.Has(s) {
			continue
		}
		if slices.Contains(set.Without, s) {
			report.Unset = append(report.Unset, Unset{s, "left out by --without", true})
			continue
		}
		err := setPatiently(ctx, j.control, t, def, s)
		if err != nil && (fault.Retryable(err) || ctx.Err() != nil) {
			return plan.Outcome{}, fmt.Errorf("set %s of %s: %w", s, j.at, err)
		}
		if err != nil {
			report.Unset = append(report.Unset, Unset{Setting: s, Reason: fault.Reason(err)})
			continue
		}
		report.Settings = append(report.Settings, s)
	}
	report.Unset = append(report.Unset, beyond(def)...)
	return plan.Outcome{Report: marshal(report)}, nil
}

// beyond names what the backup's table had and a restore does not bring.
func beyond(def *dynamo.Definition) []Unset {
	var all []Unset
	if n := def.Replicas(); n > 0 {
		all = append(all, Unset{"replicas", fmt.Sprintf("the table was a global one, in %d other Regions; aws dynamodb update-table --replica-updates adds them", n), true})
	}
	if def.Settings == nil {
		return all
	}
	var reserved []string
	for _, t := range def.Settings.Tags {
		if dynamo.ServiceTag(t) {
			reserved = append(reserved, t.Key)
		}
	}
	if len(reserved) > 0 {
		all = append(all, Unset{dynamo.Tags, "only AWS may set " + strings.Join(reserved, ", "), true})
	}
	for _, u := range def.Settings.Untold {
		all = append(all, Unset{u.Setting, "the backup does not know it: " + u.Reason, true})
	}
	return all
}

// settingPatience is how long one setting is tried: the service changes a table in minutes, one change after another.
const settingPatience = 5 * time.Minute

func setPatiently(ctx context.Context, control dynamo.Control, t *dynamo.Table, def *dynamo.Definition, s dynamo.Setting) error {
	g := dynamo.NewGovernor(dynamo.GovernorOptions{RetryFor: settingPatience, TryTimeout: settingPatience})
	return g.Do(ctx, 1, func(ctx context.Context) (float64, error) {
		err := control.Set(ctx, t, def, s)
		if fault.KindOf(err) == fault.Conflict || dynamo.RefusedCode(err) == dynamo.CodeLimitExceeded { // another change of the table is under way
			err = fault.As(fault.Unavailable, err)
		}
		return 0, err
	})
}
