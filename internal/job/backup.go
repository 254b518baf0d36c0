package job

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"time"

	"dynaferry/internal/backup"
	"dynaferry/internal/blob"
	"dynaferry/internal/dataset"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// Backup are the settings of backup: a table's definition and its data, written down in the catalogue of a place. The first
// round captures the definition; those behind it are an export's own, by scan or by the service, whose last commit adds the
// backup to the catalogue.
type Backup struct {
	Dest       string `json:"dest"`
	By         string `json:"by,omitempty"`      // backup.ByScan or ByNative; "": native where that can be
	Chain      bool   `json:"chain,omitempty"`   // changes where the place has a base of the table
	NewBase    bool   `json:"newBase,omitempty"` // begin the chain anew
	View       string `json:"view,omitempty"`    // of changes: NEW_IMAGE or NEW_AND_OLD_IMAGES
	KMSKey     string `json:"kmsKey,omitempty"`
	Owner      string `json:"bucketOwner,omitempty"`
	Consistent bool   `json:"consistent,omitempty"` // scan
	Segments   int    `json:"segments,omitempty"`

	// Further rounds.
	Made       *backupTask        `json:"made,omitempty"`
	Definition *dynamo.Definition `json:"definition,omitempty"`
	Table      nativeSource       `json:"table,omitzero"`
	Copy       *Copy              `json:"copy,omitempty"`
	Native     *NativeExport      `json:"native,omitempty"`

	Tuning `json:"-"`
}

// backupTask is the first round's one task: what the backup is to be, settled when it was planned.
type backupTask struct {
	Kind backup.Kind `json:"kind"`
	By   string      `json:"by"`
}

type backupJob struct {
	env     *Env
	set     Backup
	table   nativeSource
	tableAt world.Address
	at      world.Address
	place   world.Location
	st      plan.State
	stateAt string
	inner   plan.Job // of the export's rounds
}

const verbBackup = "backup"

// NewBackup prepares a backup. Continuous backups are turned on here, when that was asked for; nothing else is changed.
func NewBackup(ctx context.Context, env *Env, table string, set Backup, enable bool) (*Request, error) {
	src, err := source.Open(ctx, env.World, source.Spec{Address: table, Consistent: set.Consistent})
	if err != nil {
		return nil, err
	}
	desc := src.Info().Table
	if desc == nil {
		return nil, fault.Hint(fault.New(fault.User, "backup: %s is no table", src.Address()), "a backup is of a table: dynaferry backup dynamodb://Table DEST; files: dynaferry convert")
	}
	j := &backupJob{env: env, set: set, table: nativeSource{src.Address().String(), desc.ARN, tableIDOf(desc)}, tableAt: src.Address()}
	if err := j.check(); err != nil {
		return nil, err
	}
	if err := j.open(ctx); err != nil {
		return nil, err
	}
	var made *backupTask
	r := &Request{State: j.st, StateAddress: j.stateAt, Job: j, Destination: j.at.String(), sources: []source.Source{src},
		Spec: plan.Spec{Verb: verbBackup, Source: marshal(j.table), Settings: marshal(j.set), Tuning: marshal(j.set.Tuning), Writer: env.Version, Stands: j.stands,
			Tasks: func(ctx context.Context) (_ []json.RawMessage, err error) {
				if made == nil { // a run that died had begun to write the plan
					made, _, err = j.choose(ctx, desc, enable)
				}
				return []json.RawMessage{marshal(made)}, err
			}}}
	if unfinished, err := plan.Unfinished(ctx, r.State, r.Spec); err != nil || unfinished && !env.Fresh {
		return r, err
	}
	made, r.costs, err = j.choose(ctx, desc, enable)
	return r, err
}

func newBackup(env *Env, st plan.State, p *plan.Plan) (plan.Job, error) {
	j := &backupJob{env: env}
	var err error
	if j.set.Tuning, err = tuningOf(p); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(p.Settings, &j.set); err != nil {
		return nil, fault.New(fault.Corrupt, "settings of plan %s: %w", p.ID, err)
	}
	if j.table = j.set.Table; j.set.Made == nil {
		if err := json.Unmarshal(p.Source, &j.table); err != nil {
			return nil, fault.New(fault.Corrupt, "source of plan %s: %w", p.ID, err)
		}
	}
	if j.tableAt, err = world.Parse(j.table.Address); err != nil {
		return nil, err
	}
	if err := j.open(context.Background()); err != nil {
		return nil, err
	}
	j.st = st
	if j.set.Made == nil {
		return j, nil
	}
	inner := j.within(p)
	if j.set.Native != nil {
		j.inner, err = newNativeExport(env, st, inner)
		return j, err
	}
	copying, err := newCopy(env, st, inner)
	if err == nil {
		copying.(*copyJob).dest = j.scanned(j.set.Copy.Dest)
	}
	j.inner = copying
	return j, err
}

