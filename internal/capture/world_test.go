package capture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dynaferry/internal/capture"
	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/sim"
)

// world runs a test in a simulated world where nothing goes wrong by itself; its table is written as the plan says.
func world(t *testing.T, p sim.Plan, run func(t *testing.T, w *sim.World, log *changelog.Log)) {
	t.Helper()
	p.Seed, p.Keys, p.Call = 1, max(p.Keys, 1), 20*time.Millisecond
	p.Writes, p.Every, p.Shards = max(p.Writes, 1), max(p.Every, time.Microsecond), max(p.Shards, 1)
	synctest.Test(t, func(t *testing.T) {
		w := sim.NewWorld(p, nil)
		log, err := changelog.Create(t.Context(), w.Store.Bucket(), "log", changelog.Info{Stream: p.Stream(), Table: sim.TableName,
			Kinesis: p.Kinesis, Keys: item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}, View: feed.BothImages, Groups: uint32(max(p.Groups, 1))})
		if err != nil {
			t.Fatal(err)
		}
		run(t, w, log)
	})
}

// carry starts a process that captures; stop ends it cleanly and tells what it returned.
func carry(w *sim.World, name string, o capture.Options) (p *sim.Process, stop func() error) {
	end := make(chan struct{})
	o.Writer = name
	p = w.Spawn(name, func(ctx context.Context, env *sim.Env) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-end:
				cancel()
			case <-ctx.Done():
			}
		}()
		log, err := changelog.Open(ctx, env.Bucket, "log")
		if err != nil {
			return err
		}
		return capture.Run(ctx, log, env.Feed, env.Stream, o)
	})
	return p, func() error {
		close(end)
		<-p.Done
		return p.Err
	}
}

// entries reads a group's chain.
func entries(t *testing.T, log *changelog.Log, group uint32) (list []*changelog.Batch) {
	t.Helper()
	for batch, err := range log.Read(t.Context(), changelog.Range{Group: group}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, batch)
	}
	return list
}

// records counts what the log has.
func records(t *testing.T, log *changelog.Log) (n int) {
	t.Helper()
	for group := range log.Groups {
		for _, e := range entries(t, log, group) {
			n += int(e.Records())
		}
	}
	return n
}

// TestTakeover: a group goes on within 10 s after its process stopped, and at once after a clean end.
func TestTakeover(t *testing.T) {
	for _, clean := range []bool{false, true} {
		world(t, sim.Plan{Writes: 600, Every: 200 * time.Millisecond, Keys: 5}, func(t *testing.T, w *sim.World, log *changelog.Log) {
			go w.Table.Live()
			first, end := carry(w, "first", capture.Options{})
			time.Sleep(5 * time.Second)
			second, endSecond := carry(w, "second", capture.Options{})
			time.Sleep(15 * time.Second)
			limit := 10 * time.Second
			if clean {
				limit = 4 * time.Second
				if err := end(); err != nil {
					t.Error(err)
				}
			} else {
				first.Freeze()
			}
			stopped := time.Now().UnixMicro()
			<-w.Table.Written()
			time.Sleep(20 * time.Second)
			first.Thaw() // it does not know how late it is
			time.Sleep(20 * time.Second)
			var taken int64
			for _, e := range entries(t, log, 0) {
				if e.Writer == "second" && e.Records() > 0 && taken == 0 {
					taken = e.At
				}
				if e.Writer == "first" && taken > 0 {
					t.Errorf("entry %d is of who was shut out", e.N)
				}
			}
			if late := time.Duration(taken-stopped) * time.Microsecond; taken == 0 || late > limit {
				t.Errorf("clean %v: taken over after %v", clean, late)
			}
			if err := endSecond(); err != nil {
				t.Error(err)
			}
			first.Kill()
			<-first.Done
			<-second.Done
			if n := records(t, log); n != 600 {
				t.Errorf("%d records of 600", n)
			}
		})
	}
}

// TestBalance: two processes share the groups, and each keeps its own.
func TestBalance(t *testing.T) {
	world(t, sim.Plan{Writes: 300, Every: time.Second, Keys: 9, Shards: 9, Groups: 5}, func(t *testing.T, w *sim.World, log *changelog.Log) {
		go w.Table.Live()
		m := new(capture.Metrics)
		_, end := carry(w, "first", capture.Options{})
		time.Sleep(20 * time.Second)
		_, endSecond := carry(w, "second", capture.Options{Metrics: m})
		time.Sleep(2 * time.Minute)
		counts := map[string]int{}
		for _, holder := range m.Holders() {
			counts[holder]++
		}
		if counts["first"]*counts["second"] != 6 {
			t.Errorf("groups are held so: %v", m.Holders())
		}
		moved := m.Fences.Load()
		<-w.Table.Written()
		time.Sleep(time.Minute)
		if m.Fences.Load() != moved {
			t.Errorf("groups went on to change hands: %d times, then %d", moved, m.Fences.Load())
		}
		if err := errors.Join(end(), endSecond()); err != nil {
			t.Error(err)
		}
		if n := records(t, log); n != 300 {
			t.Errorf("%d records of 300", n)
		}
	})
}

