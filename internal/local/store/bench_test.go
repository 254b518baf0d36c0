package store

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// benchItem is an item of about 726 bytes of DynamoDB JSON, the size the budgets are stated for.
func benchItem(i int) []byte {
	return fmt.Appendf(nil, `{"pk":{"S":"customer#%012d"},"sk":{"S":"order#%08d"},"status":{"S":"SHIPPED"},"total":{"N":"%d.95"},"note":{"S":"%s"}}`,
		i, i, i%10000, strings.Repeat("lorem ipsum ", 49))
}

func benchKey(i int) Key {
	return Key{Hash: EncodeString(nil, fmt.Appendf(nil, "customer#%012d", i)), Range: EncodeString(nil, fmt.Appendf(nil, "order#%08d", i))}
}

func rssMB() float64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return float64(kb) / 1024
		}
	}
	return 0
}

// cpu is this process's CPU time, the measure that a busy machine does not distort.
func cpu() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// meter prints what n operations took.
func meter(b testing.TB, what string, n int, f func()) {
	wall, busy := time.Now(), cpu()
	f()
	b.Logf("%-28s %9.0f/s  %6.1f µs CPU each  rss %3.0f MB", what, float64(n)/time.Since(wall).Seconds(),
		float64((cpu()-busy).Nanoseconds())/1e3/float64(n), rssMB())
}

func benchStore(b *testing.B, o Options) (*Store, TableID) {
	b.Helper()
	s, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	id, err := s.CreateTable([]byte(`{}`), "Orders", Settings{})
	if err != nil {
		b.Fatal(err)
	}
	return s, id
}

