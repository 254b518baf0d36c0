package aws

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

const (
	// copyPartBytes is how much one part copy takes: several at once are faster than one large one.
	copyPartBytes = 256 << 20
	// copyPartTop is the largest part (S3UG:qfacts).
	copyPartTop = 5 << 30
	copyFlight  = 4
	// sentEndBytes is how much of an object's end is sent where only a sent part tells its encryption.
	sentEndBytes = 1
)

// Publish is blob.Bucket's: create, copy the staged bytes as parts inside the store, the tail as the last part,
// complete if absent. What is too small for a part is read and put if absent. The conditional step is sent once.
func (b *S3) Publish(ctx context.Context, staged string, stagedSize int64, tail []byte, final string,
	opts blob.PutOptions) (blob.Info, error) {
	info, err := b.publish(ctx, staged, stagedSize, tail, final, opts)
	return info, b.fail("publish "+staged+" as", final, err)
}

func (b *S3) publish(ctx context.Context, staged string, stagedSize int64, tail []byte, final string,
	opts blob.PutOptions) (blob.Info, error) {
	from, err := b.key(staged)
	if err != nil {
		return blob.Info{}, err
	}
	key, err := b.key(final)
	if err != nil {
		return blob.Info{}, err
	}
	if opts.IfMatch != "" {
		return blob.Info{}, fault.New(fault.User, "publish takes no if-match")
	}
	opts.IfAbsent, opts.NoRetry = true, true
	// Most publishers that lose learn it here, before they copy anything.
	if _, err := b.head(ctx, key); err == nil {
		return blob.Info{}, fault.As(fault.Conflict, blob.ErrExists)
	} else if !errors.Is(err, blob.ErrNotFound) {
		return blob.Info{}, err
	}
	out, err := b.head(ctx, from)
	if err != nil {
		return blob.Info{}, fmt.Errorf("staged object: %w", err)
	}
	source := headInfo(staged, out)
	if source.Size != stagedSize {
		return blob.Info{}, fault.New(fault.Corrupt, "%s has %d bytes, %d were staged", staged, source.Size, stagedSize)
	}
	if stagedSize < blob.PartBytesMin {
		return b.publishSmall(ctx, source, tail, final, key, opts)
	}
	return b.publishParts(ctx, source, from, tail, final, opts)
}

func (b *S3) publishSmall(ctx context.Context, source blob.Info, tail []byte, final, key string, opts blob.PutOptions) (blob.Info, error) {
	body, _, err := blob.ReadRange(ctx, b, source.Name, blob.ReadOptions{IfMatch: source.ETag}, blob.PartBytesMin+sentEndBytes)
	if err != nil {
		return blob.Info{}, err
	}
	info, err := b.put(ctx, final, key, append(body, tail...), opts)
	return info, b.raced(ctx, key, err)
}

func (b *S3) publishParts(ctx context.Context, source blob.Info, from string, tail []byte, final string, opts blob.PutOptions) (blob.Info, error) {
	u, err := b.create(ctx, final, opts, b.checksums && !b.copiesPlain.Load())
	if err != nil {
		return blob.Info{}, err
	}
	copied, sent := source.Size, tail
	if u.isUntold() && len(tail) == 0 {
		// Of a part that is copied such a store does not say its encryption: the end of the object is read and sent.
		if copied -= sentEndBytes; copied < blob.PartBytesMin {
			u.drop(ctx)
			return b.publishSmall(ctx, source, nil, final, u.key, opts)
		}
		end := blob.ReadOptions{Offset: copied, Length: sentEndBytes, IfMatch: source.ETag}
		if sent, _, err = blob.ReadRange(ctx, b, source.Name, end, sentEndBytes); err != nil {
			u.drop(ctx)
			return blob.Info{}, err
		}
	}
	copies := copyRanges(copied)
	group, limited := errgroup.WithContext(ctx)
	group.SetLimit(copyFlight)
	for i, r := range copies {
		group.Go(func() error { return u.copyPart(limited, i+1, from, source.ETag, r, r.Length == source.Size) })
	}
	if len(sent) > 0 {
		group.Go(func() error { return u.part(limited, len(copies)+1, sent) })
	}
	if err := group.Wait(); err != nil {
		u.drop(ctx)
		if b.options.Settings.LockMode == "" && u.checksums && wantsChecksum(err) {
			b.copiesPlain.Store(true)
			return b.publishParts(ctx, source, from, tail, final, opts)
		}
		return blob.Info{}, err
	}
	info, err := u.complete(ctx, "publish", true)
	if err != nil && !fault.Retryable(err) { // else it may have landed, or still land
		u.drop(ctx)
	}
	return info, b.raced(ctx, u.key, err)
}

