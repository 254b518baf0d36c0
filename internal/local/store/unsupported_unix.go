//go:build unix

package store

import (
	"errors"

	"golang.org/x/sys/unix"
)

// isNotSupported tells that a system call is not offered here, as file allocation on some file systems.
func isNotSupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL)
}
