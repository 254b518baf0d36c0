//go:build planted

package sim

import (
	"testing"

	"dynaferry/internal/planted"
)

// plantedSeeds is within how many seeds each bug must be found.
const plantedSeeds = 1000

// TestPlanted: each bug that is planted is found. A harness that finds none of them proves nothing by finding nothing.
func TestPlanted(t *testing.T) {
	defer planted.Choose("")
	for _, bug := range planted.Bugs {
		planted.Choose(bug)
		found := false
		for seed := uint64(0); seed < plantedSeeds && !found; seed++ {
			for _, which := range scenarios {
				if out := bubble(t, Draw(seed), which, nil); out.Err != nil && !found {
					found = true
					t.Logf("%s: seed %d of %s: %v", bug, seed, which().Name, out.Err)
				}
			}
		}
		if !found {
			t.Errorf("%s: not found in %d seeds", bug, plantedSeeds)
		}
	}
}
