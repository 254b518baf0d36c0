//go:build !linux

package faulttest

import (
	"errors"
	"os"
)

func setAttr(*os.File) error { return errors.ErrUnsupported }
