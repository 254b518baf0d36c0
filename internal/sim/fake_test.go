package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// inside runs a process in a world of a plan, whose table was written before, and waits for it.
func inside(t *testing.T, p Plan, run func(ctx context.Context, w *World, env *Env) error) {
	t.Helper()
	p.Seed, p.Call = max(p.Seed, 1), time.Millisecond
	p.Writes, p.Keys, p.Every, p.Shards = max(p.Writes, 1), max(p.Keys, 1), time.Second, max(p.Shards, 1)
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(p, nil)
		w.Table.Live()
		process := w.Spawn("p", func(ctx context.Context, env *Env) error { return run(ctx, w, env) })
		if <-process.Done; process.Err != nil {
			t.Error(process.Err)
		}
	})
}

// TestStream: whatever shards do, reading each from its oldest record gives every change once, and pages tell what they hold.
func TestStream(t *testing.T) {
	for seed := range uint64(40) {
		kinesis := seed%2 == 1
		inside(t, Plan{Seed: seed + 1, Kinesis: kinesis, Writes: 60, Keys: 5, Shards: 3, Splits: 10}, func(ctx context.Context, w *World, env *Env) error {
			time.Sleep(2 * time.Minute) // until all is listed
			shards, err := env.Feed.Shards(ctx, env.Stream, "")
			if err != nil {
				return err
			}
			seen := map[string]bool{}
			for _, s := range shards {
				for _, parent := range s.Parents {
					if !seen[parent] {
						return fmt.Errorf("shard %s is listed before its parent", s.ID)
					}
				}
				seen[s.ID] = true
				if err := sameRecords(ctx, w, env, s); err != nil {
					return err
				}
			}
			if len(shards) != len(w.Table.Lines()) {
				return fmt.Errorf("%d shards are listed of %d", len(shards), len(w.Table.Lines()))
			}
			return nil
		})
	}
}

func sameRecords(ctx context.Context, w *World, env *Env, s feed.Shard) error {
	it, err := env.Feed.Iterator(ctx, env.Stream, s.ID, feed.Position{})
	if err != nil {
		return err
	}
	var p feed.Page
	var lines []string
	var last feed.Position
	for pages := 0; it != "" && pages < 100; pages++ {
		if err := env.Feed.Read(ctx, it, 7, &p); err != nil {
			return err
		}
		for _, r := range p.Records {
			if number(r.Seq) <= number(last.Seq) {
				return fmt.Errorf("record %v comes behind %v", r.Position, last)
			}
			if key := string(item.AppendCompact(nil, p.Items.Item(int(r.Keys)))); !strings.Contains(string(r.Raw), `"Keys":`+key) {
				return fmt.Errorf("the key of %s is %s", r.Raw, key)
			}
			if (r.New == item.NoImage) != (r.Event == feed.Remove) || (r.Old == item.NoImage) != (r.Event == feed.Insert) {
				return fmt.Errorf("%s has the images %d and %d", r.Raw, r.New, r.Old)
			}
			last = feed.Position{Seq: feed.Number(strings.Clone(string(r.Seq)))} // which is the page's memory
			lines = append(lines, string(r.Raw))
		}
		if it = p.Next; len(p.Records) == 0 && !s.Closed {
			break
		}
	}
	if s.Closed != (it == "") {
		return fmt.Errorf("shard %s is closed %v, and the next iterator is %q", s.ID, s.Closed, it)
	}
	if want := w.Table.Lines()[s.ID]; !slices.Equal(lines, want) {
		return fmt.Errorf("shard %s: %d records were read of %d", s.ID, len(lines), len(want))
	}
	return nil
}