// writers runs f(i) for i below n from so many goroutines.
func writers(count, n int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range count {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

func putItem(b testing.TB, s *Store, id TableID, i int, item []byte, blind bool) {
	r, err := s.UpdateMany(context.Background(), []Write{{Table: id, Key: benchKey(i), Blind: blind,
		Decide: func([]byte) (Op, []byte, error) { return OpPut, item, nil }}}, false)
	if err != nil || r[0].Err != nil {
		b.Error(err, r)
	}
}

// BenchmarkPut: 64 writers, every put on the device before the reply. Budget: 60k puts/s, 20 µs CPU each.
func BenchmarkPut(b *testing.B) {
	for _, mode := range []string{"sync", "nosync", "memory"} {
		b.Run(mode, func(b *testing.B) {
			o := Options{Dir: b.TempDir(), NoSync: mode == "nosync"}
			if mode == "memory" {
				o.Dir = ""
			}
			s, id := benchStore(b, o)
			defer s.Close()
			item := benchItem(1)
			b.SetBytes(int64(len(item)))
			b.ReportAllocs()
			b.ResetTimer()
			writers(64, b.N, func(i int) { putItem(b, s, id, i, item, true) })
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
			b.ReportMetric(rssMB(), "rss-MB")
		})
	}
}

// BenchmarkBatch: 16 writers of 25 items. Budget: 130k items/s.
func BenchmarkBatch(b *testing.B) {
	s, id := benchStore(b, Options{Dir: b.TempDir()})
	defer s.Close()
	item := benchItem(1)
	b.SetBytes(int64(len(item)) * 25)
	b.ResetTimer()
	writers(16, b.N, func(n int) { putBatch(b, s, id, n*25, 25, item) })
	b.ReportMetric(float64(b.N)*25/b.Elapsed().Seconds(), "items/s")
}

func putBatch(b testing.TB, s *Store, id TableID, from, n int, item []byte) {
	w := make([]Write, n)
	for j := range w {
		w[j] = Write{Table: id, Key: benchKey(from + j), Blind: true,
			Decide: func([]byte) (Op, []byte, error) { return OpPut, item, nil }}
	}
	if _, err := s.UpdateMany(context.Background(), w, false); err != nil {
		b.Error(err)
	}
}

func scanAll(b testing.TB, s *Store, id TableID, segments, want int) {
	var wg sync.WaitGroup
	var count atomic.Int64
	for g := range segments {
		wg.Go(func() {
			it := s.Scan(id, ScanOptions{Segment: g, Segments: segments})
			for it.Next() {
				count.Add(1)
			}
			if err := it.Close(); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	if int(count.Load()) != want {
		b.Errorf("scan of %d items", count.Load())
	}
}

// BenchmarkMillion loads a million items once and reports the rest of the budgets: open time, memory, scan, get,
// random overwrites with their compaction.
func BenchmarkMillion(b *testing.B) {
	n := 1_000_000
	if v := os.Getenv("DYNAFERRY_ITEMS"); v != "" {
		n, _ = strconv.Atoi(v)
	}
	dir := b.TempDir()
	s, id := benchStore(b, Options{Dir: dir})
	item := benchItem(1)
	meter(b, "load by batches of 25", n, func() { writers(16, n/25, func(i int) { putBatch(b, s, id, i*25, 25, item) }) })
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	for range 3 {
		start := time.Now()
		s = mustOpen(b, Options{Dir: dir})
		b.Logf("open %v, rss %.0f MB", time.Since(start), rssMB())
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	s = mustOpen(b, Options{Dir: dir})
	defer s.Close()
	for _, segments := range []int{1, 1, 4} {
		meter(b, fmt.Sprintf("scan in %d segments", segments), n, func() { scanAll(b, s, id, segments, n) })
	}
	meter(b, "get", 100_000, func() {
		writers(64, 100_000, func(i int) {
			if _, ok, err := s.Get(id, benchKey(i*7919%n)); !ok || err != nil {
				b.Error(ok, err)
			}
		})
	})
	meter(b, "random overwrites, blind", n/4, func() { writers(64, n/4, func(i int) { putItem(b, s, id, i*7919%n, item, true) }) })
	meter(b, "random overwrites, old read", n/4, func() { writers(64, n/4, func(i int) { putItem(b, s, id, i*7919%n, item, false) }) })
	for range b.N {
	}
}

// BenchmarkViews overwrites items at random, with what a table may keep beside them. Budget with stream and history:
// 28,000 puts/s, 48 µs CPU each (local-store's prototype); an index whose keys stay costs one more index entry a put.
func BenchmarkViews(b *testing.B) {
	n := 200_000
	if v := os.Getenv("DYNAFERRY_ITEMS"); v != "" {
		n, _ = strconv.Atoi(v)
	}
	status := func(dst []Entry, _, raw []byte) []Entry {
		return append(dst, Entry{1, Key{Hash: EncodeString(nil, []byte("SHIPPED")), Range: EncodeString(nil, raw[15:35])}})
	}
	s, err := Open(Options{Dir: b.TempDir(), Entries: status})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	id, err := s.CreateTable([]byte(`{}`), "Orders", Settings{})
	if err != nil {
		b.Fatal(err)
	}
	item := benchItem(1)
	writers(16, n/25, func(i int) { putBatch(b, s, id, i*25, 25, item) })
	began := time.Now()
	for _, c := range []struct {
		what     string
		settings Settings
	}{
		{"nothing", Settings{}},
		{"stream", Settings{Stream: s.NewStream(), Shards: 4, OldImages: true}},
		{"stream and history", Settings{Stream: s.NewStream(), Shards: 4, OldImages: true, History: 35 * 24 * time.Hour}},
		{"and an index", Settings{Stream: s.NewStream(), Shards: 4, OldImages: true, History: 35 * 24 * time.Hour, Indexes: []IndexID{1}}},
	} {
		if err := s.UpdateTable(id, []byte(`{}`), c.settings); err != nil {
			b.Fatal(err)
		}
		began = time.Now()
		meter(b, "puts, "+c.what, n/2, func() { writers(64, n/2, func(i int) { putItem(b, s, id, i*7919%n, item, true) }) })
	}
	meter(b, "index built", n, func() {
		if err := s.BuildIndex(context.Background(), id, 1, nil); err != nil {
			b.Fatal(err)
		}
	})
	stream := s.Tables()[0].Settings.Stream
	meter(b, "stream read, both images", n/2, func() { readAll(b, s, stream, n/2) })
	meter(b, "state before these puts", n, func() { drainState(b, s, id, began, n) })
	meter(b, "changes since", n/2, func() {
		err := s.Changes(context.Background(), id, began, time.Now(), func(Change) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
	})
	for range b.N {
	}
}

func readAll(b *testing.B, s *Store, stream StreamID, want int) {
	shards, err := s.Shards(stream)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, sh := range shards {
		for after := uint64(0); ; {
			p, err := s.ReadShard(stream, sh.ID, after, 1000, 1<<20)
			if err != nil {
				b.Fatal(err)
			}
			n += len(p.Changes)
			if after = p.Next; len(p.Changes) == 0 {
				break
			}
		}
	}
	if n != want {
		b.Fatalf("%d of %d records", n, want)
	}
}

func drainState(b *testing.B, s *Store, id TableID, at time.Time, want int) {
	it := s.StateAt(id, at, ScanOptions{})
	n := 0
	for it.Next() {
		n++
	}
	if err := it.Close(); err != nil || n != want {
		b.Fatalf("%d of %d items, %v", n, want, err)
	}
}
