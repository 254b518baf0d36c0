package job

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/column"
	"dynaferry/internal/commit"
	"dynaferry/internal/dataset"
	"dynaferry/internal/fault"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
)

// Every file of a data set carries the whole schema, since some readers look at one file only. So a run that brings new
// columns gives the files that stay a new end: tasks of a further round stage the ends, and the commit publishes each file's data
// with its end in place of the old file, from where that is set aside.

// widened is a file of the data set for which a task has staged another end.
type widened struct {
	From   string `json:"from"`   // its name in the data set
	Keep   int64  `json:"keep"`   // how many of its first bytes stay
	End    string `json:"end"`    // object with what follows them then
	Size   int64  `json:"size"`   // of that object
	Schema string `json:"schema"` // sum of the schema that it has then
}

// widenTask is a task of such files.
type widenTask struct {
	Widen []widenUnit `json:"widen"`
}

type widenUnit struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

const (
	// widenFilesMax is how many files a task takes: some seconds of small requests.
	widenFilesMax = 32
	// wideners is how many of them at once: each is a handful of requests, and a footer in memory.
	wideners = 4
	// widenBlockBytes is what is read of a file at least: most footers lie in one such block.
	widenBlockBytes = 64 << 10
)

// sumOf tells schemas apart.
func sumOf(schema *column.Schema) string {
	sum := sha256.Sum256(schema.AppendJSON(nil))
	return hex.EncodeToString(sum[:8])
}

// mayWiden is how many files would get a new end if the items had attributes without a column.
func (j *copyJob) mayWiden(ctx context.Context) (int, error) {
	if !j.adds() || j.set.OnNew != "evolve" && len(j.set.Pinned) == 0 {
		return 0, nil
	}
	set, err := dataset.Load(ctx, j.dest.Bucket, j.dest.Prefix)
	if err != nil {
		return 0, err
	}
	return len(set.Files), nil
}

// adds tells whether the job adds columns to those of an existing data set.
func (j *copyJob) adds() bool {
	return j.set.Form == source.Parquet && (j.set.Into == IntoAppend || j.set.Into == IntoReplacePartitions)
}

// baseOf is the schema of the data set that this job adds to, nil when there is none.
func (j *copyJob) baseOf(set *dataset.Set) (*column.Schema, error) {
	if !j.adds() || set.Last == nil || len(set.Last.Schema) == 0 {
		return nil, nil
	}
	return column.ParseSchema(set.Last.Schema)
}

// toWiden are the files that stay and lack columns of the schema: all that stay, when it has more than the data set's had.
func (j *copyJob) toWiden(set *dataset.Set, schema *column.Schema, touched map[string]bool) ([]dataset.File, error) {
	base, err := j.baseOf(set)
	if err != nil || base == nil || len(base.Leaves()) == len(schema.Leaves()) {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(set.Files), func(f dataset.File) bool { return j.replaces(f, touched) }), nil
}

// replaces tells whether a file of the data set goes, given the partitions that new items are in.
func (j *copyJob) replaces(f dataset.File, touched map[string]bool) bool {
	return j.set.Into == IntoReplace || j.set.Into == IntoReplacePartitions && touched[partitionPath(f.Name)]
}

// touchedBy are the partitions of staged files.
func touchedBy(files []sink.File) map[string]bool {
	touched := map[string]bool{}
	for _, f := range files {
		touched[strings.Join(f.Segments, "/")] = true
	}
	return touched
}

// cutWiden makes the tasks for the files that still have to be staged under the schema.
func (j *copyJob) cutWiden(set *dataset.Set, made *carried, schema *column.Schema, touched map[string]bool) ([]json.RawMessage, error) {
	files, err := j.toWiden(set, schema, touched)
	if err != nil {
		return nil, err
	}
	staged := made.widenedTo(schema)
	files = slices.DeleteFunc(files, func(f dataset.File) bool { return staged[f.Name] != nil })
	each := min(widenFilesMax, max(1, len(files)/j.env.workers()))
	var tasks []json.RawMessage
	for some := range slices.Chunk(files, each) {
		var t widenTask
		for _, f := range some {
			t.Widen = append(t.Widen, widenUnit{f.Name, f.Size})
		}
		tasks = append(tasks, marshal(t))
	}
	return tasks, nil
}

// widenedTo are the files that were staged under exactly this schema, none without one, by their name in the data set. Those of another were
// staged before somebody else added columns.
func (sum *carried) widenedTo(schema *column.Schema) map[string]*widened {
	files := map[string]*widened{}
	if schema == nil {
		return files
	}
	want := sumOf(schema)
	for i := range sum.Widened {
		if w := &sum.Widened[i]; w.Schema == want {
			files[w.From] = w
		}
	}
	return files
}

