package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/dataset"
	"dynaferry/internal/fault"
	"dynaferry/internal/manifest"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// Env is what every verb gets from its face: the worlds, how much of this machine to use, and where progress goes.
type Env struct {
	World   *world.World
	Version string     // of the program
	Workers int        // tasks at a time; 0 means 2
	Memory  int64      // bytes this process may use; 0 means MemoryDefault
	Meter   plan.Meter // nil is silent
	Fresh   bool       // give an unfinished plan of equal settings up first
	State   string     // address of the state root; "" for the verb's own default
	DryRun  bool       // look, touch nothing
	// Say tells a person what happens, in one line; nil is silent.
	Say func(format string, args ...any)
	// Progress shows how long something takes that has no count, in one line that the next replaces; nil is silent.
	Progress func(format string, args ...any)
	// Ask puts a question to a person, who says yes or no; nil where there is nobody.
	Ask func(question string) (bool, error)
	// Share is the part of budgets (units a second) that this process may use: 1 for the local pool, 1/n for one of n
	// array members.
	Share float64
	// LookEvery shortens plan.LookEvery in suites that cannot wait; 0 leaves it.
	LookEvery time.Duration
	// MemberRetryFor bounds how long one item of a batch may stay unprocessed while others progress; 0 is a minute.
	MemberRetryFor time.Duration
}

// MemoryDefault is the memory budget of a process.
const MemoryDefault = 256 << 20

func (e *Env) workers() int {
	if e.Workers > 0 {
		return e.Workers
	}
	return 2
}

func (e *Env) say(format string, args ...any) {
	if e.Say != nil {
		e.Say(format, args...)
	}
}

func (e *Env) progress(format string, args ...any) {
	if e.Progress != nil {
		e.Progress(format, args...)
	}
}

func (e *Env) meter() plan.Meter {
	if e.Meter == nil {
		return silent{}
	}
	return e.Meter
}

// location opens a place to write to; a dry run only looks at it.
func (e *Env) location(ctx context.Context, at world.Address, settings blob.Settings) (world.Location, error) {
	if e.DryRun {
		return e.World.Peek(ctx, at, settings)
	}
	return e.World.Location(ctx, at, settings)
}

type silent struct{}

func (silent) Add(int64, int64)     {}
func (silent) Note(string, float64) {}

// Request is a verb ready to be planned: what is common to all tasks, and how to cut it.
type Request struct {
	Spec  plan.Spec
	State plan.State
	Job   plan.Job
	// StateAddress is State as a person types it.
	StateAddress string
	// Destination names what is written to.
	Destination string
	heeds       *world.Location // a destination with settings of its own
	sources     []source.Source
	from        string   // what is read, as a dry run says it, where that is not the sources
	costs       []string // what a dry run says of costs, where they are not those of a scan
	mayWiden    func(ctx context.Context) (int, error)
}

// probe asks the stores for what the job relies on, before anything is read: conditional writes at the state root, and
// where settings were asked for the objects to come, that the destination heeds them.
func (r *Request) probe(ctx context.Context) error {
	if err := blob.ProbeConditional(ctx, r.State.Bucket, r.State.Prefix); err != nil || r.heeds == nil {
		return err
	}
	return blob.ProbeConditional(ctx, r.heeds.Bucket, path.Join(r.heeds.Prefix, dataset.Hidden))
}

// begin finds the request's plan that is not over, or makes one, and says which.
func begin(ctx context.Context, env *Env, r *Request) (plan.Made, error) {
	if err := r.probe(ctx); err != nil {
		return plan.Made{}, err
	}
	made, err := plan.Begin(ctx, r.State, r.Spec, env.Fresh)
	if err != nil {
		return plan.Made{}, err
	}
	switch of := made.Plan.Created.Format("2006-01-02 15:04:05 MST"); {
	case made.Done:
		env.say("plan %s of %s was done, but nobody was told: this is how it ended (start anew with --fresh)", made.Plan.ID, of)
	case made.Resumed:
		env.say("going on with plan %s of %s (start anew with --fresh)", made.Plan.ID, of)
	}
	return made, nil
}

// Plan makes the request's plan, or finds the one that is not over, and runs nothing.
func Plan(ctx context.Context, env *Env, r *Request) (*plan.Plan, error) {
	made, err := begin(ctx, env, r)
	if err != nil {
		return nil, err
	}
	own, err := tuningOf(made.Plan)
	if err != nil {
		return nil, err
	}
	if made.Resumed && string(marshal(own)) != string(r.Spec.Tuning) {
		env.say("its tasks keep the budgets it was made with, %s; others are given to each: dynaferry task --read-units, --write-units", marshal(own))
	}
	return made.Plan, nil
}

