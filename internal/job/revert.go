package job

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
)

// ConflictSuffix is what files of conflicts end with.
const ConflictSuffix = ".conflicts"

// Conflict is a key that a revert left alone: a line of its file. Items are canonical DynamoDB JSON, null where there is none.
type Conflict struct {
	Key    json.RawMessage `json:"key"`
	Before json.RawMessage `json:"before"` // what would have been put back
	After  json.RawMessage `json:"after"`  // what the window left
	Found  json.RawMessage `json:"found"`  // what the table holds; null too where a refused write did not tell
	Reason string          `json:"reason"`
}

// reverting is one attempt at a run of buckets.
type reverting struct {
	j     *replayJob
	a     *plan.Attempt
	reads *dynamo.Governor
	write *dynamo.Governor
	lines *deadLetters
	since string // when items may have changed, for people

	mu  sync.Mutex
	res revertResult
}

// revertResult is the body of its result.
type revertResult struct {
	Keys      int64      `json:"keys"`
	Restored  int64      `json:"restored"`
	Deleted   int64      `json:"deleted"`
	Unchanged int64      `json:"unchanged"`
	Conflicts int64      `json:"conflicts"`
	ReadUnits float64    `json:"readUnits"`
	Units     float64    `json:"units"`
	Requests  int64      `json:"requests"`
	Lines     *sink.File `json:"lines,omitempty"`
}

// ends are what a window says of a key: as it was before its first change, and behind its last; nil where there was no item.
type ends struct {
	first, last   changeMark
	before, after []byte
	key           []byte // an item of the key alone, or with the key
	begun         bool
}

func (j *replayJob) revertTask(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	src, err := j.inner.src.open(ctx, j.env, j.spec)
	if err != nil {
		return nil, err
	}
	m, err := newMerging(ctx, j.st, j.set.Import.Changes, src.Info().Windows, a.Task.Body, j.set.Import.Indexes, nil)
	if err != nil {
		return nil, err
	}
	defer m.close()
	t := &reverting{j: j, a: a, lines: newLines(ctx, a, "conflicts"), since: "after the window"}
	defer t.lines.abandon()
	if t.reads, err = j.readGovernor(); err != nil {
		return nil, err
	}
	if t.write, err = j.inner.table.gov.write(j.env, j.inner.table.desc, j.set.WriteUnits); err != nil {
		return nil, err
	}
	for _, name := range m.names {
		keys, err := m.ends(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("bucket %s: %w", name, err)
		}
		order := slices.Sorted(maps.Keys(keys))
		for some := range slices.Chunk(order, getKeys) {
			if err := t.some(ctx, some, keys); err != nil {
				return nil, err
			}
		}
	}
	if t.res.Lines, err = t.lines.close(); err != nil {
		return nil, err
	}
	return marshal(&t.res), nil
}

// ends finds what a bucket says of each of its keys.
func (m *merging) ends(ctx context.Context, name string) (map[string]*ends, error) {
	m.frames = map[runAt][]byte{}
	keys := map[string]*ends{}
	err := m.changes(ctx, m.parts[sideChanges][name], func() error {
		for i, mark := range m.marks {
			it := m.b.Item(i)
			var err error
			if m.key, err = m.keys.AppendKey(m.key[:0], it); err != nil {
				return err
			}
			e := keys[string(m.key)]
			if e == nil {
				e = &ends{key: bytes.Clone(it.Raw())}
				keys[string(m.key)] = e
			}
			var image []byte
			if !mark.gone {
				image = bytes.Clone(it.Raw())
			}
			switch {
			case mark.before && (!e.begun || mark.compare(e.first) < 0):
				e.first, e.before, e.begun = mark, image, true
			case !mark.before && mark.compare(e.last) >= 0:
				e.last, e.after = mark, image
			}
		}
		return nil
	})
	return keys, err
}

// some reverts at most getKeys keys.
func (t *reverting) some(ctx context.Context, names []string, all map[string]*ends) error {
	schema := t.j.inner.table.desc.Keys
	var keys, got item.Batch
	build := item.NewBuilder(&keys)
	wanted := make([]item.Item, len(names))
	for n, name := range names {
		it, err := parseItem(all[name].key)
		if err != nil {
			return err
		}
		if err := copyKey(build, schema, it); err != nil {
			return err
		}
		wanted[n] = keys.Item(n)
	}
	for n := range wanted { // the batch may have moved while it grew
		wanted[n] = keys.Item(n)
	}
	units, err := readBack(ctx, t.j.inner, t.reads, wanted, &got)
	if err != nil {
		return err
	}
	found := map[string]item.Item{}
	for i := range got.Rows {
		key, err := schema.AppendKey(nil, got.Item(i))
		if err != nil {
			return err
		}
		found[string(key)] = got.Item(i)
	}
	t.mu.Lock()
	t.res.ReadUnits += units
	t.res.Keys += int64(len(names))
	t.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writersPerTask)
	for n, name := range names {
		group.Go(func() error { return t.one(ctx, wanted[n], all[name], found[name]) })
	}
	return group.Wait()
}

// parseItem makes an item of a line; of none the zero item.
func parseItem(line []byte) (item.Item, error) {
	if line == nil {
		return item.Item{}, nil
	}
	b := item.Batch{Src: item.WithSlack(line)}
	if err := ddbjson.Parse(&b, 0); err != nil {
		return item.Item{}, fault.As(fault.Corrupt, err)
	}
	return b.Item(0), nil
}

