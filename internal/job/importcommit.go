package job

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
)

// Commit goes from stage to stage: index → write → resolve, each only when it is needed.
func (j *importJob) Commit(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	made, err := j.collect(ctx, c)
	if err != nil {
		return plan.Outcome{}, err
	}
	switch j.set.Stage {
	case stageChanges:
		return j.applyRound(ctx, c, made)
	case stageIndex:
		return j.writeRound(ctx, c, made)
	case stageWrite:
		if j.set.Changed != "" {
			return j.mergeRound(ctx, c, made)
		}
		if len(made.Indexes) > 0 {
			return j.resolveRound(ctx, c, made)
		}
	}
	report := ImportReport{Type: "report", Table: j.at.String(), Mode: j.set.Mode, ImportCounts: made.Counts, Steps: len(j.set.Steps), Fingerprint: made.Print}
	if report.DeadLetterFiles, err = publishDead(ctx, c.State, made.Dead); err != nil {
		return plan.Outcome{}, err
	}
	if report.DuplicateFiles, err = publishDead(ctx, c.State, made.Dropped); err != nil {
		return plan.Outcome{}, err
	}
	return plan.Outcome{Report: marshal(report)}, nil
}

// importCarry is what the rounds of an import hand on.
type importCarry struct {
	Counts  ImportCounts `json:"counts"`
	Dead    []sink.File  `json:"dead,omitempty"`
	Dropped []sink.File  `json:"dropped,omitempty"`
	Print   string       `json:"fingerprint,omitempty"` // of the items written
	Indexes []string     `json:"-"`
	Runs    []string     `json:"-"`
	Hashes  []string     `json:"-"`
}

func (j *importJob) collect(ctx context.Context, c *plan.Committing) (*importCarry, error) {
	sum := &importCarry{}
	if j.set.Carry != "" {
		data, _, err := blob.ReadAll(ctx, j.st.Bucket, j.set.Carry, metaBytesMax)
		if err != nil {
			return nil, fmt.Errorf("read what the round before made: %w", err)
		}
		if err := json.Unmarshal(data, sum); err != nil {
			return nil, fault.New(fault.Corrupt, "%s: %w", j.set.Carry, err)
		}
	}
	var total item.Fingerprint
	if sum.Print != "" {
		var err error
		if total, err = item.ParseFingerprint(sum.Print); err != nil {
			return nil, fault.New(fault.Corrupt, "%s: %w", j.set.Carry, err)
		}
	}
	for i := range c.Plan.Tasks {
		res, err := resultOf[importResult](ctx, c, i)
		if err != nil {
			return nil, err
		}
		sum.Counts.add(res.Counts)
		if res.Print != "" {
			print, err := item.ParseFingerprint(res.Print)
			if err != nil {
				return nil, fault.New(fault.Corrupt, "result of task %d: %w", i, err)
			}
			total.Merge(print)
		}
		sum.Hashes = append(sum.Hashes, res.Hashes...)
		sum.Runs = append(sum.Runs, res.Runs...)
		if res.Staged.Index != "" {
			sum.Indexes = append(sum.Indexes, res.Staged.Index)
		}
		if res.Dead != nil {
			res.Dead.Final = fmt.Sprintf("%s-%05d%s", c.Plan.ID, i, source.DeadSuffix)
			sum.Dead = append(sum.Dead, *res.Dead)
		}
		if res.Refused != nil {
			res.Refused.Final = fmt.Sprintf("%s-%05d.refused%s", c.Plan.ID, i, source.DeadSuffix)
			sum.Dead = append(sum.Dead, *res.Refused)
		}
		if res.Dropped != nil {
			res.Dropped.Final = fmt.Sprintf("%s-%05d.duplicates%s", c.Plan.ID, i, source.DeadSuffix)
			sum.Dropped = append(sum.Dropped, *res.Dropped)
		}
	}
	if j.set.Prove {
		sum.Print = total.String()
	}
	return sum, nil
}

func (j *importJob) writeRound(ctx context.Context, c *plan.Committing, made *importCarry) (plan.Outcome, error) {
	filter, err := j.repeated(ctx, made.Runs)
	if err != nil {
		return plan.Outcome{}, err
	}
	settings := j.set
	settings.Stage = stageWrite
	if filter != nil {
		settings.Suspects = j.st.Name("plans", c.Plan.ID, "staged", "commit.suspects")
		if _, err := j.st.Bucket.Put(ctx, settings.Suspects, filter.append(nil), blob.PutOptions{}); err != nil {
			return plan.Outcome{}, fmt.Errorf("stage %s: %w", settings.Suspects, err)
		}
	}
	return plan.Outcome{Next: furtherRound(j.env, c, settings, settings.Tuning,
		func(ctx context.Context) ([]json.RawMessage, error) { return taskBodies(ctx, c.State, c.Plan) })}, nil
}

func (j *importJob) resolveRound(ctx context.Context, c *plan.Committing, made *importCarry) (plan.Outcome, error) {
	settings := j.set
	settings.Stage, settings.Indexes = stageResolve, made.Indexes
	buckets := map[string]bool{}
	for _, name := range made.Indexes {
		index, err := sink.ReadIndex(ctx, j.st.Bucket, name)
		if err != nil {
			return plan.Outcome{}, err
		}
		for _, p := range index.Parts {
			buckets[p.Key] = true
		}
	}
	var tasks []json.RawMessage
	for n := range asideBuckets {
		if key := fmt.Sprintf("%03d", n); buckets[key] {
			tasks = append(tasks, marshal(keyRange{key, key}))
		}
	}
	return j.carryOn(ctx, c, settings, made, tasks)
}

