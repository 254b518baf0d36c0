package folder

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// missing tells that a name, or a folder on the way to it, is not there.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// List is blob.Bucket's. Symbolic links are followed inside the root; one that leads out of it, to nowhere or in
// circles is an error that names it, never a silent gap. after is a whole name.
func (f *Folder) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if err := blob.CheckPrefix(prefix); err != nil {
			yield(blob.Info{}, err)
			return
		}
		w := walk{f: f, ctx: ctx, prefix: prefix, after: after, yield: yield}
		w.file = func(name string) (blob.Info, bool, error) {
			file, v, err := f.openListed(name)
			if errors.Is(err, blob.ErrNotFound) { // deleted meanwhile, or no regular file
				return blob.Info{}, false, nil
			}
			if err != nil {
				return blob.Info{}, false, err
			}
			file.Close()
			v.info.Metadata = nil
			return v.info, true, nil
		}
		w.run()
	}
}

// openListed is open without the name's check: what lies in the folder is shown, and refused by name when it is read.
func (f *Folder) openListed(name string) (*os.File, version, error) {
	file, err := f.root.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if missing(err) || errors.Is(err, syscall.ENXIO) {
		return nil, version{}, notFound()
	}
	if err != nil {
		return nil, version{}, err
	}
	v, err := f.describe(file, name)
	if err != nil {
		file.Close()
	}
	return file, v, err
}

// Unfinished is blob.Uploads': the hidden files of writes that did not end.
func (f *Folder) Unfinished(ctx context.Context, prefix string) iter.Seq2[blob.Unfinished, error] {
	return func(yield func(blob.Unfinished, error) bool) {
		w := walk{f: f, ctx: ctx, prefix: prefix, hidden: true}
		w.yield = func(info blob.Info, err error) bool {
			return yield(blob.Unfinished{Name: info.Name, ID: path.Base(info.Name), Begun: info.Modified}, err)
		}
		w.file = func(name string) (blob.Info, bool, error) {
			if !strings.HasPrefix(path.Base(name), hiddenTemporary) {
				return blob.Info{}, false, nil
			}
			stat, err := f.root.Lstat(name)
			if missing(err) {
				return blob.Info{}, false, nil
			}
			if err != nil {
				return blob.Info{}, false, err
			}
			return blob.Info{Name: name, Size: stat.Size(), Modified: stat.ModTime()}, true, nil
		}
		w.run()
	}
}

// Drop is blob.Uploads'.
func (f *Folder) Drop(_ context.Context, u blob.Unfinished) error {
	if err := blob.CheckName(u.Name); err != nil {
		return err
	}
	if !strings.HasPrefix(path.Base(u.Name), hiddenTemporary) {
		return fault.New(fault.User, "%q is not an unfinished write", u.Name)
	}
	if err := f.root.Remove(u.Name); err != nil && !missing(err) {
		return f.fail("drop", u.Name, err)
	}
	return nil
}

// walk yields the files below a prefix in the order of their whole names' bytes.
type walk struct {
	f             *Folder
	ctx           context.Context
	prefix, after string
	hidden        bool // show hidden names too
	file          func(name string) (blob.Info, bool, error)
	yield         func(blob.Info, error) bool
	above         []fs.FileInfo // folders on the way down, to see circles
}

func (w *walk) run() {
	dir := "."
	if i := strings.LastIndexByte(w.prefix, '/'); i > 0 {
		dir = w.prefix[:i]
	}
	w.dir(dir)
}

// dir walks one folder; false ends the walk.
func (w *walk) dir(dir string) bool {
	entries, err := w.entries(dir)
	if missing(err) {
		return true
	}
	if err != nil {
		w.yield(blob.Info{}, w.f.fail("list", dir, err))
		return false
	}
	defer func() { w.above = w.above[:len(w.above)-1] }()
	for _, e := range entries {
		if err := w.ctx.Err(); err != nil {
			w.yield(blob.Info{}, err)
			return false
		}
		if !w.entry(path.Join(dir, e.name), e.dir) {
			return false
		}
	}
	return true
}

func (w *walk) entry(name string, dir bool) bool {
	if dir {
		below := name + "/"
		inside := strings.HasPrefix(below, w.prefix) || strings.HasPrefix(w.prefix, below)
		passed := below < w.after && !strings.HasPrefix(w.after, below)
		return !inside || passed || w.dir(name)
	}
	if !strings.HasPrefix(name, w.prefix) || name <= w.after {
		return true
	}
	info, ok, err := w.file(name)
	if err != nil {
		w.yield(blob.Info{}, w.f.fail("list", name, err))
		return false
	}
	return !ok || w.yield(info, nil)
}

type entry struct {
	name string
	dir  bool
}

// key sorts a folder where its names come: "a/b" after "a.b".
func (e entry) key() string {
	if e.dir {
		return e.name + "/"
	}
	return e.name
}

// entries reads a folder and pushes it on w.above.
func (w *walk) entries(dir string) ([]entry, error) {
	d, err := w.f.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	stat, err := d.Stat()
	if err != nil {
		return nil, err
	}
	for _, above := range w.above {
		if os.SameFile(above, stat) {
			return nil, fault.New(fault.User, "a symbolic link leads in circles")
		}
	}
	listed, err := d.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, e := range listed {
		if hidden(e.Name()) && !w.hidden {
			continue
		}
		isDir, regular := e.IsDir(), e.Type().IsRegular()
		if e.Type()&fs.ModeSymlink != 0 {
			target, err := w.f.root.Stat(path.Join(dir, e.Name()))
			if err != nil {
				return nil, fault.New(fault.User, "symbolic link %s: %v", path.Join(dir, e.Name()), err)
			}
			isDir, regular = target.IsDir(), target.Mode().IsRegular()
		}
		if isDir || regular {
			entries = append(entries, entry{e.Name(), isDir})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key(), b.key()) })
	w.above = append(w.above, stat)
	return entries, nil
}
