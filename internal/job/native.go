package job

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
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

// NativeExport are the settings of an export that the service itself makes. Times stand here as they were typed, so that the
// same command goes on with its plan an hour later; what they came to is in the plan's tasks.
type NativeExport struct {
	Dest     string `json:"dest"`
	State    string `json:"state"` // address of the state root, below which an export waits that is to be converted
	Form     string `json:"form"`  // source.DynamoDBJSON and Ion stay as the service wrote them
	At       string `json:"at,omitempty"`
	From     string `json:"from,omitempty"` // of an incremental one
	To       string `json:"to,omitempty"`   // "": the latest that the service gives
	View     string `json:"view,omitempty"`
	FollowOn bool   `json:"followOn,omitempty"` // go on where the exports at the destination end
	Base     string `json:"base,omitempty"`     // what they follow, where that is elsewhere
	KMSKey   string `json:"kmsKey,omitempty"`
	Owner    string `json:"bucketOwner,omitempty"`
	Copy     *Copy  `json:"copy,omitempty"` // how to convert; nil leaves the export

	// Told says that the times were not typed but come from the service's answers: they have come, whatever our clock says, and the
	// last window may end later where the service wants it longer.
	Told bool `json:"-"`
}

// incremental tells whether changes are exported.
func (n *NativeExport) incremental() bool { return n.From != "" || n.FollowOn }

// nativeSource identifies the table of a native export.
type nativeSource struct {
	Address string `json:"address"`
	ARN     string `json:"arn"`
	ID      string `json:"id"`
}

type nativeJob struct {
	env   *Env
	set   NativeExport
	table nativeSource
	st    plan.State
	dest  world.Location
	at    world.Address // of the destination
	into  world.Address // of what the service writes to: bucket and prefix, "" the plan's own staged folder

	client dynamo.Client
	native dynamo.Native
	// catalogue, of backups, tells where a chain goes on; nil for exports, which are found where they lie.
	catalogue *backup.Catalogue
}

// Names of the service's output below a plan's staged folder, when it is to be converted.
const nativeStaged = "native"

// verbNativeExport and verbNativeImport are what plans say of the service's own carrying.
const (
	verbNativeExport = "export-native"
	verbNativeImport = "import-native"
)

// NewNativeExport prepares a native export. Continuous backups are turned on here, when that was asked for; nothing else is
// changed.
func NewNativeExport(ctx context.Context, env *Env, table string, set NativeExport, enable bool) (*Request, error) {
	src, err := source.Open(ctx, env.World, source.Spec{Address: table})
	if err != nil {
		return nil, err
	}
	desc := src.Info().Table
	if desc == nil {
		return nil, fault.New(fault.User, "export --native: %s is no table", src.Address())
	}
	j := &nativeJob{env: env, set: set, table: nativeSource{src.Address().String(), desc.ARN, desc.ID}}
	if err := j.check(); err != nil {
		return nil, err
	}
	if err := j.open(ctx); err != nil {
		return nil, err
	}
	r := &Request{State: j.st, StateAddress: j.set.State, Job: j, Destination: j.at.String(), sources: []source.Source{src},
		Spec: plan.Spec{Verb: verbNativeExport, Source: marshal(j.table), Settings: marshal(j.set), Tuning: marshal(Tuning{}), Writer: env.Version,
			Stands: j.stands, Tasks: func(ctx context.Context) ([]json.RawMessage, error) { return j.cut(ctx, desc) }}}
	if unfinished, err := plan.Unfinished(ctx, r.State, r.Spec); err != nil || unfinished && !env.Fresh {
		return r, err
	}
	if err := j.checkDest(ctx); err != nil {
		return nil, err
	}
	r.costs, err = j.backups(ctx, enable, desc)
	return r, err
}

func newNativeExport(env *Env, st plan.State, p *plan.Plan) (plan.Job, error) {
	j := &nativeJob{env: env}
	if _, err := parsePlan(p, &j.table, &j.set); err != nil {
		return nil, err
	}
	if err := j.open(context.Background()); err != nil {
		return nil, err
	}
	j.st = st
	return j, nil
}

