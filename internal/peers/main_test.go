//go:build peers

package peers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// root is the repository, tools where install.sh puts the counterparts, program our binary.
var root, tools, program string

func TestMain(m *testing.M) {
	code, done, err := alone()
	if err == nil && !done {
		code, err = prepare(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		code = 1
	}
	os.Exit(code)
}

func prepare(m *testing.M) (int, error) {
	var err error
	if root, err = filepath.Abs("../.."); err != nil {
		return 0, err
	}
	tools = filepath.Join(root, ".peers")
	if _, err := os.Stat(tools); err != nil {
		return 0, fmt.Errorf("%s is missing; peers/install.sh makes it", tools)
	}
	if program = os.Getenv("DYNAFERRY_BIN"); program != "" {
		program, err = filepath.Abs(filepath.Join(root, program))
		return m.Run(), err
	}
	dir, err := os.MkdirTemp("", "dynaferry-peers-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "dynaferry")
	build := exec.Command("go", "build", "-o", program, "./cmd/dynaferry")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// need returns the path of a part of a counterpart, skips the test when its registry refused it, and fails it when nobody
// has asked for it yet.
func need(t *testing.T, part, path string) string {
	t.Helper()
	if reason, err := os.ReadFile(filepath.Join(tools, part+".refused")); err == nil {
		t.Skipf("SKIP %s: %s", part, bytes.TrimSpace(reason))
	}
	full := filepath.Join(tools, path)
	if _, err := os.Stat(full); err != nil {
		t.Fatalf("%s is not installed (%v); peers/install.sh %s does it", part, err, part)
	}
	return full
}

// pythonOf is the interpreter of one of the two virtual environments: python or spark.
func pythonOf(t *testing.T, part string) string {
	t.Helper()
	return need(t, part, filepath.Join(part, "bin", "python"))
}

// environment is what a command sees: ours without anything of AWS or Python, and what is given.
func environment(more ...string) []string {
	var env []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "PYTHON") && !strings.HasPrefix(name, "DYNAFERRY_") {
			env = append(env, pair)
		}
	}
	env = append(env, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
		"PYTHONDONTWRITEBYTECODE=1", "SPARK_LOCAL_IP=127.0.0.1")
	return append(env, more...)
}

// place is what a run of the program works in: the environment that leads to one pair of DynamoDB and S3, and a folder.
type place struct {
	env   []string
	dir   string
	world string // folder of the local world, where that is the place
}

// reply is what a command left.
type reply struct {
	out, err string
	code     int
	took     time.Duration
}

// commandTime is how long one command may take; the longest takes a tenth of it.
const commandTime = 5 * time.Minute

func (p place) command(t *testing.T, name string, args ...string) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, stderr bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = environment(p.env...), p.dir, &out, &stderr
	start := time.Now()
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatalf("%s: %v", name, err)
	}
	return reply{out.String(), stderr.String(), cmd.ProcessState.ExitCode(), time.Since(start)}
}

// must runs a command that has to end with 0 and returns what it printed.
func (p place) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	r := p.command(t, name, args...)
	if r.code != 0 {
		t.Fatalf("%s %s: exit %d\n%s\n%s", filepath.Base(name), strings.Join(args, " "), r.code, tail(r.out), tail(r.err))
	}
	return r.out
}

func tail(text string) string { return text[max(0, len(text)-6000):] }

// ferry runs our program with --json and decodes its report, the last line that it prints.
func (p place) ferry(t *testing.T, report any, args ...string) {
	t.Helper()
	if code := p.ferryCode(t, report, args...); code != 0 {
		t.Fatalf("dynaferry %s: exit %d", strings.Join(args, " "), code)
	}
}

func (p place) ferryCode(t *testing.T, report any, args ...string) int {
	t.Helper()
	r := p.command(t, program, append(args, "--json")...)
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), report); err != nil {
		t.Fatalf("dynaferry %s: exit %d, %v\n%s\n%s", strings.Join(args, " "), r.code, err, tail(r.out), tail(r.err))
	}
	t.Logf("dynaferry %s: %s", strings.Join(args, " "), r.took.Round(10*time.Millisecond))
	return r.code
}
