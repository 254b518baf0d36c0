//go:build linux || darwin

package folder

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// openFlags keep an open of a named pipe from waiting for its writer.
const openFlags = unix.O_NONBLOCK

func inode(stat fs.FileInfo) uint64 {
	if s, ok := stat.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

// links is how many names a file has, hidden ones included.
func links(stat fs.FileInfo) uint64 {
	if s, ok := stat.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Nlink)
	}
	return 1
}

func attribute(file *os.File, attr string) ([]byte, error) {
	buffer := make([]byte, 1024)
	for {
		n, err := unix.Fgetxattr(int(file.Fd()), attr, buffer)
		switch {
		case err == nil:
			return buffer[:n], nil
		case errors.Is(err, unix.ERANGE) && len(buffer) < 64<<10:
			buffer = make([]byte, 8*len(buffer))
		case noAttribute(err):
			return nil, errNoAttrs
		case !errors.Is(err, unix.EINTR):
			return nil, &fs.PathError{Op: "getxattr", Path: file.Name(), Err: err}
		}
	}
}

func setAttr(file *os.File, attr string, data []byte) error {
	err := unix.Fsetxattr(int(file.Fd()), attr, data, 0)
	switch {
	case err == nil:
		return nil
	case noAttribute(err), errors.Is(err, unix.E2BIG), errors.Is(err, unix.ERANGE), errors.Is(err, unix.ENOSPC):
		// ENOSPC is ext4's word for an inode whose attributes are full; a disk that is full fails the write right after.
		return errNoAttrs
	}
	return &fs.PathError{Op: "setxattr", Path: file.Name(), Err: err}
}

// lockPoll is how often a taken lock is tried again: it is held for a rename and two syncs.
const lockPoll = 500 * time.Microsecond

// tryLock takes an exclusive lock on an open file or folder; its Close frees it, and so does the process's end.
func tryLock(file *os.File) (bool, error) {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, &fs.PathError{Op: "flock", Path: file.Name(), Err: err}
		}
	}
}

// lock waits for tryLock until ctx ends.
func lock(ctx context.Context, file *os.File) error {
	for {
		locked, err := tryLock(file)
		if locked || err != nil {
			return err
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
