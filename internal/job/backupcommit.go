package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"dynaferry/internal/backup"
	"dynaferry/internal/dataset"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/manifest"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
)

// BackupReport is what a finished backup says.
type BackupReport struct {
	Type        string                 `json:"type"` // "backup"
	Table       string                 `json:"table"`
	Destination string                 `json:"destination"`
	Number      int                    `json:"number"` // in the catalogue; -1 when nothing was added
	Kind        backup.Kind            `json:"kind"`
	By          string                 `json:"by"`
	From        time.Time              `json:"from,omitzero"` // of changes, and of a scan
	To          time.Time              `json:"to,omitzero"`
	Windows     int                    `json:"windows,omitempty"`
	Items       int64                  `json:"items"` // or changes
	Bytes       int64                  `json:"bytes"`
	Units       float64                `json:"readUnits"`
	Fingerprint string                 `json:"fingerprint,omitempty"`
	Untold      []dynamo.UntoldSetting `json:"untold,omitempty"` // settings that the definition does not have
	Failure     *Failure               `json:"failure,omitempty"`
	Overtaken   string                 `json:"overtaken,omitempty"`
}

// Err is why the backup is not in the catalogue, or not as a whole.
func (r *BackupReport) Err() error {
	switch {
	case r.Overtaken != "":
		return fault.Hint(fault.New(fault.Conflict, "another backup was first: %s", r.Overtaken), "run the same command again")
	case r.Failure != nil:
		return r.Failure.Err("backup of " + r.Table)
	}
	return nil
}

// captured is the first round's result.
type captured struct {
	Definition dynamo.Definition `json:"definition"`
}

// Task captures the table's definition, or runs a task of the export.
func (j *backupJob) Task(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	if j.inner != nil {
		return j.inner.Task(ctx, a)
	}
	client, err := j.env.World.Client(ctx, j.tableAt)
	if err != nil {
		return nil, err
	}
	t, err := dynamo.Capture(ctx, client, j.tableAt.Host)
	if err != nil {
		return nil, fmt.Errorf("capture the definition of %s: %w", j.tableAt, err)
	}
	if tableIDOf(t) != j.table.ID {
		return nil, fault.Hint(fault.New(fault.Conflict, "%s is not the table that plan %s was made for: it was deleted and made again", j.tableAt, a.Plan.ID), "start anew: --fresh")
	}
	return marshal(captured{t.Definition}), nil
}

// Check is the export's.
func (j *backupJob) Check(ctx context.Context, r plan.Result) error {
	if j.inner != nil {
		return j.inner.Check(ctx, r)
	}
	return nil
}

// Sweep removes what the plan staged.
func (j *backupJob) Sweep(ctx context.Context, st plan.State, p *plan.Plan) error {
	return sweepStaged(ctx, st, p)
}

// Commit asks for the export's rounds, and adds what the last of them made to the catalogue.
func (j *backupJob) Commit(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	if j.inner == nil {
		return j.exportRound(ctx, c)
	}
	inner := *c
	inner.Plan = j.within(c.Plan)
	out, err := j.inner.Commit(ctx, &inner)
	if err != nil || out.Next == nil {
		if err != nil {
			return out, err
		}
		return j.add(ctx, c, out.Report)
	}
	return j.wrap(out)
}

// wrap makes a round of the export one of ours.
func (j *backupJob) wrap(out plan.Outcome) (plan.Outcome, error) {
	set := j.set
	set.Copy = new(Copy)
	if err := json.Unmarshal(out.Next.Settings, set.Copy); err != nil {
		return plan.Outcome{}, fault.New(fault.Bug, "settings of a further round: %w", err)
	}
	out.Next.Verb, out.Next.Settings = verbBackup, marshal(set)
	return out, nil
}

// exportRound asks for the export.
func (j *backupJob) exportRound(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	r, err := c.Results.Result(ctx, 0)
	if err != nil {
		return plan.Outcome{}, err
	}
	var found captured
	if err := json.Unmarshal(r.Body, &found); err != nil {
		return plan.Outcome{}, fault.New(fault.Corrupt, "result of the first task: %w", err)
	}
	tasks, err := plan.Tasks(ctx, c.State, c.Plan)
	if err != nil {
		return plan.Outcome{}, err
	}
	set := j.set
	set.Made, set.Definition, set.Table = new(backupTask), &found.Definition, j.table
	if err := json.Unmarshal(tasks[0].Body, set.Made); err != nil {
		return plan.Outcome{}, fault.New(fault.Corrupt, "the first task: %w", err)
	}
	src, err := source.Open(ctx, j.env.World, source.Spec{Address: j.table.Address, Consistent: j.set.Consistent})
	if err != nil {
		return plan.Outcome{}, err
	}
	if tableIDOf(src.Info().Table) != j.table.ID {
		return plan.Outcome{}, fault.Hint(fault.New(fault.Conflict, "%s was deleted and made again", j.tableAt), "start anew: --fresh")
	}
	next := &plan.Spec{Verb: verbBackup, Tuning: marshal(set.Tuning), Writer: j.env.Version}
	if set.Made.By == backup.ByScan {
		set.Copy, next.Source, next.Tasks, err = j.scan(ctx, c.Plan, src)
	} else {
		set.Native, next.Source, next.Tasks, err = j.export(ctx, *set.Made, src)
	}
	next.Settings = marshal(set)
	return plan.Outcome{Next: next}, err
}

