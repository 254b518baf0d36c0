package folder

import (
	"errors"

	"golang.org/x/sys/unix"
)

func noAttribute(err error) bool {
	return errors.Is(err, unix.ENOATTR) || errors.Is(err, unix.ENOTSUP)
}
