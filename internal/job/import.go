package job

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// The ways an item goes into a table.
const (
	ModePut      = "put"       // replaces what is there
	ModeIfAbsent = "if-absent" // only where no item has the key
	ModeNewer    = "newer"     // only where no item has the key or its version attribute is less
	ModeDelete   = "delete"    // deletes the items that have the input's keys
)

// Import are the settings of import: items of any source into a table.
type Import struct {
	Table     string     `json:"table"`
	TableID   string     `json:"tableId,omitempty"` // a table that was deleted and made again is another
	Mode      string     `json:"mode"`
	Version   string     `json:"version,omitempty"` // attribute that newer compares
	Overwrite bool       `json:"overwrite,omitempty"`
	Dedupe    string     `json:"dedupe"`           // first, last or newest
	Newest    string     `json:"newest,omitempty"` // attribute that newest compares
	Compose   []Composed `json:"compose,omitempty"`
	Steps     []string   `json:"steps,omitempty"` // what happens to each item, as package step reads them
	Prove     bool       `json:"prove,omitempty"` // sum up what is written: the report has its fingerprint

	// Second rounds.
	Stage    string   `json:"stage,omitempty"`
	Suspects string   `json:"suspects,omitempty"` // object with the filter of keys that may repeat
	Indexes  []string `json:"indexes,omitempty"`  // of what the writing round put aside
	Carry    string   `json:"carry,omitempty"`    // what earlier rounds counted
	Changes  *Overlay `json:"changes,omitempty"`  // the source holds changes, alone or over items
	Changed  string   `json:"changed,omitempty"`  // object with the filter of the keys that have changes
	Aside    []string `json:"aside,omitempty"`    // indexes of the items that may have one
	Every    bool     `json:"every,omitempty"`    // of a log: write each change, not only what all come to
	Images   bool     `json:"images,omitempty"`   // spill what was before each change too

	Tuning `json:"-"`
}

// Composed is an attribute made of others, for files that have no key of their own.
type Composed struct {
	Name  string   `json:"name"`
	Parts []string `json:"parts"`
	Sep   string   `json:"sep"`
}

// The stages of an import. Sources whose keys cannot repeat begin with the writing.
const (
	stageIndex   = "index"   // hash every key, to find those that repeat
	stageWrite   = "write"   // write what cannot repeat, put the rest aside in source order
	stageResolve = "resolve" // choose among equal keys, write the chosen
	stageApply   = "apply"   // write changes: those of one window, or what several, spilled by stageChanges, come to
	// Changes over items: stageChanges, stageWrite for the items that have none, and stageMerge for the others.
)

// ImportWish is what the user asked for beyond Import.
type ImportWish struct {
	Import
	Create *dynamo.Definition // make the table first; keys may be empty when the source's definition has them
	Keys   *item.KeySchema    // as the user named them
}

type importJob struct {
	env   *Env
	set   Import
	spec  source.Spec
	at    world.Address
	st    plan.State
	src   opened
	reads governed // of a source that is a table
	steps stepping
	over  changedOnce
	as    func(plan.Spec) plan.Spec // makes the plan one of a verb that wraps the import
	table struct {
		gov    governed
		client dynamo.Client
		desc   *dynamo.Table
		make   bool // as desc tells it: it does not exist yet
	}
}

// NewImport prepares an import. The table is created here, when asked for, and nothing else is written.
func NewImport(ctx context.Context, env *Env, spec source.Spec, wish ImportWish) (*Request, error) {
	j := &importJob{env: env, set: wish.Import}
	return j.prepare(ctx, spec, wish)
}

