package commit

import (
	"errors"
	"testing"
)

// TestLast: from wherever it begins and however large its steps are, the last number is found, in some calls of its logarithm.
func TestLast(t *testing.T) {
	for _, last := range []uint64{0, 1, 2, 63, 64, 65, 1000, 99_999} {
		for _, low := range []uint64{0, 1, last / 2, last} {
			for _, step := range []uint64{1, 256} {
				if low > last {
					continue
				}
				calls := 0
				n, err := Last(low, step, func(n uint64) (bool, error) { calls++; return n <= last, nil })
				if n != last || err != nil || calls > 40 {
					t.Errorf("from %d by %d: %d of %d in %d calls, %v", low, step, n, last, calls, err)
				}
			}
		}
	}
	lost := errors.New("no answer")
	if _, err := Last(0, 1, func(n uint64) (bool, error) { return n < 3, map[bool]error{true: lost}[n == 3] }); err != lost {
		t.Error(err)
	}
}
