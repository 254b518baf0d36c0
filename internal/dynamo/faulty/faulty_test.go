package faulty

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// memory is a table that keeps ids.
type memory struct {
	dynamo.Client
	mu    sync.Mutex
	ids   map[string]int
	scans int
}

func (m *memory) Scan(_ context.Context, _ *dynamo.ScanRequest, b *item.Batch) (*dynamo.Page, error) {
	m.scans++
	b.Rows = append(b.Rows[:0], item.Row{})
	return &dynamo.Page{Units: 1}, nil
}

func (m *memory) BatchWrite(_ context.Context, req *dynamo.BatchWriteRequest) (*dynamo.BatchWriteReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, it := range append(append([]item.Item{}, req.Puts...), req.Deletes...) {
		m.ids[id(it)]++
	}
	return &dynamo.BatchWriteReply{Units: float64(len(req.Puts))}, nil
}

func (m *memory) Write(_ context.Context, req *dynamo.WriteRequest) (*dynamo.WriteReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ids[id(req.Item)]++
	return &dynamo.WriteReply{Units: 1}, nil
}

func id(it item.Item) string {
	i, _ := it.Get("id")
	return string(it.Text(i))
}

func made(t *testing.T, name string) item.Item {
	t.Helper()
	it, err := item.FromMap(map[string]item.Value{"id": {Type: item.S, Str: name}})
	if err != nil {
		t.Fatal(err)
	}
	return it
}

func TestScans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{ids: map[string]int{}}
		c, err := New(m, `
# a comment
scan#1: throttle KeyRange
scan#2-3: 500
scan#4: cut      # carried out
scan#5: corrupt
scan#6: stall 1h
`, 1)
		if err != nil {
			t.Fatal(err)
		}
		want := []struct {
			kind  fault.Kind
			scans int
		}{{fault.Throttled, 0}, {fault.Unavailable, 0}, {fault.Unavailable, 0}, {fault.Unavailable, 1},
			{fault.Unavailable, 2}, {fault.Unavailable, 2}, {fault.Bug, 3}}
		for i, w := range want {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			var b item.Batch
			page, err := c.Scan(ctx, &dynamo.ScanRequest{Table: "T"}, &b)
			cancel()
			if last := i == len(want)-1; (err == nil) != last || fault.KindOf(err) != w.kind || m.scans != w.scans ||
				(b.Len() == 1) != last || (page != nil) != last {
				t.Errorf("scan %d: %v (%s), %d carried out, %d items", i+1, err, fault.KindOf(err), m.scans, b.Len())
			}
			var throttle *dynamo.ThrottleError
			if i == 0 && (!errors.As(err, &throttle) || throttle.Limit() != dynamo.KeyRange) {
				t.Errorf("%v", err)
			}
		}
		if got := fmt.Sprint(c.Faults()); got != "map[500:2 corrupt:1 cut:1 stall:1 throttle:1]" || c.Calls("scan") != 7 {
			t.Error(got)
		}
	})
}

func TestWritesThatAreLostOrLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{ids: map[string]int{}}
		c, err := New(m, "write#1: lost\nwrite#2: late 5s\nbatch#1: late 3s", 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"lost", "late", "fine"} {
			_, err := c.Write(context.Background(), &dynamo.WriteRequest{Item: made(t, name)})
			if (err == nil) != (name == "fine") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := c.BatchWrite(context.Background(), &dynamo.BatchWriteRequest{Puts: []item.Item{made(t, "b")}}); err == nil {
			t.Error("a late batch was answered")
		}
		m.mu.Lock()
		got := fmt.Sprint(m.ids)
		m.mu.Unlock()
		if got != "map[fine:1 lost:1]" {
			t.Error(got)
		}
		c.Wait()
		if got := fmt.Sprint(m.ids); got != "map[b:1 fine:1 late:1 lost:1]" {
			t.Error(got)
		}
	})
}

// TestUnprocessed runs a writer over a table that leaves members over: all but the hot key arrive, once.
func TestUnprocessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{ids: map[string]int{}}
		c, err := New(m, "batch#1: unprocessed 3\nbatch#2: throttle\nbatch: unprocessed key=id:7", 1)
		if err != nil {
			t.Fatal(err)
		}
		var puts []item.Item
		for i := range 60 {
			puts = append(puts, made(t, fmt.Sprint(i)))
		}
		var dead []string
		w := dynamo.NewBatchWriter(c, dynamo.NewGovernor(dynamo.GovernorOptions{Seed: 1}), dynamo.BatchWriterOptions{
			RetryFor: 10 * time.Second, Keys: item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}},
			DeadLetter: func(d dynamo.DeadLetter) error { dead = append(dead, id(d.Item)); return nil }})
		done, err := w.Write(context.Background(), puts[:59], puts[59:])
		// Member 7 went through with the first batch, whose rule came first.
		if err != nil || done.Puts+done.Deletes+len(dead) != 60 || len(m.ids)+len(dead) != 60 {
			t.Errorf("%+v, dead %v, %v", done, dead, err)
		}
		again := puts[5:9]
		done, err = w.Write(context.Background(), again, nil)
		if err != nil || done.Puts != 3 || fmt.Sprint(dead) != "[7]" {
			t.Errorf("%+v, dead %v, %v", done, dead, err)
		}
	})
}

func TestRandomRulesFollowTheSeed(t *testing.T) {
	run := func(seed uint64) (faults string) {
		c, err := New(&memory{ids: map[string]int{}}, "scan: random 30% throttle", seed)
		if err != nil {
			t.Fatal(err)
		}
		var b item.Batch
		for range 200 {
			_, err := c.Scan(context.Background(), &dynamo.ScanRequest{}, &b)
			faults += fmt.Sprint(err == nil)[:1]
		}
		if n := c.Faults()["throttle"]; n < 30 || n > 90 {
			t.Errorf("%d faults of 200 at 30 %%", n)
		}
		return faults
	}
	if run(1) != run(1) || run(1) == run(2) {
		t.Error("the seed does not decide")
	}
}

func TestPlansThatAreNone(t *testing.T) {
	for _, plan := range []string{"scan", "scans#1: 500", "scan#0: 500", "scan#3-2: 500", "scan#x: 500", "scan#1+-2: 500",
		"scan#1: 501", "scan#1: throttle Nothing", "scan#1: stall", "scan#1: stall -1s", "batch: unprocessed",
		"batch: unprocessed 0", "batch: unprocessed key=x", "scan: random 200% 500", "scan: random 5%", "scan:"} {
		_, err := New(nil, "scan#1: 500\n"+plan, 1)
		if fault.KindOf(err) != fault.User || fault.PlaceOf(err).Line != 2 {
			t.Errorf("%q: %v", plan, err)
		}
	}
}
