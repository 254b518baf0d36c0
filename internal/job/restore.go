package job

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dynaferry/internal/backup"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// Restore are the settings of restore: a table as it was at a time, from a place of backups or by the service itself. The
// first round makes the table, those behind it are an import's, and the last reads the table and compares; its commit gives the
// table its settings. The time stands here as it was typed: the same command goes on with its plan when a backup has been
// added since.
type Restore struct {
	Source    string           `json:"source"`
	Table     string           `json:"table"`
	At        string           `json:"at,omitempty"`
	ARN       string           `json:"arn,omitempty"` // of a table that is there, repeated
	Mode      string           `json:"mode,omitempty"`
	Version   string           `json:"version,omitempty"`
	Overwrite bool             `json:"overwrite,omitempty"`
	Without   []dynamo.Setting `json:"without,omitempty"`

	// Log is a change log of the table, which tells what happened behind the latest base up to the time.
	Log             string `json:"log,omitempty"`
	AcceptCompacted bool   `json:"acceptCompacted,omitempty"`

	// Further rounds.
	Stage  string        `json:"stage,omitempty"`
	Chosen *restoreTask  `json:"chosen,omitempty"`
	Made   *restored     `json:"made,omitempty"`
	Import *Import       `json:"import,omitempty"`
	Loaded *ImportReport `json:"loaded,omitempty"`

	Tuning `json:"-"`
}

// The stages of a restore.
const (
	stageTable = ""      // make the table
	stageLoad  = "load"  // import into it
	stageProve = "prove" // read it again
)

const verbRestore = "restore"

// restoreTask is the first round's one task: what the table is made of, settled when the restore was planned.
type restoreTask struct {
	At         time.Time         `json:"at"`
	Number     int               `json:"number"` // of the backup
	Log        string            `json:"log,omitempty"`
	Of         string            `json:"of"` // ARN of the table that was backed up
	Windows    int               `json:"windows,omitempty"`
	Spec       *source.Spec      `json:"spec,omitempty"` // nil: the service itself restores
	Definition dynamo.Definition `json:"definition"`
}

// restored is the first round's result.
type restored struct {
	ID    string `json:"id"`
	ARN   string `json:"arn"`
	Empty bool   `json:"empty"` // nothing was in the table before
}

type restoreJob struct {
	env     *Env
	set     Restore
	from    world.Address
	at      world.Address // of the table
	client  dynamo.Client
	control dynamo.Control
	st      plan.State
	inner   plan.Job // of the import's rounds
	reads   governed
	proof   opened
}

// NewRestore prepares a restore. Nothing is changed here.
func NewRestore(ctx context.Context, env *Env, set Restore) (*Request, error) {
	j := &restoreJob{env: env, set: set}
	if err := j.check(); err != nil {
		return nil, err
	}
	if err := j.open(ctx); err != nil {
		return nil, err
	}
	folders := []world.Address{j.from}
	if j.from.Scheme == world.DynamoDB {
		folders = nil
	} else if _, err := env.World.Existing(ctx, j.from); err != nil {
		return nil, err
	}
	st, stateAt, err := stateIn(ctx, env, folders...)
	if err != nil {
		return nil, err
	}
	j.st = st
	var chosen *restoreTask
	r := &Request{State: st, StateAddress: stateAt, Job: j, Destination: j.at.String(), from: j.from.String(), costs: []string{},
		Spec: plan.Spec{Verb: verbRestore, Source: marshal(j.set.Source), Settings: marshal(j.set), Tuning: marshal(j.set.Tuning), Writer: env.Version, Stands: j.stands,
			Tasks: func(ctx context.Context) (_ []json.RawMessage, err error) {
				if chosen == nil { // a run that died had begun to write the plan
					chosen, _, err = j.choose(ctx)
				}
				return []json.RawMessage{marshal(chosen)}, err
			}}}
	if unfinished, err := plan.Unfinished(ctx, r.State, r.Spec); err != nil || unfinished && !env.Fresh {
		return r, err
	}
	var src source.Source
	if chosen, src, err = j.choose(ctx); err != nil {
		return nil, err
	}
	if src != nil {
		r.sources = []source.Source{src}
	}
	r.costs = j.preview(chosen)
	return r, j.checkTable(ctx, chosen)
}

