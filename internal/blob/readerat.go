package blob

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

const (
	// blockBytes is what one small read fetches: a request costs about as long as moving this much does.
	blockBytes = 1 << 20
	// aheadBlocksMax bounds read-ahead: 8 MiB a request keep one connection busy.
	aheadBlocksMax = 8
	// cacheBlocksDefault holds footers, indexes and the pages being read of some columns.
	cacheBlocksDefault = 24
	// flightMax is how many requests one ReaderAt has in flight during Prefetch.
	flightMax = 4
)

// ReaderAt reads one version of an object at any offset through a small cache. Reads that go on where the last ended
// fetch ever more ahead, up to 8 MiB a request; reads of several blocks go past the cache with one request; calls
// at once for the same block share its request. It may be used concurrently. Errors are those of Bucket.Get:
// ErrChanged when the object is not the version any more.
type ReaderAt struct {
	ctx    context.Context
	bucket Bucket
	info   Info
	direct ReadAtCloser // of a bucket with RandomAccess

	mu         sync.Mutex
	blockBytes int64
	blocks     map[int64]*block
	recent     *list.List // of *block, most recent first
	blocksMax,
	ahead int // blocks the next sequential miss fetches
	next int64 // the block a sequential reader misses next
}

// block is one aligned piece; done is closed when data or err is there.
type block struct {
	index int64
	done  chan struct{}
	data  []byte
	err   error
	place *list.Element
}

// ReaderAtOptions are the cache's measures.
type ReaderAtOptions struct {
	CacheBytes int // 0 is 24 MiB, or as many blocks of another size; at least two requests' worth is kept
	// BlockBytes is what one small read fetches, 0 is 1 MiB. Less is for those who read few bytes and pay for each.
	BlockBytes int
}

// NewReaderAt opens the version of the object that info describes. The caller closes it.
func NewReaderAt(ctx context.Context, b Bucket, info Info, o ReaderAtOptions) (*ReaderAt, error) {
	r := &ReaderAt{ctx: ctx, bucket: b, info: info, blocks: map[int64]*block{}, recent: list.New(), ahead: 1, next: -1,
		blockBytes: blockBytes, blocksMax: cacheBlocksDefault}
	if o.BlockBytes > 0 {
		r.blockBytes = int64(o.BlockBytes)
	}
	if o.CacheBytes > 0 {
		r.blocksMax = max(o.CacheBytes/int(r.blockBytes), 2*aheadBlocksMax)
	}
	if random, ok := Power[RandomAccess](b); ok {
		direct, opened, err := random.OpenAt(ctx, info.Name, info.ETag)
		if err != nil {
			return nil, err
		}
		r.direct, r.info = direct, opened
	}
	return r, nil
}

// Size is the object's size in bytes.
func (r *ReaderAt) Size() int64 { return r.info.Size }

// Info describes the version that is read.
func (r *ReaderAt) Info() Info { return r.info }

// Close frees what is held.
func (r *ReaderAt) Close() error {
	r.mu.Lock()
	r.blocks, r.recent = map[int64]*block{}, list.New()
	r.mu.Unlock()
	if r.direct != nil {
		return r.direct.Close()
	}
	return nil
}

// ReadAt is io.ReaderAt.
func (r *ReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if r.direct != nil {
		return r.direct.ReadAt(p, off)
	}
	if off < 0 {
		return 0, fmt.Errorf("read %s: negative offset", r.info.Name)
	}
	want := p
	if rest := r.info.Size - off; int64(len(p)) > rest {
		want = p[:max(rest, 0)]
	}
	var n int
	var err error
	if len(want) >= aheadBlocksMax*int(r.blockBytes) {
		n, err = r.fetch(want, off)
	} else {
		n, err = r.cached(want, off)
	}
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// fetch reads one range with one request.
func (r *ReaderAt) fetch(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	body, _, err := r.bucket.Get(r.ctx, r.info.Name, ReadOptions{Offset: off, Length: int64(len(p)), IfMatch: r.info.ETag})
	if err != nil {
		return 0, err
	}
	defer body.Close()
	n, err := io.ReadFull(body, p)
	if err != nil {
		return n, fmt.Errorf("read %s: %w", r.info.Name, cut(err))
	}
	return n, nil
}

// cached copies p from blocks.
func (r *ReaderAt) cached(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		index := at / r.blockBytes
		last := (off + int64(len(p)) - 1) / r.blockBytes
		b := r.block(index, int(last-index)+1)
		select {
		case <-b.done:
		case <-r.ctx.Done():
			return n, r.ctx.Err()
		}
		if b.err != nil {
			return n, b.err
		}
		n += copy(p[n:], b.data[at-index*r.blockBytes:])
	}
	return n, nil
}

