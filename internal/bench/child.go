package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"dynaferry/internal/job"
)

// cost is what a child process used.
type cost struct {
	cpu float64 // seconds of user and system time
	rss int64   // bytes resident at most
	out []byte
}

// run runs a command to its end. discard leaves its output unread by anybody but the null device.
func run(ctx context.Context, discard bool, name string, args ...string) (cost, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Writer(&out), &problems
	if discard {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			return cost{}, err
		}
		defer null.Close()
		cmd.Stdout = null
	}
	if err := cmd.Run(); err != nil {
		return cost{}, fmt.Errorf("%s %v: %w\n%s", filepath.Base(name), args, err, problems.Bytes())
	}
	c := cost{cpu: cmd.ProcessState.UserTime().Seconds() + cmd.ProcessState.SystemTime().Seconds(), out: out.Bytes()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.rss = usage.Maxrss * 1024 // kilobytes on Linux
	}
	return c, nil
}

// unzip is the reference of the convert rows: gzip -dc of the same files.
func unzip(ctx context.Context, c corpus) (cost, error) {
	return run(ctx, true, "gzip", append([]string{"-dc"}, c.files...)...)
}

// convert runs this very program over an export, as a user would, and reads its report.
func (b *bench) converted(ctx context.Context, c corpus, out string, more ...string) (cost, job.Report, error) {
	var report job.Report
	if err := os.RemoveAll(out); err != nil {
		return cost{}, report, err
	}
	args := append([]string{"convert", c.dir, out, "--json", "--quiet", "--key", "orderId"}, more...)
	used, err := run(ctx, false, b.o.Exe, args...)
	if err != nil {
		return used, report, err
	}
	return used, report, json.Unmarshal(used.out, &report)
}
