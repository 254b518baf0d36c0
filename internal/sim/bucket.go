package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// Store is what all buckets of a world look into: objects in memory.
type Store struct {
	w       *World
	mu      sync.Mutex
	objects map[string]*object
	version int
	calls   map[string]int // by operation
	written map[string]int // by name, how often a put took effect
}

type object struct {
	data []byte
	info blob.Info
}

// Bucket is the view of somebody outside of the history: it takes no time, and nothing goes wrong.
func (s *Store) Bucket() blob.Bucket { return &bucket{s: s} }

// Names lists all objects.
func (s *Store) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// Calls tells how often an operation of buckets was called, by processes and others.
func (s *Store) Calls(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// Written tells how often a put of a name took effect.
func (s *Store) Written(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written[name]
}

// Modified tells when an object was put; zero when it was not.
func (s *Store) Modified(name string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[name]; o != nil {
		return o.info.Modified
	}
	return time.Time{}
}

func (s *Store) find(name string) (*object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[name]; o != nil {
		return o, nil
	}
	return nil, fault.As(fault.NotFound, fmt.Errorf("%s: %w", name, blob.ErrNotFound))
}

// put is the moment at which a write takes effect.
func (s *Store) put(name string, data []byte, o blob.PutOptions) (blob.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.objects[name]
	if o.IfAbsent && old != nil {
		return blob.Info{}, fault.As(fault.Conflict, fmt.Errorf("%s: %w", name, blob.ErrExists))
	}
	if o.IfMatch != "" && (old == nil || old.info.ETag != o.IfMatch) {
		return blob.Info{}, fault.As(fault.Conflict, fmt.Errorf("%s: %w", name, blob.ErrChanged))
	}
	s.version++
	s.written[name]++
	info := blob.Info{Name: name, Size: int64(len(data)), ETag: fmt.Sprintf(`"%d"`, s.version), Modified: time.Now(), Metadata: maps.Clone(o.Metadata)}
	s.objects[name] = &object{data, info}
	return info, nil
}

// bucket is a process's view of the store; without a process it is Store.Bucket's.
type bucket struct {
	s    *Store
	p    *Process
	part string // of the process: its calls draw numbers of their own
}

func (b *bucket) URL() string { return "sim://bucket" }

func (b *bucket) count(op string) {
	b.s.mu.Lock()
	b.s.calls[op]++
	b.s.mu.Unlock()
}

// read carries out a call that changes nothing.
func (b *bucket) read(ctx context.Context, op, name string, do func(r *rand.Rand) error) error {
	b.count(op)
	if b.p == nil {
		return errors.Join(ctx.Err(), do(nil))
	}
	c, err := b.p.begin(ctx, b.part+op, name, 0, nil)
	if err != nil {
		return err
	}
	switch b.s.w.pick(c.r, Before, Slow) {
	case Before:
		return c.answer(ctx, "503", unavailable("503 Slow Down"))
	case Slow:
		c.back += c.spread(30 * time.Second)
	}
	err = do(c.r)
	return c.answer(ctx, outcome(err), err)
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, feed.ErrExpired):
		return "expired"
	case errors.Is(err, feed.ErrTrimmed):
		return "trimmed"
	}
	return fault.KindOf(err).String()
}

func (b *bucket) Head(ctx context.Context, name string) (info blob.Info, err error) {
	err = b.read(ctx, "head", name, func(*rand.Rand) error {
		o, err := b.s.find(name)
		if err == nil {
			info = o.info
		}
		return err
	})
	return info, err
}

func (b *bucket) Get(ctx context.Context, name string, o blob.ReadOptions) (r io.ReadCloser, info blob.Info, err error) {
	err = b.read(ctx, "get", name, func(chance *rand.Rand) error {
		there, err := b.s.find(name)
		if err != nil {
			return err
		}
		info = there.info
		if o.IfMatch != "" && o.IfMatch != info.ETag {
			return fault.As(fault.Conflict, blob.ErrChanged)
		}
		offset, length := blob.Span(o, info.Size)
		data := there.data[offset : offset+length]
		if chance != nil && length > 0 && b.s.w.pick(chance, Damaged) == Damaged {
			data = bytes.Clone(data)
			data[chance.Int64N(length)] ^= 1 << chance.IntN(8)
		}
		r = io.NopCloser(bytes.NewReader(data))
		return nil
	})
	return r, info, err
}

