package folder

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// Hidden segments: files being written, and sidecars of metadata.
const (
	hiddenTemporary = ".tmp-"
	hiddenMetadata  = ".meta-"
)

// Options are a folder's settings.
type Options struct {
	// Settings: metadata alone is possible; what else is set is refused by Open with kind Unsupported.
	Settings blob.Settings
	// ReadOnly does not create the root when it is missing.
	ReadOnly bool
	// NoSync leaves writing back to the system: after a crash of the machine (not of the program) acknowledged
	// objects may be missing or torn. For scratch data and tests.
	NoSync bool
	// Sidecars keeps metadata in hidden files although the file system has extended attributes.
	Sidecars bool
}

// Folder is a directory as a bucket. Its methods may be called concurrently, by any number of processes of one host.
type Folder struct {
	path    string
	root    *os.Root
	options Options
	// step is called before each change that a crash could separate from the next; tests set it. An error ends
	// the call there.
	step func(what string) error
}

var (
	_ blob.Bucket       = (*Folder)(nil)
	_ blob.RandomAccess = (*Folder)(nil)
	_ blob.Uploads      = (*Folder)(nil)
)

// Open opens the directory at path, and makes it unless ReadOnly. Close it at the end.
func Open(path string, o Options) (*Folder, error) {
	if err := o.Settings.Check(); err != nil {
		return nil, err
	}
	if names := o.Settings.Named(); len(names) > 0 {
		err := fault.New(fault.Unsupported, "folder %s: a folder has no setting %s", path, strings.Join(names, ", "))
		return nil, fault.Hint(err, "drop the setting, or write to s3://")
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.New(fault.User, "folder %s: %w", path, err)
	}
	if !o.ReadOnly {
		if err := makeDurable(absolute, o.NoSync); err != nil {
			return nil, fmt.Errorf("make folder %s: %w", path, classify(err))
		}
	}
	root, err := os.OpenRoot(absolute)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", classify(err))
	}
	return &Folder{path: absolute, root: root, options: o}, nil
}

// makeDurable is MkdirAll with each new entry synced.
func makeDurable(dir string, noSync bool) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDurable(parent, noSync); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if noSync {
		return nil
	}
	d, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// SetStep makes step be called before each change that a crash could separate from the next; an error ends the call
// there. Suites of crashes set it, before the folder is used.
func (f *Folder) SetStep(step func(what string) error) { f.step = step }

// Close frees the directory's handle.
func (f *Folder) Close() error { return f.root.Close() }

// URL is the folder's absolute path.
func (f *Folder) URL() string { return f.path }

// check refuses names that are no objects' or that our hidden files have.
func (f *Folder) check(name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	for segment := range strings.SplitSeq(name, "/") {
		if hidden(segment) {
			return fault.New(fault.User, "object name %q has a segment that begins with %s or %s, which the folder keeps for itself",
				name, hiddenTemporary, hiddenMetadata)
		}
		if len(segment) > 255 {
			return fault.New(fault.Unsupported, "object name %q has a segment above 255 bytes, which a file system cannot hold", name)
		}
	}
	return nil
}

func hidden(segment string) bool {
	return strings.HasPrefix(segment, hiddenTemporary) || strings.HasPrefix(segment, hiddenMetadata)
}

func (f *Folder) at(what string) error {
	if f.step == nil {
		return nil
	}
	return f.step(what)
}

// syncDir makes a directory's entries durable.
func (f *Folder) syncDir(dir string) error {
	if f.options.NoSync {
		return nil
	}
	d, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// makeDirs makes the directory of a name, each new entry synced.
func (f *Folder) makeDirs(dir string) error {
	if dir == "." {
		return nil
	}
	if info, err := f.root.Stat(dir); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		return nil
	}
	parent := path.Dir(dir)
	if err := f.makeDirs(parent); err != nil {
		return err
	}
	if err := f.root.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.syncDir(parent)
}

// inDir does what needs a directory. A deletion may remove that as empty at any moment; then it is made again.
func (f *Folder) inDir(dir string, do func() error) error {
	for attempt := 0; ; attempt++ {
		err := f.makeDirs(dir)
		if err == nil {
			err = do()
		}
		if err == nil || attempt == 10 || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// temporary makes a hidden file in dir, which it makes too.
func (f *Folder) temporary(dir string) (file *os.File, name string, err error) {
	err = f.inDir(dir, func() (err error) {
		name = path.Join(dir, hiddenTemporary+strings.ToLower(rand.Text()))
		file, err = f.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		return err
	})
	return file, name, err
}

// fail adds the place to an error of the system and gives it a kind.
func (f *Folder) fail(verb, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, blob.ErrNotFound), errors.Is(err, blob.ErrExists), errors.Is(err, blob.ErrChanged):
	default:
		err = classify(err)
	}
	return fault.At(fmt.Errorf("%s: %w", verb, err), fault.Place{File: filepath.Join(f.path, filepath.FromSlash(name))})
}

// classify gives an error of the system its kind.
func classify(err error) error {
	kind := fault.Bug
	hint := ""
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, fs.ErrNotExist):
		kind = fault.NotFound
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind, hint = fault.Limit, "free space on that file system (df -h), or write to another folder"
	case errors.Is(err, syscall.EFBIG):
		kind, hint = fault.Limit, "raise the limit on file sizes (ulimit -f), or write to another file system"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		kind, hint = fault.Limit, "raise the limit on open files (ulimit -n)"
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ESTALE):
		kind, hint = fault.Corrupt, "check the disk (dmesg), then run the command again elsewhere"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		kind, hint = fault.Permission, "check the folder's owner and mode (ls -ld)"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		return fault.New(fault.Unsupported, "a folder cannot hold a name both as an object and as a prefix of others: %w", err)
	case errors.Is(err, syscall.ENAMETOOLONG):
		kind = fault.Unsupported
	case errors.Is(err, syscall.ELOOP), strings.Contains(err.Error(), "escapes from parent"):
		return fault.New(fault.User, "a symbolic link leads out of the folder or in circles: %w", err)
	}
	if fault.KindOf(err) == fault.Bug && kind != fault.Bug {
		err = fault.New(kind, "%w", err)
	}
	if hint != "" {
		err = fault.Hint(err, "%s", hint)
	}
	return err
}
