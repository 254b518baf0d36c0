package blobtest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"dynaferry/internal/blob"
)

const partMin = blob.PartBytesMin

func create(t *testing.T, b blob.Bucket, name string, o blob.PutOptions) blob.Upload {
	t.Helper()
	u, err := b.Create(t.Context(), name, o)
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	return u
}

func part(t *testing.T, u blob.Upload, n int, body []byte) {
	t.Helper()
	if err := u.Part(t.Context(), n, body); err != nil {
		t.Fatalf("part %d: %v", n, err)
	}
}

func testMultipart(t *testing.T, b blob.Bucket) {
	parts := [][]byte{Bytes(partMin, 1), Bytes(partMin+1_000_003, 2), Bytes(17, 3)}
	u := create(t, b, "m/object", blob.PutOptions{})
	for i, body := range parts {
		part(t, u, i+1, body)
		wantAbsent(t, b, "m/object")
		if got := names(t, b, "", ""); len(got) != 0 {
			t.Fatalf("an unfinished object is listed: %q", got)
		}
	}
	info, err := u.Complete(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	read := wantBytes(t, b, "m/object", bytes.Join(parts, nil))
	if info.Size != read.Size || info.ETag != read.ETag || info.Name != "m/object" {
		t.Errorf("complete says %+v, reading %+v", info, read)
	}
	if _, err := u.Complete(t.Context()); err == nil {
		t.Error("completing twice passes")
	}
	wantBytes(t, b, "m/object", bytes.Join(parts, nil))

	u = create(t, b, "m/aborted", blob.PutOptions{})
	part(t, u, 1, parts[2])
	if err := u.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := u.Complete(t.Context()); err == nil {
		t.Error("an aborted upload completes")
	}
	wantAbsent(t, b, "m/aborted")
}

// testMultipartOrder hands parts over at once, backwards, and twice: what counts is the number, and the last body for it.
func testMultipartOrder(t *testing.T, b blob.Bucket) {
	const count = 5
	parts := make([][]byte, count)
	for i := range parts {
		parts[i] = Bytes(partMin+i*1000, uint64(i))
	}
	parts[count-1] = Bytes(99, 9)
	u := create(t, b, "at-once", blob.PutOptions{})
	for _, err := range race(count, func(i int) error { return u.Part(t.Context(), i+1, parts[i]) }) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, b, "at-once", bytes.Join(parts, nil))

	u = create(t, b, "backwards", blob.PutOptions{})
	for n := count; n >= 1; n-- {
		part(t, u, n, parts[n-1])
	}
	if _, err := u.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, b, "backwards", bytes.Join(parts, nil))

	u = create(t, b, "twice", blob.PutOptions{})
	part(t, u, 1, Bytes(partMin, 77))
	part(t, u, 2, parts[1])
	part(t, u, 1, parts[3]) // another size than before
	part(t, u, 3, parts[2])
	part(t, u, 2, parts[1])
	if _, err := u.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, b, "twice", slices.Concat(parts[3], parts[1], parts[2]))
}

func testMultipartConditions(t *testing.T, b blob.Bucket) {
	ctx := t.Context()
	uploads := make([]blob.Upload, 6)
	for i := range uploads {
		uploads[i] = create(t, b, "one", ifAbsent())
		part(t, uploads[i], 1, []byte(fmt.Sprint("writer ", i)))
	}
	errs := race(len(uploads), func(i int) error {
		_, err := uploads[i].Complete(ctx)
		return err
	})
	winner := oneWinner(t, errs)
	wantBytes(t, b, "one", []byte(fmt.Sprint("writer ", winner)))
	for i, u := range uploads {
		if i != winner {
			if err := u.Abort(ctx); err != nil {
				t.Errorf("abort after a lost race: %v", err)
			}
		}
	}
	info, err := b.Head(ctx, "one")
	if err != nil {
		t.Fatal(err)
	}
	u := create(t, b, "one", ifMatch(info.ETag))
	part(t, u, 1, []byte("replaced"))
	if _, err := u.Complete(ctx); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, b, "one", []byte("replaced"))
	u = create(t, b, "one", ifMatch(info.ETag))
	part(t, u, 1, []byte("late"))
	_, err = u.Complete(ctx)
	wantIs(t, err, blob.ErrChanged)
	_ = u.Abort(ctx)
	wantBytes(t, b, "one", []byte("replaced"))
}

func testMultipartMisuse(t *testing.T, b blob.Bucket) {
	ctx := t.Context()
	u := create(t, b, "small", blob.PutOptions{})
	part(t, u, 1, Bytes(1000, 1))
	part(t, u, 2, Bytes(1000, 2))
	if _, err := u.Complete(ctx); err == nil {
		t.Error("a part below 5 MiB that is not the last passes")
	}
	_ = u.Abort(ctx)
	u = create(t, b, "hole", blob.PutOptions{})
	part(t, u, 1, Bytes(partMin, 1))
	part(t, u, 3, Bytes(10, 2))
	if _, err := u.Complete(ctx); err == nil {
		t.Error("a missing part passes")
	}
	_ = u.Abort(ctx)
	u = create(t, b, "none", blob.PutOptions{})
	if _, err := u.Complete(ctx); err == nil {
		t.Error("an upload without parts passes")
	}
	for _, n := range []int{0, -1, blob.PartsMax + 1} {
		if err := u.Part(ctx, n, []byte("x")); err == nil {
			t.Errorf("part %d passes", n)
		}
	}
	_ = u.Abort(ctx)
	if got := names(t, b, "", ""); len(got) != 0 {
		t.Errorf("visible: %q", got)
	}
}

func testUnfinished(t *testing.T, b blob.Bucket) {
	uploads, ok := blob.Power[blob.Uploads](b)
	if !ok {
		t.Skip("the bucket cannot list unfinished uploads")
	}
	for i := range 3 {
		part(t, create(t, b, fmt.Sprintf("dead/%d", i), blob.PutOptions{}), 1, []byte("x"))
	}
	put(t, b, "dead/alive", []byte("x"), blob.PutOptions{})
	count := func() (n int) {
		for u, err := range uploads.Unfinished(t.Context(), "dead/") {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if u.Begun.IsZero() || u.Name == "" || u.ID == "" {
				t.Errorf("unfinished: %+v", u)
			}
		}
		return n
	}
	if n := count(); n != 3 {
		t.Fatalf("%d of 3 unfinished uploads are listed", n)
	}
	for u, err := range uploads.Unfinished(t.Context(), "dead/") {
		if err != nil {
			t.Fatal(err)
		}
		if err := uploads.Drop(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(); n != 0 {
		t.Errorf("%d are left after the drop", n)
	}
	wantBytes(t, b, "dead/alive", []byte("x"))
}
