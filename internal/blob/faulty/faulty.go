package faulty

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"
	"syscall"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// Options are what a plan alone cannot say.
type Options struct {
	// Crash runs at a crash rule and should not return: a test kills its process or panics. nil panics.
	Crash func(Call)
	// Trace sees every call as it begins; it is called under a lock.
	Trace func(Call)
}

// Call is one call of the bucket.
type Call struct {
	Number    int // of all calls, from 1
	Operation string
	Name      string
}

// String is "12 put a/b".
func (c Call) String() string { return fmt.Sprintf("%d %s %s", c.Number, c.Operation, c.Name) }

// Bucket breaks what is below it by plan.
type Bucket struct {
	below   blob.Bucket
	plan    Plan
	options Options

	mu     sync.Mutex
	calls  int
	counts []int // by rule
	late   sync.WaitGroup
}

var _ blob.Bucket = (*Bucket)(nil)

// New wraps a bucket.
func New(below blob.Bucket, plan Plan, o Options) *Bucket {
	return &Bucket{below: below, plan: plan, options: o, counts: make([]int, len(plan.rules))}
}

// Calls is how many calls there were.
func (b *Bucket) Calls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls
}

// Wait waits until every late call has been carried out.
func (b *Bucket) Wait() { b.late.Wait() }

// Unwrap is for blob.Power.
func (b *Bucket) Unwrap() blob.Bucket { return b.below }

// OpenAt is a power that would pass the plan by: reads go through Get.
func (b *Bucket) OpenAt(ctx context.Context, name, ifMatch string) (blob.ReadAtCloser, blob.Info, error) {
	info, err := b.Head(ctx, name)
	if err == nil && ifMatch != "" && info.ETag != ifMatch {
		err = fault.As(fault.Conflict, blob.ErrChanged)
	}
	if err != nil {
		return nil, info, err
	}
	return &ranges{b: b, ctx: ctx, info: info}, info, nil
}

// ranges reads by Get.
type ranges struct {
	b    *Bucket
	ctx  context.Context
	info blob.Info
}

func (r *ranges) ReadAt(p []byte, off int64) (int, error) {
	if off >= r.info.Size || len(p) == 0 {
		return 0, io.EOF
	}
	body, _, err := r.b.Get(r.ctx, r.info.Name, blob.ReadOptions{Offset: off, Length: int64(len(p)), IfMatch: r.info.ETag})
	if err != nil {
		return 0, err
	}
	defer body.Close()
	n, err := io.ReadFull(body, p)
	if err == io.ErrUnexpectedEOF && off+int64(n) == r.info.Size {
		err = io.EOF
	}
	return n, err
}

func (r *ranges) Close() error { return nil }

// begin counts a call and returns the rules that strike it.
func (b *Bucket) begin(operation, name string) (Call, []rule) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	call := Call{b.calls, operation, name}
	if b.options.Trace != nil {
		b.options.Trace(call)
	}
	var struck []rule
	for i, r := range b.plan.rules {
		if r.matches(operation, name) {
			b.counts[i]++
			if b.counts[i] >= r.first && b.counts[i] <= r.last {
				struck = append(struck, r)
			}
		}
	}
	return call, struck
}

func (b *Bucket) crash(call Call) {
	if b.options.Crash != nil {
		b.options.Crash(call)
		return
	}
	panic("planned crash at call " + call.String())
}

// failures of calls that are not carried out.
func failure(r rule, call Call) error {
	at := func(kind fault.Kind, format string, args ...any) error {
		return fault.New(kind, "planned fault %s at call %s: %w", r.fault, call, fmt.Errorf(format, args...))
	}
	switch r.fault {
	case "403":
		return at(fault.Permission, "access denied")
	case "404":
		return at(fault.NotFound, "%w", blob.ErrNotFound)
	case "412":
		return at(fault.Conflict, "%w", blob.ErrExists)
	case "429":
		return at(fault.Throttled, "slow down")
	case "500", "503":
		return at(fault.Unavailable, "the service is not available")
	case "full":
		return at(fault.Limit, "%w", syscall.ENOSPC)
	}
	return nil
}

// do carries a call out as its rules say. carry may run later than do returns, on a context of its own.
func (b *Bucket) do(ctx context.Context, operation, name string, carry func(context.Context) error) error {
	call, struck := b.begin(operation, name)
	return b.struck(ctx, call, struck, carry)
}

