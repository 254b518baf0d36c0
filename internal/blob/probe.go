package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"dynaferry/internal/fault"
)

// probeAttempts is how many fresh names the probe tries when an answer is lost.
const probeAttempts = 4

// ProbeConditional refuses a store that does not honour conditional writes, by trying them on a small object below dir
// ("" is the root): a second put-if-absent of a name, a multipart completion if-absent of a taken name, and a
// put-if-match with another version's ETag must each fail and leave the first bytes in place. Some stores accept
// and ignore the conditions; on those no commit is safe. The error is then of kind Unsupported. The probe's object
// also shows whether the bucket's Settings hold, before any data is written. Callers keep the answer for as long
// as they keep the bucket; it costs about nine small requests.
func ProbeConditional(ctx context.Context, b Bucket, dir string) error {
	var err error
	for range probeAttempts {
		err = probe(ctx, b, dir)
		// A fresh name is nobody else's: that it exists, or changed, is an answer to a request that was doubled on its way,
		// or the store's way to say that it is busy with it (409).
		if errors.Is(err, ErrExists) || errors.Is(err, ErrChanged) {
			err = &fault.Error{Kind: fault.Unavailable, Err: err}
		}
		if err == nil || !fault.Retryable(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func probe(ctx context.Context, b Bucket, dir string) error {
	name := "probe-" + rand.Text()
	if dir != "" {
		name = dir + "/" + name
	}
	first, second := []byte("dynaferry probe: first"), []byte("dynaferry probe: second")
	absent := PutOptions{Condition: Condition{IfAbsent: true}, NoRetry: true}
	info, err := b.Put(ctx, name, first, absent)
	if fault.KindOf(err) != fault.Permission {
		// Also after an error: the object stands when its answer was lost, or showed that the store heeds no setting. No other
		// process has this name. A store may forbid deletion (retention, a deny policy): then it stays, which harms nobody.
		defer func() { _ = b.Delete(context.WithoutCancel(ctx), name) }()
	}
	if err != nil {
		return fmt.Errorf("probe %s for conditional writes: %w", b.URL(), err)
	}

	refuse := func(what string) error {
		err := fault.New(fault.Unsupported, "%s %s: two writers would both believe they won", b.URL(), what)
		return fault.Hint(err, "use a store with conditional writes, such as Amazon S3, MinIO or a local folder")
	}
	if _, err := b.Put(ctx, name, second, absent); err == nil {
		return refuse("ignores If-None-Match on PutObject")
	} else if !errors.Is(err, ErrExists) {
		return fmt.Errorf("probe %s for put-if-absent: %w", b.URL(), err)
	}
	if err := probeComplete(ctx, b, name, second, absent); err == nil {
		return refuse("ignores If-None-Match on CompleteMultipartUpload")
	} else if !errors.Is(err, ErrExists) {
		return fmt.Errorf("probe %s for complete-if-absent: %w", b.URL(), err)
	}
	current, _, err := ReadAll(ctx, b, name, 1<<10)
	if err == nil && !bytes.Equal(current, first) {
		current, _, err = ReadAll(ctx, b, name, 1<<10) // a bit may have flipped on its way
	}
	if err != nil {
		return fmt.Errorf("probe %s: %w", b.URL(), err)
	}
	if !bytes.Equal(current, first) {
		return refuse("stores what a conditional write was refused for")
	}
	next, err := b.Put(ctx, name, second, PutOptions{Condition: Condition{IfMatch: info.ETag}, NoRetry: true})
	if err != nil {
		return fmt.Errorf("probe %s for put-if-match: %w", b.URL(), err)
	}
	if next.ETag == info.ETag {
		return refuse("gives two contents one ETag")
	}
	_, err = b.Put(ctx, name, first, PutOptions{Condition: Condition{IfMatch: info.ETag}, NoRetry: true})
	if err == nil {
		return refuse("ignores If-Match on PutObject")
	} else if !errors.Is(err, ErrChanged) {
		return fmt.Errorf("probe %s for put-if-match: %w", b.URL(), err)
	}
	return nil
}

func probeComplete(ctx context.Context, b Bucket, name string, body []byte, o PutOptions) error {
	u, err := b.Create(ctx, name, o)
	if err != nil {
		return err
	}
	if err := u.Part(ctx, 1, body); err != nil {
		_ = u.Abort(ctx)
		return err
	}
	if _, err := u.Complete(ctx); err != nil {
		_ = u.Abort(ctx)
		return err
	}
	return nil
}
