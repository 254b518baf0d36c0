package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dynaferry/internal/blob/faulty"
	"dynaferry/internal/changelog"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

// faults draws a plan of what goes wrong with the destination's objects. A call that is slow is a process that is frozen in
// it, and wakes up when others have long gone on.
func faults(r *rand.Rand) string {
	rules := []string{"put(never)#1: 503"}
	for range r.IntN(12) {
		n := 1 + r.IntN(30)
		rules = append(rules, []string{
			fmt.Sprintf("put#%d: lost", n),
			fmt.Sprintf("put(*epochs*)#%d: lost", n),
			fmt.Sprintf("put(*epochs*)#%d: late %dms", n, 1+r.IntN(100_000)),
			fmt.Sprintf("put(*schemas*)#%d: late %dms", 1+n/4, 1+r.IntN(100_000)),
			fmt.Sprintf("put(*.gz)#%d: late %dms", n, 1+r.IntN(100_000)),
			fmt.Sprintf("put(*.parquet)#%d: late %dms", n, 1+r.IntN(100_000)),
			fmt.Sprintf("put#%d-%d: 503", n, n+r.IntN(4)),
			fmt.Sprintf("put#%d: slow %dms", n, 1+r.IntN(900_000)),
			fmt.Sprintf("head#%d: slow %dms", n, 1+r.IntN(900_000)),
			fmt.Sprintf("get#%d: slow %dms", n, 1+r.IntN(900_000)),
			fmt.Sprintf("get(*epochs*)#%d: flip %d", n, r.IntN(400)),
			fmt.Sprintf("head#%d: 500", n),
			fmt.Sprintf("put(*head)#%d: 403", 1+n/8),
		}[r.IntN(13)])
	}
	return strings.Join(rules, "; ")
}

// TestHistories: whatever several processes do to one delivery while the log grows, answers get lost, puts land late, some freeze
// and others are killed, with buffers and intervals of their own: each record of the log is visible once, and the files are those
// that the decided epochs make where nothing ever happens.
func TestHistories(t *testing.T) {
	histories := 40
	if testing.Short() {
		histories = 8
	}
	if os.Getenv("DYNAFERRY_LONG") != "" {
		histories = 2_000
	}
	epochs := 0
	for seed := range histories {
		synctest.Test(t, func(t *testing.T) { epochs += history(t, uint64(seed)) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d histories, %d epochs", histories, epochs)
	if epochs < 3*histories {
		t.Errorf("%d epochs in %d histories prove little", epochs, histories)
	}
}

func history(t *testing.T, seed uint64) (epochs int) {
	r := rand.New(rand.NewPCG(seed, 11))
	w := newLog(t, uint32(1+r.IntN(2)))
	dst := newMemory()
	plan, err := faulty.Parse(faults(r))
	must(t, err)
	broken := faulty.New(dst, plan, faulty.Options{})
	set := Settings{Form: []Form{DynamoDBJSON, DynamoDBJSON, JSON, Parquet, CSV}[r.IntN(5)], Images: Both, Prefix: []string{"", "!{timestamp:yyyy/MM/dd}/"}[r.IntN(2)]}
	var bell *Bell
	if r.IntN(2) == 0 {
		bell = new(Bell)
	}
	var wait sync.WaitGroup
	producer := rand.New(rand.NewPCG(seed, 12))
	wait.Go(func() {
		for range 4 + producer.IntN(20) {
			g := producer.IntN(len(w.chains))
			w.orders(g, producer.IntN(8)) // none: an entry that only says where shards stand
			w.cut(g)
			bell.Ring()
			time.Sleep(time.Duration(producer.IntN(5000)) * time.Millisecond)
		}
	})
	for process := range 1 + r.IntN(3) {
		own := rand.New(rand.NewPCG(seed, uint64(100+process)))
		wait.Go(func() {
			for range 4 {
				mine := set
				mine.BufferBytes = int64(1000 + own.IntN(40_000))
				ctx, kill := context.WithTimeout(t.Context(), time.Duration(own.IntN(60_000))*time.Millisecond)
				err := Run(ctx, w.log, broken, mine, Options{Interval: time.Duration(1+own.IntN(20_000)) * time.Millisecond, Bell: bell, Workers: 1 + own.IntN(2),
					Patience: time.Duration(1+own.IntN(10_000)) * time.Millisecond, Commit: commit.Options{Deadline: time.Duration(1+own.IntN(20)) * time.Second}})
				kill()
				if err != nil && fault.KindOf(err) != fault.Corrupt && fault.KindOf(err) != fault.Permission {
					t.Errorf("seed %d: process %d: %v", seed, process, err)
				}
				time.Sleep(time.Duration(own.IntN(5000)) * time.Millisecond)
			}
		})
	}
	wait.Wait()
	broken.Wait()
	must(t, Run(t.Context(), w.log, dst, set, Options{Once: true}))
	same(t, fmt.Sprintf("seed %d", seed), objects(t, dst, false), objects(t, rebuilt(t, w, dst, "changes"), false))
	if n := rows(t, set, dst); n != len(w.lines) {
		t.Errorf("seed %d: %d rows are visible, the log has %d records", seed, n, len(w.lines))
	}
	return delivered(t, dst)
}

func delivered(t *testing.T, dst *memory) int {
	t.Helper()
	last, err := newLedger(dst, "", "changes").last(t.Context())
	must(t, err)
	return int(last.N)
}

// TestAtOnce: after a rest a record is visible at once, however long the interval; while records come, epochs keep to it, unless the
// buffer is full.
func TestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, dst, bell := newLog(t, 1), newMemory(), new(Bell)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- Run(ctx, w.log, dst, Settings{BufferBytes: 50_000}, Options{Interval: time.Minute, Bell: bell, Poll: time.Hour})
		}()
		add := func(n int) {
			w.orders(0, n)
			w.cut(0)
			bell.Ring()
			time.Sleep(2 * settle)
			synctest.Wait()
		}
		expect := func(what string, files, lines int) {
			t.Helper()
			if got := len(objects(t, dst, false)); got != files {
				t.Errorf("%s: %d files, want %d", what, got, files)
			}
			if got := len(allLines(t, dst)); got != lines {
				t.Errorf("%s: %d lines, want %d", what, got, lines)
			}
		}
		add(1)
		expect("the first", 1, 1)
		time.Sleep(10 * time.Minute)
		add(1)
		expect("after a rest", 2, 2)
		time.Sleep(10 * time.Second)
		add(1)
		add(1)
		expect("within the interval", 2, 2)
		time.Sleep(51 * time.Second)
		synctest.Wait()
		expect("after it", 3, 4)
		add(40)
		expect("the buffer is full", 4, 44)
		add(0)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		expect("nothing to deliver", 4, 44)
		stop()
		must(t, <-ended)
	})
}

