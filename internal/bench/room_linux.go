package bench

import (
	"context"
	"net"
	"runtime"

	"golang.org/x/sys/unix"

	"dynaferry/internal/loopback"
)

// room is a thread in a network namespace that has nothing but loopback. What is started or dialled by it lives there.
type room struct {
	work chan func()
}

func newRoom() (*room, error) {
	r := &room{work: make(chan func())}
	entered := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: a thread that went elsewhere must not come back to the others
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = loopback.Up()
		}
		entered <- err
		if err == nil {
			for f := range r.work {
				f()
			}
		}
	}()
	if err := <-entered; err != nil {
		return nil, err
	}
	return r, nil
}

// do runs f on the room's thread.
func (r *room) do(f func() error) error {
	done := make(chan error, 1)
	r.work <- func() { done <- f() }
	return <-done
}

// dial connects to an IP address within the room. A socket belongs to the namespace it was made in, and the dialer makes
// it on the thread that calls, as there is one address only.
func (r *room) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := r.do(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// leave ends the thread.
func (r *room) leave() { close(r.work) }
