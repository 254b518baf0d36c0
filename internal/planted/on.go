//go:build planted

package planted

import (
	"os"
	"sync/atomic"
)

var chosen atomic.Value

// The program as a whole takes the bug from its environment.
func init() { Choose(Bug(os.Getenv("DYNAFERRY_PLANTED"))) }

// Choose switches one bug on and all others off; "" is none.
func Choose(b Bug) { chosen.Store(b) }

// Is tells whether a bug is on.
func Is(b Bug) bool { return chosen.Load() == b }