// equalItems tells whether two items are, or both are none.
func equalItems(a, b item.Item) bool {
	if a.Tape == nil || b.Tape == nil {
		return a.Tape == nil && b.Tape == nil
	}
	return bytes.Equal(item.AppendCanonical(nil, a), item.AppendCanonical(nil, b))
}

// one reverts a key: where the item is still what the window left, it becomes what it was before.
func (t *reverting) one(ctx context.Context, key item.Item, e *ends, found item.Item) error {
	before, err := parseItem(e.before)
	if err != nil {
		return err
	}
	after, err := parseItem(e.after)
	if err != nil {
		return err
	}
	switch {
	case equalItems(found, before): // by an earlier attempt, or the window came back to where it began
		t.count(func(r *revertResult) { r.Unchanged++ })
		return nil
	case !equalItems(found, after):
		return t.conflict(key, before, after, found, "the item changed "+t.since)
	}
	cond := missing(t.j.inner.table.desc.Keys)
	if after.Tape != nil {
		var ok bool
		if cond, ok = exactly(after, namesBeside(before, after)); !ok {
			cond, ok = versioned(after, t.j.set.Version)
		}
		if !ok {
			return t.conflict(key, before, after, found, "the item has too many attributes for a condition over all of them; --version-attribute names one that tells its versions")
		}
	}
	return t.put(ctx, key, before, after, cond)
}

func (t *reverting) count(add func(*revertResult)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	add(&t.res)
}

func (t *reverting) put(ctx context.Context, key, before, after item.Item, cond condition) error {
	if err := t.a.Look(ctx); err != nil {
		return err
	}
	req := &dynamo.WriteRequest{Table: t.j.inner.at.Host, Item: before, Condition: cond.text, Names: cond.names, Values: cond.values}
	if before.Tape == nil {
		req.Item, req.Delete = key, true
	}
	err := t.write.Do(ctx, item.WriteUnits(item.Size(req.Item)), func(ctx context.Context) (float64, error) {
		reply, err := t.j.inner.table.client.Write(ctx, req)
		units := 0.0
		if reply != nil {
			units = reply.Units
		}
		t.count(func(r *revertResult) { r.Requests++; r.Units += units })
		return units, err
	})
	var refused *dynamo.ConditionError
	switch {
	case err == nil && req.Delete:
		t.count(func(r *revertResult) { r.Deleted++ })
	case err == nil:
		t.count(func(r *revertResult) { r.Restored++ })
	case errors.As(err, &refused):
		found, err := parseItem(refused.Stored)
		if err != nil {
			return err
		}
		if refused.Stored != nil && equalItems(found, before) || refused.Stored == nil && req.Delete { // a first try whose answer was lost
			t.count(func(r *revertResult) { r.Unchanged++ })
			return nil
		}
		return t.conflict(key, before, after, found, "the item changed while it was written")
	case isPoison(err):
		return t.conflict(key, before, after, after, fault.Reason(err))
	default:
		return err
	}
	return nil
}

func (t *reverting) conflict(key, before, after, found item.Item, reason string) error {
	text := func(it item.Item) json.RawMessage {
		if it.Tape == nil {
			return json.RawMessage("null")
		}
		return item.AppendCanonical(nil, it)
	}
	keyJSON, err := t.j.inner.table.desc.Keys.AppendKeyJSON(nil, key)
	if err != nil {
		return err
	}
	t.count(func(r *revertResult) { r.Conflicts++ })
	return t.lines.line(marshal(Conflict{keyJSON, text(before), text(after), text(found), reason}))
}

// reverted sums up.
func (j *replayJob) reverted(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	report := j.report()
	report.Mode = stageRevert
	var files []sink.File
	for i := range c.Plan.Tasks {
		res, err := resultOf[revertResult](ctx, c, i)
		if err != nil {
			return plan.Outcome{}, err
		}
		report.Keys, report.Written, report.Deleted = report.Keys+res.Keys, report.Written+res.Restored, report.Deleted+res.Deleted
		report.Unchanged, report.Conflicts = report.Unchanged+res.Unchanged, report.Conflicts+res.Conflicts
		report.Units, report.Requests, report.ReadUnits = report.Units+res.Units, report.Requests+res.Requests, report.ReadUnits+res.ReadUnits
		if res.Lines != nil {
			res.Lines.Final = fmt.Sprintf("%s-%05d%s", c.Plan.ID, i, ConflictSuffix)
			files = append(files, *res.Lines)
		}
	}
	sum, dead, err := j.spilled(ctx, c)
	if err != nil {
		return plan.Outcome{}, err
	}
	report.Read, report.DeadLetters, report.DeadLetterFiles = sum.Read, sum.DeadLetters, dead
	report.Conflicting, err = publishLines(ctx, c.State, verbReplay, files)
	return plan.Outcome{Report: marshal(report)}, err
}

// spilled is what the round of changes counted and put aside.
func (j *replayJob) spilled(ctx context.Context, c *plan.Committing) (ImportCounts, []string, error) {
	none := *c
	empty := *c.Plan
	empty.Tasks = 0
	none.Plan = &empty
	made, err := j.inner.collect(ctx, &none)
	if err != nil {
		return ImportCounts{}, nil, err
	}
	dead, err := publishDead(ctx, c.State, made.Dead)
	return made.Counts, dead, err
}
