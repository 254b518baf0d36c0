package aws

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// Create is blob.Bucket's.
func (b *S3) Create(ctx context.Context, name string, opts blob.PutOptions) (blob.Upload, error) {
	u, err := b.create(ctx, name, opts, b.checksums)
	if err != nil {
		return nil, b.fail("create", name, err)
	}
	return u, nil
}

func (b *S3) create(ctx context.Context, name string, opts blob.PutOptions, checksums bool) (*upload, error) {
	key, err := b.key(name)
	if err != nil {
		return nil, err
	}
	if err := opts.Check(); err != nil {
		return nil, err
	}
	o := b.options.Settings
	u := &upload{b: b, name: name, key: key, opts: opts, until: b.retainUntil(), parts: map[int32]uploaded{},
		metadata: blob.MergeMetadata(o.Metadata, opts.Metadata)}
	in := &s3.CreateMultipartUploadInput{
		Bucket: &b.bucket, Key: &key, ContentType: str(opts.ContentType), Metadata: u.metadata,
		ServerSideEncryption: types.ServerSideEncryption(o.SSE), SSEKMSKeyId: str(o.KMSKey), BucketKeyEnabled: b.bucketKey(),
		StorageClass: types.StorageClass(o.StorageClass), Tagging: b.tagging(),
		ObjectLockMode: types.ObjectLockMode(o.LockMode), ObjectLockRetainUntilDate: u.until,
	}
	if checksums || o.LockMode != "" {
		// One checksum of the whole object, which every later reader can compute, not one of the parts' checksums.
		in.ChecksumAlgorithm, in.ChecksumType = types.ChecksumAlgorithmCrc32c, types.ChecksumTypeFullObject
		u.checksums = true
	}
	var out *s3.CreateMultipartUploadOutput
	// A create whose answer was lost leaves an empty upload, which vacuum finds.
	_, err = b.do(ctx, try{key: key}, func(ctx context.Context) (err error) {
		out, err = b.client.CreateMultipartUpload(ctx, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	u.id, u.whole = out.UploadId, u.checksums && out.ChecksumType == types.ChecksumTypeFullObject
	u.untold = b.asked()
	if err := u.tell(encryption{out.ServerSideEncryption, out.SSEKMSKeyId, out.BucketKeyEnabled}); err != nil {
		u.drop(ctx)
		return nil, err
	}
	return u, nil
}

// tell checks what a reply says of the upload's encryption, which is fixed from its beginning on. Not every reply says it.
func (u *upload) tell(e encryption) error {
	if e.silent() {
		return nil
	}
	if err := u.b.verifyReply(e); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.untold = false
	return nil
}

func (u *upload) isUntold() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.untold
}

// upload is a multipart upload of ours. A second Part of a number replaces the first, as it does in S3.
type upload struct {
	b         *S3
	name, key string
	opts      blob.PutOptions
	metadata  map[string]string
	until     *time.Time
	id        *string
	checksums bool // parts carry a CRC32C
	whole     bool // the store keeps one CRC32C of the whole object

	mu     sync.Mutex
	parts  map[int32]uploaded
	untold bool // an encryption was asked for that no reply has confirmed
	ended  bool
}

// uploaded is a part the store has.
type uploaded struct {
	size   int64
	etag   *string
	sent   *uint32 // its CRC-32C, when we sent the bytes
	crc32c *string // as the store told it
}

func (u *upload) Part(ctx context.Context, n int, body []byte) error {
	return u.b.fail("write part of", u.name, u.part(ctx, n, body))
}

func (u *upload) part(ctx context.Context, n int, body []byte) error {
	if n < 1 || n > blob.PartsMax {
		return fault.New(fault.User, "part %d is not between 1 and %d", n, blob.PartsMax)
	}
	if err := u.open(); err != nil {
		return err
	}
	number, size := int32(n), int64(len(body))
	in := &s3.UploadPartInput{Bucket: &u.b.bucket, Key: &u.key, UploadId: u.id, PartNumber: &number, ContentLength: &size}
	done := uploaded{size: size}
	if u.checksums {
		sum := crc32.Checksum(body, castagnoli)
		done.sent, done.crc32c = &sum, str(crc32c(sum))
		in.ChecksumCRC32C = done.crc32c
	}
	var out *s3.UploadPartOutput
	_, err := u.b.do(ctx, try{key: u.key, timeout: bodyTime(len(body))}, func(ctx context.Context) (err error) {
		in.Body = bytes.NewReader(body)
		out, err = u.b.client.UploadPart(ctx, in)
		return err
	})
	if err != nil {
		return err
	}
	if got := deref(out.ChecksumCRC32C); u.checksums && got != "" && got != *done.crc32c {
		return fault.New(fault.Corrupt, "part %d: sent bytes with CRC32C %s, the store has %s", n, *done.crc32c, got)
	}
	done.etag = out.ETag
	u.record(number, done)
	return u.tell(encryption{out.ServerSideEncryption, out.SSEKMSKeyId, out.BucketKeyEnabled})
}

func (u *upload) record(n int32, p uploaded) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = p
}

func (u *upload) open() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return fault.New(fault.Bug, "the upload has ended")
	}
	return nil
}