func newRestore(env *Env, st plan.State, p *plan.Plan) (plan.Job, error) {
	j := &restoreJob{env: env, st: st}
	if err := json.Unmarshal(p.Settings, &j.set); err != nil {
		return nil, fault.New(fault.Corrupt, "settings of plan %s: %w", p.ID, err)
	}
	var err error
	if j.set.Tuning, err = tuningOf(p); err != nil {
		return nil, err
	}
	if err := j.open(context.Background()); err != nil {
		return nil, err
	}
	if j.set.Stage == stageLoad {
		j.inner, err = newImport(env, st, j.within(p))
	}
	return j, err
}

// within is a plan of ours as the import knows it.
func (j *restoreJob) within(p *plan.Plan) *plan.Plan {
	inner := *p
	inner.Verb, inner.Settings = "import", marshal(j.set.Import)
	return &inner
}

func (j *restoreJob) check() error {
	s := &j.set
	if s.At != "" {
		if _, err := parseMoment(s.At, time.Now()); err != nil {
			return err
		}
	}
	switch {
	case s.Log == "" && s.AcceptCompacted:
		return fault.New(fault.User, "--accept-compacted goes with --log")
	case s.Log != "" && s.At == "":
		return fault.Hint(fault.New(fault.User, "by a log, restore wants the time"), "--at 2026-01-31T18:00:00Z, or how long ago: --at=-90m")
	case s.Log != "" && strings.HasPrefix(s.Source, "dynamodb://"):
		return fault.Hint(fault.New(fault.User, "--log: %s is a table, which the service restores by itself", s.Source), "name backups, an export or a data set of the table as the base")
	}
	known := append(slices.Clone(dynamo.SettingsMade), dynamo.SettingsAfter...)
	for _, w := range s.Without {
		if !slices.Contains(known, w) {
			return fault.New(fault.User, "--without %s: settings are %v", w, known)
		}
	}
	if s.ARN == "" && (s.Mode != "" || s.Overwrite || s.Version != "") {
		return fault.Hint(fault.New(fault.User, "--mode, --overwrite and --version-attribute are for a table that is there"), "repeat its ARN: --arn arn:aws:dynamodb:…:table/…")
	}
	if s.Mode == ModeDelete {
		return fault.New(fault.User, "--mode delete: a restore deletes nothing")
	}
	return (&importJob{env: j.env, set: Import{Mode: s.Mode, Version: s.Version, Overwrite: s.Overwrite, Tuning: s.Tuning}}).fill(nil)
}

// open resolves addresses; it touches nothing.
func (j *restoreJob) open(ctx context.Context) error {
	var err error
	if j.from, err = world.Parse(j.set.Source); err != nil {
		return err
	}
	if j.at, err = world.Parse(j.set.Table); err != nil {
		return err
	}
	if j.at.Scheme != world.DynamoDB {
		return fault.Hint(fault.New(fault.User, "%s is no table", j.at), "restore makes a table: dynamodb://Table")
	}
	j.set.Source, j.set.Table = j.from.String(), j.at.String()
	if j.set.Log != "" {
		log, err := world.Parse(j.set.Log)
		if err != nil {
			return err
		}
		j.set.Log = log.String()
	}
	if j.client, err = j.env.World.Client(ctx, j.at); err != nil {
		return err
	}
	var ok bool
	if j.control, ok = dynamo.Power[dynamo.Control](j.client); !ok {
		return fault.New(fault.Unsupported, "%s: tables cannot be made there", j.at)
	}
	return nil
}

// choose settles what the table is made of, and looks that all of it is there.
func (j *restoreJob) choose(ctx context.Context) (*restoreTask, source.Source, error) {
	if j.from.Scheme == world.DynamoDB {
		task, err := j.byService(ctx)
		return task, nil, err
	}
	loc, err := j.env.World.Existing(ctx, j.from)
	if err != nil {
		return nil, nil, err
	}
	c, err := backup.Load(ctx, loc.Bucket, loc.Prefix)
	if err != nil {
		return nil, nil, err
	}
	if j.set.Log != "" {
		return j.byLog(ctx, c)
	}
	if len(c.Backups) == 0 {
		return nil, nil, fault.Hint(fault.New(fault.NotFound, "%s holds no backups", j.from), "files and exports become a table by: dynaferry import %s %s --create", j.from, j.at)
	}
	at, err := j.moment()
	if err != nil {
		return nil, nil, err
	}
	p, err := c.At(at)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", j.from, j.pointed(ctx, err, c))
	}
	src, err := j.openBase(ctx, j.ofPoint(p))
	if err != nil {
		return nil, nil, fmt.Errorf("backup %d: %w", p.Number, err)
	}
	spec := src.Spec()
	task := &restoreTask{At: p.At, Number: p.Number, Of: p.Table.ARN, Windows: len(p.Windows), Spec: &spec, Definition: *p.Definition}
	return task, src, nil
}

