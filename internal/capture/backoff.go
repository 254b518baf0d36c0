package capture

import (
	"context"
	"time"

	"dynaferry/internal/commit"
)

const (
	backoffFirst = 200 * time.Millisecond
	backoffMax   = 30 * time.Second
)

// backoff is a pause after so many failures in a row: with full jitter below a ceiling that doubles, and never too short
// to matter.
func backoff(ctx context.Context, name string, failures int) time.Duration {
	ceiling := backoffFirst << min(max(failures-1, 0), 10)
	ceiling = min(ceiling, backoffMax)
	return backoffFirst/4 + time.Duration(commit.Jitter(ctx, name, int64(ceiling)))
}

// pause waits, at most until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
