package faulttest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dynaferry/internal/item/itemtest"
)

// TestMemory carries more data than the memory budget in a process of its own each, and wants the budget kept.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("300,000 items")
	}
	dir := scratch(t)
	n := count(0, 300_000, 3_000_000)
	mixed := filepath.Join(dir, "mixed.json.gz")
	writeZipped(t, mixed, n, func(dst []byte, i uint64) []byte { return itemtest.AppendMixed(dst, 3, i) })
	big := filepath.Join(dir, "large.json.gz")
	nBig := count(0, 1_000, 20_000)
	writeZipped(t, big, nBig, sizeable)
	endpoint := tables(t)
	table := func(name string) string { return "dynamodb://" + name + "?endpoint=" + endpoint }
	state := []string{"--state", filepath.Join(dir, "state")}
	cases := []struct {
		name  string
		items int
		args  []string
	}{
		{"convert parquet", n, []string{"convert", mixed, filepath.Join(dir, "parquet"), "--key", "pk", "--sort", "sk"}},
		{"convert partitioned", n, []string{"convert", mixed, filepath.Join(dir, "parts"), "--partition", "kind"}},
		{"convert overlay", n + 2*n/5, bigOverlay(t, filepath.Join(dir, "big"), n)},
		{"convert overlay partitioned", n + 2*n/5, append(bigOverlay(t, filepath.Join(dir, "again"), n), "--partition", "kind")},
		{"convert csv", n, []string{"convert", mixed, filepath.Join(dir, "csv"), "--format", "csv"}},
		{"convert large", nBig, []string{"convert", big, filepath.Join(dir, "large")}},
		{"convert large partitioned", nBig, []string{"convert", big, filepath.Join(dir, "large-parts"), "--partition", "region"}},
		{"import", n, append([]string{"import", filepath.Join(dir, "parquet"), table("Memory"), "--create", "--write-units", "unlimited"}, state...)},
		{"import large", nBig, append([]string{"import", filepath.Join(dir, "large"), table("Large"), "--create", "--key", "pk", "--write-units", "unlimited"}, state...)},
		{"export", n, []string{"export", table("Memory"), filepath.Join(dir, "export"), "--read-units", "unlimited"}},
		{"export large", nBig, []string{"export", table("Large"), filepath.Join(dir, "export-large"), "--read-units", "unlimited"}},
		{"verify", 2 * n, append([]string{"verify", table("Memory"), filepath.Join(dir, "parquet"), "--read-units", "unlimited"}, state...)},
	}
	for _, c := range cases {
		begun := time.Now()
		o := measured(t, append(c.args, "--workers", "2")...)
		took := time.Since(begun)
		if o.code != 0 {
			t.Errorf("%s: %s", c.name, o)
		}
		if o.rssMax > rssMost {
			t.Errorf("%s: %d items took %d MB", c.name, c.items, o.rssMax>>20)
		}
		t.Logf("memory: %s of %d items: %d MB, %v", c.name, c.items, o.rssMax>>20, took.Round(100*time.Millisecond))
	}
}

// sizeable is an item of 250 KB that hardly becomes smaller.
func sizeable(dst []byte, i uint64) []byte {
	random := rand.New(rand.NewPCG(i, 5))
	text := make([]byte, 250<<10)
	for k := 0; k < len(text); k += 8 {
		x := random.Uint64()
		for b := range 8 {
			text[k+b] = 'A' + byte(x>>(8*b))&15
		}
	}
	return fmt.Appendf(dst, `{"pk":{"S":"s-%05d"},"region":{"S":"r%d"},"text":{"S":"%s"}}`, i, i%20, text)
}

func writeZipped(t *testing.T, name string, n int, appendItem func(dst []byte, i uint64) []byte) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, _ := gzip.NewWriterLevel(f, gzip.BestSpeed)
	var line bytes.Buffer
	for i := range n {
		line.Reset()
		line.WriteString(`{"Item":`)
		line.Write(appendItem(line.AvailableBuffer(), uint64(i)))
		line.WriteString("}\n")
		if _, err := w.Write(line.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
