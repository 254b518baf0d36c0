//go:build !linux

package folder

import "errors"

func mountSmall(string) error { return errors.New("only on linux") }

func unmount(string) {}
