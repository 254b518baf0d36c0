package store

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/vfs"

	"dynaferry/internal/fault"
)

// TestHotKey: many writers add to one number, every addition counts, each sees the one before, and sequence numbers
// follow the order. They share frames: one hot key is not one write a sync.
func TestHotKey(t *testing.T) {
	j := newJournalFS()
	s := mustOpen(t, Options{Dir: "/db", fs: j})
	defer s.Close()
	id := mustCreate(t, s)
	const writers, each = 32, 50
	var syncs atomic.Int64
	j.fail = func(op, name string) error {
		if op != "sync" || !strings.Contains(name, "/log/") {
			return nil
		}
		syncs.Add(1)
		for range 2000 { // a sync takes as long as the other writers need to queue up
			runtime.Gosched()
		}
		return nil
	}
	var mu sync.Mutex
	order := map[uint64]int{}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				now := 0
				c, err := s.Update(context.Background(), id, keyOf("hot", ""), func(old []byte) (Op, []byte, error) {
					now, _ = strconv.Atoi(string(old))
					now++
					return OpPut, strconv.AppendInt(nil, int64(now), 10), nil
				})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order[c.Seq] = now
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	got, _, err := s.Get(id, keyOf("hot", ""))
	if err != nil || string(got) != strconv.Itoa(writers*each) {
		t.Fatalf("%s of %d additions, %v", got, writers*each, err)
	}
	first := uint64(1 << 63)
	for seq := range order {
		first = min(first, seq)
	}
	for seq, n := range order {
		if seq-first+1 != uint64(n) {
			t.Fatalf("addition %d has the sequence number %d after %d", n, seq, first)
		}
	}
	if n := syncs.Load(); n > writers*each/4 {
		t.Errorf("%d syncs for %d writes of one key", n, writers*each)
	}
	if c, err := s.Counts(id); err != nil || c.Items != 1 || c.Bytes != int64(len(got)) {
		t.Errorf("counts %+v %v", c, err)
	}
}

