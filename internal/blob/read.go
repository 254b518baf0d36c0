package blob

import (
	"context"
	"fmt"
	"io"

	"dynaferry/internal/fault"
)

// ReadAll reads a whole object of at most bytesMax bytes. A larger one is an error of kind Limit and is not read.
func ReadAll(ctx context.Context, b Bucket, name string, bytesMax int64) ([]byte, Info, error) {
	return ReadRange(ctx, b, name, ReadOptions{}, bytesMax)
}

// ReadRange is ReadAll for a range; the Info describes the whole object. A body that arrives damaged is read once more: it
// may have been damaged on its way.
func ReadRange(ctx context.Context, b Bucket, name string, opts ReadOptions, bytesMax int64) ([]byte, Info, error) {
	data, info, err := readRange(ctx, b, name, opts, bytesMax)
	if fault.KindOf(err) == fault.Corrupt && ctx.Err() == nil {
		return readRange(ctx, b, name, opts, bytesMax)
	}
	return data, info, err
}

func readRange(ctx context.Context, b Bucket, name string, opts ReadOptions, bytesMax int64) ([]byte, Info, error) {
	r, info, err := b.Get(ctx, name, opts)
	if err != nil {
		return nil, info, err
	}
	defer r.Close()
	_, length := Span(opts, info.Size)
	if length > bytesMax {
		return nil, info, fault.New(fault.Limit, "read %s: %d bytes are above the limit of %d", name, length, bytesMax)
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, info, fmt.Errorf("read %s: %w", name, cut(err))
	}
	// One more read lets the store's reader verify the end: checksum and length.
	var more [1]byte
	if n, err := r.Read(more[:]); n != 0 {
		return nil, info, fault.New(fault.Corrupt, "read %s: more than its %d bytes came", name, length)
	} else if err != nil && err != io.EOF {
		return nil, info, fmt.Errorf("read %s: %w", name, err)
	}
	return data, info, nil
}

// cut names a body that ended early for what it is.
func cut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fault.As(fault.Corrupt, io.ErrUnexpectedEOF)
	}
	return err
}

// Span turns a request's range into what it selects from an object of size bytes: reads are clamped to the object, so
// a range that begins at or behind the end is empty.
func Span(o ReadOptions, size int64) (offset, length int64) {
	offset = o.Offset
	if offset < 0 {
		offset = max(0, size+offset)
	}
	offset = min(offset, size)
	length = size - offset
	if o.Length > 0 {
		length = min(length, o.Length)
	}
	return offset, length
}
