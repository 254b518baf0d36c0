package job

import (
	"bufio"
	"container/heap"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
)

// runHashes is how many key hashes an index task sorts in memory before it stages a run: 16 MB.
const runHashes = 2 << 20

// indexTask hashes the keys of its units. Two items with one key have one hash; that two keys share a hash costs a
// detour, never a wrong answer.
func (j *importJob) indexTask(ctx context.Context, a *plan.Attempt) (*importResult, error) {
	res := &importResult{}
	hashes := make([]uint64, 0, 64<<10)
	var key []byte
	flush := func() error {
		if len(hashes) == 0 {
			return nil
		}
		slices.Sort(hashes)
		name := a.Staged(fmt.Sprintf("%03d.keys", len(res.Runs)))
		w := blob.NewWriter(ctx, a.State.Bucket, name, blob.WriterOptions{Flight: 1})
		defer w.Close()
		buf := bufio.NewWriterSize(w, 64<<10)
		var word [8]byte
		for _, h := range hashes {
			binary.LittleEndian.PutUint64(word[:], h)
			if _, err := buf.Write(word[:]); err != nil {
				return err
			}
		}
		if err := buf.Flush(); err != nil {
			return err
		}
		_, err := w.Finish()
		res.Runs, hashes = append(res.Runs, name), hashes[:0]
		return err
	}
	// Records that cannot be read, and items without the key, are the writing round's to report.
	skip := func(codec.Reject) error { return nil }
	steps, err := j.startSteps(ctx, a)
	if err != nil {
		return nil, err
	}
	defer steps.Close()
	steps.refused = nil
	err = j.eachBatch(ctx, a, steps, skip, func() *item.Batch { return new(item.Batch) }, func(b *item.Batch) error {
		for i := range b.Rows {
			var err error
			if key, err = j.table.desc.Keys.AppendKey(key[:0], b.Item(i)); err != nil {
				continue
			}
			if hashes = append(hashes, xxh3.Hash(key)); len(hashes) == runHashes {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return res, flush()
}

// eachBatch reads the task's units in order, composed attributes added and the steps done. next gives the batch to fill; take gets it.
func (j *importJob) eachBatch(ctx context.Context, a *plan.Attempt, steps *importSteps, reject codec.Rejects, next func() *item.Batch, take func(*item.Batch) error) error {
	var g group
	if err := json.Unmarshal(a.Task.Body, &g); err != nil {
		return fault.New(fault.Corrupt, "task %d: %w", a.Task.Index, err)
	}
	src, err := j.src.open(ctx, j.env, j.spec)
	if err != nil {
		return err
	}
	o := source.ReadOptions{Rejects: reject}
	err = j.reads.read(ctx, j.env, src, j.set.ReadUnits, &o, func(units float64) { a.Meter.Note("read units", units) })
	if err != nil {
		return err
	}
	compose := composer{columns: j.set.Compose}
	var open *item.Batch // one that a unit's end left empty serves the next
	fill := func() *item.Batch {
		if open == nil {
			open = next()
		}
		return open
	}
	hand := func(b *item.Batch) error {
		open = nil
		if err := compose.apply(b); err != nil {
			return err
		}
		if err := steps.Items(ctx, b, steps.refuse(b)); err != nil {
			return err
		}
		return take(b)
	}
	for _, u := range g.Units {
		if err := readUnitInto(ctx, src, u, o, fill, hand); err != nil {
			return err
		}
	}
	return nil
}

// composer adds composed attributes.
type composer struct {
	columns []Composed
	scratch item.Batch
}

// apply replaces the batch's contents by the same items with the composed attributes. An item that lacks a part keeps
// lacking the attribute: where that is the key, it is refused with the service's words.
func (c *composer) apply(b *item.Batch) error {
	if len(c.columns) == 0 {
		return nil
	}
	c.scratch.Reset()
	w := item.NewBuilder(&c.scratch)
	var text []byte
	for i, row := range b.Rows {
		it := b.Item(i)
		w.Begin(row.Line)
		for at := 1; at < len(it.Tape); at += 1 + int(it.Tape[at+1].Skip) {
			w.Name(string(it.Text(at)))
			w.Raw(it, at+1)
		}
		for _, column := range c.columns {
			if _, own := it.Get(column.Name); own {
				continue
			}
			var ok bool
			if text, ok = join(text[:0], it, column); ok {
				w.Name(column.Name)
				w.String(text)
			}
		}
		w.Finish()
	}
	c.scratch.File, c.scratch.FirstLine, c.scratch.Offset = b.File, b.FirstLine, b.Offset
	*b, c.scratch = c.scratch, *b
	return nil
}

// join appends the texts of a composed attribute's parts with the separator between them.
func join(dst []byte, it item.Item, c Composed) ([]byte, bool) {
	for n, part := range c.Parts {
		at, ok := it.Get(part)
		if !ok {
			return dst, false
		}
		if n > 0 {
			dst = append(dst, c.Sep...)
		}
		switch it.Tape[at].Type {
		case item.S:
			dst = it.AppendText(dst, at)
		case item.N:
			dst = it.AppendNumber(dst, at)
		default:
			return dst, false
		}
	}
	return dst, true
}

// suspects is a filter of key hashes that occur more than once: a bitmap of two probes a hash. Its size is fixed, so an
// input that repeats every key costs a detour for every key and no memory.
type suspects struct{ bits []uint64 }

// suspectsBytes is the filter's size: at a million repeated keys one other key in 4,000 takes the detour.
const suspectsBytes = 16 << 20

func (s *suspects) probes(h uint64) (a, b uint64) {
	n := uint64(len(s.bits) * 64)
	return h % n, (h>>32 | h<<32) * 0x9e3779b97f4a7c15 % n
}

func (s *suspects) add(h uint64) {
	a, b := s.probes(h)
	s.bits[a/64] |= 1 << (a % 64)
	s.bits[b/64] |= 1 << (b % 64)
}

func (s *suspects) has(h uint64) bool {
	if s == nil || len(s.bits) == 0 {
		return false
	}
	a, b := s.probes(h)
	return s.bits[a/64]>>(a%64)&1 == 1 && s.bits[b/64]>>(b%64)&1 == 1
}

// hashRun is a staged run being read in order.
type hashRun struct {
	r    *bufio.Reader
	c    io.Closer
	head uint64
}

type hashHeap []*hashRun

func (h hashHeap) Len() int           { return len(h) }
func (h hashHeap) Less(i, k int) bool { return h[i].head < h[k].head }
func (h hashHeap) Swap(i, k int)      { h[i], h[k] = h[k], h[i] }
func (h *hashHeap) Push(x any)        { *h = append(*h, x.(*hashRun)) }
func (h *hashHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

func (r *hashRun) next() error {
	var word [8]byte
	_, err := io.ReadFull(r.r, word[:])
	r.head = binary.LittleEndian.Uint64(word[:])
	return err
}

// repeated merges all runs and returns the filter of hashes that occur twice or more; nil when there are none.
func (j *importJob) repeated(ctx context.Context, runs []string) (*suspects, error) {
	var h hashHeap
	defer func() {
		for _, r := range h {
			r.c.Close()
		}
	}()
	for _, name := range runs {
		body, _, err := j.st.Bucket.Get(ctx, name, blob.ReadOptions{})
		if err != nil {
			return nil, fmt.Errorf("read key hashes: %w", err)
		}
		r := &hashRun{r: bufio.NewReaderSize(body, 64<<10), c: body}
		h = append(h, r)
		if err := r.next(); err != nil {
			return nil, fmt.Errorf("read key hashes: %w", err)
		}
	}
	heap.Init(&h)
	var found *suspects
	var last uint64
	for seen := false; len(h) > 0; seen = true {
		r := h[0]
		if seen && r.head == last {
			if found == nil {
				found = &suspects{bits: make([]uint64, suspectsBytes/8)}
			}
			found.add(last)
		}
		last = r.head
		switch err := r.next(); {
		case err == nil:
			heap.Fix(&h, 0)
		case errors.Is(err, io.EOF):
			r.c.Close()
			heap.Pop(&h)
		default:
			return nil, fmt.Errorf("read key hashes: %w", err)
		}
	}
	return found, nil
}

// append renders the filter for a side object.
func (s *suspects) append(dst []byte) []byte {
	for _, w := range s.bits {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	return dst
}

func parseSuspects(data []byte) (*suspects, error) {
	if len(data) == 0 || len(data)%8 != 0 {
		return nil, fault.New(fault.Corrupt, "a filter of %d bytes", len(data))
	}
	s := &suspects{bits: make([]uint64, len(data)/8)}
	for i := range s.bits {
		s.bits[i] = binary.LittleEndian.Uint64(data[8*i:])
	}
	return s, nil
}