// Execute plans the request, or goes on with the plan that is not over, and runs it to its end on the local pool.
func Execute(ctx context.Context, env *Env, r *Request) (plan.End, *plan.Plan, error) {
	made, err := begin(ctx, env, r)
	if err != nil {
		return plan.End{}, nil, err
	}
	p := made.Plan
	jobOf := func(p *plan.Plan) (plan.Job, error) {
		if p.ID == made.Plan.ID && p.Round == 0 {
			return r.Job, nil
		}
		p.Tuning = r.Spec.Tuning // as it was asked for now
		return New(env, r.State, p)
	}
	end, err := plan.Run(ctx, r.State, p, jobOf, plan.RunOptions{Workers: env.workers(), Meter: env.meter(), Writer: env.Version,
		LookEvery: env.LookEvery,
		Round: func(p *plan.Plan, left int) {
			if p.Round > 0 {
				env.say("round %d: %d tasks", p.Round+1, left)
			} else {
				env.say("plan %s: %d of %d tasks to do", p.ID, left, p.Tasks)
			}
		}})
	if err == nil && end.State == plan.Abandoned {
		err = fault.New(fault.Conflict, "plan %s was given up by a fresh start", p.ID)
	}
	return end, p, err
}

// Tell notes that the outcome of a plan was shown, so that the same command is a new job from now on. An error changes
// nothing about the outcome.
func Tell(ctx context.Context, st plan.State, p *plan.Plan) error {
	// Whoever interrupts now interrupts nothing: the job is done and shown.
	return plan.Tell(context.WithoutCancel(ctx), st, p)
}

// New makes the job of a stored plan.
func New(env *Env, st plan.State, p *plan.Plan) (plan.Job, error) {
	switch p.Verb {
	case "export", "convert", verbArchive:
		return newCopy(env, st, p)
	case "import":
		return newImport(env, st, p)
	case "verify":
		return newVerify(env, st, p)
	case verbNativeExport:
		return newNativeExport(env, st, p)
	case verbNativeImport:
		return newNativeImport(env, p)
	case verbBackup:
		return newBackup(env, st, p)
	case verbRestore:
		return newRestore(env, st, p)
	case verbMove:
		return newMove(env, st, p)
	case verbReconcile:
		return newReconcile(env, st, p)
	case verbReplayFiles:
		return newCopy(env, st, p)
	case verbReplayLog:
		return newReplayLog(env, st, p)
	case verbReplay:
		return newReplay(env, st, p)
	}
	return nil, fault.New(fault.Unsupported, "plan %s is of the verb %q, which this program does not have", p.ID, p.Verb)
}

// parsePlan reads what a stored plan says of its job.
func parsePlan(p *plan.Plan, source, settings any) (Tuning, error) {
	if err := json.Unmarshal(p.Settings, settings); err != nil {
		return Tuning{}, fault.New(fault.Corrupt, "settings of plan %s: %w", p.ID, err)
	}
	if err := json.Unmarshal(p.Source, source); err != nil {
		return Tuning{}, fault.New(fault.Corrupt, "source of plan %s: %w", p.ID, err)
	}
	return tuningOf(p)
}

// OpenState opens a state root by its address.
func OpenState(ctx context.Context, env *Env, address string) (plan.State, error) {
	at, err := world.Parse(address)
	if err != nil {
		return plan.State{}, err
	}
	if at.Scheme == world.DynamoDB {
		return plan.State{}, fault.New(fault.User, "%s: state lives in a bucket or a folder", address)
	}
	// A state root beside data shares the data's bucket, so that staged files are published without leaving it.
	below := ""
	if at.Scheme == world.File && filepath.Base(at.Path) == dataset.Hidden {
		at.Path, below = filepath.Dir(at.Path), dataset.Hidden
	}
	loc, err := env.location(ctx, at, blob.Settings{})
	if err != nil {
		return plan.State{}, err
	}
	return plan.State{Bucket: loc.Bucket, Prefix: path.Join(loc.Prefix, below)}, nil
}

// stateBeside finds the state root of a verb without a destination bucket: beside the source when that is writable, else in
// the user's state directory, which binds the plan to this host.
func stateBeside(ctx context.Context, env *Env, sources ...source.Source) (plan.State, string, error) {
	var folders []world.Address
	for _, src := range sources {
		if src.Info().Kind != source.KindTable {
			folders = append(folders, folderOf(src))
		}
	}
	return stateIn(ctx, env, folders...)
}

// stateIn finds the state root: where the user said, else in the first of the folders that is writable, else in the user's state directory.
func stateIn(ctx context.Context, env *Env, folders ...world.Address) (plan.State, string, error) {
	if env.State != "" {
		st, err := OpenState(ctx, env, env.State)
		return st, env.State, err
	}
	for _, folder := range folders {
		address := folder.Join(dataset.Hidden).String()
		st, err := OpenState(ctx, env, address)
		if err == nil && !env.DryRun {
			err = blob.ProbeConditional(ctx, st.Bucket, st.Prefix)
		}
		if err == nil {
			return st, address, nil
		}
		if k := fault.KindOf(err); k != fault.Permission && !errors.Is(err, os.ErrPermission) && k != fault.Unsupported {
			return plan.State{}, "", err
		}
	}
	dir, err := userState()
	if err != nil {
		return plan.State{}, "", err
	}
	env.say("state is kept in %s: this plan can go on from this host only (--state s3://… changes that)", dir)
	st, err := OpenState(ctx, env, dir)
	return st, dir, err
}

