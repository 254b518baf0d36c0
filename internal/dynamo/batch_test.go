package dynamo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// fakeTable answers BatchWrite as its function says and keeps what was written.
type fakeTable struct {
	Client
	answer  func(req *BatchWriteRequest, call int) (*BatchWriteReply, error)
	calls   int
	written map[string]int
	sizes   []int
}

func (f *fakeTable) BatchWrite(_ context.Context, req *BatchWriteRequest) (*BatchWriteReply, error) {
	f.calls++
	f.sizes = append(f.sizes, len(req.Puts)+len(req.Deletes))
	reply, err := f.answer(req, f.calls)
	if err != nil {
		return nil, err
	}
	left := map[string]bool{}
	for _, i := range reply.UnprocessedPuts {
		left[id(req.Puts[i])] = true
	}
	for _, i := range reply.UnprocessedDeletes {
		left[id(req.Deletes[i])] = true
	}
	for _, it := range append(append([]item.Item{}, req.Puts...), req.Deletes...) {
		if !left[id(it)] {
			f.written[id(it)]++
		}
	}
	return reply, nil
}

func id(it item.Item) string {
	i, _ := it.Get("id")
	return string(it.Text(i))
}

func makeItems(t *testing.T, prefix string, n int) []item.Item {
	t.Helper()
	var items []item.Item
	for i := range n {
		it, err := item.FromMap(map[string]item.Value{"id": {Type: item.S, Str: fmt.Sprint(prefix, i)}})
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, it)
	}
	return items
}

var idKey = item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}

func TestBatchWriter(t *testing.T) {
	everything := func(req *BatchWriteRequest, _ int) (*BatchWriteReply, error) {
		return &BatchWriteReply{Units: float64(len(req.Puts) + len(req.Deletes))}, nil
	}
	for _, c := range []struct {
		name          string
		puts, deletes int
		answer        func(req *BatchWriteRequest, call int) (*BatchWriteReply, error)
		dead          string // ids and a part of the reason
		most          time.Duration
		sizes         string
	}{
		{"everything at once", 60, 10, everything, "", time.Second, "[25 25 20]"},
		{"the tail comes back twice", 25, 0, func(req *BatchWriteRequest, call int) (*BatchWriteReply, error) {
			reply := &BatchWriteReply{}
			for i := range req.Puts {
				if call < 3 && i >= 20 {
					reply.UnprocessedPuts = append(reply.UnprocessedPuts, i)
				}
			}
			return reply, nil
		}, "", 5 * time.Second, ""},
		{"one key stays for ever", 100, 0, func(req *BatchWriteRequest, _ int) (*BatchWriteReply, error) {
			reply := &BatchWriteReply{}
			for i, it := range req.Puts {
				if id(it) == "p7" {
					reply.UnprocessedPuts = append(reply.UnprocessedPuts, i)
				}
			}
			if len(reply.UnprocessedPuts) == len(req.Puts) {
				return nil, throttled(KeyRange) // nothing processed is an exception
			}
			return reply, nil
		}, "p7: left unprocessed", 70 * time.Second, ""},
		{"two members are poison", 25, 3, func(req *BatchWriteRequest, _ int) (*BatchWriteReply, error) {
			for _, it := range append(append([]item.Item{}, req.Puts...), req.Deletes...) {
				if id(it) == "p3" || id(it) == "d1" {
					return nil, fault.New(fault.User, "Item size has exceeded the maximum allowed size")
				}
			}
			return everything(req, 0)
		}, "p3: Item size has exceeded d1: Item size has exceeded", time.Second, ""},
		{"throttled five times", 25, 0, func(req *BatchWriteRequest, call int) (*BatchWriteReply, error) {
			if call <= 5 {
				return nil, throttled(Provisioned)
			}
			return everything(req, 0)
		}, "", 10 * time.Second, "[25 25 25 25 25 25]"},
		{"a lost answer is sent again", 5, 0, func(req *BatchWriteRequest, call int) (*BatchWriteReply, error) {
			if call == 1 {
				return nil, fault.New(fault.Unavailable, "connection reset")
			}
			return everything(req, 0)
		}, "", time.Second, "[5 5]"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeTable{answer: c.answer, written: map[string]int{}}
			var dead []string
			w := NewBatchWriter(f, NewGovernor(GovernorOptions{Seed: 4, Rate: 1e6}), BatchWriterOptions{Table: "T", Keys: idKey,
				DeadLetter: func(d DeadLetter) error {
					dead = append(dead, id(d.Item)+": "+d.Err.Error())
					return nil
				}})
			start := time.Now()
			done, err := w.Write(context.Background(), makeItems(t, "p", c.puts), makeItems(t, "d", c.deletes))
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if took := time.Since(start); took > c.most {
				t.Errorf("%s took %s", c.name, took)
			}
			if got := fmt.Sprint(f.sizes); c.sizes != "" && got != c.sizes {
				t.Errorf("%s: batches %s, want %s", c.name, got, c.sizes)
			}
			if done.Puts+done.Deletes+done.DeadLetters != c.puts+c.deletes || done.DeadLetters != len(dead) {
				t.Errorf("%s: %+v with %d dead", c.name, done, len(dead))
			}
			if len(f.written) != done.Puts+done.Deletes {
				t.Errorf("%s: %d keys written of %+v", c.name, len(f.written), done)
			}
			for _, want := range strings.SplitAfter(c.dead, "exceeded") {
				if !strings.Contains(strings.Join(dead, " "), strings.TrimSpace(want)) {
					t.Errorf("%s: dead %q, want %q", c.name, dead, want)
				}
			}
		})
	}
}

