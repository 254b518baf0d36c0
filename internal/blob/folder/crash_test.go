package folder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/blobtest"
	"dynaferry/internal/fault"
)

var errCrash = errors.New("crash")

// crashAt makes the n-th step (from 1) and all later ones fail, as if the process had died there; it returns the count.
func crashAt(f *Folder, n int) *int {
	steps := new(int)
	f.step = func(string) error {
		*steps++
		if n > 0 && *steps >= n {
			return errCrash
		}
		return nil
	}
	return steps
}

// TestCrash stops each write at each of its steps: the object is as before or as after, a later writer is not hindered,
// and nothing hidden is ever listed.
func TestCrash(t *testing.T) {
	ctx := t.Context()
	staged, tail := blobtest.Bytes(5000, 1), blobtest.Bytes(300, 2)
	final := slices.Concat(staged, tail)
	writes := map[string]struct {
		want []byte
		run  func(f *Folder) error
	}{
		"put": {final, func(f *Folder) error { _, err := f.Put(ctx, "d/final", final, blob.PutOptions{}); return err }},
		"put if absent": {final, func(f *Folder) error {
			_, err := f.Put(ctx, "d/final", final, blob.PutOptions{Condition: blob.Condition{IfAbsent: true}})
			return err
		}},
		"multipart": {final, func(f *Folder) error {
			u, err := f.Create(ctx, "d/final", blob.PutOptions{})
			if err != nil {
				return err
			}
			if err := u.Part(ctx, 1, final); err != nil {
				return err
			}
			_, err = u.Complete(ctx)
			return err
		}},
		"publish": {final, func(f *Folder) error {
			_, err := f.Publish(ctx, blob.Staged{Name: "staged", Size: 5000}, tail, "d/final", blob.PutOptions{Metadata: map[string]string{"id": "final"}})
			return err
		}},
		"publish a part": {slices.Concat(staged[:3000], tail), func(f *Folder) error {
			_, err := f.Publish(ctx, blob.Staged{Name: "staged", Size: 5000, Keep: 3000}, tail, "d/final", blob.PutOptions{})
			return err
		}},
	}
	for name, w := range writes {
		for _, o := range []Options{{NoSync: true}, {NoSync: true, Sidecars: true}} {
			for n := 1; ; n++ {
				f := open(t, o)
				if _, err := f.Put(ctx, "staged", staged, blob.PutOptions{}); err != nil {
					t.Fatal(err)
				}
				before, err := f.Head(ctx, "staged")
				if err != nil {
					t.Fatal(err)
				}
				steps := crashAt(f, n)
				err = w.run(f)
				f.step = nil
				if *steps < n { // it ended before the crash
					if err != nil || n == 1 {
						t.Errorf("%s without a crash: %v", name, err)
					}
					break
				}
				if !errors.Is(err, errCrash) {
					t.Errorf("%s at step %d: %v", name, n, err)
				}
				after, err := f.Head(ctx, "staged")
				if err != nil || after.ETag != before.ETag || after.Size != 5000 {
					t.Errorf("%s at step %d: the staged object is %+v, was %+v, %v", name, n, after, before, err)
				}
				data, _, err := blob.ReadAll(ctx, f, "d/final", 1<<20)
				landed := err == nil
				if landed && !slices.Equal(data, w.want) || err != nil && !errors.Is(err, blob.ErrNotFound) {
					t.Errorf("%s at step %d: %d bytes are visible, %v", name, n, len(data), err)
				}
				if err := w.run(f); err != nil && !(landed && errors.Is(err, blob.ErrExists)) {
					t.Errorf("%s at step %d, again: %v", name, n, err)
				}
				if data, _, err := blob.ReadAll(ctx, f, "d/final", 1<<20); err != nil || !slices.Equal(data, w.want) {
					t.Errorf("%s at step %d, again: %d bytes, %v", name, n, len(data), err)
				}
				for info, err := range f.List(ctx, "", "") {
					if err != nil || info.Name != "staged" && info.Name != "d/final" {
						t.Errorf("listed: %s, %v", info.Name, err)
					}
				}
			}
		}
	}
}

