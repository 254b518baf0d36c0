package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/column"
	"dynaferry/internal/commit"
	"dynaferry/internal/dataset"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/world"
)

// StateRecord describes a state root; a PlanRecord for each of its plans follows.
type StateRecord struct {
	Type    string `json:"type"` // "state"
	Address string `json:"address"`
	Plans   int    `json:"plans"`
}

// PlanRecord describes a plan and how far it is.
type PlanRecord struct {
	Type     string          `json:"type"` // "plan-state"
	ID       string          `json:"id"`
	Verb     string          `json:"verb"`
	State    string          `json:"state"` // open, committed, superseded, abandoned
	Round    int             `json:"round"`
	Parent   string          `json:"parent,omitempty"`
	Next     string          `json:"next,omitempty"` // the second round that goes on
	Created  time.Time       `json:"created"`
	Writer   string          `json:"writer"`
	Tasks    int             `json:"tasks"`
	Done     int             `json:"done"`
	Reopened int             `json:"reopened,omitempty"` // tasks whose result failed its check once
	Source   json.RawMessage `json:"source"`
	Settings json.RawMessage `json:"settings"`
	Tuning   json.RawMessage `json:"tuning,omitempty"` // budgets; whoever goes on may choose others
	Told     bool            `json:"told,omitempty"`   // how it ended was shown
	Report   json.RawMessage `json:"report,omitempty"`
}

// TaskRecord is one task of a plan.
type TaskRecord struct {
	Type       string          `json:"type"` // "task"
	Index      int             `json:"index"`
	State      string          `json:"state"` // done or open
	Generation int             `json:"generation"`
	Attempt    string          `json:"attempt,omitempty"`
	Reopened   string          `json:"reopened,omitempty"` // why the generation before did not count
	Error      string          `json:"error,omitempty"`    // a result that cannot be read
	Poison     string          `json:"poison,omitempty"`   // why the last attempt of an open task failed for good
	Task       json.RawMessage `json:"task"`
	Result     json.RawMessage `json:"result,omitempty"`
}

// CommitRecord is a commit object: an envelope around a decision.
type CommitRecord struct {
	Type    string          `json:"type"` // "commit-object"
	Address string          `json:"address"`
	Format  string          `json:"format"`
	WriteID string          `json:"writeId"`
	CRC32C  string          `json:"crc32c"`
	Sound   bool            `json:"sound"` // checksum and format hold
	Problem string          `json:"problem,omitempty"`
	Body    json.RawMessage `json:"body"`
}

// StagedRecord is an object that an attempt staged beside its data.
type StagedRecord struct {
	Type       string `json:"type"` // "staged"
	Address    string `json:"address"`
	Kind       string `json:"kind"`
	Bytes      int64  `json:"bytes"`
	Items      int64  `json:"items,omitempty"`
	Names      int    `json:"names,omitempty"`     // stats: distinct attributes
	RowGroups  int    `json:"rowGroups,omitempty"` // meta: of the data part it describes
	Partitions int    `json:"partitions,omitempty"`
	Runs       int    `json:"runs,omitempty"`
	Note       string `json:"note,omitempty"`
}

// isEnvelope tells a commit object by its beginning.
func isEnvelope(head []byte) bool {
	return bytes.HasPrefix(head, []byte(`{"format":"dynaferry-commit/`))
}

