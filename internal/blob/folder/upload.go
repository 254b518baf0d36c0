package folder

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"sync"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// Create is blob.Bucket's.
func (f *Folder) Create(ctx context.Context, name string, opts blob.PutOptions) (blob.Upload, error) {
	if err := f.mayWrite(ctx, name, opts); err != nil {
		return nil, err
	}
	file, temporary, err := f.temporary(path.Dir(name))
	if err != nil {
		return nil, f.fail("create", name, err)
	}
	return &upload{f: f, name: name, opts: opts, file: file, temporary: temporary, parts: map[int]piece{}}, nil
}

// upload is one object in the making: a hidden file that each part is written into at its place, when its place is
// known, which is when the sizes of all parts before it are. A part that comes out of turn, or again with another size,
// gets a hidden file of its own until Complete.
type upload struct {
	f         *Folder
	name      string
	opts      blob.PutOptions
	file      *os.File
	temporary string

	mu    sync.Mutex
	parts map[int]piece
	ended bool
}

// piece is where a part lies: at offset of the upload's file, or in a file of its own.
type piece struct {
	offset, size int64
	spill        string
	file         *os.File
	written      bool
}

func (u *upload) Part(ctx context.Context, n int, body []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if n < 1 || n > blob.PartsMax {
		return fault.New(fault.User, "write %s: part %d is not between 1 and %d", u.name, n, blob.PartsMax)
	}
	p, err := u.place(n, int64(len(body)))
	if err != nil {
		return u.f.fail("write part of", u.name, err)
	}
	if err = u.f.at("part: write"); err == nil {
		if p.file != nil {
			_, err = p.file.WriteAt(body, 0)
		} else {
			_, err = u.file.WriteAt(body, p.offset)
		}
	}
	if err != nil {
		return u.f.fail("write part of", u.name, err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if now := u.parts[n]; now == p { // else the same part came again meanwhile
		p.written = true
		u.parts[n] = p
	}
	return nil
}

// place decides where part n goes.
func (u *upload) place(n int, size int64) (piece, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return piece{}, fault.New(fault.Bug, "the upload has ended")
	}
	old, again := u.parts[n]
	if again && old.size == size {
		old.written = false
		u.parts[n] = old
		return old, nil
	}
	p := piece{size: size}
	known := !again // what stands behind a part of another size cannot move
	for i := 1; i < n && known; i++ {
		before, ok := u.parts[i]
		known = ok
		p.offset += before.size
	}
	if !known {
		file, name, err := u.f.temporary(path.Dir(u.name))
		if err != nil {
			return piece{}, err
		}
		p.file, p.spill, p.offset = file, name, 0
	}
	if again {
		u.remove(old)
	}
	u.parts[n] = p
	return p, nil
}

func (u *upload) remove(p piece) {
	if p.file != nil {
		p.file.Close()
		_ = u.f.root.Remove(p.spill)
	}
}

func (u *upload) Complete(ctx context.Context) (blob.Info, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return blob.Info{}, fault.New(fault.Bug, "complete %s: the upload has ended", u.name)
	}
	total, inPlace := int64(0), true
	for n := 1; n <= len(u.parts); n++ {
		p, ok := u.parts[n]
		if !ok || !p.written {
			return blob.Info{}, fault.New(fault.User, "complete %s: part %d is missing", u.name, n)
		}
		if n < len(u.parts) && p.size < blob.PartBytesMin {
			return blob.Info{}, fault.New(fault.User, "complete %s: part %d has only %d bytes", u.name, n, p.size)
		}
		inPlace = inPlace && p.file == nil && p.offset == total
		total += p.size
	}
	if len(u.parts) == 0 {
		return blob.Info{}, fault.New(fault.User, "complete %s: no part was written", u.name)
	}
	var err error
	if !inPlace {
		err = u.assemble(ctx)
	}
	if err == nil {
		err = u.file.Truncate(total)
	}
	if err != nil {
		return blob.Info{}, u.f.fail("complete", u.name, err)
	}
	info, err := u.f.install(ctx, u.file, u.temporary, u.name, u.opts)
	u.end()
	return info, u.f.fail("complete", u.name, err)
}

// assemble writes the parts in order into a new hidden file, which becomes the upload's.
func (u *upload) assemble(ctx context.Context) error {
	file, temporary, err := u.f.temporary(path.Dir(u.name))
	if err != nil {
		return err
	}
	for n := 1; n <= len(u.parts) && err == nil; n++ {
		p := u.parts[n]
		from := u.file
		if p.file != nil {
			from = p.file
		}
		err = copyRange(ctx, file, from, p.offset, p.size)
	}
	if err != nil {
		file.Close()
		_ = u.f.root.Remove(temporary)
		return err
	}
	u.file.Close()
	_ = u.f.root.Remove(u.temporary)
	u.file, u.temporary = file, temporary
	return nil
}

// end closes files and removes what is hidden; the caller holds mu.
func (u *upload) end() {
	u.ended = true
	u.file.Close()
	for _, p := range u.parts {
		u.remove(p)
	}
	u.parts = nil
}

func (u *upload) Abort(context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return nil
	}
	u.end()
	if err := u.f.root.Remove(u.temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return u.f.fail("abort", u.name, err)
	}
	return nil
}