// widenTask stages its files' ends, with the schema that the round before decided.
func (j *copyJob) widenTask(ctx context.Context, a *plan.Attempt, t widenTask) (*taskResult, error) {
	schema, err := column.ParseSchema(j.set.Schema)
	if err != nil {
		return nil, err
	}
	res := &taskResult{Start: time.Now().UTC()}
	made := make([]*widened, len(t.Widen))
	group, limited := errgroup.WithContext(ctx)
	group.SetLimit(wideners)
	for i, u := range t.Widen {
		group.Go(func() (err error) {
			if made[i], err = j.widenFile(limited, a, i, u, schema); err != nil {
				return fmt.Errorf("give %s its new columns: %w", u.Name, err)
			}
			a.Meter.Note("files widened", 1)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, w := range made {
		if w != nil {
			res.Widened = append(res.Widened, *w)
		}
	}
	res.End = time.Now().UTC()
	return res, nil
}

// widenFile stages one file's end. One that has left the data set meanwhile needs none: the commit looks again at what
// stays.
func (j *copyJob) widenFile(ctx context.Context, a *plan.Attempt, i int, u widenUnit, schema *column.Schema) (*widened, error) {
	w := &widened{From: u.Name, End: a.Staged(fmt.Sprintf("%03d.end", i)), Schema: sumOf(schema)}
	err := func() error {
		keep, end, err := newEnd(ctx, j.dest.Bucket, path.Join(j.dest.Prefix, u.Name), u.Size, schema, j.env.Version)
		if err != nil {
			return err
		}
		w.Keep, w.Size = keep, int64(len(end))
		if _, err = j.st.Bucket.Put(ctx, w.End, end, stagedPut); err != nil {
			return fmt.Errorf("stage %s: %w", w.End, err)
		}
		return nil
	}()
	if err == nil {
		return w, nil
	}
	if ctx.Err() != nil {
		return nil, err
	}
	set, loadErr := dataset.Load(ctx, j.dest.Bucket, j.dest.Prefix)
	if loadErr != nil {
		return nil, errors.Join(err, loadErr)
	}
	stays := func(f dataset.File) bool { return f.Name == u.Name }
	leaves := func(v dataset.Version) bool { return slices.Contains(v.Removed, u.Name) }
	if !slices.ContainsFunc(set.Files, stays) || slices.ContainsFunc(set.Open, leaves) {
		return nil, nil
	}
	if fault.Retryable(err) {
		return nil, err
	}
	return nil, fault.Hint(err, "leave the data set's columns as they are: --on-new extra")
}

// newEnd makes the bytes that a file of a data set ends with under a wider schema, and says how many of its first bytes stay.
// It reads the footer and what lies between that and the data; for a new member of a nested column also the smallest of its
// siblings, whose levels it takes.
func newEnd(ctx context.Context, b blob.Bucket, name string, size int64, schema *column.Schema, version string) (keep int64, tail []byte, err error) {
	info, err := b.Head(ctx, name)
	if err != nil {
		return 0, nil, err
	}
	if info.Size != size {
		return 0, nil, fault.New(fault.Corrupt, "%s has %d bytes, the data set's history says %d", name, info.Size, size)
	}
	at, err := blob.NewReaderAt(ctx, b, info, blob.ReaderAtOptions{BlockBytes: widenBlockBytes})
	if err != nil {
		return 0, nil, err
	}
	defer at.Close()
	meta, keyValue, err := parquet.MetaOf(at, size)
	if err != nil {
		return 0, nil, err
	}
	if !parquet.Fits(meta, schema) {
		return 0, nil, fault.New(fault.Unsupported, "%s has a column that the data set has in another form", name)
	}
	for _, from := range meta.Schemas {
		schema = schema.Spilling(from)
	}
	tail, err = parquet.Footer(meta, schema, parquet.FooterOptions{Staged: at, KeyValue: keyValue, Version: version})
	return meta.Size, tail, err
}

// besideData is where a staged object of the plan lies from which the destination's bucket can copy: its own place when the
// state root is there, else one below the destination.
func (j *copyJob) besideData(plan, staged string) (blob.Bucket, string) {
	if j.dest.Bucket.URL() == j.st.Bucket.URL() {
		return j.st.Bucket, staged
	}
	return j.dest.Bucket, path.Join(j.stagedElsewhere(plan), path.Base(staged))
}

func (j *copyJob) stagedElsewhere(plan string) string {
	return path.Join(j.dest.Prefix, dataset.Hidden, "staged", plan)
}

// publishWidened puts a file with its new end in the place of the one it is made from: that one leaves readers' sight first, and
// gives its data from where it is then.
func (j *copyJob) publishWidened(ctx context.Context, c *plan.Committing, set *dataset.Set, f dataset.File, size int64, w *widened) (blob.Info, error) {
	if w == nil {
		return blob.Info{}, fault.New(fault.Corrupt, "no result has %s, which is to be made from %s", f.Name, f.From)
	}
	final, id := set.Name(f.Name), c.Plan.ID+"/"+path.Base(w.End)
	end, _, err := blob.ReadAll(ctx, j.st.Bucket, w.End, metaBytesMax)
	if err == nil && int64(len(end)) != w.Size {
		err = fault.New(fault.Corrupt, "%s has %d bytes, its result says %d", w.End, len(end), w.Size)
	}
	if err != nil {
		return j.published(ctx, final, id, err)
	}
	aside, err := setAside(ctx, set, c.Plan.ID, f.From, size)
	if err != nil {
		return blob.Info{}, err
	}
	return commit.Publish(ctx, j.dest.Bucket, blob.Staged{Name: aside, Size: size, Keep: w.Keep}, end, final, id, blob.PutOptions{ContentType: contentType(j.set)}, commit.Options{})
}

// published describes a file that another process has published, and swept what it was made of; if it is another's, or none, that
// what it is made of is not there is err.
func (j *copyJob) published(ctx context.Context, final, id string, err error) (blob.Info, error) {
	if info, headErr := j.dest.Bucket.Head(ctx, final); headErr == nil && info.Metadata[commit.MetadataID] == id {
		return info, nil
	}
	return blob.Info{}, err
}
