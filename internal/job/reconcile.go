package job

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/dataset"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// Reconcile are the settings of archive --reconcile: evidence about an archive that does not come from the stream alone. Round one
// reads the base, and asks the table for each item that had expired; round two reads the log, to behind that moment, and the archive;
// round three joins them by key. So what TTL deletes while it runs is no miss: it is in the table, or its deletion is in the log.
type Reconcile struct {
	Log             string         `json:"log"`
	Archive         string         `json:"archive"`
	Table           string         `json:"table"`
	TTL             string         `json:"ttl"` // attribute
	At              string         `json:"at"`  // as typed: items that expired by then
	AcceptCompacted bool           `json:"acceptCompacted,omitempty"`
	Keys            item.KeySchema `json:"keys"`
	Buckets         int            `json:"buckets"`

	Stage string `json:"stage,omitempty"`
	// ReplicaLogs are those of the table's other Regions, each of which tells its own deletions by TTL alone.
	ReplicaLogs []string `json:"replicaLogs,omitempty"`
	// Sides are the log, the archive and the other logs, in round two.
	Sides   []*source.Spec  `json:"sides,omitempty"`
	Indexes []string        `json:"indexes,omitempty"`
	Counts  reconcileCounts `json:"counts,omitzero"`
	Tuning  `json:"-"`
}

const (
	verbReconcile  = "reconcile"
	stageEvidence  = "evidence"
	stageJoin      = "join"
	reconcileScope = 5 * 365 * 24 * time.Hour // what expired longer ago TTL leaves alone (Developer Guide, "Time to Live")
)

// What a spilled key stands for.
const (
	markBase     = iota + 1 // it had expired, and the table no longer has it
	markExpired             // the log has its deletion by TTL
	markApplied             // the log has a change by somebody else
	markArchived            // the archive has it
)

// reconcileCounts are what rounds count.
type reconcileCounts struct {
	Base     int64   `json:"base"`    // items read
	Expired  int64   `json:"expired"` // of these, by the moment asked for
	There    int64   `json:"there"`   // of these, those that the table still has
	Changes  int64   `json:"changes"` // of the log
	Archived int64   `json:"archived"`
	Changed  int64   `json:"changed"` // expired items that somebody changed or deleted
	Found    int64   `json:"found"`   // expired items in the archive
	Misses   int64   `json:"misses"`
	Units    float64 `json:"readUnits"`
}

func (c *reconcileCounts) add(d reconcileCounts) {
	c.Base, c.Expired, c.There, c.Changes, c.Archived = c.Base+d.Base, c.Expired+d.Expired, c.There+d.There, c.Changes+d.Changes, c.Archived+d.Archived
	c.Changed, c.Found, c.Misses, c.Units = c.Changed+d.Changed, c.Found+d.Found, c.Misses+d.Misses, c.Units+d.Units
}

// ReconcileReport is what a finished reconciliation says.
type ReconcileReport struct {
	Type    string    `json:"type"` // "reconcile"
	Log     string    `json:"log"`
	Archive string    `json:"archive"`
	Table   string    `json:"table"`
	Of      string    `json:"of"` // the base
	At      time.Time `json:"at"`
	reconcileCounts
	Missing []string `json:"missFiles,omitempty"`
}

// Miss is an item that should be in the archive: a line of its file.
type Miss struct {
	Key    json.RawMessage `json:"key"`
	Item   json.RawMessage `json:"item,omitempty"` // of the base
	Reason string          `json:"reason"`
}

type reconcileJob struct {
	env   *Env
	set   Reconcile
	spec  source.Spec // of the base
	st    plan.State
	table *importJob // of which describe and at are used
	base  opened
	sides []opened // as Reconcile.Sides
	reads governed
	scans governed
}