// moment is the time that was asked for; zero for the latest.
func (j *restoreJob) moment() (at time.Time, err error) {
	if j.set.At == "" {
		return at, nil
	}
	if exact, err := time.Parse(time.RFC3339, j.set.At); err == nil { // as the catalogue tells it: services differ in fractions
		return exact, nil
	}
	return parseMoment(j.set.At, time.Now())
}

// ofPoint is a base and its windows as a source.
func (j *restoreJob) ofPoint(p *backup.Point) source.Spec {
	spec := source.Spec{Address: j.from.Join(p.Base.Dir).String()}
	for _, w := range p.Windows {
		spec.Overlay = append(spec.Overlay, source.Overlay{Address: j.from.Join(w.Dir).String()})
	}
	return spec
}

func (j *restoreJob) openBase(ctx context.Context, spec source.Spec) (source.Source, error) {
	src, err := source.Open(ctx, j.env.World, spec)
	if err != nil {
		return nil, err
	}
	for _, warning := range src.Info().Warnings {
		j.env.say("warning: %s", warning)
	}
	return src, nil
}

// pointed adds to the refusal of a time what the service itself can do about it.
func (j *restoreJob) pointed(ctx context.Context, err error, c *backup.Catalogue) error {
	var none *backup.NoPointError
	if !errors.As(err, &none) {
		return err
	}
	hint := fmt.Sprintf("--at %s", backup.Stamp(cmp.Or(none.Before, none.After)))
	if table := c.Last().Table; j.covers(ctx, table, none.At) {
		hint += fmt.Sprintf("; or, to the second, by the service itself: dynaferry restore %s %s --at %s", table.Address, j.at, backup.Stamp(none.At))
	}
	return fault.Hint(err, "%s", hint)
}

// covers tells whether the service can restore a table to a time; where it does not answer, it cannot.
func (j *restoreJob) covers(ctx context.Context, table backup.Table, at time.Time) bool {
	address, err := world.Parse(table.Address)
	if err != nil {
		return false
	}
	client, err := j.env.World.Client(ctx, address)
	if err != nil {
		return false
	}
	native, ok := dynamo.Power[dynamo.Native](client)
	if !ok {
		return false
	}
	b, err := native.Backups(ctx, address.Host)
	return err == nil && b.Enabled && !at.Before(b.Earliest) && !at.After(b.Latest)
}

// byService is a restore by the service's own continuous backups, with the settings that the table has now.
func (j *restoreJob) byService(ctx context.Context) (*restoreTask, error) {
	beside := j.from
	beside.Host = j.at.Host
	switch {
	case beside != j.at:
		return nil, fault.Hint(fault.New(fault.User, "the service restores within one account and Region: %s is not beside %s", j.at, j.from),
			"give both addresses the same ?region=, ?endpoint=, ?profile= and ?role=")
	case j.set.At == "":
		return nil, fault.Hint(fault.New(fault.User, "of a table, restore wants the time"), "--at 2026-01-31T18:00:00Z, or how long ago: --at=-90m")
	case j.set.ARN != "":
		return nil, fault.New(fault.User, "--arn: the service restores into new tables only")
	}
	at, err := parseMoment(j.set.At, time.Now())
	if err != nil {
		return nil, err
	}
	t, err := dynamo.Capture(ctx, j.client, j.from.Host)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", j.from, err)
	}
	native, ok := dynamo.Power[dynamo.Native](j.client)
	if !ok {
		return nil, fault.New(fault.Unsupported, "%s has no continuous backups", j.from)
	}
	b, err := dynamo.Patient{Native: native}.Backups(ctx, t.Name)
	if err != nil {
		return nil, fmt.Errorf("look at the continuous backups of %s: %w", t.Name, err)
	}
	if j.set.At == "now" { // as far as the service knows it
		at = b.Latest.Truncate(time.Second)
	}
	switch {
	case !b.Enabled:
		return nil, fault.Hint(fault.New(fault.User, "%s: continuous backups are off", j.from), "restore from a backup: dynaferry restore s3://… %s", j.at)
	case at.Before(b.Earliest) || at.After(b.Latest):
		return nil, fault.Hint(fault.New(fault.User, "%s: the service can restore it from %s to %s, not to %s", j.from, timeText(b.Earliest), timeText(b.Latest), timeText(at)),
			"choose a time in between, or restore from a backup: dynaferry restore s3://… %s", j.at)
	}
	return &restoreTask{At: at, Of: t.ARN, Definition: t.Definition}, nil
}

