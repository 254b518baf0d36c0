package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec"
	"dynaferry/internal/codec/compress"
	"dynaferry/internal/codec/csv"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/codec/ion"
	jsonlines "dynaferry/internal/codec/json"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/column"
	"dynaferry/internal/dataset"
	"dynaferry/internal/expression"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
	"dynaferry/internal/step"
)

// files is a sink that can be given up.
type files interface {
	sink.Files
	Abandon()
}

// opened is the source of a job, opened once for all its tasks in this process.
type opened struct {
	mu  sync.Mutex
	src source.Source
}

func (o *opened) set(src source.Source) { o.src = src }

func (o *opened) open(ctx context.Context, env *Env, spec source.Spec) (source.Source, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.src == nil {
		src, err := source.Open(ctx, env.World, spec)
		if err != nil {
			return nil, err
		}
		o.src = src
	}
	return o.src, nil
}

// Task runs one task of whichever stage the plan is of.
func (j *copyJob) Task(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	var res *taskResult
	var err error
	var w widenTask
	if j.set.Schema != nil {
		_ = json.Unmarshal(a.Task.Body, &w) // of another kind it says nothing
	}
	switch {
	case len(w.Widen) > 0:
		res, err = j.widenTask(ctx, a, w)
	case j.set.Stage == stageChanges:
		res, err = j.changesTask(ctx, a)
	case j.set.Stage == stageRead:
		res, err = j.readTask(ctx, a)
	case j.set.Stage == stageMerge:
		res, err = j.mergeTask(ctx, a)
	case j.set.Stage == stageGather:
		res, err = j.gatherTask(ctx, a)
	case j.set.Stage == stageRewrite:
		res, err = j.rewriteTask(ctx, a)
	default:
		err = fault.New(fault.Corrupt, "no stage %q", j.set.Stage)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(res)
}

// readTask streams its units through filter and projection into the sink.
func (j *copyJob) readTask(ctx context.Context, a *plan.Attempt) (*taskResult, error) {
	var g group
	if err := json.Unmarshal(a.Task.Body, &g); err != nil {
		return nil, fault.New(fault.Corrupt, "task %d: %w", a.Task.Index, err)
	}
	src, err := j.src.open(ctx, j.env, j.spec)
	if err != nil {
		return nil, err
	}
	t := &reading{job: j, a: a, src: src, res: &taskResult{Start: time.Now().UTC()}, dead: newDeadLetters(ctx, a)}
	if t.pass, err = j.startPass(ctx, a, t.dead); err != nil {
		return nil, err
	}
	defer t.pass.close()
	if t.out, err = j.firstSink(ctx, a); err != nil {
		return nil, err
	}
	defer t.out.Abandon()
	defer t.dead.abandon()
	if t.aside, err = j.newAside(ctx, a); err != nil {
		return nil, err
	}
	defer t.aside.abandon()
	for _, u := range g.Units {
		if err := t.unit(ctx, u); err != nil {
			return nil, err
		}
	}
	t.res.Through = g.Through
	return t.finish()
}

// reading is one attempt of a read task.
type reading struct {
	job   *copyJob
	a     *plan.Attempt
	src   source.Source
	pass  *pass
	out   files
	aside *aside
	dead  *deadLetters
	print item.Fingerprint
	res   *taskResult
}

func (t *reading) unit(ctx context.Context, u source.Unit) error {
	o := source.ReadOptions{Rejects: t.dead.reject, Steps: t.job.env.steps(t.a.Plan.Created)}
	err := t.job.gov.read(ctx, t.job.env, t.src, t.job.set.ReadUnits, &o, func(units float64) {
		t.res.Units += units
		t.a.Meter.Note("read units", units)
	})
	if err != nil {
		return err
	}
	return readUnit(ctx, t.src, u, o, func(b *item.Batch) error {
		t.res.Read += int64(b.Len())
		t.a.Meter.Add(int64(b.Len()), int64(len(b.Src)))
		if err := t.aside.take(b); err != nil {
			return err
		}
		return t.write(ctx, b)
	})
}

// write lets a batch pass and hands the rest on.
func (t *reading) write(ctx context.Context, b *item.Batch) error {
	b, err := t.pass.batch(ctx, b)
	if err != nil {
		return err
	}
	return t.out.Write(b)
}

func (t *reading) finish() (*taskResult, error) {
	staged, err := t.out.Close()
	if err != nil {
		return nil, err
	}
	if t.res.Dead, err = t.dead.close(); err != nil {
		return nil, err
	}
	if t.res.Aside, err = t.aside.close(); err != nil {
		return nil, err
	}
	t.res.Staged, t.res.Rejects, t.res.End = staged, t.dead.count, time.Now().UTC()
	t.res.Dropped, t.res.Refused = t.pass.steps.Dropped, t.pass.steps.Refused
	t.res.Losses = lossesOf(t.out)
	return t.res, t.res.sum(t.pass.kept)
}

// lossesOf asks a closed sink what its format could not keep.
func lossesOf(out files) losses {
	if l, ok := out.(interface{ Losses() map[string]int64 }); ok {
		return l.Losses()
	}
	return nil
}

// sum fills items and fingerprint from the staged files or parts.
func (r *taskResult) sum(kept int64) error {
	var total item.Fingerprint
	for _, f := range r.Staged.Files {
		print, err := item.ParseFingerprint(f.Fingerprint)
		if err != nil {
			return fault.New(fault.Bug, "fingerprint of %s: %w", f.Staged, err)
		}
		total.Merge(print)
	}
	if r.Staged.Index == "" {
		if int64(total.Count) != kept {
			return fault.New(fault.Bug, "%d items were kept, %d staged", kept, total.Count)
		}
		r.Items, r.Fingerprint = kept, total.String()
		return nil
	}
	r.Items, r.Fingerprint = kept, r.Staged.Fingerprint
	return nil
}

// pass filters and projects items of sources that no service filters, and runs the steps.
type pass struct {
	filter     *expression.Condition
	projection *expression.Projection
	steps      *step.Runner
	dead       *deadLetters // of what steps refuse
	out        item.Batch
	kept       int64
}

// startPass is the pass of a task.
func (j *copyJob) startPass(ctx context.Context, a *plan.Attempt, dead *deadLetters) (*pass, error) {
	p, err := j.newPass()
	if err != nil {
		return nil, err
	}
	chain, err := j.steps.of(j.set.Steps)
	if err != nil {
		return nil, err
	}
	p.dead = dead
	p.steps, err = j.env.startSteps(ctx, chain, a.Plan.Created)
	return p, err
}

func (p *pass) close() { p.steps.Close() }

func (j *copyJob) newPass() (*pass, error) {
	return parsePass(j.set.Filter, j.set.Projection, j.set.Names, j.set.Values)
}

// checkExpressions refuses a filter or projection that makes no sense, also a table's, before the service does in a task.
func (j *copyJob) checkExpressions() error {
	if _, err := j.newPass(); err != nil {
		return err
	}
	_, err := parsePass(j.spec.Filter, j.spec.Projection, j.spec.Names, j.spec.Values)
	return err
}

func parsePass(filter, projection string, names map[string]string, raw json.RawMessage) (*pass, error) {
	p := &pass{}
	values, err := source.ParseValues(raw)
	if err != nil {
		return nil, err
	}
	scope := expression.NewScope(names, values)
	if filter != "" {
		if p.filter, err = scope.Condition(expression.Filter, filter); err != nil {
			return nil, refused("--filter", err)
		}
	}
	if projection != "" {
		if p.projection, err = scope.Projection(projection); err != nil {
			return nil, refused("--projection", err)
		}
	}
	if err := scope.Done(); err != nil {
		return nil, fault.New(fault.User, "--names and --values: %w", err)
	}
	return p, nil
}

// refused names the flag of an expression that makes no sense, and how to name what is a reserved word.
func refused(flag string, err error) error {
	text := err.Error()
	err = fault.New(fault.User, "%s: %w", flag, err)
	if _, word, reserved := strings.Cut(text, "reserved keyword: "); reserved {
		return fault.Hint(err, `write #a for it, and --names '{"#a":"%s"}'`, word)
	}
	return err
}

// batch is what of b goes on: in its own memory, or in the pass's until the next call.
func (p *pass) batch(ctx context.Context, b *item.Batch) (*item.Batch, error) {
	if p.filter != nil {
		rows := b.Rows[:0]
		for i, row := range b.Rows {
			if p.filter.Match(b.Item(i)) {
				rows = append(rows, row)
			}
		}
		b.Rows = rows
	}
	if p.projection != nil {
		b = p.project(b)
	}
	err := p.steps.Items(ctx, b, p.dead.refused(b))
	p.kept += int64(b.Len())
	return b, err
}

func (p *pass) project(b *item.Batch) *item.Batch {
	p.out.Reset()
	p.out.File, p.out.FirstLine = b.File, b.FirstLine
	w := item.NewBuilder(&p.out)
	for i, row := range b.Rows {
		p.projection.Write(b.Item(i), row.Line, w)
	}
	return &p.out
}

// spills tells whether the first round cuts items into runs: for partitions, and for CSV whose header needs every item.
func (c *Copy) spills() bool {
	return len(c.Partition) > 0 || c.Form == source.CSV && len(c.CSV.Columns) == 0
}

// chosenCells are the CSV columns that the user named.
func (c *Copy) chosenCells() []csv.Column {
	var cells []csv.Column
	for _, name := range c.CSV.Columns {
		cells = append(cells, csv.Column{Name: name})
	}
	return cells
}

// firstSink is the sink of the first round.
func (j *copyJob) firstSink(ctx context.Context, a *plan.Attempt) (files, error) {
	if !j.set.spills() {
		schema, columns, err := j.startingSchema(ctx)
		if err != nil {
			return nil, err
		}
		return j.newSink(ctx, a, sinkWish{schema: schema, columns: columns, cells: j.set.chosenCells()})
	}
	r := &router{columns: j.set.Partition}
	// Runs are half of a worker's memory: their compression and the reader take the rest.
	memory := j.spillMemory()
	if j.set.Overlay != nil {
		memory /= 2 // the other half is for items that are put aside
	}
	return sink.NewSpill(ctx, sink.SpillOptions{Bucket: a.State.Bucket, Staged: a.Staged, Route: r.routeOf, Memory: memory, Stats: new(column.Stats), Put: stagedPut})
}

func (e *Env) memory() int64 {
	if e.Memory > 0 {
		return e.Memory
	}
	return MemoryDefault
}

// startingSchema gives the first round's shredder what is known before an item is seen: the existing data set's columns and
// the pinned ones.
func (j *copyJob) startingSchema(ctx context.Context) (*column.Schema, column.SchemaOptions, error) {
	base, err := j.base(ctx)
	if err != nil {
		return nil, column.SchemaOptions{}, err
	}
	columns, err := j.set.columns(base)
	return nil, columns, err
}

// base is the schema of the data set that this job adds to, nil when there is none.
func (j *copyJob) base(ctx context.Context) (*column.Schema, error) {
	if !j.adds() {
		return nil, nil
	}
	set, err := dataset.Load(ctx, j.dest.Bucket, j.dest.Prefix)
	if err != nil {
		return nil, err
	}
	return j.baseOf(set)
}

// sinkWish is what differs between the sinks of one job.
type sinkWish struct {
	schema   *column.Schema
	columns  column.SchemaOptions
	cells    []csv.Column // CSV
	template sink.File
	part     string // begins the names of what is staged, for several sinks of one attempt
}

func (j *copyJob) newSink(ctx context.Context, a *plan.Attempt, w sinkWish) (files, error) {
	staged := func(name string) string { return a.Staged(w.part + name) }
	if j.set.Form == source.Parquet {
		o := parquet.Options{Compression: parquet.Compression(j.set.Compression), Level: j.set.Level,
			HeldBytes: j.heldBytes()}
		if j.set.Bloom {
			o.Bloom = j.set.keySet()
		}
		return sink.NewParquet(ctx, sink.ParquetOptions{Bucket: a.State.Bucket, Staged: staged, Target: j.set.TargetBytes, Writer: o,
			Schema: w.schema, Columns: w.columns, Put: stagedPut, Template: w.template, Lean: j.set.Overlay != nil}), nil
	}
	o := sink.LinesOptions{Bucket: a.State.Bucket, Staged: staged, Target: j.set.TargetBytes, Compression: compress.Codec(j.set.Compression),
		Level: j.set.Level, Put: stagedPut, Template: w.template, Lean: j.set.Overlay != nil,
		Always: j.set.native(), Sized: j.set.native()}
	losses := &lossTally{}
	o.Codec = func(out io.Writer) (codec.Writer, error) { return j.encoder(out, w, losses) }
	return &lossy{Lines: sink.NewLines(ctx, o), losses: losses}, nil
}

// heldBytes is what a Parquet writer may hold: a quarter of a worker's memory, half of that beside the filter of an overlay
// and the items that are put aside.
func (j *copyJob) heldBytes() int64 {
	held := j.env.memory() / int64(j.env.workers()) / 4
	if j.set.Overlay != nil {
		held /= 2
	}
	return held
}

// encoder makes the row codec of one file.
func (j *copyJob) encoder(out io.Writer, w sinkWish, losses *lossTally) (codec.Writer, error) {
	switch j.set.Form {
	case source.DynamoDBJSON:
		return ddbjson.NewWriter(out, ddbjson.WriterOptions{}), nil
	case source.Ion:
		return ion.NewWriter(out, ion.WriterOptions{}), nil
	case source.JSON:
		enc := jsonlines.NewWriter(out)
		losses.from = append(losses.from, func() map[string]int64 { return jsonLosses(enc) })
		return enc, nil
	case source.CSV:
		enc := csv.NewWriter(out, j.set.csvWriter(w.cells))
		losses.from = append(losses.from, func() map[string]int64 { return csvLosses(enc) })
		return enc, nil
	}
	return nil, fault.New(fault.Bug, "no encoder for %s", j.set.Form)
}

// lossy is a row sink that tells what its format could not keep.
type lossy struct {
	*sink.Lines
	losses *lossTally
}

type lossTally struct{ from []func() map[string]int64 }

// Losses sums up over the files.
func (l *lossy) Losses() map[string]int64 {
	sum := map[string]int64{}
	for _, from := range l.losses.from {
		for name, n := range from() {
			sum[name] += n
		}
	}
	return sum
}

// Check holds a result against what is staged: the objects are there with their sizes.
func (j *copyJob) Check(ctx context.Context, r plan.Result) error {
	res, err := bodyOf[taskResult](r)
	if err != nil {
		return err
	}
	sizes := map[string]int64{}
	for _, f := range res.Staged.Files {
		sizes[f.Staged] = f.Size
		if f.Meta != "" {
			sizes[f.Meta] = -1
		}
	}
	for _, name := range append(res.overlayNames(), res.Staged.Stats, res.Staged.Index) {
		if name != "" {
			sizes[name] = -1
		}
	}
	if res.Dead != nil {
		sizes[res.Dead.Staged] = res.Dead.Size
	}
	for _, w := range res.Widened {
		sizes[w.End] = w.Size
	}
	for name, size := range sizes {
		if o, ok := r.Object(name); ok { // the plan has looked at it
			if size >= 0 && o.Size != size {
				return fault.New(fault.Corrupt, "staged object %s has %d bytes, its result says %d", name, o.Size, size)
			}
			continue
		}
		if err := staysStaged(ctx, j.st.Bucket, name, size); err != nil {
			return err
		}
	}
	return nil
}

// staysStaged looks for a staged object of a size, -1 for any.
func staysStaged(ctx context.Context, b blob.Bucket, name string, size int64) error {
	info, err := b.Head(ctx, name)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return fault.New(fault.NotFound, "staged object %s is gone", name)
	case err != nil:
		return fmt.Errorf("check %s: %w", name, err)
	case size >= 0 && info.Size != size:
		return fault.New(fault.Corrupt, "staged object %s has %d bytes, its result says %d", name, info.Size, size)
	}
	return nil
}

