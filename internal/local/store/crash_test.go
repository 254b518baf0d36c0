package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/vfs"

	"dynaferry/internal/fault"
)

func long() bool { return os.Getenv("DYNAFERRY_LONG") != "" }

// version is one write of a key: content as text ("" is a delete), and the journal's length before it was asked for
// and after it was acknowledged.
type version struct {
	text       string
	began, won int
	commit     Commit
}

// history is the versions of each key, each written by one goroutine in order.
type history struct {
	mu   sync.Mutex
	keys map[string][]version
}

func (h *history) begin(key, text string, at int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys[key] = append(h.keys[key], version{text: text, began: at, won: 1 << 60})
	return len(h.keys[key]) - 1
}

func (h *history) won(key string, n, at int, c Commit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys[key][n].won, h.keys[key][n].commit = at, c
}

func textOf(key string, n int) string {
	return fmt.Sprintf("%s=%d:%s", key, n, strings.Repeat(string(rune('a'+n%26)), 20+n*37%400))
}

// load writes with several goroutines, each its own keys; every third step is a transaction over two keys of its own.
func load(t *testing.T, s *Store, id TableID, fs *journalFS, writers, steps int) *history {
	h := &history{keys: map[string][]version{}}
	kept := s.Tables()[0].Settings.History > 0
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 7))
			for n := range steps {
				for turns := 0; turns < 10000 && !kept && len(s.log.snapshot()) > 8; turns++ {
					runtime.Gosched() // compaction keeps up, also on a busy machine
				}
				keys := []string{fmt.Sprintf("w%d-k%d", w, rng.IntN(6))}
				if n%3 == 0 {
					keys = []string{fmt.Sprintf("w%d-pair-a", w), fmt.Sprintf("w%d-pair-b", w)}
				}
				text := textOf(keys[0], n)
				if len(keys) == 1 && rng.IntN(5) == 0 {
					text = ""
				}
				var writes []Write
				var places []int
				for _, k := range keys {
					places = append(places, h.begin(k, text, fs.length()))
					writes = append(writes, Write{Table: id, Key: keyOf(k, ""), Blind: n%2 == 0, Decide: func([]byte) (Op, []byte, error) {
						if text == "" {
							return OpDelete, nil, nil
						}
						return OpPut, []byte(text), nil
					}})
				}
				r, err := s.UpdateMany(context.Background(), writes, true)
				if err != nil {
					return // the store has stopped
				}
				for i, k := range keys {
					if r[i].Err == nil {
						h.won(k, places[i], fs.length(), r[i].Commit)
					}
				}
			}
		})
	}
	wg.Wait()
	return h
}

// check compares an opened store with what may and must be there after a crash at k.
func (h *history) check(s *Store, id TableID, k int) error {
	items, bytes := int64(0), int64(0)
	found := map[string]string{}
	for key, versions := range h.keys {
		got, ok, err := s.Get(id, keyOf(key, ""))
		if err != nil {
			return fmt.Errorf("get %s: %w", key, err)
		}
		found[key] = string(got)
		if ok {
			items, bytes = items+1, bytes+int64(len(got))
		}
		must, fits := -1, false
		for n, v := range versions {
			if v.won <= k {
				must = n
			}
		}
		for n, v := range versions {
			fits = fits || n >= must && v.began <= k && v.text == string(got)
		}
		if must < 0 && !ok {
			fits = true
		}
		if !fits {
			return fmt.Errorf("%s is %.40q, acknowledged was version %d of %d", key, got, must, len(versions))
		}
	}
	for key, text := range found {
		if pair, ok := strings.CutSuffix(key, "-a"); ok && found[pair+"-b"] != text {
			return fmt.Errorf("half a transaction: %s is %.30q, the other %.30q", key, text, found[pair+"-b"])
		}
	}
	if c, err := s.Counts(id); err != nil || c != (Counts{items, bytes}) {
		return fmt.Errorf("counts %+v %v, want %d items of %d bytes", c, err, items, bytes)
	}
	n := int64(0)
	it := s.Scan(id, ScanOptions{})
	for it.Next() {
		n++
	}
	if err := it.Close(); err != nil || n != items {
		return fmt.Errorf("scan finds %d of %d items, %v", n, items, err)
	}
	return nil
}