// TestHotBatches: many writers add to several numbers in one call, which overlap; every addition counts, whether the one
// before is in the index or still on its way.
func TestHotBatches(t *testing.T) {
	j := newJournalFS()
	s := mustOpen(t, Options{Dir: "/db", fs: j})
	defer s.Close()
	id := mustCreate(t, s)
	const writers, each, keys, batch = 16, 60, 40, 8
	j.fail = func(op, name string) error {
		for range 200 { // so that others come in between everywhere
			runtime.Gosched()
		}
		return nil
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for range each {
				var writes []Write
				for _, k := range random.Perm(keys)[:batch] {
					writes = append(writes, Write{Table: id, Key: keyOf(fmt.Sprint(k), ""), Decide: func(old []byte) (Op, []byte, error) {
						n, _ := strconv.Atoi(string(old))
						return OpPut, strconv.AppendInt(nil, int64(n+1), 10), nil
					}})
				}
				results, err := s.UpdateMany(context.Background(), writes, false)
				for _, r := range results {
					err = cmp.Or(err, r.Err)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for k := range keys {
		got, _, err := s.Get(id, keyOf(fmt.Sprint(k), ""))
		if err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(string(got))
		sum += n
	}
	if want := writers * each * batch; sum != want {
		t.Errorf("%d of %d additions", sum, want)
	}
}

// TestKnownSize: a write that tells its item's size is believed, and Options.Size is not asked.
func TestKnownSize(t *testing.T) {
	s := mustOpen(t, Options{Dir: "/db", fs: vfs.NewMem(), Size: func(raw []byte) int { return 1000 * len(raw) }})
	defer s.Close()
	id := mustCreate(t, s)
	for size, want := range map[int]int64{0: 3000, 7: 7} {
		w := Write{Table: id, Key: keyOf("k", ""), Size: size, Decide: func([]byte) (Op, []byte, error) { return OpPut, []byte("abc"), nil }}
		if r, err := s.UpdateMany(context.Background(), []Write{w}, false); err != nil || r[0].Err != nil {
			t.Fatal(err, r)
		}
		if c, err := s.Counts(id); err != nil || c != (Counts{1, want}) {
			t.Errorf("counts %+v %v", c, err)
		}
	}
}

// TestRefusedOnlyOverDurableState: a condition that fails because of a write still on its way is answered only when
// that write is durable, and with the store's error when it never becomes so.
func TestRefusedOnlyOverDurableState(t *testing.T) {
	j := newJournalFS()
	s := mustOpen(t, Options{Dir: "/db", fs: j})
	defer s.Close()
	id := mustCreate(t, s)
	inSync, release := make(chan bool), make(chan bool)
	j.fail = func(op, name string) error {
		if op == "sync" && strings.Contains(name, "/log/") {
			inSync <- true
			<-release
			return fmt.Errorf("device gone")
		}
		return nil
	}
	key := keyOf("k", "")
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := s.Update(context.Background(), id, key, func([]byte) (Op, []byte, error) { return OpPut, []byte("1"), nil }); err == nil {
			t.Error("the first write succeeds without a sync")
		}
	})
	<-inSync
	decided := make(chan bool)
	refused := fmt.Errorf("exists")
	wg.Go(func() {
		_, err := s.Update(context.Background(), id, key, func(old []byte) (Op, []byte, error) {
			close(decided)
			if string(old) != "1" {
				t.Errorf("sees %q", old)
			}
			return OpNone, nil, refused
		})
		if err == refused || err == nil {
			t.Errorf("answered %v over a write that was lost", err)
		}
	})
	<-decided
	if _, ok, err := s.Get(id, key); ok || err != nil {
		t.Errorf("a reader sees a write that is not durable: %v %v", ok, err)
	}
	close(release)
	wg.Wait()
}

// TestCompactionUnderReaders: while keys are overwritten and segments come and go, every scan sees each key exactly
// once, whole and not older than when it began, and disk use stays bounded.
func TestCompactionUnderReaders(t *testing.T) {
	const keys, rounds, segBytes = 300, 40, 32 << 10
	s := mustOpen(t, Options{Dir: "/db", SegmentBytes: segBytes, fs: vfs.NewMem()})
	defer s.Close()
	id := mustCreate(t, s)
	text := func(k, n int) []byte {
		return fmt.Appendf(nil, "k%d n%d %s", k, n, strings.Repeat(string(rune('a'+n%26)), 200+k))
	}
	var floor [keys]atomic.Int64
	put := func(k, n int) {
		_, err := s.Update(context.Background(), id, keyOf(fmt.Sprint(k), ""), func([]byte) (Op, []byte, error) { return OpPut, text(k, n), nil })
		if err != nil {
			t.Error(err)
		}
		floor[k].Store(int64(n))
	}
	for k := range keys {
		put(k, 0)
	}
	var done atomic.Bool
	var readers, writers sync.WaitGroup
	for r := range 3 {
		readers.Go(func() {
			for !done.Load() {
				var least [keys]int64
				for k := range least {
					least[k] = floor[k].Load()
				}
				seen := 0
				it := s.Scan(id, ScanOptions{Segment: 0, Segments: 1})
				for it.Next() {
					var k, n int
					fmt.Sscanf(string(it.Raw()), "k%d n%d", &k, &n)
					if string(it.Raw()) != string(text(k, n)) || int64(n) < least[k] {
						t.Errorf("reader %d sees %.40q, at least version %d was there", r, it.Raw(), least[k])
					}
					seen++
				}
				if err := it.Close(); err != nil || seen != keys {
					t.Errorf("reader %d sees %d of %d keys, %v", r, seen, keys, err)
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			next := map[int]int{}
			for range rounds * keys / 4 {
				k := rng.IntN(keys/4)*4 + w
				next[k]++
				put(k, next[k])
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
	if n := s.reachedSegment(); n < 50 {
		t.Fatalf("only %d segments were written", n)
	}
	settled(t, s)
	if n := len(s.log.snapshot()); n > 2*keys*400/segBytes+4 {
		t.Errorf("%d segments for %d bytes of items", n, keys*400)
	}
	if s.compactor.err != nil {
		t.Error(s.compactor.err)
	}
}

func (s *Store) reachedSegment() uint32 {
	s.applying.Lock()
	defer s.applying.Unlock()
	return s.reached.segment
}

// settled runs compaction by hand until there is nothing left to do.
func settled(t *testing.T, s *Store) {
	t.Helper()
	s.compactor.stop()
	for again := true; again; {
		var err error
		if again, err = s.compact(s.clock().UnixMilli()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPinnedSegments: an iterator made before a compaction reads on from segments that are gone for others, and their
// files go when it is closed.
func TestPinnedSegments(t *testing.T) {
	s := mustOpen(t, Options{Dir: "/db", SegmentBytes: 8 << 10, fs: vfs.NewMem()})
	defer s.Close()
	s.compactor.stop()
	id := mustCreate(t, s)
	write := func(round int) {
		for k := range 100 {
			_, err := s.Update(context.Background(), id, keyOf(fmt.Sprint(k), ""), func([]byte) (Op, []byte, error) {
				return OpPut, fmt.Appendf(nil, "%d/%d/%s", k, round, strings.Repeat("z", 300)), nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	write(0)
	it := s.Scan(id, ScanOptions{})
	if !it.Next() {
		t.Fatal("nothing to scan")
	}
	write(1)
	settled(t, s)
	n := 1
	for ; it.Next(); n++ {
		if !strings.Contains(string(it.Raw()), "/0/") {
			t.Fatalf("sees %.20q, written after it was made", it.Raw())
		}
	}
	files := func() int {
		names, err := s.fs.List("/db/log")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	if n != 100 {
		t.Fatalf("%d items", n)
	}
	before := files()
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.compact(s.clock().UnixMilli()); err != nil {
		t.Fatal(err)
	}
	if after := files(); after >= before {
		t.Errorf("%d files while pinned, %d afterwards", before, after)
	}
}

// TestDropGivesRoomBack: a dropped table's segments go; another table's items in them stay.
func TestDropGivesRoomBack(t *testing.T) {
	s := mustOpen(t, Options{Dir: "/db", SegmentBytes: 8 << 10, fs: vfs.NewMem()})
	defer s.Close()
	a := mustCreate(t, s)
	b, err := s.CreateTable(nil, "B", Settings{})
	if err != nil {
		t.Fatal(err)
	}
	for k := range 400 {
		id := a
		if k%20 == 0 {
			id = b
		}
		_, err := s.Update(context.Background(), id, keyOf(fmt.Sprint(k), ""), func([]byte) (Op, []byte, error) {
			return OpPut, fmt.Appendf(nil, "%d/%s", k, strings.Repeat("y", 300)), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	before := len(s.log.snapshot())
	if err := s.DropTable(a); err != nil {
		t.Fatal(err)
	}
	settled(t, s)
	if after := len(s.log.snapshot()); after > 4 || before < 10 {
		t.Errorf("%d segments before, %d after the drop", before, after)
	}
	if got := drain(t, s.Scan(b, ScanOptions{})); len(got) != 20 {
		t.Errorf("%d items of the other table", len(got))
	}
	if _, err := s.Counts(a); fault.KindOf(err) != fault.NotFound {
		t.Errorf("counts of a dropped table: %v", err)
	}
	if err := s.Scan(a, ScanOptions{}).Close(); fault.KindOf(err) != fault.NotFound {
		t.Errorf("scan of a dropped table: %v", err)
	}
}

// TestDropWhileMoving: records of a table whose drop is on its way are passed over by a move, which then waits for the
// drop instead of finding its segment still in use.
func TestDropWhileMoving(t *testing.T) {
	j := newJournalFS()
	s := mustOpen(t, Options{Dir: "/db", SegmentBytes: 4 << 10, fs: j})
	defer s.Close()
	s.compactor.stop()
	id := mustCreate(t, s)
	for k := range 60 { // two segments and more; the first holds one item that stays, the rest is overwritten
		key := "again"
		if k == 0 {
			key = "once"
		}
		_, err := s.Update(context.Background(), id, keyOf(key, ""), func([]byte) (Op, []byte, error) {
			return OpPut, fmt.Appendf(nil, "%d/%s", k, strings.Repeat("x", 100)), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, victim := s.candidates(s.clock().UnixMilli()); victim == nil || victim.number != 1 {
		t.Fatal("nothing to move: the test does not test")
	}
	inSync, release := make(chan bool), make(chan bool)
	var once sync.Once
	j.fail = func(op, name string) error {
		if op == "sync" && strings.Contains(name, "/log/") {
			once.Do(func() { close(inSync); <-release })
		}
		return nil
	}
	dropped, compacted := make(chan error, 1), make(chan error, 1)
	go func() { dropped <- s.DropTable(id) }()
	<-inSync
	go func() { _, err := s.compact(s.clock().UnixMilli()); compacted <- err }()
	for s.queue.waiting() == 0 && len(compacted) == 0 {
		runtime.Gosched()
	}
	close(release)
	if err := <-compacted; err != nil {
		t.Errorf("compaction gives up: %v", err)
	}
	if err := <-dropped; err != nil {
		t.Error(err)
	}
}

func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.groups)
}

// TestClosed: after Close everything says so, an open iterator too, and nothing hangs.
func TestClosed(t *testing.T) {
	s := mustOpen(t, Options{})
	id := mustCreate(t, s)
	for k := range 100 {
		if _, err := s.Update(context.Background(), id, keyOf(fmt.Sprint(k), ""), func([]byte) (Op, []byte, error) { return OpPut, []byte("v"), nil }); err != nil {
			t.Fatal(err)
		}
	}
	it := s.Scan(id, ScanOptions{})
	it.Next()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for it.Next() {
	}
	_, updateErr := s.Update(context.Background(), id, keyOf("k", ""), func([]byte) (Op, []byte, error) { return OpNone, nil, nil })
	_, _, getErr := s.Get(id, keyOf("k", ""))
	_, createErr := s.CreateTable(nil, "X", Settings{})
	for what, err := range map[string]error{"iterator": it.Close(), "update": updateErr, "get": getErr, "create": createErr,
		"drop": s.DropTable(id), "scan": s.Scan(id, ScanOptions{}).Close()} {
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
}

// TestUnknownThings: wrong tables, keys, segments and values are refused before anything happens.
func TestUnknownThings(t *testing.T) {
	s := mustOpen(t, Options{})
	defer s.Close()
	id := mustCreate(t, s)
	put := func(v string) Decide { return func([]byte) (Op, []byte, error) { return OpPut, []byte(v), nil } }
	ctx := context.Background()
	if _, err := s.Update(ctx, id+1, keyOf("k", ""), put("v")); fault.KindOf(err) != fault.NotFound {
		t.Errorf("unknown table: %v", err)
	}
	if _, err := s.Update(ctx, id, Key{}, put("v")); fault.KindOf(err) != fault.User {
		t.Errorf("no key: %v", err)
	}
	if _, err := s.Update(ctx, id, keyOf("k", ""), put("")); err == nil {
		t.Error("empty item is taken")
	}
	twice := []Write{{Table: id, Key: keyOf("k", ""), Decide: put("v")}, {Table: id, Key: keyOf("k", ""), Decide: put("w")}}
	if _, err := s.UpdateMany(ctx, twice, false); fault.KindOf(err) != fault.User {
		t.Errorf("one key twice: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Update(cancelled, id, keyOf("k", ""), put("v")); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
	for _, o := range []ScanOptions{{Segment: 3, Segments: 3}, {Segment: -1, Segments: 3}, {Segment: 1}} {
		if err := s.Scan(id, o).Close(); fault.KindOf(err) != fault.User {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if got := drain(t, s.Scan(id, ScanOptions{})); len(got) != 0 {
		t.Errorf("something was written: %q", got)
	}
}