// block returns the block, fetched here if nobody did; need is how many blocks from it on the caller wants.
func (r *ReaderAt) block(index int64, need int) *block {
	r.mu.Lock()
	if b := r.blocks[index]; b != nil {
		r.recent.MoveToFront(b.place)
		r.mu.Unlock()
		return b
	}
	if index == r.next { // going on where the last miss ended
		r.ahead = min(2*r.ahead, aheadBlocksMax)
	} else {
		r.ahead = 1
	}
	run := r.reserve(index, max(need, r.ahead))
	r.next = index + int64(len(run))
	r.mu.Unlock()
	r.fill(run)
	return run[0]
}

// reserve enters up to n blocks from index on that nobody holds; the caller holds mu and must fill them.
func (r *ReaderAt) reserve(index int64, n int) (run []*block) {
	for i := index; i < index+int64(min(n, aheadBlocksMax)) && i*r.blockBytes < r.info.Size && r.blocks[i] == nil; i++ {
		b := &block{index: i, done: make(chan struct{})}
		b.place = r.recent.PushFront(b)
		r.blocks[i] = b
		run = append(run, b)
	}
	for e := r.recent.Back(); e != nil && r.recent.Len() > r.blocksMax; {
		before := e.Prev()
		if old := e.Value.(*block); old.full() { // one being fetched is awaited by somebody
			r.recent.Remove(e)
			delete(r.blocks, old.index)
		}
		e = before
	}
	return run
}

func (b *block) full() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// fill fetches a run of adjacent blocks with one request. Failed blocks leave the cache, so that a later read
// tries again.
func (r *ReaderAt) fill(run []*block) {
	start := run[0].index * r.blockBytes
	end := min((run[len(run)-1].index+1)*r.blockBytes, r.info.Size)
	data := make([]byte, end-start)
	_, err := r.fetch(data, start)
	for i, b := range run {
		if b.err = err; err == nil {
			// Copies, so that an evicted neighbour's memory is free; a single block is taken as it is.
			b.data = data[int64(i)*r.blockBytes : min(int64(i+1)*r.blockBytes, int64(len(data)))]
			if len(run) > 1 {
				b.data = append([]byte(nil), b.data...)
			}
		}
		if err != nil {
			r.drop(b)
		}
		close(b.done)
	}
}

func (r *ReaderAt) drop(b *block) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.blocks[b.index] == b {
		delete(r.blocks, b.index)
		r.recent.Remove(b.place)
	}
}

// Range is some bytes of an object.
type Range struct{ Offset, Length int64 }

// Prefetch loads ranges that will be read soon, neighbours joined into one request, some requests at once. It is best
// effort within half of the cache: what does not fit or fails is fetched, and its error told, by the read itself.
func (r *ReaderAt) Prefetch(ranges ...Range) {
	if r.direct != nil {
		return
	}
	var group errgroup.Group
	group.SetLimit(flightMax)
	budget := r.blocksMax / 2
	for _, span := range r.spans(ranges) {
		for index := span.Offset; index < span.Offset+span.Length && budget > 0; {
			r.mu.Lock()
			run := r.reserve(index, min(int(span.Offset+span.Length-index), budget))
			r.mu.Unlock()
			if len(run) == 0 { // held already
				index++
				continue
			}
			index += int64(len(run))
			budget -= len(run)
			group.Go(func() error { r.fill(run); return nil })
		}
	}
	_ = group.Wait()
}

// spans turns byte ranges into ascending, disjoint, non-adjacent ranges of block indexes.
func (r *ReaderAt) spans(ranges []Range) (spans []Range) {
	for _, each := range ranges {
		if each.Length <= 0 || each.Offset < 0 || each.Offset >= r.info.Size {
			continue
		}
		first := each.Offset / r.blockBytes
		last := (min(each.Offset+each.Length, r.info.Size) - 1) / r.blockBytes
		spans = append(spans, Range{first, last - first + 1})
	}
	slices.SortFunc(spans, func(a, b Range) int { return cmp.Compare(a.Offset, b.Offset) })
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && s.Offset <= merged[n-1].Offset+merged[n-1].Length {
			merged[n-1].Length = max(merged[n-1].Length, s.Offset+s.Length-merged[n-1].Offset)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}
