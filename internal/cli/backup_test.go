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
