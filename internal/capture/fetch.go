package capture

import (
	"context"
	"errors"
	"time"

	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

const (
	// callTimeout is above any answer that is worth waiting for: a page takes tens of milliseconds.
	callTimeout = 30 * time.Second
	// pageBytes is how large a page is meant to be: what DynamoDB Streams gives at most. Kinesis's 10 MB would not fit in
	// the memory of that many readers.
	pageBytes = 1 << 20
	limitMin  = 10
	limitMax  = 10_000
	// limitFirst suits records of 1 to 10 KB, before it is known how large they are.
	limitFirst = 1000
)

// buffer is a page in memory, with the hashes of its records' keys.
type buffer struct {
	feed.Page
	keys []uint64
	key  []byte
}

// question is what a read of a shard needs to know.
type question struct {
	shard    string
	iterator string        // "" opens one
	after    feed.Position // behind which
	horizon  bool          // at the oldest record, whatever after is
	limit    int
	only     bool // the iterator alone: is the shard still there?
}

// reply is what came of a question; the page is in the buffer.
type reply struct {
	err      error
	iterator string // the one that was read with
	opened   bool   // it was opened for this
	took     time.Duration
}

// fetch opens an iterator if there is none, and reads a page.
func (p *process) fetch(ctx context.Context, q question, b *buffer) (r reply) {
	r.iterator = q.iterator
	if r.iterator == "" {
		after := q.after
		if q.horizon {
			after = feed.Position{}
		}
		r.err = p.call(ctx, func(ctx context.Context) (err error) {
			r.iterator, err = p.client.Iterator(ctx, p.stream.ARN, q.shard, after)
			return err
		})
		r.opened = true
	}
	if r.err != nil || q.only {
		return r
	}
	start := time.Now()
	r.err = p.call(ctx, func(ctx context.Context) error { return p.client.Read(ctx, r.iterator, q.limit, &b.Page) })
	r.took = time.Since(start)
	if r.err == nil {
		r.err = p.prepare(b)
	}
	return r
}

// call makes one call of the service. One that takes too long may be better the next time.
func (p *process) call(ctx context.Context, do func(context.Context) error) error {
	p.o.Metrics.Calls.Add(1)
	return timely(ctx, do)
}

func timely(ctx context.Context, do func(context.Context) error) error {
	inner, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := do(inner)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fault.New(fault.Unavailable, "no answer within %v: %w", callTimeout, err)
	}
	return err
}

// prepare does what a page's records need beside the loop.
func (p *process) prepare(b *buffer) error {
	b.keys = b.keys[:0]
	for i := range b.Records {
		r := &b.Records[i]
		if p.o.Redact != nil {
			if err := p.o.Redact(&b.Page, r); err != nil {
				return err
			}
		}
		hash := uint64(0)
		if r.Event != 0 && !p.log.Keys.Empty() {
			// A key of other attributes is none of this table's: a record of it is found by time and position.
			if key, err := p.log.Keys.AppendKey(b.key[:0], b.Items.Item(int(r.Keys))); err == nil {
				hash, b.key = changelog.KeyHash(key), key
			}
		}
		b.keys = append(b.keys, hash)
	}
	return nil
}

// limitFor is how many records make a page of pageBytes.
func limitFor(bytesPerRecord int) int {
	if bytesPerRecord == 0 {
		return limitFirst
	}
	return min(max(pageBytes/bytesPerRecord, limitMin), limitMax)
}
