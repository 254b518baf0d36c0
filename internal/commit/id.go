package commit

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	mrand "math/rand/v2"
)

// ID is a write id: drawn at random by the writer for one write alone, so that it knows its own object again.
type ID [16]byte

// NewID draws one for a write of an object of that name.
func NewID(ctx context.Context, name string) (id ID) {
	if next, has := ctx.Value(sourceKey{}).(Source); has {
		binary.BigEndian.PutUint64(id[:8], next(name))
		binary.BigEndian.PutUint64(id[8:], next(name))
		return id
	}
	_, _ = rand.Read(id[:]) // never fails since Go 1.24
	return id
}

// String is the id in hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Source gives numbers for what is drawn while an object of that name is written.
type Source func(name string) uint64

type sourceKey struct{}

// WithSource makes write ids and pauses below ctx those of a source, so that a simulated history can be run again: what is
// drawn for one name must not depend on what is drawn for another meanwhile. Without a source they are random.
func WithSource(ctx context.Context, s Source) context.Context {
	return context.WithValue(ctx, sourceKey{}, s)
}

// Jitter is a uniform number in [0, n], for pauses that concern what has that name: below WithSource the source's.
func Jitter(ctx context.Context, name string, n int64) int64 {
	if next, has := ctx.Value(sourceKey{}).(Source); has {
		return int64(next(name) % uint64(n+1))
	}
	return mrand.Int64N(n + 1)
}
