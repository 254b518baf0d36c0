//go:build peers

package aws

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/blobtest"
)

// TestPeerMinIO runs the blob suite against a store that somebody else wrote: PEER_S3_ENDPOINT, PEER_S3_ACCESS_KEY and
// PEER_S3_SECRET_KEY name it; PEER_S3_KMS_KEY, when set, a key it encrypts with.
func TestPeerMinIO(t *testing.T) {
	endpoint := os.Getenv("PEER_S3_ENDPOINT")
	if endpoint == "" {
		t.Skip("SKIPPED, NOT PASSED: PEER_S3_ENDPOINT is not set, so no second S3 store judges the S3 wing; make peers fetches MinIO and runs this")
	}
	s := session(t, endpoint, os.Getenv("PEER_S3_ACCESS_KEY"), os.Getenv("PEER_S3_SECRET_KEY"))
	run, n := time.Now().UnixNano(), 0
	open := func(t *testing.T, o S3Options, lock bool) *S3 {
		t.Helper()
		n++
		b, err := s.S3(fmt.Sprintf("peer-%d-%d", run, n), "some/prefix", o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &b.bucket, ObjectLockEnabledForBucket: &lock}); err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Run("suite", func(t *testing.T) {
		blobtest.Run(t, func(t *testing.T) blob.Bucket { return open(t, S3Options{}, false) })
	})
	t.Run("retention and tags", func(t *testing.T) {
		b := open(t, S3Options{Settings: blob.Settings{LockMode: "GOVERNANCE", LockFor: time.Hour, Tags: map[string]string{"a": "b c"}}}, true)
		for kind, write := range writes {
			if err := write(t.Context(), b); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
	})
	t.Run("encryption", func(t *testing.T) {
		key := os.Getenv("PEER_S3_KMS_KEY")
		if key == "" {
			t.Skip("SKIPPED, NOT PASSED: PEER_S3_KMS_KEY names no key to encrypt with; make peers starts MinIO with one and runs this")
		}
		b := open(t, S3Options{Settings: blob.Settings{SSE: "aws:kms", KMSKey: key}}, false)
		for kind, write := range writes {
			if err := write(t.Context(), b); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		// What is staged is of a bucket without settings; what is published has them, with and without a tail.
		plain, err := s.S3(b.bucket, "some/prefix", S3Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			size int
			tail string
		}{{1000, "tail"}, {blob.PartBytesMin, ""}, {blob.PartBytesMin, "tail"}, {blob.PartBytesMin + 1, ""}, {3 * blob.PartBytesMin, ""}} {
			name, body := fmt.Sprintf("%d%s", c.size, c.tail), blobtest.Bytes(c.size, 1)
			if _, err := plain.Put(t.Context(), "staged-"+name, body, blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Publish(t.Context(), blob.Staged{Name: "staged-" + name, Size: int64(c.size)}, []byte(c.tail), name, blob.PutOptions{}); err != nil {
				t.Errorf("publish %s: %v", name, err)
				continue
			}
			got, _, err := blob.ReadAll(t.Context(), plain, name, 1<<30)
			if err != nil || string(got) != string(body)+c.tail {
				t.Errorf("publish %s: %d bytes came out, %v", name, len(got), err)
			}
			if out, err := b.head(t.Context(), "some/prefix/"+name); err != nil || out.ServerSideEncryption != "aws:kms" {
				t.Errorf("publish %s: it is encrypted by %v, %v", name, out.ServerSideEncryption, err)
			}
		}
		b = open(t, S3Options{Settings: blob.Settings{SSE: "aws:kms", KMSKey: key + "-other"}}, false)
		if err := writes["put"](t.Context(), b); err == nil || strings.Contains(err.Error(), "bug") {
			t.Errorf("another key: %v", err)
		}
	})
}
