package folder

import (
	"context"
	"errors"
	"io"
	"os"
	"path"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// Publish is blob.Bucket's. The usual way moves no data: the tail is written behind the staged file's known end and the
// file gets its final name by link(2), while the staged name goes on showing what was staged. Only one publisher may do
// so to a file that has no other name yet, by a lock that dies with it; whoever finds the file locked, or published
// under another name already, or takes a part of it only, makes a copy.
func (f *Folder) Publish(ctx context.Context, staged blob.Staged, tail []byte, final string, opts blob.PutOptions) (blob.Info, error) {
	if err := f.mayWrite(ctx, final, opts); err != nil {
		return blob.Info{}, err
	}
	info, err := f.publish(ctx, staged, tail, final, opts)
	return info, f.fail("publish "+staged.Name+" as", final, err)
}

func (f *Folder) publish(ctx context.Context, staged blob.Staged, tail []byte, final string, opts blob.PutOptions) (blob.Info, error) {
	kept, err := staged.Kept()
	if err != nil {
		return blob.Info{}, err
	}
	if opts.IfMatch != "" {
		return blob.Info{}, fault.New(fault.User, "publish takes no if-match")
	}
	opts.IfAbsent = true
	if f.taken(final) {
		return blob.Info{}, exists()
	}
	file, v, err := f.open(staged.Name, os.O_RDWR)
	if errors.Is(err, os.ErrPermission) { // somebody else's file can still be copied
		file, v, err = f.open(staged.Name, os.O_RDONLY)
	}
	if err != nil {
		return blob.Info{}, err
	}
	defer file.Close()
	if v.info.Size != staged.Size {
		return blob.Info{}, fault.New(fault.Corrupt, "%s has %d bytes, %d were staged", staged.Name, v.info.Size, staged.Size)
	}
	if kept == staged.Size {
		err = f.grow(file, v, staged.Name, tail, final, opts)
	} else {
		err = errCopy
	}
	if errors.Is(err, errCopy) {
		return f.publishCopy(ctx, file, kept, tail, final, opts)
	}
	if err != nil {
		return blob.Info{}, err
	}
	published, err := f.describe(file, final)
	return published.info, err
}

// errCopy: the file itself may not grow.
var errCopy = errors.New("publish by copy")

// grow makes the staged file the final one in place.
func (f *Folder) grow(file *os.File, v version, staged string, tail []byte, final string, opts blob.PutOptions) error {
	if path.Base(staged) == path.Base(final) || f.options.Sidecars || !v.own {
		return errCopy // the record could not tell the two names apart
	}
	if locked, err := tryLock(file); err != nil || !locked {
		return errCopy
	}
	if f.taken(final) { // by the one who had the lock
		return exists()
	}
	// In this order: once the file was seen with one name, and that name is the staged one, only the holder of the lock
	// could add another. (A file whose staged name was swept away has one name too: the published one.)
	stat, err := file.Stat()
	if err != nil {
		return err
	}
	named, err := f.root.Lstat(staged)
	switch {
	case missing(err):
		return notFound()
	case err != nil:
		return err
	case links(stat) != 1 || !os.SameFile(stat, named):
		return errCopy
	}
	r := f.newRecord(opts)
	r.Staged, r.Size, r.Time = path.Base(staged), v.info.Size, v.info.Modified.UnixNano()
	if err := f.at("publish: record"); err != nil {
		return err
	}
	if err := f.keep(file, attrPublished, r, staged); errors.Is(err, errNoAttrs) {
		return errCopy
	} else if err != nil {
		return err
	}
	if err := f.at("publish: tail"); err != nil {
		return err
	}
	if err := f.append(file, v.info.Size, tail); err != nil {
		return err
	}
	if err := f.inDir(path.Dir(final), func() error { return f.link(staged, final) }); err != nil {
		return err
	}
	if err := f.at("publish: linked"); err != nil {
		return err
	}
	return f.syncDir(path.Dir(final))
}

// append makes the file end with tail from offset on, durably.
func (f *Folder) append(file *os.File, offset int64, tail []byte) error {
	if _, err := file.WriteAt(tail, offset); err != nil {
		return err
	}
	if err := file.Truncate(offset + int64(len(tail))); err != nil { // an earlier attempt's tail may have been longer
		return err
	}
	if err := f.at("publish: sync"); err != nil {
		return err
	}
	if f.options.NoSync {
		return nil
	}
	return file.Sync()
}

// publishCopy makes the final object a file of its own. The kernel copies, by reference where the file system can.
func (f *Folder) publishCopy(ctx context.Context, from *os.File, size int64, tail []byte, final string,
	opts blob.PutOptions) (blob.Info, error) {
	file, temporary, err := f.temporary(path.Dir(final))
	if err != nil {
		return blob.Info{}, err
	}
	defer file.Close()
	if err = copyRange(ctx, file, from, 0, size); err == nil {
		_, err = file.Write(tail)
	}
	if err != nil {
		_ = f.root.Remove(temporary)
		return blob.Info{}, err
	}
	return f.install(ctx, file, temporary, final, opts)
}

// copyStep is how much is copied between two looks at ctx.
const copyStep = 64 << 20

// copyRange appends size bytes of from to file with copy_file_range(2), which os.File.ReadFrom uses.
func copyRange(ctx context.Context, file, from *os.File, offset, size int64) error {
	if _, err := from.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	for size > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(file, from, min(size, copyStep))
		size -= n
		if err == io.EOF {
			return fault.New(fault.Corrupt, "the file became shorter while it was copied: %d bytes are missing", size)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
