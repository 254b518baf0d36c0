package job

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/csv"
	"dynaferry/internal/column"
	"dynaferry/internal/dataset"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// What an existing destination means.
const (
	IntoFail              = "fail"
	IntoAppend            = "append"
	IntoReplace           = "replace"
	IntoReplacePartitions = "replace-partitions"
)

// Copy are the settings of export and convert: items from any source into files.
type Copy struct {
	Dest        string            `json:"dest"`
	Form        string            `json:"form"` // source.Parquet, …
	Compression string            `json:"compression"`
	Level       int               `json:"level,omitempty"`
	Partition   []PartitionColumn `json:"partition,omitempty"`
	Into        string            `json:"into"`
	OnNew       string            `json:"onNew"`
	Pinned      json.RawMessage   `json:"pinned,omitempty"` // column schema the user gave
	Keys        *item.KeySchema   `json:"keys,omitempty"`
	Bloom       bool              `json:"bloom,omitempty"`
	TargetBytes int64             `json:"targetBytes"` // of a file
	TaskBytes   int64             `json:"taskBytes"`   // of a task's source
	Segments    int               `json:"segments,omitempty"`
	Objects     blob.Settings     `json:"objects,omitzero"`
	CSV         CSVOut            `json:"csv,omitzero"`
	Native      *NativeExported   `json:"native,omitempty"` // the service's export that the source is

	// Files have no service that filters; a table's scan carries these in its Spec.
	Filter     string            `json:"filter,omitempty"`
	Projection string            `json:"projection,omitempty"`
	Names      map[string]string `json:"names,omitempty"`
	Values     json.RawMessage   `json:"values,omitempty"`

	Steps []string `json:"steps,omitempty"` // what happens to each item, as package step reads them

	// Second rounds.
	Stage   string          `json:"stage,omitempty"`   // of the constants below
	Schema  json.RawMessage `json:"schema,omitempty"`  // decided by the round before
	Carry   string          `json:"carry,omitempty"`   // object with what earlier rounds made, see carried
	Overlay *Overlay        `json:"overlay,omitempty"` // changes are laid over the source
	Cells   []csv.Column    `json:"cells,omitempty"`   // columns of CSV, decided likewise

	Tuning `json:"-"`
}

// CSVOut is how CSV is written.
type CSVOut struct {
	Delimiter   string   `json:"delimiter,omitempty"`
	Cells       string   `json:"cells,omitempty"` // typed or ddbjson
	FormulaSafe bool     `json:"formulaSafe,omitempty"`
	Columns     []string `json:"columns,omitempty"`
}

// The stages of a copy.
const (
	stageChanges = "changes" // changes → runs by key
	stageRead    = ""        // units of the source → staged files or runs
	stageMerge   = "merge"   // runs of changes and of items that may have one → staged files or runs
	stageGather  = "gather"  // runs → files by partition, with the schema known
	stageRewrite = "rewrite" // staged Parquet files whose columns differ from the union → ones that do not
)

// Defaults.
const (
	TargetBytesDefault = 256 << 20
	taskBytesFiles     = 128 << 20 // of stored, compressed source files
	taskBytesTable     = 1 << 30   // of a table as DynamoDB counts it
	segmentsLeast      = 4
)

type copyJob struct {
	env  *Env
	set  Copy
	spec source.Spec
	dest world.Location
	at   world.Address
	st   plan.State

	stateAt string

	src     opened // the source, opened by the first task that needs it
	gov     governed
	steps   stepping
	changed changedOnce
}

