package aws

import (
	"context"
	"iter"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// List is blob.Bucket's. Names come URL-encoded, since XML cannot hold every key. A key listed twice is told once;
// one that comes out of order is an error, because callers merge lists. Keys that end with "/" are what consoles
// make of folders, no objects of anybody.
func (b *S3) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if err := blob.CheckPrefix(prefix); err != nil {
			yield(blob.Info{}, err)
			return
		}
		in := &s3.ListObjectsV2Input{Bucket: &b.bucket, Prefix: str(b.prefix + prefix), EncodingType: types.EncodingTypeUrl}
		if after != "" {
			in.StartAfter = str(b.prefix + after)
		}
		last := b.prefix + after
		for {
			var out *s3.ListObjectsV2Output
			_, err := b.do(ctx, try{key: b.prefix + prefix}, func(ctx context.Context) (err error) {
				out, err = b.client.ListObjectsV2(ctx, in)
				return err
			})
			if err != nil {
				yield(blob.Info{}, b.fail("list", prefix, err))
				return
			}
			for _, object := range out.Contents {
				key, err := decodeKey(out.EncodingType, deref(object.Key))
				switch {
				case err != nil:
				case key == last || strings.HasSuffix(key, "/"):
					continue
				case !strings.HasPrefix(key, b.prefix+prefix):
					err = fault.New(fault.Corrupt, "the list shows %q, which is not below the prefix", key)
				case key < last:
					err = fault.Hint(fault.New(fault.Unsupported, "the list shows %q after %q", key, last),
						"directory buckets list without order: use a general purpose bucket")
				}
				if err != nil {
					yield(blob.Info{}, b.fail("list", prefix, err))
					return
				}
				last = key
				info := blob.Info{Name: key[len(b.prefix):], Size: deref(object.Size), ETag: deref(object.ETag),
					Modified: deref(object.LastModified)}
				if !yield(info, nil) {
					return
				}
			}
			if !deref(out.IsTruncated) {
				return
			}
			next := deref(out.NextContinuationToken)
			if next == "" || next == deref(in.ContinuationToken) {
				yield(blob.Info{}, b.fail("list", prefix, fault.New(fault.Corrupt, "the list says it goes on, and not where")))
				return
			}
			in.ContinuationToken = &next
		}
	}
}

func decodeKey(encoding types.EncodingType, key string) (string, error) {
	if encoding != types.EncodingTypeUrl {
		// What XML cannot hold was replaced on the way: the key's name is lost.
		if strings.ContainsRune(key, '\uFFFD') {
			return "", fault.New(fault.Unsupported, "the store cannot list the key %q as it is", key)
		}
		return key, nil
	}
	decoded, err := url.QueryUnescape(key)
	if err != nil {
		return "", fault.New(fault.Corrupt, "the list shows %q, which is not URL-encoded as it says", key)
	}
	return decoded, nil
}

// Unfinished is blob.Uploads': multipart uploads that were neither completed nor aborted.
func (b *S3) Unfinished(ctx context.Context, prefix string) iter.Seq2[blob.Unfinished, error] {
	return func(yield func(blob.Unfinished, error) bool) {
		in := &s3.ListMultipartUploadsInput{Bucket: &b.bucket, Prefix: str(b.prefix + prefix), EncodingType: types.EncodingTypeUrl}
		for {
			var out *s3.ListMultipartUploadsOutput
			_, err := b.do(ctx, try{key: b.prefix + prefix}, func(ctx context.Context) (err error) {
				out, err = b.client.ListMultipartUploads(ctx, in)
				return err
			})
			if err != nil {
				yield(blob.Unfinished{}, b.fail("list uploads", prefix, err))
				return
			}
			for _, u := range out.Uploads {
				key, err := decodeKey(out.EncodingType, deref(u.Key))
				name, below := strings.CutPrefix(key, b.prefix)
				if err == nil && !below {
					continue
				}
				if !yield(blob.Unfinished{Name: name, ID: deref(u.UploadId), Begun: deref(u.Initiated)}, err) || err != nil {
					return
				}
			}
			if !deref(out.IsTruncated) {
				return
			}
			marker, err := decodeKey(out.EncodingType, deref(out.NextKeyMarker))
			if err == nil && marker == deref(in.KeyMarker) && deref(out.NextUploadIdMarker) == deref(in.UploadIdMarker) {
				err = fault.New(fault.Corrupt, "the list of uploads says it goes on, and not where")
			}
			if err != nil {
				yield(blob.Unfinished{}, b.fail("list uploads", prefix, err))
				return
			}
			in.KeyMarker, in.UploadIdMarker = &marker, out.NextUploadIdMarker
		}
	}
}

// Drop is blob.Uploads'.
func (b *S3) Drop(ctx context.Context, u blob.Unfinished) error {
	key, err := b.key(u.Name)
	if err != nil {
		return err
	}
	drop := upload{b: b, name: u.Name, key: key, id: &u.ID}
	return b.fail("drop the upload of", u.Name, drop.abort(ctx))
}
