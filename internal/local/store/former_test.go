package store

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/vfs"
)

// formerItems are in testdata/format1.tar.gz, a store of format 1 whose process was killed: each was written five
// times, the last time after the index was closed.
const formerItems = 50

func formerText(k int) string { return fmt.Sprintf("k%d=%d:%s", k, 200+k, strings.Repeat("v", 100+k)) }

func newFormerStore(t *testing.T) vfs.FS {
	t.Helper()
	f, err := os.Open("testdata/format1.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	fs := vfs.NewMem()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return fs
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name := "/db/" + h.Name
		if err := fs.MkdirAll(path.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		out, err := fs.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(out, r); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFormerFormat: a store of format 1 opens, keeps its items, and takes up streams and history from then on.
func TestFormerFormat(t *testing.T) {
	fs := newFormerStore(t)
	s := mustOpen(t, viewOptions(crashOptions(fs), nil))
	defer func() { s.Close() }()
	id := s.Tables()[0].ID
	if n := len(drain(t, s.Scan(id, ScanOptions{}))); n != formerItems {
		t.Fatalf("%d items of %d", n, formerItems)
	}
	if err := s.UpdateTable(id, nil, viewsOf(s, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.BuildIndex(context.Background(), id, 1, nil); err != nil {
		t.Fatal(err)
	}
	put := func(key, text string) {
		if _, err := s.Update(context.Background(), id, keyOf(key, ""), func([]byte) (Op, []byte, error) { return OpPut, []byte(text), nil }); err != nil {
			t.Fatal(err)
		}
	}
	put("k0", "new text")
	put("other", strings.Repeat("x", 99))
	for range 2 {
		records, err := checkViews(s, id)
		if err != nil || len(records) != 2 || string(records[0].Old) != formerText(0) {
			t.Fatalf("%d records, %v", len(records), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, viewOptions(crashOptions(fs), nil))
	}
}