func crashOptions(fs vfs.FS) Options {
	return Options{Dir: "/db", SegmentBytes: 16 << 10, CacheBytes: 1 << 16, fs: fs}
}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustCreate(t testing.TB, s *Store) TableID {
	t.Helper()
	id, err := s.CreateTable([]byte(`{}`), "T", Settings{})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// recovered opens what a crash left, checks it, writes to it, closes it and checks again.
func recovered(fs vfs.FS, id TableID, h *history, k, tableAt int) error {
	s, err := Open(crashOptions(fs))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer s.Close()
	if len(s.Tables()) == 0 {
		if k >= tableAt {
			return errors.New("the table is gone")
		}
		return nil
	}
	if err := h.check(s, id, k); err != nil {
		return err
	}
	extra := Write{Table: id, Key: keyOf("extra", ""), Decide: func([]byte) (Op, []byte, error) { return OpPut, []byte("x"), nil }}
	r, err := s.UpdateMany(context.Background(), []Write{extra}, false)
	if err != nil || r[0].Err != nil {
		return fmt.Errorf("write after recovery: %v %+v", err, r)
	}
	drop := extra
	drop.Decide = func([]byte) (Op, []byte, error) { return OpDelete, nil, nil }
	if _, err := s.UpdateMany(context.Background(), []Write{drop}, false); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("close after recovery: %w", err)
	}
	if s, err = Open(crashOptions(fs)); err != nil {
		return fmt.Errorf("second open: %w", err)
	}
	defer s.Close()
	return h.check(s, id, k)
}

// TestPowerCut: after a power cut at any change of any file, with unsynced bytes lost, kept or torn, all acknowledged
// writes are there, no transaction is halved, counts are exact, and the store goes on. Compaction runs all the time.
func TestPowerCut(t *testing.T) {
	fs := newJournalFS()
	s := mustOpen(t, crashOptions(fs))
	id := mustCreate(t, s)
	tableAt := fs.length()
	h := load(t, s, id, fs, 4, 250)
	before := fs.length()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := s.reached.segment; n < 8 {
		t.Fatalf("only %d segments were written: the test does not test rotation", n)
	}
	if n := len(s.log.snapshot()); n > int(s.reached.segment)/2 {
		t.Fatalf("%d of %d segments are left: the test does not test compaction", n, s.reached.segment)
	}
	points := 60
	if long() {
		points = 1 << 30
	}
	total := fs.length()
	rng := rand.New(rand.NewPCG(1, uint64(total)))
	step := max(1, total/points)
	t.Logf("%d changes, %d before close, %d segments", total, before, s.reached.segment)
	for k := rng.IntN(step); k <= total; k += step {
		for _, keep := range []int{0, 50, 100} {
			if err := recovered(fs.crash(k, keep, rng), id, h, k, tableAt); err != nil {
				t.Fatalf("crash after change %d of %d, %d%% of unsynced sectors kept: %v", k, total, keep, err)
			}
		}
	}
}

// TestCrashInRecovery: a crash while recovering from a crash loses nothing either.
func TestCrashInRecovery(t *testing.T) {
	fs := newJournalFS()
	s := mustOpen(t, crashOptions(fs))
	id := mustCreate(t, s)
	h := load(t, s, id, fs, 2, 120)
	k := fs.length()
	crashed := fs.crash(k, 50, rand.New(rand.NewPCG(2, 2)))
	s.Close()
	again := newJournalFS()
	again.FS = crashed
	adopt(t, again, "/db")
	base := again.length()
	s2 := mustOpen(t, crashOptions(again))
	end := again.length()
	s2.Close()
	rng := rand.New(rand.NewPCG(3, 3))
	step := max(1, (end-base)/15)
	if long() {
		step = 1
	}
	for cut := base; cut <= end; cut += step {
		for _, keep := range []int{0, 50, 100} {
			if err := recovered(again.crash(cut, keep, rng), id, h, k, 0); err != nil {
				t.Fatalf("crash at %d of %d of a recovery, %d%% kept: %v", cut-base, end-base, keep, err)
			}
		}
	}
}

