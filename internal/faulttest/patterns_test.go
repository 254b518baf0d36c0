package faulttest

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dynaferry/internal/blob/folder"
	"dynaferry/internal/dataset"
)

// found lists what a pattern for any kind of data finds below dir, as DuckDB's **/* does: in every folder, ours included.
func found(t testing.TB, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !entry.IsDir() && isData(name) {
			relative, _ := filepath.Rel(dir, name)
			names[filepath.ToSlash(relative)] = true
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return names
}

// live are the files of the data set at dir.
func live(t testing.TB, dir string) []string {
	t.Helper()
	b, err := folder.Open(dir, folder.Options{})
	if err != nil {
		t.Fatal(err)
	}
	set, err := dataset.Load(t.Context(), b, "")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range set.Files {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}

// TestPatterns looks at a destination with a pattern for every kind of data before each external call of a job: what it finds
// are files that were there before or belong to the data set afterwards, and nothing of ours, whatever we keep for ourselves.
func TestPatterns(t *testing.T) {
	endpoint := tables(t)
	dir := scratch(t)
	in := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	broken := append(lines(40, whole), `{"Item":{"pk":{"N":"seven"}}}`+"\n"...)
	write(t, in("from", "a.json"), lines(60, whole))
	write(t, in("from", "b.json"), broken)
	write(t, in("more", "a.json"), lines(60, fraction))
	loose := []string{"--from-format", "dynamodb-json", "--key", "pk", "--task-size", "1B"}
	convert := func(from, dest string, more ...string) []string {
		return slices.Concat([]string{"convert", in(from), dest}, loose, more)
	}
	for _, form := range [][]string{
		{"--format", "parquet"}, {"--format", "parquet", "--partition", "region"},
		{"--format", "json", "--compression", "none"}, {"--format", "json", "--compression", "gzip"}, {"--format", "json", "--compression", "zstd"},
		{"--format", "csv", "--compression", "none"}, {"--format", "csv", "--compression", "zstd", "--partition", "region"},
		{"--format", "dynamodb-json"}, {"--format", "ion"},
	} {
		dest := in(strings.Join(form, ""))
		for _, step := range [][]string{
			convert("from", dest, form...), // leaves dead letters
			convert("more", dest, append(form, "--into", "append")...),
			convert("more", dest, append(form, "--into", "replace")...),
		} {
			watched(t, dest, step, 0, 3)
			after := slices.Sorted(maps.Keys(found(t, dest)))
			after = slices.DeleteFunc(after, func(name string) bool { return strings.HasPrefix(filepath.Base(name), "manifest-") })
			if want := live(t, dest); !slices.Equal(after, want) {
				t.Errorf("%s: a pattern finds %q, the data set is %q", step, after, want)
			}
		}
	}
	// Imports and verifies keep their state beside the source.
	table := "dynamodb://Patterns?endpoint=" + endpoint
	watched(t, in("from"), []string{"import", in("from"), table, "--create", "--key", "pk", "--from-format", "dynamodb-json"}, 3)
	watched(t, in("more"), []string{"verify", in("more"), table, "--key", "pk", "--from-format", "dynamodb-json"}, 4)
	watched(t, in("exported"), []string{"export", table, in("exported"), "--format", "json", "--compression", "none"}, 0) // leaves a definition
}

// watched runs a command and looks at a place before each of its calls.
func watched(t *testing.T, dir string, args []string, codes ...int) {
	t.Helper()
	before := found(t, dir)
	between := map[string]string{}
	trace := &trace{look: func(call string) {
		for name := range found(t, dir) {
			between[name] = call
		}
	}}
	if o := inside(trace, args...); !slices.Contains(codes, o.code) {
		t.Fatalf("dynaferry %q: %s", args, o)
	}
	after := found(t, dir)
	for name, call := range between {
		if !before[name] && !after[name] {
			t.Errorf("dynaferry %q: before %s a pattern finds %s, which was not there before and does not stay", args, call, name)
		}
	}
	for name := range after {
		if strings.HasPrefix(name, dataset.Hidden+"/") {
			t.Errorf("dynaferry %q: a pattern finds %s", args, name)
		}
	}
}
