package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
)

// ReplayReport is what a finished replay says.
type ReplayReport struct {
	Type  string `json:"type"` // "replay"
	Log   string `json:"log"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	Table string `json:"table"`
	Mode  string `json:"mode"` // of an import, or revert
	Keys  int64  `json:"keys"` // that the window touched
	ImportCounts
	// Proof is equal when every key that was read back is what the log says of it; Fingerprint and Found are the sums over the items.
	Proof       string   `json:"proof,omitempty"`
	Fingerprint string   `json:"fingerprint,omitempty"`
	Found       string   `json:"tableFingerprint,omitempty"`
	Differ      int64    `json:"differ,omitempty"`
	Newer       int64    `json:"newer,omitempty"` // of these, with --newer, those whose version in the table is above the log's
	Differences []string `json:"differenceFiles,omitempty"`
	// Of a revert.
	Unchanged   int64    `json:"unchanged,omitempty"` // are as before the window already
	Conflicts   int64    `json:"conflicts,omitempty"`
	Conflicting []string `json:"conflictFiles,omitempty"`

	DeadLetterFiles []string `json:"deadLetterFiles,omitempty"`
	ReadUnits       float64  `json:"readUnits,omitempty"`
}

// proved is the result of a task that reads keys back.
type proved struct {
	Keys   int64      `json:"keys"`
	Want   string     `json:"want"`
	Found  string     `json:"found"`
	Differ int64      `json:"differ"`
	Newer  int64      `json:"newer,omitempty"`
	Units  float64    `json:"units"`
	Lines  *sink.File `json:"lines,omitempty"`
}

// getKeys is how many keys BatchGetItem takes.
const getKeys = 100

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// proving reads a bucket's keys back and compares.
type proving struct {
	j      *replayJob
	gov    *dynamo.Governor
	lines  *deadLetters
	res    proved
	want   item.Fingerprint
	found  item.Fingerprint
	hasher item.Hasher
	keys   item.Batch
	got    item.Batch
}

func (j *replayJob) proveTask(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	gov, err := j.readGovernor()
	if err != nil {
		return nil, err
	}
	src, err := j.inner.src.open(ctx, j.env, j.spec)
	if err != nil {
		return nil, err
	}
	m, err := newMerging(ctx, j.st, j.set.Import.Changes, src.Info().Windows, a.Task.Body, j.set.Indexes, nil)
	if err != nil {
		return nil, err
	}
	defer m.close()
	p := &proving{j: j, gov: gov, lines: newLines(ctx, a, "differences")}
	defer p.lines.abandon()
	take := func(gone bool) func(b *item.Batch) error {
		return func(b *item.Batch) error {
			a.Meter.Note("keys read back", float64(b.Len()))
			for n := 0; n < b.Len(); n += getKeys {
				if err := p.compare(ctx, b, n, min(n+getKeys, b.Len()), gone); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if err := m.run(ctx, take(false), take(true), nil); err != nil {
		return nil, err
	}
	p.res.Want, p.res.Found = p.want.String(), p.found.String()
	if p.res.Lines, err = p.lines.close(); err != nil {
		return nil, err
	}
	return marshal(p.res), nil
}

// readGovernor keeps reads of the table below their budget.
func (j *replayJob) readGovernor() (*dynamo.Governor, error) {
	j.reads.once.Do(func() {
		j.reads.gov, j.reads.err = newGovernor(j.env, j.inner.table.desc, j.set.ReadUnits, dynamo.Read)
	})
	return j.reads.gov, j.reads.err
}

// compare reads the keys of rows [from, to) and holds what is found against them.
func (p *proving) compare(ctx context.Context, b *item.Batch, from, to int, gone bool) error {
	schema := p.j.inner.table.desc.Keys
	units, err := p.read(ctx, b, from, to)
	if err != nil {
		return err
	}
	p.res.Units += units
	found := map[string]int{}
	for i := range p.got.Rows {
		key, err := schema.AppendKey(nil, p.got.Item(i))
		if err != nil {
			return err
		}
		found[string(key)] = i
		p.found.Add(p.hasher.Item(p.got.Item(i)))
	}
	var key []byte
	for i := from; i < to; i++ {
		it := b.Item(i)
		if key, err = schema.AppendKey(key[:0], it); err != nil {
			return err
		}
		p.res.Keys++
		at, there := found[string(key)]
		if !gone {
			p.want.Add(p.hasher.Item(it))
		}
		if !gone && there && p.hasher.Item(p.got.Item(at)) == p.hasher.Item(it) || gone && !there {
			continue
		}
		d := Difference{A: json.RawMessage("null"), B: json.RawMessage("null")}
		if d.Key, err = schema.AppendKeyJSON(nil, it); err != nil {
			return err
		}
		if !gone {
			d.A = item.AppendCanonical(nil, it)
		}
		if there {
			d.B = item.AppendCanonical(nil, p.got.Item(at))
			p.newer(p.got.Item(at), it)
		}
		p.res.Differ++
		if err := p.lines.line(marshal(d)); err != nil {
			return err
		}
	}
	return nil
}

// newer counts an item that --newer has rightly left alone.
func (p *proving) newer(found, it item.Item) {
	version := p.j.set.Import.Version
	x, ok := found.Get(version)
	y, has := it.Get(version)
	if version == "" || !ok || !has {
		return
	}
	if order, comparable := compare(found, x, it, y); comparable && order >= 0 {
		p.res.Newer++
	}
}

// read gets rows [from, to) by their keys into p.got.
func (p *proving) read(ctx context.Context, b *item.Batch, from, to int) (float64, error) {
	p.keys.Reset()
	build := item.NewBuilder(&p.keys)
	for i := from; i < to; i++ {
		if err := copyKey(build, p.j.inner.table.desc.Keys, b.Item(i)); err != nil {
			return 0, err
		}
	}
	keys := make([]item.Item, p.keys.Len())
	for i := range keys {
		keys[i] = p.keys.Item(i)
	}
	return readBack(ctx, p.j.inner, p.gov, keys, &p.got)
}

// copyKey builds the key of an item.
func copyKey(w *item.Builder, schema item.KeySchema, it item.Item) error {
	w.Begin(0)
	for _, attr := range schema.Attrs() {
		at, ok := it.Get(attr.Name)
		if !ok {
			w.Abort()
			return fault.New(fault.User, "an item without the key attribute %s", attr.Name)
		}
		w.Name(attr.Name)
		w.Raw(it, at)
	}
	w.Finish()
	return nil
}

// proven sums up.
func (j *replayJob) proven(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	report := j.report()
	l := j.set.Loaded
	report.ImportCounts, report.Mode, report.DeadLetterFiles = l.ImportCounts, l.Mode, l.DeadLetterFiles
	var want, found item.Fingerprint
	var files []sink.File
	for i := range c.Plan.Tasks {
		p, err := resultOf[proved](ctx, c, i)
		if err != nil {
			return plan.Outcome{}, err
		}
		for _, of := range []struct {
			text string
			sum  *item.Fingerprint
		}{{p.Want, &want}, {p.Found, &found}} {
			print, err := item.ParseFingerprint(of.text)
			if err != nil {
				return plan.Outcome{}, fault.New(fault.Corrupt, "result of task %d: %w", i, err)
			}
			of.sum.Merge(print)
		}
		report.Keys, report.Differ, report.Newer, report.ReadUnits = report.Keys+p.Keys, report.Differ+p.Differ, report.Newer+p.Newer, report.ReadUnits+p.Units
		if p.Lines != nil {
			p.Lines.Final = fmt.Sprintf("%s-%05d%s", c.Plan.ID, i, source.DifferencesSuffix)
			files = append(files, *p.Lines)
		}
	}
	report.Fingerprint, report.Found = want.String(), found.String()
	if report.Proof = ProofEqual; report.Differ > 0 {
		report.Proof = ProofDiffers
	}
	var err error
	report.Differences, err = publishLines(ctx, c.State, verbReplay, files)
	return plan.Outcome{Report: marshal(report)}, err
}

func (j *replayJob) report() *ReplayReport {
	l := j.spec.Log
	return &ReplayReport{Type: verbReplay, Log: j.spec.Address, From: l.FromText, To: l.ToText, Table: j.inner.at.String()}
}
