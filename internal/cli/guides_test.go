package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestGuides runs every command block of the guides and the README: what a reader types works as it stands.
//
//   - A block whose info string has a second word, ```json orders.jsonl, is a file of that name.
//   - In a ```console block lines that begin with "$ " are commands, run by sh; the lines below a command are what it says,
//     on stdout or stderr, in this order, with "…" for anything. A command that ends in "# exit code N" must end so.
//   - ```sh blocks are not run: they hold what needs an account.
func TestGuides(t *testing.T) {
	guides, err := filepath.Glob("../../docs/guides/*.md")
	if err != nil || len(guides) < 3 {
		t.Fatalf("%d guides, %v", len(guides), err)
	}
	guides = append(guides, "../../README.md")
	for _, name := range guides {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".md"), func(t *testing.T) { runGuide(t, name) })
	}
}

// runGuide runs one guide in a world of its own.
func runGuide(t *testing.T, name string) {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	script, steps := guideScript(string(text))
	if len(steps) == 0 {
		t.Fatalf("%s runs no command", name)
	}
	file := filepath.Join(t.TempDir(), "guide.txtar")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	p := scripts(t, testscript.Params{Files: []string{file}})
	p.ContinueOnError = false
	p.Cmds["guide"] = func(ts *testscript.TestScript, _ bool, args []string) {
		n, err := strconv.Atoi(args[0])
		ts.Check(err)
		steps[n].run(ts)
	}
	testscript.Run(t, p)
}

// guided is a command of a guide and what it says.
type guided struct {
	line    int
	command string
	code    int
	says    []string
}

var exitCode = regexp.MustCompile(`# exit code (\d+)$`)

// guideScript turns a guide into a script that calls its steps one after another.
func guideScript(text string) (script string, steps []guided) {
	var files strings.Builder
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		info, open := strings.CutPrefix(lines[i], "```")
		if !open {
			continue
		}
		words := strings.Fields(info)
		for i++; i < len(lines) && lines[i] != "```"; i++ {
			switch {
			case len(words) == 2:
				if lines[i-1] == "```"+info {
					fmt.Fprintf(&files, "-- %s --\n", words[1])
				}
				files.WriteString(lines[i] + "\n")
			case len(words) == 1 && words[0] == "console":
				if command, ok := strings.CutPrefix(lines[i], "$ "); ok {
					for strings.HasSuffix(command, `\`) {
						i++
						command += "\n" + lines[i]
					}
					steps = append(steps, guided{line: i + 1, command: command})
				} else if len(steps) > 0 && strings.TrimSpace(lines[i]) != "" {
					last := &steps[len(steps)-1]
					last.says = append(last.says, lines[i])
				}
			}
		}
	}
	for n := range steps {
		if m := exitCode.FindStringSubmatch(steps[n].command); m != nil {
			_, _ = fmt.Sscan(m[1], &steps[n].code)
		}
		script += fmt.Sprintf("guide %d\n", n)
	}
	return script + files.String(), steps
}

func (s guided) run(ts *testscript.TestScript) {
	ts.Logf("line %d: %s", s.line, s.command)
	code := 0
	if err := ts.Exec("sh", "-c", s.command); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("line %d: %v", s.line, err)
		}
		code = exit.ExitCode()
	}
	said := strings.Split(ts.ReadFile("stdout")+"\n"+ts.ReadFile("stderr"), "\n")
	if code != s.code {
		ts.Fatalf("line %d: exit code %d, want %d", s.line, code, s.code)
	}
	streams := [][]string{strings.Split(ts.ReadFile("stdout"), "\n"), strings.Split(ts.ReadFile("stderr"), "\n")}
	for _, want := range s.says {
		if strings.TrimSpace(want) == "…" {
			continue
		}
		if !takeLine(streams, want) {
			ts.Fatalf("line %d: %s\nsays nothing like %q (in this order) but\n%s", s.line, s.command, want, strings.Join(said, "\n"))
		}
	}
}

// takeLine finds the line in one of the streams and moves that stream behind it.
func takeLine(streams [][]string, want string) bool {
	parts := strings.Split(strings.TrimRight(want, " "), "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	pattern := regexp.MustCompile("^" + strings.Join(parts, ".*") + " *$")
	for i, stream := range streams {
		for n, line := range stream {
			if pattern.MatchString(line) {
				streams[i] = stream[n+1:]
				return true
			}
		}
	}
	return false
}
