package blobtest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"dynaferry/internal/blob"
)

func testWriter(t *testing.T, b blob.Bucket) {
	for _, size := range []int{0, 1, 100_000, partMin, partMin + 1, 3*partMin + 5} {
		body := Bytes(size, uint64(size))
		w := blob.NewWriter(t.Context(), b, "w", blob.WriterOptions{PartBytes: partMin, Flight: 2})
		for rest := body; len(rest) > 0; {
			n := min(len(rest), 1<<20+777)
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		info, err := w.Finish()
		if err != nil || info.Size != int64(size) {
			t.Fatalf("finish: %+v, %v", info, err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		wantBytes(t, b, "w", body)
	}
	for _, size := range []int{10, 2*partMin + 5} {
		w := blob.NewWriter(t.Context(), b, "closed", blob.WriterOptions{PartBytes: partMin, PutOptions: ifAbsent()})
		if _, err := w.Write(Bytes(size, 1)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		wantAbsent(t, b, "closed")

		put(t, b, "taken", []byte("x"), blob.PutOptions{})
		w = blob.NewWriter(t.Context(), b, "taken", blob.WriterOptions{PartBytes: partMin, PutOptions: ifAbsent()})
		if _, err := w.Write(Bytes(size, 1)); err != nil {
			t.Fatal(err)
		}
		_, err := w.Finish()
		wantIs(t, err, blob.ErrExists)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		wantBytes(t, b, "taken", []byte("x"))
	}
	if uploads, ok := blob.Power[blob.Uploads](b); ok {
		for u, err := range uploads.Unfinished(t.Context(), "") {
			t.Errorf("closed writers left %+v, %v", u, err)
		}
	}
}

func testReaderAt(t *testing.T, b blob.Bucket) {
	body := Bytes(11<<20+333, 1)
	info := put(t, b, "r", body, blob.PutOptions{})
	r, err := blob.NewReaderAt(t.Context(), b, info, blob.ReaderAtOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		off := rng.Int64N(int64(len(body)))
		p := make([]byte, rng.IntN(3<<20))
		n, err := r.ReadAt(p, off)
		want := body[off:min(off+int64(len(p)), int64(len(body)))]
		if !bytes.Equal(p[:n], want) || err != nil && (err != io.EOF || n == len(p)) {
			t.Fatalf("read of %d at %d: %d bytes, %v", len(p), off, n, err)
		}
	}
	if n, err := r.ReadAt(make([]byte, 5), int64(len(body))); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	all, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil || !bytes.Equal(all, body) {
		t.Errorf("read in sequence: %v", err)
	}
	put(t, b, "r", body[:100], blob.PutOptions{})
	if _, err := blob.NewReaderAt(t.Context(), b, info, blob.ReaderAtOptions{}); err != nil {
		wantIs(t, err, blob.ErrChanged)
		return
	}
	stale, _ := blob.NewReaderAt(t.Context(), b, info, blob.ReaderAtOptions{})
	_, err = stale.ReadAt(make([]byte, 50), 0)
	wantIs(t, err, blob.ErrChanged)
}

func testProbe(t *testing.T, b blob.Bucket) {
	if err := blob.ProbeConditional(t.Context(), b, "_state"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, b, "", ""); len(got) != 0 {
		t.Errorf("the probe left %q", got)
	}
}
