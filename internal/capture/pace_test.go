package capture_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dynaferry/internal/blob/folder"
	"dynaferry/internal/capture"
	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// uneven is a stream of one shard that has a record in each page, without end; every tenth page takes most of a second.
type uneven struct {
	crowd
	rest time.Duration // how long its first record takes to come

	mu    sync.Mutex
	asked []time.Time
	came  time.Time // when the first record did
}

func (u *uneven) Read(_ context.Context, iterator string, _ int, p *feed.Page) error {
	u.mu.Lock()
	u.asked = append(u.asked, time.Now())
	begun := u.asked[0]
	u.mu.Unlock()
	n, _ := strconv.Atoi(iterator) // the first is the shard's name: 0
	took := 10 * time.Millisecond
	if n%10 == 9 && u.rest == 0 {
		took = 800 * time.Millisecond
	}
	time.Sleep(took)
	p.Date, p.Next = time.Now(), strconv.Itoa(n+1)
	if time.Since(begun) < u.rest {
		return nil
	}
	u.mu.Lock()
	if u.came.IsZero() {
		u.came = time.Now()
	}
	u.mu.Unlock()
	raw := fmt.Appendf(nil, `{"n":%d}`, n)
	at := time.Now().Add(-time.Hour) // it is behind, and reads as fast as it may
	if u.rest > 0 {
		at = time.Now()
	}
	p.Records = append(p.Records, feed.Record{Raw: raw, Position: feed.Position{Seq: feed.Number(strconv.Itoa(100 + n))}, Micros: at.UnixMicro(), New: item.NoImage, Old: item.NoImage})
	p.Bytes = len(raw)
	return nil
}

// carryUneven captures it for so long, and tells each entry.
func carryUneven(t *testing.T, u *uneven, during time.Duration, told func(*changelog.Entry)) {
	t.Helper()
	u.shards = 1
	at, err := folder.Open(t.TempDir(), folder.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), during)
		defer cancel()
		log, err := changelog.Create(ctx, at, "", changelog.Info{Stream: "arn:crowd", Table: "T", View: feed.BothImages, Groups: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := capture.Run(ctx, log, u, "arn:crowd", capture.Options{OnEntry: told}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestSlowPagesAreMadeUpFor: who is behind reads a shard five times a second on average though some pages are slow, and never
// more often in any second.
func TestSlowPagesAreMadeUpFor(t *testing.T) {
	u := &uneven{}
	carryUneven(t, u, time.Minute, nil)
	if n := len(u.asked); n < 290 || n > 305 {
		t.Errorf("%d calls in a minute, want about 300", n)
	}
	for i := 5; i < len(u.asked); i++ {
		if six := u.asked[i].Sub(u.asked[i-5]); six < time.Second {
			t.Errorf("6 calls within %v, from the %dth on", six, i-5)
		}
	}
}

// TestFirstAfterARest: a record that comes after a rest is an entry at once, and those behind it are gathered.
func TestFirstAfterARest(t *testing.T) {
	u := &uneven{rest: 30 * time.Second}
	var entries []time.Time
	carryUneven(t, u, time.Minute, func(e *changelog.Entry) {
		if e.Records() > 0 {
			entries = append(entries, time.Now())
		}
	})
	if len(entries) == 0 || entries[0].Sub(u.came) > 50*time.Millisecond {
		t.Fatalf("%d entries; the first record came at %v, and is in %v", len(entries), u.came, entries)
	}
	if n := len(entries); n > 35 {
		t.Errorf("%d entries in 30 s", n)
	}
}
