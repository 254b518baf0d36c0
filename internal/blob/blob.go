package blob

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"dynaferry/internal/fault"
)

// The answers that a caller decides by. Everything else is an error with a fault.Kind.
var (
	// ErrNotFound: no object of that name.
	ErrNotFound = errors.New("object not found")
	// ErrExists: a put-if-absent found an object (412), or the store says one is being written (409 dialects included).
	// On a conditional write this may be our own earlier attempt whose answer was lost: package commit decides.
	ErrExists = errors.New("object exists already")
	// ErrChanged: a put-if-match or a read with IfMatch found another version.
	ErrChanged = errors.New("object changed meanwhile")
)

// Info describes one object.
type Info struct {
	Name     string
	Size     int64
	ETag     string // opaque version tag for IfMatch; quotes kept as the store gave them
	Modified time.Time
	Metadata map[string]string // user metadata, lower-case names; Head and Get fill it, List does not
}

// Condition restricts a write. The zero value writes unconditionally.
type Condition struct {
	IfAbsent bool   // only when no object has the name
	IfMatch  string // only when the object's ETag is this
}

// PutOptions are what one write carries beyond the bucket's own Settings.
type PutOptions struct {
	Condition
	ContentType string
	Metadata    map[string]string // stored with the object; the folder keeps them in extended form beside it
	// NoRetry sends the request exactly once. Package commit sets it, because a retried conditional put
	// cannot tell its own success from a lost race.
	NoRetry bool
}

// Settings are a bucket's defaults for every object written through it. Each that is set is verified on the store's
// reply: what a store ignored is an error of kind Unsupported that names the setting, never a hope.
type Settings struct {
	SSE          string        // "", "AES256", "aws:kms", "aws:kms:dsse"
	KMSKey       string        // with aws:kms
	BucketKey    bool          // with aws:kms
	StorageClass string        // "" is the store's default
	LockMode     string        // "", "GOVERNANCE", "COMPLIANCE"
	LockFor      time.Duration // retention from the moment of the write
	Tags         map[string]string
	Metadata     map[string]string
}

// ReadOptions restrict a read.
type ReadOptions struct {
	Offset  int64  // first byte; negative counts from the end
	Length  int64  // bytes to read; 0 means to the end
	IfMatch string // fail with ErrChanged when the ETag differs
}

// Bucket is one bucket or folder. Methods may be called concurrently. Reads and unconditional writes are retried
// inside, with full jitter, until ctx ends or the retry budget is used; conditional writes follow
// PutOptions.NoRetry. Unless said otherwise a call is atomic: on error the object is as before, or, when the
// error's kind is Unavailable, possibly as after a success.
type Bucket interface {
	// URL is the address a person can type for this bucket's root: s3://bucket/prefix or a path.
	URL() string

	// Head describes an object. ErrNotFound.
	Head(ctx context.Context, name string) (Info, error)

	// Get opens a range of an object. The reader verifies length and, on whole reads where the store keeps one, the
	// checksum, and resumes broken bodies by ranged reads with IfMatch. The caller closes it. ErrNotFound, ErrChanged.
	Get(ctx context.Context, name string, opts ReadOptions) (io.ReadCloser, Info, error)

	// Put writes a whole object from memory with a checksum; it is durable on return. ErrExists, ErrChanged.
	Put(ctx context.Context, name string, body []byte, opts PutOptions) (Info, error)

	// Create begins an object written in parts; nothing of it is visible before Complete.
	Create(ctx context.Context, name string, opts PutOptions) (Upload, error)

	// Publish makes final = the staged bytes + tail visible in one step and only if final is absent, without moving
	// the staged bytes through this process where the store can copy (S3: part copy, tail as last part, completed with
	// If-None-Match; folder: tail written at the staged file's known end, link(2), or a copy by the kernel). The staged
	// object must exist with exactly the size that is said; a previous Publish of the same may have died at any point
	// and may still be running elsewhere. The staged object stays as it is. ErrExists when final exists: the caller
	// compares its Metadata to tell its own earlier success. Not retried below the conditional step.
	Publish(ctx context.Context, staged Staged, tail []byte, final string, opts PutOptions) (Info, error)

	// List yields the objects below prefix in lexicographic order, paging as it goes. Correctness never rests on a
	// list alone. Hidden temporary files of the folder and unfinished uploads do not appear.
	List(ctx context.Context, prefix string, after string) iter.Seq2[Info, error]

	// Delete removes objects; missing ones are fine. Only vacuum, publish's clean-up of its own staged objects and
	// probes may call it.
	Delete(ctx context.Context, names ...string) error
}

// Staged is the object that Publish takes bytes from.
type Staged struct {
	Name string
	Size int64 // of the object; another one is an error of kind Corrupt
	Keep int64 // how many of its first bytes are taken; 0 means all
}

// Kept is how many of the object's first bytes are taken. Error of kind Bug when it has fewer.
func (s Staged) Kept() (int64, error) {
	switch {
	case s.Keep < 0 || s.Keep > s.Size:
		return 0, fault.New(fault.Bug, "%d of the %d bytes of %s are to be published", s.Keep, s.Size, s.Name)
	case s.Keep == 0:
		return s.Size, nil
	}
	return s.Keep, nil
}

// Upload is an object in the making.
type Upload interface {
	// Part hands over part n (from 1, consecutive) of at least PartBytesMin except the last. It may be called
	// concurrently for different n and again for the same n; the reader is read to its end before return.
	Part(ctx context.Context, n int, body []byte) error
	// Complete makes the object visible with the options of Create. ErrExists as in Put. Calling it twice is an error.
	Complete(ctx context.Context) (Info, error)
	// Abort drops what was handed over. Best effort; what stays is found by listing uploads.
	Abort(ctx context.Context) error
}

// PartBytesMin is the smallest part but the last; PartsMax the most parts an object may have (S3UG:qfacts).
const (
	PartBytesMin = 5 << 20
	PartsMax     = 10_000
)
