package bucket

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"dynaferry/internal/fault"
)

const (
	startTime   = 20 * time.Second // it takes 40 ms; a loaded machine gets time
	startPoll   = 5 * time.Millisecond
	requestTime = time.Second
	startsMax   = 5 // ports tried when another process takes the one we found
	stopTime    = 5 * time.Second
	outputBytes = 16 << 10
)

// Process is a running child.
type Process struct {
	Config   Config
	Endpoint string // http://127.0.0.1:port

	command *exec.Cmd
	stdin   io.Closer
	output  *tail
	done    chan struct{}
	err     error // of Wait, once done is closed
}

// PID is the child's number, for who measures it.
func (p *Process) PID() int { return p.command.Process.Pid }

// Start runs exe with args, a command that calls Child, and waits until its server answers and c.Buckets exist.
// The child ends with Close, with ctx, or with this process.
func Start(ctx context.Context, exe string, args []string, c Config) (*Process, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	chosen := c.Port != 0
	for attempt := 1; ; attempt++ {
		if !chosen {
			port, err := freePort()
			if err != nil {
				return nil, err
			}
			c.Port = port
		}
		p, err := start(ctx, exe, args, c)
		if err == nil {
			return p, p.makeBuckets(ctx)
		}
		taken := strings.Contains(err.Error(), "address already in use")
		if chosen && taken {
			return nil, fault.Hint(fault.New(fault.Conflict, "%w", err), "choose another port with --s3-port")
		}
		if !taken || attempt == startsMax {
			return nil, err
		}
	}
}

func start(ctx context.Context, exe string, args []string, c Config) (*Process, error) {
	p := &Process{Config: c, Endpoint: "http://" + c.address(), output: &tail{}, done: make(chan struct{})}
	p.command = exec.CommandContext(ctx, exe, args...)
	p.command.Stdout, p.command.Stderr = p.output, p.output
	p.command.WaitDelay = stopTime
	p.command.SysProcAttr = withParent()
	stdin, err := p.command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the local bucket: %w", err)
	}
	p.stdin = stdin
	started := make(chan error)
	go func() {
		// The kernel ends the child with the *thread* that started it: this one has to live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.command.Start()
		started <- err
		if err == nil {
			p.err = p.command.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start the local bucket: %w", err)
	}
	config, err := json.Marshal(c)
	if err == nil {
		_, err = stdin.Write(append(config, '\n'))
	}
	if err == nil {
		err = p.awaitAnswer(ctx)
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("start the local bucket: %w", err)
	}
	return p, nil
}

// awaitAnswer asks the path that only our child knows until it answers.
func (p *Process) awaitAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	// Whoever else has the port may accept a connection and stay silent: short requests notice the child's end.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: requestTime}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Endpoint+p.Config.Health, nil)
		if err != nil {
			return err
		}
		if reply, err := client.Do(req); err == nil {
			reply.Body.Close()
			if reply.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.done:
			return fault.New(fault.Unavailable, "it ended: %s", p.output)
		case <-ctx.Done():
			return fault.New(fault.Unavailable, "no answer within %v: %s", startTime, p.output)
		case <-time.After(startPoll):
		}
	}
}

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Close ends the child and waits for it. Objects that were acknowledged stay in Config.Dir.
func (p *Process) Close() error {
	p.stdin.Close() // the child takes it as its parent's end, and finishes what it is at
	select {
	case <-p.done:
	case <-time.After(stopTime):
		_ = p.command.Process.Kill()
		<-p.done
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) && !exit.Exited() {
		return fmt.Errorf("stop the local bucket: %w", p.err)
	}
	return nil
}

// tail keeps the last bytes of what the child printed, for the error that tells why it did not start.
type tail struct {
	mu   sync.Mutex
	last []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p...)
	if drop := len(t.last) - outputBytes; drop > 0 {
		t.last = append(t.last[:0], t.last[drop:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := bytes.TrimSpace(t.last); len(text) > 0 {
		return string(text)
	}
	return "it printed nothing"
}