// TestForgets: iterators expire, records are trimmed, and shards that held none but those are gone.
func TestForgets(t *testing.T) {
	inside(t, Plan{Writes: 30, Splits: 20}, func(ctx context.Context, w *World, env *Env) error {
		shards, err := env.Feed.Shards(ctx, env.Stream, "")
		if err != nil {
			return err
		}
		oldest := shards[0].ID
		it, err := env.Feed.Iterator(ctx, env.Stream, oldest, feed.Position{})
		if err != nil {
			return err
		}
		var p feed.Page
		if err := env.Feed.Read(ctx, it, 1, &p); err != nil {
			return err
		}
		time.Sleep(16 * time.Minute)
		if err := env.Feed.Read(ctx, it, 1, &p); !errors.Is(err, feed.ErrExpired) {
			return fmt.Errorf("an iterator of 16 minutes: %w", err)
		}
		time.Sleep(24 * time.Hour)
		if _, err := env.Feed.Iterator(ctx, env.Stream, oldest, feed.Position{}); fault.KindOf(err) != fault.NotFound {
			return fmt.Errorf("a shard of yesterday: %w", err)
		}
		lines := w.Table.Lines()
		left, err := env.Feed.Shards(ctx, env.Stream, "")
		if err != nil {
			return err
		}
		for _, s := range left {
			if s.Closed {
				return fmt.Errorf("shard %s is closed and still listed", s.ID)
			}
			if len(lines[s.ID]) < 2 {
				continue
			}
			if _, err := env.Feed.Iterator(ctx, env.Stream, s.ID, feed.Position{Seq: "1"}); !errors.Is(err, feed.ErrTrimmed) {
				return fmt.Errorf("behind a trimmed record: %w", err)
			}
		}
		return nil
	})
}

// TestBucketDialects: each fault does what its name says, and no more.
func TestBucketDialects(t *testing.T) {
	for _, c := range []struct {
		fault       Fault
		exists      bool // the answer is that an object is there
		now, later  bool // it is there at once, and after ten minutes
		ok, retried bool // the answer
	}{
		{fault: "", now: true, later: true, ok: true},
		{fault: Before, retried: true},
		{fault: After, now: true, later: true, retried: true},
		{fault: Lost, now: true, later: true, retried: true},
		{fault: Late, later: true, retried: true},
		{fault: Busy, exists: true},
		{fault: Slow, now: true, later: true, ok: true},
	} {
		inside(t, Plan{Rates: map[Fault]int{c.fault: 100}}, func(ctx context.Context, w *World, env *Env) error {
			_, err := env.Bucket.Put(ctx, "name", []byte("data"), blob.PutOptions{Condition: blob.Condition{IfAbsent: true}})
			if (err == nil) != c.ok || fault.Retryable(err) != c.retried || errors.Is(err, blob.ErrExists) != c.exists {
				t.Errorf("%s: %v", c.fault, err)
			}
			there := func() bool { return len(w.Store.Names()) > 0 }
			if there() != c.now {
				t.Errorf("%s: there at once is %v", c.fault, there())
			}
			time.Sleep(10 * time.Minute)
			if there() != c.later {
				t.Errorf("%s: there later is %v", c.fault, there())
			}
			w.Heal()
			_, err = env.Bucket.Put(ctx, "name", []byte("other"), blob.PutOptions{Condition: blob.Condition{IfAbsent: true}})
			if errors.Is(err, blob.ErrExists) != c.later {
				t.Errorf("%s: another put: %v", c.fault, err)
			}
			if calls := w.Store.Calls("put"); calls != 2 {
				t.Errorf("%s: %d calls were counted", c.fault, calls)
			}
			return nil
		})
	}
}