// TestIdle: a quiet table costs few entries and calls, and its rest is never taken for a gap, nor a downtime of less than
// the retention behind it; one of more is.
func TestIdle(t *testing.T) {
	for _, c := range []struct {
		down time.Duration
		gap  bool
	}{{22 * time.Hour, false}, {26 * time.Hour, true}} {
		world(t, sim.Plan{Writes: 3, Shards: 2}, func(t *testing.T, w *sim.World, log *changelog.Log) {
			w.Table.Live()
			m := new(capture.Metrics)
			var gap *capture.GapError
			o := capture.Options{ReadBudget: 60, Metrics: m, OnGap: func(e *capture.GapError) { gap = e }}
			_, end := carry(w, "first", o)
			time.Sleep(30 * time.Hour)
			if err := end(); err != nil {
				t.Error(err)
			}
			if n := m.Entries.Load(); n > 40 {
				t.Errorf("%d entries in 30 hours", n)
			}
			if n := m.Calls.Load(); n > 2*30*60+600 {
				t.Errorf("%d calls in 30 hours", n)
			}
			if gap != nil {
				t.Fatalf("a gap while it ran: %v", gap)
			}
			time.Sleep(c.down)
			_, end = carry(w, "second", o)
			time.Sleep(5 * time.Minute)
			if err := end(); err != nil {
				t.Error(err)
			}
			if (gap != nil) != c.gap {
				t.Fatalf("after %v: %v", c.down, gap)
			}
			if gap == nil {
				return
			}
			if hint := fault.HintOf(gap); hint != "dynaferry follow dynamodb://Orders sim://bucket/log --heal" || gap.N == 0 ||
				!strings.Contains(gap.Error(), "sim://bucket/log entry ") || len(gap.Shards) == 0 || gap.To.Sub(gap.From) < 24*time.Hour {
				t.Errorf("%+v: %v, %s", gap, gap, hint)
			}
		})
	}
}

// TestStopAtGap: who asked for it is stopped, and the entry stands all the same.
func TestStopAtGap(t *testing.T) {
	world(t, sim.Plan{Shards: 2}, func(t *testing.T, w *sim.World, log *changelog.Log) {
		w.Table.Live()
		_, end := carry(w, "first", capture.Options{})
		time.Sleep(2 * time.Minute)
		if err := end(); err != nil {
			t.Error(err)
		}
		time.Sleep(30 * time.Hour)
		second, _ := carry(w, "second", capture.Options{StopAtGap: true})
		<-second.Done
		var gap *capture.GapError
		if !errors.As(second.Err, &gap) {
			t.Fatalf("it ends with %v", second.Err)
		}
		if list := entries(t, log, 0); list[len(list)-1].Kind != changelog.Gap || list[len(list)-1].N != gap.N {
			t.Errorf("the last entry is %+v", list[len(list)-1].Entry)
		}
	})
}