// completed lists the parts in order, and checks that they make an object.
func (u *upload) completed() (parts []types.CompletedPart, size int64, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return nil, 0, fault.New(fault.Bug, "the upload has ended")
	}
	if len(u.parts) == 0 {
		return nil, 0, fault.New(fault.User, "no part was written")
	}
	for n := int32(1); int(n) <= len(u.parts); n++ {
		p, ok := u.parts[n]
		if !ok {
			return nil, 0, fault.New(fault.User, "part %d is missing", n)
		}
		if int(n) < len(u.parts) && p.size < blob.PartBytesMin {
			return nil, 0, fault.New(fault.User, "part %d has only %d bytes", n, p.size)
		}
		parts = append(parts, types.CompletedPart{PartNumber: &n, ETag: p.etag, ChecksumCRC32C: p.crc32c})
		size += p.size
	}
	u.ended = true
	return parts, size, nil
}

// sum is the whole object's CRC-32C, or nil when a part's is not known.
func (u *upload) sum(count int) *string {
	whole := uint32(0)
	for n := int32(1); int(n) <= count; n++ {
		p := u.parts[n]
		if p.sent == nil {
			return nil
		}
		whole = combine(whole, *p.sent, p.size)
	}
	return str(crc32c(whole))
}

func (u *upload) Complete(ctx context.Context) (blob.Info, error) {
	info, err := u.complete(ctx, "multipart", u.opts.NoRetry)
	return info, u.b.fail("complete", u.name, err)
}

// complete makes the object visible. once is for conditional steps whose lost answer the caller resolves.
func (u *upload) complete(ctx context.Context, kind string, once bool) (blob.Info, error) {
	if u.isUntold() { // nothing is visible yet
		u.drop(ctx)
		return blob.Info{}, u.b.verifyReply(encryption{})
	}
	parts, size, err := u.completed()
	if err != nil {
		return blob.Info{}, err
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &u.b.bucket, Key: &u.key, UploadId: u.id, IfMatch: str(u.opts.IfMatch),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}
	if u.opts.IfAbsent {
		in.IfNoneMatch = str("*")
	}
	if u.whole {
		if in.ChecksumCRC32C = u.sum(len(parts)); in.ChecksumCRC32C != nil {
			in.ChecksumType = types.ChecksumTypeFullObject
		}
	}
	var out *s3.CompleteMultipartUploadOutput
	unsure, err := u.b.do(ctx, try{key: u.key, once: once, timeout: assembleTime}, func(ctx context.Context) (err error) {
		out, err = u.b.client.CompleteMultipartUpload(ctx, in)
		return err
	})
	if err != nil {
		return u.lost(ctx, unsure, size, parts, err)
	}
	if want, got := deref(in.ChecksumCRC32C), deref(out.ChecksumCRC32C); want != "" && got != "" && want != got {
		return blob.Info{}, fault.New(fault.Corrupt, "sent bytes with CRC32C %s, the store has %s", want, got)
	}
	if err := u.verifyEncryption(ctx, encryption{out.ServerSideEncryption, out.SSEKMSKeyId, out.BucketKeyEnabled}); err != nil {
		return blob.Info{}, err
	}
	if err := u.b.verifyStored(ctx, kind, u.key, u.until); err != nil {
		return blob.Info{}, err
	}
	return blob.Info{Name: u.name, Size: size, ETag: deref(out.ETag), Metadata: u.metadata}, nil
}

