package commit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/faulty"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

func open(t *testing.T) blob.Bucket {
	t.Helper()
	b, err := folder.Open(t.TempDir(), folder.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var quick = commit.Options{Deadline: 5 * time.Second, Pause: time.Millisecond}

func broken(t *testing.T, b blob.Bucket, plan string) blob.Bucket {
	t.Helper()
	p, err := faulty.Parse(plan)
	if err != nil {
		t.Fatal(err)
	}
	return faulty.New(b, p, faulty.Options{})
}

// A decision has one winner, and everybody learns the same one.
func TestOneWinner(t *testing.T) {
	b := open(t)
	const writers = 20
	bodies, won := make([]string, writers), make([]bool, writers)
	var wait sync.WaitGroup
	for i := range writers {
		wait.Go(func() {
			res, err := commit.Put(t.Context(), b, "decision", fmt.Appendf(nil, `{"writer":%d}`, i), quick)
			if err != nil {
				t.Error(err)
			}
			bodies[i], won[i] = string(res.Body), res.Won
		})
	}
	wait.Wait()
	winners := 0
	for i := range writers {
		if won[i] {
			winners++
			if want := fmt.Sprintf(`{"writer":%d}`, i); bodies[i] != want {
				t.Errorf("winner %d sees %s", i, bodies[i])
			}
		}
		if bodies[i] != bodies[0] {
			t.Errorf("writers see %s and %s", bodies[i], bodies[0])
		}
	}
	if winners != 1 {
		t.Errorf("%d winners", winners)
	}
}

// The trap of the field: the put lands, its answer is lost. It is won, and never mistaken for somebody else's.
func TestLostAnswer(t *testing.T) {
	for _, plan := range []string{
		"put#1: lost",
		"put#1: lost; get#1: 503",
		"put#1: 503",
		"put#1: 503; put#2: lost",
		"put#1: 500; put#2: 503; put#3: lost; get#1: 503",
	} {
		t.Run(plan, func(t *testing.T) {
			res, err := commit.Put(t.Context(), broken(t, open(t), plan), "decision", []byte(`{"mine":1}`), quick)
			if err != nil || !res.Won || string(res.Body) != `{"mine":1}` {
				t.Errorf("won %v, body %s, error %v", res.Won, res.Body, err)
			}
			mine := binary("mine")
			standing, err := commit.PutBytes(t.Context(), broken(t, open(t), plan), "decision", mine, quick)
			if err != nil || !standing.Won || string(standing.Tail) != string(mine.Data[len(mine.Data)-20:]) {
				t.Errorf("binary: won %v, tail %q, error %v", standing.Won, standing.Tail, err)
			}
		})
	}
}

// With the answer lost after somebody else had won, the loss is learnt by reading back.
func TestLostAfterAnother(t *testing.T) {
	b := open(t)
	if _, err := commit.Put(t.Context(), b, "decision", []byte(`{"first":1}`), quick); err != nil {
		t.Fatal(err)
	}
	res, err := commit.Put(t.Context(), broken(t, b, "put#1: 500; get#1: 503"), "decision", []byte(`{"second":2}`), quick)
	if err != nil || res.Won || string(res.Body) != `{"first":1}` {
		t.Errorf("won %v, body %s, error %v", res.Won, res.Body, err)
	}
}

// A request that was given up and lands later does not split the decision: the same bytes are sent until it is known.
func TestLateApplied(t *testing.T) {
	b := broken(t, open(t), "put#1: late 20ms")
	res, err := commit.Put(t.Context(), b, "decision", []byte(`{"mine":1}`), quick)
	if err != nil || !res.Won {
		t.Fatalf("won %v, error %v", res.Won, err)
	}
	if waiter, ok := b.(interface{ Wait() }); ok {
		waiter.Wait()
	}
	body, err := commit.Read(t.Context(), b, "decision")
	if err != nil || string(body) != `{"mine":1}` {
		t.Errorf("%s stands, error %v", body, err)
	}
}

// An outcome that cannot be learnt is said to be unknown, and nothing was deleted.
func TestUnknown(t *testing.T) {
	b := open(t)
	_, err := commit.Put(t.Context(), broken(t, b, "put#*: 503; get#*: 503"), "decision", []byte(`{}`),
		commit.Options{Deadline: 30 * time.Millisecond, Pause: time.Millisecond})
	if fault.KindOf(err) != fault.Unknown || fault.HintOf(err) == "" {
		t.Errorf("%v of kind %v", err, fault.KindOf(err))
	}
}

// A definite refusal before anything was sent is just that.
func TestRefused(t *testing.T) {
	_, err := commit.Put(t.Context(), broken(t, open(t), "put#1: 403"), "decision", []byte(`{}`), quick)
	if k := fault.KindOf(err); k != fault.Permission {
		t.Errorf("%v of kind %v", err, k)
	}
}

// What stands under the name but is no commit object is refused, not taken for a decision.
func TestForeignAndDamaged(t *testing.T) {
	b := open(t)
	ctx := t.Context()
	if _, err := commit.Put(ctx, b, "whole", []byte(`{"a":[1,2]}`), quick); err != nil {
		t.Fatal(err)
	}
	whole, _, err := blob.ReadAll(ctx, b, "whole", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), whole...)
	flipped[len(flipped)-5] ^= 2
	for name, data := range map[string][]byte{"foreign": []byte("hello"), "flipped": flipped, "cut": whole[:len(whole)/2], "empty": {}} {
		if _, err := b.Put(ctx, name, data, blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := commit.Read(ctx, b, name); fault.KindOf(err) != fault.Corrupt {
			t.Errorf("read %s: %v", name, err)
		}
		if _, err := commit.Put(ctx, b, name, []byte(`{}`), quick); fault.KindOf(err) != fault.Corrupt {
			t.Errorf("put over %s: %v", name, err)
		}
	}
	if _, err := commit.Read(ctx, b, "none"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("read of nothing: %v", err)
	}
}

// Publishing is idempotent, survives lost answers and swept staged files, and never takes a stranger's object for its own.
func TestPublish(t *testing.T) {
	ctx := t.Context()
	stage := func(b blob.Bucket) {
		if _, err := b.Put(ctx, "staged/x", []byte("data"), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	publish := func(b blob.Bucket, id string) error {
		_, err := commit.Publish(ctx, b, blob.Staged{Name: "staged/x", Size: 4}, []byte("tail"), "final.bin", id, blob.PutOptions{}, quick)
		return err
	}
	for _, plan := range []string{"", "publish#1: lost", "publish#1: 503; publish#2: lost; head#1: 503"} {
		b := open(t)
		stage(b)
		if err := publish(broken(t, b, plan), "a"); err != nil {
			t.Errorf("%q: %v", plan, err)
		}
		if err := publish(b, "a"); err != nil {
			t.Errorf("%q, again: %v", plan, err)
		}
		if err := b.Delete(ctx, "staged/x"); err != nil {
			t.Fatal(err)
		}
		if err := publish(b, "a"); err != nil {
			t.Errorf("%q, swept: %v", plan, err)
		}
		if got, _, err := blob.ReadAll(ctx, b, "final.bin", 100); string(got) != "datatail" {
			t.Errorf("%q: %q, %v", plan, got, err)
		}
		if err := publish(b, "b"); fault.KindOf(err) != fault.Conflict {
			t.Errorf("%q: a stranger's object: %v", plan, err)
		}
	}
}

// binary is an object that bears its id in the last 16 bytes, behind "ID:".
func binary(text string) commit.Object {
	o := commit.Object{ID: commit.NewID(context.Background(), "decision"), Tail: 20, IDOf: func(tail []byte) (id commit.ID, err error) {
		if len(tail) < 19 || string(tail[len(tail)-19:len(tail)-16]) != "ID:" {
			return id, fault.New(fault.Corrupt, "no id in %q", tail)
		}
		copy(id[:], tail[len(tail)-16:])
		return id, nil
	}}
	o.Data = append([]byte(text+"ID:"), o.ID[:]...)
	return o
}

// An object of another form is decided by the same rules: one winner, whose tail everybody gets.
func TestBinary(t *testing.T) {
	b := open(t)
	ctx := t.Context()
	first, second := binary("first"), binary("second")
	if s, err := commit.PutBytes(ctx, b, "decision", first, quick); err != nil || !s.Won {
		t.Fatalf("won %v, error %v", s.Won, err)
	}
	for _, plan := range []string{"put(never)#1: 503", "put#1: 500; get#1: 503", "get#1: flip 2"} {
		s, err := commit.PutBytes(ctx, broken(t, b, plan), "decision", second, quick)
		if err != nil || s.Won || string(s.Tail) != string(first.Data[len(first.Data)-20:]) || s.Info.Size != int64(len(first.Data)) {
			t.Errorf("%q: won %v, tail %q, %+v, error %v", plan, s.Won, s.Tail, s.Info, err)
		}
	}
	// The same bytes once more are won again: a process that died between the put and its answer may repeat it.
	if s, err := commit.PutBytes(ctx, b, "decision", first, quick); err != nil || !s.Won {
		t.Errorf("again: won %v, error %v", s.Won, err)
	}
	if _, err := b.Put(ctx, "foreign", []byte("hello"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := commit.PutBytes(ctx, b, "foreign", second, quick); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("over a foreign object: %v", err)
	}
	short := commit.Options{Deadline: 30 * time.Millisecond, Pause: time.Millisecond}
	if _, err := commit.PutBytes(ctx, broken(t, b, "put#*: 503; get#*: 503"), "other", second, short); fault.KindOf(err) != fault.Unknown {
		t.Errorf("%v of kind %v", err, fault.KindOf(err))
	}
	large := commit.Object{Data: make([]byte, commit.SizeMax+1)}
	if _, err := commit.PutBytes(ctx, b, "large", large, quick); fault.KindOf(err) != fault.Limit {
		t.Errorf("a large object: %v", err)
	}
}
