package bucket

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dynaferry/internal/fault"
)

// TestMain lets the test binary be the child and, for TestEndsWithParent, a parent that is killed.
func TestMain(m *testing.M) {
	switch os.Getenv("BUCKET_TEST_ROLE") {
	case "child":
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		if err := Child(ctx, os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "parent":
		os.Setenv("BUCKET_TEST_ROLE", "child")
		p, err := Start(context.Background(), os.Args[0], nil, Config{Dir: os.Getenv("BUCKET_TEST_DIR")})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(p.command.Process.Pid, p.Endpoint+p.Config.Health)
		select {}
	}
	os.Exit(m.Run())
}

func begin(t *testing.T, c Config) *Process {
	t.Helper()
	t.Setenv("BUCKET_TEST_ROLE", "child")
	p, err := Start(t.Context(), os.Args[0], nil, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestStart(t *testing.T) {
	here, _ := os.Getwd()
	dir := t.TempDir()
	p := begin(t, Config{Dir: dir, Buckets: []string{"one", "two"}})
	for _, name := range []string{"one", "two", "one"} {
		if err := p.MakeBucket(t.Context(), name, false); err != nil {
			t.Errorf("an existing bucket: %v", err)
		}
	}
	if err := p.MakeBucket(t.Context(), "locked", true); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "../x", "A", "x/y", "x?y"} {
		if err := p.MakeBucket(t.Context(), name, false); fault.KindOf(err) != fault.User {
			t.Errorf("bucket %q: %v", name, err)
		}
	}
	if after, _ := os.Getwd(); after != here {
		t.Errorf("the parent was moved to %s", after)
	}
	host, _, _ := net.SplitHostPort(strings.TrimPrefix(p.Endpoint, "http://"))
	if host != "127.0.0.1" {
		t.Errorf("serves on %s", host)
	}
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.command.Process.Pid), "cmdline"))
	environ, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.command.Process.Pid), "environ"))
	if err == nil && strings.Contains(string(line)+string(environ), p.Config.SecretKey) {
		t.Error("the secret is in the child's arguments or environment")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("a second close: %v", err)
	}
	again := begin(t, Config{Dir: dir})
	if again.Config.AccessKey != p.Config.AccessKey || again.Config.SecretKey != p.Config.SecretKey {
		t.Error("a restart draws other keys")
	}
	again.Close()
	other := begin(t, Config{Dir: dir, AccessKey: "another", SecretKey: "another-secret"})
	if err := other.MakeBucket(t.Context(), "one", false); err != nil {
		t.Errorf("after a restart with other keys: %v", err)
	}
}

func TestStartRefuses(t *testing.T) {
	t.Setenv("BUCKET_TEST_ROLE", "child")
	for _, c := range []Config{{}, {Dir: t.TempDir(), Port: -1}, {Dir: t.TempDir(), AccessKey: "x"}} {
		if _, err := Start(t.Context(), os.Args[0], nil, c); fault.KindOf(err) != fault.User {
			t.Errorf("%+v: %v", c, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Start(t.Context(), os.Args[0], nil, Config{Dir: t.TempDir(), Port: l.Addr().(*net.TCPAddr).Port})
	if fault.KindOf(err) != fault.Conflict {
		t.Errorf("a taken port: %v", err)
	}
	if _, err := Start(t.Context(), filepath.Join(t.TempDir(), "none"), nil, Config{Dir: t.TempDir()}); err == nil {
		t.Error("a missing program starts")
	}
	t.Setenv("BUCKET_TEST_ROLE", "parent") // a child that does not serve what it was told, and ends
	t.Setenv("BUCKET_TEST_DIR", "/dev/null/x")
	if _, err := Start(t.Context(), os.Args[0], nil, Config{Dir: t.TempDir()}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a child that ends at once: %v", err)
	}
}

func TestChildRefuses(t *testing.T) {
	for _, in := range []string{"", "\n", "{}\n", "nonsense\n"} {
		if err := Child(t.Context(), strings.NewReader(in)); err == nil {
			t.Errorf("configuration %q is served", in)
		}
	}
}

// TestEndsWithParent kills a parent with SIGKILL: nothing may go on listening.
func TestEndsWithParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "BUCKET_TEST_ROLE=parent", "BUCKET_TEST_DIR="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var health string
	if _, err := fmt.Fscan(out, &pid, &health); err != nil {
		t.Fatal(err)
	}
	if reply, err := http.Get(health); err != nil || reply.StatusCode != 200 {
		t.Fatalf("the child does not serve: %v", err)
	}
	if err := parent.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	_, _ = io.Copy(io.Discard, out)
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err := http.Get(health); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the child outlives its parent")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
