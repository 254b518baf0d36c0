package faulttest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/world"
)

// The variables that a child reads: where it kills itself, "40 before", "40 after" or "40 mid 300µs" ("40 term" asks
// it to end, "40 stop" stops it before the call until somebody continues it), and the file that gets a line for each
// call. "put:7 before" is the seventh put, "put@.done:1 before" the first of a name with .done in it: of what does many
// things at once the total says little.
const (
	crashVariable = "DYNAFERRY_CRASH"
	traceVariable = "DYNAFERRY_TRACE"
)

// trace numbers the external calls of a process: those of buckets and tables, and the steps inside a folder's calls that a
// crash could part. A step is in the middle of its call, so a crash before it is a crash in the middle.
type trace struct {
	crash struct {
		call  int
		of    string // operation that is counted; "" counts all
		name  string // and what the names have in them
		phase string
		delay time.Duration
	}
	file *os.File
	meet map[int]func() // what happens just before a call

	mu    sync.Mutex
	calls []string // "put plans/x/plan"
	count int      // of calls that the crash is counted by

	look func(call string)        // is called before each call; nil looks at nothing
	read func(name string, n int) // is called with bytes of bodies as they come; nil counts nothing
}

func traceFromEnvironment() (*trace, error) {
	t := &trace{}
	if at := os.Getenv(crashVariable); at != "" {
		words := strings.Fields(at)
		of, number, ok := strings.Cut(words[0], ":")
		if !ok {
			of, number = "", words[0]
		}
		t.crash.of, t.crash.name, _ = strings.Cut(of, "@")
		n, err := strconv.Atoi(number)
		if err != nil || len(words) < 2 {
			return nil, fmt.Errorf("%s=%q", crashVariable, at)
		}
		t.crash.call, t.crash.phase = n, words[1]
		if len(words) == 3 {
			if t.crash.delay, err = time.ParseDuration(words[2]); err != nil {
				return nil, err
			}
		}
	}
	if name := os.Getenv(traceVariable); name != "" {
		file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return nil, err
		}
		t.file = file
	}
	return t, nil
}

func (t *trace) wrap(w *world.World) {
	w.WrapBucket = func(b blob.Bucket) blob.Bucket {
		if f, ok := b.(interface{ SetStep(func(string) error) }); ok {
			f.SetStep(func(what string) error {
				t.begin("step", what)
				return nil
			})
		}
		traced := &tracedBucket{b, t}
		if power, ok := blob.Power[blob.RandomAccess](b); ok {
			return &tracedFolder{traced, power}
		}
		return traced
	}
	w.WrapClient = func(c dynamo.Client) dynamo.Client { return &tracedClient{c, t} }
	w.WrapFeed = func(c feed.Client) feed.Client { return &tracedFeed{c, t} }
}

// die is kill -9 by one's own hand.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// begin counts a call. It returns whether the crash is after it.
func (t *trace) begin(operation, name string) (after bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls = append(t.calls, operation+" "+name)
	n := len(t.calls)
	if meet := t.meet[n]; meet != nil && operation != "step" { // a folder may hold a lock there that others wait for
		meet()
	}
	if t.file != nil {
		fmt.Fprintf(t.file, "%s %s\n", operation, name)
	}
	if t.look != nil {
		t.look(operation + " " + name)
	}
	if t.crash.of != "" && (t.crash.of != operation || !strings.Contains(name, t.crash.name)) {
		return false
	}
	if t.count++; t.count != t.crash.call {
		return false
	}
	switch {
	case t.crash.phase == "stop": // nothing else passes: all calls begin here
		continued := make(chan os.Signal, 1)
		signal.Notify(continued, syscall.SIGCONT)
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		<-continued
	case t.crash.phase == "term":
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	case t.crash.phase == "before", operation == "step":
		die()
	case t.crash.phase == "mid":
		time.AfterFunc(t.crash.delay, die)
	case t.crash.phase == "after":
		return true
	}
	return false
}

func (t *trace) end(after bool) {
	if after {
		die()
	}
}

// list is a copy of the calls so far.
func (t *trace) list() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.calls)
}

type tracedBucket struct {
	below blob.Bucket
	t     *trace
}

func (b *tracedBucket) Unwrap() blob.Bucket { return b.below }
func (b *tracedBucket) URL() string         { return b.below.URL() }

func (b *tracedBucket) Head(ctx context.Context, name string) (blob.Info, error) {
	defer b.t.end(b.t.begin("head", name))
	return b.below.Head(ctx, name)
}

func (b *tracedBucket) Get(ctx context.Context, name string, o blob.ReadOptions) (io.ReadCloser, blob.Info, error) {
	defer b.t.end(b.t.begin("get", name))
	r, info, err := b.below.Get(ctx, name, o)
	if err == nil && b.t.read != nil {
		r = &countedBody{r, func(n int) { b.t.read(name, n) }}
	}
	return r, info, err
}

// countedBody tells how many bytes are read.
type countedBody struct {
	io.ReadCloser
	read func(n int)
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read(n)
	return n, err
}

func (b *tracedBucket) Put(ctx context.Context, name string, body []byte, o blob.PutOptions) (blob.Info, error) {
	defer b.t.end(b.t.begin("put", name))
	return b.below.Put(ctx, name, body, o)
}

func (b *tracedBucket) Publish(ctx context.Context, staged blob.Staged, tail []byte, final string, o blob.PutOptions) (blob.Info, error) {
	defer b.t.end(b.t.begin("publish", final))
	return b.below.Publish(ctx, staged, tail, final, o)
}

func (b *tracedBucket) Delete(ctx context.Context, names ...string) error {
	defer b.t.end(b.t.begin("delete", strings.Join(names, ",")))
	return b.below.Delete(ctx, names...)
}

