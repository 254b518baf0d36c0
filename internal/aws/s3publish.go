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
func (b *S3) Publish(ctx context.Context, staged blob.Staged, tail []byte, final string, opts blob.PutOptions) (blob.Info, error) {
	info, err := b.publish(ctx, staged, tail, final, opts)
	return info, b.fail("publish "+staged.Name+" as", final, err)
}

func (b *S3) publish(ctx context.Context, staged blob.Staged, tail []byte, final string, opts blob.PutOptions) (blob.Info, error) {
	kept, err := staged.Kept()
	if err != nil {
		return blob.Info{}, err
	}
	from, err := b.key(staged.Name)
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
	out, err := b.headSum(ctx, from)
	if err != nil {
		return blob.Info{}, fmt.Errorf("staged object: %w", err)
	}
	source := copied{headInfo(staged.Name, out), from, kept, deref(out.ChecksumCRC32C)}
	if source.Size != staged.Size {
		return blob.Info{}, fault.New(fault.Corrupt, "%s has %d bytes, %d were staged", staged.Name, source.Size, staged.Size)
	}
	if kept < blob.PartBytesMin {
		return b.publishSmall(ctx, source, tail, final, key, opts)
	}
	return b.publishParts(ctx, source, tail, final, opts)
}

// copied is what Publish copies from: the first kept bytes of an object.
type copied struct {
	blob.Info
	key    string
	kept   int64
	crc32c string // of the whole object, "" when the store has none
}

// publishSmall reads the first bytes of the source and puts them with the tail.
func (b *S3) publishSmall(ctx context.Context, source copied, tail []byte, final, key string, opts blob.PutOptions) (blob.Info, error) {
	var body []byte
	if source.kept > 0 {
		var err error
		body, _, err = blob.ReadRange(ctx, b, source.Name, blob.ReadOptions{Length: source.kept, IfMatch: source.ETag}, blob.PartBytesMin+sentEndBytes)
		if err != nil {
			return blob.Info{}, err
		}
	}
	info, err := b.put(ctx, final, key, append(body, tail...), opts)
	return info, b.raced(ctx, key, err)
}

func (b *S3) publishParts(ctx context.Context, source copied, tail []byte, final string, opts blob.PutOptions) (blob.Info, error) {
	u, err := b.create(ctx, final, opts, b.checksums && !b.copiesPlain.Load())
	if err != nil {
		return blob.Info{}, err
	}
	copying, sent := source.kept, tail
	if u.isUntold() && len(tail) == 0 {
		// Of a part that is copied such a store does not say its encryption: the end of the object is read and sent.
		if copying -= sentEndBytes; copying < blob.PartBytesMin {
			u.drop(ctx)
			return b.publishSmall(ctx, source, nil, final, u.key, opts)
		}
		end := blob.ReadOptions{Offset: copying, Length: sentEndBytes, IfMatch: source.ETag}
		if sent, _, err = blob.ReadRange(ctx, b, source.Name, end, sentEndBytes); err != nil {
			u.drop(ctx)
			return blob.Info{}, err
		}
	}
	copies := copyRanges(copying)
	group, limited := errgroup.WithContext(ctx)
	group.SetLimit(copyFlight)
	for i, r := range copies {
		group.Go(func() error { return u.copyPart(limited, i+1, source, r) })
	}
	if len(sent) > 0 {
		group.Go(func() error { return u.part(limited, len(copies)+1, sent) })
	}
	if err := group.Wait(); err != nil {
		u.drop(ctx)
		if b.options.Settings.LockMode == "" && u.checksums && (wantsChecksum(err) || errors.Is(err, errBorrowed)) {
			b.copiesPlain.Store(true)
			return b.publishParts(ctx, source, tail, final, opts)
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

// errBorrowed: the store gives a part the checksum of the whole object that it copied the part from, as versitygw does
// (2026-07); the object would carry a checksum that is not its own.
var errBorrowed = fault.New(fault.Unsupported, "the store says the checksum of the whole object of a part that it copied from it")

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

// copyPart makes a range of the source a part. Of the whole the range is left out, which some clones do not know.
func (u *upload) copyPart(ctx context.Context, n int, source copied, r blob.Range) error {
	number, whole := int32(n), r.Length == source.Size
	in := &s3.UploadPartCopyInput{
		Bucket: &u.b.bucket, Key: &u.key, UploadId: u.id, PartNumber: &number,
		CopySource: str(copySource(u.b.bucket, source.key)), CopySourceIfMatch: str(source.ETag),
	}
	if !whole {
		in.CopySourceRange = str(fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1))
	}
	var out *s3.UploadPartCopyOutput
	_, err := u.b.do(ctx, try{key: u.key, timeout: assembleTime}, func(ctx context.Context) (err error) {
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
	sum := out.CopyPartResult.ChecksumCRC32C
	if u.checksums && !whole && source.crc32c != "" && deref(sum) == source.crc32c {
		return errBorrowed
	}
	u.record(number, uploaded{size: r.Length, etag: out.CopyPartResult.ETag, crc32c: sum})
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