// checkTable refuses a table that is there unless its ARN was repeated, and one that does not fit.
func (j *restoreJob) checkTable(ctx context.Context, task *restoreTask) error {
	desc, err := dynamo.Describe(ctx, j.client, j.at.Host)
	missing := fault.KindOf(err) == fault.NotFound
	switch {
	case err != nil && !missing:
		return fmt.Errorf("describe %s: %w", j.at, err)
	case missing && j.set.ARN != "":
		return fault.Hint(fault.New(fault.NotFound, "%s does not exist", j.at), "leave --arn away: restore makes the table")
	case missing:
		return nil
	case j.set.ARN == "":
		return fault.Hint(fault.New(fault.Conflict, "%s exists", j.at),
			"restore into a new table; or into this one, with its ARN repeated: --arn %s, and a mode for the items that are there", desc.ARN)
	case j.set.ARN != desc.ARN:
		return fault.New(fault.User, "--arn %s: %s is %s", j.set.ARN, j.at, desc.ARN)
	case desc.Keys != task.Definition.Keys:
		return fault.New(fault.Conflict, "%s has the keys %s; those of the backup are %s", j.at, keysText(desc.Keys), keysText(task.Definition.Keys))
	}
	if j.set.Mode != "" || j.set.Overwrite {
		return nil
	}
	empty, err := dynamo.Empty(ctx, j.client, j.at.Host)
	if err != nil {
		return fmt.Errorf("look whether %s is empty: %w", j.at, err)
	}
	if !empty {
		return fault.Hint(fault.New(fault.User, "%s is not empty", j.at), "say what happens to items that are there: --mode if-absent, --mode newer, or --overwrite")
	}
	return nil
}

// preview says what would be done.
func (j *restoreJob) preview(task *restoreTask) []string {
	by := fmt.Sprintf("backup %d", task.Number)
	if task.Windows > 0 {
		by += fmt.Sprintf(", its base and %d windows of changes", task.Windows)
	}
	if task.Spec == nil {
		by = "the service's continuous backups"
	}
	if task.Log != "" {
		by = byLogText(task.Number, task.Windows, j.set.Source) + " and the changes of " + task.Log
	}
	lines := []string{fmt.Sprintf("shows %s at %s, by %s", task.Of, backup.Stamp(task.At), by)}
	if j.set.ARN != "" {
		return append(lines, "the table is there: its settings stay as they are")
	}
	text := "makes the table"
	sep := " with "
	for _, s := range append(slices.Clone(dynamo.SettingsMade), dynamo.SettingsAfter...) {
		if task.Definition.Has(s) && !slices.Contains(j.set.Without, s) {
			text, sep = text+sep+string(s), ", "
		}
	}
	return append(lines, text)
}

// stands tells whether the table that a plan made is there.
func (j *restoreJob) stands(ctx context.Context, p *plan.Plan) (bool, error) {
	end, ended, err := plan.Ending(ctx, j.st, p)
	if err != nil || !ended {
		return false, err
	}
	var r RestoreReport
	if err := json.Unmarshal(end.Report, &r); err != nil {
		return false, fault.New(fault.Corrupt, "report of plan %s: %w", p.ID, err)
	}
	desc, err := dynamo.Describe(ctx, j.client, j.at.Host)
	if fault.KindOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil && tableIDOf(desc) == r.TableID, err
}

// definitionFor is a backup's definition for a table of another name, without what was not wanted.
func definitionFor(def dynamo.Definition, name string, without []dynamo.Setting) dynamo.Definition {
	def = def.As(name, dynamo.Definition{})
	for _, s := range without {
		def = def.Without(s)
	}
	return def
}
