package job

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
)

// writersPerTask is how many requests a task has under way: DynamoDB answers in a few milliseconds, so one request at a
// time would use a fraction of any budget.
const writersPerTask = 8

// writeTask writes its units' items. Those whose key may repeat are put aside, in source order, for the next round.
func (j *importJob) writeTask(ctx context.Context, a *plan.Attempt) (*importResult, error) {
	filter, err := j.readSuspects(ctx)
	if err != nil {
		return nil, err
	}
	t, err := j.newWriting(ctx, a)
	if err != nil {
		return nil, err
	}
	defer t.dead.abandon()
	aside, err := j.newRepeatedAside(ctx, a)
	if err != nil {
		return nil, err
	}
	defer aside.Abandon()
	over, err := j.changedAside(ctx, a)
	if err != nil {
		return nil, err
	}
	defer over.abandon()
	if t.steps, err = j.startSteps(ctx, a); err != nil {
		return nil, err
	}
	defer t.steps.close()
	read := func(ctx context.Context, hand handing) error {
		var key []byte
		return j.eachBatch(ctx, a, t.steps, t.reject, t.free, func(b *item.Batch) error {
			t.counts.Read += int64(b.Len())
			a.Meter.Add(int64(b.Len()), int64(len(b.Src)))
			if err := over.take(b); err != nil {
				return err
			}
			if filter == nil {
				return hand(b, false)
			}
			var err error
			if key, err = j.putAside(aside, b, filter, key); err != nil {
				return err
			}
			return hand(b, false)
		})
	}
	if err := t.run(ctx, read); err != nil {
		return nil, err
	}
	t.counts.Read += t.steps.Dropped + t.steps.Refused // beside those that passed
	t.counts.DeadLetters += t.steps.Refused
	res, err := t.finish()
	switch {
	case err != nil:
	case over != nil:
		res.Staged, err = over.spill.Close()
	case filter != nil:
		res.Staged, err = aside.Close()
	}
	return res, err
}

func (j *importJob) readSuspects(ctx context.Context) (*suspects, error) {
	if j.set.Suspects == "" {
		return nil, nil
	}
	data, _, err := blob.ReadAll(ctx, j.st.Bucket, j.set.Suspects, 2*suspectsBytes)
	if err != nil {
		return nil, fmt.Errorf("read the filter of repeated keys: %w", err)
	}
	return parseSuspects(data)
}

// asideBuckets is into how many parts the items with repeated keys are cut for the resolving round.
const asideBuckets = 256

func (j *importJob) newRepeatedAside(ctx context.Context, a *plan.Attempt) (*sink.Spill, error) {
	var key []byte
	var route sink.Route
	return sink.NewSpill(ctx, sink.SpillOptions{Bucket: a.State.Bucket, Staged: a.Staged, Memory: int(j.env.memory()) / j.env.workers() / 4, Put: stagedPut,
		Route: func(it item.Item) (*sink.Route, error) {
			var err error
			if key, err = j.table.desc.Keys.AppendKey(key[:0], it); err != nil {
				return nil, err
			}
			route.Key = fmt.Sprintf("%03d", item.BucketOf(key, asideBuckets))
			return &route, nil
		}})
}

// putAside moves the rows whose key may repeat from b to the spill.
func (j *importJob) putAside(aside *sink.Spill, b *item.Batch, filter *suspects, key []byte) ([]byte, error) {
	kept := b.Rows[:0]
	var moved []item.Row
	for i, row := range b.Rows {
		var err error
		if key, err = j.table.desc.Keys.AppendKey(key[:0], b.Item(i)); err != nil || !filter.has(xxh3.Hash(key)) {
			kept = append(kept, row) // an item without key is refused by the writers
			continue
		}
		moved = append(moved, row)
	}
	if len(moved) > 0 {
		rest := *b
		rest.Rows = moved
		if err := aside.Write(&rest); err != nil {
			return key, err
		}
	}
	b.Rows = kept
	return key, nil
}

// writing is one attempt that writes items into the table.
type writing struct {
	job    *importJob
	a      *plan.Attempt
	gov    *dynamo.Governor
	dead   *deadLetters
	steps  *importSteps // of what is read, nil for none
	pool   chan *item.Batch
	mu     sync.Mutex
	counts ImportCounts
	print  item.Fingerprint // of what is written, where that is summed up
}

