package job

import (
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

// VerifyReport is what verify says.
type VerifyReport struct {
	Type         string       `json:"type"` // "report"
	Equal        bool         `json:"equal"`
	A            string       `json:"a"`
	B            string       `json:"b"`
	Items        [2]int64     `json:"items"`
	Fingerprints [2]string    `json:"fingerprints"`
	Rejects      [2]int64     `json:"rejects,omitzero"`
	Units        float64      `json:"readUnits,omitempty"`
	OnlyA        int64        `json:"onlyA,omitempty"`
	OnlyB        int64        `json:"onlyB,omitempty"`
	Changed      int64        `json:"changed,omitempty"`        // same key, different items
	Moving       int64        `json:"changedDuring,omitempty"`  // keys of a live table that changed while it was read
	Differences  []Difference `json:"differences,omitempty"`    // at most the limit asked for
	All          string       `json:"allDifferences,omitempty"` // file with every difference, a line each
	Unlocated    bool         `json:"unlocated,omitempty"`      // keys unknown: the difference could not be located
}

// whole tells whether both sides were read whole. A record that could not be read is one that the other side may not have,
// so nothing is equal to it.
func (r *VerifyReport) whole() bool { return r.Rejects == [2]int64{} }

// Difference is one key whose items differ; a side without item is null. Items and keys are canonical DynamoDB JSON.
type Difference struct {
	Key    json.RawMessage `json:"key"`
	A      json.RawMessage `json:"a"`
	B      json.RawMessage `json:"b"`
	During bool            `json:"changedDuring,omitempty"`
}

// Commit compares the sums; where they differ it asks for the second round, and there finds the keys.
func (j *verifyJob) Commit(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	if j.set.Stage == stageLocate {
		return j.locate(ctx, c)
	}
	report := j.newReport()
	made, err := j.readCarry(ctx)
	if err != nil {
		return plan.Outcome{}, err
	}
	if err := j.results(ctx, c, report, made.collect); err != nil {
		return plan.Outcome{}, err
	}
	made.count(report)
	if j.set.Overlay != nil && j.set.Stage != stageMerge {
		return j.overlayRound(ctx, c, made)
	}
	sums := [2]item.Buckets{make(item.Buckets, j.set.Buckets), make(item.Buckets, j.set.Buckets)}
	for side, names := range made.Sums {
		for _, name := range names {
			data, _, err := blob.ReadAll(ctx, j.st.Bucket, name, 64<<20)
			if err != nil {
				return plan.Outcome{}, err
			}
			b, err := item.ParseBuckets(string(data))
			if err != nil {
				return plan.Outcome{}, fault.New(fault.Corrupt, "%s: %w", name, err)
			}
			if err := sums[side].Merge(b); err != nil {
				return plan.Outcome{}, err
			}
		}
	}
	for side := range sums {
		total := sums[side].Sum()
		report.Items[side], report.Fingerprints[side] = int64(total.Count), total.String()
	}
	same := report.Fingerprints[0] == report.Fingerprints[1]
	report.Equal = same && report.whole()
	differ := sums[0].Differ(sums[1])
	if len(differ) == 0 || j.set.Keys == nil {
		report.Unlocated = !same
		return plan.Outcome{Report: marshal(report)}, nil
	}
	settings := j.set
	settings.Stage, settings.Differ = stageLocate, differ
	return plan.Outcome{Report: marshal(report), Next: furtherRound(j.env, c, settings, settings.Tuning,
		func(ctx context.Context) ([]json.RawMessage, error) { return made.allTasks(ctx, c) })}, nil
}

func (j *verifyJob) newReport() *VerifyReport {
	return &VerifyReport{Type: "report", A: j.sides[0].Address, B: j.sides[1].Address}
}

func taskBodies(ctx context.Context, st plan.State, p *plan.Plan) ([]json.RawMessage, error) {
	tasks, err := plan.Tasks(ctx, st, p)
	bodies := make([]json.RawMessage, len(tasks))
	for i, t := range tasks {
		bodies[i] = t.Body
	}
	return bodies, err
}

func (j *verifyJob) results(ctx context.Context, c *plan.Committing, report *VerifyReport, each func(*verifyResult) error) error {
	for i := range c.Plan.Tasks {
		r, err := c.Results.Result(ctx, i)
		if err != nil {
			return err
		}
		var res verifyResult
		if err := json.Unmarshal(r.Body, &res); err != nil || res.Side < 0 || res.Side > 1 {
			return fault.New(fault.Corrupt, "result of task %d is none of verify's", i)
		}
		report.Rejects[res.Side] += res.Rejects
		report.Units += res.Units
		if err := each(&res); err != nil {
			return err
		}
	}
	return nil
}

// locate compares the items of the differing buckets key by key, one bucket in memory at a time.
func (j *verifyJob) locate(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	report, err := j.firstReport(ctx, c)
	if err != nil {
		return plan.Outcome{}, err
	}
	var indexes [2][]*sink.Index
	err = j.results(ctx, c, &VerifyReport{}, func(res *verifyResult) error {
		index, err := sink.ReadIndex(ctx, j.st.Bucket, res.Staged.Index)
		indexes[res.Side] = append(indexes[res.Side], index)
		return err
	})
	if err != nil {
		return plan.Outcome{}, err
	}
	w := &differ{ctx: ctx, job: j, report: report}
	if w.reader, err = sink.NewRunReader(); err != nil {
		return plan.Outcome{}, err
	}
	defer w.reader.Close()
	name := c.State.Name("verify", c.Plan.ID+source.DifferencesSuffix)
	w.out = blob.NewWriter(ctx, c.State.Bucket, name, blob.WriterOptions{Flight: 1})
	defer w.out.Close()
	for _, n := range j.set.Differ {
		if err := w.bucket(fmt.Sprintf("%08d", n), indexes); err != nil {
			return plan.Outcome{}, err
		}
	}
	if _, err := w.out.Finish(); err != nil {
		return plan.Outcome{}, fmt.Errorf("write the differences: %w", err)
	}
	report.All = strings.TrimSuffix(c.State.Bucket.URL(), "/") + "/" + name
	report.Equal = report.OnlyA+report.OnlyB+report.Changed == 0 && report.whole()
	return plan.Outcome{Report: marshal(report)}, nil
}

func (j *verifyJob) firstReport(ctx context.Context, c *plan.Committing) (*VerifyReport, error) {
	parent, err := plan.Load(ctx, c.State, c.Plan.Parent)
	if err != nil {
		return nil, err
	}
	end, ended, err := plan.Ending(ctx, c.State, parent)
	if err != nil {
		return nil, err
	}
	report := j.newReport()
	if !ended {
		// The parent's commit object follows this plan's creation; another process may be ahead of it.
		return nil, fault.New(fault.Unavailable, "plan %s is not committed yet", parent.ID)
	}
	if err := json.Unmarshal(end.Report, report); err != nil {
		return nil, fault.New(fault.Corrupt, "report of plan %s: %w", parent.ID, err)
	}
	return report, nil
}

// differ compares buckets and writes differences.
type differ struct {
	ctx    context.Context
	job    *verifyJob
	report *VerifyReport
	reader *sink.RunReader
	out    *blob.Writer
}

// kept is one item of a bucket in canonical form, for sorting and comparing.
type kept struct{ key, item string }

func (d *differ) bucket(key string, indexes [2][]*sink.Index) error {
	var sides [2][]kept
	for side := range indexes {
		for _, index := range indexes[side] {
			i, found := slices.BinarySearchFunc(index.Parts, key, func(p sink.Part, k string) int { return cmp.Compare(p.Key, k) })
			if !found {
				continue
			}
			for _, run := range index.Parts[i].Runs {
				if err := d.load(&sides[side], index.Object, run); err != nil {
					return err
				}
			}
		}
		slices.SortFunc(sides[side], func(a, b kept) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.item, b.item)) })
	}
	return d.merge(sides[0], sides[1])
}

