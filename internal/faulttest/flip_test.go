package faulttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/cli"
	"dynaferry/internal/world"
)

// TestFlippedBits flips one bit of each object of ours that a partitioned convert reads, on its way: of plans, tasks, results,
// statistics, runs, indexes, file metadata. The run reads it again and ends as if nothing had been.
func TestFlippedBits(t *testing.T) {
	dir := scratch(t)
	source := filepath.Join(dir, "source")
	for i := range 3 {
		write(t, filepath.Join(source, fmt.Sprintf("%d.json", i)), lines(2*(i+1), whole))
	}
	run := func(n int, at int64) (string, *flipping) {
		f := &flipping{n: int64(n), at: at}
		w := world.New()
		w.WrapBucket = func(b blob.Bucket) blob.Bucket { return &flippingBucket{b, f} }
		var out, said bytes.Buffer
		dest := filepath.Join(dir, fmt.Sprintf("out%d-%d", n, at))
		code := cli.MainIn(w, []string{"convert", source, dest, "--partition", "pk", "--key", "pk", "--task-size", "1B", "--workers", "1", "--json"}, nil, &out, &said)
		if code != 0 {
			t.Errorf("bit of byte %d in read %d of %s: exit code %d\n%s", at, n, f.name, code, said.String())
			return "", f
		}
		_, print, _ := strings.Cut(out.String(), `"fingerprint":"`)
		print, _, _ = strings.Cut(print, `"`)
		return print, f
	}
	want, f := run(0, 0)
	reads, cells := int(f.reads.Load()), 0
	if want == "" || reads < 30 {
		t.Fatalf("%d reads, fingerprint %q", reads, want)
	}
	for n := 1; n <= reads; n += count(9, 3, 1) {
		for _, at := range []int64{0, 37, 170}[:count(1, 1, 3)] {
			at += int64(n % 7)
			if got, f := run(n, at); got != want && got != "" {
				t.Errorf("bit of byte %d in read %d of %s: fingerprint %s", at, n, f.name, got)
			}
			cells++
		}
	}
	t.Logf("flipped bits: %d runs, of %d reads", cells, reads)
}

// flipping counts the reads of objects of ours, across buckets, and strikes one.
type flipping struct {
	reads atomic.Int64
	n, at int64
	name  string
}

type flippingBucket struct {
	blob.Bucket
	f *flipping
}

func (b *flippingBucket) Get(ctx context.Context, name string, o blob.ReadOptions) (io.ReadCloser, blob.Info, error) {
	body, info, err := b.Bucket.Get(ctx, name, o)
	if err != nil || !strings.Contains(name, "_dynaferry/") || b.f.reads.Add(1) != b.f.n {
		return body, info, err
	}
	b.f.name = name
	return &flipped{body, b.f.at}, info, nil
}

// flipped is a body of which one bit arrives wrong.
type flipped struct {
	io.ReadCloser
	left int64
}

func (f *flipped) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if f.left >= 0 && f.left < int64(n) {
		p[f.left] ^= 0x10
	}
	f.left -= int64(n)
	return n, err
}