// plan describes the plan at the address, <state root>/plans/<id>; found is false when none is there.
func (i *inspection) plan(id string) (found bool, err error) {
	root := i.at
	root.Path = path.Dir(path.Dir(strings.TrimSuffix(strings.ReplaceAll(i.at.Path, `\`, "/"), "/")))
	if root.Path == "." {
		root.Path = ""
	}
	st, err := i.stateAt(root)
	if err != nil {
		return false, err
	}
	r, p, err := i.planRecord(st, id)
	if errors.Is(err, blob.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := i.emit(r); err != nil {
		return true, err
	}
	return true, i.tasks(st, p)
}

// stateAt opens a state root to read from, with the names that its plan uses.
func (i *inspection) stateAt(root world.Address) (plan.State, error) {
	below := ""
	if root.Scheme == world.File && path.Base(root.Path) == dataset.Hidden {
		root.Path, below = path.Dir(root.Path), dataset.Hidden
	}
	loc, err := i.env.World.Existing(i.ctx, root)
	if err != nil {
		return plan.State{}, err
	}
	return plan.State{Bucket: loc.Bucket, Prefix: path.Join(loc.Prefix, below)}, nil
}

func (i *inspection) planRecord(st plan.State, id string) (PlanRecord, *plan.Plan, error) {
	p, err := plan.Load(i.ctx, st, id)
	if err != nil {
		return PlanRecord{}, nil, err
	}
	r := PlanRecord{Type: "plan-state", ID: p.ID, Verb: p.Verb, State: "open", Round: p.Round, Parent: p.Parent,
		Created: p.Created, Writer: p.Writer, Tasks: p.Tasks, Source: p.Source, Settings: p.Settings}
	end, ended, err := plan.Ending(i.ctx, st, p)
	if err != nil {
		return r, p, err
	}
	if p.Format > 1 {
		r.Tuning = p.Tuning
	}
	if ended {
		r.State, r.Next, r.Report = end.State, end.Next, end.Report
		if r.Told, err = plan.Told(i.ctx, st, p); err != nil {
			return r, p, err
		}
	}
	results, err := plan.ListResults(i.ctx, st, p)
	if err != nil {
		return r, p, err
	}
	r.Done = p.Tasks - len(results.Pending())
	for n := range p.Tasks {
		if results.Generation(n) > 0 {
			r.Reopened++
		}
	}
	return r, p, nil
}

func (i *inspection) tasks(st plan.State, p *plan.Plan) error {
	tasks, err := plan.Tasks(i.ctx, st, p)
	if err != nil {
		return err
	}
	results, err := plan.ListResults(i.ctx, st, p)
	if err != nil {
		return err
	}
	notes, err := results.Poisoned(i.ctx)
	if err != nil {
		return err
	}
	for n, t := range tasks {
		r := TaskRecord{Type: "task", Index: n, State: "open", Generation: results.Generation(n), Task: t.Body}
		if r.Generation > 0 {
			if r.Reopened, err = reopenedWhy(i, st, p, n, r.Generation); err != nil {
				return err
			}
		}
		if results.Done(n) {
			r.State = "done"
			res, err := results.Result(i.ctx, n)
			switch {
			case fault.KindOf(err) == fault.Corrupt:
				r.Error = err.Error()
			case err != nil:
				return err
			}
			r.Attempt, r.Result = res.Attempt, res.Body
		}
		if notes[n] != "" {
			poison, err := plan.ReadPoison(i.ctx, st, notes[n])
			if err != nil {
				return err
			}
			r.Poison = poison.Message
		}
		if err := i.emit(r); err != nil {
			return err
		}
	}
	return nil
}

// reopenedWhy is the reason that the commit gave for asking for another generation.
func reopenedWhy(i *inspection, st plan.State, p *plan.Plan, index, generation int) (string, error) {
	name := st.Name("plans", p.ID, "reopened", fmt.Sprintf("%d.%d", index, generation))
	body, err := commit.Read(i.ctx, st.Bucket, name)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	var why struct {
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(body, &why); err != nil {
		return "", fault.New(fault.Corrupt, "%s: %w", name, err)
	}
	return why.Reason, nil
}

// commitObject shows an envelope, also one that is damaged: that is when people look.
func (i *inspection) commitObject(info blob.Info) error {
	data, _, err := blob.ReadAll(i.ctx, i.loc.Bucket, info.Name, commit.SizeMax)
	if err != nil {
		return err
	}
	r := CommitRecord{Type: "commit-object", Address: i.at.String(), Sound: true}
	var envelope struct {
		Format  string          `json:"format"`
		WriteID string          `json:"writeId"`
		CRC32C  string          `json:"crc32c"`
		Body    json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(data, &envelope); err != nil {
		return fault.New(fault.Corrupt, "%s is cut or damaged: %w", i.at, err)
	}
	r.Format, r.WriteID, r.CRC32C, r.Body = envelope.Format, envelope.WriteID, envelope.CRC32C, envelope.Body
	_, broken := commit.Read(i.ctx, i.loc.Bucket, info.Name)
	if broken != nil {
		r.Sound, r.Problem = false, broken.Error()
	}
	if err := i.emit(r); err != nil {
		return err
	}
	return broken
}

// staged shows what an attempt left beside its data, by the last part of its name.
func (i *inspection) staged(info blob.Info) error {
	base := path.Base(info.Name)
	r := StagedRecord{Type: "staged", Address: i.at.String(), Kind: strings.TrimPrefix(path.Ext(base), "."), Bytes: info.Size}
	var err error
	switch r.Kind {
	case "stats":
		err = i.stagedStats(info, &r)
	case "meta":
		err = i.stagedMeta(info, &r)
	case "index":
		err = i.stagedIndex(info, &r)
	case "buckets":
		err = i.stagedBuckets(info, &r)
	case "columns":
		r.Note = "the data part of a Parquet file; the commit writes its footer"
	case "end":
		r.Note = "what a file of the data set ends with under a wider schema"
	case "rows", "dead", "dropped":
		r.Note = "lines as they will be published"
	case "spill":
		r.Note = "runs of items by partition; the index beside it tells where each lies"
	case "keys":
		r.Note = "sorted hashes of keys"
	default:
		return i.source()
	}
	if err != nil {
		return fault.At(err, fault.Place{File: i.at.String()})
	}
	return i.emit(r)
}

func (i *inspection) stagedStats(info blob.Info, r *StagedRecord) error {
	data, _, err := blob.ReadAll(i.ctx, i.loc.Bucket, info.Name, statsBytesMax)
	if err != nil {
		return err
	}
	var s column.Stats
	if err := s.UnmarshalBinary(data); err != nil {
		return err
	}
	r.Items, r.Names, r.Note = int64(s.Items()), s.Names(), "counts of types by attribute, for the schema"
	return nil
}

func (i *inspection) stagedMeta(info blob.Info, r *StagedRecord) error {
	data, _, err := blob.ReadAll(i.ctx, i.loc.Bucket, info.Name, metaBytesMax)
	if err != nil {
		return err
	}
	var m parquet.FileMeta
	if err := m.UnmarshalBinary(data); err != nil {
		return err
	}
	r.Items, r.RowGroups, r.Note = m.Rows, len(m.Groups), "where the pages of a data part lie"
	return nil
}

func (i *inspection) stagedIndex(info blob.Info, r *StagedRecord) error {
	index, err := sink.ReadIndex(i.ctx, i.loc.Bucket, info.Name)
	if err != nil {
		return err
	}
	r.Partitions, r.Note = len(index.Parts), "where the runs of "+path.Base(index.Object)+" lie"
	for _, p := range index.Parts {
		r.Runs += len(p.Runs)
		for _, run := range p.Runs {
			r.Items += run.Items
		}
	}
	return nil
}

func (i *inspection) stagedBuckets(info blob.Info, r *StagedRecord) error {
	data, _, err := blob.ReadAll(i.ctx, i.loc.Bucket, info.Name, metaBytesMax)
	if err != nil {
		return err
	}
	b, err := item.ParseBuckets(string(data))
	if err != nil {
		return fault.As(fault.Corrupt, err)
	}
	r.Items, r.Partitions, r.Note = int64(b.Sum().Count), len(b), "fingerprints by bucket of keys"
	return nil
}