// NewReconcile prepares a reconciliation. It writes nothing but its plan.
func NewReconcile(ctx context.Context, env *Env, base source.Spec, set Reconcile) (*Request, error) {
	if set.Table == "" {
		return nil, fault.Hint(fault.New(fault.User, "--reconcile asks the table what is still there"), "name it: --table dynamodb://TABLE")
	}
	at, err := reconcileAt(set.At)
	if err != nil {
		return nil, err
	}
	j := &reconcileJob{env: env, set: set}
	if err := j.open(ctx); err != nil {
		return nil, err
	}
	src, err := source.Open(ctx, env.World, base)
	if err != nil {
		return nil, fmt.Errorf("--base: %w", err)
	}
	if info := src.Info(); len(info.Windows) > 0 {
		return nil, fault.Hint(fault.New(fault.User, "--base %s: windows are laid over it", base.Address), "convert BASE --overlay … DEST first, and name DEST")
	} else if info.Shows != nil && info.Shows.Start.After(at) {
		return nil, fault.New(fault.User, "--base %s shows the table of %s, later than %s", base.Address, stampText(info.Shows.Start), stampText(at))
	}
	j.spec = src.Spec()
	j.base.set(src)
	if err := j.ttl(ctx, src); err != nil {
		return nil, err
	}
	if err := allRegions(ctx, env, ArchiveWish{Log: j.set.Log, Table: j.set.Table, ReplicaLogs: j.set.ReplicaLogs}); err != nil {
		return nil, err
	}
	j.set.Keys, j.set.Buckets = j.table.table.desc.Keys, bucketsFor(max(src.Info().Items, 0))
	for _, look := range []source.Spec{{Address: j.set.Log, Log: &source.LogSpec{Found: true, Whole: true}}, {Address: j.set.Archive}} { // early, before hours of reading
		if _, err := j.openSide(ctx, look); err != nil {
			return nil, err
		}
	}
	archive, err := world.Parse(j.set.Archive)
	if err != nil {
		return nil, err
	}
	var stateAt string
	if j.st, stateAt, err = stateIn(ctx, env, archive); err != nil {
		return nil, err
	}
	return &Request{State: j.st, StateAddress: stateAt, Job: j, Destination: "a report", sources: []source.Source{src}, Spec: plan.Spec{Verb: verbReconcile, Source: marshal(j.spec),
		Settings: marshal(j.set), Tuning: marshal(j.set.Tuning), Writer: env.Version, Tasks: func(ctx context.Context) ([]json.RawMessage, error) {
			units, err := src.Units(ctx, taskBytesFiles, env.workers())
			return groups(units, taskBytesFiles, env.workers()), err
		}}}, nil
}

func reconcileAt(text string) (time.Time, error) {
	at, err := parseMoment(cmp.Or(text, "now"), time.Now())
	if err != nil {
		err = fmt.Errorf("--at: %w", err)
	}
	return at, err
}