// write carries out a call that changes something, with all that may go wrong with one.
func (b *bucket) write(ctx context.Context, op, name string, conditional bool, do func() (blob.Info, error)) (info blob.Info, err error) {
	b.count(op)
	if b.p == nil {
		if err := ctx.Err(); err != nil {
			return blob.Info{}, err
		}
		return do()
	}
	land := func() { _, _ = do() }
	c, err := b.p.begin(ctx, b.part+op, name, 0, land)
	if err != nil {
		return blob.Info{}, err
	}
	switch f := b.s.w.pick(c.r, Before, After, Lost, Late, Busy, Slow); f {
	case Before:
		return blob.Info{}, c.answer(ctx, "503", unavailable("503 Slow Down"))
	case Late:
		// From 20 ms to 5 minutes, as often within a second as above a minute.
		after := time.Duration(20e6 * math.Exp(c.r.Float64()*math.Log(15_000)))
		time.AfterFunc(after, land)
		return blob.Info{}, c.answer(ctx, "late", unavailable("connection reset by peer"))
	case Busy:
		if conditional {
			return blob.Info{}, c.answer(ctx, "409", fault.As(fault.Conflict, fmt.Errorf("409 ConditionalRequestConflict: %w", blob.ErrExists)))
		}
	case After, Lost:
		_, err := do()
		answer := "500 Internal Error"
		if f == Lost {
			answer = "connection reset by peer"
		}
		return blob.Info{}, c.answer(ctx, string(f)+" "+outcome(err), unavailable(answer))
	case Slow:
		c.back += c.spread(30 * time.Second)
	}
	info, err = do()
	if err := c.answer(ctx, outcome(err), err); err != nil {
		return blob.Info{}, err
	}
	return info, nil
}

func (b *bucket) Put(ctx context.Context, name string, body []byte, o blob.PutOptions) (blob.Info, error) {
	data := bytes.Clone(body) // the caller may use his again, and the put may land later
	return b.write(ctx, "put", name, o.IfAbsent || o.IfMatch != "", func() (blob.Info, error) { return b.s.put(name, data, o) })
}

func (b *bucket) Publish(ctx context.Context, staged blob.Staged, tail []byte, final string, o blob.PutOptions) (blob.Info, error) {
	keep, err := staged.Kept()
	if err != nil {
		return blob.Info{}, err
	}
	tail = bytes.Clone(tail)
	o.IfAbsent = true
	return b.write(ctx, "publish", final, true, func() (blob.Info, error) {
		from, err := b.s.find(staged.Name)
		if err != nil {
			return blob.Info{}, err
		}
		if from.info.Size != staged.Size {
			return blob.Info{}, fault.New(fault.Corrupt, "%s has %d bytes, not %d", staged.Name, from.info.Size, staged.Size)
		}
		return b.s.put(final, append(bytes.Clone(from.data[:keep]), tail...), o)
	})
}

func (b *bucket) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		var found []blob.Info
		err := b.read(ctx, "list", prefix, func(r *rand.Rand) error {
			asOf := time.Now()
			if r != nil && b.s.w.pick(r, Stale) == Stale {
				asOf = asOf.Add(-time.Duration(r.Int64N(int64(time.Minute))))
			}
			b.s.mu.Lock()
			defer b.s.mu.Unlock()
			for name, o := range b.s.objects {
				if strings.HasPrefix(name, prefix) && name > after && !o.info.Modified.After(asOf) {
					info := o.info
					info.Metadata = nil
					found = append(found, info)
				}
			}
			return nil
		})
		if err != nil {
			yield(blob.Info{}, err)
			return
		}
		slices.SortFunc(found, func(x, y blob.Info) int { return strings.Compare(x.Name, y.Name) })
		for _, info := range found {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (b *bucket) Delete(ctx context.Context, names ...string) error {
	_, err := b.write(ctx, "delete", strings.Join(names, " "), false, func() (blob.Info, error) {
		b.s.mu.Lock()
		defer b.s.mu.Unlock()
		for _, name := range names {
			delete(b.s.objects, name)
		}
		return blob.Info{}, nil
	})
	return err
}

func (b *bucket) Create(ctx context.Context, name string, o blob.PutOptions) (blob.Upload, error) {
	_, err := b.write(ctx, "create", name, false, func() (blob.Info, error) { return blob.Info{}, nil })
	if err != nil {
		return nil, err
	}
	return &upload{b: b, name: name, o: o, parts: map[int][]byte{}}, nil
}

// upload is an object in parts. Once it was completed, by an answer that got lost or not, there is none of its name.
type upload struct {
	b     *bucket
	name  string
	o     blob.PutOptions
	mu    sync.Mutex
	parts map[int][]byte // nil when it is no more
}

var errNoUpload = fmt.Errorf("404 NoSuchUpload: %w", blob.ErrNotFound)

func (u *upload) Part(ctx context.Context, n int, body []byte) error {
	data := bytes.Clone(body)
	_, err := u.b.write(ctx, "part", fmt.Sprintf("%s/%d", u.name, n), false, func() (blob.Info, error) {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.parts == nil {
			return blob.Info{}, fault.As(fault.NotFound, errNoUpload)
		}
		u.parts[n] = data
		return blob.Info{}, nil
	})
	return err
}

func (u *upload) Complete(ctx context.Context) (blob.Info, error) {
	return u.b.write(ctx, "complete", u.name, u.o.IfAbsent || u.o.IfMatch != "", func() (blob.Info, error) {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.parts == nil {
			return blob.Info{}, fault.As(fault.NotFound, errNoUpload)
		}
		var data []byte
		for _, n := range slices.Sorted(maps.Keys(u.parts)) {
			data = append(data, u.parts[n]...)
		}
		info, err := u.b.s.put(u.name, data, u.o)
		if err == nil {
			u.parts = nil
		}
		return info, err
	})
}

func (u *upload) Abort(ctx context.Context) error {
	_, err := u.b.write(ctx, "abort", u.name, false, func() (blob.Info, error) {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.parts = nil
		return blob.Info{}, nil
	})
	return err
}
