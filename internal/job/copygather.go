package job

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/column"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
)

// keyRange is a task of the gather stage: all partitions from First to Last, both included.
type keyRange struct {
	First string `json:"first"`
	Last  string `json:"last"`
}

// runAt is a run with the object it lies in.
type runAt struct {
	object int
	sink.Run
}

// partition is everything of one partition, its runs in source order.
type partition struct {
	sink.Route
	runs  []runAt
	print item.Fingerprint
}

// readIndexes reads the indexes of the round before; keep tells which partitions matter.
func readIndexes(ctx context.Context, b blob.Bucket, names []string, keep func(key string) bool) (objects []string, parts []*partition, err error) {
	byKey := map[string]*partition{}
	for _, name := range names {
		index, err := sink.ReadIndex(ctx, b, name)
		if err != nil {
			return nil, nil, fmt.Errorf("read index %s: %w", name, err)
		}
		objects = append(objects, index.Object)
		for _, p := range index.Parts {
			if !keep(p.Key) {
				continue
			}
			if byKey[p.Key] == nil {
				p.Route.Key = p.Key
				byKey[p.Key] = &partition{Route: p.Route}
				parts = append(parts, byKey[p.Key])
			}
			print, err := item.ParseFingerprint(p.Fingerprint)
			if err != nil {
				return nil, nil, fault.New(fault.Corrupt, "index %s: %w", name, err)
			}
			byKey[p.Key].print.Merge(print)
			for _, run := range p.Runs {
				byKey[p.Key].runs = append(byKey[p.Key].runs, runAt{len(objects) - 1, run})
			}
		}
	}
	slices.SortFunc(parts, func(a, b *partition) int { return cmp.Compare(a.Key, b.Key) })
	return objects, parts, nil
}

// gatherTaskBytes is the raw size of the items that one gather task writes, unless a single partition is larger.
const gatherTaskBytes = 512 << 20

// cutGather packs neighbouring partitions into tasks.
func cutGather(parts []*partition) []json.RawMessage {
	var tasks []json.RawMessage
	var first int
	var size int64
	for i, p := range parts {
		raw := p.raw()
		if i > first && size+raw > gatherTaskBytes {
			tasks = append(tasks, marshal(keyRange{parts[first].Key, parts[i-1].Key}))
			first, size = i, 0
		}
		size += raw
	}
	if first < len(parts) {
		tasks = append(tasks, marshal(keyRange{parts[first].Key, parts[len(parts)-1].Key}))
	}
	return tasks
}

// gatherTask writes the files of its partitions, one partition after another, with the schema that the round before decided.
func (j *copyJob) gatherTask(ctx context.Context, a *plan.Attempt) (*taskResult, error) {
	var keys keyRange
	if err := json.Unmarshal(a.Task.Body, &keys); err != nil {
		return nil, fault.New(fault.Corrupt, "task %d: %w", a.Task.Index, err)
	}
	carry, err := j.readCarry(ctx)
	if err != nil {
		return nil, err
	}
	objects, parts, err := readIndexes(ctx, j.st.Bucket, carry.Indexes, func(key string) bool { return keys.First <= key && key <= keys.Last })
	if err != nil {
		return nil, err
	}
	wish, err := j.decidedWish()
	if err != nil {
		return nil, err
	}
	g := &gatheringTask{job: j, a: a, objects: objects, wish: wish}
	if g.reader, err = sink.NewRunReader(); err != nil {
		return nil, err
	}
	defer g.reader.Close()
	res := &taskResult{Start: time.Now().UTC()}
	if err := g.prefetch(ctx, parts); err != nil {
		return nil, err
	}
	ended, err := g.partitions(ctx, parts)
	if err != nil {
		return nil, err
	}
	var total item.Fingerprint
	for i, e := range ended {
		res.Staged.Files = append(res.Staged.Files, e.staged.Files...)
		res.Losses.addAll(e.losses)
		total.Merge(parts[i].print)
	}
	res.Items, res.Fingerprint, res.End = int64(total.Count), total.String(), time.Now().UTC()
	return res, nil
}

