package folder

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"dynaferry/internal/blob"
)

// Put is blob.Bucket's.
func (f *Folder) Put(ctx context.Context, name string, body []byte, opts blob.PutOptions) (blob.Info, error) {
	if err := f.mayWrite(ctx, name, opts); err != nil {
		return blob.Info{}, err
	}
	if opts.IfAbsent && f.taken(name) { // saves writing what would lose
		return blob.Info{}, f.fail("put", name, exists())
	}
	file, temporary, err := f.temporary(path.Dir(name))
	if err != nil {
		return blob.Info{}, f.fail("put", name, err)
	}
	defer file.Close()
	if err = f.at("put: write"); err == nil {
		_, err = file.Write(body)
	}
	if err != nil {
		_ = f.root.Remove(temporary)
		return blob.Info{}, f.fail("put", name, err)
	}
	info, err := f.install(ctx, file, temporary, name, opts)
	return info, f.fail("put", name, err)
}

// mayWrite checks what every write checks before it begins.
func (f *Folder) mayWrite(ctx context.Context, name string, opts blob.PutOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.check(name); err != nil {
		return err
	}
	return opts.Check()
}

func (f *Folder) taken(name string) bool {
	info, err := f.root.Lstat(name)
	return err == nil && !info.IsDir()
}

// install gives a written hidden file its record and its name, and removes the hidden name in any case.
func (f *Folder) install(ctx context.Context, file *os.File, temporary, name string, opts blob.PutOptions) (blob.Info, error) {
	err := f.seal(file, name, opts)
	if err == nil {
		if opts.IfAbsent {
			err = f.link(temporary, name)
		} else {
			err = f.replace(ctx, temporary, name, opts.IfMatch)
		}
	}
	// A failed removal leaves a hidden file, which vacuum finds; the object is as it should be.
	_ = f.root.Remove(temporary)
	if err == nil && opts.IfAbsent { // replace has synced already, under its lock
		err = f.syncDir(path.Dir(name))
	}
	if err != nil {
		f.dropSidecar(file, name)
		return blob.Info{}, err
	}
	v, err := f.describe(file, name)
	return v.info, err
}

// seal stores the record with the file and makes both durable.
func (f *Folder) seal(file *os.File, name string, opts blob.PutOptions) error {
	if err := f.at("write: record"); err != nil {
		return err
	}
	if err := f.keep(file, attrOwn, f.newRecord(opts), name); err != nil {
		return err
	}
	if err := f.at("write: sync"); err != nil {
		return err
	}
	if f.options.NoSync {
		return nil
	}
	return file.Sync()
}

func (f *Folder) newRecord(opts blob.PutOptions) record {
	return record{
		ID:          strings.ToLower(rand.Text()),
		ContentType: opts.ContentType,
		Metadata:    blob.MergeMetadata(f.options.Settings.Metadata, opts.Metadata),
	}
}

// link gives the file its name if nobody has it.
func (f *Folder) link(from, name string) error {
	if err := f.at("write: link"); err != nil {
		return err
	}
	err := f.root.Link(from, name)
	if errors.Is(err, fs.ErrExist) {
		if info, stat := f.root.Lstat(name); stat == nil && info.IsDir() {
			return &fs.PathError{Op: "link", Path: name, Err: syscall.EISDIR}
		}
		return exists()
	}
	return err
}

// replace gives the file its name whoever had it, or only if that one's ETag is ifMatch.
func (f *Folder) replace(ctx context.Context, from, name, ifMatch string) error {
	dir, err := f.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close() // frees the lock
	if err := lock(ctx, dir); err != nil {
		return err
	}
	old, v, err := f.open(name, os.O_RDONLY)
	switch {
	case err == nil:
		defer old.Close()
		if ifMatch != "" && v.info.ETag != ifMatch {
			return changed()
		}
	case ifMatch != "" && errors.Is(err, blob.ErrNotFound):
		return fmt.Errorf("%w: %w", changed(), blob.ErrNotFound)
	case ifMatch != "":
		return err
	}
	if err := f.at("write: rename"); err != nil {
		return err
	}
	if err := f.root.Rename(from, name); errors.Is(err, fs.ErrExist) {
		return &fs.PathError{Op: "rename", Path: name, Err: syscall.EISDIR}
	} else if err != nil {
		return err
	}
	if old != nil {
		f.dropSidecar(old, name)
	}
	return f.syncDir(path.Dir(name))
}

// dropSidecar removes the hidden record of a file that lost its name; one that stays is harmless.
func (f *Folder) dropSidecar(file *os.File, name string) {
	if stat, err := file.Stat(); err == nil {
		_ = f.root.Remove(path.Join(path.Dir(name), sidecar(stat)))
	}
}

// Delete is blob.Bucket's. Folders that become empty go too, as prefixes do in an object store.
func (f *Folder) Delete(ctx context.Context, names ...string) error {
	byDir := map[string][]string{}
	var dirs []string
	for _, name := range names {
		if err := f.check(name); err != nil {
			return err
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			dirs = append(dirs, dir)
		}
		byDir[dir] = append(byDir[dir], name)
	}
	var failed error
	for _, dir := range dirs {
		if err := f.deleteIn(ctx, dir, byDir[dir]); err != nil {
			failed = errors.Join(failed, f.fail("delete in", dir, err))
		}
	}
	return failed
}

func (f *Folder) deleteIn(ctx context.Context, dir string, names []string) error {
	d, err := f.root.Open(dir)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	if err := lock(ctx, d); err != nil {
		return err
	}
	for _, name := range names {
		if err := f.at("delete: remove"); err != nil {
			return err
		}
		info, err := f.root.Lstat(name)
		if missing(err) || err == nil && info.IsDir() {
			continue
		}
		if err == nil {
			err = f.root.Remove(name)
		}
		if err != nil && !missing(err) {
			return err
		}
		_ = f.root.Remove(path.Join(dir, sidecar(info)))
	}
	if err := f.syncDir(dir); err != nil {
		return err
	}
	for ; dir != "." && f.root.Remove(dir) == nil; dir = path.Dir(dir) { // rmdir(2) refuses what is not empty
	}
	return nil
}