// NewCopy prepares an export or a convert: everything that can be refused is refused here, before anything is written.
func NewCopy(ctx context.Context, env *Env, verb string, spec source.Spec, set Copy) (*Request, error) {
	src, err := source.Open(ctx, env.World, spec)
	if err != nil {
		return nil, err
	}
	for _, warning := range src.Info().Warnings {
		env.say("warning: %s", warning)
	}
	if (verb == "export") != (src.Info().Kind == source.KindTable) {
		other := map[string]string{"export": "convert", "convert": "export"}[verb]
		return nil, fault.Hint(fault.New(fault.User, "%s does not read %s", verb, src.Address()), "use: dynaferry %s %s %s", other, spec.Address, set.Dest)
	}
	if src.Info().Kind == source.KindIncremental {
		return nil, source.NotItems(src.Info())
	}
	if table := src.Info().Table; table != nil {
		if err := sameKeys(src.Address(), table.Keys, set.Keys); err != nil {
			return nil, err
		}
		set.Keys = nil // the table's own, with their types
	}
	if set.Keys == nil {
		set.Keys = src.Info().Keys
	}
	set.fill(src.Info().Kind)
	if err := set.check(); err != nil {
		return nil, err
	}
	j := &copyJob{env: env, set: set, spec: src.Spec()}
	if err := j.checkExpressions(); err != nil {
		return nil, err
	}
	if err := set.Tuning.check(); err != nil {
		return nil, err
	}
	if _, err := set.columns(nil); err != nil {
		return nil, err
	}
	if err := j.planOverlay(ctx, src); err != nil {
		return nil, err
	}
	if err := env.alone(ctx, set.Dest); err != nil {
		return nil, err
	}
	if err := j.open(ctx); err != nil {
		return nil, err
	}
	j.set.Dest = j.at.String() // whole: a task of the plan may run in another working directory
	j.src.set(src)
	r := &Request{State: j.st, StateAddress: j.stateAt, Job: j, Destination: j.at.String(), mayWiden: j.mayWiden, sources: []source.Source{src}, Spec: plan.Spec{Verb: verb, Source: marshal(j.spec), Settings: marshal(j.set),
		Tuning: marshal(j.set.Tuning), Before: j.set.before(), Writer: env.Version, Stands: j.stands,
		Tasks: func(ctx context.Context) ([]json.RawMessage, error) { return j.firstTasks(ctx, src) }}}
	if len(j.set.Objects.Named()) > 0 {
		r.heeds = &j.dest
	}
	// What a run of these settings that is not over has published already is not in its own way; its commit looks again.
	if unfinished, err := plan.Unfinished(ctx, r.State, r.Spec); err != nil || unfinished && !env.Fresh {
		return r, err
	}
	return r, j.checkDest(ctx)
}

func newCopy(env *Env, st plan.State, p *plan.Plan) (plan.Job, error) {
	j := &copyJob{env: env, st: st}
	var err error
	if j.set.Tuning, err = parsePlan(p, &j.spec, &j.set); err != nil {
		return nil, err
	}
	if err := j.open(context.Background()); err != nil {
		return nil, err
	}
	j.st = st
	return j, nil
}

// before are the settings as plans of format 1 have them.
func (c *Copy) before() json.RawMessage {
	return marshal(struct {
		Copy
		ReadUnits string `json:"readUnits,omitempty"`
	}{*c, c.ReadUnits})
}

// stands tells whether the version that a plan published is in the destination's history; of a replacement, whether
// nothing came after it.
func (j *copyJob) stands(ctx context.Context, p *plan.Plan) (bool, error) {
	set, err := dataset.Load(ctx, j.dest.Bucket, j.dest.Prefix)
	if err != nil {
		return false, err
	}
	n, ok := set.Plans[p.ID]
	if j.set.Into == IntoReplace || j.set.Into == IntoReplacePartitions {
		ok = ok && n == set.Head && len(set.Open) == 0
	}
	return ok, nil
}

// fill puts defaults where nothing was said, so that equal wishes make equal plans.
func (c *Copy) fill(kind string) {
	if c.Form == "" {
		c.Form = source.Parquet
	}
	if c.Compression == "" {
		c.Compression = map[string]string{source.Parquet: "zstd", source.DynamoDBJSON: "gzip", source.Ion: "gzip"}[c.Form]
	}
	if c.Compression == "" {
		c.Compression = "gzip"
	}
	if c.Into == "" {
		c.Into = IntoFail
	}
	if c.OnNew == "" {
		c.OnNew = "evolve"
	}
	if c.TargetBytes == 0 {
		c.TargetBytes = TargetBytesDefault
	}
	if c.TaskBytes == 0 {
		c.TaskBytes = taskBytesFiles
		if kind == source.KindTable {
			c.TaskBytes = taskBytesTable
		}
	}
}

