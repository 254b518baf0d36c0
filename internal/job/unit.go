package job

import (
	"context"
	"errors"
	"io"

	"dynaferry/internal/item"
	"dynaferry/internal/source"
)

// readUnit reads a unit to its end. take gets each batch, and may keep nothing of it.
func readUnit(ctx context.Context, src source.Source, u source.Unit, o source.ReadOptions, take func(*item.Batch) error) error {
	b := new(item.Batch)
	return readUnitInto(ctx, src, u, o, func() *item.Batch { return b }, take)
}

// readUnitInto is readUnit for batches that change hands: next gives the one to fill, which is asked for again when it was
// not filled.
func readUnitInto(ctx context.Context, src source.Source, u source.Unit, o source.ReadOptions, next func() *item.Batch,
	take func(*item.Batch) error) error {
	in, err := src.Read(ctx, u, o)
	if err != nil {
		return err
	}
	defer in.Close()
	for {
		b := next()
		if err := in.Read(b); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := take(b); err != nil {
			return err
		}
	}
}