func stampText(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// open resolves addresses and describes the table.
func (j *reconcileJob) open(ctx context.Context) error {
	addresses := []*string{&j.set.Log, &j.set.Archive, &j.set.Table}
	for i := range j.set.ReplicaLogs {
		addresses = append(addresses, &j.set.ReplicaLogs[i])
	}
	for _, address := range addresses {
		at, err := world.Parse(*address)
		if err != nil {
			return err
		}
		*address = at.String()
	}
	at, err := world.Parse(j.set.Table)
	if err != nil {
		return err
	}
	j.table = &importJob{env: j.env, at: at}
	return j.table.describe(ctx)
}

// ttl finds the attribute that tells when items expire.
func (j *reconcileJob) ttl(ctx context.Context, base source.Source) error {
	if j.set.TTL != "" {
		return nil
	}
	t, err := dynamo.Capture(ctx, j.table.table.client, j.table.at.Host)
	if err == nil && t.Definition.Settings != nil {
		j.set.TTL = t.Definition.Settings.TTL
	}
	if def := base.Info().Definition; j.set.TTL == "" && def != nil && def.Settings != nil {
		j.set.TTL = def.Settings.TTL
	}
	if j.set.TTL == "" {
		return fault.Hint(fault.New(fault.User, "%s: the attribute that tells when items expire is not known", j.table.at), "--ttl-attribute expires_at")
	}
	return nil
}

func newReconcile(env *Env, st plan.State, p *plan.Plan) (plan.Job, error) {
	j := &reconcileJob{env: env, st: st}
	var err error
	if j.set.Tuning, err = parsePlan(p, &j.spec, &j.set); err != nil {
		return nil, err
	}
	j.sides = make([]opened, len(j.set.Sides))
	return j, j.open(context.Background())
}

// reconciled is the body of a task's result.
type reconciled struct {
	Counts reconcileCounts `json:"counts"`
	Staged sink.Staged     `json:"staged"`
	End    time.Time       `json:"end"`
	Misses *sink.File      `json:"misses,omitempty"`
}

// Task reads the base, the evidence, or joins.
func (j *reconcileJob) Task(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	if j.set.Stage == stageJoin {
		return j.joinTask(ctx, a)
	}
	out, err := sink.NewSpill(ctx, sink.SpillOptions{Bucket: a.State.Bucket, Staged: a.Staged, Memory: int(j.env.memory()) / j.env.workers() / 3, Put: stagedPut})
	if err != nil {
		return nil, err
	}
	defer out.Abandon()
	t := &gatheringKeys{j: j, out: out}
	if j.set.Stage == stageEvidence {
		err = t.evidence(ctx, a)
	} else {
		err = t.base(ctx, a)
	}
	if err != nil {
		return nil, err
	}
	t.res.End = time.Now().UTC()
	if t.res.Staged, err = out.Close(); err != nil {
		return nil, err
	}
	return marshal(t.res), nil
}

// gatheringKeys spills keys by what they stand for.
type gatheringKeys struct {
	j     *reconcileJob
	out   *sink.Spill
	res   reconciled
	key   []byte
	mark  []byte
	route sink.Route
	only  item.Batch
}

// put spills an item, or its key alone.
func (t *gatheringKeys) put(stands int, it item.Item, whole bool) error {
	var err error
	if t.key, err = t.j.set.Keys.AppendKey(t.key[:0], it); err != nil {
		return err
	}
	if !whole {
		t.only.Reset()
		if err := copyKey(item.NewBuilder(&t.only), t.j.set.Keys, it); err != nil {
			return err
		}
		it = t.only.Item(0)
	}
	t.route.Key = bucketName(item.BucketOf(t.key, t.j.set.Buckets))
	t.mark = changeMark{window: stands}.append(t.mark[:0])
	return t.out.Put(&t.route, t.mark, it)
}

// base spills the expired items of the base that the table no longer has.
func (t *gatheringKeys) base(ctx context.Context, a *plan.Attempt) error {
	var g group
	if err := json.Unmarshal(a.Task.Body, &g); err != nil {
		return fault.New(fault.Corrupt, "task %d: %w", a.Task.Index, err)
	}
	src, err := t.j.base.open(ctx, t.j.env, t.j.spec)
	if err != nil {
		return err
	}
	at, err := reconcileAt(t.j.set.At)
	if err != nil {
		return err
	}
	var o source.ReadOptions
	if err := t.j.scans.read(ctx, t.j.env, src, t.j.set.ReadUnits, &o, func(units float64) { t.res.Counts.Units += units }); err != nil {
		return err
	}
	for _, u := range g.Units {
		err := readUnit(ctx, src, u, o, func(b *item.Batch) error {
			a.Meter.Add(int64(b.Len()), int64(len(b.Src)))
			t.res.Counts.Base += int64(b.Len())
			var rows []int
			for i := range b.Rows {
				if expired(b.Item(i), t.j.set.TTL, at) {
					rows = append(rows, i)
				}
			}
			t.res.Counts.Expired += int64(len(rows))
			for n := 0; n < len(rows); n += getKeys {
				if err := t.absent(ctx, b, rows[n:min(n+getKeys, len(rows))]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// expired tells whether TTL would have deleted an item by a time.
func expired(it item.Item, attribute string, at time.Time) bool {
	i, ok := it.Get(attribute)
	if !ok || it.Tape[i].Type != item.N {
		return false
	}
	seconds, whole := it.Decimal(i).Int()
	return whole && seconds <= at.Unix() && seconds > at.Add(-reconcileScope).Unix()
}

// absent spills those of some rows that the table no longer has.
func (t *gatheringKeys) absent(ctx context.Context, b *item.Batch, rows []int) error {
	var keys, got item.Batch
	build := item.NewBuilder(&keys)
	for _, i := range rows {
		if err := copyKey(build, t.j.set.Keys, b.Item(i)); err != nil {
			return err
		}
	}
	list := make([]item.Item, keys.Len())
	for n := range list {
		list[n] = keys.Item(n)
	}
	t.j.reads.once.Do(func() {
		t.j.reads.gov, t.j.reads.err = newGovernor(t.j.env, t.j.table.table.desc, t.j.set.ReadUnits, dynamo.Read)
	})
	if t.j.reads.err != nil {
		return t.j.reads.err
	}
	units, err := readBack(ctx, t.j.table, t.j.reads.gov, list, &got)
	if err != nil {
		return err
	}
	t.res.Counts.Units += units
	there := map[string]bool{}
	for i := range got.Rows {
		key, err := t.j.set.Keys.AppendKey(nil, got.Item(i))
		if err != nil {
			return err
		}
		there[string(key)] = true
	}
	for n, i := range rows {
		key, err := t.j.set.Keys.AppendKey(nil, list[n])
		if err != nil {
			return err
		}
		if there[string(key)] {
			t.res.Counts.There++
			continue
		}
		if err := t.put(markBase, b.Item(i), true); err != nil {
			return err
		}
	}
	return nil
}

// sideArchive is the archive's place among Reconcile.Sides.
const sideArchive = 1

// evidenceOf are the sides, with a window of each log.
func (j *reconcileJob) evidenceOf(window *source.LogSpec) []source.Spec {
	sides := []source.Spec{{Address: j.set.Log, Log: window}, sideArchive: {Address: j.set.Archive}}
	for _, address := range j.set.ReplicaLogs {
		sides = append(sides, source.Spec{Address: address, Log: window})
	}
	return sides
}

// openSide opens one; nil of an archive that was written to and has nothing yet.
func (j *reconcileJob) openSide(ctx context.Context, spec source.Spec) (source.Source, error) {
	src, err := source.Open(ctx, j.env.World, spec)
	if spec.Log != nil || fault.KindOf(err) != fault.NotFound {
		return src, err
	}
	at, parseErr := world.Parse(spec.Address)
	if parseErr != nil {
		return nil, parseErr
	}
	loc, peekErr := j.env.World.Peek(ctx, at, blob.Settings{})
	if peekErr != nil {
		return nil, err
	}
	for _, listErr := range loc.Bucket.List(ctx, path.Join(loc.Prefix, dataset.Hidden, "plans")+"/", "") {
		return nil, listErr
	}
	return nil, err
}

// evidenceTask is units of the log, or of the archive.
type evidenceTask struct {
	Side  int           `json:"side"`
	Units []source.Unit `json:"units"`
}

// evidence spills what the log and the archive know of keys.
func (t *gatheringKeys) evidence(ctx context.Context, a *plan.Attempt) error {
	var task evidenceTask
	if err := json.Unmarshal(a.Task.Body, &task); err != nil {
		return fault.New(fault.Corrupt, "task %d: %w", a.Task.Index, err)
	}
	src, err := t.j.sides[task.Side].open(ctx, t.j.env, *t.j.set.Sides[task.Side])
	if err != nil {
		return err
	}
	for _, u := range task.Units {
		if task.Side == sideArchive {
			err = readUnit(ctx, src, u, source.ReadOptions{}, func(b *item.Batch) error {
				a.Meter.Note("archived rows", float64(b.Len()))
				t.res.Counts.Archived += int64(b.Len())
				for i := range b.Rows {
					if err := t.put(markArchived, b.Item(i), false); err != nil {
						return err
					}
				}
				return nil
			})
		} else {
			err = t.changes(ctx, a, src, u)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *gatheringKeys) changes(ctx context.Context, a *plan.Attempt, src source.Source, u source.Unit) error {
	in, err := src.(source.Changer).Changes(ctx, u, source.ReadOptions{})
	if err != nil {
		return err
	}
	defer in.Close()
	return eachChange(in, func(b *item.Changes, i int) error {
		a.Meter.Note("changes", 1)
		t.res.Counts.Changes++
		stands := markApplied
		if b.List[i].Service {
			stands = markExpired
		}
		return t.put(stands, b.Key(i), false)
	})
}

// Check looks that staged objects are there.
func (j *reconcileJob) Check(ctx context.Context, r plan.Result) error {
	res, err := bodyOf[reconciled](r)
	if err != nil {
		return err
	}
	return stillStaged(ctx, j.st, r, res.Staged.Index)
}

// Sweep removes what the plan staged.
func (j *reconcileJob) Sweep(ctx context.Context, st plan.State, p *plan.Plan) error {
	return sweepStaged(ctx, st, p)
}

// Commit goes from the base to the evidence, to the join, to the report.
func (j *reconcileJob) Commit(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	set := j.set
	var end time.Time
	var files []sink.File
	for i := range c.Plan.Tasks {
		res, err := resultOf[reconciled](ctx, c, i)
		if err != nil {
			return plan.Outcome{}, err
		}
		set.Counts.add(res.Counts)
		if res.Staged.Index != "" {
			set.Indexes = append(set.Indexes, res.Staged.Index)
		}
		if res.End.After(end) {
			end = res.End
		}
		if res.Misses != nil {
			res.Misses.Final = fmt.Sprintf("%s-%05d.misses", c.Plan.ID, i)
			files = append(files, *res.Misses)
		}
	}
	switch set.Stage {
	case stageJoin:
		return j.report(ctx, c, set, files)
	case stageEvidence:
		set.Stage = stageJoin
		tasks, err := cutMerge(ctx, j.st.Bucket, set.Indexes)
		if err != nil {
			return plan.Outcome{}, err
		}
		return plan.Outcome{Next: furtherRound(j.env, c, set, set.Tuning, func(context.Context) ([]json.RawMessage, error) { return tasks, nil })}, nil
	}
	return j.evidenceRound(ctx, c, set, end)
}

// evidenceRound opens the log up to behind the moment at which the table was asked last: what was gone by then is told in it.
func (j *reconcileJob) evidenceRound(ctx context.Context, c *plan.Committing, set Reconcile, end time.Time) (plan.Outcome, error) {
	base, err := j.base.open(ctx, j.env, j.spec)
	if err != nil {
		return plan.Outcome{}, err
	}
	// Of final states of a gap only what was written counts: nobody knows who deleted what they say is gone.
	window := source.LogSpec{AcceptCompacted: set.AcceptCompacted, Whole: true, Ops: []string{source.OpPut, source.OpTTL, source.OpAppDelete}}
	if shows := base.Info().Shows; shows != nil {
		window.From = shows.Start.Add(-overlap)
	}
	if window.To = end.Add(clocksApart); end.IsZero() { // nothing was asked
		window.To = time.Now()
	}
	window.FromText, window.ToText = window.From.Format(time.RFC3339Nano), window.To.Format(time.RFC3339Nano)
	var tasks []json.RawMessage
	set.Sides = nil
	for side, spec := range j.evidenceOf(&window) {
		src, err := j.openSide(ctx, spec)
		if err != nil {
			return plan.Outcome{}, err
		}
		if src == nil {
			set.Sides = append(set.Sides, nil)
			continue
		}
		for _, warning := range src.Info().Warnings {
			j.env.say("warning: %s", warning)
		}
		units, err := src.Units(ctx, taskBytesFiles, 1)
		if err != nil {
			return plan.Outcome{}, err
		}
		for _, some := range groupUnits(units, taskBytesFiles, j.env.workers()) {
			tasks = append(tasks, marshal(evidenceTask{side, some}))
		}
		opened := src.Spec()
		set.Sides = append(set.Sides, &opened)
	}
	set.Stage = stageEvidence
	return plan.Outcome{Next: furtherRound(j.env, c, set, set.Tuning, func(context.Context) ([]json.RawMessage, error) { return tasks, nil })}, nil
}

// clocksApart is how much later than ours the service's clock may be, by which records are stamped.
const clocksApart = 2 * time.Second

// overlap is how long before a base's moment its changes are read again: longer than any stamp is off.
const overlap = 15 * time.Minute

// known is what is known of a key, a bit for each mark.
type known struct {
	marks uint8
	item  []byte // of the base
	key   []byte
}

func (j *reconcileJob) joinTask(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	m, err := newMerging(ctx, j.st, &Overlay{Keys: &j.set.Keys}, nil, a.Task.Body, j.set.Indexes, nil)
	if err != nil {
		return nil, err
	}
	defer m.close()
	lines := newLines(ctx, a, "misses")
	defer lines.abandon()
	var res reconciled
	for _, name := range m.names {
		m.frames = map[runAt][]byte{}
		keys := map[string]*known{}
		err := m.changes(ctx, m.parts[sideChanges][name], func() error {
			for i, mark := range m.marks {
				var err error
				if m.key, err = m.keys.AppendKey(m.key[:0], m.b.Item(i)); err != nil {
					return err
				}
				k := keys[string(m.key)]
				if k == nil {
					k = &known{}
					if k.key, err = m.keys.AppendKeyJSON(nil, m.b.Item(i)); err != nil {
						return err
					}
					keys[string(m.key)] = k
				}
				if k.marks |= 1 << mark.window; mark.window == markBase {
					k.item = item.AppendCanonical(nil, m.b.Item(i))
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("bucket %s: %w", name, err)
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if err := res.judge(keys[key], lines); err != nil {
				return nil, err
			}
		}
	}
	if res.Misses, err = lines.close(); err != nil {
		return nil, err
	}
	return marshal(res), nil
}

// judge tells whether a key is accounted for.
func (r *reconciled) judge(k *known, lines *deadLetters) error {
	has := func(mark int) bool { return k.marks&(1<<mark) != 0 }
	reason := ""
	switch {
	case has(markArchived):
		if has(markBase) {
			r.Counts.Found++
		}
	case has(markExpired):
		reason = "the log has its deletion by TTL, and the archive does not have it"
	case has(markBase) && has(markApplied):
		r.Counts.Changed++
	case has(markBase):
		reason = "it had expired and is gone, and neither the archive nor the log tells of it"
	}
	if reason == "" {
		return nil
	}
	r.Counts.Misses++
	return lines.line(marshal(Miss{k.key, k.item, reason}))
}

func (j *reconcileJob) report(ctx context.Context, c *plan.Committing, set Reconcile, files []sink.File) (plan.Outcome, error) {
	at, err := reconcileAt(set.At)
	if err != nil {
		return plan.Outcome{}, err
	}
	r := &ReconcileReport{Type: verbReconcile, Log: set.Log, Archive: set.Archive, Table: set.Table, Of: j.spec.Address, At: at, reconcileCounts: set.Counts}
	r.Missing, err = publishLines(ctx, c.State, verbReconcile, files)
	return plan.Outcome{Report: marshal(r)}, err
}
