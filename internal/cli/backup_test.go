package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/local"
)

// Two days are caught up with in windows of a day at most. When the service gives one up, those before it are kept, nothing behind it
// is, and the same command goes on from there.
func TestBackupChainFails(t *testing.T) {
	w := newNativeWorld(t, local.Options{StrictTimes: true})
	w.run(0, "backup", "dynamodb://Orders", "s3://lake/place", "--chain", "--enable-pitr")
	more := filepath.Join(t.TempDir(), "more.jsonl")
	if err := os.WriteFile(more, []byte(`{"id":"c"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.ahead.Add(int64(20 * time.Hour))
		w.run(0, "import", more, "dynamodb://Orders", "--overwrite")
	}
	begun := w.exports.Load()
	w.openAs.Store(func() error {
		if w.exports.Load() == begun+2 {
			return errors.New("broken")
		}
		return nil
	})
	out := w.run(75, "backup", "dynamodb://Orders", "s3://lake/place", "--chain", "--workers", "1")
	for _, say := range []string{"  backup       1\n", "  holds        changes from ", "InternalServerError"} {
		if !strings.Contains(out, say) {
			t.Errorf("%q is not in\n%s", say, out)
		}
	}
	if strings.Contains(out, "  windows ") {
		t.Errorf("what lies behind the window that failed was kept:\n%s", out)
	}
	w.openAs.Store(func() error { return nil })
	if out = w.run(0, "backup", "dynamodb://Orders", "s3://lake/place", "--chain"); !strings.Contains(out, "  windows      2\n") {
		t.Errorf("the rest:\n%s", out)
	}
	w.run(0, "restore", "s3://lake/place", "dynamodb://Again")
	w.run(0, "verify", "dynamodb://Orders", "dynamodb://Again")
	// Between two ends, the service itself is named.
	out = w.run(2, "restore", "s3://lake/place", "dynamodb://Third", "--at", time.Now().Add(30*time.Hour).UTC().Format(time.RFC3339))
	if !strings.Contains(out, "the nearest are of ") || !strings.Contains(out, "by the service itself: dynaferry restore dynamodb://Orders dynamodb://Third --at ") {
		t.Errorf("between two ends:\n%s", out)
	}
}

// A chain over a scan: its first window begins before the scan did and reaches past its end. A table whose changes the service has
// not had for so long is told so before it is read.
func TestBackupChainOnScan(t *testing.T) {
	w := newNativeWorldAt(t, local.Options{}, -time.Hour) // its changes are had from an hour before the scan on
	if err := w.client.EnableBackups(t.Context(), "Orders"); err != nil {
		t.Fatal(err)
	}
	w.ahead.Store(0)
	w.run(0, "backup", "dynamodb://Orders", "s3://lake/place", "--chain", "--scan")
	dir := t.TempDir()
	change := func(mode string, ids ...string) {
		var lines strings.Builder
		for _, id := range ids {
			lines.WriteString(`{"id":"` + id + `"}` + "\n")
		}
		name := filepath.Join(dir, "change.jsonl")
		if err := os.WriteFile(name, []byte(lines.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		w.run(0, "import", name, "dynamodb://Orders", "--mode", mode)
	}
	change("if-absent", "c", "d")
	change("delete", "a")
	if out := w.run(0, "backup", "dynamodb://Orders", "s3://lake/place", "--chain"); !strings.Contains(out, "changes      3, ") {
		t.Errorf("the first window:\n%s", out)
	}
	w.run(0, "restore", "s3://lake/place", "dynamodb://Again")
	w.run(0, "verify", "dynamodb://Orders", "dynamodb://Again")
	change("delete", "c")
	w.run(0, "backup", "dynamodb://Orders", "s3://lake/place", "--chain")
	w.run(0, "restore", "s3://lake/place", "dynamodb://Later")
	w.run(0, "verify", "dynamodb://Orders", "dynamodb://Later")
	w.run(4, "verify", "dynamodb://Again", "dynamodb://Later")

	w.run(0, "import", filepath.Join(dir, "change.jsonl"), "dynamodb://Young", "--create", "--key", "id")
	if out := w.run(2, "backup", "dynamodb://Young", "s3://lake/young", "--chain", "--scan", "--enable-pitr"); !strings.Contains(out, "a chain needs the changes from") {
		t.Errorf("a chain that cannot begin with a scan:\n%s", out)
	}
}