// within is a plan of ours as the export knows it.
func (j *backupJob) within(p *plan.Plan) *plan.Plan {
	inner := *p
	if inner.Verb, inner.Settings = verbNativeExport, marshal(j.set.Native); j.set.Native == nil {
		inner.Verb, inner.Settings = "export", marshal(j.set.Copy)
	}
	return &inner
}

func (j *backupJob) check() error {
	s := &j.set
	switch {
	case s.By != "" && s.By != backup.ByScan && s.By != backup.ByNative:
		return fault.New(fault.Bug, "no way %q to make a backup", s.By)
	case s.NewBase && !s.Chain:
		return fault.New(fault.User, "--new-base goes with --chain: without that every backup is a base")
	case len(s.Owner) > 0 && !accountID.MatchString(s.Owner):
		return fault.New(fault.User, "--bucket-owner %s: an account is twelve digits", s.Owner)
	case s.Segments < 0 || s.Segments > source.SegmentsMax:
		return fault.New(fault.User, "--segments %d: it is 0, for the default, to %d", s.Segments, source.SegmentsMax)
	}
	return s.Tuning.check()
}

// open resolves addresses; it touches nothing.
func (j *backupJob) open(ctx context.Context) error {
	var err error
	if j.at, err = world.Parse(j.set.Dest); err != nil {
		return err
	}
	if j.at.Scheme == world.DynamoDB {
		return fault.Hint(fault.New(fault.User, "%s is a table; backups lie in a bucket or a folder", j.at), "name one: s3://bucket/prefix, or a path")
	}
	j.set.Dest = j.at.String() // whole: a task of the plan may run in another working directory
	if j.place, err = j.env.location(ctx, j.at, blob.Settings{}); err != nil {
		return err
	}
	j.stateAt = cmp.Or(j.env.State, j.at.Join(dataset.Hidden).String())
	j.st, err = OpenState(ctx, j.env, j.stateAt)
	return err
}

// tableIDOf identifies a table; endpoints that give none an id have its ARN.
func tableIDOf(desc *dynamo.Table) string { return cmp.Or(desc.ID, desc.ARN) }

// choose settles what the backup is to be, and refuses what cannot be before anything begins.
func (j *backupJob) choose(ctx context.Context, desc *dynamo.Table, enable bool) (*backupTask, []string, error) {
	made := &backupTask{Kind: backup.Base, By: j.set.By}
	catalogue, err := backup.Load(ctx, j.place.Bucket, j.place.Prefix)
	if err != nil {
		return made, nil, err
	}
	if err := j.checkPlace(ctx, catalogue); err != nil {
		return made, nil, err
	}
	_, _, has := catalogue.Open(j.table.ID)
	if j.set.Chain && has && !j.set.NewBase {
		made = &backupTask{Kind: backup.Changes, By: backup.ByNative}
		if j.set.By == backup.ByScan {
			return made, nil, fault.Hint(fault.New(fault.User, "--scan: what changed is known to the service's incremental exports only"),
				"leave --scan away, or begin with a base again: --new-base --scan")
		}
	}
	if made.By == "" {
		if made.By, err = j.way(ctx, desc, enable); err != nil {
			return made, nil, err
		}
	}
	if err := j.set.heeded(made.By); err != nil {
		return made, nil, err
	}
	if made.By == backup.ByScan && !j.set.Chain {
		return made, nil, nil
	}
	// Also a scan that a chain begins with needs continuous backups, from before it on.
	n, err := j.newNative(ctx, *made, catalogue)
	if err != nil {
		return made, nil, err
	}
	costs, err := n.backups(ctx, enable, desc)
	if err != nil {
		return made, nil, err
	}
	if made.By == backup.ByScan {
		return made, nil, n.reachBack(ctx, desc)
	}
	return made, append(costs, map[backup.Kind]string{backup.Base: "makes a base", backup.Changes: "adds the changes since the last backup"}[made.Kind]), nil
}

// reachBack refuses a scan that changes could not be laid over, as the service does not know them from before it on.
func (j *nativeJob) reachBack(ctx context.Context, desc *dynamo.Table) error {
	if j.env.DryRun {
		return nil
	}
	b, err := j.native.Backups(ctx, desc.Name)
	if err != nil {
		return fmt.Errorf("look at the continuous backups of %s: %w", desc.Name, err)
	}
	if from := b.Earliest.Add(scanMargin); time.Now().Before(from) {
		return fault.Hint(fault.New(fault.User, "--scan: a chain needs the changes from %s before the scan on, and the service has them from %s on only", scanMargin, timeText(b.Earliest)),
			"wait until %s, or leave --scan away", timeText(ceilSecond(from)))
	}
	return nil
}

