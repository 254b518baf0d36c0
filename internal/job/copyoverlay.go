package job

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
)

// A convert with overlays has three rounds in place of the reading one (docs/decisions/0010-overlays.md): stageChanges
// spills the changes by the hash of their key; stageRead reads the base, whose items that may have a change are put aside
// likewise; stageMerge joins the two, bucket by bucket.

// planOverlay settles what the rounds of an overlay share.
func (j *copyJob) planOverlay(ctx context.Context, src source.Source) error {
	if len(src.Info().Windows) == 0 {
		return nil
	}
	o, err := newOverlay(ctx, src, j.set.Keys, nil)
	if err != nil {
		return err
	}
	if j.set.Keys == nil && o.Keys != nil && o.Keys.Range.Name == "" {
		j.set.Keys = o.Keys // of two attributes a change does not tell which is the hash key
	}
	j.set.Overlay, j.set.Stage = o, stageChanges
	return nil
}

// firstStage tells whether items are read or made in this stage, not only written anew.
func (c *Copy) firstStage() bool { return c.Stage == stageRead || c.Stage == stageMerge }

// changesTask spills the changes of its files.
func (j *copyJob) changesTask(ctx context.Context, a *plan.Attempt) (*taskResult, error) {
	src, err := j.src.open(ctx, j.env, j.spec)
	if err != nil {
		return nil, err
	}
	res := &taskResult{Start: time.Now().UTC()}
	t := &changeTask{keys: j.set.Overlay.keys(), src: src, dead: newDeadLetters(ctx, a), meter: a.Meter}
	defer t.dead.abandon()
	made, err := t.spill(ctx, a, j.set.Overlay, j.spillMemory()*3/4)
	if err != nil {
		return nil, err
	}
	if res.Dead, err = t.dead.close(); err != nil {
		return nil, err
	}
	res.Aside, res.Hashes, res.Changes, res.Rejects = &made.Staged, made.Hashes, t.read, t.dead.count
	res.Fingerprint, res.End = item.Fingerprint{}.String(), time.Now().UTC()
	return res, nil
}

// spillMemory bounds runs that are gathered: their compression and the reader take the rest of a worker's memory.
func (j *copyJob) spillMemory() int { return int(j.env.memory()) / j.env.workers() / 3 }

// readRound asks for the base to be read.
func (j *copyJob) readRound(ctx context.Context, c *plan.Committing, made *carried) (plan.Outcome, error) {
	made.Changed = j.st.Name("plans", c.Plan.ID, "staged", "commit.changed")
	if err := stageChanged(ctx, j.st, made.Changed, j.set.Overlay, made.hashes); err != nil {
		return plan.Outcome{}, err
	}
	src, err := j.src.open(ctx, j.env, j.spec)
	if err != nil {
		return plan.Outcome{}, err
	}
	tasks, err := j.cut(ctx, src)
	if err != nil {
		return plan.Outcome{}, err
	}
	settings := j.set
	settings.Stage = stageRead
	return j.round(ctx, c, settings, made, nil, tasks)
}

// mergeRound asks for changes and items to be joined.
func (j *copyJob) mergeRound(ctx context.Context, c *plan.Committing, made *carried) (plan.Outcome, error) {
	tasks, err := cutMerge(ctx, j.st.Bucket, made.Changes, made.Aside)
	if err != nil {
		return plan.Outcome{}, err
	}
	settings := j.set
	settings.Stage = stageMerge
	return j.round(ctx, c, settings, made, nil, tasks)
}

// aside takes items out of the stream that may have a change.
type aside struct {
	keys   item.KeySchema
	filter *changed
	spill  *sink.Spill
	route  sink.Route
	names  []string // of buckets
	key    []byte
}

// newAside is nil for a copy without overlays.
func (j *copyJob) newAside(ctx context.Context, a *plan.Attempt) (*aside, error) {
	if j.set.Overlay == nil {
		return nil, nil
	}
	carry, err := j.readCarry(ctx)
	if err != nil {
		return nil, err
	}
	filter, err := j.changed.read(ctx, j.st, carry.Changed)
	if err != nil {
		return nil, err
	}
	return newAside(ctx, a, j.set.Overlay, filter, j.spillMemory()/3)
}

func newAside(ctx context.Context, a *plan.Attempt, o *Overlay, filter *changed, memory int) (*aside, error) {
	s := passAside(o, filter)
	s.names = make([]string, o.Buckets)
	for n := range s.names {
		s.names[n] = bucketName(n)
	}
	var err error
	s.spill, err = sink.NewSpill(ctx, sink.SpillOptions{Bucket: a.State.Bucket, Memory: memory, Put: stagedPut,
		Staged: func(name string) string { return a.Staged("aside." + name) }})
	return s, err
}