func (d *differ) load(into *[]kept, object string, run sink.Run) error {
	frame, _, err := blob.ReadRange(d.ctx, d.job.st.Bucket, object, blob.ReadOptions{Offset: run.Offset, Length: run.Length}, run.Length)
	if err != nil {
		return err
	}
	var b item.Batch
	if b.Src, err = d.reader.Decode(nil, frame, run); err != nil {
		return err
	}
	b.Src = item.WithSlack(b.Src)
	if _, err := ddbjson.ParseLines(&b, ddbjson.Bare, true, nil); err != nil {
		return err
	}
	for i := range b.Rows {
		it := b.Item(i)
		key, err := d.job.set.Keys.AppendKeyJSON(nil, it)
		if err != nil {
			return err
		}
		*into = append(*into, kept{string(key), string(item.AppendCanonical(nil, it))})
	}
	return nil
}

// merge walks both sorted sides. Equal pairs drop out one by one, so a key that one side holds twice is a difference.
func (d *differ) merge(a, b []kept) error {
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].key < b[0].key:
			if err := d.found(a[0].key, a[0].item, ""); err != nil {
				return err
			}
			a = a[1:]
		case len(a) == 0 || b[0].key < a[0].key:
			if err := d.found(b[0].key, "", b[0].item); err != nil {
				return err
			}
			b = b[1:]
		default:
			if a[0].item != b[0].item {
				if err := d.found(a[0].key, a[0].item, b[0].item); err != nil {
					return err
				}
			}
			a, b = a[1:], b[1:]
		}
	}
	return nil
}

