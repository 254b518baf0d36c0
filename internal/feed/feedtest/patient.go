package feedtest

import (
	"context"

	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// patient repeats what the port leaves to its callers: calls that were throttled, or whose answer did not come.
type patient struct{ feed.Client }

const triesMax = 20

func again[T any](call func() (T, error)) (out T, err error) {
	for range triesMax {
		if out, err = call(); !fault.Retryable(err) {
			break
		}
	}
	return out, err
}

func (p patient) Describe(ctx context.Context, stream string) (*feed.Stream, error) {
	return again(func() (*feed.Stream, error) { return p.Client.Describe(ctx, stream) })
}

func (p patient) Shards(ctx context.Context, stream, of string) ([]feed.Shard, error) {
	return again(func() ([]feed.Shard, error) { return p.Client.Shards(ctx, stream, of) })
}

func (p patient) Iterator(ctx context.Context, stream, shard string, after feed.Position) (string, error) {
	return again(func() (string, error) { return p.Client.Iterator(ctx, stream, shard, after) })
}

func (p patient) Read(ctx context.Context, iterator string, limit int, page *feed.Page) error {
	_, err := again(func() (struct{}, error) { return struct{}{}, p.Client.Read(ctx, iterator, limit, page) })
	return err
}
