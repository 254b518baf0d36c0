package commit_test

import (
	"fmt"
	"testing"

	"dynaferry/internal/commit"
)

// A write id that arrives damaged does not make the writer's own object another's: the put landed, its answer was lost, and
// one bit of what was read back differs, anywhere.
func TestDamagedReadBack(t *testing.T) {
	for at := range 150 {
		b := broken(t, open(t), fmt.Sprintf("put#1: lost; get#1: flip %d", at))
		res, err := commit.Put(t.Context(), b, "decision", []byte(`{"mine":1}`), quick)
		if err != nil || !res.Won {
			t.Errorf("byte %d: won %v, error %v", at, res.Won, err)
		}
	}
}
