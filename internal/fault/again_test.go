package fault

import (
	"context"
	"errors"
	"testing"
)

// TestAgain: damage is looked at twice, whatever else is wrong once, and nothing after the end.
func TestAgain(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		err  error
		want int
	}{{t.Context(), nil, 1}, {t.Context(), New(Corrupt, "torn"), 2}, {t.Context(), New(Unsupported, "version 9"), 2},
		{t.Context(), New(User, "no"), 1}, {t.Context(), errors.New("who knows"), 1}, {ended, New(Corrupt, "torn"), 1}} {
		calls := 0
		if _, err := Again(c.ctx, func() (int, error) { calls++; return 0, c.err }); err != c.err || calls != c.want {
			t.Errorf("%v: %d calls, %v", c.err, calls, err)
		}
	}
	calls := 0
	if n, err := Again(t.Context(), func() (int, error) {
		if calls++; calls == 1 {
			return 0, New(Corrupt, "a flipped bit")
		}
		return 7, nil
	}); n != 7 || err != nil {
		t.Error(n, err)
	}
}