// native tells whether the files are laid out as a native export.
func (c *Copy) native() bool { return source.OutputFormat(c.Form) != "" }

// open resolves the destination; it touches nothing.
func (j *copyJob) open(ctx context.Context) error {
	at, err := world.Parse(j.set.Dest)
	if err != nil {
		return err
	}
	if at.Scheme == world.DynamoDB {
		return fault.Hint(fault.New(fault.User, "%s is a table; export and convert write files", at), "use: dynaferry import %s %s", j.spec.Address, at)
	}
	if at.Scheme == world.File {
		if info, err := os.Stat(at.Path); err == nil && !info.IsDir() {
			return fault.Hint(fault.New(fault.User, "%s is a file; a destination is a folder", at), "name a folder that is empty or not there")
		}
	}
	if j.dest, err = j.env.location(ctx, at, j.set.Objects); err != nil {
		return err
	}
	j.at = at
	state := j.env.State
	if state == "" {
		state = at.Join(dataset.Hidden).String()
	}
	j.stateAt = state
	j.st, err = OpenState(ctx, j.env, state)
	return err
}

// checkDest holds --into against what is there.
func (j *copyJob) checkDest(ctx context.Context) error {
	set, err := dataset.Load(ctx, j.dest.Bucket, j.dest.Prefix)
	if err != nil {
		return err
	}
	return j.admits(ctx, set, "")
}

// admits tells whether the destination takes this job's output. own is the plan whose decided version is not in the way.
func (j *copyJob) admits(ctx context.Context, set *dataset.Set, own string) error {
	for _, v := range set.Open {
		if v.Plan != own && own != "" {
			return fault.Hint(fault.New(fault.Conflict, "%s: plan %s is publishing version %d", j.at, v.Plan, v.Number),
				"wait for it, or finish it: dynaferry commit --plan %s", j.at.Join(dataset.Hidden+"/plans/"+v.Plan))
		}
	}
	if j.set.Into == IntoFail && (set.Head >= 0 || len(set.Open) > 0 && own != "") {
		return fault.Hint(fault.New(fault.Conflict, "%s holds a data set already", j.at), "choose another destination, or --into append, replace or replace-partitions")
	}
	if set.Last != nil && set.Last.Form != j.set.Form {
		return fault.New(fault.Conflict, "%s holds %s; it does not take %s", j.at, set.Last.Form, j.set.Form)
	}
	if set.Last != nil && !slices.Equal(set.Last.Partition, partitionNames(j.set.Partition)) {
		return fault.Hint(fault.New(fault.Conflict, "%s is partitioned by %q, not by %q", j.at, set.Last.Partition, partitionNames(j.set.Partition)),
			"give the same --partition")
	}
	if set.Head < 0 && len(set.Open) == 0 {
		name, err := set.Foreign(ctx)
		if err != nil {
			return err
		}
		for inner := path.Dir(name); name != "" && inner != "."; inner = path.Dir(inner) {
			if nested, err := dataset.Stands(ctx, j.dest.Bucket, set.Name(inner)); err != nil || nested {
				return cmp.Or(err, fault.Hint(fault.New(fault.Conflict, "%s holds another data set below it, %s: whoever reads %s/** would read its rows too",
					j.at, inner, j.at), "choose a destination beside it"))
			}
		}
		if name != "" {
			return fault.Hint(fault.New(fault.Conflict, "%s is not empty: %s is there and of no data set of ours", j.at, name), "choose an empty destination")
		}
	}
	return nil
}

// alone refuses a destination inside of a data set's folder: a pattern over that one would find the rows of both. Folders
// above that may not be looked at are not ours to keep in order.
func (e *Env) alone(ctx context.Context, dest string) error {
	at, err := world.Parse(dest)
	if err != nil {
		return err
	}
	for outer, ok := at.Parent(); ok; outer, ok = outer.Parent() {
		loc, err := e.World.Peek(ctx, outer, blob.Settings{})
		found := false
		if err == nil {
			found, err = dataset.Stands(ctx, loc.Bucket, loc.Prefix)
		}
		if err != nil && fault.KindOf(err) != fault.Permission {
			return fmt.Errorf("look for a data set around %s: %w", at, err)
		}
		if found {
			return fault.Hint(fault.New(fault.Conflict, "%s lies inside of the data set %s: whoever reads %s/** would read its rows too", at, outer, outer),
				"choose a destination beside %s, or --into append there", outer)
		}
	}
	return nil
}

