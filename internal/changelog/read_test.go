package changelog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// twoShards is a log of n entries in which shards a and b take turns; record i is of the time i, its key is i mod 5.
func twoShards(t testing.TB, n int) (*memory, *Log) {
	t.Helper()
	m := newMemory()
	l := makeLog(t, m, 1)
	c := openChain(t, l, "w1")
	b := newTestBuilder(t, c.State(), BuilderOptions{BlockBytes: 400})
	must(t, b.Begin(Shard{ID: "a"}))
	must(t, b.Begin(Shard{ID: "b"}))
	for i := range n {
		for j := range 10 {
			at := 1 + i*10 + j
			add(t, b, []string{"a", "b"}[(i+j/5)%2], record(at, int64(at), fmt.Sprint(at%5)))
		}
		appendDraft(t, c, b.Cut())
	}
	return m, l
}

// TestRanges: what is set of a range restricts what is read, to the record where a position says so, else to the block.
func TestRanges(t *testing.T) {
	_, l := twoShards(t, 20)
	for name, c := range map[string]struct {
		r       Range
		a, b    int // records
		entries int
	}{
		"all":                    {Range{}, 100, 100, 20},
		"some entries":           {Range{First: 5, Last: 7}, 15, 15, 3},
		"from a whole one":       {Range{First: 16}, 25, 25, 5},
		"one shard":              {Range{Shard: "a"}, 100, 0, 20},
		"behind a position":      {Range{Shard: "a", After: feed.Position{Seq: "43"}}, 100 - 23, 0, 20},
		"behind the last":        {Range{Shard: "b", After: feed.Position{Seq: "999"}}, 0, 0, 20},
		"no such shard":          {Range{Shard: "c"}, 0, 0, 20},
		"nothing":                {Range{First: 7, Last: 6}, 0, 0, 0},
		"behind the tail":        {Range{First: 21}, 0, 0, 0},
		"a little room":          {Range{AheadBytes: 1}, 100, 100, 20},
		"a window, whole blocks": {Range{From: 41, To: 44}, 5, 0, 20},
	} {
		lines, entries, err := readAll(t.Context(), l, c.r)
		if err != nil || len(lines["a"]) != c.a || len(lines["b"]) != c.b || len(entries) != c.entries {
			t.Errorf("%s: %d and %d records in %d entries, %v", name, len(lines["a"]), len(lines["b"]), len(entries), err)
		}
	}
}

// TestFollow: at the tail an entry is seen within one poll, an idle log costs one look a poll, and the context ends it.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		l := makeLog(t, m, 1)
		watched, calls := faultedLog(t, m, "put(never)#1: 503")
		ctx, stop := context.WithCancel(t.Context())
		start := time.Now()
		const poll, entries = 100 * time.Millisecond, 30
		var late time.Duration
		var seen int
		ended := make(chan error, 1)
		go func() {
			for batch, err := range watched.Read(ctx, Range{Poll: poll}) {
				if err != nil {
					ended <- err
					return
				}
				seen++
				late = max(late, time.Since(start)-time.Duration(batch.At))
			}
		}()
		c := openChain(t, l, "w1")
		b := newTestBuilder(t, c.State(), BuilderOptions{})
		must(t, b.Begin(Shard{ID: "a"}))
		for i := range entries {
			time.Sleep(777 * time.Millisecond)
			add(t, b, "a", record(i+1, 1, "k"))
			d := b.Cut()
			d.At = int64(time.Since(start))
			appendDraft(t, c, d)
		}
		time.Sleep(time.Second)
		before := calls.Calls()
		time.Sleep(100 * poll)
		idle := calls.Calls() - before
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) || seen != entries || late > poll || idle > 125 {
			t.Errorf("%d entries, the latest %v late, %d calls in 100 idle polls, ended with %v", seen, late, idle, err)
		}
	})
}

