package commit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
	"dynaferry/internal/planted"
)

// Format is the envelope's format name and version.
const Format = "dynaferry-commit/1"

// SizeMax bounds a commit object: what is larger belongs into a side object that the commit object names.
const SizeMax = 64 << 20

// MetadataID is the metadata key that repeats the write id, for people who look at a bucket and against a damaged id.
const MetadataID = "dynaferry-write-id"

// Options tune Put; the zero value is right for production.
type Options struct {
	// Deadline bounds the time until the outcome must be known. 0 means DeadlineDefault.
	Deadline time.Duration
	// Pause is the first pause between tries, doubled with full jitter up to 32 times. 0 means 50 ms.
	Pause time.Duration
}

// DeadlineDefault is how long Put tries to learn an outcome: longer than a store's hiccup, shorter than a person's patience.
const DeadlineDefault = 2 * time.Minute

// Result is a known outcome.
type Result struct {
	Won  bool            // our bytes stand under the name
	Body json.RawMessage // the body that stands: ours, or the winner's
	ID   string          // the write id of what stands: it tells the object from all others, wherever a copy of it lies
}

type envelope struct {
	Format  string          `json:"format"`
	WriteID string          `json:"writeId"`
	CRC32C  string          `json:"crc32c"` // of Body's bytes, 8 hex digits
	Body    json.RawMessage `json:"body"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func seal(id ID, body []byte) ([]byte, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, body); err != nil {
		return nil, fmt.Errorf("commit object body: %w", err)
	}
	sum := fmt.Sprintf("%08x", crc32.Checksum(compact.Bytes(), castagnoli))
	// Written by hand so that the body's bytes stay exactly those the checksum is of.
	out := fmt.Appendf(nil, `{"format":%q,"writeId":%q,"crc32c":%q,"body":%s}`+"\n", Format, id, sum, compact.Bytes())
	if len(out) > SizeMax {
		return nil, fault.New(fault.Limit, "commit object of %d bytes; at most %d", len(out), SizeMax)
	}
	return out, nil
}

func open(name string, data []byte) (envelope, error) {
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fault.New(fault.Corrupt, "%s is not a commit object: %w", name, err)
	}
	if e.Format != Format {
		return e, fault.New(fault.Corrupt, "%s has format %q; this program reads %q", name, e.Format, Format)
	}
	if sum := fmt.Sprintf("%08x", crc32.Checksum(e.Body, castagnoli)); sum != e.CRC32C {
		return e, fault.New(fault.Corrupt, "%s: checksum differs: stored %s, computed %s", name, e.CRC32C, sum)
	}
	return e, nil
}

// Put decides name: body, a JSON value, stands under it if nobody was first. The answer is exact or an error; an error of kind
// Unknown means that our bytes may or may not stand, now or later.
func Put(ctx context.Context, b blob.Bucket, name string, body []byte, opts Options) (Result, error) {
	id := NewID(ctx, name)
	data, err := seal(id, body)
	if err != nil {
		return Result{}, err
	}
	found := envelope{WriteID: id.String(), Body: bodyOf(data)}
	won, err := decide(ctx, b, name, data, "application/json", id, opts, func(ctx context.Context) (bool, error) {
		there, err := read(ctx, b, name)
		if err == nil {
			found = there
		}
		return there.WriteID == id.String(), err
	})
	if err != nil {
		return Result{}, err
	}
	return Result{Won: won, Body: found.Body, ID: found.WriteID}, nil
}

// decide sends data under name, if absent, until it is known who won. found reads what stands there and tells whether it is
// ours; an error of kind Corrupt ends the matter: what stands there is no decision that anybody can read.
func decide(ctx context.Context, b blob.Bucket, name string, data []byte, contentType string, id ID, opts Options,
	found func(context.Context) (bool, error)) (won bool, err error) {
	deadline := opts.Deadline
	if deadline == 0 {
		deadline = DeadlineDefault
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	pause := newPause(name, opts.Pause)
	put := blob.PutOptions{
		Condition:   blob.Condition{IfAbsent: true},
		ContentType: contentType,
		Metadata:    map[string]string{MetadataID: id.String()},
		NoRetry:     true,
	}
	// sent turns true with the first try whose fate is open: from then on a definite refusal of a later try proves
	// nothing about the earlier one.
	sent := false
	for {
		_, err := b.Put(ctx, name, data, put)
		if err == nil {
			return true, nil
		}
		if !doubtful(err) && !sent {
			return false, fmt.Errorf("put %s: %w", name, err)
		}
		sent = sent || !errors.Is(err, blob.ErrExists)
		last := err
		mine, err := found(ctx)
		if planted.Is(planted.NoReadBack) && errors.Is(last, blob.ErrExists) {
			mine = false
		}
		if planted.Is(planted.EmptyReadBack) && errors.Is(err, blob.ErrNotFound) {
			return false, nil
		}
		if err == nil || fault.KindOf(err) == fault.Corrupt {
			return mine, err
		}
		if err := pause.wait(ctx); err != nil {
			return false, unknown(name, last)
		}
	}
}

// Read returns the body of the decision under name. blob.ErrNotFound when nothing stands there (yet).
func Read(ctx context.Context, b blob.Bucket, name string) (json.RawMessage, error) {
	r, err := Find(ctx, b, name)
	return r.Body, err
}

// Find is Read that also tells the write id, as Put does when another won.
func Find(ctx context.Context, b blob.Bucket, name string) (Result, error) {
	e, err := read(ctx, b, name)
	return Result{Body: e.Body, ID: e.WriteID}, err
}

// Publish makes a staged data file visible under its final name, if absent, and tells its own earlier or parallel
// success from a stranger's object by the id in the metadata, or, on stores that drop metadata, by size and tail.
// id must be a function of the plan, the winning attempt and the tail, so that every process that publishes the same
// decision uses the same one. A stranger's object is an error of kind Conflict.
func Publish(ctx context.Context, b blob.Bucket, staged blob.Staged, tail []byte, final, id string, put blob.PutOptions,
	opts Options) (blob.Info, error) {
	kept, err := staged.Kept()
	if err != nil {
		return blob.Info{}, err
	}
	deadline := opts.Deadline
	if deadline == 0 {
		deadline = DeadlineDefault
	}
	meta := map[string]string{MetadataID: id}
	for k, v := range put.Metadata {
		meta[k] = v
	}
	put.Metadata, put.NoRetry, put.IfAbsent = meta, true, true
	pause := newPause(final, opts.Pause)
	start := time.Now()
	for {
		info, err := b.Publish(ctx, staged, tail, final, put)
		if err == nil {
			return info, nil
		}
		gone := errors.Is(err, blob.ErrNotFound) // staged was swept by a process that had published everything
		if !doubtful(err) && !gone {
			return blob.Info{}, fmt.Errorf("publish %s: %w", final, err)
		}
		last := err
		info, same, err := published(ctx, b, kept, tail, final, id)
		if err == nil && same {
			return info, nil
		}
		if err == nil {
			return blob.Info{}, fault.Hint(fault.New(fault.Conflict, "%s exists and is not of this job", final),
				"choose another destination, or move that object away")
		}
		if gone && errors.Is(err, blob.ErrNotFound) {
			return blob.Info{}, fmt.Errorf("publish %s: %w", final, last)
		}
		if !errors.Is(err, blob.ErrNotFound) && !fault.Retryable(err) {
			return blob.Info{}, fmt.Errorf("publish %s: %w", final, err)
		}
		if time.Since(start) > deadline {
			return blob.Info{}, unknown(final, last)
		}
		if err := pause.wait(ctx); err != nil {
			return blob.Info{}, unknown(final, last)
		}
	}
}

// published compares what stands under final with what we would have put there.
func published(ctx context.Context, b blob.Bucket, size int64, tail []byte, final, id string) (blob.Info, bool, error) {
	info, err := b.Head(ctx, final)
	if err != nil {
		return info, false, err
	}
	if got := info.Metadata[MetadataID]; got != "" {
		return info, got == id, nil
	}
	if info.Size != size+int64(len(tail)) || len(tail) == 0 {
		return info, false, nil
	}
	r, _, err := b.Get(ctx, final, blob.ReadOptions{Offset: size, Length: int64(len(tail)), IfMatch: info.ETag})
	if err != nil {
		return info, false, err
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	return info, err == nil && bytes.Equal(got, tail), err
}

func read(ctx context.Context, b blob.Bucket, name string) (envelope, error) {
	return fault.Again(ctx, func() (envelope, error) { return readOnce(ctx, b, name) })
}

func readOnce(ctx context.Context, b blob.Bucket, name string) (envelope, error) {
	r, info, err := b.Get(ctx, name, blob.ReadOptions{})
	if err != nil {
		return envelope{}, err
	}
	defer r.Close()
	if info.Size > SizeMax {
		return envelope{}, fault.New(fault.Corrupt, "%s has %d bytes; no commit object is larger than %d", name, info.Size, SizeMax)
	}
	data, err := io.ReadAll(io.LimitReader(r, SizeMax+1))
	if err != nil {
		return envelope{}, fault.As(fault.Unavailable, err)
	}
	e, err := open(name, data)
	// The checksum is of the body alone. An id that arrives damaged would make the writer's own object another's.
	if kept := info.Metadata[MetadataID]; err == nil && kept != "" && kept != e.WriteID {
		return e, fault.New(fault.Corrupt, "%s has the write id %q, its metadata say %q", name, e.WriteID, kept)
	}
	return e, err
}

// doubtful tells whether a failed conditional write may have taken effect, or met an object that may be our own.
func doubtful(err error) bool {
	if errors.Is(err, blob.ErrExists) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Throttled, fault.Unknown, fault.Conflict:
		return true
	}
	return false
}

func unknown(name string, last error) error {
	return fault.Hint(fault.New(fault.Unknown, "whether %s was written could not be learnt: %w", name, last),
		"run the same command again: it finds out before it does anything")
}

func bodyOf(sealed []byte) json.RawMessage {
	var e envelope
	_ = json.Unmarshal(sealed, &e)
	return e.Body
}

// pause is a full-jitter back-off: uniformly between 0 and a doubling ceiling.
type pause struct {
	name         string // of the object
	ceiling, max time.Duration
}

func newPause(name string, first time.Duration) *pause {
	if first <= 0 {
		first = 50 * time.Millisecond
	}
	return &pause{name, first, 32 * first}
}

func (p *pause) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := time.NewTimer(time.Duration(Jitter(ctx, p.name, int64(p.ceiling))))
	defer t.Stop()
	p.ceiling = min(2*p.ceiling, p.max)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