// firstTasks makes the tasks of the first round.
func (j *copyJob) firstTasks(ctx context.Context, src source.Source) ([]json.RawMessage, error) {
	if j.set.Stage == stageChanges {
		return groups(src.(source.Changer).ChangeUnits(), j.set.TaskBytes, j.env.workers()), nil
	}
	return j.cut(ctx, src)
}

// cut makes the tasks that read the source's items.
func (j *copyJob) cut(ctx context.Context, src source.Source) ([]json.RawMessage, error) {
	least := max(segmentsLeast, j.env.workers())
	bytes := j.set.TaskBytes
	if j.set.Segments > 0 {
		least, bytes = j.set.Segments, 1<<62
	}
	units, err := src.Units(ctx, bytes, least)
	if err != nil {
		return nil, err
	}
	if log := src.Info().Log; log != nil {
		return throughGroups(log, units, bytes, j.env.workers()), nil
	}
	return groups(units, bytes, j.env.workers()), nil
}

// taskResult is the body of a task's result.
type taskResult struct {
	Staged      sink.Staged `json:"staged"`
	Items       int64       `json:"items"`
	Fingerprint string      `json:"fingerprint"`
	Read        int64       `json:"read"` // items read, before a filter
	Rejects     int64       `json:"rejects,omitempty"`
	Refused     int64       `json:"refused,omitempty"` // of the rejects, those by a step
	Dropped     int64       `json:"dropped,omitempty"` // by a step
	Dead        *sink.File  `json:"dead,omitempty"`
	Units       float64     `json:"units,omitempty"` // capacity units consumed
	Start       time.Time   `json:"start"`
	End         time.Time   `json:"end"`
	Recoded     int64       `json:"recodedBytes,omitempty"`
	Copied      int64       `json:"copiedBytes,omitempty"`
	Losses      losses      `json:"losses,omitempty"`
	Widened     []widened   `json:"widened,omitempty"`

	// Of overlays.
	Through []source.LogSpan `json:"through,omitempty"` // of an archive, see group
	Changes int64            `json:"changes,omitempty"` // read
	Aside   *sink.Staged     `json:"aside,omitempty"`   // changes by bucket, or items that may have one
	Hashes  []string         `json:"hashes,omitempty"`  // of the keys of changes
}

// losses counts, by attribute and kind, what a plain format could not keep.
type losses map[string]int64

// keySet returns the attributes of the key, for bloom filters and column order.
func (c *Copy) keySet() []string {
	keys, _ := c.arriving()
	if keys == nil {
		return nil
	}
	var names []string
	for _, attr := range keys.Attrs() {
		names = append(names, attr.Name)
	}
	return names
}

func (c *Copy) columns(base *column.Schema) (column.SchemaOptions, error) {
	o := column.SchemaOptions{Base: base, Reserved: partitionNames(c.Partition), Keys: c.keySet()}
	switch c.OnNew {
	case "extra":
		o.OnNew = column.ToExtra
	case "fail":
		o.OnNew = column.Fail
	}
	if len(c.Pinned) > 0 {
		pinned, err := column.ParseSchema(c.Pinned)
		if err != nil {
			return o, err
		}
		o.Pinned = pinned
	}
	return o, nil
}

// staged gives an attempt's staged objects the options they need: none of the destination's settings, which are for what
// stays.
var stagedPut = blob.PutOptions{}

// definition is what is stored beside the data.
func (j *copyJob) definition(ctx context.Context) (*dynamo.Definition, error) {
	src, err := j.src.open(ctx, j.env, j.spec)
	if err != nil {
		return nil, fmt.Errorf("open the source again: %w", err)
	}
	return j.set.arrivingDefinition(src.Info().Definition), nil
}
