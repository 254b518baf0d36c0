package faulttest

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// TestFollowersMeet has two and then five followers of one table at once while it is written and its shards are split. Each
// is killed a few times and comes back.
func TestFollowersMeet(t *testing.T) {
	endpoint, dir := tables(t), scratch(t)
	remote, remoteDir := objects(t)
	for _, many := range []int{2, 5} {
		t.Run(fmt.Sprint(many), func(t *testing.T) {
			t.Parallel()
			f := followers[many%len(followers)]
			f.flags = append(f.flags[:len(f.flags):len(f.flags)], "--groups", "3")
			from, at := newStream(t, endpoint, fmt.Sprintf("Met%d", many)), f.site(dir, remote, remoteDir)
			written := make(chan struct{})
			var work errgroup.Group
			work.Go(func() error {
				defer close(written)
				return busy(t, from, count(60, 200, 2000))
			})
			var lives, killed atomic.Int64
			for slot := range many {
				r := rand.New(rand.NewPCG(uint64(many), uint64(slot)))
				work.Go(func() error {
					for life := 0; ; life++ {
						var environment []string
						if life < 3 {
							environment = []string{crashVariable + "=" + fmt.Sprintf("%s:%d %s", []string{"put", "read", "get", "put"}[r.IntN(4)], 1+r.IntN(12), []string{"before", "after"}[r.IntN(2)])}
						}
						o := outside(t, "cli", environment, f.args(from, at.dest)...)
						lives.Add(1)
						if o.killed {
							killed.Add(1)
							continue
						}
						if o.code != 0 {
							return fmt.Errorf("follower %d: %s", slot, o)
						}
						select {
						case <-written:
							return nil
						default:
						}
					}
				})
			}
			if err := work.Wait(); err != nil {
				t.Fatal(err)
			}
			if err := f.glimpse(at, from.writes); err != nil {
				t.Fatal(err)
			}
			if err := f.finish(from, at); err != nil {
				t.Fatal(err)
			}
			if killed.Load() == 0 {
				t.Error("none was killed")
			}
			t.Logf("%d followers at once, %d lives, %d killed, %d writes", many, lives.Load(), killed.Load(), from.writes)
		})
	}
}

// busy writes as fast as an application that thinks in between, and splits a shard now and then.
func busy(t *testing.T, s *stream, writes int) error {
	r := rand.New(rand.NewPCG(uint64(writes), 7))
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for i := range writes {
		select {
		case <-pace.C:
		case <-t.Context().Done():
			return t.Context().Err()
		}
		err := s.write(1)
		if err == nil && i%40 == 39 {
			err = s.split(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TestFollowersFrozen stops a follower just before it puts something, lets another take its place and finish, and wakes it up:
// what it then puts must change nothing.
func TestFollowersFrozen(t *testing.T) {
	endpoint, dir := tables(t), scratch(t)
	remote, remoteDir := objects(t)
	var puts []string
	for _, what := range []string{"chain/", ".done", "/epochs/", ""} {
		for nth := range 2 {
			puts = append(puts, fmt.Sprintf("put@%s:%d", what, nth+1))
		}
	}
	var woken atomic.Int64
	var work []func() error
	for n := range followers[:count(1, 2, 3)] {
		f := &followers[n]
		for i, put := range puts {
			if what, nth, _ := strings.Cut(put, ":"); what == "put@" { // what is visible
				put = "put@" + f.suffix + ":" + nth
			}
			if nth := i % 2; nth == 1 && !long() {
				continue
			}
			work = append(work, func() error {
				from, at := manyShards(t, endpoint, fmt.Sprintf("Frozen%d%d", n, i)), f.site(dir, remote, remoteDir)
				cmd, out, stderr := program("cli", []string{crashVariable + "=" + put + " stop"}, f.args(from, at.dest)...)
				if err := cmd.Start(); err != nil {
					return err
				}
				defer func() { _ = cmd.Process.Kill() }()
				if !stops(cmd) {
					return fmt.Errorf("%s ended before %s", f.name, put)
				}
				if err := f.finish(from, at); err != nil {
					return fmt.Errorf("%s, beside one that stopped before %s: %w", f.name, put, err)
				}
				if err := from.write(20); err != nil {
					return err
				}
				if err := f.finish(from, at); err != nil {
					return fmt.Errorf("%s, beside one that stopped before %s: %w", f.name, put, err)
				}
				if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
					return err
				}
				if o := ended(t, cmd, cmd.Wait(), out, stderr); o.code != 0 {
					return fmt.Errorf("%s, woken up before %s: %s", f.name, put, o)
				}
				woken.Add(1)
				if err := f.result(at, from.writes); err != nil {
					return fmt.Errorf("%s, after one woke up before %s: %w", f.name, put, err)
				}
				return f.finish(from, at)
			})
		}
	}
	atOnce(t, 8, work)
	t.Logf("%d followers woke up after another had taken their place", woken.Load())
}

// stops waits until a process has stopped itself; false when it ended instead.
func stops(cmd *exec.Cmd) bool {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return false
		case status.Stopped():
			return true
		}
	}
}