// TestPublishAfterCrash: a publisher that died behind its tail left a longer file; another tail takes its place.
func TestPublishAfterCrash(t *testing.T) {
	ctx := t.Context()
	staged := blobtest.Bytes(5000, 1)
	f := open(t, Options{})
	if _, err := f.Put(ctx, "staged", staged, blob.PutOptions{Metadata: map[string]string{"of": "staged"}}); err != nil {
		t.Fatal(err)
	}
	f.step = func(what string) error {
		if what == "write: link" {
			return errCrash
		}
		return nil
	}
	if _, err := f.Publish(ctx, blob.Staged{Name: "staged", Size: 5000}, blobtest.Bytes(900, 2), "one", blob.PutOptions{}); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	f.step = nil
	if data, info, err := blob.ReadAll(ctx, f, "staged", 1<<20); err != nil || !slices.Equal(data, staged) || info.Metadata["of"] != "staged" {
		t.Errorf("the staged object shows the tail: %d bytes, %v", len(data), err)
	}
	short := blobtest.Bytes(10, 3)
	if _, err := f.Publish(ctx, blob.Staged{Name: "staged", Size: 5000}, short, "two", blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if data, _, err := blob.ReadAll(ctx, f, "two", 1<<20); err != nil || !slices.Equal(data, slices.Concat(staged, short)) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	one, two := inodeOf(t, f, "staged"), inodeOf(t, f, "two")
	if one != two {
		t.Error("publish copied where a link was possible")
	}
}

// TestPublishFrozen: a publisher that sleeps with its lock hinders nobody, and harms nothing when it wakes up.
func TestPublishFrozen(t *testing.T) {
	ctx := t.Context()
	staged, mine, theirs := blobtest.Bytes(5000, 1), blobtest.Bytes(300, 2), blobtest.Bytes(400, 3)
	for _, frozenAt := range []string{"publish: record", "publish: tail", "publish: sync", "write: link"} {
		dir := t.TempDir()
		frozen, err := Open(dir, Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		other, err := Open(dir, Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Put(ctx, "staged", staged, blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		asleep, wake := make(chan struct{}), make(chan struct{})
		frozen.step = func(what string) error {
			if what == frozenAt {
				close(asleep)
				<-wake
			}
			return nil
		}
		ended := make(chan error)
		go func() {
			_, err := frozen.Publish(ctx, blob.Staged{Name: "staged", Size: 5000}, mine, "final", blob.PutOptions{})
			ended <- err
		}()
		<-asleep
		if _, err := other.Publish(ctx, blob.Staged{Name: "staged", Size: 5000}, theirs, "final", blob.PutOptions{}); err != nil {
			t.Errorf("asleep at %s: %v", frozenAt, err)
		}
		close(wake)
		if err := <-ended; !errors.Is(err, blob.ErrExists) {
			t.Errorf("awake at %s: %v", frozenAt, err)
		}
		if data, _, err := blob.ReadAll(ctx, other, "final", 1<<20); err != nil || !slices.Equal(data, slices.Concat(staged, theirs)) {
			t.Errorf("awake at %s: the final object changed: %d bytes, %v", frozenAt, len(data), err)
		}
		frozen.Close()
		other.Close()
	}
}

// TestPublishSwept: a publisher that opened the staged file before it was swept away finds a file with one name, the
// published one, and must leave it alone.
func TestPublishSwept(t *testing.T) {
	ctx := t.Context()
	f := open(t, Options{NoSync: true})
	staged, tail := blobtest.Bytes(5000, 1), blobtest.Bytes(300, 2)
	if _, err := f.Put(ctx, "staged", staged, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	file, v, err := f.open("staged", os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := f.Publish(ctx, blob.Staged{Name: "staged", Size: 5000}, tail, "final", blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := f.Delete(ctx, "staged"); err != nil {
		t.Fatal(err)
	}
	if err := f.grow(file, v, "staged", []byte("other"), "second", blob.PutOptions{}); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("grow after the sweep: %v", err)
	}
	if data, _, err := blob.ReadAll(ctx, f, "final", 1<<20); err != nil || !slices.Equal(data, slices.Concat(staged, tail)) {
		t.Errorf("the final object changed: %d bytes, %v", len(data), err)
	}
}

// TestDirVanishes: a deletion that removes a directory as empty is in nobody's way who writes into it.
func TestDirVanishes(t *testing.T) {
	ctx := t.Context()
	f := open(t, Options{NoSync: true})
	for _, name := range []string{"staged", "dir/sub/old"} {
		if _, err := f.Put(ctx, name, []byte("body"), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	f.step = func(what string) error {
		if what != "write: link" {
			return nil
		}
		f.step = nil
		return f.Delete(ctx, "dir/sub/old")
	}
	if _, err := f.Publish(ctx, blob.Staged{Name: "staged", Size: 4}, []byte("!"), "dir/sub/final", blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if data, _, err := blob.ReadAll(ctx, f, "dir/sub/final", 10); err != nil || string(data) != "body!" {
		t.Errorf("%q, %v", data, err)
	}
}

func inodeOf(t *testing.T, f *Folder, name string) uint64 {
	t.Helper()
	stat, err := f.root.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return inode(stat)
}

// TestEscapes: no name, link or mount of words leads out of the root.
func TestEscapes(t *testing.T) {
	ctx := t.Context()
	base := t.TempDir()
	outside := filepath.Join(base, "outside")
	if err := os.MkdirAll(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(filepath.Join(base, "root"), Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	links := map[string]string{"absolute": outside, "relative": "../outside", "file": "../outside/secret", "dangling": "../outside/new"}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(f.path, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"absolute/secret", "relative/secret", "file", "absolute/new", "relative/new", "dangling"} {
		if _, _, err := f.Get(ctx, name, blob.ReadOptions{}); err == nil {
			t.Errorf("%s is read", name)
		}
		if _, err := f.Put(ctx, name, []byte("x"), blob.PutOptions{Condition: blob.Condition{IfAbsent: true}}); err == nil {
			t.Errorf("%s is written", name)
		}
		if _, err := f.Create(ctx, name+"/below", blob.PutOptions{}); err == nil {
			t.Errorf("%s/below is created", name)
		}
		_ = f.Delete(ctx, name)
	}
	if data, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(data) != "secret" {
		t.Errorf("the file outside is %q, %v", data, err)
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 1 {
		t.Errorf("outside: %v", entries)
	}
}

// TestLinksInside: symbolic links inside the root are followed; circles and those that lead out are told, not left out.
func TestLinksInside(t *testing.T) {
	ctx := t.Context()
	f := open(t, Options{NoSync: true})
	if _, err := f.Put(ctx, "data/2026/a", []byte("x"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"current": "data/2026", "one": "data/2026/a"} {
		if err := os.Symlink(target, filepath.Join(f.path, name)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for info, err := range f.List(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, info.Name)
	}
	if want := []string{"current/a", "data/2026/a", "one"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for name, target := range map[string]string{"circle": "..", "out": "/", "nowhere": "none"} {
		path := filepath.Join(f.path, "data", name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		var last error
		for _, last = range f.List(ctx, "data/", "") {
		}
		if fault.KindOf(last) != fault.User {
			t.Errorf("%s: %v", name, last)
		}
		os.Remove(path)
	}
	if err := syscall.Mkfifo(filepath.Join(f.path, "pipe"), 0o600); err == nil {
		if _, err := f.Head(ctx, "pipe"); !errors.Is(err, blob.ErrNotFound) { // and does not wait for a writer
			t.Errorf("a pipe: %v", err)
		}
	}
}

// TestErrors: what the system says has its kind, its place and, where something helps, its hint.
func TestErrors(t *testing.T) {
	for err, want := range map[error]fault.Kind{
		syscall.ENOSPC: fault.Limit, syscall.EDQUOT: fault.Limit, syscall.EIO: fault.Corrupt, syscall.EROFS: fault.Permission,
		syscall.EACCES: fault.Permission, syscall.EMFILE: fault.Limit, syscall.ENAMETOOLONG: fault.Unsupported, syscall.ENOTDIR: fault.Unsupported,
	} {
		for _, step := range []string{"put: write", "write: sync", "write: rename"} {
			f := open(t, Options{})
			f.step = func(what string) error {
				if what == step {
					return &os.PathError{Op: "write", Path: "x", Err: err}
				}
				return nil
			}
			_, got := f.Put(t.Context(), "d/a", []byte("x"), blob.PutOptions{})
			if fault.KindOf(got) != want || !errors.Is(got, err) || !strings.Contains(fault.PlaceOf(got).File, "d/a") {
				t.Errorf("%v at %s: kind %v, %v", err, step, fault.KindOf(got), got)
			}
			f.step = nil
			if _, err := f.Head(t.Context(), "d/a"); !errors.Is(err, blob.ErrNotFound) {
				t.Errorf("%v at %s: something is visible: %v", got, step, err)
			}
			for u := range f.Unfinished(t.Context(), "") {
				t.Errorf("%v at %s left %s", got, step, u.Name)
			}
		}
	}
}

// TestFullDisk writes to a real file system that has no room left.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := mountSmall(dir); err != nil {
		t.Skipf("SKIPPED, NOT PASSED: a full disk is tested on a small file system, which only root may mount: %v", err)
	}
	defer unmount(dir)
	f, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Put(t.Context(), "small", []byte("x"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = f.Put(t.Context(), "large", make([]byte, 4<<20), blob.PutOptions{})
	if fault.KindOf(err) != fault.Limit || !errors.Is(err, syscall.ENOSPC) || fault.HintOf(err) == "" {
		t.Errorf("a full disk: %v", err)
	}
	if _, err := f.Head(t.Context(), "large"); !errors.Is(err, blob.ErrNotFound) {
		t.Error(err)
	}
	if _, err := f.Put(t.Context(), "small", []byte("y"), blob.PutOptions{}); err != nil {
		t.Errorf("what failed did not free its room: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for setting, s := range map[string]blob.Settings{"sse": {SSE: "AES256"}, "storage-class": {StorageClass: "STANDARD_IA"},
		"tags": {Tags: map[string]string{"a": "b"}}, "lock-mode": {LockMode: "GOVERNANCE", LockFor: 1e9}} {
		_, err := Open(t.TempDir(), Options{Settings: s})
		if fault.KindOf(err) != fault.Unsupported || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s: %v", setting, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), Options{ReadOnly: true}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a missing root: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, file + "/below"} {
		if _, err := Open(path, Options{}); err == nil {
			t.Errorf("%s is opened as a folder", path)
		}
	}
}

// TestHiddenNames: our own files can neither be named nor listed.
func TestHiddenNames(t *testing.T) {
	f := open(t, Options{NoSync: true, Sidecars: true})
	if _, err := f.Put(t.Context(), "a", []byte("x"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".tmp-x", "d/.tmp-x", ".tmp-d/x", ".meta-1", "d/.meta-1/x", strings.Repeat("x", 256)} {
		if _, err := f.Put(t.Context(), name, nil, blob.PutOptions{}); err == nil || fault.KindOf(err) == fault.Bug {
			t.Errorf("%.20s: %v", name, err)
		}
	}
	n := 0
	for range f.List(t.Context(), "", "") {
		n++
	}
	if n != 1 {
		t.Errorf("%d names are listed", n)
	}
}

// TestEdited: a file that somebody edits in place, or put there by hand, has an honest ETag; one that shrinks while it is
// read is told.
func TestEdited(t *testing.T) {
	ctx := t.Context()
	for _, o := range []Options{{NoSync: true}, {NoSync: true, Sidecars: true}} {
		f := open(t, o)
		info, err := f.Put(ctx, "a", []byte("one"), blob.PutOptions{Metadata: map[string]string{"id": "1"}})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(f.path, "a")
		stat, _ := os.Stat(path)
		if err := os.WriteFile(path, []byte("two"), 0o600); err != nil {
			t.Fatal(err)
		}
		later := stat.ModTime().Add(1e9)
		if err := os.Chtimes(path, later, later); err != nil {
			t.Fatal(err)
		}
		if now, err := f.Head(ctx, "a"); err != nil || now.ETag == info.ETag {
			t.Errorf("an edited file keeps its ETag: %v", err)
		}
		if err := os.WriteFile(filepath.Join(f.path, "foreign"), blobtest.Bytes(100_000, 1), 0o600); err != nil {
			t.Fatal(err)
		}
		r, foreign, err := f.Get(ctx, "foreign", blob.ReadOptions{})
		if err != nil || foreign.ETag == "" {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(f.path, "foreign"), 10); err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(r); fault.KindOf(err) != fault.Corrupt {
			t.Errorf("a file that shrank: %d bytes, %v", len(data), err)
		}
		r.Close()
		if _, err := f.Publish(ctx, blob.Staged{Name: "foreign", Size: 10}, []byte("t"), "published", blob.PutOptions{}); err != nil {
			t.Errorf("publish of a foreign file: %v", err)
		}
	}
}

// TestObjectAndPrefix: a name that is both is refused with words.
func TestObjectAndPrefix(t *testing.T) {
	f := open(t, Options{NoSync: true})
	for i, names := range [][2]string{{"a", "a/b"}, {"c/d", "c"}} {
		if _, err := f.Put(t.Context(), names[0], nil, blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, absent := range []bool{false, true} {
			_, err := f.Put(t.Context(), names[1], nil, blob.PutOptions{Condition: blob.Condition{IfAbsent: absent}})
			if fault.KindOf(err) != fault.Unsupported || !strings.Contains(err.Error(), "prefix") {
				t.Errorf("%d: %v", i, err)
			}
		}
	}
	for u := range f.Unfinished(t.Context(), "") {
		t.Errorf("left %s", u.Name)
	}
}

func ExampleOpen() {
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	f, err := Open(dir, Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	absent := blob.PutOptions{Condition: blob.Condition{IfAbsent: true}}
	_, first := f.Put(context.Background(), "a/b", []byte("x"), absent)
	_, second := f.Put(context.Background(), "a/b", []byte("y"), absent)
	fmt.Println(first, errors.Is(second, blob.ErrExists))
	// Output: <nil> true
}
