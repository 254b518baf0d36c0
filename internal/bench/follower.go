package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"dynaferry/internal/local/bucket"
)

// StreamCommand is the command of this program that serves a ReadyStream, in a process of its own.
const StreamCommand = "serve-stream"

// Announcement is the line by which that command says where it serves.
type Announcement struct {
	URL     string `json:"url"`
	Records int    `json:"records"`
}

// ready is a ready stream and an S3, each in a process of its own, and how a follower reaches them.
type ready struct {
	b       *bench
	stream  *served
	store   *bucket.Process
	records int
	environ []string
}

// serveReady starts both. The store's objects are in the folder of that name, which may be there.
func (b *bench) serveReady(ctx context.Context, name string, s ReadyStream) (*ready, error) {
	w := &ready{b: b}
	var err error
	if w.store, err = bucket.Start(ctx, b.o.Exe, []string{b.o.BucketCommand}, bucket.Config{Dir: b.dir(name), Buckets: []string{"lake"}}); err != nil {
		return nil, err
	}
	w.environ = []string{"AWS_ACCESS_KEY_ID=" + w.store.Config.AccessKey, "AWS_SECRET_ACCESS_KEY=" + w.store.Config.SecretKey,
		"AWS_REGION=us-east-1", "AWS_ENDPOINT_URL_S3=" + w.store.Endpoint}
	if err := w.serveStream(ctx, s); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	return w, nil
}

// serveStream starts the stream, in place of one that was there.
func (w *ready) serveStream(ctx context.Context, s ReadyStream) (err error) {
	if w.stream != nil {
		if err := w.stream.stop(); err != nil {
			return err
		}
	}
	var said Announcement
	w.stream, err = w.b.serve(ctx, &said, StreamCommand, "--shards", strconv.Itoa(s.Shards), "--pages", strconv.Itoa(s.Pages),
		"--delay", s.Delay.String(), "--open="+strconv.FormatBool(s.Open))
	w.records = said.Records
	w.environ = append(w.environ, "AWS_ENDPOINT_URL_DYNAMODB="+said.URL, "AWS_ENDPOINT_URL_DYNAMODB_STREAMS="+said.URL) // the last ones count
	return err
}

func (w *ready) stop() (err error) {
	if w.stream != nil {
		err = w.stream.stop()
	}
	return errors.Join(err, w.store.Close())
}

// cpu is what both servers have used so far.
func (w *ready) cpu() (stream, store float64) { return w.stream.cpuSeconds(), cpuOf(w.store.PID()) }

// follower is a follow that runs in a process of its own, looked at from outside.
type follower struct {
	cmd      *exec.Cmd
	begun    time.Time // when it was started
	opened   time.Time // when it said that its source, log and destination are open
	metrics  string    // URL
	problems *notes
	peak     float64 // MB
}

// followEvery is how often a follower's counters are looked at.
const followEvery = 10 * time.Millisecond

// follow starts a follower, and waits until it has opened what it was told to.
func (b *bench) follow(ctx context.Context, environ []string, args ...string) (*follower, error) {
	args = append([]string{"follow", "--json", "--listen", "127.0.0.1:0"}, append(slices.Clone(b.o.Follow), args...)...)
	f := &follower{cmd: exec.CommandContext(ctx, b.o.Exe, args...), problems: new(notes), begun: time.Now()}
	f.cmd.Cancel = func() error { return f.cmd.Process.Signal(syscall.SIGTERM) }
	f.cmd.Env = append(os.Environ(), environ...)
	f.cmd.Stderr = f.problems
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := f.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := bufio.NewReader(out).ReadBytes('\n'); err != nil {
		return nil, errors.Join(f.failed("it ended before it began"), f.end())
	}
	f.opened = time.Now()
	for f.metrics == "" {
		if f.metrics = f.problems.find("http://", "/metrics"); f.metrics == "" {
			if f.ended() {
				return nil, errors.Join(f.failed("it serves no metrics"), f.end())
			}
			time.Sleep(time.Millisecond)
		}
	}
	return f, nil
}

func (f *follower) failed(what string) error {
	return fmt.Errorf("%s: %s\n%s", strings.Join(f.cmd.Args, " "), what, f.problems.text())
}

// ended tells whether the process is gone, though not awaited yet.
func (f *follower) ended() bool {
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.cmd.Process.Pid))
	return err == nil && bytes.Contains(state, []byte(") Z "))
}

// until looks at the counter until it is that high.
func (f *follower) until(ctx context.Context, counter string, high float64) error {
	for {
		value, err := f.counter(ctx, counter)
		if _, peak := memoryOf(f.cmd.Process.Pid); peak > 0 {
			f.peak = peak
		}
		switch {
		case err != nil:
			return errors.Join(f.failed("its counters cannot be read"), err)
		case value >= high:
			return nil
		case f.ended():
			return f.failed("it ended too early")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followEvery):
		}
	}
}

// counter reads one of the follower's counters, 0 when it is not there.
func (f *follower) counter(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.metrics, nil)
	if err != nil {
		return 0, err
	}
	reply, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte("dynaferry_"+name+" ")); ok {
			return strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
		}
	}
	return 0, nil
}

// end stops it as Ctrl-C would.
func (f *follower) end() error {
	_ = f.cmd.Process.Signal(syscall.SIGTERM)
	err := f.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil // interrupted, or told by what was read of it
	}
	return err
}

// notes keep what a process says while it is read.
type notes struct {
	mu   sync.Mutex
	said bytes.Buffer
}

// Write implements io.Writer.
func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.said.Write(p)
}

func (n *notes) text() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.said.String()
}

// find returns the first text that begins and ends so.
func (n *notes) find(begin, end string) string {
	text := n.text()
	at := strings.Index(text, begin)
	if at < 0 {
		return ""
	}
	size := strings.Index(text[at:], end)
	if size < 0 {
		return ""
	}
	return text[at : at+size+len(end)]
}