func (j *importJob) newWriting(ctx context.Context, a *plan.Attempt) (*writing, error) {
	gov, err := j.table.gov.write(j.env, j.table.desc, j.set.WriteUnits)
	if err != nil {
		return nil, err
	}
	t := &writing{job: j, a: a, gov: gov, dead: newDeadLetters(ctx, a), pool: make(chan *item.Batch, writersPerTask+2)}
	for range cap(t.pool) {
		t.pool <- new(item.Batch)
	}
	return t, nil
}

func (t *writing) free() *item.Batch { return <-t.pool }

func (t *writing) reject(r codec.Reject) error {
	t.mu.Lock()
	t.counts.DeadLetters++
	t.mu.Unlock()
	return t.dead.reject(r)
}

// handing gives a batch to the writers: items to be put, or of gone what stands for deleted ones.
type handing func(b *item.Batch, gone bool) error

// load is a batch on its way to a writer.
type load struct {
	*item.Batch
	gone bool
}

// run reads batches and writes them by writersPerTask writers. Keys are distinct across all batches, so no order matters.
func (t *writing) run(ctx context.Context, read func(ctx context.Context, hand handing) error) error {
	group, ctx := errgroup.WithContext(ctx)
	work := make(chan load)
	for range writersPerTask {
		group.Go(func() error {
			w := t.newWriter()
			for b := range work {
				err := w.write(ctx, b)
				t.pool <- b.Batch
				if err != nil {
					return err
				}
			}
			t.mu.Lock()
			t.counts.add(w.counts)
			t.print.Merge(w.print)
			t.mu.Unlock()
			return nil
		})
	}
	group.Go(func() error {
		defer close(work)
		return read(ctx, func(b *item.Batch, gone bool) error {
			select {
			case work <- load{b, gone}:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	return group.Wait()
}

func (t *writing) finish() (*importResult, error) {
	res := &importResult{Counts: t.counts}
	if t.job.set.Prove {
		res.Print = t.print.String()
	}
	var err error
	if res.Dead, err = t.dead.close(); err == nil {
		err = t.steps.finish(res)
	}
	return res, err
}

// writer writes batches, one goroutine's worth.
type writer struct {
	t      *writing
	batch  *dynamo.BatchWriter
	lane   *dynamo.Lane
	counts ImportCounts
	ok     []item.Item
	rows   []int // of ok in the batch
	keys   item.Batch
	now    load // being written, for dead letters
	hasher item.Hasher
	print  item.Fingerprint
}

func (t *writing) newWriter() *writer {
	w := &writer{t: t, lane: t.gov.Lane()}
	w.batch = dynamo.NewBatchWriter(t.job.table.client, t.gov, dynamo.BatchWriterOptions{Table: t.job.at.Host, Keys: t.job.table.desc.Keys,
		RetryFor: t.job.env.MemberRetryFor, BeforeSend: t.a.Look, DeadLetter: func(d dynamo.DeadLetter) error {
			w.counts.DeadLetters++
			return w.refuse(w.rows[d.Index], d.Err)
		}})
	return w
}

// refuse puts a row of the batch at hand aside. What stands for a deletion is no item that an import may put.
func (w *writer) refuse(row int, err error) error {
	it := w.now.Item(row)
	if !w.now.gone {
		return w.t.dead.item(w.now.Batch, row, it, err)
	}
	raw := append([]byte(`{"Keys":`), item.AppendCanonical(nil, it)...)
	return w.t.dead.add(letter{File: w.now.File, ErrorMessages: []string{err.Error()}, Raw: string(append(raw, '}'))})
}

// write sends one batch of items in the mode of the import.
func (w *writer) write(ctx context.Context, b load) error {
	if err := w.check(b); err != nil {
		return err
	}
	if w.t.job.set.Prove && !b.gone {
		for _, it := range w.ok {
			w.print.Add(w.hasher.Item(it))
		}
	}
	mode := w.t.job.set.Mode
	if b.gone && mode == ModePut {
		mode = ModeDelete
	}
	switch mode {
	case ModePut:
		done, err := w.batch.Write(ctx, w.ok, nil)
		w.counts.Written += int64(done.Puts)
		w.counts.Requests += int64(done.Requests)
		w.counts.Units += done.Units
		return err
	case ModeDelete:
		done, err := w.batch.Write(ctx, nil, w.onlyKeys())
		w.counts.Deleted += int64(done.Deletes)
		w.counts.Requests += int64(done.Requests)
		w.counts.Units += done.Units
		return err
	}
	var keys []item.Item
	if b.gone {
		keys = w.onlyKeys()
	}
	for n, it := range w.ok {
		if b.gone {
			if err := w.deleteOlder(ctx, w.rows[n], keys[n], it); err != nil {
				return err
			}
			continue
		}
		if err := w.conditional(ctx, w.rows[n], it); err != nil {
			return err
		}
	}
	return nil
}

// check keeps the items the service can take; the others are dead letters before they cost a request.
func (w *writer) check(b load) error {
	w.now, w.ok, w.rows = b, w.ok[:0], w.rows[:0]
	keys := &w.t.job.table.desc.Keys
	for i := range b.Rows {
		it := b.Item(i)
		err := item.Validate(it, keys)
		if err == nil && w.t.job.set.Mode == ModeNewer {
			err = w.versioned(it)
		}
		if err != nil {
			w.counts.DeadLetters++
			if err := w.refuse(i, err); err != nil {
				return err
			}
			continue
		}
		w.ok, w.rows = append(w.ok, it), append(w.rows, i)
	}
	return nil
}

// onlyKeys gives the keys of the items, as DeleteRequest wants them.
func (w *writer) onlyKeys() []item.Item {
	w.keys.Reset()
	build := item.NewBuilder(&w.keys)
	for n, it := range w.ok {
		build.Begin(uint32(n))
		for _, attr := range w.t.job.table.desc.Keys.Attrs() {
			at, _ := it.Get(attr.Name)
			build.Name(attr.Name)
			build.Raw(it, at)
		}
		build.Finish()
	}
	keys := make([]item.Item, w.keys.Len())
	for n := range keys {
		keys[n] = w.keys.Item(n)
	}
	return keys
}

func (w *writer) versioned(it item.Item) error {
	at, ok := it.Get(w.t.job.set.Version)
	if !ok {
		return fmt.Errorf("the item has no version attribute %q", w.t.job.set.Version)
	}
	switch t := it.Tape[at].Type; t {
	case item.S, item.N, item.B:
		return nil
	default:
		return fmt.Errorf("the version attribute %q is of type %s; versions are S, N or B", w.t.job.set.Version, t)
	}
}

// conditional puts one item unless the table's own stays. A refusal by the very same item is this import's earlier
// attempt, or an equal source: it counts as equal, so that a lost answer does not look like a conflict.
func (w *writer) conditional(ctx context.Context, row int, it item.Item) error {
	if err := w.t.a.Look(ctx); err != nil {
		return err
	}
	j := w.t.job
	req := &dynamo.WriteRequest{Table: j.at.Host, Item: it, Condition: "attribute_not_exists(#k)", Names: map[string]string{"#k": j.table.desc.Keys.Hash.Name}}
	if j.set.Mode == ModeNewer {
		at, _ := it.Get(j.set.Version)
		req.Condition += " OR attribute_not_exists(#v) OR #v < :v"
		req.Names["#v"] = j.set.Version
		req.Values = map[string]item.Value{":v": it.Value(at)}
	}
	err := w.request(ctx, item.WriteUnits(item.Size(it)), req)
	var refused *dynamo.ConditionError
	switch {
	case err == nil:
		w.counts.Written++
	case errors.As(err, &refused) && refused.Holds(it):
		w.counts.Equal++
	case errors.Is(err, dynamo.ErrCondition):
		w.counts.Skipped++
	case isPoison(err):
		w.counts.DeadLetters++
		return w.refuse(row, err)
	default:
		return err
	}
	return nil
}

// request makes one write below the budget and counts it.
func (w *writer) request(ctx context.Context, units float64, req *dynamo.WriteRequest) error {
	return w.lane.Do(ctx, units, func(ctx context.Context) (float64, error) {
		w.counts.Requests++
		reply, err := w.t.job.table.client.Write(ctx, req)
		if reply == nil {
			return 0, err
		}
		w.counts.Units += reply.Units
		return reply.Units, err
	})
}

// deleteOlder deletes an item unless the table's own is newer than the version that was deleted.
func (w *writer) deleteOlder(ctx context.Context, row int, key, gone item.Item) error {
	if err := w.t.a.Look(ctx); err != nil {
		return err
	}
	j := w.t.job
	at, _ := gone.Get(j.set.Version)
	req := &dynamo.WriteRequest{Table: j.at.Host, Item: key, Delete: true, Condition: "attribute_not_exists(#v) OR #v <= :v",
		Names: map[string]string{"#v": j.set.Version}, Values: map[string]item.Value{":v": gone.Value(at)}}
	err := w.request(ctx, 1, req)
	switch {
	case err == nil:
		w.counts.Deleted++
	case errors.Is(err, dynamo.ErrCondition):
		w.counts.Skipped++
	case isPoison(err):
		w.counts.DeadLetters++
		return w.refuse(row, err)
	default:
		return err
	}
	return nil
}
