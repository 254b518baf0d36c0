package bucket

import "syscall"

// withParent makes the kernel end the child when its parent is killed. Its own process group keeps an interrupt at
// the terminal from ending it before the parent has finished with it.
func withParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
