package store

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/vfs"

	"dynaferry/internal/fault"
)

func contents(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rewrite(t testing.TB, fs vfs.FS, name string, change func(b []byte) []byte) {
	t.Helper()
	b := change(contents(t, fs, name))
	f, err := fs.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// unclean returns a store's files as a killed process leaves them, with the frames behind the index's position, per segment.
func unclean(t *testing.T) (fs *vfs.MemFS, id TableID, frames map[string][]frame) {
	t.Helper()
	j := newJournalFS()
	s := mustOpen(t, crashOptions(j))
	id = mustCreate(t, s)
	for i := range 200 {
		text := fmt.Sprintf("value %d %s", i, strings.Repeat("v", 200))
		if _, err := s.Update(context.Background(), id, keyOf(fmt.Sprint(i), ""), func([]byte) (Op, []byte, error) { return OpPut, []byte(text), nil }); err != nil {
			t.Fatal(err)
		}
	}
	fs = j.crash(j.length(), 100, rand.New(rand.NewPCG(1, 1)))
	frames = map[string][]frame{}
	for _, seg := range s.log.snapshot() {
		r := seg.frames(segmentHeaderLen)
		for f, err := r.next(); err == nil; f, err = r.next() {
			frames[seg.name] = append(frames[seg.name], f)
		}
	}
	s.Close()
	return fs, id, frames
}

// TestDamageIsNamed: a flipped bit anywhere in the log but in its very last frame is an error with file and offset.
func TestDamageIsNamed(t *testing.T) {
	fs, _, frames := unclean(t)
	if len(frames) < 3 {
		t.Fatalf("%d segments", len(frames))
	}
	last := ""
	for name := range frames {
		last = max(last, name)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	for name, list := range frames {
		if name == last {
			list = list[:len(list)-1]
		}
		for range 6 {
			f := list[rng.IntN(len(list))]
			at := f.offset + rng.Int64N(f.end-f.offset)
			bit := byte(1) << rng.IntN(8)
			flip := func(b []byte) []byte { b[at] ^= bit; return b }
			rewrite(t, fs, name, flip)
			s, err := Open(crashOptions(fs))
			if err == nil {
				s.Close()
				t.Fatalf("%s: a flipped bit at %d of frame %d..%d goes unnoticed", name, at, f.offset, f.end)
			}
			place := fault.PlaceOf(err)
			if fault.KindOf(err) != fault.Corrupt || place.File != name || place.Offset < f.offset || place.Offset > f.end {
				t.Fatalf("%s: flipped at %d of frame %d..%d: %v (%v, %+v)", name, at, f.offset, f.end, err, fault.KindOf(err), place)
			}
			rewrite(t, fs, name, flip)
		}
	}
	if s, err := Open(crashOptions(fs)); err != nil {
		t.Fatalf("undamaged: %v", err)
	} else {
		s.Close()
	}
}

// TestDamagedFiles: what no crash can do to the files is refused by name.
func TestDamagedFiles(t *testing.T) {
	segment := func(n int) string { return "/db/log/" + segmentName(uint32(n)) }
	for _, c := range []struct {
		name   string
		damage func(fs vfs.FS)
		kind   fault.Kind
		file   string
	}{
		{"missing segment", func(fs vfs.FS) { fs.Remove(segment(2)) }, fault.Corrupt, segment(2)},
		{"missing first segment", func(fs vfs.FS) { fs.Remove(segment(1)) }, fault.Corrupt, segment(1)},
		{"header", func(fs vfs.FS) { rewrite(t, fs, segment(2), func(b []byte) []byte { b[20] ^= 1; return b }) }, fault.Corrupt, segment(2)},
		{"magic", func(fs vfs.FS) { rewrite(t, fs, segment(2), func(b []byte) []byte { b[0] ^= 1; return b }) }, fault.Corrupt, segment(2)},
		{"empty", func(fs vfs.FS) { rewrite(t, fs, segment(2), func(b []byte) []byte { return nil }) }, fault.Corrupt, segment(2)},
		{"swapped", func(fs vfs.FS) { fs.Rename(segment(2), segment(1)) }, fault.Corrupt, segment(1)},
		{"newer segment", func(fs vfs.FS) { rewrite(t, fs, segment(2), func(b []byte) []byte { b[8] = 9; return b }) }, fault.Unsupported, segment(2)},
		{"newer store", func(fs vfs.FS) {
			rewrite(t, fs, "/db/VERSION", func([]byte) []byte { return []byte("dynaferry local store 3\n") })
		}, fault.Unsupported, "/db/VERSION"},
		{"other version file", func(fs vfs.FS) { rewrite(t, fs, "/db/VERSION", func([]byte) []byte { return []byte("postgres 17\n") }) }, fault.Conflict, "/db/VERSION"},
		{"empty version file", func(fs vfs.FS) { rewrite(t, fs, "/db/VERSION", func([]byte) []byte { return nil }) }, fault.Corrupt, "/db/VERSION"},
		{"no version file", func(fs vfs.FS) { fs.Remove("/db/VERSION") }, fault.Conflict, "/db"},
		{"foreign file", func(fs vfs.FS) { fs.Create("/db/log/notes.txt") }, fault.Conflict, "/db/log/notes.txt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs, _, _ := unclean(t)
			c.damage(fs)
			s, err := Open(crashOptions(fs))
			if err == nil {
				s.Close()
				t.Fatal("opens")
			}
			if fault.KindOf(err) != c.kind || fault.PlaceOf(err).File != c.file {
				t.Fatalf("%v (%v, %+v), want %v at %s", err, fault.KindOf(err), fault.PlaceOf(err), c.kind, c.file)
			}
		})
	}
}

// TestDamagedValue: a value that changed on the disk is never returned.
func TestDamagedValue(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, crashOptions(fs))
	id := mustCreate(t, s)
	key := keyOf("k", "")
	if _, err := s.Update(context.Background(), id, key, func([]byte) (Op, []byte, error) { return OpPut, []byte("the very value"), nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	name, at := "/db/log/"+segmentName(1), 0
	rewrite(t, fs, name, func(b []byte) []byte {
		at = strings.Index(string(b), "the very value")
		b[at+4] ^= 0x20
		return b
	})
	s = mustOpen(t, crashOptions(fs))
	defer s.Close()
	_, _, err := s.Get(id, key)
	if p := fault.PlaceOf(err); fault.KindOf(err) != fault.Corrupt || p.File != name || p.Offset != int64(at) {
		t.Fatalf("get: %v %+v", err, p)
	}
	it := s.Scan(id, ScanOptions{})
	for it.Next() {
		t.Fatalf("scan returns %q", it.Raw())
	}
	if err := it.Close(); fault.KindOf(err) != fault.Corrupt {
		t.Fatalf("scan: %v", err)
	}
}

// TestFolder: one process at a time, and only folders that are ours or empty.
func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := mustOpen(t, Options{Dir: dir})
	for _, same := range []string{dir, dir + "/", filepath.Join(dir, "..", "b")} {
		if _, err := Open(Options{Dir: same}); fault.KindOf(err) != fault.Conflict || fault.HintOf(err) == "" {
			t.Errorf("second open of %s: %v", same, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, Options{Dir: dir})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.doc"), []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: foreign}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a foreign folder: %v", err)
	}
	if names, _ := os.ReadDir(foreign); len(names) != 1 {
		t.Errorf("a foreign folder was written to: %v", names)
	}
}