// TestHoleAtTheTail: a follower that waits for an entry that was lost does not wait forever.
func TestHoleAtTheTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l := twoShards(t, 6)
		must(t, m.Delete(t.Context(), entryName("", 0, 5)))
		_, entries, err := readAll(t.Context(), l, Range{Poll: time.Second})
		if fault.KindOf(err) != fault.Corrupt || !errors.Is(err, blob.ErrNotFound) || len(entries) != 4 ||
			fault.PlaceOf(err).File != "mem://log/"+entryName("", 0, 5) {
			t.Errorf("%d entries, %v", len(entries), err)
		}

		m, l = twoShards(t, 5)
		last := m.objects[entryName("", 0, 5)]
		must(t, m.Delete(t.Context(), entryName("", 0, 4), entryName("", 0, 5)))
		time.AfterFunc(3*time.Second, func() { _, _ = m.Put(t.Context(), entryName("", 0, 5), last, blob.PutOptions{}) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, entries, err = readAll(ctx, l, Range{Poll: time.Second})
		if fault.KindOf(err) != fault.Corrupt || len(entries) != 3 || fault.PlaceOf(err).File != "mem://log/"+entryName("", 0, 4) {
			t.Errorf("at the tail: %d entries, %v", len(entries), err)
		}
	})
}

// TestVacuumed: when the beginning of a chain is gone, reading goes on at an entry that tells the whole state.
func TestVacuumed(t *testing.T) {
	m, l := twoShards(t, 40)
	for n := range uint64(31) {
		must(t, m.Delete(t.Context(), entryName("", 0, n+1)))
	}
	if lines, entries, err := readAll(t.Context(), l, Range{First: 32, Last: 40}); err != nil || len(entries) != 9 || len(lines["a"]) != 45 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	if _, _, err := readAll(t.Context(), l, Range{First: 31, Last: 40}); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("from an entry that is gone: %v", err)
	}
}

// TestAheadIsBounded: however slow the caller is, no more is read ahead than he gave room for.
func TestAheadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		l := makeLog(t, m, 1)
		c := openChain(t, l, "w1")
		b := newTestBuilder(t, c.State(), BuilderOptions{})
		must(t, b.Begin(Shard{ID: "a"}))
		for i := range 40 {
			must(t, b.Add("a", Record{Raw: noise(300<<10, uint64(i)), Position: feed.Position{Seq: feed.Number(fmt.Sprint(i + 1))}}))
			appendDraft(t, c, b.Cut())
		}
		counting := &bodies{Bucket: m}
		l, err := Open(t.Context(), counting, "")
		must(t, err)
		const room = 1 << 20
		for _, err := range l.Read(t.Context(), Range{AheadBytes: room}) {
			must(t, err)
			synctest.Wait() // the reader has gone as far as it may
			if most := counting.large.Load(); most > room+400<<10 {
				t.Fatalf("%d bytes are held", most)
			}
			counting.large.Add(-300 << 10)
		}
		if counting.large.Load() > 1<<20 {
			t.Errorf("%d bytes too many were read", counting.large.Load())
		}
	})
}

// bodies adds up the bytes of large reads.
type bodies struct {
	blob.Bucket
	large atomic.Int64
}

func (b *bodies) Get(ctx context.Context, name string, o blob.ReadOptions) (r io.ReadCloser, info blob.Info, err error) {
	if o.Length > tailBytes {
		b.large.Add(o.Length)
	}
	return b.Bucket.Get(ctx, name, o)
}

// noise is a line that does not compress.
func noise(size int, seed uint64) []byte {
	line := make([]byte, size)
	for i := range line {
		seed = seed*6364136223846793005 + 1442695040888963407
		line[i] = byte(seed>>57) | 0x80
	}
	return line
}

// TestRecordsKeepRoom: who unpacks into memory with room for more has that room behind the records: parsers need some.
func TestRecordsKeepRoom(t *testing.T) {
	_, l := twoShards(t, 1)
	for batch, err := range l.Read(t.Context(), Range{}) {
		must(t, err)
		for i := range batch.Parts {
			room := make([]byte, 0, batch.Parts[i].Bytes+64)
			out, err := batch.Parts[i].Records(room)
			must(t, err)
			if cap(out) != cap(room) || &out[0] != &room[:1][0] {
				t.Errorf("%d bytes of records in %d of room, want %d", len(out), cap(out), cap(room))
			}
		}
	}
}
