// Package loopback makes a fresh network namespace of Linux usable: it has a loopback device that is down.
//
// It hides one decision: that no program of the system is asked to do so. Programs of others that listen on all interfaces are
// run in such a namespace, by bench and by the tests of peers, which are its importers. It imports x/sys.
//
//	err := unix.Unshare(unix.CLONE_NEWNET) // on a thread of its own
//	if err == nil {
//		err = loopback.Up()
//	}
package loopback
