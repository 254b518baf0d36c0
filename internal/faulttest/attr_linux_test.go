package faulttest

import (
	"os"

	"golang.org/x/sys/unix"
)

func setAttr(f *os.File) error { return unix.Fsetxattr(int(f.Fd()), "user.faulttest", []byte("1"), 0) }