// struck carries a counted call out.
func (b *Bucket) struck(ctx context.Context, call Call, struck []rule, carry func(context.Context) error) error {
	lost, crashAfter := false, false
	for _, r := range struck {
		if err := failure(r, call); err != nil {
			return err
		}
		switch r.fault {
		case "slow":
			select {
			case <-time.After(r.wait):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		case "late":
			b.late.Add(1)
			apart := context.WithoutCancel(ctx)
			time.AfterFunc(r.wait, func() {
				defer b.late.Done()
				_ = carry(apart)
			})
			return fault.New(fault.Unavailable, "planned fault late at call %s: no answer in time", call)
		case "lost":
			lost = true
		case "crash":
			if !r.after {
				b.crash(call)
			}
			crashAfter = crashAfter || r.after
		}
	}
	err := carry(ctx)
	if crashAfter {
		b.crash(call)
	}
	if lost {
		return fault.New(fault.Unavailable, "planned fault lost at call %s: the answer did not come", call)
	}
	return err
}

// URL is the bucket's below.
func (b *Bucket) URL() string { return b.below.URL() }

// Head is blob.Bucket's.
func (b *Bucket) Head(ctx context.Context, name string) (blob.Info, error) {
	var answer guarded
	err := b.do(ctx, "head", name, func(ctx context.Context) error {
		info, err := b.below.Head(ctx, name)
		answer.set(info)
		return err
	})
	return result(answer.get(), err)
}

// Put is blob.Bucket's.
func (b *Bucket) Put(ctx context.Context, name string, body []byte, opts blob.PutOptions) (blob.Info, error) {
	kept := append([]byte(nil), body...) // a late call outlives the caller's buffer
	var answer guarded
	err := b.do(ctx, "put", name, func(ctx context.Context) error {
		info, err := b.below.Put(ctx, name, kept, opts)
		answer.set(info)
		return err
	})
	return result(answer.get(), err)
}

// Publish is blob.Bucket's.
func (b *Bucket) Publish(ctx context.Context, staged blob.Staged, tail []byte, final string, opts blob.PutOptions) (blob.Info, error) {
	kept := append([]byte(nil), tail...)
	var answer guarded
	err := b.do(ctx, "publish", final, func(ctx context.Context) error {
		info, err := b.below.Publish(ctx, staged, kept, final, opts)
		answer.set(info)
		return err
	})
	return result(answer.get(), err)
}

// Delete is blob.Bucket's. Its name is the first of those to delete.
func (b *Bucket) Delete(ctx context.Context, names ...string) error {
	first := ""
	if len(names) > 0 {
		first = names[0]
	}
	return b.do(ctx, "delete", first, func(ctx context.Context) error { return b.below.Delete(ctx, names...) })
}

// List is blob.Bucket's; it counts as one call.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		err := b.do(ctx, "list", prefix, func(ctx context.Context) error {
			for info, err := range b.below.List(ctx, prefix, after) {
				if !yield(info, err) || err != nil {
					return errStopped
				}
			}
			return nil
		})
		if err != nil && err != errStopped {
			yield(blob.Info{}, err)
		}
	}
}

// errStopped: the caller has stopped, or has been told the error.
var errStopped = fmt.Errorf("the list was stopped")

// Create is blob.Bucket's.
func (b *Bucket) Create(ctx context.Context, name string, opts blob.PutOptions) (blob.Upload, error) {
	var made blob.Upload
	err := b.do(ctx, "create", name, func(ctx context.Context) (err error) {
		made, err = b.below.Create(ctx, name, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &upload{b, made, name}, nil
}

type upload struct {
	b     *Bucket
	below blob.Upload
	name  string
}

func (u *upload) Part(ctx context.Context, n int, body []byte) error {
	kept := append([]byte(nil), body...)
	return u.b.do(ctx, "part", u.name, func(ctx context.Context) error { return u.below.Part(ctx, n, kept) })
}

func (u *upload) Complete(ctx context.Context) (blob.Info, error) {
	var answer guarded
	err := u.b.do(ctx, "complete", u.name, func(ctx context.Context) error {
		info, err := u.below.Complete(ctx)
		answer.set(info)
		return err
	})
	return result(answer.get(), err)
}

func (u *upload) Abort(ctx context.Context) error {
	return u.b.do(ctx, "abort", u.name, u.below.Abort)
}

// guarded is an answer that a late call may write while nobody waits for it.
type guarded struct {
	mu   sync.Mutex
	info blob.Info
}

func (g *guarded) set(i blob.Info) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.info = i
}

func (g *guarded) get() blob.Info {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.info
}

// result keeps an answer that was lost from being seen.
func result(info blob.Info, err error) (blob.Info, error) {
	if err != nil {
		return blob.Info{}, err
	}
	return info, nil
}
