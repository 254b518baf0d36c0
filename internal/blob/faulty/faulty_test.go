package faulty

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/blobtest"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/fault"
)

func wrap(t *testing.T, plan string, o Options) *Bucket {
	t.Helper()
	f, err := folder.Open(t.TempDir(), folder.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	p, err := Parse(plan)
	if err != nil {
		t.Fatal(err)
	}
	return New(f, p, o)
}

// TestSuite: without a plan the decorator is as good a bucket as the one below.
func TestSuite(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Bucket { return wrap(t, "put(never)#1: 503", Options{}) })
}

func TestPlans(t *testing.T) {
	for _, bad := range []string{"put: 503", "put#: 503", "put#0: 503", "put#3-2: 503", "put#1+-2: 503", "fly#1: 503", "put#1: fly",
		"put#1: ", "put#1: late", "put#1: late x", "get#1: cut", "get#1: cut -1", "put#1: cut 3", "put#1: crash", "put#1: lost 3", "put(a#1: 503"} {
		if _, err := Parse(bad); fault.KindOf(err) != fault.User || !strings.Contains(err.Error(), bad[:3]) {
			t.Errorf("plan %q: %v", bad, err)
		}
	}
	p, err := Parse("// comment\n put#1: 503 ; get(a:b#c)#2-3: cut 9\n\ncall#*: slow 1ms;")
	if err != nil || len(p.rules) != 3 || p.rules[1].pattern != "a:b#c" || p.rules[1].n != 9 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestFailures(t *testing.T) {
	b := wrap(t, "put#2: 503; put#4-5: full; put(*.json)#1: 412; head#1+: 404; delete#1: 429", Options{})
	ctx := t.Context()
	var kinds []fault.Kind
	for range 6 {
		_, err := b.Put(ctx, "a", []byte("x"), blob.PutOptions{})
		kinds = append(kinds, fault.KindOf(err))
	}
	want := []fault.Kind{fault.Bug, fault.Unavailable, fault.Bug, fault.Limit, fault.Limit, fault.Bug}
	for i := range want {
		if kinds[i] != want[i] {
			t.Errorf("put %d: kind %v, want %v", i+1, kinds[i], want[i])
		}
	}
	if _, err := b.Put(ctx, "d/e.json", nil, blob.PutOptions{}); !errors.Is(err, blob.ErrExists) {
		t.Error(err)
	}
	if _, err := b.Head(ctx, "a"); !errors.Is(err, blob.ErrNotFound) {
		t.Error(err)
	}
	if err := b.Delete(ctx, "a"); fault.KindOf(err) != fault.Throttled {
		t.Error(err)
	}
	_, err := wrap(t, "put#1: full", Options{}).Put(ctx, "a", nil, blob.PutOptions{})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}

func TestLost(t *testing.T) {
	b := wrap(t, "put#1: lost; publish#1: lost; complete#1: lost", Options{})
	ctx := t.Context()
	info, err := b.Put(ctx, "a", []byte("x"), blob.PutOptions{})
	if fault.KindOf(err) != fault.Unavailable || info.ETag != "" {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := b.Publish(ctx, blob.Staged{Name: "a", Size: 1}, []byte("y"), "b", blob.PutOptions{}); fault.KindOf(err) != fault.Unavailable {
		t.Error(err)
	}
	u, _ := b.Create(ctx, "c", blob.PutOptions{})
	_ = u.Part(ctx, 1, []byte("z"))
	if _, err := u.Complete(ctx); fault.KindOf(err) != fault.Unavailable {
		t.Error(err)
	}
	for name, want := range map[string]string{"a": "x", "b": "xy", "c": "z"} {
		if data, _, err := blob.ReadAll(ctx, b, name, 10); string(data) != want {
			t.Errorf("%s was not carried out: %q, %v", name, data, err)
		}
	}
}

func TestLate(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f, err := folder.Open(dir, folder.Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		p, _ := Parse("put#1: late 2s; put#2: slow 3s")
		b := New(f, p, Options{})
		body := []byte("late")
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := b.Put(ctx, "a", body, blob.PutOptions{}); fault.KindOf(err) != fault.Unavailable {
			t.Error(err)
		}
		copy(body, "XXXX") // the caller goes on
		cancel()
		if _, err := f.Head(t.Context(), "a"); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("carried out at once: %v", err)
		}
		b.Wait()
		if data, _, err := blob.ReadAll(t.Context(), f, "a", 10); string(data) != "late" {
			t.Errorf("%q, %v", data, err)
		}
		before := time.Now()
		if _, err := b.Put(t.Context(), "b", nil, blob.PutOptions{}); err != nil || time.Since(before) != 3*time.Second {
			t.Errorf("slow put took %v, %v", time.Since(before), err)
		}
	})
}

func TestBodies(t *testing.T) {
	b := wrap(t, "get#1: cut 100; get#2: flip 100; get#3: flip 0; get#3: cut 1", Options{})
	body := blobtest.Bytes(1000, 1)
	if _, err := b.Put(t.Context(), "a", body, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	read := func() ([]byte, error) {
		r, _, err := b.Get(t.Context(), "a", blob.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	if data, err := read(); !bytes.Equal(data, body[:100]) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut: %d bytes, %v", len(data), err)
	}
	if data, err := read(); err != nil || data[100] == body[100] || !bytes.Equal(data[:100], body[:100]) || !bytes.Equal(data[101:], body[101:]) {
		t.Errorf("flip: %v", err)
	}
	if data, err := read(); err == nil || len(data) != 1 || data[0] == body[0] {
		t.Errorf("both: %d bytes, %v", len(data), err)
	}
	if data, err := read(); err != nil || !bytes.Equal(data, body) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestCrash(t *testing.T) {
	var at []string
	trace := 0
	b := wrap(t, "call#2: crash before; put(b)#1: crash after", Options{
		Crash: func(c Call) { at = append(at, c.String()); panic(c) },
		Trace: func(Call) { trace++ },
	})
	put := func(name string) (crashed bool) {
		defer func() { crashed = recover() != nil }()
		_, _ = b.Put(t.Context(), name, nil, blob.PutOptions{})
		return
	}
	if put("x") || !put("a") || !put("b") || put("c") {
		t.Error("crashes elsewhere than planned")
	}
	if got := strings.Join(at, ", "); got != "2 put a, 3 put b" {
		t.Error(got)
	}
	if _, err := b.Head(t.Context(), "a"); !errors.Is(err, blob.ErrNotFound) {
		t.Error("a crash before has carried the call out")
	}
	if _, err := b.Head(t.Context(), "b"); err != nil {
		t.Error("a crash after has not carried the call out")
	}
	if b.Calls() != trace || trace != 6 {
		t.Errorf("%d calls, %d traced", b.Calls(), trace)
	}
}
