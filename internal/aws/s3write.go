package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// putBytesMax is the largest single PUT (S3UG).
const putBytesMax = 5 << 30

// Put is blob.Bucket's. With NoRetry the request is sent again only when it was refused unread for its credentials
// or clock. The Info has no time: S3's reply does not tell it.
func (b *S3) Put(ctx context.Context, name string, body []byte, opts blob.PutOptions) (blob.Info, error) {
	key, err := b.key(name)
	if err != nil {
		return blob.Info{}, err
	}
	if err := opts.Check(); err != nil {
		return blob.Info{}, err
	}
	if len(body) > putBytesMax {
		return blob.Info{}, fault.New(fault.Limit, "put %s: %d bytes are more than one request takes", name, len(body))
	}
	info, err := b.put(ctx, name, key, body, opts)
	return info, b.fail("put", name, err)
}

func (b *S3) put(ctx context.Context, name, key string, body []byte, opts blob.PutOptions) (blob.Info, error) {
	o, until, size := b.options.Settings, b.retainUntil(), int64(len(body))
	metadata := blob.MergeMetadata(o.Metadata, opts.Metadata)
	in := &s3.PutObjectInput{
		Bucket: &b.bucket, Key: &key, ContentLength: &size,
		ContentType: str(opts.ContentType), Metadata: metadata,
		ServerSideEncryption: types.ServerSideEncryption(o.SSE), SSEKMSKeyId: str(o.KMSKey), BucketKeyEnabled: b.bucketKey(),
		StorageClass: types.StorageClass(o.StorageClass), Tagging: b.tagging(),
		ObjectLockMode: types.ObjectLockMode(o.LockMode), ObjectLockRetainUntilDate: until,
		IfMatch: str(opts.IfMatch),
	}
	if opts.IfAbsent {
		in.IfNoneMatch = str("*")
	}
	if b.checksums || o.LockMode != "" { // a locked object has to come with one (S3UG:object-lock)
		in.ChecksumCRC32C = str(crc32cOf(body))
	}
	var out *s3.PutObjectOutput
	_, err := b.do(ctx, try{key: key, once: opts.NoRetry, timeout: bodyTime(len(body))}, func(ctx context.Context) (err error) {
		in.Body = bytes.NewReader(body)
		out, err = b.client.PutObject(ctx, in)
		return err
	})
	if err != nil {
		return blob.Info{}, conditional(err, opts.Condition)
	}
	if got := deref(out.ChecksumCRC32C); in.ChecksumCRC32C != nil && got != "" && got != *in.ChecksumCRC32C {
		return blob.Info{}, fault.New(fault.Corrupt, "sent bytes with CRC32C %s, the store has %s", *in.ChecksumCRC32C, got)
	}
	if err := b.verifyReply(encryption{out.ServerSideEncryption, out.SSEKMSKeyId, out.BucketKeyEnabled}); err != nil {
		return blob.Info{}, err
	}
	if err := b.verifyStored(ctx, "put", key, until); err != nil {
		return blob.Info{}, err
	}
	return blob.Info{Name: name, Size: size, ETag: deref(out.ETag), Metadata: metadata}, nil
}

// deleteMax is how many keys one DeleteObjects takes (API).
const deleteMax = 1000

// Delete is blob.Bucket's. In a versioned bucket it leaves a delete marker; a retained version stays below it.
func (b *S3) Delete(ctx context.Context, names ...string) error {
	keys := make([]types.ObjectIdentifier, len(names))
	for i, name := range names {
		key, err := b.key(name)
		if err != nil {
			return err
		}
		keys[i].Key = &key
	}
	var failed error
	for len(keys) > 0 {
		n := min(len(keys), deleteMax)
		err := b.deleteSome(ctx, keys[:n])
		failed = errors.Join(failed, err)
		if err != nil && ctx.Err() != nil {
			break
		}
		keys = keys[n:]
	}
	return failed
}

func (b *S3) deleteSome(ctx context.Context, keys []types.ObjectIdentifier) error {
	for attempt := 1; ; attempt++ {
		quiet := true
		var out *s3.DeleteObjectsOutput
		_, err := b.do(ctx, try{key: *keys[0].Key}, func(ctx context.Context) (err error) {
			out, err = b.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
				Bucket: &b.bucket, Delete: &types.Delete{Objects: keys, Quiet: &quiet},
			})
			return err
		})
		if err != nil {
			return b.fail("delete below", "", err)
		}
		// Single keys fail inside a reply of 200.
		var failed error
		var again []types.ObjectIdentifier
		for _, e := range out.Errors {
			a := &answer{operation: "S3 DeleteObjects", code: deref(e.Code), message: deref(e.Message)}
			a.cause = fmt.Errorf("%s", a.code)
			kind := a.kind()
			if a.code == "NoSuchKey" || a.code == "NoSuchVersion" {
				continue
			}
			if kind.Retryable() {
				again = append(again, types.ObjectIdentifier{Key: e.Key})
			}
			if failed == nil || !kind.Retryable() {
				failed = fault.At(fault.New(kind, "%w", a), fault.Place{File: "s3://" + b.bucket + "/" + deref(e.Key)})
			}
		}
		if failed == nil || len(again) < len(out.Errors) && !fault.Retryable(failed) || attempt >= b.options.Attempts {
			return failed
		}
		keys = again
		if err := b.sleep(ctx, backoff(ctx, *keys[0].Key, attempt)); err != nil {
			return err
		}
	}
}