// scan are the settings and tasks of a scan into a folder of the plan's own.
func (j *backupJob) scan(ctx context.Context, p *plan.Plan, src source.Source) (*Copy, json.RawMessage, func(context.Context) ([]json.RawMessage, error), error) {
	set := Copy{Dest: j.at.Join(path.Join(scansFolder, p.ID)).String(), Form: source.DynamoDBJSON, Segments: j.set.Segments, Keys: src.Info().Keys, Tuning: j.set.Tuning}
	set.fill(source.KindTable)
	n := &copyJob{env: j.env, set: set, spec: src.Spec()}
	return &n.set, marshal(n.spec), func(ctx context.Context) ([]json.RawMessage, error) { return n.cut(ctx, src) }, n.set.check()
}

// export are those of the service's export.
func (j *backupJob) export(ctx context.Context, made backupTask, src source.Source) (*NativeExport, json.RawMessage, func(context.Context) ([]json.RawMessage, error), error) {
	catalogue, err := backup.Load(ctx, j.place.Bucket, j.place.Prefix)
	if err != nil {
		return nil, nil, nil, err
	}
	n, err := j.newNative(ctx, made, catalogue)
	if err != nil {
		return nil, nil, nil, err
	}
	return &n.set, marshal(n.table), func(ctx context.Context) ([]json.RawMessage, error) { return n.cut(ctx, src.Info().Table) }, nil
}

// add puts what the export made into the catalogue and reports it.
func (j *backupJob) add(ctx context.Context, c *plan.Committing, raw json.RawMessage) (plan.Outcome, error) {
	b := backup.Backup{Plan: c.Plan.ID, Created: c.Plan.Created, Kind: j.set.Made.Kind, By: j.set.Made.By, Definition: *j.set.Definition,
		Table: backup.Table{Address: j.table.Address, Name: j.tableAt.Host, ARN: j.table.ARN, ID: j.table.ID}}
	report := &BackupReport{Type: "backup", Table: j.table.Address, Destination: j.at.String(), Number: -1, Kind: b.Kind, By: b.By}
	if j.set.Definition.Settings != nil {
		report.Untold = j.set.Definition.Settings.Untold
	}
	var err error
	if j.set.Native != nil {
		b.Links, err = j.exported(ctx, raw, report)
	} else {
		b.Links, err = j.copied(ctx, raw, report)
	}
	if err != nil || len(b.Links) == 0 { // nothing but a failure
		return plan.Outcome{Report: marshal(report)}, err
	}
	catalogue, err := backup.Load(ctx, j.place.Bucket, j.place.Prefix)
	if err != nil {
		return plan.Outcome{}, err
	}
	stands, err := catalogue.Add(ctx, b)
	var overtaken *backup.OvertakenError
	if errors.As(err, &overtaken) {
		report.Overtaken = overtaken.Error()
		return plan.Outcome{Report: marshal(report)}, nil
	}
	if err != nil {
		return plan.Outcome{}, err
	}
	report.Number, report.From, report.To = stands.Number, stands.Links[0].From, stands.Links[len(stands.Links)-1].To
	if b.Kind == backup.Changes {
		report.Windows = len(stands.Links)
	}
	for _, l := range stands.Links {
		report.Items += l.Items
		report.Bytes += l.Bytes
	}
	return plan.Outcome{Report: marshal(report)}, nil
}

// exported are the service's exports, up to the first that failed: what lies behind it would leave a hole.
func (j *backupJob) exported(ctx context.Context, raw json.RawMessage, report *BackupReport) ([]backup.Link, error) {
	var r NativeReport
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fault.New(fault.Corrupt, "report of the exports: %w", err)
	}
	var all []backup.Link
	for _, e := range r.Exports {
		if report.Failure = e.Failure; e.Failure != nil {
			return all, nil
		}
		found, err := manifest.Open(ctx, j.place.Bucket, path.Dir(e.Manifest))
		if err != nil {
			return nil, fmt.Errorf("check export %s: %w", e.ID, err)
		}
		at, err := linkOf(found.Dir, found.Summary)
		if err != nil {
			return nil, err
		}
		l := backup.Link{Dir: strings.TrimPrefix(strings.TrimPrefix(found.Dir, j.place.Prefix), "/"), From: at.from, To: at.to, Items: found.Summary.ItemCount}
		for _, f := range found.Files {
			l.Bytes += f.Size
		}
		all = append(all, l)
	}
	return all, nil
}

// copied is the scan, as the history of its folder tells it.
func (j *backupJob) copied(ctx context.Context, raw json.RawMessage, report *BackupReport) ([]backup.Link, error) {
	var r Report
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fault.New(fault.Corrupt, "report of the scan: %w", err)
	}
	loc := j.scanned(j.set.Copy.Dest)
	set, err := dataset.Load(ctx, loc.Bucket, loc.Prefix)
	if err != nil {
		return nil, err
	}
	var shows source.Moment
	if set.Last == nil || json.Unmarshal(set.Last.Extra[source.ShowsKey], &shows) != nil {
		return nil, fault.New(fault.Corrupt, "%s: the history of the scan does not tell when it was", loc.Prefix)
	}
	report.Units, report.Fingerprint = r.Units, r.Fingerprint
	return []backup.Link{{Dir: path.Join(scansFolder, path.Base(j.set.Copy.Dest)), From: shows.Start.Truncate(time.Second), To: shows.End.Truncate(time.Millisecond).Add(time.Millisecond), Items: r.Items,
		Bytes: r.Bytes, Fingerprint: r.Fingerprint}}, nil
}
