package folder

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// open opens an object's file and describes it. ErrNotFound for what is no regular file.
func (f *Folder) open(name string, flags int) (*os.File, version, error) {
	if err := f.check(name); err != nil {
		return nil, version{}, err
	}
	file, err := f.root.OpenFile(name, flags|openFlags, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.EISDIR):
		return nil, version{}, notFound()
	case err != nil:
		return nil, version{}, err
	}
	stat, err := file.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = notFound()
	}
	if err != nil {
		file.Close()
		return nil, version{}, err
	}
	v, err := f.describe(file, name)
	if err != nil {
		file.Close()
		return nil, version{}, err
	}
	return file, v, nil
}

func notFound() error { return fault.As(fault.NotFound, blob.ErrNotFound) }
func exists() error   { return fault.As(fault.Conflict, blob.ErrExists) }
func changed() error  { return fault.As(fault.Conflict, blob.ErrChanged) }

// Head is blob.Bucket's.
func (f *Folder) Head(ctx context.Context, name string) (blob.Info, error) {
	if err := ctx.Err(); err != nil {
		return blob.Info{}, err
	}
	file, v, err := f.open(name, os.O_RDONLY)
	if err != nil {
		return blob.Info{}, f.fail("head", name, err)
	}
	file.Close()
	return v.info, nil
}

// Get is blob.Bucket's. The reader stays on the version that was opened, also when the name gets another.
func (f *Folder) Get(ctx context.Context, name string, opts blob.ReadOptions) (io.ReadCloser, blob.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, blob.Info{}, err
	}
	file, v, err := f.openMatch(name, opts.IfMatch)
	if err != nil {
		return nil, blob.Info{}, f.fail("get", name, err)
	}
	offset, length := blob.Span(opts, v.info.Size)
	return &body{ctx: ctx, f: f, name: name, file: file, at: offset, left: length}, v.info, nil
}

// OpenAt is blob.RandomAccess's.
func (f *Folder) OpenAt(ctx context.Context, name, ifMatch string) (blob.ReadAtCloser, blob.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, blob.Info{}, err
	}
	file, v, err := f.openMatch(name, ifMatch)
	if err != nil {
		return nil, blob.Info{}, f.fail("open", name, err)
	}
	return &random{SectionReader: io.NewSectionReader(file, 0, v.info.Size), file: file}, v.info, nil
}

// random hides the tail that a staged file may have grown.
type random struct {
	*io.SectionReader
	file *os.File
}

func (r *random) Close() error { return r.file.Close() }

func (f *Folder) openMatch(name, ifMatch string) (*os.File, version, error) {
	file, v, err := f.open(name, os.O_RDONLY)
	if err == nil && ifMatch != "" && ifMatch != v.info.ETag {
		file.Close()
		return nil, v, changed()
	}
	return file, v, err
}

// body reads a range of an open file and notices when it ends early.
type body struct {
	ctx      context.Context
	f        *Folder
	name     string
	file     *os.File
	at, left int64
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.file.ReadAt(p[:min(int64(len(p)), b.left)], b.at)
	b.at += int64(n)
	b.left -= int64(n)
	switch {
	case err == io.EOF && b.left > 0:
		err = fault.New(fault.Corrupt, "the file became shorter while it was read: %d bytes are missing", b.left)
		return n, b.f.fail("read", b.name, err)
	case err == io.EOF:
		err = nil
	case err != nil:
		err = b.f.fail("read", b.name, err)
	}
	return n, err
}

func (b *body) Close() error { return b.file.Close() }