// TestUploads: an upload is complete once, and there is none of its name afterwards.
func TestUploads(t *testing.T) {
	inside(t, Plan{}, func(ctx context.Context, w *World, env *Env) error {
		u, err := env.Bucket.Create(ctx, "whole", blob.PutOptions{Condition: blob.Condition{IfAbsent: true}})
		if err != nil {
			return err
		}
		if err := errors.Join(u.Part(ctx, 2, []byte("two")), u.Part(ctx, 1, []byte("one"))); err != nil {
			return err
		}
		if _, err := u.Complete(ctx); err != nil {
			return err
		}
		if _, err := u.Complete(ctx); !errors.Is(err, blob.ErrNotFound) {
			return fmt.Errorf("complete again: %w", err)
		}
		if data, _, err := blob.ReadAll(ctx, env.Bucket, "whole", 100); string(data) != "onetwo" {
			return fmt.Errorf("%q: %w", data, err)
		}
		if _, err := env.Bucket.Publish(ctx, blob.Staged{Name: "whole", Size: 6, Keep: 3}, []byte("!"), "final", blob.PutOptions{}); err != nil {
			return err
		}
		data, _, err := blob.ReadAll(ctx, env.Bucket, "final", 100)
		if string(data) != "one!" {
			return fmt.Errorf("%q is published: %w", data, err)
		}
		return nil
	})
}

// TestProcesses: what a killed process has in flight may land, and nothing that it does later; a frozen one goes on.
func TestProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(Plan{Seed: 1, Shards: 1, Call: time.Second}, nil)
		put := func(name string) Actor {
			return func(ctx context.Context, env *Env) error {
				_, first := env.Bucket.Put(ctx, name+"/1", nil, blob.PutOptions{})
				_, second := env.Bucket.Put(context.WithoutCancel(ctx), name+"/2", nil, blob.PutOptions{})
				return errors.Join(first, second)
			}
		}
		killed, frozen := w.Spawn("killed", put("killed")), w.Spawn("frozen", put("frozen"))
		time.Sleep(10 * time.Millisecond)
		killed.Kill()
		frozen.Freeze()
		time.Sleep(time.Hour)
		if got := fmt.Sprint(w.Store.Names()); got != "[frozen/1 killed/1]" {
			t.Errorf("an hour later there are %s", got)
		}
		if <-killed.Done; !errors.Is(killed.Err, context.Canceled) {
			t.Errorf("killed: %v", killed.Err)
		}
		frozen.Thaw()
		if <-frozen.Done; frozen.Err != nil {
			t.Errorf("frozen: %v", frozen.Err)
		}
		if got := fmt.Sprint(w.Store.Names()); got != "[frozen/1 frozen/2 killed/1]" {
			t.Errorf("in the end there are %s", got)
		}
	})
}

// TestScan: pages give each item once, over any number of segments, as it is.
func TestScan(t *testing.T) {
	inside(t, Plan{Writes: 60, Keys: 40}, func(ctx context.Context, w *World, env *Env) error {
		got := map[string]int{}
		for segment := range 3 {
			var start []byte
			for more := true; more; more = start != nil {
				var b item.Batch
				page, err := env.Table.Scan(ctx, &dynamo.ScanRequest{Table: TableName, Segment: segment, Segments: 3, Start: start, Consistent: true}, &b)
				if err != nil {
					return err
				}
				for i := range b.Len() {
					members := b.Item(i).Map()
					got[members["id"].Str]++
				}
				start = page.Last
			}
		}
		items := w.Table.Items()
		for key := range items {
			if got[key] != 1 {
				return fmt.Errorf("item %s was read %d times", key, got[key])
			}
		}
		if len(got) != len(items) {
			return fmt.Errorf("%d items were read of %d", len(got), len(items))
		}
		return nil
	})
}

// TestShrink: what is left of a plan is what it fails by.
func TestShrink(t *testing.T) {
	p := Plan{Writes: 40, Keys: 5, Shards: 3, Processes: 3, Kills: 60, Freezes: 30, Splits: 15, Rates: map[Fault]int{Lost: 15, Late: 5}}
	small := Shrink(p, func(q Plan) bool { return q.Writes >= 7 && q.Processes >= 2 && q.Rates[Late] > 0 })
	if got, want := small.String(), (Plan{Writes: 7, Keys: 1, Shards: 1, Processes: 2, Rates: map[Fault]int{Late: 5}}).String(); got != want {
		t.Errorf("%s is left, want %s", got, want)
	}
}
