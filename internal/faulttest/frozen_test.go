package faulttest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
	"dynaferry/internal/job"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// frozenWish is what the attempt that freezes is told, by an environment variable of this name.
type frozenWish struct {
	Source, Table, State, Mode string
	Write                      int64 // freeze between the look and the sending of this write request
	Head                       int64 // or between the store's answer to this look and its use
}

const frozenVariable = "DYNAFERRY_FROZEN"

// frozenAnswer is what it says when it has woken up and ended.
type frozenAnswer struct {
	Woken int64  // requests it sent after it woke up, those under way included
	Error string // that it ended with
}

// lookEvery stands for the ten seconds of production: it makes an attempt look before each request, as after any freeze.
const lookEvery = time.Nanosecond

// writersMost is how many requests an attempt has under way (job.writersPerTask), and one for each task at a time.
const (
	writersMost = 8
	batchMost   = 25
)

func (f *frozenWish) request(w *world.World, every time.Duration) (*job.Env, *job.Request, error) {
	env := &job.Env{World: w, Version: "test", Workers: 1, State: f.State, LookEvery: every}
	wish := job.ImportWish{Import: job.Import{Table: f.Table, Mode: f.Mode, Tuning: job.Tuning{WriteUnits: "unlimited"}}}
	if f.Mode == job.ModeNewer {
		wish.Version = "version"
	}
	r, err := job.NewImport(context.Background(), env, source.Spec{Address: f.Source, Form: source.DynamoDBJSON}, wish)
	return env, r, err
}

