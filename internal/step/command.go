package step

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"dynaferry/internal/fault"
)

// command is a program that reads requests from its stdin, one a line, and writes a line for each to its stdout. With
// per=batch it is started for each and gets the end of its input behind it.
type command struct {
	args []string
	each bool
}

func parseRun(ws []word, _ string, _ int) (kind, error) {
	at := 0
	for at < len(ws) { // options stand in front: what follows is the program's
		name, _, ok := ws[at].cut('=')
		if !ok || !slices.Contains(append(transformOptions, "per"), name.text) {
			break
		}
		at++
	}
	_, given, err := options(ws[:at], append(transformOptions, "per")...)
	if err != nil {
		return nil, err
	}
	c := &command{}
	if w, ok := given["per"]; ok {
		if c.each = w.text == "batch"; !c.each {
			return nil, place(w.at, "per=%s: it is batch", w.text)
		}
	}
	for _, w := range ws[at:] {
		c.args = append(c.args, w.text)
	}
	if len(c.args) == 0 || c.args[0] == "" {
		return nil, place(0, "run which program?")
	}
	k := &transform{program: c}
	return k, k.settle(given)
}

func (c *command) open(*Runner) (caller, error) {
	if _, err := exec.LookPath(c.args[0]); err != nil {
		return nil, fault.New(fault.User, "%w", err)
	}
	return &process{command: c}, nil
}

// process is a running command.
type process struct {
	*command
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *tail
}

// call writes a line and reads one. Whatever goes wrong ends the process; the next call starts another.
func (p *process) call(ctx context.Context, request []byte) ([]byte, error) {
	if p.cmd == nil {
		if err := p.launch(); err != nil {
			return nil, fault.As(fault.Unavailable, err)
		}
	}
	cmd := p.cmd
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	line, err := p.exchange(request)
	if !stop() {
		p.close()
		return nil, context.Cause(ctx)
	}
	if err != nil || p.each {
		state := p.end(err != nil)
		if err == nil && state != nil { // it answered, and then failed: as Lambda has it the answer does not count
			err = state
		}
		if err != nil {
			return nil, fault.New(fault.Unavailable, "%s: %w%s", p.args[0], errors.Join(state, err), p.stderr)
		}
	}
	return line, nil
}

func (p *process) launch() error {
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.WaitDelay = time.Second // children that keep the pipes open
	p.stderr = &tail{}
	cmd.Stderr = p.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.in, p.out = cmd, in, bufio.NewReaderSize(out, 64<<10)
	return nil
}

// exchange writes the request while the answer is read, so that a program that answers piecemeal does not block.
func (p *process) exchange(request []byte) ([]byte, error) {
	sent := make(chan error, 1)
	go func() {
		_, err := p.in.Write(request)
		if p.each {
			err = errors.Join(err, p.in.Close())
		}
		sent <- err
	}()
	line, err := readLine(p.out, p.each)
	if err != nil {
		_ = p.cmd.Process.Kill() // so that the write ends
	}
	wrote := <-sent
	if err == nil && p.each {
		return line, nil // a program need not read all of its input
	}
	return line, errors.Join(err, wrote)
}

// readLine reads one line of bounded length, or with whole set all there is.
func readLine(r *bufio.Reader, whole bool) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > replyBytesMax:
			return nil, fault.New(fault.Limit, "an answer of more than %d MB", replyBytesMax>>20)
		case err == nil && !whole:
			return line, nil
		case err == io.EOF && len(line) > 0:
			return line, nil
		case err == io.EOF:
			return nil, errors.New("it ended without an answer")
		case err != nil && err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

// end waits for the process, after killing it where it did not answer.
func (p *process) end(kill bool) error {
	_ = p.in.Close()
	if kill {
		_ = p.cmd.Process.Kill()
	}
	err := p.cmd.Wait()
	p.cmd = nil
	return err
}

func (p *process) close() {
	if p.cmd != nil {
		_ = p.end(true)
	}
}

// tail keeps the end of what a program says on stderr, for the error that names it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 500

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(strings.ToValidUTF8(string(t.text), ""))
	if text == "" {
		return ""
	}
	return "; it said: " + text
}

func decodeBase64(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fault.New(fault.User, "no base64: %w", err)
	}
	return raw, nil
}