// Small partitions cost the time of their requests, or of a disk's syncs, and next to nothing else: while the next ones are
// written, endings of those of up to endingBytes raw wait for theirs side by side.
const (
	endings     = 8
	endingBytes = 1 << 20
)

// endedPartition is what a partition came to.
type endedPartition struct {
	staged sink.Staged
	losses losses
}

// partitions writes the files of all partitions. What they came to stands in their order, which the files' names depend on.
func (g *gatheringTask) partitions(ctx context.Context, parts []*partition) ([]endedPartition, error) {
	ended := make([]endedPartition, len(parts))
	group, inGroup := errgroup.WithContext(ctx)
	group.SetLimit(endings)
	var failed error
	for i := 0; i < len(parts) && failed == nil && inGroup.Err() == nil; i++ {
		p := parts[i]
		out, err := g.partition(inGroup, i, p)
		if err != nil {
			failed = p.place(err)
			break
		}
		end := func() error {
			defer out.Abandon()
			var err error
			ended[i].staged, err = out.Close()
			ended[i].losses = lossesOf(out)
			return p.place(err)
		}
		if p.raw() <= endingBytes {
			group.Go(end)
		} else {
			failed = end()
		}
	}
	if err := group.Wait(); err != nil { // before what failed because of it
		return nil, err
	}
	return ended, cmp.Or(failed, context.Cause(ctx))
}

// place names the partition that an error is about.
func (p *partition) place(err error) error {
	if err == nil || len(p.Segments) == 0 {
		return err
	}
	return fmt.Errorf("partition %s: %w", strings.Join(p.Segments, "/"), err)
}

// raw is the size of the partition's items.
func (p *partition) raw() (bytes int64) {
	for _, r := range p.runs {
		bytes += r.Raw
	}
	return bytes
}

// decidedWish is the sink that a second round uses.
func (j *copyJob) decidedWish() (sinkWish, error) {
	if len(j.set.Schema) == 0 {
		return sinkWish{}, nil
	}
	schema, err := column.ParseSchema(j.set.Schema)
	if err != nil {
		return sinkWish{}, err
	}
	all, err := j.set.columns(nil)
	return sinkWish{schema: schema, columns: column.SchemaOptions{OnNew: all.OnNew}, cells: j.set.Cells}, err
}

type gatheringTask struct {
	job     *copyJob
	a       *plan.Attempt
	objects []string
	wish    sinkWish
	reader  *sink.RunReader
	near    map[runAt][]byte // frames fetched ahead, because many small ones lie side by side
	lines   []byte           // of the run being read
}

// gatherBatchBytes is how much of a run is parsed at a time: tapes take more room than the text they are of.
const gatherBatchBytes = 1 << 20

// linesOf is the length of the first whole lines of data, about size bytes of them.
func linesOf(data []byte, size int) int {
	if len(data) <= size {
		return len(data)
	}
	if i := bytes.IndexByte(data[size:], '\n'); i >= 0 {
		return size + i + 1
	}
	return len(data)
}

// prefetchBytes bounds what a task fetches ahead; prefetchGap is how much it reads over to save a request.
const (
	prefetchBytes = 24 << 20
	prefetchGap   = 64 << 10
)

// prefetch reads the task's runs in few requests when they are small: runs of neighbouring partitions lie side by side
// in each spill object.
func (g *gatheringTask) prefetch(ctx context.Context, parts []*partition) error {
	var all []runAt
	var total int64
	for _, p := range parts {
		all = append(all, p.runs...)
	}
	for _, r := range all {
		total += r.Length
	}
	if total > prefetchBytes || len(all) < 2 {
		return nil
	}
	slices.SortFunc(all, func(a, b runAt) int { return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(a.Offset, b.Offset)) })
	g.near = make(map[runAt][]byte, len(all))
	for from := 0; from < len(all); {
		to, end := from+1, all[from].Offset+all[from].Length
		for to < len(all) && all[to].object == all[from].object && all[to].Offset-end <= prefetchGap {
			end = max(end, all[to].Offset+all[to].Length)
			to++
		}
		start := all[from].Offset
		data, err := g.fetch(ctx, all[from].object, start, end-start)
		if err != nil {
			return err
		}
		for _, r := range all[from:to] {
			g.near[r] = data[r.Offset-start : r.Offset-start+r.Length]
		}
		from = to
	}
	return nil
}