// Sweep removes what the plan staged, also beside data that lie elsewhere than its state.
func (j *copyJob) Sweep(ctx context.Context, st plan.State, p *plan.Plan) error {
	if bucket, _ := j.besideData(p.ID, ""); bucket != j.st.Bucket {
		if err := sweep(ctx, bucket, j.stagedElsewhere(p.ID)); err != nil {
			return err
		}
	}
	return sweepStaged(ctx, st, p)
}

// stillStaged tells whether the objects that a result names are there; empty names are none.
func stillStaged(ctx context.Context, st plan.State, r plan.Result, names ...string) error {
	for _, name := range names {
		if _, looked := r.Object(name); looked || name == "" {
			continue
		}
		if err := staysStaged(ctx, st.Bucket, name, -1); err != nil {
			return err
		}
	}
	return nil
}

// sweepStaged deletes the objects below a plan's staged folder, after its commit object is durable.
func sweepStaged(ctx context.Context, st plan.State, p *plan.Plan) error {
	return sweep(ctx, st.Bucket, st.Name("plans", p.ID, "staged"))
}

// sweep deletes the objects below a folder.
func sweep(ctx context.Context, b blob.Bucket, folder string) error {
	var names []string
	for info, err := range b.List(ctx, folder+"/", "") {
		if err != nil {
			return err
		}
		names = append(names, info.Name)
	}
	if len(names) == 0 {
		return nil
	}
	return b.Delete(ctx, names...)
}

// addAll merges counters.
func (l *losses) addAll(from losses) {
	if len(from) > 0 && *l == nil {
		*l = losses{}
	}
	for name, n := range from {
		(*l)[name] += n
	}
}