// verifyEncryption checks the completed object: by the reply, or where that says nothing, by a look at the object.
func (u *upload) verifyEncryption(ctx context.Context, e encryption) error {
	if u.b.asked() && e.silent() {
		out, err := u.b.head(ctx, u.key)
		if err != nil {
			return err
		}
		e = encryption{out.ServerSideEncryption, out.SSEKMSKeyId, out.BucketKeyEnabled}
	}
	return u.b.verifyReply(e)
}

// lost finds what a Complete without success means. An upload that is no more, after an attempt whose answer was lost,
// was most likely completed by that attempt: then the object there is ours.
func (u *upload) lost(ctx context.Context, unsure bool, size int64, parts []types.CompletedPart, failed error) (blob.Info, error) {
	var a *answer
	if !errors.As(failed, &a) || a.code != "NoSuchUpload" {
		return blob.Info{}, conditional(failed, u.opts.Condition)
	}
	out, err := u.b.head(ctx, u.key)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return blob.Info{}, fault.New(fault.Conflict, "the upload was aborted by somebody: %w", failed)
	case err != nil:
		return blob.Info{}, fault.New(fault.Unavailable, "%w; and the object cannot be looked at: %w", failed, err)
	}
	info := headInfo(u.name, out)
	if unsure && info.Size == size && u.ours(info, parts) {
		return info, nil
	}
	if u.opts.IfAbsent {
		return blob.Info{}, fault.New(fault.Conflict, "%w: %w", blob.ErrExists, failed)
	}
	if u.opts.IfMatch != "" {
		return blob.Info{}, fault.New(fault.Conflict, "%w: %w", blob.ErrChanged, failed)
	}
	return blob.Info{}, fault.New(fault.Conflict, "the upload was ended by somebody: %w", failed)
}

// ours tells an object made of our parts: by the ETag that S3 documents for them, or where a key service makes
// ETags opaque, by the metadata, on names that no two writers share.
func (u *upload) ours(info blob.Info, parts []types.CompletedPart) bool {
	var sums []byte
	for _, p := range parts {
		sum, err := hex.DecodeString(strings.Trim(deref(p.ETag), `"`))
		if err != nil || len(sum) != md5.Size {
			return sameMetadata(info.Metadata, u.metadata)
		}
		sums = append(sums, sum...)
	}
	whole := md5.Sum(sums)
	if strings.Trim(info.ETag, `"`) == fmt.Sprintf("%x-%d", whole, len(parts)) {
		return true
	}
	return strings.HasPrefix(u.b.options.SSE, "aws:kms") && sameMetadata(info.Metadata, u.metadata)
}

func sameMetadata(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, value := range a {
		if other, ok := b[name]; !ok || other != value {
			return false
		}
	}
	return true
}

func (u *upload) Abort(ctx context.Context) error {
	u.mu.Lock()
	u.ended = true
	u.mu.Unlock()
	return u.b.fail("abort", u.name, u.abort(ctx))
}

func (u *upload) abort(ctx context.Context) error {
	_, err := u.b.do(ctx, try{key: u.key}, func(ctx context.Context) error {
		_, err := u.b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket: &u.b.bucket, Key: &u.key, UploadId: u.id,
		})
		return err
	})
	var a *answer
	if errors.As(err, &a) && (a.code == "NoSuchUpload" || a.status == 404) {
		return nil
	}
	return err
}

// drop aborts an upload that cannot be completed any more, whatever becomes of ctx; what stays is found by vacuum.
func (u *upload) drop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTime)
	defer cancel()
	_ = u.abort(ctx)
}
