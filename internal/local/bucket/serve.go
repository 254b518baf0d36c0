package bucket

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"

	"dynaferry/internal/fault"
)

// Bounds of the server. Zero values would make it refuse (connections, requests, parts) or fail copies.
const (
	connectionsMax   = 1024
	requestsMax      = 512
	partsMax         = 10_000  // S3UG:qfacts
	copyBytesMax     = 5 << 30 // S3UG: CopyObject, UploadPartCopy
	actionsAtOnce    = 500
	configBytesLimit = 64 << 10
)

// Child is the hidden command: it reads the Config that Start sent, serves, and returns when ctx ends, the parent
// does, or closes the pipe. stdin is the process's standard input.
func Child(ctx context.Context, stdin io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := bufio.NewReader(stdin)
	line, err := io.ReadAll(io.LimitReader(readerToLine{in}, configBytesLimit))
	if err != nil {
		return fault.New(fault.User, "read the local bucket's configuration: %w", err)
	}
	var c Config
	if err := json.Unmarshal(line, &c); err != nil {
		return fault.Hint(fault.New(fault.User, "the local bucket's configuration does not parse"), "dynaferry local starts this command itself")
	}
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	return Serve(ctx, c)
}

// readerToLine ends at the first newline.
type readerToLine struct{ r *bufio.Reader }

func (l readerToLine) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c, err := l.r.ReadByte()
		if err != nil {
			return n, err
		}
		if c == '\n' {
			return n, io.EOF
		}
		p[n] = c
		n++
	}
	return n, nil
}

// Serve runs the server in this process until ctx ends. It changes the working directory and may print to standard
// output: use it in a process of its own, once.
func Serve(ctx context.Context, c Config) error {
	if c.Port == 0 || c.AccessKey == "" || c.SecretKey == "" {
		return fault.New(fault.Bug, "the local bucket's configuration is not complete")
	}
	if err := c.makeDirs(); err != nil {
		return err
	}
	options := posix.PosixOpts{
		VersioningDir:       c.versions(), // Object Lock needs versions
		ValidateBucketNames: true,
		Concurrency:         actionsAtOnce,
		CopyObjectThreshold: copyBytesMax,
	}
	var attributes meta.MetadataStorer = meta.XattrMeta{}
	if err := (meta.XattrMeta{}).Test(c.root()); err != nil {
		side, err := meta.NewSideCar(c.sidecar())
		if err != nil {
			return fmt.Errorf("local bucket: %w", err)
		}
		attributes, options.SideCarDir = side, c.sidecar()
	}
	backend, err := posix.New(c.root(), attributes, options)
	if err != nil {
		return fmt.Errorf("open the local bucket: %w", err)
	}
	err = embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
		RootUserAccess: c.AccessKey, RootUserSecret: c.SecretKey, Region: c.Region,
		Ports:          []string{c.address()},
		MaxConnections: connectionsMax, MaxRequests: requestsMax, MultipartMaxParts: partsMax,
		KeepAlive: true, Quiet: true, HealthPath: c.Health,
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("serve the local bucket: %w", err)
	}
	return nil
}
