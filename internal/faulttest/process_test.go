package faulttest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// TestTerminate asks commands to end at a numbered call, as Ctrl-C and every scheduler do. They must do so soon, say so by
// their exit code, leave nothing half visible, and go on when they are run again.
func TestTerminate(t *testing.T) {
	scenarios := killScenarios(t, tables(t))
	var tally killTally
	var work []func() error
	for n := range scenarios {
		s := &scenarios[n]
		if s.remote != "" || s.only != nil {
			continue
		}
		s.measure(t)
		random := rand.New(rand.NewPCG(3, uint64(n)))
		for range count(1, 3, 20) {
			at := 1 + random.IntN(len(s.calls)*9/10)
			work = append(work, func() error {
				if err := s.terminate(t, at, &tally); err != nil {
					return fmt.Errorf("%s, terminated at %d: %w", s.name, at, err)
				}
				return nil
			})
		}
	}
	inParallel(t, work)
	interrupted := tally.killed.Load()
	if interrupted == 0 {
		t.Error("none was interrupted")
	}
	t.Logf("terminate: %d points, %d ended with 130", len(work), interrupted)
}

func (s *scenario) terminate(t *testing.T, call int, tally *killTally) error {
	at, done := s.place(t)
	defer done()
	begun := time.Now()
	o := outside(t, "cli", []string{fmt.Sprintf("%s=%d term", crashVariable, call)}, s.args(at)...)
	if took := time.Since(begun); took > 10*time.Second {
		return fmt.Errorf("it took %v", took)
	}
	switch o.code {
	case 0: // it was past the last thing that can be given up
	case 130:
		tally.killed.Add(1)
	default:
		return fmt.Errorf("%s", o)
	}
	if err := s.glimpse(at, tally); err != nil {
		return err
	}
	if !finished(at, plansIn(t, at.state)) {
		if o := inside(nil, s.args(at)...); o.code != 0 {
			return fmt.Errorf("again: %s", o)
		}
	}
	return s.result(at)
}

// TestStarved runs a conversion with too little of what the system gives: file size (which fails as a full disk does) and
// file handles.
func TestStarved(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell to set limits with")
	}
	dir := scratch(t)
	for i := range 20 {
		write(t, filepath.Join(dir, "from", fmt.Sprintf("%02d.json", i)), lines(500, shifted(uint64(i)*1000)))
	}
	want := printOf(t, world.New(), source.Spec{Address: filepath.Join(dir, "from"), Form: source.DynamoDBJSON})
	for _, c := range []struct {
		limit string
		codes []int
		says  string
		args  []string
	}{
		{"ulimit -n 64", []int{0}, "", []string{"--partition", "region", "--task-size", "1B", "--workers", "8"}},
		{"ulimit -f 2", []int{1, 75}, "ulimit -f", nil},
		{"ulimit -f 40", []int{0, 1, 75}, "", []string{"--compression", "none"}},
	} {
		dest := filepath.Join(dir, strings.ReplaceAll(c.limit, " ", ""))
		args := append([]string{"convert", filepath.Join(dir, "from"), dest, "--from-format", "dynamodb-json"}, c.args...)
		cmd := exec.Command(shell, append([]string{"-c", c.limit + `; exec "$0" "$@"`, os.Args[0]}, append(args, "--json")...)...)
		cmd.Env = append(os.Environ(), roleVariable+"=cli")
		var out, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &stderr
		err := cmd.Run()
		o := ended(t, cmd, err, &out, &stderr)
		ok := false
		for _, code := range c.codes {
			ok = ok || o.code == code
		}
		if !ok || o.code != 0 && !strings.Contains(o.stderr, c.says) {
			t.Errorf("%s: want exit %d and %q: %s", c.limit, c.codes, c.says, o)
		}
		if o.code != 0 {
			wantNothing(t, c.limit, dest)
			must(t, args...)
		}
		if got := printOf(t, world.New(), source.Spec{Address: dest}); got != want {
			t.Errorf("%s: the result is %v, not %v", c.limit, got, want)
		}
	}
}
