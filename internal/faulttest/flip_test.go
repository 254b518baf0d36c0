package faulttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
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

// TestFlippedPlanning flips one bit of each manifest, history and object of ours that is read while a job is planned. It is read again,
// as tasks read again.
func TestFlippedPlanning(t *testing.T) {
	dir := scratch(t)
	p := newPast(rand.New(rand.NewPCG(3, 3)), 40)
	base := p.baseInto(t, filepath.Join(dir, "base"), 1000, 1000)
	p.windowsInto(t, filepath.Join(dir, "inc"), []int{1000, 2000, 3000})
	set := filepath.Join(dir, "set")
	must(t, "convert", base, set, "--key", "pk", "--sort", "sk:N")
	more := write(t, filepath.Join(dir, "more.json"), lines(3, whole))
	for name, args := range map[string]func(dest string) []string{
		"an export": func(dest string) []string { return []string{"convert", base, dest} },
		"windows over a base": func(dest string) []string {
			return []string{"convert", base, dest, "--overlay", filepath.Join(dir, "inc")}
		},
		"a data set": func(dest string) []string { return []string{"convert", set, dest, "--format", "json"} },
		"more for a data set": func(dest string) []string {
			return []string{"convert", more, dest, "--into", "append", "--from-format", "dynamodb-json"}
		},
		"a comparison of both": func(dest string) []string { return []string{"verify", base, set, "--state", dest} },
	} {
		run := func(n int) *flipping {
			dest := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"), fmt.Sprint(n))
			if name == "more for a data set" {
				must(t, "convert", more, dest, "--from-format", "dynamodb-json")
			}
			f := &flipping{n: int64(n), at: 41, planning: true}
			w := world.New()
			w.WrapBucket = func(b blob.Bucket) blob.Bucket { return &flippingBucket{b, f} }
			var out, said bytes.Buffer
			if code := cli.MainIn(w, append(args(dest), "--workers", "1"), nil, &out, &said); code != 0 {
				t.Errorf("%s: a bit of read %d of %s: exit code %d\n%s", name, n, f.name, code, said.String())
			}
			return f
		}
		reads := int(run(0).reads.Load())
		if reads < 1 {
			t.Fatalf("%s: %d reads", name, reads)
		}
		for n := 1; n <= reads; n += count(2, 1, 1) {
			run(n)
		}
		t.Logf("%s: %d reads", name, reads)
	}
}

// flipping counts the reads of objects of ours, across buckets, and strikes one.
type flipping struct {
	reads atomic.Int64
	n, at int64
	name  string

	planning bool // counts those before the plan is made, of manifests too
	planned  atomic.Bool
}

// counts tells whether a read is one to strike.
func (f *flipping) counts(name string) bool {
	if !f.planning {
		return strings.Contains(name, "_dynaferry/")
	}
	// Data are the tasks'; an MD5 beside a manifest has no checksum of its own, and is held against the manifest.
	return !f.planned.Load() && (strings.Contains(name, "_dynaferry/") || strings.Contains(name, "manifest-"))
}

func (b *flippingBucket) Put(ctx context.Context, name string, body []byte, o blob.PutOptions) (blob.Info, error) {
	if path.Base(name) == "plan" {
		b.f.planned.Store(true)
	}
	return b.Bucket.Put(ctx, name, body, o)
}

type flippingBucket struct {
	blob.Bucket
	f *flipping
}

func (b *flippingBucket) Get(ctx context.Context, name string, o blob.ReadOptions) (io.ReadCloser, blob.Info, error) {
	body, info, err := b.Bucket.Get(ctx, name, o)
	if err != nil || !b.f.counts(name) || b.f.reads.Add(1) != b.f.n {
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
