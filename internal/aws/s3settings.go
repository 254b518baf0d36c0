package aws

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"dynaferry/internal/fault"
)

// Which settings are verified when: encryption, key and bucket key come back with every reply to a write and are
// checked each time. MinIO begins and completes a multipart upload without saying them, but says them of each part that is
// sent (not of one that is copied): there a part tells before anything is visible, and a HEAD after the completion. Storage class, retention and tags are only told by reading, so the first object of each kind
// of write (put, multipart, publish) is read back. A store that ignores a setting stores the object all the same:
// callers that must not have one such object probe the bucket first (blob.ProbeConditional writes through here
// too).

// retainUntil is the retention date of a write that happens now, in the seconds that S3 keeps.
func (b *S3) retainUntil() *time.Time {
	if b.options.LockFor == 0 {
		return nil
	}
	until := time.Now().Add(b.options.LockFor).UTC().Truncate(time.Second)
	return &until
}

// tagging renders tags as the header takes them.
func (b *S3) tagging() *string {
	if len(b.options.Tags) == 0 {
		return nil
	}
	values := url.Values{}
	for name, value := range b.options.Tags {
		values.Set(name, value)
	}
	// A space is %20 in a header for every store; "+" is not.
	encoded := strings.ReplaceAll(values.Encode(), "+", "%20")
	return &encoded
}

func (b *S3) bucketKey() *bool {
	if !b.options.BucketKey {
		return nil
	}
	yes := true
	return &yes
}

// ignored is the error for a setting that the store took no notice of.
func (b *S3) ignored(setting, want, got string) error {
	if got == "" {
		got = "nothing"
	}
	err := fault.New(fault.Unsupported, "%s ignores the setting %s: asked for %s, it reports %s", b.URL(), setting, want, got)
	return fault.Hint(err, "drop the setting %s, or use a store that has it", setting)
}

// encryption is what a reply to a write says.
type encryption struct {
	sse       types.ServerSideEncryption
	key       *string
	bucketKey *bool
}

// asked tells whether an encryption was asked for that replies should confirm.
func (b *S3) asked() bool { return b.options.SSE != "" }

// silent is a reply that says nothing of encryption.
func (e encryption) silent() bool { return e.sse == "" && deref(e.key) == "" && !deref(e.bucketKey) }

// verifyReply checks what every reply carries.
func (b *S3) verifyReply(e encryption) error {
	o := b.options.Settings
	switch {
	case o.SSE != "" && string(e.sse) != o.SSE:
		return b.ignored("sse", o.SSE, string(e.sse))
	case o.KMSKey != "" && !sameKey(o.KMSKey, deref(e.key)):
		return b.ignored("kms-key", o.KMSKey, deref(e.key))
	case o.BucketKey && !deref(e.bucketKey):
		return b.ignored("bucket-key", "true", "")
	}
	return nil
}

// sameKey compares the key asked for with the ARN that is reported. An alias cannot be resolved from here: that
// some key is reported must do.
func sameKey(want, got string) bool {
	switch {
	case got == "":
		return false
	case want == got, strings.HasPrefix(want, "alias/"), strings.Contains(want, ":alias/"):
		return true
	case strings.HasPrefix(want, "arn:"):
		return false
	}
	return strings.HasSuffix(got, "/"+want) || strings.HasSuffix(got, ":"+want)
}

// verifyStored reads the first object of a kind of write back, and checks what only reading tells.
func (b *S3) verifyStored(ctx context.Context, kind, key string, until *time.Time) error {
	o := b.options.Settings
	if o.StorageClass == "" && o.LockMode == "" && len(o.Tags) == 0 {
		return nil
	}
	b.mu.Lock()
	done := b.verified[kind]
	b.mu.Unlock()
	if done {
		return nil
	}
	head, err := b.head(ctx, key)
	if err != nil {
		return err
	}
	class := string(head.StorageClass)
	if class == "" {
		class = "STANDARD" // which S3 does not send
	}
	if o.StorageClass != "" && class != o.StorageClass {
		return b.ignored("storage-class", o.StorageClass, class)
	}
	if o.LockMode != "" {
		if err := b.verifyLock(head, until); err != nil {
			return err
		}
	}
	if err := b.verifyTags(ctx, key); err != nil {
		return err
	}
	b.mu.Lock()
	b.verified[kind] = true
	b.mu.Unlock()
	return nil
}

func (b *S3) verifyLock(head *s3.HeadObjectOutput, until *time.Time) error {
	hint := "allow s3:GetObjectRetention, which shows the retention, or drop the setting"
	if got := string(head.ObjectLockMode); got != b.options.LockMode {
		return fault.Hint(b.ignored("lock-mode", b.options.LockMode, got), "%s", hint)
	}
	if got := deref(head.ObjectLockRetainUntilDate); until != nil && got.Before(until.Add(-time.Second)) {
		return b.ignored("lock-for", until.Format(time.RFC3339), got.Format(time.RFC3339))
	}
	return nil
}

func (b *S3) verifyTags(ctx context.Context, key string) error {
	if len(b.options.Tags) == 0 {
		return nil
	}
	var out *s3.GetObjectTaggingOutput
	_, err := b.do(ctx, try{key: key}, func(ctx context.Context) (err error) {
		out, err = b.client.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &b.bucket, Key: &key})
		return err
	})
	var a *answer
	if errors.As(err, &a) && a.code == "NoSuchTagSet" {
		return b.ignored("tags", "tags", "")
	}
	if err != nil {
		return err
	}
	got := map[string]string{}
	for _, tag := range out.TagSet {
		got[deref(tag.Key)] = deref(tag.Value)
	}
	for name, value := range b.options.Tags {
		if found, ok := got[name]; !ok || found != value {
			return b.ignored("tags", name+"="+value, found)
		}
	}
	return nil
}