// wantsChecksum tells that a store computes no checksum of a part that it copies and then misses it, as MinIO does
// (2026-02): there objects are put together without, and the ETags of the parts vouch for them.
func wantsChecksum(err error) bool {
	var a *answer
	return errors.As(err, &a) && a.status == 400 && strings.Contains(err.Error(), "checksum missing")
}

// copyRanges cuts size bytes into equal parts, each large enough to have another behind it.
func copyRanges(size int64) []blob.Range {
	each := int64(copyPartBytes)
	if least := size/(blob.PartsMax-2) + 1; least > each {
		each = min(least, copyPartTop)
	}
	count := (size + each - 1) / each
	var ranges []blob.Range
	for i := range count {
		first := size * i / count
		ranges = append(ranges, blob.Range{Offset: first, Length: size*(i+1)/count - first})
	}
	return ranges
}

// copyPart makes a range of the staged object a part. whole leaves the range out, which some clones do not know.
func (u *upload) copyPart(ctx context.Context, n int, from, etag string, r blob.Range, whole bool) error {
	number := int32(n)
	in := &s3.UploadPartCopyInput{
		Bucket: &u.b.bucket, Key: &u.key, UploadId: u.id, PartNumber: &number,
		CopySource: str(copySource(u.b.bucket, from)), CopySourceIfMatch: str(etag),
	}
	if !whole {
		in.CopySourceRange = str(fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1))
	}
	var out *s3.UploadPartCopyOutput
	_, err := u.b.do(ctx, try{timeout: assembleTime}, func(ctx context.Context) (err error) {
		out, err = u.b.client.UploadPartCopy(ctx, in)
		return err
	})
	var a *answer
	if errors.As(err, &a) && a.status == 412 {
		return fault.New(fault.Corrupt, "the staged object changed while it was published: %w", err)
	}
	if err != nil {
		return err
	}
	if out.CopyPartResult == nil || deref(out.CopyPartResult.ETag) == "" {
		return fault.New(fault.Unsupported, "%s copies a part and does not say its ETag", u.b.URL())
	}
	u.record(number, uploaded{size: r.Length, etag: out.CopyPartResult.ETag, crc32c: out.CopyPartResult.ChecksumCRC32C})
	return u.tell(encryption{out.ServerSideEncryption, out.SSEKMSKeyId, out.BucketKeyEnabled})
}

// copySource escapes a key for its header; slashes stay.
func copySource(bucket, key string) string {
	segments := strings.Split(key, "/")
	for i, s := range segments {
		segments[i] = strings.ReplaceAll(url.PathEscape(s), "+", "%2B")
	}
	return bucket + "/" + strings.Join(segments, "/")
}

// raced looks where a 409 leaves the final object: S3 says it to both of two writers at once, so there may be
// none. Then the publisher may try again.
func (b *S3) raced(ctx context.Context, key string, err error) error {
	var a *answer
	if !errors.Is(err, blob.ErrExists) || !errors.As(err, &a) || a.status != 409 {
		return err
	}
	if _, head := b.head(ctx, key); errors.Is(head, blob.ErrNotFound) {
		return fault.New(fault.Unavailable, "another writer was at it, and the object is not there yet: %s", a)
	}
	return err
}
