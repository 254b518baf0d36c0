//go:build !linux

package bench

import (
	"context"
	"errors"
	"net"
)

// room is for Linux only; elsewhere DynamoDB Local, which listens on all interfaces, is left out.
type room struct{}

var errNoRoom = errors.New("this system has no network namespaces")

func newRoom() (*room, error) { return nil, errNoRoom }

func (*room) do(func() error) error { return errNoRoom }

func (*room) dial(context.Context, string, string) (net.Conn, error) { return nil, errNoRoom }

func (*room) leave() {}
