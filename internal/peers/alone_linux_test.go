//go:build peers

package peers_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"dynaferry/internal/loopback"
)

// insideEnv marks the run within the namespace.
const insideEnv = "DYNAFERRY_PEERS_INSIDE"

// alone runs the whole suite again in a network namespace that has nothing but loopback, so that servers which listen on
// all interfaces listen on that one. The first run passes on the code of the second (done); the second comes back to
// do the work. Without the right to a namespace the suite runs where it is, and says so.
func alone() (code int, done bool, err error) {
	if os.Getenv(insideEnv) != "" {
		return 0, false, loopback.Up()
	}
	runtime.LockOSThread() // Pdeathsig means the thread that started the child
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		fmt.Printf("NOTE: no network namespace (%v): DynamoDB Local will listen on all interfaces while its tests run\n", err)
		return 0, false, nil
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(1, exit.ExitCode()), true, nil
	}
	return 0, true, err
}
