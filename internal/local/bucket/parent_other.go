//go:build !linux

package bucket

import "syscall"

// withParent: elsewhere the closed pipe alone tells the child of its parent's end.
func withParent() *syscall.SysProcAttr { return nil }
