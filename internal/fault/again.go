package fault

import "context"

// Again calls do once more when it met damaged data: what was damaged on its way is whole when it is read again, what is damaged
// where it lies fails again. A version that nobody knows (Unsupported) is one flipped bit from those that are known. So do only
// reads, or may be repeated.
func Again[T any](ctx context.Context, do func() (T, error)) (T, error) {
	done, err := do()
	if k := KindOf(err); err != nil && (k == Corrupt || k == Unsupported) && ctx.Err() == nil {
		return do()
	}
	return done, err
}