func TestBatchWriterStops(t *testing.T) {
	items := makeItems(t, "p", 3)
	fine := func(*BatchWriteRequest, int) (*BatchWriteReply, error) { return &BatchWriteReply{}, nil }
	for name, c := range map[string]struct {
		answer func(*BatchWriteRequest, int) (*BatchWriteReply, error)
		puts   []item.Item
		o      BatchWriterOptions
		kind   fault.Kind
	}{
		"the same key twice": {fine, append(items, items[1]), BatchWriterOptions{Keys: idKey}, fault.Bug},
		"no dead letters": {func(*BatchWriteRequest, int) (*BatchWriteReply, error) {
			return nil, fault.New(fault.User, "no")
		}, items[:1], BatchWriterOptions{Keys: idKey}, fault.User},
		"no permission": {func(*BatchWriteRequest, int) (*BatchWriteReply, error) {
			return nil, fault.New(fault.Permission, "no")
		}, items, BatchWriterOptions{Keys: idKey}, fault.Permission},
		"the table is throttled": {func(*BatchWriteRequest, int) (*BatchWriteReply, error) {
			return nil, throttled(Provisioned)
		}, items, BatchWriterOptions{Keys: idKey, DeadLetter: func(DeadLetter) error { return nil }}, fault.Throttled},
		"finished elsewhere": {fine, items, BatchWriterOptions{BeforeSend: func(context.Context) error {
			return fault.New(fault.Conflict, "finished elsewhere")
		}}, fault.Conflict},
	} {
		f := &fakeTable{answer: c.answer, written: map[string]int{}}
		g := NewGovernor(GovernorOptions{Seed: 4, RetryFor: time.Millisecond})
		_, err := NewBatchWriter(f, g, c.o).Write(context.Background(), c.puts, nil)
		if err == nil || fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v (%s)", name, err, fault.KindOf(err))
		}
	}
	f := &fakeTable{answer: fine, written: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g := NewGovernor(GovernorOptions{Seed: 4})
	if _, err := NewBatchWriter(f, g, BatchWriterOptions{}).Write(ctx, items, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestBatchBytes: a batch holds at most 16 MB.
func TestBatchBytes(t *testing.T) {
	var items []item.Item
	for i := range 24 {
		it, err := item.FromMap(map[string]item.Value{"id": {Type: item.S, Str: fmt.Sprint(i)},
			"x": {Type: item.S, Str: strings.Repeat("\"", 390<<10)}}) // escapes double the bytes on the wire
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, it)
	}
	f := &fakeTable{written: map[string]int{}, answer: func(req *BatchWriteRequest, _ int) (*BatchWriteReply, error) {
		size := 0
		for _, it := range req.Puts {
			size += len(it.Raw())
		}
		if size > BatchBytesMax {
			t.Errorf("a batch of %d bytes", size)
		}
		return &BatchWriteReply{}, nil
	}}
	g := NewGovernor(GovernorOptions{})
	if _, err := NewBatchWriter(f, g, BatchWriterOptions{Keys: idKey}).Write(context.Background(), items, nil); err != nil {
		t.Fatal(err)
	}
	if len(f.written) != 24 || f.sizes[0] < 20 || len(f.sizes) != 2 {
		t.Errorf("%d written in %v", len(f.written), f.sizes)
	}
}
