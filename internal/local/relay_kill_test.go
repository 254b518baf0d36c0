package local

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"dynaferry/internal/local/store"
	"dynaferry/internal/local/upstream"
)

const relayKillEnv = "DYNAFERRY_RELAY_KILL"

// relayOptions are of a local DynamoDB in dir in front of url.
func relayOptions(dir, url string) Options {
	client, err := upstream.New(upstream.Options{URL: url})
	if err != nil {
		panic(err)
	}
	return Options{Dir: dir, NoSync: true, Upstream: client, UpstreamLag: 50 * time.Millisecond}
}

// relayVictim stands in front of an upstream, follows its table, and waits to be killed.
func relayVictim(where string) {
	dir, url, _ := strings.Cut(where, " ")
	in, err := Start(context.Background(), relayOptions(dir, url))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	if status, reply := post(in.DB, "UpdateContinuousBackups", enablePITR); status != http.StatusOK {
		fmt.Println("error", reply)
		os.Exit(1)
	}
	select {}
}

// deadly is an upstream that kills who asks it: a little after the answer to the n-th request for items or records.
type deadly struct {
	db *DB

	mu   sync.Mutex
	left int
	kill func()
	wait time.Duration
}

// ServeHTTP implements http.Handler.
func (d *deadly) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.db.ServeHTTP(w, r)
	target := r.Header.Get("X-Amz-Target")
	if !strings.HasSuffix(target, ".Scan") && !strings.HasSuffix(target, ".GetRecords") {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left--; d.left == 0 {
		kill := d.kill
		time.AfterFunc(d.wait, kill)
	}
}

// TestUpstreamKilled: a process that is killed while it copies a table and while it follows it, many times over and while the
// table is written, has the table's items at the end, and shows no item ever again as it was before.
func TestUpstreamKilled(t *testing.T) {
	kills := 12
	if os.Getenv("DYNAFERRY_LONG") != "" {
		kills = 100
	}
	db, err := Open(Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	d := &deadly{db: db}
	server := httptest.NewServer(d)
	defer server.Close()
	must(t, db, "CreateTable", createModel)
	rng := rand.New(rand.NewPCG(4, 1))
	w := &counting{db: db, t: t}
	for key := range countingKeys { // several pages of a scan
		w.put(key, strings.Repeat("x", 20_000))
	}
	dir := t.TempDir()
	for n := range kills {
		// The first die over the scan, the others over the stream.
		d.mu.Lock()
		d.left, d.wait = 1+rng.IntN(6), time.Duration(rng.IntN(4000))*time.Microsecond
		d.mu.Unlock()
		w.while(n > 1, rng.Uint64(), func() { killedRelay(t, d, dir+" "+server.URL) })
	}
	in, err := Start(t.Context(), relayOptions(dir, server.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	id := in.DB.relay.followed("tab").id
	if err := in.DB.relay.reached(t.Context(), id, time.Now().UnixMilli()); err != nil {
		t.Fatal(err)
	}
	s, _ := in.DB.relay.keeper.Status(id)
	last := map[string]int64{}
	step := max(1, (s.PassedMs-s.SinceMs)/40)
	for ms := s.SinceMs; ; ms = min(ms+step, s.PassedMs) {
		state := countingState(t, in.DB.store.StateAt(id, before(ms), store.ScanOptions{}))
		for key, v := range state {
			if v < last[key] {
				t.Errorf("%s was %d, and %d before %s", key, last[key], v, clockText(ms))
			}
			last[key] = v
		}
		if ms == s.PassedMs {
			break
		}
	}
	for key, v := range w.versions() {
		if last[key] != v {
			t.Errorf("%s is %d, the copy says %d", key, v, last[key])
		}
	}
	if len(last) != countingKeys {
		t.Errorf("%d items", len(last))
	}
}

// killedRelay runs a victim until it is killed.
func killedRelay(t *testing.T, d *deadly, where string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), relayKillEnv+"="+where)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.kill = func() { _ = cmd.Process.Kill() }
	d.mu.Unlock()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		t.Error(lines.Text())
	}
	_ = cmd.Wait() // it was killed
}

// counting writes items whose versions only rise.
type counting struct {
	db *DB
	t  *testing.T
	n  int64
}

const countingKeys = 150

func (w *counting) put(key int, pad string) {
	w.n++
	must(w.t, w.db, "PutItem", fmt.Sprintf(`{"TableName":"tab","Item":{"p":{"S":"k%d"},"s":{"N":"0"},"v":{"N":"%d"},"pad":{"S":"%s"}}}`, key, w.n, pad))
}

// while writes as long as work goes on, if it is to.
func (w *counting) while(write bool, seed uint64, work func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	rng := rand.New(rand.NewPCG(seed, 1))
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond): // some hundreds a second
		}
		if write {
			w.put(rng.IntN(countingKeys), "")
		}
	}
}

func (w *counting) versions() map[string]int64 {
	w.t.Helper()
	return countingState(w.t, w.db.store.Scan(w.db.tables["tab"].id, store.ScanOptions{}))
}

func countingState(t *testing.T, items *store.Iterator) map[string]int64 {
	t.Helper()
	defer items.Close()
	all := map[string]int64{}
	for items.Next() {
		var it struct {
			P struct{ S string }
			V struct {
				N int64 `json:",string"`
			}
		}
		if err := json.Unmarshal(items.Raw(), &it); err != nil {
			t.Fatal(err)
		}
		all[it.P.S] = it.V.N
	}
	if err := items.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}