func (d *differ) found(key, a, b string) error {
	diff := Difference{Key: json.RawMessage(key), A: orNull(a), B: orNull(b)}
	var err error
	if diff.During, err = d.moved(key, a, b); err != nil {
		return err
	}
	switch {
	case diff.During:
		d.report.Moving++
	case a == "":
		d.report.OnlyB++
	case b == "":
		d.report.OnlyA++
	default:
		d.report.Changed++
	}
	if len(d.report.Differences) < d.job.set.Limit {
		d.report.Differences = append(d.report.Differences, diff)
	}
	line := marshal(diff)
	_, err = d.out.Write(append(line, '\n'))
	return err
}

func orNull(item string) json.RawMessage {
	if item == "" {
		return json.RawMessage("null")
	}
	return json.RawMessage(item)
}

// moved asks a live table once more, consistently: a key whose item is another now than the scan saw changed during
// the read, and says nothing about the two sides being unequal.
func (d *differ) moved(key, a, b string) (bool, error) {
	seen := [2]string{a, b}
	for side := range seen {
		src, err := d.job.src[side].open(d.ctx, d.job.env, d.job.sides[side])
		if err != nil {
			return false, err
		}
		if src.Info().Kind != source.KindTable {
			continue
		}
		now, err := d.now(src, side, key)
		if err != nil {
			return false, err
		}
		if now != seen[side] {
			return true, nil
		}
	}
	return false, nil
}

func (d *differ) now(src source.Source, side int, key string) (string, error) {
	var keys, b item.Batch
	keys.Src = item.WithSlack([]byte(key))
	if err := ddbjson.Parse(&keys, 0); err != nil {
		return "", fault.New(fault.Bug, "key %s: %w", key, err)
	}
	at := src.Address()
	client, err := d.job.env.World.Client(d.ctx, at)
	if err != nil {
		return "", err
	}
	var o source.ReadOptions
	if err := d.job.gov[side].read(d.ctx, d.job.env, src, d.job.set.ReadUnits, &o, nil); err != nil {
		return "", err
	}
	err = o.Governor.Do(d.ctx, 1, func(ctx context.Context) (float64, error) {
		page, err := client.Get(ctx, at.Host, []item.Item{keys.Item(0)}, &b)
		if err != nil {
			return 0, err
		}
		return page.Units, nil
	})
	if err != nil {
		return "", fmt.Errorf("read %s again: %w", key, err)
	}
	if b.Len() == 0 {
		return "", nil
	}
	return string(item.AppendCanonical(nil, b.Item(0))), nil
}
