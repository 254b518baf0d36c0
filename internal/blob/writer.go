package blob

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"dynaferry/internal/fault"
)

const (
	// PartBytesDefault is the size of a writer's first parts: two or more requests a second keep one connection busy,
	// and four of them in flight stay below 40 MB.
	PartBytesDefault = 8 << 20
	// partsPerStep is after how many parts a writer doubles their size, so that PartsMax parts hold
	// 8 MiB * 1,000 * (2^10 - 1), 8 TiB, and parts of 8 MiB suffice for every file of usual size.
	partsPerStep = 1_000
	// flightDefault is how many parts are uploaded at once.
	flightDefault = 4
	// partBytesTop is the largest part S3 takes (S3UG:qfacts).
	partBytesTop = 5 << 30
)

// WriterOptions are PutOptions and the writer's measures.
type WriterOptions struct {
	PutOptions
	PartBytes int // size of the first parts, at least PartBytesMin; 0 is PartBytesDefault
	Flight    int // parts uploaded at once; 0 is 4. Memory is at most (Flight+1) parts.
}

// Writer streams one object of unknown size: what fits one part becomes one Put, more becomes parts uploaded while
// Write goes on. Nothing is visible before Finish. A Writer belongs to one goroutine.
//
//	w := blob.NewWriter(ctx, bucket, name, blob.WriterOptions{})
//	defer w.Close()
//	_, err := io.Copy(w, src)
//	info, err := w.Finish()
type Writer struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	bucket Bucket
	name   string
	opts   WriterOptions

	part   []byte // being filled
	n      int    // parts handed over
	bytes  int64
	upload Upload
	ended  bool

	flight chan []byte // one slot per part that may be uploading; holds the buffers to use again
	wait   sync.WaitGroup
}

// NewWriter begins an object; nothing is sent yet.
func NewWriter(ctx context.Context, b Bucket, name string, o WriterOptions) *Writer {
	if o.PartBytes == 0 {
		o.PartBytes = PartBytesDefault
	}
	o.PartBytes = max(o.PartBytes, PartBytesMin)
	if o.Flight <= 0 {
		o.Flight = flightDefault
	}
	w := &Writer{bucket: b, name: name, opts: o, flight: make(chan []byte, o.Flight)}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	for range o.Flight {
		w.flight <- nil
	}
	return w
}

// partBytes is how large part n (from 1) becomes before the next begins.
func (w *Writer) partBytes(n int) int {
	return min(w.opts.PartBytes<<((n-1)/partsPerStep), partBytesTop)
}

// Bytes is how many bytes were written so far.
func (w *Writer) Bytes() int64 { return w.bytes }

// Write takes p; it waits while Flight parts are uploading, and reports an earlier part's error.
func (w *Writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, fault.New(fault.Bug, "write %s: the writer is finished", w.name)
	}
	total := len(p)
	for len(p) > 0 {
		size := w.partBytes(w.n + 1)
		if len(w.part) == size { // a full part is sent when the next byte comes: it may have been the last
			if err := w.send(); err != nil {
				return total - len(p), err
			}
			continue
		}
		n := min(len(p), size-len(w.part))
		w.grow(n, size)
		w.part = append(w.part, p[:n]...)
		w.bytes += int64(n)
		p = p[n:]
	}
	return total, nil
}

// grow makes room for n more bytes by doubling up to the part's size: thousands of small writers share the memory
// budget.
func (w *Writer) grow(n, size int) {
	need := len(w.part) + n
	if need <= cap(w.part) {
		return
	}
	grown := make([]byte, len(w.part), min(size, max(need, 2*cap(w.part), 64<<10)))
	copy(grown, w.part)
	w.part = grown
}

// send hands the filled part to a goroutine that Finish or Close awaits.
func (w *Writer) send() error {
	if err := context.Cause(w.ctx); err != nil {
		return w.wrap(err)
	}
	if w.n == PartsMax {
		return fault.New(fault.Limit, "write %s: an object has at most %d parts", w.name, PartsMax)
	}
	if w.upload == nil {
		upload, err := w.bucket.Create(w.ctx, w.name, w.opts.PutOptions)
		if err != nil {
			return w.wrap(err)
		}
		w.upload = upload
	}
	var buffer []byte
	select {
	case buffer = <-w.flight:
	case <-w.ctx.Done():
		return w.wrap(context.Cause(w.ctx))
	}
	w.n++
	n, body, upload := w.n, w.part, w.upload
	w.part = buffer[:0]
	w.wait.Go(func() {
		if err := upload.Part(w.ctx, n, body); err != nil {
			w.cancel(fmt.Errorf("part %d: %w", n, err)) // the first cause stays
		}
		w.flight <- body[:0]
	})
	return nil
}

// Finish makes the object visible and describes it. The errors are those of Put; after one, Close still has to be
// called. Unlike a Put's, an error of a multi-part write leaves its parts behind until Close aborts them.
func (w *Writer) Finish() (Info, error) {
	if w.ended {
		return Info{}, fault.New(fault.Bug, "finish %s: the writer is finished", w.name)
	}
	if w.upload == nil {
		w.ended = true
		info, err := w.bucket.Put(w.ctx, w.name, w.part, w.opts.PutOptions)
		w.release()
		return info, w.wrap(err)
	}
	if len(w.part) > 0 {
		if err := w.send(); err != nil {
			return Info{}, err
		}
	}
	w.wait.Wait()
	if err := context.Cause(w.ctx); err != nil {
		return Info{}, w.wrap(err)
	}
	w.ended = true
	info, err := w.upload.Complete(w.ctx)
	if err == nil || fault.KindOf(err) == fault.Unavailable || fault.KindOf(err) == fault.Unknown {
		// Complete may have landed: an abort then could only do harm, or nothing.
		w.upload = nil
	}
	return info, w.wrap(err)
}

// Close ends a writer: without a Finish nothing becomes visible and the parts are aborted, after it nothing happens.
// It may be called any number of times.
func (w *Writer) Close() error {
	w.cancel(errClosed)
	w.wait.Wait()
	var err error
	if w.upload != nil {
		err = w.upload.Abort(context.WithoutCancel(w.ctx))
		w.upload = nil
	}
	w.ended = true
	w.release()
	return w.wrap(err)
}

func (w *Writer) release() { w.part = nil }

var errClosed = errors.New("the writer was closed")

func (w *Writer) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write %s: %w", w.name, err)
}