// adopt writes what is on a file system into a journal, as if it had just been made and synced.
func adopt(t *testing.T, j *journalFS, dir string) { adoptBut(t, j, dir, "") }

// adoptBut is adopt with one file that was not synced.
func adoptBut(t *testing.T, j *journalFS, dir, unsynced string) {
	t.Helper()
	names, err := j.FS.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	j.journal = append(j.journal, fsOp{op: "mkdir", name: dir})
	for _, name := range names {
		full := dir + "/" + name
		if info, err := j.FS.Stat(full); err != nil {
			t.Fatal(err)
		} else if info.IsDir() {
			adoptBut(t, j, full, unsynced)
			continue
		}
		j.next++
		j.nodes[full] = j.next
		j.journal = append(j.journal, fsOp{op: "create", name: full, node: j.next},
			fsOp{op: "write", node: j.next, name: full, data: contents(t, j.FS, full)})
		if full != unsynced {
			j.journal = append(j.journal, fsOp{op: "sync", node: j.next})
		}
	}
	j.journal = append(j.journal, fsOp{op: "syncdir", name: dir})
}

// TestFailedSyncStopsWriting: after a sync that failed no write succeeds again, what was in flight has an unknown
// outcome, reading goes on, and nothing acknowledged is lost when the store is opened anew.
func TestFailedSyncStopsWriting(t *testing.T) {
	for _, op := range []string{"sync", "write"} {
		t.Run(op, func(t *testing.T) {
			fs := newJournalFS()
			s := mustOpen(t, crashOptions(fs))
			id := mustCreate(t, s)
			var broken atomic.Bool
			boom := errors.New("input/output error")
			fs.fail = func(o, name string) error {
				if broken.Load() && o == op && strings.Contains(name, "/log/") {
					return boom
				}
				return nil
			}
			put := func(key, text string) error {
				_, err := s.Update(context.Background(), id, keyOf(key, ""), func([]byte) (Op, []byte, error) { return OpPut, []byte(text), nil })
				return err
			}
			if err := put("a", "1"); err != nil {
				t.Fatal(err)
			}
			broken.Store(true)
			if err := put("a", "2"); !errors.Is(err, boom) || fault.KindOf(err) != fault.Unknown {
				t.Fatalf("the failed write says %v (%v)", err, fault.KindOf(err))
			}
			broken.Store(false)
			if err := put("a", "3"); !errors.Is(err, boom) || fault.KindOf(err) != fault.Unavailable || fault.HintOf(err) == "" {
				t.Fatalf("a write after the failed one says %v", err)
			}
			if _, err := s.CreateTable(nil, "U", Settings{}); !errors.Is(err, boom) {
				t.Fatalf("a table after the failed write: %v", err)
			}
			if got, _, err := s.Get(id, keyOf("a", "")); err != nil || string(got) != "1" {
				t.Fatalf("reads %q, %v", got, err)
			}
			k := fs.length()
			if err := s.Close(); !errors.Is(err, boom) {
				t.Fatalf("close says %v", err)
			}
			s = mustOpen(t, crashOptions(fs.crash(k, 0, rand.New(rand.NewPCG(1, 1)))))
			defer s.Close()
			if got, _, err := s.Get(id, keyOf("a", "")); err != nil || string(got) != "1" {
				t.Fatalf("after opening anew: %q, %v", got, err)
			}
		})
	}
}