func (g *gatheringTask) fetch(ctx context.Context, object int, offset, length int64) ([]byte, error) {
	data, _, err := blob.ReadRange(ctx, g.job.st.Bucket, g.objects[object], blob.ReadOptions{Offset: offset, Length: length}, length)
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	if int64(len(data)) != length {
		return nil, fault.New(fault.Corrupt, "%s ends before byte %d", g.objects[object], offset+length)
	}
	return data, nil
}

// partition writes the items of the i-th partition and proves that they are those that were spilled. Its files are whole when the sink is closed.
func (g *gatheringTask) partition(ctx context.Context, i int, p *partition) (out files, err error) {
	wish := g.wish
	wish.template = sink.File{Partition: p.Partition, Segments: p.Segments, Constants: p.Constants}
	wish.part = fmt.Sprintf("%05d.", i)
	if out, err = g.job.newSink(ctx, g.a, wish); err != nil {
		return nil, err
	}
	print, err := g.fill(ctx, p, out)
	if err == nil && print != p.print {
		err = fault.New(fault.Corrupt, "runs hold %s, their index says %s", print, p.print)
	}
	if err != nil {
		out.Abandon()
	}
	return out, err
}

// fill writes a partition's runs, and tells what was in them.
func (g *gatheringTask) fill(ctx context.Context, p *partition, out files) (print item.Fingerprint, err error) {
	var hasher item.Hasher
	var b item.Batch
	for _, r := range p.runs {
		frame, ok := g.near[r]
		if !ok {
			if frame, err = g.fetch(ctx, r.object, r.Offset, r.Length); err != nil {
				return print, err
			}
		}
		if g.lines, err = g.reader.Decode(g.lines[:0], frame, r.Run); err != nil {
			return print, err
		}
		for rest := g.lines; len(rest) > 0; {
			n := linesOf(rest, gatherBatchBytes)
			b.Reset()
			b.Src = item.WithSlack(append(b.Src, rest[:n]...))
			rest = rest[n:]
			if _, err := ddbjson.ParseLines(&b, ddbjson.Bare, true, nil); err != nil {
				return print, err
			}
			for i := range b.Rows {
				print.Add(hasher.Item(b.Item(i)))
			}
			if err := out.Write(&b); err != nil {
				return print, err
			}
			g.a.Meter.Note("gathered items", float64(b.Len()))
		}
	}
	return print, nil
}

// rewriteTask makes one staged file anew with the union schema; what fits is copied, what does not is encoded again.
func (j *copyJob) rewriteTask(ctx context.Context, a *plan.Attempt) (*taskResult, error) {
	var f sink.File
	if err := json.Unmarshal(a.Task.Body, &f); err != nil {
		return nil, fault.New(fault.Corrupt, "task %d: %w", a.Task.Index, err)
	}
	schema, err := column.ParseSchema(j.set.Schema)
	if err != nil {
		return nil, err
	}
	meta, err := j.readMeta(ctx, f)
	if err != nil {
		return nil, err
	}
	info, err := j.st.Bucket.Head(ctx, f.Staged)
	if err != nil {
		return nil, err
	}
	src, err := blob.NewReaderAt(ctx, j.st.Bucket, info, blob.ReaderAtOptions{})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	res := &taskResult{Start: time.Now().UTC(), Items: f.Items, Fingerprint: f.Fingerprint}
	out := f
	out.Staged, out.Meta = a.Staged("000.columns"), a.Staged("000.meta")
	w := blob.NewWriter(ctx, j.st.Bucket, out.Staged, blob.WriterOptions{PutOptions: stagedPut, Flight: 2})
	defer w.Close()
	o := parquet.Options{Compression: parquet.Compression(j.set.Compression), Level: j.set.Level, HeldBytes: j.heldBytes()}
	if j.set.Bloom {
		o.Bloom = j.set.keySet()
	}
	made, did, err := parquet.Rewrite(src, meta, schema, w, o)
	if err != nil {
		return nil, fmt.Errorf("rewrite %s: %w", f.Staged, err)
	}
	if _, err := w.Finish(); err != nil {
		return nil, fmt.Errorf("stage %s: %w", out.Staged, err)
	}
	packed, err := made.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	if _, err := j.st.Bucket.Put(ctx, out.Meta, packed, blob.PutOptions{}); err != nil {
		return nil, fmt.Errorf("stage %s: %w", out.Meta, err)
	}
	out.Size = w.Bytes()
	out.Misfits = j.misfits(did.Misfits)
	res.Staged.Files = []sink.File{out}
	res.Recoded, res.Copied, res.End = did.Encoded, did.Copied, time.Now().UTC()
	return res, nil
}