func (j *importJob) prepare(ctx context.Context, spec source.Spec, wish ImportWish) (*Request, error) {
	env := j.env
	at, err := world.Parse(wish.Table)
	if err != nil {
		return nil, err
	}
	if at.Scheme != world.DynamoDB {
		return nil, fault.Hint(fault.New(fault.User, "%s is no table", at), "import writes into a table: dynamodb://Table; for files: dynaferry convert")
	}
	j.at = at
	src, err := source.Open(ctx, env.World, spec)
	if err != nil {
		return nil, err
	}
	for _, warning := range src.Info().Warnings {
		env.say("warning: %s", warning)
	}
	if err := j.fill(wish.Create); err != nil {
		return nil, err
	}
	if err := j.checkChanges(src, wish); err != nil {
		return nil, err
	}
	if j.set.Steps, err = wholeSteps(j.set.Steps); err != nil {
		return nil, err
	}
	if wish.Create != nil && wish.Keys == nil && len(j.set.Steps) > 0 {
		if wish.Keys, err = j.steps.keysOf(j.set.Steps, src, wish.Create.Keys); err != nil {
			return nil, err
		}
	}
	if wish.Create != nil && wish.Keys == nil && src.Info().Keys == nil && len(src.Info().Windows) > 0 {
		wish.Keys, err = soleKey(ctx, src)
		if through := j.changedKeys(src); err == nil && wish.Keys != nil && through != nil {
			*wish.Keys, err = through(*wish.Keys)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := j.openTable(ctx, src, wish); err != nil {
		return nil, err
	}
	if err := j.checkSteps(src); err != nil {
		return nil, err
	}
	// Text files say nothing of types; the table's keys do.
	if src.Info().Form == source.CSV {
		spec.Types = j.keyTypes(spec.Types)
		if src, err = source.Open(ctx, env.World, spec); err != nil {
			return nil, err
		}
	}
	j.spec = src.Spec()
	j.src.set(src)
	j.stage(src)
	if err := j.planChanges(ctx, src); err != nil {
		return nil, err
	}
	var stateAt string
	if j.st, stateAt, err = stateBeside(ctx, env, src); err != nil {
		return nil, err
	}
	if err := j.makeTable(ctx); err != nil {
		return nil, err
	}
	j.set.TableID = j.tableID()
	if j.set.Mode == "" {
		if err := j.chooseMode(ctx); err != nil {
			return nil, err
		}
	}
	return &Request{State: j.st, StateAddress: stateAt, Job: j, Destination: j.at.String(), sources: []source.Source{src}, Spec: j.request(src)}, nil
}

func (j *importJob) request(src source.Source) plan.Spec {
	spec := plan.Spec{Verb: "import", Source: marshal(j.spec), Settings: marshal(j.set), Tuning: marshal(j.set.Tuning), Before: j.set.before(), Writer: j.env.Version,
		// What was written stays written, in the table of that id.
		Stands: func(context.Context, *plan.Plan) (bool, error) { return true, nil },
		Tasks:  func(ctx context.Context) ([]json.RawMessage, error) { return j.firstTasks(ctx, src) }}
	if j.as != nil {
		return j.as(spec)
	}
	return spec
}

// firstTasks makes the tasks of the first round.
func (j *importJob) firstTasks(ctx context.Context, src source.Source) ([]json.RawMessage, error) {
	if j.set.Stage == stageChanges {
		return changeGroups(src, taskBytesFiles, j.env.workers(), j.set.Images), nil
	}
	return j.cut(ctx, src)
}

// cut makes the tasks that read the source's items, or changes where it has no items.
func (j *importJob) cut(ctx context.Context, src source.Source) ([]json.RawMessage, error) {
	units, err := src.Units(ctx, taskBytesFiles, 1)
	if err != nil {
		return nil, err
	}
	return groups(units, taskBytesFiles, j.env.workers()), nil
}

// before are the settings as plans of format 1 have them.
func (s Import) before() json.RawMessage {
	s.TableID = ""
	return marshal(struct {
		Import
		WriteUnits string `json:"writeUnits,omitempty"`
	}{s, s.WriteUnits})
}

func newImport(env *Env, st plan.State, p *plan.Plan) (plan.Job, error) {
	j := &importJob{env: env, st: st}
	var err error
	if j.set.Tuning, err = parsePlan(p, &j.spec, &j.set); err != nil {
		return nil, err
	}
	at, err := world.Parse(j.set.Table)
	if err != nil {
		return nil, err
	}
	j.at = at
	if err := j.describe(context.Background()); err != nil {
		return nil, err
	}
	if j.set.TableID != "" && j.set.TableID != j.tableID() {
		return nil, fault.New(fault.Conflict, "%s is not the table that plan %s was made for: it was deleted and made again", j.at, p.ID)
	}
	return j, nil
}

func (j *importJob) tableID() string { return cmp.Or(j.table.desc.ID, j.table.desc.ARN) }

// openTable describes the table, or the one to be made.
func (j *importJob) openTable(ctx context.Context, src source.Source, wish ImportWish) error {
	err := j.describe(ctx)
	missing := fault.KindOf(err) == fault.NotFound
	if err != nil && !missing {
		return err
	}
	if wish.Create == nil {
		if missing {
			return j.missing(src)
		}
		return sameKeys(j.at, j.table.desc.Keys, wish.Keys)
	}
	def, err := newDefinition(src, *wish.Create, wish.Keys, j.at.Host)
	if err != nil {
		return err
	}
	if !missing {
		if j.table.desc.Keys != def.Keys {
			return fault.Hint(fault.New(fault.Conflict, "%s exists with the keys %s, not %s", j.at, keysText(j.table.desc.Keys), keysText(def.Keys)),
				"import without --create, or into another table")
		}
		return nil // made by an earlier start, or by somebody: whether it is empty decides the mode
	}
	j.table.desc, j.table.make = &dynamo.Table{Name: def.Name, Keys: def.Keys, Definition: def}, true
	return nil
}

// missing refuses a table that is not there, with a command that makes it.
func (j *importJob) missing(src source.Source) error {
	err := fault.New(fault.NotFound, "%s does not exist", j.at)
	if src.Info().Log != nil { // which tells the key alone, and of items that did not change nothing
		return fault.Hint(err, "changes alone make no table; make it of what they follow, and replay them then: dynaferry import BASE %s --create", j.at)
	}
	return fault.Hint(err, "create it from what is known of the source: dynaferry import %s %s --create", src.Address(), j.at)
}

// makeTable creates the table that was asked for, when nothing that can be known before speaks against it.
func (j *importJob) makeTable(ctx context.Context) error {
	if !j.table.make {
		return nil
	}
	def := j.table.desc.Definition
	if j.env.DryRun {
		j.set.Overwrite = true // what does not exist is empty
		j.env.say("would create table %s with the keys %s", j.at.Host, keysText(def.Keys))
		return nil
	}
	var err error
	if j.table.desc, err = dynamo.Create(ctx, j.table.client, &def); err != nil {
		return fmt.Errorf("create %s: %w", j.at, err)
	}
	j.env.say("created table %s", j.at.Host)
	return nil
}

// newDefinition is that of a table to be made: as wished, the rest as the source knows it.
func newDefinition(src source.Source, def dynamo.Definition, keys *item.KeySchema, name string) (dynamo.Definition, error) {
	def.Name = name
	if known := src.Info().Definition; known != nil {
		def = known.As(name, def)
	}
	switch known := src.Info().Keys; {
	case keys != nil:
		def.Keys = *keys
	case def.Keys.Empty() && known != nil: // a data set remembers what it was made with
		def.Keys = *known
	}
	if known := src.Info().Definition; known != nil && def.Keys != known.Keys { // the rest was of a table with another key
		def.Table, def.Settings = nil, nil
	}
	if def.Keys.Empty() {
		_, err := source.KeysFrom(nil, source.Info{URL: src.Info().URL})
		return def, err
	}
	return def, nil
}

// sameKeys holds keys that the user gave, if any, against those of a table.
func sameKeys(at world.Address, have item.KeySchema, given *item.KeySchema) error {
	if given == nil {
		return nil
	}
	// A key without a type is S by default, so S says nothing against the table's own.
	differs := func(have, given item.KeyAttr) bool {
		return have.Name != given.Name || given.Type != item.S && have.Type != given.Type
	}
	if differs(have.Hash, given.Hash) || differs(have.Range, given.Range) {
		return fault.New(fault.User, "%s has the keys %s, not %s", at, keysText(have), keysText(*given))
	}
	return nil
}

func (j *importJob) describe(ctx context.Context) error {
	client, err := j.env.World.Client(ctx, j.at)
	if err != nil {
		return err
	}
	j.table.client = client
	if j.table.desc, err = dynamo.Describe(ctx, client, j.at.Host); err != nil {
		return fmt.Errorf("describe %s: %w", j.at, err)
	}
	return nil
}

func (j *importJob) keyTypes(types map[string]string) map[string]string {
	all := map[string]string{}
	for name, t := range types {
		all[name] = t
	}
	for _, key := range []item.KeyAttr{j.table.desc.Keys.Hash, j.table.desc.Keys.Range} {
		composed := slices.ContainsFunc(j.set.Compose, func(c Composed) bool { return c.Name == key.Name })
		if _, said := all[key.Name]; !said && !composed && key.Name != "" {
			all[key.Name] = key.Type.String()
		}
	}
	return all
}

// fill puts defaults and refuses combinations that make no sense.
func (j *importJob) fill(create *dynamo.Definition) error {
	s := &j.set
	if s.Dedupe == "" {
		s.Dedupe = "last"
	}
	if kind, attr, ok := strings.Cut(s.Dedupe, ":"); ok {
		s.Dedupe, s.Newest = kind, attr
	}
	switch {
	case !slices.Contains([]string{"first", "last", "newest"}, s.Dedupe), (s.Dedupe == "newest") != (s.Newest != ""):
		return fault.New(fault.User, "--dedupe %s: it is first, last or newest:ATTRIBUTE", s.Dedupe)
	case s.Mode != "" && !slices.Contains([]string{ModePut, ModeIfAbsent, ModeNewer, ModeDelete}, s.Mode):
		return fault.New(fault.User, "--mode %s: it is put, if-absent, newer or delete", s.Mode)
	case s.Mode == ModeNewer && s.Version == "":
		return fault.Hint(fault.New(fault.User, "--mode newer needs the attribute to compare"), "for instance --version-attribute updated_at")
	case s.Mode != ModeNewer && s.Version != "":
		return fault.New(fault.User, "--version-attribute goes with --mode newer")
	case s.Overwrite && s.Mode != "" && s.Mode != ModePut:
		return fault.New(fault.User, "--overwrite goes with --mode put, not %s", s.Mode)
	case s.Mode == ModeDelete && create != nil:
		return fault.New(fault.User, "--create makes an empty table: --mode delete has nothing to delete there")
	}
	if err := checkBilling(create); err != nil {
		return err
	}
	return s.Tuning.check()
}

func checkBilling(d *dynamo.Definition) error {
	if d == nil {
		return nil
	}
	switch units := d.ReadUnits != 0 || d.WriteUnits != 0; {
	case d.BillingMode != "" && d.BillingMode != "PAY_PER_REQUEST" && d.BillingMode != "PROVISIONED":
		return fault.New(fault.User, "--billing %s: it is PAY_PER_REQUEST or PROVISIONED", d.BillingMode)
	case d.BillingMode == "PROVISIONED" && (d.ReadUnits < 1 || d.WriteUnits < 1):
		return fault.New(fault.User, "--billing PROVISIONED needs --provision-read and --provision-write, at least 1 each")
	case d.BillingMode != "PROVISIONED" && units:
		return fault.New(fault.User, "--provision-read and --provision-write go with --billing PROVISIONED")
	}
	return nil
}

// stage settles where the import begins: sources whose keys cannot repeat need no index.
func (j *importJob) stage(src source.Source) {
	s := &j.set
	s.Stage = stageIndex
	if src.Info().Unique && j.stillUnique(src) {
		s.Stage = stageWrite
	}
}

// chooseMode settles on put for a table that dynaferry made or found empty; a plan that did so and is not over goes on.
func (j *importJob) chooseMode(ctx context.Context) error {
	j.set.Mode = ModePut
	if j.set.Overwrite {
		return nil
	}
	src, err := j.src.open(ctx, j.env, j.spec)
	if err != nil {
		return err
	}
	if unfinished, err := plan.Unfinished(ctx, j.st, j.request(src)); err != nil || unfinished && !j.env.Fresh {
		return err
	}
	empty, err := dynamo.Empty(ctx, j.table.client, j.at.Host)
	if err != nil {
		return fmt.Errorf("look whether %s is empty: %w", j.at, err)
	}
	if !empty && src.Info().Log != nil {
		return fault.Hint(fault.New(fault.User, "%s is not empty", j.at),
			"say what happens to the items that changed: --overwrite puts and deletes, --newer ATTRIBUTE compares a version first")
	}
	if !empty && src.Info().Kind == source.KindIncremental {
		return fault.Hint(fault.New(fault.User, "%s is not empty", j.at),
			"say what happens to the items that changed: --overwrite puts and deletes, --mode newer compares a version first")
	}
	if !empty {
		return fault.Hint(fault.New(fault.User, "%s is not empty", j.at),
			"say what happens to items that are there: --mode if-absent, --mode newer, or --overwrite")
	}
	return nil
}

// importResult is the body of a task's result.
type importResult struct {
	Counts  ImportCounts `json:"counts"`
	Runs    []string     `json:"runs,omitempty"`        // sorted key hashes, in the index stage
	Staged  sink.Staged  `json:"staged"`                // put aside, in the writing stage
	Hashes  []string     `json:"hashes,omitempty"`      // of the keys of changes
	Print   string       `json:"fingerprint,omitempty"` // of what was written, where that is summed up
	Dead    *sink.File   `json:"dead,omitempty"`
	Refused *sink.File   `json:"refused,omitempty"` // by a step
	Dropped *sink.File   `json:"dropped,omitempty"` // items that lost against another with their key
}

// ImportCounts are what an import did.
type ImportCounts struct {
	Read        int64   `json:"read"`
	Changes     int64   `json:"changes,omitempty"` // laid over what was read
	Written     int64   `json:"written"`
	Deleted     int64   `json:"deleted,omitempty"`
	Equal       int64   `json:"equal,omitempty"`   // the table held the very item already
	Skipped     int64   `json:"skipped,omitempty"` // the table's item stayed
	Duplicates  int64   `json:"duplicates,omitempty"`
	DeadLetters int64   `json:"deadLetters,omitempty"`
	Refused     int64   `json:"refused,omitempty"` // of the dead letters, those by a step: as they were before the first
	Dropped     int64   `json:"dropped,omitempty"` // by a step
	Units       float64 `json:"writeUnits,omitempty"`
	Requests    int64   `json:"requests,omitempty"`
}

func (c *ImportCounts) add(d ImportCounts) {
	c.Read += d.Read
	c.Changes += d.Changes
	c.Written += d.Written
	c.Deleted += d.Deleted
	c.Equal += d.Equal
	c.Skipped += d.Skipped
	c.Duplicates += d.Duplicates
	c.DeadLetters += d.DeadLetters
	c.Refused += d.Refused
	c.Dropped += d.Dropped
	c.Units += d.Units
	c.Requests += d.Requests
}

// ImportReport is what a finished import says.
type ImportReport struct {
	Type  string `json:"type"` // "report"
	Table string `json:"table"`
	Mode  string `json:"mode"`
	ImportCounts
	Steps           int      `json:"steps,omitempty"`       // what the items went through
	Fingerprint     string   `json:"fingerprint,omitempty"` // of the items written, where that was asked for
	DeadLetterFiles []string `json:"deadLetterFiles,omitempty"`
	DuplicateFiles  []string `json:"duplicateFiles,omitempty"`
}

// Task runs one task of whichever stage the plan is of.
func (j *importJob) Task(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	var res *importResult
	var err error
	switch j.set.Stage {
	case stageIndex:
		res, err = j.indexTask(ctx, a)
	case stageWrite:
		res, err = j.writeTask(ctx, a)
	case stageResolve:
		res, err = j.resolveTask(ctx, a)
	case stageChanges:
		res, err = j.changesTask(ctx, a)
	case stageApply:
		res, err = j.applyTask(ctx, a)
	case stageMerge:
		res, err = j.mergeTask(ctx, a)
	default:
		err = fault.New(fault.Corrupt, "no stage %q", j.set.Stage)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(res)
}

// Check looks that the staged objects are there.
func (j *importJob) Check(ctx context.Context, r plan.Result) error {
	res, err := bodyOf[importResult](r)
	if err != nil {
		return err
	}
	names := append(slices.Concat(res.Runs, res.Hashes), res.Staged.Index)
	for _, f := range []*sink.File{res.Dead, res.Refused, res.Dropped} {
		if f != nil {
			names = append(names, f.Staged)
		}
	}
	return stillStaged(ctx, j.st, r, names...)
}

// Sweep removes what the plan staged.
func (j *importJob) Sweep(ctx context.Context, st plan.State, p *plan.Plan) error {
	return sweepStaged(ctx, st, p)
}
