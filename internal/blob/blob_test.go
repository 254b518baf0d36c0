package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/blobtest"
	"dynaferry/internal/blob/faulty"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/fault"
)

// FuzzCheckName: what passes stays below any root, is UTF-8, and is one clean relative path.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"a", "a/b", "../a", "a//b", "/", "a/..", ".", "a\x00", `a\b`, "...", "é", "\xff", strings.Repeat("x", 1025)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if blob.CheckName(name) != nil {
			return
		}
		if name == "" || len(name) > 1024 || strings.ContainsAny(name, "\x00\\") || strings.HasPrefix(name, "/") ||
			strings.HasSuffix(name, "/") || strings.Contains(name, "//") {
			t.Errorf("%q passes", name)
		}
		for _, segment := range strings.Split(name, "/") {
			if segment == "." || segment == ".." {
				t.Errorf("%q passes", name)
			}
		}
		for i := range len(name) + 1 { // each beginning of a name can be listed
			if i < len(name) && name[i]&0xC0 == 0x80 {
				continue // inside a character
			}
			if err := blob.CheckPrefix(name[:i]); err != nil {
				t.Errorf("prefix %q of %q: %v", name[:i], name, err)
			}
		}
	})
}

func TestSpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(0, 1000).Draw(t, "size")
		o := blob.ReadOptions{Offset: rapid.Int64Range(-1500, 1500).Draw(t, "offset"), Length: rapid.Int64Range(0, 1500).Draw(t, "length")}
		offset, length := blob.Span(o, size)
		if offset < 0 || length < 0 || offset+length > size {
			t.Fatalf("%+v of %d: %d+%d", o, size, offset, length)
		}
		if o.Length > 0 && length > o.Length {
			t.Fatalf("%+v of %d: %d bytes", o, size, length)
		}
		if o.Offset >= 0 && o.Offset <= size && offset != o.Offset {
			t.Fatalf("%+v of %d begins at %d", o, size, offset)
		}
	})
}

// counting counts what reaches the bucket, and can keep parts waiting.
type counting struct {
	blob.Bucket
	mu      sync.Mutex
	gets    []blob.ReadOptions
	sizes   []int
	flying  int
	highest int
	held    chan struct{} // parts wait for it, when set
}

func (c *counting) Get(ctx context.Context, name string, o blob.ReadOptions) (io.ReadCloser, blob.Info, error) {
	c.mu.Lock()
	c.gets = append(c.gets, o)
	c.mu.Unlock()
	return c.Bucket.Get(ctx, name, o)
}

type countingUpload struct {
	blob.Upload
	c *counting
}

func (c *counting) Create(ctx context.Context, name string, o blob.PutOptions) (blob.Upload, error) {
	u, err := c.Bucket.Create(ctx, name, o)
	return countingUpload{u, c}, err
}

func (u countingUpload) Part(ctx context.Context, n int, body []byte) error {
	u.c.mu.Lock()
	u.c.flying++
	u.c.highest = max(u.c.highest, u.c.flying)
	u.c.sizes = append(u.c.sizes, len(body))
	u.c.mu.Unlock()
	if u.c.held != nil {
		<-u.c.held
	}
	err := u.Upload.Part(ctx, n, body)
	u.c.mu.Lock()
	u.c.flying--
	u.c.mu.Unlock()
	return err
}

func (c *counting) requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.gets)
	c.gets = nil
	return n
}

