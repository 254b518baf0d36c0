package cli

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dynaferry/internal/aws"
	"dynaferry/internal/blob"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/local"
	"dynaferry/internal/local/bucket"
	"dynaferry/internal/world"
)

// nativeWorld is a local world whose exports can be held up, made to fail, and moved in time.
type nativeWorld struct {
	t       *testing.T
	ahead   atomic.Int64 // ns that the tables' clock is before ours
	openAs  atomic.Value // func() error, asked before the service opens a bucket
	exports atomic.Int64 // begun, by the buckets opened
	units   atomic.Int64 // read units that clients of MainIn consumed, in thousandths
	session *aws.Session
	client  dynamo.Native
}

func newNativeWorld(t *testing.T, o local.Options) *nativeWorld { return newNativeWorldAt(t, o, 0) }

// newNativeWorldAt is a world that begins at a time before or behind ours.
func newNativeWorldAt(t *testing.T, o local.Options, ahead time.Duration) *nativeWorld {
	exe, err := exec.LookPath("dynaferry")
	if err != nil {
		t.Fatal(err)
	}
	s3, err := bucket.Start(context.Background(), exe, []string{bucketCommandName}, bucket.Config{Dir: t.TempDir(), Region: regionLocal, Buckets: []string{"lake"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s3.Close() })
	buckets, err := bucketsOf(context.Background(), s3)
	if err != nil {
		t.Fatal(err)
	}
	w := &nativeWorld{t: t}
	w.ahead.Store(int64(ahead))
	w.openAs.Store(func() error { return nil })
	o.NoSync, o.Clock = true, func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }
	o.Bucket = func(ctx context.Context, name string) (blob.Bucket, error) {
		w.exports.Add(1)
		if err := w.openAs.Load().(func() error)(); err != nil {
			return nil, err
		}
		return buckets(ctx, name)
	}
	db, err := local.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for name, value := range map[string]string{"HOME": t.TempDir(), "AWS_REGION": regionLocal, "AWS_ACCESS_KEY_ID": s3.Config.AccessKey,
		"AWS_SECRET_ACCESS_KEY": s3.Config.SecretKey, "AWS_ENDPOINT_URL_DYNAMODB": db.URL, "AWS_ENDPOINT_URL_S3": s3.Endpoint,
		"AWS_CONFIG_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(name, value)
	}
	if w.session, err = aws.Load(t.Context(), aws.Options{}); err != nil {
		t.Fatal(err)
	}
	d, err := w.session.DynamoDB()
	if err != nil {
		t.Fatal(err)
	}
	w.client = d
	items := t.TempDir() + "/items.jsonl"
	if err := os.WriteFile(items, []byte(`{"id":"a"}`+"\n"+`{"id":"b"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(0, "import", items, "dynamodb://Orders", "--create", "--key", "id")
	return w
}

// run runs the program in this process, and returns what it said on both streams.
func (w *nativeWorld) run(code int, args ...string) string {
	w.t.Helper()
	var out bytes.Buffer
	in := world.New()
	in.WrapClient = func(c dynamo.Client) dynamo.Client { return metered{c, &w.units} }
	if got := MainIn(in, args, strings.NewReader(""), &out, &out); got != code {
		w.t.Fatalf("%q: exit code %d, want %d\n%s", args, got, code, out.String())
	}
	return out.String()
}

// metered counts read units, and lets the client's powers through.
type metered struct {
	dynamo.Client
	units *atomic.Int64
}

func (m metered) Unwrap() dynamo.Client { return m.Client }

func (m metered) Scan(ctx context.Context, req *dynamo.ScanRequest, b *item.Batch) (*dynamo.Page, error) {
	page, err := m.Client.Scan(ctx, req, b)
	if err == nil {
		m.units.Add(int64(page.Units * 1000))
	}
	return page, err
}

func (m metered) Get(ctx context.Context, table string, keys []item.Item, b *item.Batch) (*dynamo.Page, error) {
	page, err := m.Client.Get(ctx, table, keys, b)
	if err == nil {
		m.units.Add(int64(page.Units * 1000))
	}
	return page, err
}

// A native export reads nothing from the table, converted or not, and says so.
func TestNativeReadsNoUnits(t *testing.T) {
	w := newNativeWorld(t, local.Options{})
	w.units.Store(0)
	for _, args := range [][]string{{"s3://lake/parquet"}, {"s3://lake/written", "--format", "ion"}, {"s3://lake/csv", "--format", "csv"}} {
		out := w.run(0, append([]string{"export", "dynamodb://Orders", "--native", "--enable-pitr"}, args...)...)
		if !strings.Contains(out, "  read units   0\n") {
			t.Errorf("%q:\n%s", args, out)
		}
	}
	if n := w.units.Load(); n != 0 {
		t.Errorf("native exports consumed %d thousandths of a read unit", n)
	}
	w.run(0, "export", "dynamodb://Orders", "s3://lake/scan")
	if w.units.Load() == 0 {
		t.Error("a scan consumed none: the meter is broken")
	}
}

// Killed while it waits, and run again: the same export, or import, is waited for, and there is one only.
func TestNativeKilledWaiting(t *testing.T) {
	w := newNativeWorld(t, local.Options{})
	for _, to := range []string{"s3://lake/written", "s3://lake/chain"} {
		w.run(0, "export", "dynamodb://Orders", to, "--native", "--format", "ion", "--enable-pitr")
	}
	for _, args := range [][]string{
		{"export", "dynamodb://Orders", "s3://lake/killed", "--native", "--at", "now"},
		{"export", "dynamodb://Orders", "--native", "--follow-on", "s3://lake/chain"},
		{"import", "s3://lake/written", "dynamodb://Orders2", "--native"},
		{"backup", "dynamodb://Orders", "s3://lake/place", "--chain"},
		{"backup", "dynamodb://Orders", "s3://lake/place", "--chain", "--view", "new"},
	} {
		w.killedWaiting(args)
	}
	w.run(0, "verify", "dynamodb://Orders", "s3://lake/killed")
	w.run(0, "verify", "dynamodb://Orders", "dynamodb://Orders2")
	if out := w.run(0, "inspect", "s3://lake/place"); !strings.Contains(out, "backups        2 of") {
		t.Errorf("the catalogue: %s", out)
	}
	w.run(0, "restore", "s3://lake/place", "dynamodb://Orders3")
}

func (w *nativeWorld) killedWaiting(args []string) {
	release := make(chan struct{})
	var once sync.Once
	free := func() { once.Do(func() { close(release) }) }
	w.t.Cleanup(free)
	w.openAs.Store(func() error { <-release; return nil })
	before := w.exports.Load()
	for kill := range 3 {
		said := &lockedBuffer{}
		cmd := exec.Command("dynaferry", args...)
		cmd.Stderr, cmd.Stdout = said, said
		if err := cmd.Start(); err != nil {
			w.t.Fatal(err)
		}
		waitFor(w.t, func() bool {
			return strings.Contains(said.String(), " has begun") || kill > 0 && strings.Contains(said.String(), "going on with plan")
		}, said)
		time.Sleep(time.Duration(kill*40) * time.Millisecond) // between the request and its note, or waiting
		if err := cmd.Process.Kill(); err != nil {
			w.t.Fatal(err)
		}
		_ = cmd.Wait() // killed
	}
	free()
	if out := w.run(0, args...); !strings.Contains(out, "going on with plan") {
		w.t.Errorf("%q: %s", args, out)
	}
	if n := w.exports.Load() - before; n != 1 {
		w.t.Errorf("%q: the service was made to begin %d", args, n)
	}
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, holds func() bool, said *lockedBuffer) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain; it said\n%s", said.String())
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// An export that the service gives up ends with its words and a hint; the next run is another export.
func TestNativeFailed(t *testing.T) {
	w := newNativeWorld(t, local.Options{})
	w.run(0, "export", "dynamodb://Orders", "s3://lake/ok", "--native", "--enable-pitr")
	for _, c := range []struct {
		err  error
		code int
		says []string
	}{
		{fault.New(fault.NotFound, "gone"), 1, []string{"S3NoSuchBucket: The specified bucket does not exist", "try: make the bucket"}},
		{fault.New(fault.Permission, "no"), 1, []string{"S3AccessDenied: Access Denied", "try: allow s3:PutObject"}},
		{errors.New("broken"), 75, []string{"InternalServerError: ", "try: run the same command again"}},
	} {
		w.openAs.Store(func() error { return c.err })
		before := w.exports.Load()
		for _, form := range []string{"parquet", "ion"} {
			out := w.run(c.code, "export", "dynamodb://Orders", "s3://lake/"+form, "--native", "--format", form)
			for _, say := range c.says {
				if !strings.Contains(out, say) {
					t.Errorf("%v: %s", c.err, out)
				}
			}
		}
		if n := w.exports.Load() - before; n != 2 {
			t.Errorf("%v: %d exports", c.err, n)
		}
	}
	w.openAs.Store(func() error { return nil })
	for _, form := range []string{"parquet", "ion"} {
		w.run(0, "export", "dynamodb://Orders", "s3://lake/"+form, "--native", "--format", form)
		w.run(0, "verify", "dynamodb://Orders", "s3://lake/"+form)
	}
}

// pace has the tables' clock go on by so much every 20 ms, until stop.
func (w *nativeWorld) pace(step time.Duration) (stop func()) {
	done := make(chan struct{})
	var clock sync.WaitGroup
	clock.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
				w.ahead.Add(int64(step))
			}
		}
	})
	return func() { close(done); clock.Wait() }
}

// A service that holds its times is followed: what is too young is waited for, a window too short is made longer, one too
// long is cut, and the windows of a chain touch.
func TestNativeStrictTimes(t *testing.T) {
	w := newNativeWorld(t, local.Options{StrictTimes: true})
	w.run(0, "export", "dynamodb://Orders", "s3://lake/chain", "--native", "--enable-pitr", "--format", "dynamodb-json")
	w.ahead.Add(int64(6 * time.Minute))
	stop := w.pace(30 * time.Second)
	out := w.run(0, "export", "dynamodb://Orders", "--native", "--follow-on", "s3://lake/chain")
	stop()
	if !strings.Contains(out, "the service takes no window of") || strings.Count(out, "changes from") != 1 {
		t.Errorf("a window of a minute:\n%s", out)
	}
	w.ahead.Add(int64(49 * time.Hour))
	out = w.run(0, "export", "dynamodb://Orders", "--native", "--follow-on", "s3://lake/chain")
	if strings.Count(out, "changes from") != 3 {
		t.Errorf("49 hours:\n%s", out)
	}
	ends := ""
	for line := range strings.Lines(out) {
		if _, window, ok := strings.Cut(strings.TrimSpace(line), "changes from "); ok {
			from, to, _ := strings.Cut(window, " to ")
			if ends != "" && from != ends {
				t.Errorf("a window begins at %s, the one before ends at %s", from, ends)
			}
			ends = to
		}
	}
	// The end of the chain is the service's latest time, in whole seconds.
	b, err := w.client.Backups(t.Context(), "Orders")
	if last, parseErr := time.Parse(time.RFC3339, ends); err != nil || parseErr != nil || b.Latest.Sub(last) > 5*time.Second {
		t.Errorf("the chain ends at %s, the service is at %v (%v, %v)", ends, b, err, parseErr)
	}
}

// A chain follows a data set that a scan made: it begins before the scan did, and reaches beyond its end. In a destination of
// its own, since a data set's is for its files.
func TestFollowOnScan(t *testing.T) {
	w := newNativeWorldAt(t, local.Options{}, -time.Hour) // its table was there before the scan
	if err := w.client.EnableBackups(t.Context(), "Orders"); err != nil {
		t.Fatal(err)
	}
	w.ahead.Store(0)
	more := t.TempDir() + "/more.jsonl"
	add := func(id string) {
		if err := os.WriteFile(more, []byte(`{"id":"`+id+`"}`+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.run(0, "export", "dynamodb://Orders", "s3://lake/scanned")
	add("c")
	w.run(0, "import", more, "dynamodb://Orders", "--mode", "if-absent")
	if out := w.run(5, "export", "dynamodb://Orders", "--native", "--follow-on", "s3://lake/scanned"); !strings.Contains(out, "DEST --native --follow-on s3://lake/scanned") {
		t.Error(out)
	}
	follow := []string{"export", "dynamodb://Orders", "s3://lake/changes", "--native", "--follow-on", "s3://lake/scanned"}
	if out := w.run(0, follow...); strings.Count(out, "changes from") != 1 || !strings.Contains(out, "items      1 in") {
		t.Error(out)
	}
	w.run(0, "convert", "s3://lake/scanned", "s3://lake/joined", "--overlay", "s3://lake/changes")
	w.run(0, "verify", "dynamodb://Orders", "s3://lake/joined")

	add("d")
	w.run(0, "import", more, "dynamodb://Orders", "--mode", "if-absent")
	if out := w.run(0, follow...); !strings.Contains(out, "items      1 in") {
		t.Error(out)
	}
	if out := w.run(0, "verify", "s3://lake/scanned", "dynamodb://Orders", "--overlay", "s3://lake/changes"); !strings.Contains(out, "was scanned from") {
		t.Error(out)
	}
	// A base of another table, and one that tells no moment.
	w.run(0, "import", more, "dynamodb://Others", "--create", "--key", "id")
	w.run(0, "export", "dynamodb://Others", "s3://lake/others")
	for base, say := range map[string]string{"s3://lake/others": "is of another table", more: "does not tell which moment"} {
		if out := w.run(2, "export", "dynamodb://Orders", "s3://lake/none", "--native", "--follow-on", base); !strings.Contains(out, say) {
			t.Error(out)
		}
	}
}

// A window has no record of what was made and deleted within it, so that it cannot be laid over a full export from its middle: a chain does not
// go on from one, in the words with which convert refuses it, but from an earlier base that the windows join, or from a new one.
func TestFollowOnStraddled(t *testing.T) {
	w := newNativeWorldAt(t, local.Options{}, -time.Hour)
	if err := w.client.EnableBackups(t.Context(), "Orders"); err != nil {
		t.Fatal(err)
	}
	w.ahead.Store(0)
	ago := func(minutes time.Duration) string {
		return time.Now().Add(-minutes * time.Minute).UTC().Format(time.RFC3339)
	}
	begin, middle, end := ago(30), ago(20), ago(10)
	follow := []string{"export", "dynamodb://Orders", "--native", "--follow-on", "s3://lake/chain"}
	w.run(0, "export", "dynamodb://Orders", "s3://lake/chain", "--native", "--at", middle, "--format", "dynamodb-json")
	w.run(0, "export", "dynamodb://Orders", "s3://lake/chain", "--native", "--incremental", begin+".."+end)
	const words = "an item that was made before and deleted behind that moment is in the base, and no change tells that it went"
	out := w.run(5, follow...)
	if !strings.Contains(out, words) || !strings.Contains(out, "try: begin with a full export: dynaferry export dynamodb://Orders s3://lake/chain") {
		t.Error(out)
	}
	if out := w.run(2, "convert", "s3://lake/chain", "s3://lake/joined", "--overlay", "s3://lake/chain"); !strings.Contains(out, words) {
		t.Error(out)
	}
	w.run(0, "export", "dynamodb://Orders", "s3://lake/chain", "--native", "--at", begin, "--format", "dynamodb-json")
	if out := w.run(0, follow...); strings.Count(out, "changes from "+end) != 1 {
		t.Error(out)
	}
	w.run(0, "export", "dynamodb://Orders", "s3://lake/base", "--native", "--at", begin, "--format", "dynamodb-json")
	w.run(0, "convert", "s3://lake/base", "s3://lake/joined", "--overlay", "s3://lake/chain")
	w.run(0, "verify", "dynamodb://Orders", "s3://lake/joined")
}

// A table that is younger than a window waits for nothing that cannot come: its chain begins with its first second, and what its backups do not
// reach is refused at once.
func TestNativeYoung(t *testing.T) {
	w := newNativeWorld(t, local.Options{StrictTimes: true})
	if err := w.client.EnableBackups(t.Context(), "Orders"); err != nil {
		t.Fatal(err)
	}
	b, err := w.client.Backups(t.Context(), "Orders")
	if err != nil {
		t.Fatal(err)
	}
	first := b.Earliest.Format(time.RFC3339)
	if out := w.run(2, "export", "dynamodb://Orders", "s3://lake/window", "--native", "--incremental", "-20m..now"); !strings.Contains(out,
		"the service has them from "+first+" on only") || !strings.Contains(out, "try: --incremental "+first+"..now") {
		t.Error(out)
	}
	w.run(0, "export", "dynamodb://Orders", "s3://lake/chain", "--native", "--at", first, "--format", "dynamodb-json")
	follow := []string{"export", "dynamodb://Orders", "--native", "--follow-on", "s3://lake/chain"}
	w.run(0, append([]string{"plan"}, follow...)...)
	w.ahead.Add(int64(10 * time.Minute))
	service := victim{url: os.Getenv("AWS_ENDPOINT_URL_DYNAMODB"), client: http.DefaultClient}
	for _, on := range []bool{false, true} {
		if err := service.call("UpdateContinuousBackups", map[string]any{"TableName": "Orders",
			"PointInTimeRecoverySpecification": map[string]bool{"PointInTimeRecoveryEnabled": on}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	// What the plan was to fetch is gone, which no longer window brings back.
	if out := w.run(2, follow...); !strings.Contains(out, "going on with plan") || !strings.Contains(out, "InvalidExportTimeException") || strings.Contains(out, "waiting until") {
		t.Error(out)
	}
	if out := w.run(5, follow...); !strings.Contains(out, "the changes from "+first+" on are needed") {
		t.Error(out)
	}
}
