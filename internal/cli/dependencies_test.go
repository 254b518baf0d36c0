package cli

import (
	"os"
	"strings"
	"testing"
)

// TestDependenciesAreExplained holds docs/dependencies.md against go.mod: a line for each direct dependency, no other.
func TestDependenciesAreExplained(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for line := range strings.Lines(string(mod)) {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(words) == 2 && strings.HasPrefix(words[1], "v") {
			direct[words[0]] = true
		}
	}
	if len(direct) < 10 {
		t.Fatalf("go.mod has only %d direct dependencies", len(direct))
	}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 || !strings.Contains(cells[1], "/") {
			continue
		}
		name := strings.TrimSpace(cells[1])
		if !direct[name] {
			t.Errorf("docs/dependencies.md explains %s, which go.mod does not require", name)
		}
		delete(direct, name)
	}
	for name := range direct {
		t.Errorf("docs/dependencies.md does not explain %s: why, size, licence, what replaces it", name)
	}
}