// misfits names the counts of a file that was made anew as those of one that was not. Only the settings know whether
// what has no column was to have none.
func (j *copyJob) misfits(counts []column.Misfit) map[string]int64 {
	named := map[string]int64{}
	for _, m := range counts {
		if m.Reason == column.Capped && j.set.OnNew != "evolve" {
			m.Reason = column.Unknown
		}
		named[m.Path+": "+m.Reason.String()] = int64(m.Count)
	}
	return named
}

// metaBytesMax bounds the metadata of one file.
const metaBytesMax = 256 << 20

func (j *copyJob) readMeta(ctx context.Context, f sink.File) (*parquet.FileMeta, error) {
	data, _, err := blob.ReadAll(ctx, j.st.Bucket, f.Meta, metaBytesMax)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Meta, err)
	}
	meta := new(parquet.FileMeta)
	if err := meta.UnmarshalBinary(data); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Meta, err)
	}
	return meta, nil
}

// carried is what rounds hand on: an object beside the results.
type carried struct {
	Root        string      `json:"root"` // id of the first round's plan
	Files       []sink.File `json:"files,omitempty"`
	Indexes     []string    `json:"indexes,omitempty"`
	Stats       string      `json:"stats,omitempty"` // merged
	Items       int64       `json:"items"`
	Fingerprint string      `json:"fingerprint"`
	Read        int64       `json:"read"`
	Rejects     int64       `json:"rejects,omitempty"`
	Refused     int64       `json:"refused,omitempty"`
	Dropped     int64       `json:"dropped,omitempty"`
	Dead        []sink.File `json:"dead,omitempty"`
	Units       float64     `json:"units,omitempty"`
	Start       time.Time   `json:"start"`
	End         time.Time   `json:"end"`
	Recoded     int64       `json:"recodedBytes,omitempty"`
	Copied      int64       `json:"copiedBytes,omitempty"`
	Losses      losses      `json:"losses,omitempty"`
	Widened     []widened   `json:"widened,omitempty"` // files of the data set with the whole schema

	// Of overlays: indexes of the changes by bucket and of the items put aside, the filter of changed keys.
	Changes []string `json:"changes,omitempty"`
	Aside   []string `json:"aside,omitempty"`
	Changed string   `json:"changed,omitempty"`
	Told    int64    `json:"told,omitempty"` // changes read
	hashes  []string

	Through []source.LogSpan `json:"through,omitempty"` // of an archive: where its entries end
}

func (j *copyJob) readCarry(ctx context.Context) (*carried, error) {
	data, _, err := blob.ReadAll(ctx, j.st.Bucket, j.set.Carry, metaBytesMax)
	if err != nil {
		return nil, fmt.Errorf("read what the round before made: %w", err)
	}
	if path.Base(j.set.Carry) != contentName(data, "carry") {
		return nil, fault.New(fault.Corrupt, "%s is not what its name says", j.set.Carry)
	}
	var c carried
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fault.New(fault.Corrupt, "%s: %w", j.set.Carry, err)
	}
	return &c, nil
}
