package faulttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"dynaferry/internal/cli"
	"dynaferry/internal/local"
	"dynaferry/internal/local/bucket"
	"dynaferry/internal/world"
)

// roleVariable makes the test binary the program: "cli", "bucket" or "frozen".
const roleVariable = "DYNAFERRY_FAULTTEST"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "cli":
		os.Exit(childMain())
	case "frozen":
		os.Exit(frozenMain())
	case "bucket":
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		if err := bucket.Child(ctx, os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey,
		"AWS_REGION": "us-east-1", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": ""} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// The keys of the local pair.
const (
	accessKey = "faulttest"
	secretKey = "faulttest-secret"
)

func childMain() int {
	w := world.New()
	trace, err := traceFromEnvironment()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	if trace != nil {
		trace.wrap(w)
	}
	code := cli.MainIn(w, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if name := os.Getenv(statusVariable); name != "" {
		// What wait(2) tells of a child's peak includes the parent's own, from before exec.
		if status, err := os.ReadFile("/proc/self/status"); err == nil {
			_ = os.WriteFile(name, status, 0o644)
		}
	}
	return code
}

// statusVariable names the file that gets the child's /proc/self/status at its end.
const statusVariable = "DYNAFERRY_STATUS"

// peak reads the most memory that a child had resident.
func peak(t testing.TB, name string) int64 {
	t.Helper()
	for line := range strings.Lines(string(read(t, name))) {
		var kB int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kB); n == 1 {
			return kB << 10
		}
	}
	t.Skip("SKIPPED, NOT PASSED: this system does not tell a process's peak")
	return 0
}

// measured is outside with the peak of memory.
func measured(t testing.TB, args ...string) *outcome {
	t.Helper()
	status := scratch(t) + "/status"
	o := outside(t, "cli", []string{statusVariable + "=" + status}, args...)
	o.rssMax = peak(t, status)
	return o
}

// long tells whether the full counts run.
func long() bool { return os.Getenv("DYNAFERRY_LONG") == "1" }

// count picks a size by how thorough the run is.
func count(short, usual, full int) int {
	switch {
	case testing.Short():
		return short
	case long():
		return full
	}
	return usual
}

// scratch is a folder for destinations: in memory where the system has such a place, since the suites make and sync
// thousands of small files.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(fastDir(), "faulttest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// fastDir is /dev/shm where it takes extended attributes, "" elsewhere.
var fastDir = sync.OnceValue(func() string {
	const shm = "/dev/shm"
	probe, err := os.CreateTemp(shm, "faulttest-probe-")
	if err != nil {
		return ""
	}
	defer os.Remove(probe.Name())
	defer probe.Close()
	if err := setAttr(probe); err != nil {
		return ""
	}
	return shm
})

// tables starts a local DynamoDB in memory and returns its endpoint.
func tables(t testing.TB) string {
	t.Helper()
	in, err := local.Start(context.Background(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	return in.URL
}

// objects starts a local S3 with a bucket "lake" and returns its endpoint and its folder.
func objects(t testing.TB) (endpoint, dir string) {
	t.Helper()
	dir = scratch(t)
	t.Setenv(roleVariable, "bucket")
	p, err := bucket.Start(context.Background(), os.Args[0], nil, bucket.Config{Dir: dir, AccessKey: accessKey, SecretKey: secretKey, Buckets: []string{"lake"}})
	t.Setenv(roleVariable, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p.Endpoint, dir
}

// outcome is what one run of the program came to.
type outcome struct {
	code        int
	killed      bool
	out, stderr string
	report      map[string]any // the last JSON line of stdout
	rssMax      int64          // bytes, of a child
}

func (o *outcome) parse() *outcome {
	lines := strings.Split(strings.TrimSpace(o.out), "\n")
	_ = json.Unmarshal([]byte(lines[len(lines)-1]), &o.report)
	return o
}

func (o *outcome) text(name string) string { s, _ := o.report[name].(string); return s }
func (o *outcome) number(name string) int  { n, _ := o.report[name].(float64); return int(n) }

func (o *outcome) String() string {
	return fmt.Sprintf("exit %d killed %v\nstdout: %s\nstderr: %s", o.code, o.killed, o.out, o.stderr)
}

// inside runs the program in this process, in a world of its own.
func inside(trace *trace, args ...string) *outcome {
	w := world.New()
	if trace != nil {
		trace.wrap(w)
	}
	var out, stderr bytes.Buffer
	code := cli.MainIn(w, append(args, "--json"), strings.NewReader(""), &out, &stderr)
	return (&outcome{code: code, out: out.String(), stderr: stderr.String()}).parse()
}

// must is inside for steps that have to work.
func must(t testing.TB, args ...string) *outcome {
	t.Helper()
	o := inside(nil, args...)
	if o.code != 0 {
		t.Fatalf("dynaferry %s: %s", strings.Join(args, " "), o)
	}
	return o
}

// outside runs the program as a process of its own.
func outside(t testing.TB, role string, environment []string, args ...string) *outcome {
	t.Helper()
	cmd, out, stderr := program(role, environment, args...)
	err := cmd.Run()
	return ended(t, cmd, err, out, stderr)
}

func program(role string, environment []string, args ...string) (cmd *exec.Cmd, out, stderr *bytes.Buffer) {
	out, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd = exec.Command(os.Args[0], append(args, "--json")...)
	cmd.Env = append(append(os.Environ(), roleVariable+"="+role), environment...)
	cmd.Stdout, cmd.Stderr = out, stderr
	return cmd, out, stderr
}

func ended(t testing.TB, cmd *exec.Cmd, err error, out, stderr *bytes.Buffer) *outcome {
	t.Helper()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	o := &outcome{code: cmd.ProcessState.ExitCode(), out: out.String(), stderr: stderr.String()}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		o.killed = status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	return o.parse()
}

// write makes a file and its folders.
func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// read is os.ReadFile or the end of the test.
func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// lines makes n lines of DynamoDB JSON.
func lines(n int, appendItem func(dst []byte, i uint64) []byte) []byte {
	var out []byte
	for i := range n {
		out = append(out, `{"Item":`...)
		out = appendItem(out, uint64(i))
		out = append(out, "}\n"...)
	}
	return out
}