// check fills in defaults and refuses what does not go together.
func (j *nativeJob) check() error {
	n := &j.set
	n.Form = cmp.Or(n.Form, source.Parquet)
	if source.OutputFormat(n.Form) != "" {
		n.Copy = nil
	} else if n.incremental() {
		return fault.Hint(fault.New(fault.User, "--format %s: an incremental export holds changes, not items", n.Form), "--format dynamodb-json or ion")
	}
	if n.At != "" && n.incremental() {
		return fault.New(fault.User, "--at is the moment of a full export; an incremental one has a window")
	}
	if n.From != "" && n.FollowOn {
		return fault.New(fault.User, "--incremental names a window, --follow-on finds it: choose one")
	}
	views := map[string]string{"": "", "new": viewNew, "new-and-old": viewNewAndOld, viewNew: viewNew, viewNewAndOld: viewNewAndOld}
	view, ok := views[n.View]
	if !ok {
		return fault.New(fault.User, "--view %s: it is new or new-and-old", n.View)
	}
	if view != "" && !n.incremental() {
		return fault.New(fault.User, "--view goes with --incremental or --follow-on")
	}
	if n.View = view; view == "" && n.incremental() {
		n.View = viewNewAndOld
	}
	now := time.Now()
	for _, text := range []string{n.At, n.From, n.To} {
		if text != "" {
			if _, err := parseMoment(text, now); err != nil {
				return err
			}
		}
	}
	if len(n.Owner) > 0 && !accountID.MatchString(n.Owner) {
		return fault.New(fault.User, "--bucket-owner %s: an account is twelve digits", n.Owner)
	}
	if n.Copy != nil {
		n.Copy.fill(source.KindExport)
		return n.Copy.check()
	}
	return nil
}

// The service's words for what records of an incremental export show.
const (
	viewNew       = "NEW_IMAGE"
	viewNewAndOld = "NEW_AND_OLD_IMAGES"
)

// open resolves addresses; it touches nothing.
func (j *nativeJob) open(ctx context.Context) error {
	table, err := world.Parse(j.table.Address)
	if err != nil {
		return err
	}
	if j.client, err = j.env.World.Client(ctx, table); err != nil {
		return err
	}
	native, ok := dynamo.Power[dynamo.Native](j.client)
	if !ok {
		return fault.New(fault.Unsupported, "%s has no exports of its own", table)
	}
	j.native = dynamo.Patient{Native: native}
	if j.at, err = world.Parse(j.set.Dest); err != nil {
		return err
	}
	if j.at.Scheme != world.S3 {
		return fault.Hint(fault.New(fault.User, "%s: the service exports into a bucket", j.at), "name one: s3://bucket/prefix, or export by scan without --native")
	}
	j.set.Dest = j.at.String()
	if j.dest, err = j.env.location(ctx, j.at, blob.Settings{}); err != nil {
		return err
	}
	if j.set.State == "" {
		j.set.State = cmp.Or(j.env.State, j.at.Join(dataset.Hidden).String())
	}
	if j.st, err = OpenState(ctx, j.env, j.set.State); err != nil {
		return err
	}
	j.into = j.at
	if j.set.Copy == nil {
		return nil
	}
	j.set.Copy.Dest = j.set.Dest
	if j.into, err = world.Parse(j.set.State); err != nil {
		return err
	}
	if j.into.Scheme != world.S3 {
		return fault.Hint(fault.New(fault.User, "%s: an export that is to be converted waits below the state root, and the service writes into buckets only", j.into),
			"--state s3://bucket/prefix, or leave it beside the data")
	}
	return nil
}

// checkDest refuses a destination that cannot take the output, before the service begins.
func (j *nativeJob) checkDest(ctx context.Context) error {
	if err := j.env.alone(ctx, j.set.Dest); err != nil {
		return err
	}
	if j.set.Copy != nil {
		c := &copyJob{env: j.env, set: *j.set.Copy, spec: source.Spec{Address: j.set.State}}
		if err := c.checkExpressions(); err != nil {
			return err
		}
		if _, err := c.set.columns(nil); err != nil {
			return err
		}
		if err := c.open(ctx); err != nil {
			return err
		}
		return c.checkDest(ctx)
	}
	set, err := dataset.Load(ctx, j.dest.Bucket, j.dest.Prefix)
	if err != nil {
		return err
	}
	if set.Head >= 0 || len(set.Open) > 0 {
		return fault.Hint(fault.New(fault.Conflict, "%s holds a data set; the service's export beside it would be no part of it", j.at),
			"choose another destination; changes that follow a data set: dynaferry export %s DEST --native --follow-on %s", j.table.Address, j.at)
	}
	return nil
}

// Prices in USD, us-east-1, for what a person is told before: a GB of a table in a full export, a GB of changes in an
// incremental one, and a month of continuous backups a GB.
const (
	priceExportGB  = 0.10
	priceBackupsGB = 0.20
)

