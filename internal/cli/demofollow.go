package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/world"
)

// demoFollow is the tour's second part: changes are followed while they happen, the follower is killed in the middle, another
// goes on, and what the log holds makes the copy of before equal again.
func (a *app) demoFollow(ctx context.Context, dir string, items int) error {
	packed, cancelled := filepath.Join(dir, "packed.json"), filepath.Join(dir, "cancelled.json")
	if err := writeDeeds(filepath.Join(dir, "orders.json"), items, deed{packed, 3, "packed"}, deed{cancelled, 11, ""}); err != nil {
		return err
	}
	state := filepath.Join(dir, "state")
	follow := []string{"follow", "dynamodb://Orders", "s3://lake/changes", "--format", "parquet", "--freshness", "1s", "--buffer-interval", "1s"}
	a.say("\nNow the table's changes, as they happen: a follower runs in a process of its own, and orders are packed.")
	child, err := a.startFollower(ctx, append(follow, "--enable-stream", "new-and-old"))
	if err != nil {
		return err
	}
	defer child.kill()
	if err := a.step(ctx, []string{"import", packed, "dynamodb://Orders", "--overwrite", "--write-units", "unlimited", "--state", state}); err != nil {
		return err
	}
	if err := a.visible(ctx, "s3://lake/changes"); err != nil {
		return err
	}
	a.say("\nIts first files are visible. Others are cancelled, and in the middle of that the follower is killed with SIGKILL.")
	dead := time.AfterFunc(20*time.Millisecond, child.kill)
	defer dead.Stop()
	if err := a.step(ctx, []string{"import", cancelled, "dynamodb://Orders", "--mode", "delete", "--write-units", "unlimited", "--state", state}); err != nil {
		return err
	}
	child.kill()
	a.say("\nAnother goes on where the log ends. Then the log is replayed into the copy of before, which is held against the table.")
	for _, step := range [][]string{
		append(follow, "--exit-when-idle", "1s"),
		{"replay", "s3://lake/changes/_dynaferry/log", "dynamodb://OrdersAgain", "--overwrite", "--write-units", "unlimited"},
		{"verify", "dynamodb://Orders", "dynamodb://OrdersAgain", "--read-units", "unlimited", "--state", state},
	} {
		if err := a.step(ctx, step); err != nil {
			return err
		}
	}
	a.say("\nEvery change is in the log once and in one file, though who carried them was killed.")
	return nil
}

// follower is a process of this program.
type follower struct{ cmd *exec.Cmd }

// kill ends it as SIGKILL does; it may be ended already.
func (f *follower) kill() { _ = f.cmd.Process.Kill() }

// startFollower starts one and waits until it runs.
func (a *app) startFollower(ctx context.Context, words []string) (*follower, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	a.say("\n$ dynaferry %s &", strings.Join(words, " "))
	var said strings.Builder
	cmd := exec.CommandContext(ctx, exe, append(words, "--json")...)
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		err = errors.Join(err, cmd.Wait())
		return nil, fault.New(fault.Bug, "the follower did not start: %w\n%s", err, said.String())
	}
	go func() { _ = cmd.Wait() }() // it ends by being killed
	var start struct {
		View   string
		Shards int
	}
	if err := json.Unmarshal(line, &start); err != nil {
		return nil, fmt.Errorf("the follower's first line: %w", err)
	}
	a.say("process %d follows %d shards with %s", cmd.Process.Pid, start.Shards, start.View)
	return &follower{cmd}, nil
}

// visible waits until there is a file that readers see.
func (a *app) visible(ctx context.Context, address string) error {
	at, err := world.Parse(address)
	if err != nil {
		return err
	}
	for {
		loc, err := a.world.Existing(ctx, at)
		if err != nil {
			return err
		}
		for o, err := range loc.Bucket.List(ctx, loc.Prefix+"/", "") {
			if err != nil {
				return err
			}
			if path.Ext(o.Name) == ".parquet" {
				return nil
			}
		}
		if err := waitUntil(ctx, time.Now().Add(50*time.Millisecond)); err != nil {
			return err
		}
	}
}