// heeded refuses what the way that was chosen has no use for.
func (s *Backup) heeded(by string) error {
	words := map[string]string{backup.ByScan: "scan", backup.ByNative: "the service's export"}
	for _, wish := range []struct {
		flag  string
		given bool
		by    string
	}{{"--read-units", s.ReadUnits != "", backup.ByScan}, {"--consistent", s.Consistent, backup.ByScan}, {"--segments", s.Segments != 0, backup.ByScan},
		{"--kms", s.KMSKey != "", backup.ByNative}, {"--bucket-owner", s.Owner != "", backup.ByNative}} {
		if wish.given && wish.by != by && !(s.Chain && wish.by == backup.ByNative) {
			return fault.Hint(fault.New(fault.User, "%s goes with a backup by %s; this one is by %s", wish.flag, words[wish.by], words[by]), "--%s, or leave %s away", wish.by, wish.flag)
		}
	}
	return nil
}

// checkPlace refuses a place that holds something else.
func (j *backupJob) checkPlace(ctx context.Context, c *backup.Catalogue) error {
	if last := c.Last(); last != nil && last.Table.ARN != j.table.ARN {
		return fault.Hint(fault.New(fault.Conflict, "%s holds backups of %s, not of %s", j.at, last.Table.ARN, j.table.ARN), "choose another destination")
	}
	set, err := dataset.Load(ctx, j.place.Bucket, j.place.Prefix)
	if err != nil {
		return err
	}
	if set.Head >= 0 || len(set.Open) > 0 {
		return fault.Hint(fault.New(fault.Conflict, "%s holds a data set; a backup beside it would be no part of it", j.at), "choose another destination")
	}
	return nil
}

// way chooses how a base is made where nothing was said: by the service where it can, else by scan.
func (j *backupJob) way(ctx context.Context, desc *dynamo.Table, enable bool) (string, error) {
	if j.at.Scheme != world.S3 && !j.set.Chain {
		return backup.ByScan, nil
	}
	if enable || j.set.Chain {
		return backup.ByNative, nil
	}
	client, err := j.env.World.Client(ctx, j.tableAt)
	if err != nil {
		return "", err
	}
	native, ok := dynamo.Power[dynamo.Native](client)
	if !ok {
		return backup.ByScan, nil
	}
	b, err := dynamo.Patient{Native: native}.Backups(ctx, desc.Name)
	switch k := fault.KindOf(err); {
	case k == fault.Unsupported || k == fault.Permission:
		return backup.ByScan, nil
	case err != nil:
		return "", fmt.Errorf("look at the continuous backups of %s: %w", desc.Name, err)
	case b.Enabled:
		return backup.ByNative, nil
	}
	j.env.say("continuous backups of %s are off: the backup is a scan, which has no single moment (--enable-pitr --native has one)", desc.Name)
	return backup.ByScan, nil
}

// newNative makes the job of the service's export that a backup is, or the one that a chain will need.
func (j *backupJob) newNative(ctx context.Context, made backupTask, c *backup.Catalogue) (*nativeJob, error) {
	n := &nativeJob{env: j.env, table: j.table, catalogue: c, set: NativeExport{Dest: j.set.Dest, State: j.stateAt, Form: source.DynamoDBJSON,
		KMSKey: j.set.KMSKey, Owner: j.set.Owner}}
	if made.Kind == backup.Changes {
		n.set.FollowOn, n.set.View = true, j.set.View
	}
	if err := n.check(); err != nil {
		return nil, err
	}
	return n, n.open(ctx)
}

// scanned is the folder of a scan below the place, in the place's own bucket: what was staged is published without leaving it.
func (j *backupJob) scanned(dest string) world.Location {
	return world.Location{Bucket: j.place.Bucket, Prefix: path.Join(j.place.Prefix, scansFolder, path.Base(dest))}
}

// scansFolder is where scans lie below a place, each in a folder of its plan's name.
const scansFolder = "scans"

// stands tells whether the backup that a plan made is in the catalogue. One that failed in part was told or not: the next
// goes on from what is there.
func (j *backupJob) stands(ctx context.Context, p *plan.Plan) (bool, error) {
	end, ended, err := plan.Ending(ctx, j.st, p)
	if err != nil || !ended {
		return false, err
	}
	var r BackupReport
	if err := json.Unmarshal(end.Report, &r); err != nil {
		return false, fault.New(fault.Corrupt, "report of plan %s: %w", p.ID, err)
	}
	if r.Err() != nil {
		return false, nil
	}
	c, err := backup.Load(ctx, j.place.Bucket, j.place.Prefix)
	if err != nil {
		return false, err
	}
	for _, b := range c.Backups {
		if b.Plan == p.ID {
			return true, nil
		}
	}
	return false, nil
}
