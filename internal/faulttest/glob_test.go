package faulttest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dynaferry/internal/codec"
	"dynaferry/internal/codec/compress"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/item"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// A reader of another house sees a destination by a pattern: DEST/**/*.parquet, in whatever folder, ours included. This
// is that reader.

// seen is what lies open to a pattern.
type seen struct {
	files []string
	keys  map[string]int // row identities, how often
	rows  int
}

// look reads every file below dir whose name ends with suffix. A file that cannot be read to its end, or a row that is
// there twice, is an error. id is the attribute that tells rows apart.
func look(dir, suffix, id string) (*seen, error) {
	s := &seen{keys: map[string]int{}}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, suffix) {
			return err
		}
		s.files = append(s.files, name)
		if err := s.file(name, suffix, id); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	for key, n := range s.keys {
		if n > 1 {
			return s, fmt.Errorf("row %s is there %d times in %q", key, n, s.files)
		}
	}
	return s, nil
}

func (s *seen) file(name, suffix, id string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var r codec.Reader
	if suffix == ".parquet" {
		if r, err = parquet.Open(bytes.NewReader(data), int64(len(data)), parquet.ReadOptions{}); err != nil {
			return err
		}
	} else {
		plain := compress.NewReader(bytes.NewReader(data), "", compress.Limits{})
		defer plain.Close()
		r = ddbjson.NewReader(plain, ddbjson.ReaderOptions{})
	}
	var b item.Batch
	for {
		if err := r.Read(&b); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		for i := range b.Rows {
			it := b.Item(i)
			at, ok := it.Get(id)
			if !ok {
				return fmt.Errorf("row %d has no %s", s.rows, id)
			}
			s.keys[string(it.Text(at))]++
			s.rows++
		}
	}
}

// dataSuffixes end the names of data, ours and others'.
var dataSuffixes = []string{".parquet", ".parq", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".ion", ".10n"}

// isData tells whether a pattern for any kind of data finds a name.
func isData(name string) bool {
	for _, compressed := range []string{".gz", ".zst", ".zstd", ".snappy"} {
		name = strings.TrimSuffix(name, compressed)
	}
	return slices.Contains(dataSuffixes, filepath.Ext(name))
}

// noData walks a state root, where no pattern for data may find anything. The walk meets names that go as it goes.
func noData(state string) error {
	return filepath.WalkDir(state, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !entry.IsDir() && isData(name) {
			err = fmt.Errorf("a pattern for data finds %s", name)
		}
		return err
	})
}

// printOf is the fingerprint of what a source of ours reads at an address.
func printOf(t testing.TB, w *world.World, spec source.Spec) item.Fingerprint {
	t.Helper()
	print, err := fingerprint(w, spec)
	if err != nil {
		t.Fatalf("read %s: %v", spec.Address, err)
	}
	return print
}

func fingerprint(w *world.World, spec source.Spec) (item.Fingerprint, error) {
	var print item.Fingerprint
	var h item.Hasher
	err := eachBatch(w, spec, func(b *item.Batch) {
		for i := range b.Rows {
			print.Add(h.Item(b.Item(i)))
		}
	})
	return print, err
}

// eachBatch reads a source of ours.
func eachBatch(w *world.World, spec source.Spec, take func(*item.Batch)) error {
	ctx := context.Background()
	src, err := source.Open(ctx, w, spec)
	if err != nil {
		return err
	}
	units, err := src.Units(ctx, 1<<40, 1)
	if err != nil {
		return err
	}
	for _, u := range units {
		if err := eachOf(ctx, src, u, take); err != nil {
			return err
		}
	}
	return nil
}

func eachOf(ctx context.Context, src source.Source, u source.Unit, take func(*item.Batch)) error {
	in, err := src.Read(ctx, u, source.ReadOptions{})
	if err != nil {
		return err
	}
	defer in.Close()
	var b item.Batch
	for {
		if err := in.Read(&b); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		take(&b)
	}
}

// plans reads what stands in a state root.
type planState struct {
	id    string
	verb  string
	round int
	stage string
	tasks []json.RawMessage
	done  map[int]bool
	ended bool
	told  bool // its outcome; of the first round alone
}

func plansIn(t testing.TB, state string) []planState {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(state, "plans", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all []planState
	for _, dir := range dirs {
		p := planState{id: filepath.Base(dir), done: map[int]bool{}}
		var envelope struct {
			Body struct {
				Verb     string
				Round    int
				Settings struct{ Stage string }
			}
		}
		data, err := os.ReadFile(filepath.Join(dir, "plan"))
		if err != nil { // killed while it was made
			all = append(all, p)
			continue
		}
		if err := json.Unmarshal(data, &envelope); err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		p.verb, p.round, p.stage = envelope.Body.Verb, envelope.Body.Round, envelope.Body.Settings.Stage
		for line := range bytes.Lines(read(t, filepath.Join(dir, "tasks"))) {
			p.tasks = append(p.tasks, json.RawMessage(bytes.TrimSpace(line)))
		}
		results, _ := filepath.Glob(filepath.Join(dir, "results", "*"))
		for _, name := range results {
			var i, g int
			if _, err := fmt.Sscanf(filepath.Base(name), "%d.%d", &i, &g); err == nil {
				p.done[i] = true
			}
		}
		_, err = os.Stat(filepath.Join(dir, "commit"))
		p.ended = err == nil
		_, err = os.Stat(filepath.Join(dir, "told"))
		p.told = err == nil
		all = append(all, p)
	}
	return all
}

// unitsOf lists what a task reads: "segment 3" or "file name".
func unitsOf(t testing.TB, task json.RawMessage) []string {
	t.Helper()
	var g struct{ Units []source.Unit }
	if err := json.Unmarshal(task, &g); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range g.Units {
		if u.File != nil {
			names = append(names, "file "+u.File.Name)
		} else {
			names = append(names, fmt.Sprintf("segment %d", u.Segment))
		}
	}
	return names
}