// backups looks that the table has continuous backups, or turns them on when that was asked for. It returns what the export
// will cost.
func (j *nativeJob) backups(ctx context.Context, enable bool, desc *dynamo.Table) ([]string, error) {
	gb := float64(desc.Bytes) / 1e9
	costs := []string{"reads no read units", fmt.Sprintf("the service bills about $%.2f for exporting %.2f GB (us-east-1)", gb*priceExportGB, gb)}
	if j.set.incremental() {
		costs[1] = fmt.Sprintf("the service bills $%.2f a GB of changes, of each export at least 10 MB (us-east-1)", priceExportGB)
	}
	b, err := j.native.Backups(ctx, desc.Name)
	if err != nil {
		return nil, fmt.Errorf("look at the continuous backups of %s: %w", desc.Name, err)
	}
	if b.Enabled {
		return costs, nil
	}
	price := fmt.Sprintf("about $%.2f a month for its %.2f GB (us-east-1)", gb*priceBackupsGB, gb)
	if j.env.DryRun {
		if enable {
			return append(costs, "would turn on continuous backups of "+desc.Name+", "+price), nil
		}
		return append(costs, "needs continuous backups of "+desc.Name+", which are off; --enable-pitr turns them on, "+price), nil
	}
	if !enable && j.env.Ask != nil {
		if enable, err = j.env.Ask(fmt.Sprintf("Continuous backups of %s are off, and a native export needs them. Turn them on, %s?", desc.Name, price)); err != nil {
			return nil, err
		}
	}
	if !enable {
		return nil, fault.Hint(fault.New(fault.User, "%s: continuous backups are off, and a native export needs them", j.table.Address),
			"--enable-pitr turns them on, %s; or %s", price, j.byScan())
	}
	if j.set.incremental() {
		hint := "begin with a full export: --native --enable-pitr, without --incremental and --follow-on"
		if j.catalogue != nil {
			hint = "begin anew: --new-base --enable-pitr"
		}
		return nil, fault.Hint(fault.New(fault.User, "%s: continuous backups are off: there is no record of what changed", j.table.Address), "%s", hint)
	}
	if err := j.native.EnableBackups(ctx, desc.Name); err != nil {
		return nil, fmt.Errorf("turn on continuous backups of %s: %w", desc.Name, err)
	}
	j.env.say("turned on continuous backups of %s, %s", desc.Name, price)
	return costs, nil
}

// byScan is what a person may do instead who wants no continuous backups.
func (j *nativeJob) byScan() string {
	if j.catalogue != nil {
		return "back up by scan: --scan, without --chain"
	}
	return "export by scan, without --native"
}

// stands tells whether what a plan made is still there; an export that failed was told or not, the next is another.
func (j *nativeJob) stands(ctx context.Context, p *plan.Plan) (bool, error) {
	end, ended, err := plan.Ending(ctx, j.st, p)
	if err != nil || !ended {
		return false, err
	}
	if p.Verb != verbNativeExport {
		set, err := dataset.Load(ctx, j.dest.Bucket, j.dest.Prefix)
		if err != nil {
			return false, err
		}
		n, ok := set.Plans[p.ID]
		return ok && n == set.Head, nil
	}
	var r NativeReport
	if err := json.Unmarshal(end.Report, &r); err != nil {
		return false, fault.New(fault.Corrupt, "report of plan %s: %w", p.ID, err)
	}
	if r.Err() != nil {
		return false, nil
	}
	for _, e := range r.Exports {
		if there, err := exists(ctx, j.dest.Bucket, e.Manifest); err != nil || !there {
			return false, err
		}
	}
	return true, nil
}

// nativeTask is one export of the service's. The first line carries the table's definition as it was when the plan was made.
type nativeTask struct {
	At         time.Time          `json:"at,omitzero"`
	From       time.Time          `json:"from,omitzero"`
	To         time.Time          `json:"to,omitzero"`
	Extend     bool               `json:"extend,omitempty"` // the window may end later, where the service wants longer ones
	Definition *dynamo.Definition `json:"definition,omitempty"`
}

// cut makes the tasks: one full export, or the windows.
func (j *nativeJob) cut(ctx context.Context, desc *dynamo.Table) ([]json.RawMessage, error) {
	now := time.Now().UTC()
	var tasks []nativeTask
	var err error
	switch {
	case j.set.FollowOn:
		tasks, err = j.followOn(ctx, desc)
	case j.set.From != "":
		tasks, err = j.window(ctx, desc, now)
	default:
		t := nativeTask{}
		if j.set.At != "" {
			if t.At, err = parseMoment(j.set.At, now); err == nil && !j.set.Told && t.At.After(now.Add(time.Second)) {
				err = fault.New(fault.User, "--at %s has not come yet", j.set.At)
			}
		}
		tasks = []nativeTask{t}
	}
	if err != nil {
		return nil, err
	}
	tasks[0].Definition = &desc.Definition
	lines := make([]json.RawMessage, len(tasks))
	for i, t := range tasks {
		lines[i] = marshal(t)
	}
	return lines, nil
}

// exists tells whether an object is there.
func exists(ctx context.Context, b blob.Bucket, name string) (bool, error) {
	_, err := b.Head(ctx, name)
	if fault.KindOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil, err
}
