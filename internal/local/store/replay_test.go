package store

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/vfs"

	"dynaferry/internal/fault"
)

// putSizes puts new items of random sizes from several goroutines; nothing becomes garbage, so that compaction has no
// reason to flush the index.
func putSizes(t *testing.T, s *Store, id TableID, seed uint64, each, sizeMax int) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for n := range each {
				key, value := keyOf(fmt.Sprintf("%d-%d-%d", seed, w, n), ""), bytes.Repeat([]byte("x"), 1+rng.IntN(sizeMax))
				if _, err := s.Update(context.Background(), id, key, func([]byte) (Op, []byte, error) { return OpPut, value, nil }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestReplayIsBounded: whenever a process is killed, recovery has at most replayMax bytes of the log to replay, be the
// items small or large, and a recovery that had much to do is not done again.
func TestReplayIsBounded(t *testing.T) {
	points := 12
	if long() {
		points = 400
	}
	for _, sizeMax := range []int{200, 30_000} {
		t.Run(fmt.Sprint(sizeMax), func(t *testing.T) {
			fs := newJournalFS()
			options := func(fs vfs.FS) Options {
				return Options{Dir: "/db", SegmentBytes: 128 << 10, CacheBytes: 1 << 16, fs: fs, replayMax: int64(20 * sizeMax)}
			}
			bound := options(nil).replayMax
			s := mustOpen(t, options(fs))
			id := mustCreate(t, s)
			begin := fs.length()
			putSizes(t, s, id, 1, 200, sizeMax)
			end := fs.length()
			if written := s.log.behind(position{1, segmentHeaderLen}); written < 10*bound {
				t.Fatalf("%d bytes were written: the test does not test the bound of %d", written, bound)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(uint64(sizeMax), 3))
			worst := work{}
			for range points {
				k := begin + rng.IntN(end-begin)
				s := mustOpen(t, options(fs.crash(k, 100, rng)))
				if s.replayed.bytes > bound {
					t.Errorf("killed after change %d of %d: %d records of %d bytes replayed, the bound is %d", k, end, s.replayed.records, s.replayed.bytes, bound)
				}
				if worst.bytes < s.replayed.bytes {
					worst = s.replayed
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("at most %+v of %d bytes", worst, bound)
			if worst.bytes < bound/8 {
				t.Error("next to nothing was replayed: the test does not test it")
			}
		})
	}
}

// TestReplayedOnce: what one recovery has replayed the next one has not to replay, although nobody closed the store.
func TestReplayedOnce(t *testing.T) {
	fs := newJournalFS()
	const segment = 4 << 20 // nearly full, so that compaction has no reason to move anything
	s := mustOpen(t, Options{Dir: "/db", fs: fs, SegmentBytes: segment})
	id := mustCreate(t, s)
	putSizes(t, s, id, 1, 30, 60_000)
	image := fs.crash(fs.length(), 100, rand.New(rand.NewPCG(1, 1)))
	s.Close()
	again := newJournalFS()
	again.FS = image
	adopt(t, again, "/db")
	s = mustOpen(t, Options{Dir: "/db", fs: again, SegmentBytes: segment})
	if s.replayed.bytes <= replayAgain || s.replayed.records != 121 || s.tail.under == nil {
		t.Fatalf("replayed %+v, and no flush is under way", s.replayed)
	}
	<-s.tail.under
	image = again.crash(again.length(), 100, rand.New(rand.NewPCG(1, 1)))
	s.Close()
	s = mustOpen(t, Options{Dir: "/db", fs: image, SegmentBytes: segment})
	defer s.Close()
	if s.replayed != (work{}) {
		t.Errorf("replayed again: %+v", s.replayed)
	}
	if c, err := s.Counts(id); err != nil || c.Items != 120 {
		t.Errorf("counts %+v, %v", c, err)
	}
}

// TestReplayedIsSynced: a process is killed between a write to the log and its sync, the next one replays what was
// written, and then the power goes. Whatever the index has followed is there, or both are not.
func TestReplayedIsSynced(t *testing.T) {
	fs := newJournalFS()
	s := mustOpen(t, crashOptions(fs))
	id := mustCreate(t, s)
	putSizes(t, s, id, 1, 10, 3000)
	s.Close()
	tested := 0
	for k, o := range fs.journal {
		if o.op != "write" || !strings.HasPrefix(o.name, "/db/log/") || o.offset == 0 || len(o.data) == 1 {
			continue // neither a frame nor a seal
		}
		again := newJournalFS()
		again.FS = fs.crash(k+1, 100, rand.New(rand.NewPCG(1, 1)))
		names, err := again.FS.List("/db/log")
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "spare") })
		if len(names) == 0 {
			continue
		}
		adoptBut(t, again, "/db", "/db/log/"+names[len(names)-1])
		s := mustOpen(t, crashOptions(again))
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
		if len(s.Tables()) == 0 {
			s.Close()
			continue
		}
		want, err := s.Counts(id)
		if err != nil {
			t.Fatal(err)
		}
		after := again.crash(again.length(), 0, rand.New(rand.NewPCG(1, 1)))
		s.Close()
		if s, err = Open(crashOptions(after)); err != nil {
			t.Fatalf("killed after change %d (%d bytes to the log): %v", k, len(o.data), err)
		}
		scanAll(t, s, id, 1, int(want.Items))
		s.Close()
		tested++
	}
	if tested < 10 {
		t.Errorf("%d kills", tested)
	}
}

// TestFlushThatFails: a writer that waits for the index, so that recovery keeps its bound, is told when the index cannot
// be written; the store can be closed.
func TestFlushThatFails(t *testing.T) {
	fs := newJournalFS()
	s := mustOpen(t, Options{Dir: "/db", fs: fs, replayMax: 100_000})
	id := mustCreate(t, s)
	var broken atomic.Bool
	fs.fail = func(op, name string) error {
		if broken.Load() && op == "write" && strings.HasSuffix(name, ".sst") {
			return fmt.Errorf("no space left on device")
		}
		return nil
	}
	broken.Store(true)
	var err error
	for n := 0; n < 100 && err == nil; n++ {
		_, err = s.Update(context.Background(), id, keyOf(fmt.Sprint(n), ""), func([]byte) (Op, []byte, error) {
			return OpPut, bytes.Repeat([]byte("x"), 30_000), nil
		})
	}
	if kind := fault.KindOf(err); kind != fault.Unavailable && kind != fault.Unknown || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("the writer hears %v (%v)", err, fault.KindOf(err))
	}
	broken.Store(false) // else nothing could end the flush
	if err := s.Close(); err == nil {
		t.Error("close does not tell why writing stopped")
	}
}
