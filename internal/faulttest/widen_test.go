package faulttest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"dynaferry/internal/blob/folder"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/column"
	"dynaferry/internal/dataset"
	"dynaferry/internal/item/itemtest"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// oneSchema fails unless every file of a data set says the schema that the history says last, but for what spilled in the
// run that wrote it.
func oneSchema(dest string) (files int, err error) {
	b, err := folder.Open(dest, folder.Options{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	defer b.Close()
	set, err := dataset.Load(context.Background(), b, "")
	if err != nil {
		return 0, err
	}
	last, err := column.ParseSchema(set.Last.Schema)
	if err != nil {
		return 0, err
	}
	plain := func(s *column.Schema) []byte {
		return bytes.ReplaceAll(s.AppendJSON(nil), []byte(`,"spilled":true`), nil)
	}
	want := plain(last)
	for _, f := range set.Files {
		data, err := os.ReadFile(filepath.Join(dest, f.Name))
		if err != nil {
			return 0, err
		}
		r, err := parquet.Open(bytes.NewReader(data), int64(len(data)), parquet.ReadOptions{})
		if err != nil {
			return 0, fmt.Errorf("%s: %w", f.Name, err)
		}
		if r.Foreign() {
			return 0, fmt.Errorf("%s is not recognised: %s", f.Name, r.Note())
		}
		if got := plain(r.Schema()); !bytes.Equal(got, want) {
			return 0, fmt.Errorf("%s has another schema than the data set: %d and %d leaves, %d and %d bytes", f.Name, len(r.Schema().Leaves()),
				len(last.Leaves()), len(got), len(want))
		}
		meta, _, err := parquet.MetaOf(bytes.NewReader(data), int64(len(data)))
		if err == nil {
			err = parquet.Verify(bytes.NewReader(data), int64(len(data)), meta)
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return len(set.Files), nil
}

// TestAppends appends arbitrary items to arbitrary items, some times over: whatever columns come with whom, every file has
// the whole schema each time, and all items come back.
func TestAppends(t *testing.T) {
	dir := scratch(t)
	var work []func() error
	for seed := range count(3, 12, 400) {
		work = append(work, func() error {
			random := rand.New(rand.NewPCG(uint64(seed), 1))
			way := [][]string{nil, {"--compression", "none", "--bloom"}, {"--partition", "part"}, {"--target-size", "1MiB", "--compression", "snappy"},
				{"--state", filepath.Join(dir, fmt.Sprint("state", seed))}, {"--on-new", "extra"}}[random.IntN(6)]
			dest, all := filepath.Join(dir, fmt.Sprint("dest", seed)), filepath.Join(dir, fmt.Sprint("all", seed))
			first := uint64(0)
			for step := range 2 + random.IntN(3) {
				n := 1 + random.IntN(40)
				data := itemtest.ArbitraryLines(nil, uint64(seed), first, n)
				first += uint64(n)
				write(t, filepath.Join(all, fmt.Sprintf("%d.json", step)), data)
				args := []string{"convert", filepath.Join(all, fmt.Sprintf("%d.json", step)), dest, "--into", "append", "--from-format", "dynamodb-json", "--key", "pk"}
				if step == 2 { // columns that came first into _extra get their places
					way = slices.DeleteFunc(slices.Clone(way), func(s string) bool { return s == "--on-new" || s == "extra" })
				}
				if o := inside(nil, append(args, way...)...); o.code != 0 {
					return fmt.Errorf("seed %d step %d %v: %s", seed, step, way, o)
				}
				if _, err := oneSchema(dest); err != nil {
					return fmt.Errorf("seed %d step %d %v: %w", seed, step, way, err)
				}
			}
			want, err := fingerprint(world.New(), source.Spec{Address: all, Form: source.DynamoDBJSON})
			if err != nil {
				return err
			}
			if got, err := fingerprint(world.New(), source.Spec{Address: dest}); err != nil || got != want {
				return fmt.Errorf("seed %d %v: %v came back, not %v, %v", seed, way, got, want, err)
			}
			staged, _ := filepath.Glob(filepath.Join(dest, "_dynaferry", "staged", "*", "*"))
			if len(staged) > 0 {
				return fmt.Errorf("seed %d %v: staged objects stay: %q", seed, way, staged)
			}
			return nil
		})
	}
	inParallel(t, work)
}

// coloured is thirty lines of items with an attribute of their own, at the top and in a map.
func coloured(first int, name string) []byte {
	var out []byte
	for i := range 30 {
		out = fmt.Appendf(out, `{"Item":{"pk":{"S":"%s%d"},"m":{"M":{"x":{"N":"%d"},"%s":{"L":[{"N":"1"}]}}},"%s":{"N":"%d"}}}`+"\n", name, first+i, i, name, name, i)
	}
	return out
}

// TestWidenOvertaken has an append that widens the data set overtaken by others, before and after its files are staged
// anew: what was staged for what is no longer so counts nothing.
func TestWidenOvertaken(t *testing.T) {
	for _, into := range []string{"append", "replace"} {
		for late, name := range []string{"before the tasks", "after the tasks"} {
			t.Run(into+" "+name, func(t *testing.T) {
				t.Parallel()
				dir := scratch(t)
				dest := filepath.Join(dir, "dest")
				args := func(name, into string) []string {
					return []string{"convert", write(t, filepath.Join(dir, name, "a.json"), coloured(0, name)), dest, "--from-format", "dynamodb-json", "--into", into}
				}
				must(t, args("first", "append")...)
				must(t, append(args("second", "append"), "--workers", "1")...)
				plan := tasksOf(t, must(t, append([]string{"plan"}, args("slow", "append")...)...).text("plan"))
				plan = commitAgain(t, plan)
				if late > 0 {
					tasksOf(t, plan)
				}
				must(t, args("fast", into)...)
				tasksOf(t, plan)
				rounds := 0
				for ; ; rounds++ {
					o := inside(nil, "commit", "--plan", plan)
					if o.code == 0 {
						break
					}
					if o.code != 76 || rounds == 3 {
						t.Fatal(o)
					}
					plan = tasksOf(t, o.text("plan"))
				}
				if rounds != 1 {
					t.Errorf("%d more rounds", rounds)
				}
				rows := map[string]int{"append": 120, "replace": 60}[into]
				if sight, err := look(dest, ".parquet", "pk"); err != nil || sight.rows != rows {
					t.Errorf("%d rows, %v", sight.rows, err)
				}
				if _, err := oneSchema(dest); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestWidenReads counts what is read of the files that get columns: their ends alone, and of a member of a map one sibling.
// The data are copied inside the store, twice.
func TestWidenReads(t *testing.T) {
	endpoint, _ := objects(t)
	dir := scratch(t)
	source := func(name string, data []byte) string { return write(t, filepath.Join(dir, name, "a.json"), data) }
	for _, c := range []struct {
		name  string
		more  string // attributes of the item that is appended
		bytes int64  // of the data, at most
	}{{"top", `"colour":{"S":"red"}`, 0}, {"nested", `"m":{"M":{"new":{"N":"1"}}}`, 100 << 10}} {
		dest := "s3://lake/" + c.name + "?endpoint=" + endpoint
		args := []string{dest, "--from-format", "dynamodb-json", "--compression", "none", "--into", "append"}
		must(t, append([]string{"convert", source("large", lines(25, func(dst []byte, i uint64) []byte {
			dst = large(dst, i)
			return append(dst[:len(dst)-1], `,"m":{"M":{"x":{"N":"1"}}}}`...)
		}))}, args...)...)
		var mu sync.Mutex
		var read, published, copied int64
		trace := &trace{read: func(name string, n int) {
			mu.Lock()
			defer mu.Unlock()
			if strings.HasSuffix(name, ".parquet") {
				read += int64(n)
			}
		}}
		o := inside(trace, append([]string{"convert", source("more", []byte(`{"Item":{"pk":{"S":"new"},`+c.more+"}}\n"))}, args...)...)
		if o.code != 0 || o.number("widened") == 0 {
			t.Fatal(o)
		}
		for _, call := range trace.list() {
			if !strings.HasPrefix(call, "publish ") {
				continue
			}
			if copied++; strings.HasSuffix(call, ".parquet") {
				published++
			}
		}
		const ends = 3 * 64 << 10
		widened := int64(o.number("widened"))
		if read == 0 || read > widened*ends+c.bytes || published != widened+1 {
			t.Errorf("%s: %d files widened, %d published, %d bytes of them read", c.name, widened, published, read)
		}
		if copied != 2*widened+1 { // aside, and back with another end
			t.Errorf("%s: %d files widened by %d copies", c.name, widened, copied)
		}
	}
}