// folderOf is the address that a source's state stands below: a folder or prefix, never a single file.
func folderOf(src source.Source) world.Address {
	at := src.Address()
	spec := src.Spec()
	base := path.Base(filepath.ToSlash(at.Path))
	manifests := strings.HasPrefix(base, "manifest-") && spec.Kind != source.KindDataset
	if spec.Kind == source.KindFiles && spec.File || manifests || base == "data" && insideExport(at, spec) {
		at.Path = filepath.ToSlash(filepath.Dir(filepath.FromSlash(at.Path)))
		if at.Path == "." {
			at.Path = ""
		}
	}
	return at
}

// insideExport tells whether an address that ends in data is an export's folder of data, in which nothing else may lie: neither we
// nor ImportTable would take it for whole.
func insideExport(at world.Address, spec source.Spec) bool {
	above := path.Dir("/" + filepath.ToSlash(at.Path))
	switch spec.Kind {
	case source.KindExport:
		return strings.HasSuffix(above, "/"+spec.Dir)
	case source.KindIncremental:
		return strings.Contains(above+"/", "/"+manifest.Folder+"/")
	}
	return false
}

func userState() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "dynaferry"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fault.Hint(fault.New(fault.User, "no place for the state of this job: %w", err), "name one: --state DIR")
	}
	return filepath.Join(home, ".local", "state", "dynaferry"), nil
}

// furtherRound asks for another round of the plan, of other settings.
func furtherRound(env *Env, c *plan.Committing, settings any, tuning Tuning, tasks func(context.Context) ([]json.RawMessage, error)) *plan.Spec {
	return &plan.Spec{Verb: c.Plan.Verb, Source: c.Plan.Source, Settings: marshal(settings), Tuning: marshal(tuning), Writer: env.Version, Tasks: tasks}
}

// marshal renders settings; they are plain structs, so a failure is a bug.
func marshal(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("settings cannot be JSON: %v", err))
	}
	return data
}

// group is a run of units that one task reads one after another.
type group struct {
	Units []source.Unit `json:"units"`
	// Buckets is into how many the changes of the task are cut, where that is no part of the plan's settings.
	Buckets int `json:"buckets,omitempty"`
	// Through are the last entries of a log, by group, that its units are of.
	Through []source.LogSpan `json:"through,omitempty"`
}

// fairShare lowers the size of a task so that a source too small for several tasks still keeps least workers busy.
func fairShare(units []source.Unit, bytes int64, least int) int64 {
	var total int64
	for _, u := range units {
		if u.File != nil {
			total += u.File.Size
		}
	}
	return min(bytes, max(total/int64(max(least, 1))+1, taskBytesLeast))
}

// taskBytesLeast keeps tasks from becoming more bookkeeping than work.
const taskBytesLeast = 1 << 20

// groups cuts units, in order, into tasks of about bytes each, at least least of them where there is enough for that; a
// unit is never split.
func groups(units []source.Unit, bytes int64, least int) []json.RawMessage {
	var tasks []json.RawMessage
	for _, units := range groupUnits(units, bytes, least) {
		tasks = append(tasks, marshal(group{Units: units}))
	}
	return tasks
}

// changeGroups are the tasks that read a source's changes. How many a log's window has is known when its units are, which its plan's
// settings must not depend on: the same command goes on with its plan though the log has grown.
func changeGroups(src source.Source, bytes int64, least int, images bool) []json.RawMessage {
	units := src.(source.Changer).ChangeUnits()
	if src.Info().Log == nil {
		return groups(units, bytes, least)
	}
	buckets := bucketsFor(src.Info().Items)
	if images { // both images of a bucket's keys are in memory at once
		buckets = bucketsFor(8 * src.Info().Items)
	}
	var tasks []json.RawMessage
	for _, units := range groupUnits(units, bytes, least) {
		tasks = append(tasks, marshal(group{Units: units, Buckets: buckets}))
	}
	return tasks
}

func groupUnits(units []source.Unit, bytes int64, least int) (cut [][]source.Unit) {
	var g []source.Unit
	var size int64
	bytes = fairShare(units, bytes, least)
	for _, u := range units {
		var s int64 = bytes // a segment is a task of its own
		if u.File != nil {
			s = u.File.Size
		}
		if len(g) > 0 && size+s > bytes {
			cut, g, size = append(cut, g), nil, 0
		}
		g, size = append(g, u), size+s
	}
	if len(g) > 0 {
		cut = append(cut, g)
	}
	return cut
}
