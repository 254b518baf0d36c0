package cli

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dynaferry/internal/local"
	"dynaferry/internal/world"
)

// terminal is a pseudo-terminal: a person's end and a program's.
type terminal struct {
	person, program *os.File
	said            *lockedBuffer // what the program wrote, and what the person typed as the terminal echoes it
	ended           chan struct{}
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED, NOT PASSED: no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { person.Close() })
	var n int
	raw, err := person.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			if err := unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err != nil {
				t.Error(err)
			}
			if n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN); err != nil {
				t.Error(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	term := &terminal{person, program, &lockedBuffer{}, make(chan struct{})}
	go func() {
		defer close(term.ended)
		buf := make([]byte, 4096)
		for {
			n, err := person.Read(buf)
			_, _ = term.said.Write(buf[:n])
			if err != nil { // EIO, when the program has hung up
				return
			}
		}
	}()
	return term
}

// run runs the program at the terminal, answers its question, and returns how it ended and what the terminal showed.
func (term *terminal) run(t *testing.T, answer string, args ...string) (code int, out, shown string) {
	t.Helper()
	if _, err := term.person.WriteString(answer); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	code = MainIn(world.New(), args, term.program, &b, term.program)
	term.program.Close()
	<-term.ended
	return code, b.String(), term.said.String()
}

// At a terminal a native export of a table without continuous backups asks whether to turn them on, and what that costs.
// Only a yes is one.
func TestAsksAtTerminal(t *testing.T) {
	w := newNativeWorld(t, local.Options{})
	const question = "Continuous backups of Orders are off, and a native export needs them. Turn them on, about $0.00 a month for its 0.00 GB (us-east-1)? [y/N] "
	export := []string{"export", "dynamodb://Orders", "s3://lake/asked", "--native", "--format", "ion"}
	for _, c := range []struct {
		answer, say string
		more        []string
		code, asked int
	}{
		{"n\n", "--enable-pitr turns them on", nil, 2, 1},
		{"\n", "--enable-pitr turns them on", nil, 2, 1},
		{"sure\n", "--enable-pitr turns them on", nil, 2, 1},
		{"\x04", "--enable-pitr turns them on", nil, 2, 1}, // end of input
		{"y\n", "--enable-pitr turns them on", []string{"--json"}, 2, 0},
		{"y\n", "needs continuous backups of Orders, which are off", []string{"--dry-run"}, 0, 0},
		{" Yes \n", "turned on continuous backups of Orders", nil, 0, 1},
		{"n\n", "", []string{"--at", "now"}, 0, 0}, // they are on: nothing is asked
	} {
		code, out, shown := newTerminal(t).run(t, c.answer, append(export, c.more...)...)
		if code != c.code || strings.Count(shown, question) != c.asked || !strings.Contains(shown+out, c.say) {
			t.Errorf("%q %q: exit code %d, want %d\n%s\n%s", c.answer, c.more, code, c.code, shown, out)
		}
		b, err := w.client.Backups(t.Context(), "Orders")
		if err != nil || b.Enabled != (c.code == 0 && c.more == nil || c.more != nil && c.more[0] == "--at") {
			t.Errorf("%q %q: backups are %+v, %v", c.answer, c.more, b, err)
		}
	}
}
