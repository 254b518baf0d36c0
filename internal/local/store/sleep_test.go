package store

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestSleepBeforeTheFrame: a machine that sleeps for hours between a write's decision and its frame. Its record can be
// read for a day from then on, and tells what was before, which by then has lost its segment.
func TestSleepBeforeTheFrame(t *testing.T) {
	const hour = int64(time.Hour / time.Millisecond)
	old, young := strings.Repeat("o", 12<<10), strings.Repeat("y", 12<<10) // a segment each
	for _, test := range []struct {
		name   string
		asleep int64 // how long, in ms
		behind bool  // the write waits for the one it replaces, else that is 22 hours old
	}{
		{"behind what is in the index", 3 * hour, false},
		{"behind a write in its sync", 30 * hour, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := newJournalFS()
			var now atomic.Int64
			var asleep atomic.Int64 // the sleep to come, right after the next decision
			now.Store(1e12)
			o := crashOptions(j)
			o.Clock = func() time.Time { return time.UnixMilli(now.Load()) }
			o.Entries = func([]Entry, []byte, []byte) []Entry { now.Add(asleep.Swap(0)); return nil }
			s := mustOpen(t, o)
			defer s.Close()
			id, err := s.CreateTable(nil, "T", viewsOf(s, 1))
			if err != nil {
				t.Fatal(err)
			}
			put := func(text string) {
				_, err := s.Update(context.Background(), id, keyOf("k", ""), func([]byte) (Op, []byte, error) {
					return OpPut, []byte(text), nil
				})
				if err != nil {
					t.Error(err)
				}
			}
			if test.behind {
				inSync, release, first := make(chan bool), make(chan bool), make(chan bool)
				j.fail = func(op, name string) error {
					if op == "sync" && strings.Contains(name, "/log/") && inSync != nil {
						inSync <- true
						<-release
						inSync = nil
					}
					return nil
				}
				go func() { put(old); close(first) }()
				<-inSync
				asleep.Store(test.asleep)
				second := make(chan bool)
				go func() { put(young); close(second) }()
				for s.queue.waiting() == 0 {
					runtime.Gosched()
				}
				close(release)
				<-first
				<-second
			} else {
				put(old)
				now.Add(22 * hour)
				asleep.Store(test.asleep)
				put(young)
			}
			now.Add(23 * hour)
			settled(t, s)
			if s.log.snapshot()[0].number == 1 {
				t.Fatal("the old item's segment is still there, and so nothing is proved")
			}
			records, err := readStream(s, 1)
			if err != nil {
				t.Fatal(err)
			}
			if last := records[len(records)-1]; string(last.Old) != old || string(last.New) != young {
				t.Errorf("the record tells of %.10q before %.10q", last.Old, last.New)
			}
		})
	}
}
