// Package bucket is the S3 side of the local world: versitygw over a folder, in a child process on loopback.
//
// It hides one decision: that the S3 server is a library which owns its process (it changes the working directory,
// allows one instance, prints to stdout), so it runs in a child that executes our own binary again. Start starts
// and awaits the child; Child is what the hidden command of that child does. The child ends with its parent,
// however that one ends.
//
// Invariants: it listens on loopback only; the secret travels over a pipe, never in arguments or the environment; the
// answer that Start waits for is the child's own, not that of another server that took the port.
//
// Local and the commands' set-up import it. A test binary calls Child from its TestMain, see bucket_test.go.
//
//	p, err := bucket.Start(ctx, exe, []string{"dev-s3"}, bucket.Config{Dir: dir})
//	defer p.Close()
//	// p.Endpoint, p.Config.AccessKey, p.Config.SecretKey
package bucket