func counted(t *testing.T) *counting {
	f, err := folder.Open(t.TempDir(), folder.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &counting{Bucket: f}
}

// TestReaderAtRequests: how many requests a pattern of reads costs.
func TestReaderAtRequests(t *testing.T) {
	const mib = 1 << 20
	c := counted(t)
	body := blobtest.Bytes(20*mib+5, 1)
	info, err := c.Put(t.Context(), "a", body, blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	open := func() *blob.ReaderAt {
		r, err := blob.NewReaderAt(t.Context(), c, info, blob.ReaderAtOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c.requests()
		return r
	}
	read := func(r *blob.ReaderAt, off, n int) {
		t.Helper()
		p := make([]byte, n)
		if _, err := r.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, body[off:off+n]) {
			t.Fatalf("read of %d at %d: %v", n, off, err)
		}
	}
	r := open()
	for off := 0; off+1000 <= len(body); off += 1000 { // 1+2+4+8+5 MiB
		read(r, off, 1000)
	}
	if n := c.requests(); n > 6 {
		t.Errorf("a sequence of small reads over 20 MiB costs %d requests", n)
	}
	r = open()
	read(r, len(body)-8, 8)
	read(r, len(body)-5, 5)
	if n := c.requests(); n > 1 {
		t.Errorf("a footer costs %d requests", n)
	}
	r = open()
	read(r, 100, 15*mib)
	if n := c.requests(); n != 1 {
		t.Errorf("a large read costs %d requests", n)
	}
	r = open()
	r.Prefetch(blob.Range{Offset: 3 * mib, Length: 100}, blob.Range{Offset: 10, Length: 10}, blob.Range{Offset: 4*mib + 5, Length: mib},
		blob.Range{Offset: 3*mib + 500, Length: 10}, blob.Range{Offset: -4, Length: 3}, blob.Range{Offset: 1 << 40, Length: 3})
	if n := c.requests(); n != 2 {
		t.Errorf("two neighbourhoods cost %d requests", n)
	}
	read(r, 3*mib, 2*mib)
	read(r, 0, 100)
	if n := c.requests(); n != 0 {
		t.Errorf("what was prefetched costs %d more requests", n)
	}
	r = open()
	var wait sync.WaitGroup
	for range 10 {
		wait.Go(func() { read(r, 7*mib, 1000) })
	}
	wait.Wait()
	if n := c.requests(); n != 1 {
		t.Errorf("one block wanted ten times costs %d requests", n)
	}
	small, err := blob.NewReaderAt(t.Context(), c, info, blob.ReaderAtOptions{BlockBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	read(small, len(body)-8, 8)
	read(small, len(body)-900_000, 899_992)
	read(small, len(body)-1_000_000, 50_000)
	var bytes int64
	for _, get := range c.gets {
		bytes += get.Length
	}
	if n := c.requests(); n != 3 || bytes > 1_000_000+2*64<<10 {
		t.Errorf("a long footer and what lies before it, in small blocks, cost %d requests and %d bytes", n, bytes)
	}
}

// TestReaderAtFails: a failed block is not remembered.
func TestReaderAtFails(t *testing.T) {
	c := counted(t)
	info, err := c.Put(t.Context(), "a", []byte("0123456789"), blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	plan, _ := faulty.Parse("get#1: 503; get#2: cut 3")
	r, err := blob.NewReaderAt(t.Context(), plainGet{faulty.New(c, plan, faulty.Options{})}, info, blob.ReaderAtOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4)
	for i := range 2 {
		if _, err := r.ReadAt(p, 2); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("read %d: %v", i, err)
		}
	}
	if _, err := r.ReadAt(p, 2); err != nil || string(p) != "2345" {
		t.Errorf("%q, %v", p, err)
	}
}

// plainGet hides powers.
type plainGet struct{ blob.Bucket }

// TestWriterBounds: no more parts fly, and are held, than asked for.
func TestWriterBounds(t *testing.T) {
	c := counted(t)
	c.held = make(chan struct{})
	go func() {
		for range 9 {
			c.held <- struct{}{}
		}
	}()
	w := blob.NewWriter(t.Context(), c, "a", blob.WriterOptions{PartBytes: blob.PartBytesMin, Flight: 2})
	defer w.Close()
	body := blobtest.Bytes(9*blob.PartBytesMin-1, 1)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	if c.highest > 2 {
		t.Errorf("%d parts flew at once", c.highest)
	}
	slices.Sort(c.sizes)
	if len(c.sizes) != 9 || c.sizes[0] != blob.PartBytesMin-1 || c.sizes[8] != blob.PartBytesMin {
		t.Errorf("parts of %v bytes", c.sizes)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a write behind the end passes")
	}
	if _, err := w.Finish(); err == nil {
		t.Error("a second finish passes")
	}
}

// TestWriterFails: a part that fails ends the writer with that part's error, and leaves nothing.
func TestWriterFails(t *testing.T) {
	for _, where := range []string{"create#1: 403", "part#1: full", "part#2: 403", "complete#1: 403", "complete#1: lost"} {
		c := counted(t)
		plan, _ := faulty.Parse(where)
		b := faulty.New(c.Bucket, plan, faulty.Options{})
		w := blob.NewWriter(t.Context(), b, "a", blob.WriterOptions{PartBytes: blob.PartBytesMin})
		var err error
		for range 4 {
			if _, err = w.Write(blobtest.Bytes(blob.PartBytesMin, 1)); err != nil {
				break
			}
		}
		if err == nil {
			_, err = w.Finish()
		}
		if !strings.Contains(err.Error(), "planned fault") || fault.KindOf(err) == fault.Bug {
			t.Errorf("%s: %v", where, err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("%s: close: %v", where, err)
		}
		_, err = c.Head(t.Context(), "a")
		if landed := err == nil; landed != strings.HasSuffix(where, "lost") {
			t.Errorf("%s: visible %v", where, landed)
		}
		uploads, _ := blob.Power[blob.Uploads](c.Bucket)
		for u := range uploads.Unfinished(t.Context(), "") {
			t.Errorf("%s left %s", where, u.Name)
		}
	}
}

// TestReadAllCut: a body that ends early is no object.
func TestReadAllCut(t *testing.T) {
	c := counted(t)
	if _, err := c.Put(t.Context(), "a", []byte("0123456789"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	plan, _ := faulty.Parse("get#1: cut 9")
	if data, _, err := blob.ReadAll(t.Context(), faulty.New(c, plan, faulty.Options{}), "a", 100); !errors.Is(err, io.ErrUnexpectedEOF) || data != nil {
		t.Errorf("%q, %v", data, err)
	}
}

// TestProbeLost: an answer that is lost makes the probe try again, not refuse the store.
func TestProbeLost(t *testing.T) {
	for _, where := range []string{"put#1: lost", "put#2: 503", "complete#1: lost", "put#3: lost", "get#1: 503", "head#1: 503",
		"put#1: 412", "put#3: 412"} {
		c := counted(t)
		plan, _ := faulty.Parse(where)
		if err := blob.ProbeConditional(t.Context(), faulty.New(c, plan, faulty.Options{}), "d"); err != nil {
			t.Errorf("%s: %v", where, err)
		}
		for info := range c.List(t.Context(), "", "") {
			t.Errorf("%s: the probe left %s", where, info.Name)
		}
	}
	c := counted(t)
	plan, _ := faulty.Parse("put#*: 403")
	b := faulty.New(c, plan, faulty.Options{})
	if err := blob.ProbeConditional(t.Context(), b, "d"); fault.KindOf(err) != fault.Permission || b.Calls() != 1 {
		t.Errorf("%d calls, %v", b.Calls(), err)
	}
}
