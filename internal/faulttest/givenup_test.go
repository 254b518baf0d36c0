package faulttest

import (
	"path/filepath"
	"strings"
	"testing"
)

// A run whose plan a fresh start gives up meanwhile does not end as if it had done something.
func TestGivenUp(t *testing.T) {
	dir := scratch(t)
	write(t, filepath.Join(dir, "from", "a.json"), lines(50, whole))
	args := []string{"convert", filepath.Join(dir, "from"), filepath.Join(dir, "dest"), "--from-format", "dynamodb-json", "--key", "pk"}
	given := false
	o := inside(&trace{look: func(call string) {
		if !given && strings.HasPrefix(call, "put ") && strings.Contains(call, "/results/") {
			given = true
			must(t, append(args, "--fresh")...)
		}
	}}, args...)
	if o.code != 5 || !strings.Contains(o.stderr, "was given up by a fresh start") {
		t.Errorf("the run that was given up: %s", o)
	}
	if n := len(live(t, filepath.Join(dir, "dest"))); n != 1 {
		t.Errorf("%d files are there", n)
	}
}