// TestFresh: a write each minute is in the log within the freshness, whichever shard it comes from.
func TestFresh(t *testing.T) {
	world(t, sim.Plan{Writes: 60, Every: time.Minute, Keys: 20, Shards: 4}, func(t *testing.T, w *sim.World, log *changelog.Log) {
		go w.Table.Live()
		m := new(capture.Metrics)
		_, end := carry(w, "first", capture.Options{Metrics: m})
		<-w.Table.Written()
		time.Sleep(10 * time.Second)
		at := map[string]time.Time{} // when each change was in the log
		for _, e := range entries(t, log, 0) {
			for _, id := range events(t, e) {
				at[id] = w.Store.Modified(fmt.Sprintf("log/chain/000/%012d", e.N))
			}
		}
		var late []time.Duration
		for _, c := range w.Table.Changes() {
			late = append(late, at[fmt.Sprintf("%032x", c.N)].Sub(c.At))
		}
		slices.Sort(late)
		if late[0] < 0 || late[len(late)/2] > 3*time.Second || late[len(late)-1] > 4*time.Second {
			t.Errorf("from a write to the log: %v", late)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

// events are the event ids of an entry's records.
func events(t *testing.T, e *changelog.Batch) (ids []string) {
	t.Helper()
	for i := range e.Parts {
		text, err := e.Parts[i].Records(nil)
		if err != nil {
			t.Fatal(err)
		}
		for line := range changelog.Lines(text) {
			_, id, _ := bytes.Cut(line, []byte(`"eventID":"`))
			ids = append(ids, string(id[:32]))
		}
	}
	return ids
}

// TestUntil: Run ends by itself once all of before a time is in the log, and not earlier.
func TestUntil(t *testing.T) {
	for _, kinesis := range []bool{false, true} {
		world(t, sim.Plan{Writes: 50, Every: time.Second, Keys: 9, Shards: 3, Splits: 5, Kinesis: kinesis}, func(t *testing.T, w *sim.World, log *changelog.Log) {
			go w.Table.Live()
			until := time.Now().Add(30 * time.Second)
			p, _ := carry(w, "first", capture.Options{Until: until})
			<-p.Done
			if p.Err != nil || time.Now().Before(until) {
				t.Fatalf("it ends at %v: %v", time.Until(until), p.Err)
			}
			<-w.Table.Written()
			ids := map[string]bool{}
			for _, e := range entries(t, log, 0) {
				for _, id := range events(t, e) {
					ids[id] = true
				}
			}
			for _, c := range w.Table.Changes() {
				if c.At.Before(until) && !ids[fmt.Sprintf("%032x", c.N)] {
					t.Errorf("change %d of %v before is missing", c.N, until.Sub(c.At))
				}
			}
		})
	}
}

// TestRedact: what a hook makes of a record is what the log has.
func TestRedact(t *testing.T) {
	world(t, sim.Plan{Writes: 20}, func(t *testing.T, w *sim.World, log *changelog.Log) {
		w.Table.Live()
		_, end := carry(w, "first", capture.Options{Redact: func(_ *feed.Page, r *feed.Record) error {
			r.Raw = []byte(strings.ReplaceAll(string(r.Raw), `"k0"`, `"***"`))
			return nil
		}})
		time.Sleep(10 * time.Second)
		if err := end(); err != nil {
			t.Error(err)
		}
		for _, e := range entries(t, log, 0) {
			for i := range e.Parts {
				if text, err := e.Parts[i].Records(nil); err != nil || strings.Contains(string(text), `"k0"`) || !strings.Contains(string(text), `"***"`) {
					t.Fatalf("%s, %v", text, err)
				}
			}
		}
		p, _ := carry(w, "second", capture.Options{Redact: func(*feed.Page, *feed.Record) error { return fault.New(fault.User, "no key") }})
		time.Sleep(time.Minute)
		select {
		case <-p.Done:
			t.Errorf("it ended without a record: %v", p.Err)
		default:
		}
		p.Kill()
		<-p.Done
	})
}

// TestDerive: each of the two settings tells the other's value and the dollars.
func TestDerive(t *testing.T) {
	for _, c := range []struct {
		kinesis    bool
		o          capture.Options
		full, idle time.Duration
		fresh      time.Duration
		budget     int
		usd        float64 // of 1,000 shards
	}{
		{false, capture.Options{}, time.Second, 2500 * time.Millisecond, 4 * time.Second, 1440, 209.74},
		{false, capture.Options{Freshness: time.Second}, 250 * time.Millisecond, 250 * time.Millisecond, time.Second, 14400, 2101.90},
		{false, capture.Options{Freshness: 5 * time.Minute}, 60 * time.Second, 60 * time.Second, 5 * time.Minute, 60, 8.26},
		{false, capture.Options{ReadBudget: 60}, time.Second, 60 * time.Second, 61500 * time.Millisecond, 60, 8.26},
		{false, capture.Options{ReadBudget: 1}, time.Second, 60 * time.Second, 61500 * time.Millisecond, 1, 8.26},
		{true, capture.Options{ReadBudget: 100_000}, 200 * time.Millisecond, 200 * time.Millisecond, 1700 * time.Millisecond, 100_000, 0},
	} {
		r := capture.Derive(c.kinesis, c.o)
		if r.Full != c.full || r.Idle != c.idle || r.Freshness != c.fresh || r.ReadBudget != c.budget || fmt.Sprintf("%.2f", r.MonthUSD(1000)) != fmt.Sprintf("%.2f", c.usd) {
			t.Errorf("%+v: %+v, %.2f USD", c.o, r, r.MonthUSD(1000))
		}
	}
	if usd := capture.Derive(false, capture.Options{}).MonthUSD(2); usd != 0 {
		t.Errorf("the free tier covers two shards, not %v", usd)
	}
	if text := capture.Derive(false, capture.Options{}).String(); text != "fresh within 4s; 1440 calls an hour for an idle shard" {
		t.Error(text)
	}
}
