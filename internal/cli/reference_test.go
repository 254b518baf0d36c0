package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"dynaferry/internal/world"
)

var update = flag.Bool("update", false, "write docs/reference anew")

const referenceDir = "../../docs/reference"

// TestReference holds docs/reference against the commands: go test ./internal/cli -run TestReference -update writes it.
func TestReference(t *testing.T) {
	a := &app{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}, world: world.New()}
	root := a.root()
	pages := map[string]string{"README.md": referenceIndex(root), "json.md": recordPage(t)}
	for _, cmd := range root.Commands() {
		if !cmd.Hidden && cmd.Name() != "help" && cmd.Name() != "completion" {
			pages[cmd.Name()+".md"] = referencePage(cmd)
		}
	}
	if *update {
		if err := os.MkdirAll(referenceDir, 0o777); err != nil {
			t.Fatal(err)
		}
		for name, page := range pages {
			if err := os.WriteFile(filepath.Join(referenceDir, name), []byte(page), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(referenceDir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, ok := pages[filepath.Base(file)]; !ok {
			t.Errorf("%s is of no command", file)
		}
	}
	for name, page := range pages {
		have, err := os.ReadFile(filepath.Join(referenceDir, name))
		if err != nil {
			t.Errorf("%v; write it with -update", err)
		} else if string(have) != page {
			t.Errorf("docs/reference/%s is not what the command says; write it with -update", name)
		}
	}
}

func referenceIndex(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Reference\n\nMade from the commands themselves. %s\n\n| command | does |\n|---|---|\n", firstUpper(root.Short)+".")
	for _, cmd := range root.Commands() {
		if !cmd.Hidden && cmd.Name() != "help" && cmd.Name() != "completion" {
			fmt.Fprintf(&b, "| [%s](%s.md) | %s |\n", cmd.Name(), cmd.Name(), cmd.Short)
		}
	}
	fmt.Fprintf(&b, "\nFlags of every command:\n\n%s\n", flags(root.PersistentFlags().FlagUsages()))
	b.WriteString("`dynaferry completion bash|zsh|fish|powershell` prints what a shell needs to complete all of these.\n\n" +
		"What --json prints is in [json.md](json.md).\n")
	return b.String()
}

func firstUpper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func referencePage(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n```\n%s\n```\n\n%s\n", cmd.Name(), cmd.Short, cmd.UseLine(), cmd.Long)
	if cmd.Example != "" {
		fmt.Fprintf(&b, "\nFor instance:\n\n```\n%s\n```\n", cmd.Example)
	}
	if set := flags(cmd.LocalNonPersistentFlags().FlagUsages()); set != "" && !cmd.DisableFlagParsing {
		fmt.Fprintf(&b, "\nFlags:\n\n%s", set)
	}
	return b.String()
}

// flags shows a set of flags as --help does, but for --help.
func flags(usages string) string {
	var b strings.Builder
	for line := range strings.Lines(usages) {
		if !strings.Contains(line, "--help ") && !strings.Contains(line, "--version ") {
			b.WriteString(line)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "```\n" + b.String() + "```\n"
}