// TestStandby: of two processes one makes an epoch's files and the other stands by; when the first dies in between, the other helps when
// its patience ends.
func TestStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, dst, set := newLog(t, 6), newMemory(), Settings{}
		for g := range 6 { // six spans in one epoch
			w.orders(g, 5)
			w.cut(g)
		}
		plan, err := faulty.Parse("put(*.gz)#1: slow 1h")
		must(t, err)
		frozen := faulty.New(dst, plan, faulty.Options{})
		first := make(chan error, 1)
		go func() { first <- Run(t.Context(), w.log, frozen, set, Options{Once: true, Workers: 1}) }()
		time.Sleep(2 * settle)
		synctest.Wait()
		begun := time.Now()
		var p Progress
		must(t, Run(t.Context(), w.log, dst, set, Options{Once: true, Progress: &p}))
		if took := time.Since(begun); took > time.Minute || len(allLines(t, dst)) != len(w.lines) {
			t.Errorf("%d lines after %v", len(allLines(t, dst)), took)
		}
		want := objects(t, dst, false)
		for name := range want { // a reader takes the files away
			must(t, dst.Delete(t.Context(), name))
		}
		if len(want) < 3 {
			t.Fatalf("%d files prove little", len(want))
		}
		must(t, <-first)
		if late := objects(t, dst, false); len(late) > 1 { // the put that was in flight; nothing else comes again
			t.Errorf("%d files came again", len(late))
		}
		if took := time.Since(begun); took < 59*time.Minute {
			t.Errorf("the first ended after %v: it was not frozen", took)
		}
	})
}

// TestUntil: the run ends when what it delivered is enough, and delivers that at once.
func TestUntil(t *testing.T) {
	w := logOf(t, 3)
	dst := newMemory()
	must(t, Run(t.Context(), w.log, dst, Settings{}, Options{Interval: time.Hour, Until: func(states []*changelog.State) bool { return states[0].N >= 2 && states[1].N >= 1 }}))
	if got := allLines(t, dst); !slices.Equal(got, slices.Sorted(slices.Values(w.lines))) {
		t.Errorf("%d lines, the log has %d", len(got), len(w.lines))
	}
}