// passAside is for items that an earlier round has put aside: they are passed over.
func passAside(o *Overlay, filter *changed) *aside { return &aside{keys: o.keys(), filter: filter} }

// take moves the items that may have a change from b to the spill.
func (s *aside) take(b *item.Batch) error {
	if s == nil || s.keys.Empty() {
		return nil
	}
	kept := b.Rows[:0]
	for i, row := range b.Rows {
		it := b.Item(i)
		var err error
		if s.key, err = s.keys.AppendKey(s.key[:0], it); err != nil {
			return fault.Hint(fault.At(fault.New(fault.User, "an item of the base without the key of the changes: %w", err),
				fault.Place{File: b.File, Line: b.FirstLine + int64(row.Line)}), "base and incremental exports are to be of one table")
		}
		if !s.filter.has(xxh3.Hash(s.key)) {
			kept = append(kept, row)
			continue
		}
		if s.spill == nil {
			continue
		}
		s.route.Key = s.names[item.BucketOf(s.key, len(s.names))]
		if err := s.spill.Put(&s.route, nil, it); err != nil {
			return err
		}
	}
	b.Rows = kept
	return nil
}

// close ends the spill; nil when there was none.
func (s *aside) close() (*sink.Staged, error) {
	if s == nil || s.spill == nil {
		return nil, nil
	}
	staged, err := s.spill.Close()
	return &staged, err
}

func (s *aside) abandon() {
	if s != nil && s.spill != nil {
		s.spill.Abandon()
	}
}

// mergeTask makes the items of its buckets: what changes made of them, and those that have none.
func (j *copyJob) mergeTask(ctx context.Context, a *plan.Attempt) (*taskResult, error) {
	carry, err := j.readCarry(ctx)
	if err != nil {
		return nil, err
	}
	src, err := j.src.open(ctx, j.env, j.spec)
	if err != nil {
		return nil, err
	}
	m, err := newMerging(ctx, j.st, j.set.Overlay, src.Info().Windows, a.Task.Body, carry.Changes, carry.Aside)
	if err != nil {
		return nil, err
	}
	defer m.close()
	t := &reading{job: j, a: a, res: &taskResult{Start: time.Now().UTC()}, dead: newDeadLetters(ctx, a)}
	if t.pass, err = j.startPass(ctx, a, t.dead); err != nil {
		return nil, err
	}
	defer t.pass.close()
	defer t.dead.abandon()
	if t.out, err = j.firstSink(ctx, a); err != nil {
		return nil, err
	}
	defer t.out.Abandon()
	write := func(b *item.Batch) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		a.Meter.Note("merged items", float64(b.Len()))
		return t.write(ctx, b)
	}
	if err := m.run(ctx, write, nil, write); err != nil {
		return nil, err
	}
	return t.finish()
}

// momentOf is what the history notes of the moment that this job's items show; nil when there is none.
func (j *copyJob) momentOf(src source.Source, made *carried) *source.Moment {
	info := src.Info()
	whole := made.Rejects == 0 && j.set.Filter == "" && j.set.Projection == "" && len(j.set.Steps) == 0 && j.spec.Filter == "" && j.spec.Projection == ""
	if !whole || j.set.Into == IntoAppend || j.set.Into == IntoReplacePartitions {
		return nil
	}
	switch {
	case info.Table != nil:
		return &source.Moment{Start: made.Start.Add(-scanMargin), End: made.End,
			TableIdentity: source.TableIdentity{ARN: info.Table.ARN, ID: info.Table.ID}}
	case len(info.Windows) > 0:
		last := info.Windows[len(info.Windows)-1]
		return &source.Moment{Start: last.To, End: last.To, TableIdentity: last.Table}
	}
	return info.Shows
}

// noteMoment puts it into a version's extra members.
func (j *copyJob) noteMoment(extra map[string]json.RawMessage, src source.Source, made *carried) {
	if m := j.momentOf(src, made); m != nil {
		extra[source.ShowsKey] = marshal(m)
	}
}

// overlayNames are the staged objects of a result that later rounds read.
func (r *taskResult) overlayNames() []string {
	names := append([]string(nil), r.Hashes...)
	if r.Aside != nil {
		names = append(names, r.Aside.Index)
	}
	return names
}

// overlayText tells a person what is laid over what.
func overlayText(info source.Info) string {
	first, last := info.Windows[0], info.Windows[len(info.Windows)-1]
	return fmt.Sprintf("%d windows of changes from %s to %s", len(info.Windows), first.From.Format(time.RFC3339), last.To.Format(time.RFC3339))
}
