package commit

import (
	"context"
	"errors"
	"fmt"

	"dynaferry/internal/blob"
)

// Exists tells whether an object is there.
func Exists(ctx context.Context, b blob.Bucket, name string) (bool, error) {
	_, err := b.Head(ctx, name)
	if errors.Is(err, blob.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", name, err)
	}
	return true, nil
}

// Last finds the last of decisions with dense numbers: from low on, which is there or before the first, by steps that begin with step
// and double, then by halving.
func Last(low, step uint64, there func(uint64) (bool, error)) (uint64, error) {
	high := low + step
	for {
		has, err := there(high)
		if err != nil {
			return 0, err
		}
		if !has {
			break
		}
		low, step = high, 2*step
		high = low + step
	}
	for high-low > 1 {
		middle := low + (high-low)/2
		has, err := there(middle)
		if err != nil {
			return 0, err
		}
		if has {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}