// frozenMain is the attempt: an import that stops itself at a given request, as a machine that is suspended would.
func frozenMain() int {
	var f frozenWish
	if err := json.Unmarshal([]byte(os.Getenv(frozenVariable)), &f); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	freezer := &freezer{wish: f, thawed: make(chan struct{}), continued: make(chan os.Signal, 1)}
	signal.Notify(freezer.continued, syscall.SIGCONT)
	w := world.New()
	w.WrapClient = func(c dynamo.Client) dynamo.Client { return &freezingClient{c, freezer} }
	w.WrapBucket = func(b blob.Bucket) blob.Bucket { return &freezingBucket{b, freezer} }
	env, r, err := f.request(w, lookEvery)
	if err == nil {
		_, _, err = job.Execute(context.Background(), env, r)
	}
	answer := frozenAnswer{Woken: freezer.woken.Load()}
	if err != nil {
		answer.Error = err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(answer)
	return 0
}

type freezer struct {
	wish                 frozenWish
	writes, heads, woken atomic.Int64
	frozen               atomic.Bool
	continued            chan os.Signal
	thawed               chan struct{}
}

// freeze stops this process until somebody continues it. A crowded machine stops the last of its threads only a while
// after the signal was sent: none of them sends anything more in between.
func (f *freezer) freeze() {
	f.frozen.Store(true)
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	<-f.continued
	close(f.thawed)
}

// write is called where a request is about to be sent.
func (f *freezer) write() {
	if f.writes.Add(1) == f.wish.Write {
		f.freeze()
	}
	if f.frozen.Load() {
		f.woken.Add(1)
		<-f.thawed
	}
}

type freezingClient struct {
	dynamo.Client
	f *freezer
}

func (c *freezingClient) BatchWrite(ctx context.Context, r *dynamo.BatchWriteRequest) (*dynamo.BatchWriteReply, error) {
	c.f.write()
	return c.Client.BatchWrite(ctx, r)
}

func (c *freezingClient) Write(ctx context.Context, r *dynamo.WriteRequest) (*dynamo.WriteReply, error) {
	c.f.write()
	return c.Client.Write(ctx, r)
}

type freezingBucket struct {
	blob.Bucket
	f *freezer
}

func (b *freezingBucket) Unwrap() blob.Bucket { return b.Bucket }

func (b *freezingBucket) Head(ctx context.Context, name string) (blob.Info, error) {
	info, err := b.Bucket.Head(ctx, name)
	if strings.Contains(name, "plans/") && b.f.heads.Add(1) == b.f.wish.Head {
		b.f.freeze()
	}
	return info, err
}

// TestFrozen stops an import in the worst moments, finishes it elsewhere, changes a thousand items as an application would,
// and wakes it up.
func TestFrozen(t *testing.T) {
	endpoint := tables(t)
	dir := scratch(t)
	const n = 1000
	src := write(t, filepath.Join(dir, "src", "a.json"), lines(n, func(dst []byte, i uint64) []byte {
		return fmt.Appendf(dst, `{"pk":{"S":"f-%04d"},"version":{"N":"1"},"by":{"S":"import"}}`, i)
	}))
	var cases []frozenWish
	for _, c := range []struct {
		mode   string
		writes []int64
		heads  []int64
	}{{job.ModePut, []int64{1, 2, 9, 20, 37}, []int64{2, 4, 6}}, {job.ModeIfAbsent, []int64{1, 20, 500}, []int64{2, 4}}, {job.ModeNewer, []int64{1, 20, 900}, []int64{2, 4}}} {
		for _, k := range c.writes {
			cases = append(cases, frozenWish{Mode: c.mode, Write: k})
		}
		for _, k := range c.heads {
			cases = append(cases, frozenWish{Mode: c.mode, Head: k})
		}
	}
	if testing.Short() {
		cases = []frozenWish{cases[1], cases[9], cases[15]}
	}
	lost, woken, put := 0, 0, 0
	for i := range cases {
		c := &cases[i]
		name := fmt.Sprintf("Frozen%03d", i)
		c.Source, c.Table, c.State = src, "dynamodb://"+name+"?endpoint="+endpoint, filepath.Join(dir, name)
		overwritten, answer := c.run(t, n)
		woken += int(answer.Woken)
		switch {
		case answer.Woken > writersMost:
			t.Errorf("%+v: %d requests were sent after waking up; at most %d may have been under way", *c, answer.Woken, writersMost)
		case answer.Error != "":
			t.Errorf("%+v: it ended with %s", *c, answer.Error)
		case c.Mode == job.ModePut && overwritten > int(answer.Woken)*batchMost:
			t.Errorf("%+v: %d items were overwritten by %d requests", *c, overwritten, answer.Woken)
		case c.Mode != job.ModePut && overwritten > 0:
			t.Errorf("%+v: %d items of the application are lost", *c, overwritten)
		}
		if c.Mode == job.ModePut {
			put++
			lost += overwritten
		}
	}
	if lost == 0 {
		t.Error("no put that was under way has landed: the suite does not freeze where it hurts")
	}
	t.Logf("frozen: %d attempts, %d requests under way when frozen, %d items overwritten by %d with put, none by the others", len(cases), woken, lost, put)
}

func (f *frozenWish) run(t *testing.T, n int) (overwritten int, answer frozenAnswer) {
	t.Helper()
	ctx := context.Background()
	w := world.New()
	at, err := world.Parse(f.Table)
	if err != nil {
		t.Fatal(err)
	}
	client, err := w.Client(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(ctx, &dynamo.Definition{Version: dynamo.DefinitionVersion, Name: at.Host, BillingMode: "PAY_PER_REQUEST", Keys: keysOf("pk")}); err != nil {
		t.Fatal(err)
	}
	wish, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	cmd, out, stderr := program("frozen", []string{frozenVariable + "=" + string(wish)})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitStop(t, cmd)
	defer func() { _ = cmd.Process.Kill() }()
	env, r, err := f.request(w, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := job.Execute(ctx, env, r); err != nil {
		t.Fatalf("%+v: finish it elsewhere: %v", *f, err)
	}
	for i := range n {
		changed := itemtest.Must(map[string]item.Value{"pk": {Type: item.S, Str: fmt.Sprintf("f-%04d", i)}, "version": {Type: item.N, Str: "2"}, "by": {Type: item.S, Str: "application"}})
		if _, err := client.Write(ctx, &dynamo.WriteRequest{Table: at.Host, Item: changed}); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if o := ended(t, cmd, cmd.Wait(), out, stderr); o.code != 0 {
		t.Fatalf("%+v: %s", *f, o)
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return n - f.kept(t, client, at.Host), answer
}

func keysOf(name string) item.KeySchema {
	return item.KeySchema{Hash: item.KeyAttr{Name: name, Type: item.S}}
}

// kept counts the application's items in the table.
func (f *frozenWish) kept(t *testing.T, client dynamo.Client, table string) int {
	t.Helper()
	kept := 0
	var b item.Batch
	req := &dynamo.ScanRequest{Table: table}
	for {
		page, err := client.Scan(context.Background(), req, &b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Rows {
			it := b.Item(i)
			if at, ok := it.Get("by"); ok && string(it.Text(at)) == "application" {
				kept++
			}
		}
		if page.Last == nil {
			return kept
		}
		req.Start = page.Last
	}
}

// awaitStop waits until the process has stopped itself.
func awaitStop(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var status syscall.WaitStatus
	for {
		pid, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil || pid != cmd.Process.Pid:
			t.Fatalf("wait for the attempt: %v", err)
		case !status.Stopped():
			t.Fatalf("the attempt ended before it froze: %v %q", status.ExitStatus(), cmd.Env[len(cmd.Env)-1])
		}
		return
	}
}