// resolveTask chooses among the items of each key of its bucket and writes the chosen.
func (j *importJob) resolveTask(ctx context.Context, a *plan.Attempt) (*importResult, error) {
	var bucket keyRange
	if err := json.Unmarshal(a.Task.Body, &bucket); err != nil {
		return nil, fault.New(fault.Corrupt, "task %d: %w", a.Task.Index, err)
	}
	t, err := j.newWriting(ctx, a)
	if err != nil {
		return nil, err
	}
	defer t.dead.abandon()
	dropped := newDeadLetters(ctx, a)
	dropped.name = "dropped"
	defer dropped.abandon()
	all, err := j.loadAside(ctx, bucket.First)
	if err != nil {
		return nil, err
	}
	keep, err := j.choose(all, dropped)
	if err != nil {
		return nil, err
	}
	t.counts.Duplicates = dropped.count
	read := func(ctx context.Context, hand handing) error {
		for n := 0; n < len(keep); n += 500 {
			b := t.free()
			b.Reset()
			w := item.NewBuilder(b)
			for _, row := range keep[n:min(n+500, len(keep))] {
				copyItem(w, all.Item(row))
			}
			if err := hand(b, false); err != nil {
				return err
			}
		}
		return nil
	}
	if err := t.run(ctx, read); err != nil {
		return nil, err
	}
	res, err := t.finish()
	if err != nil {
		return nil, err
	}
	res.Dropped, err = dropped.close()
	return res, err
}

func copyItem(w *item.Builder, it item.Item) {
	w.Begin(0)
	for at := 1; at < len(it.Tape); at += 1 + int(it.Tape[at+1].Skip) {
		w.Name(string(it.Text(at)))
		w.Raw(it, at+1)
	}
	w.Finish()
}

// loadAside reads a bucket's items in source order: tasks cut the source in order, and a spill keeps the order within
// a partition.
func (j *importJob) loadAside(ctx context.Context, bucket string) (*item.Batch, error) {
	all := new(item.Batch)
	reader, err := sink.NewRunReader()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	for _, name := range j.set.Indexes {
		index, err := sink.ReadIndex(ctx, j.st.Bucket, name)
		if err != nil {
			return nil, err
		}
		i, found := slices.BinarySearchFunc(index.Parts, bucket, func(p sink.Part, k string) int { return cmp.Compare(p.Key, k) })
		if !found {
			continue
		}
		for _, run := range index.Parts[i].Runs {
			frame, _, err := blob.ReadRange(ctx, j.st.Bucket, index.Object, blob.ReadOptions{Offset: run.Offset, Length: run.Length}, run.Length)
			if err != nil {
				return nil, err
			}
			if all.Src, err = reader.Decode(all.Src, frame, run); err != nil {
				return nil, err
			}
		}
	}
	all.Src = item.WithSlack(all.Src)
	_, err = ddbjson.ParseLines(all, ddbjson.Bare, true, nil)
	return all, err
}

// choose returns the rows to write, in source order, and names what they win against.
func (j *importJob) choose(all *item.Batch, dropped *deadLetters) ([]int, error) {
	winner := map[string]int{}
	var key []byte
	var err error
	lose := func(row int, key []byte) error {
		text := strings.ToValidUTF8(string(key), "?")
		if json, err := j.table.desc.Keys.AppendKeyJSON(nil, all.Item(row)); err == nil {
			text = string(json)
		}
		return dropped.item(all, row, all.Item(row), fmt.Errorf("another item of the input has the key %s; %s", text, j.rule()))
	}
	for row := range all.Rows {
		if key, err = j.table.desc.Keys.AppendKey(key[:0], all.Item(row)); err != nil {
			return nil, err
		}
		before, repeated := winner[string(key)]
		if !repeated {
			winner[string(key)] = row
			continue
		}
		loser := before
		if j.beats(all.Item(row), all.Item(before)) {
			winner[string(key)] = row
		} else {
			loser = row
		}
		if err := lose(loser, key); err != nil {
			return nil, err
		}
	}
	keep := make([]int, 0, len(winner))
	for _, row := range winner {
		keep = append(keep, row)
	}
	slices.Sort(keep)
	return keep, nil
}

func (j *importJob) rule() string {
	if j.set.Dedupe == "newest" {
		return "the one with the greatest " + j.set.Newest + " was taken"
	}
	return "the " + j.set.Dedupe + " in source order was taken"
}

// beats tells whether a later item wins against an earlier one.
func (j *importJob) beats(later, earlier item.Item) bool {
	switch j.set.Dedupe {
	case "first":
		return false
	case "last":
		return true
	}
	a, okA := later.Get(j.set.Newest)
	b, okB := earlier.Get(j.set.Newest)
	switch {
	case !okA:
		return false
	case !okB:
		return true
	}
	order, comparable := compare(later, a, earlier, b)
	return !comparable || order >= 0 // of equals, and of what cannot be compared, the last
}

// compare orders two scalar values of one type as DynamoDB does: S and B by bytes, N by value.
func compare(x item.Item, a int, y item.Item, b int) (order int, ok bool) {
	if x.Tape[a].Type != y.Tape[b].Type {
		return 0, false
	}
	switch x.Tape[a].Type {
	case item.S:
		return bytes.Compare(x.Text(a), y.Text(b)), true
	case item.B:
		return bytes.Compare(x.Bytes(a, nil), y.Bytes(b, nil)), true
	case item.N:
		m, errM := item.ParseDecimal(x.Text(a))
		n, errN := item.ParseDecimal(y.Text(b))
		return m.Compare(n), errM == nil && errN == nil
	}
	return 0, false
}
