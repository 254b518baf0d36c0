package blob

import (
	"context"
	"io"
	"iter"
	"time"
)

// Powers are what some buckets can do beyond Bucket, found through decorators with Power.

// RandomAccess opens an object for cheap reads at any offset: the folder has it, S3 does not (see NewReaderAt).
type RandomAccess interface {
	// OpenAt opens the object if its ETag is ifMatch ("" takes any). The caller closes it. ErrNotFound, ErrChanged.
	OpenAt(ctx context.Context, name, ifMatch string) (ReadAtCloser, Info, error)
}

// ReadAtCloser reads at any offset of one version of one object.
type ReadAtCloser interface {
	io.ReaderAt
	io.Closer
}

// Unfinished is a write that never became visible: a multipart upload, or a hidden temporary file.
type Unfinished struct {
	Name  string    // the name it was meant for; for the folder the hidden file's own
	ID    string    // the store's handle
	Begun time.Time // by the store's clock
}

// Uploads lists and drops what died before it became visible. Vacuum alone calls Drop, for what is old enough that no
// living writer can own it.
type Uploads interface {
	Unfinished(ctx context.Context, prefix string) iter.Seq2[Unfinished, error]
	Drop(ctx context.Context, u Unfinished) error
}

// Power finds an optional power of a bucket through decorators, which have Unwrap() Bucket. A decorator that must see
// the power's calls implements the power itself.
func Power[P any](b Bucket) (P, bool) {
	for b != nil {
		if p, ok := b.(P); ok {
			return p, true
		}
		u, ok := b.(interface{ Unwrap() Bucket })
		if !ok {
			break
		}
		b = u.Unwrap()
	}
	var none P
	return none, false
}