func (b *tracedBucket) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		defer b.t.end(b.t.begin("list", prefix))
		b.below.List(ctx, prefix, after)(yield)
	}
}

func (b *tracedBucket) Create(ctx context.Context, name string, o blob.PutOptions) (blob.Upload, error) {
	defer b.t.end(b.t.begin("create", name))
	u, err := b.below.Create(ctx, name, o)
	if err != nil {
		return nil, err
	}
	return &tracedUpload{u, b.t, name}, nil
}

// tracedFolder keeps a folder's power and counts its calls.
type tracedFolder struct {
	*tracedBucket
	power blob.RandomAccess
}

func (b *tracedFolder) OpenAt(ctx context.Context, name, ifMatch string) (blob.ReadAtCloser, blob.Info, error) {
	defer b.t.end(b.t.begin("openat", name))
	return b.power.OpenAt(ctx, name, ifMatch)
}

type tracedUpload struct {
	below blob.Upload
	t     *trace
	name  string
}

func (u *tracedUpload) Part(ctx context.Context, n int, body []byte) error {
	after := u.t.begin("part", u.name)
	if u.t.crash.phase == "mid" && u.t.crash.of == "" && u.t.crash.call == len(u.t.list()) {
		_ = u.below.Part(ctx, n, body[:len(body)/2])
		die()
	}
	defer u.t.end(after)
	return u.below.Part(ctx, n, body)
}

func (u *tracedUpload) Complete(ctx context.Context) (blob.Info, error) {
	defer u.t.end(u.t.begin("complete", u.name))
	return u.below.Complete(ctx)
}

func (u *tracedUpload) Abort(ctx context.Context) error {
	defer u.t.end(u.t.begin("abort", u.name))
	return u.below.Abort(ctx)
}

type tracedClient struct {
	below dynamo.Client
	t     *trace
}

func (c *tracedClient) Describe(ctx context.Context, table string) (*dynamo.Table, error) {
	defer c.t.end(c.t.begin("describe", table))
	return c.below.Describe(ctx, table)
}

func (c *tracedClient) Scan(ctx context.Context, r *dynamo.ScanRequest, b *item.Batch) (*dynamo.Page, error) {
	defer c.t.end(c.t.begin("scan", fmt.Sprintf("%s %d/%d", r.Table, r.Segment, r.Segments)))
	return c.below.Scan(ctx, r, b)
}

func (c *tracedClient) Get(ctx context.Context, table string, keys []item.Item, b *item.Batch) (*dynamo.Page, error) {
	defer c.t.end(c.t.begin("batchget", table))
	return c.below.Get(ctx, table, keys, b)
}

func (c *tracedClient) BatchWrite(ctx context.Context, r *dynamo.BatchWriteRequest) (*dynamo.BatchWriteReply, error) {
	defer c.t.end(c.t.begin("batchwrite", r.Table))
	return c.below.BatchWrite(ctx, r)
}

func (c *tracedClient) Write(ctx context.Context, r *dynamo.WriteRequest) (*dynamo.WriteReply, error) {
	defer c.t.end(c.t.begin("write", r.Table))
	return c.below.Write(ctx, r)
}

func (c *tracedClient) Create(ctx context.Context, d *dynamo.Definition) (*dynamo.Table, error) {
	defer c.t.end(c.t.begin("createtable", d.Name))
	return c.below.Create(ctx, d)
}

func (c *tracedClient) Delete(ctx context.Context, table string) error {
	defer c.t.end(c.t.begin("deletetable", table))
	return c.below.Delete(ctx, table)
}

func (c *tracedClient) Unwrap() dynamo.Client { return c.below }

func (c *tracedClient) control() dynamo.Control {
	control, ok := dynamo.Power[dynamo.Control](c.below)
	if !ok {
		panic("a client without control")
	}
	return control
}

func (c *tracedClient) Settings(ctx context.Context, t *dynamo.Table) (*dynamo.Settings, error) {
	defer c.t.end(c.t.begin("settings", t.Name))
	return c.control().Settings(ctx, t)
}

func (c *tracedClient) Make(ctx context.Context, d *dynamo.Definition) (*dynamo.Table, error) {
	defer c.t.end(c.t.begin("createtable", d.Name))
	return c.control().Make(ctx, d)
}

func (c *tracedClient) Set(ctx context.Context, t *dynamo.Table, d *dynamo.Definition, s dynamo.Setting) error {
	defer c.t.end(c.t.begin("set", t.Name+" "+string(s)))
	return c.control().Set(ctx, t, d, s)
}

func (c *tracedClient) RestoreTo(ctx context.Context, from, to string, at time.Time) (*dynamo.Table, error) {
	defer c.t.end(c.t.begin("restoretable", to))
	return c.control().RestoreTo(ctx, from, to, at)
}

type tracedFeed struct {
	below feed.Client
	t     *trace
}

func (c *tracedFeed) Describe(ctx context.Context, stream string) (*feed.Stream, error) {
	defer c.t.end(c.t.begin("stream", ""))
	return c.below.Describe(ctx, stream)
}

func (c *tracedFeed) Shards(ctx context.Context, stream, of string) ([]feed.Shard, error) {
	defer c.t.end(c.t.begin("shards", of))
	return c.below.Shards(ctx, stream, of)
}

func (c *tracedFeed) Iterator(ctx context.Context, stream, shard string, after feed.Position) (string, error) {
	defer c.t.end(c.t.begin("iterator", shard))
	return c.below.Iterator(ctx, stream, shard, after)
}

func (c *tracedFeed) Read(ctx context.Context, iterator string, limit int, p *feed.Page) error {
	defer c.t.end(c.t.begin("read", ""))
	return c.below.Read(ctx, iterator, limit, p)
}
