package aws

import (
	"context"
	"errors"
	"hash/crc32"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/blobtest"
	"dynaferry/internal/fault"
)

// kinds of write, each of which must notice what a store ignores.
var writes = map[string]func(ctx context.Context, b *S3) error{
	"put": func(ctx context.Context, b *S3) error {
		_, err := b.Put(ctx, "put", []byte("x"), blob.PutOptions{})
		return err
	},
	"multipart": func(ctx context.Context, b *S3) error {
		u, err := b.Create(ctx, "multipart", blob.PutOptions{})
		if err != nil {
			return err
		}
		if err := u.Part(ctx, 1, []byte("x")); err != nil {
			return err
		}
		_, err = u.Complete(ctx)
		return err
	},
	"probe": func(ctx context.Context, b *S3) error { return blob.ProbeConditional(ctx, b, "") },
}

// TestIgnoredSettings: a store that takes no notice of a setting is refused, by the setting's name, at the first write.
func TestIgnoredSettings(t *testing.T) {
	for _, c := range []struct {
		settings blob.Settings
		names    string
		reply    http.Header // what the store says nevertheless
	}{
		{blob.Settings{SSE: "AES256"}, "sse", nil},
		{blob.Settings{SSE: "aws:kms"}, "sse", nil},
		{blob.Settings{SSE: "aws:kms"}, "sse", http.Header{"X-Amz-Server-Side-Encryption": {"AES256"}}},
		{blob.Settings{SSE: "aws:kms", KMSKey: "1234"}, "kms-key", http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"}}},
		{blob.Settings{SSE: "aws:kms", KMSKey: "1234"}, "kms-key", http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"},
			"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": {"arn:aws:kms:eu-west-1:1:key/51234"}}},
		{blob.Settings{SSE: "aws:kms", BucketKey: true}, "bucket-key", http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"}}},
		{blob.Settings{StorageClass: "GLACIER_IR"}, "storage-class", nil},
		{blob.Settings{StorageClass: "GLACIER_IR"}, "storage-class", http.Header{"X-Amz-Storage-Class": {"STANDARD_IA"}}},
		{blob.Settings{LockMode: "COMPLIANCE", LockFor: time.Hour}, "lock-mode", nil},
		{blob.Settings{LockMode: "COMPLIANCE", LockFor: time.Hour}, "lock-mode", http.Header{"X-Amz-Object-Lock-Mode": {"GOVERNANCE"}}},
		{blob.Settings{LockMode: "COMPLIANCE", LockFor: time.Hour}, "lock-for", http.Header{"X-Amz-Object-Lock-Mode": {"COMPLIANCE"},
			"X-Amz-Object-Lock-Retain-Until-Date": {time.Now().Add(time.Minute).UTC().Format(time.RFC3339)}}},
		{blob.Settings{Tags: map[string]string{"team": "a b"}}, "tags", nil},
	} {
		for kind, write := range writes {
			f := newFakeS3(t)
			f.reply = func(w http.ResponseWriter, _ *http.Request) {
				for name, values := range c.reply {
					w.Header()[name] = values
				}
			}
			err := write(t.Context(), f.open(t, S3Options{Settings: c.settings}))
			if fault.KindOf(err) != fault.Unsupported || !strings.Contains(err.Error(), "setting "+c.names+":") {
				t.Errorf("%+v ignored on %s: %v", c.settings, kind, err)
			}
			f.mu.Lock()
			if kind == "probe" && len(f.objects) > 0 {
				t.Errorf("%+v ignored: the probe left %d objects", c.settings, len(f.objects))
			}
			f.mu.Unlock()
		}
	}
}

// TestKeptSettings: a store that honours them is written to, with the headers that S3 documents.
func TestKeptSettings(t *testing.T) {
	settings := blob.Settings{
		SSE: "aws:kms", KMSKey: "1234", BucketKey: true, StorageClass: "STANDARD_IA", LockMode: "GOVERNANCE", LockFor: time.Hour,
		Tags: map[string]string{"team": "a b", "x": "1+2=3/4"}, Metadata: map[string]string{"by": "test"},
	}
	for kind, write := range writes {
		f := newFakeS3(t)
		f.tags = settings.Tags
		f.reply = func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h.Set("X-Amz-Server-Side-Encryption", "aws:kms")
			h.Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "arn:aws:kms:eu-west-1:111122223333:key/1234")
			h.Set("X-Amz-Server-Side-Encryption-Bucket-Key-Enabled", "true")
			h.Set("X-Amz-Storage-Class", "STANDARD_IA")
			h.Set("X-Amz-Object-Lock-Mode", "GOVERNANCE")
			h.Set("X-Amz-Object-Lock-Retain-Until-Date", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		}
		if err := write(t.Context(), f.open(t, S3Options{Settings: settings})); err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		first := f.seen[0]
		for name, want := range map[string]string{
			"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "1234",
			"x-amz-server-side-encryption-bucket-key-enabled": "true", "x-amz-storage-class": "STANDARD_IA",
			"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-tagging": "team=a%20b&x=1%2B2%3D3%2F4", "x-amz-meta-by": "test",
		} {
			if got := first.Get(name); got != want {
				t.Errorf("%s sent %s: %q, want %q", kind, name, got, want)
			}
		}
	}
}

// TestPartsTell: a store that says nothing of encryption when an upload begins and ends is believed once a part or a look
// at the object says it, and refused before anything is visible when none does.
func TestPartsTell(t *testing.T) {
	big := blobtest.Bytes(blob.PartBytesMin+1000, 1)
	publish := func(size int, tail string) func(context.Context, *S3) error {
		return func(ctx context.Context, b *S3) error {
			_, err := b.Publish(ctx, blob.Staged{Name: "staged", Size: int64(size)}, []byte(tail), "final", blob.PutOptions{})
			return err
		}
	}
	for name, c := range map[string]struct {
		write  func(context.Context, *S3) error
		staged int
		want   string // of the final object, behind what was staged
	}{
		"multipart":                  {writes["multipart"], 1, ""},
		"publish":                    {publish(len(big), "tail"), len(big), "tail"},
		"publish without tail":       {publish(len(big), ""), len(big), ""},
		"publish of one small part":  {publish(blob.PartBytesMin, ""), blob.PartBytesMin, ""},
		"publish of less than parts": {publish(1000, "tail"), 1000, "tail"},
	} {
		for _, says := range []struct {
			operations []string
			kms        string
			ok         bool
		}{
			{[]string{"put", "part", "head"}, "aws:kms", true},
			{[]string{"put", "part", "complete"}, "aws:kms", true},
			{[]string{"put", "create", "head"}, "aws:kms", true},
			{[]string{"put", "copy", "part", "head"}, "aws:kms", true},
			{[]string{"head"}, "aws:kms", false},
			{[]string{"head", "complete"}, "aws:kms", false},
			{[]string{"put", "part", "head"}, "AES256", false},
		} {
			f := newFakeS3(t)
			f.objects["staged"] = &fakeObject{body: big[:c.staged]}
			f.reply = func(w http.ResponseWriter, r *http.Request) {
				if slices.Contains(says.operations, operation(r)) {
					w.Header().Set("X-Amz-Server-Side-Encryption", says.kms)
				}
			}
			err := c.write(t.Context(), f.open(t, S3Options{Settings: blob.Settings{SSE: "aws:kms"}}))
			if says.ok {
				if err != nil {
					t.Errorf("%s, said by %q: %v", name, says.operations, err)
				} else if final := f.objects["final"]; final != nil && string(final.body) != string(big[:c.staged])+c.want {
					t.Errorf("%s, said by %q: %d bytes came out of %d", name, says.operations, len(final.body), c.staged)
				}
				continue
			}
			if fault.KindOf(err) != fault.Unsupported || !strings.Contains(err.Error(), "setting sse:") {
				t.Errorf("%s, %s said by %q: %v", name, says.kms, says.operations, err)
			}
			if f.completed > 0 {
				t.Errorf("%s, %s said by %q: an object became visible", name, says.kms, says.operations)
			}
		}
	}
}

func TestSettingsSense(t *testing.T) {
	p, err := server()
	if err != nil {
		t.Fatal(err)
	}
	s := session(t, p.Endpoint, p.Config.AccessKey, p.Config.SecretKey)
	for _, bad := range []blob.Settings{{SSE: "rot13"}, {KMSKey: "x"}, {SSE: "AES256", KMSKey: "x"}, {SSE: "aws:kms:dsse", BucketKey: true},
		{LockMode: "GOVERNANCE"}, {LockFor: time.Hour}, {LockMode: "FOREVER", LockFor: time.Hour}, {LockMode: "GOVERNANCE", LockFor: 5},
		{Metadata: map[string]string{"A": "x"}}} {
		if _, err := s.S3("bucket", "", S3Options{Settings: bad}); fault.KindOf(err) != fault.User || err == nil {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	for _, bucket := range []string{"", "a/b", "a b", "a?x"} {
		if _, err := s.S3(bucket, "", S3Options{}); fault.KindOf(err) != fault.User {
			t.Errorf("bucket %q: %v", bucket, err)
		}
	}
	for _, prefix := range []string{"../x", "a//b", "."} {
		if _, err := s.S3("bucket", prefix, S3Options{}); fault.KindOf(err) != fault.User {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
}

// TestVersitySettings: the local store ignores SSE-KMS without a word, and keeps tags and retention.
func TestVersitySettings(t *testing.T) {
	ctx := t.Context()
	for kind, write := range writes {
		err := write(ctx, versity(t, S3Options{Settings: blob.Settings{SSE: "aws:kms", KMSKey: "k"}}, false))
		if fault.KindOf(err) != fault.Unsupported || !strings.Contains(err.Error(), "setting sse:") {
			t.Errorf("sse-kms by %s: %v", kind, err)
		}
	}
	b := versity(t, S3Options{Settings: blob.Settings{LockMode: "COMPLIANCE", LockFor: time.Hour, Tags: map[string]string{"team": "a b+c"}}}, true)
	for kind, write := range writes {
		if err := write(ctx, b); err != nil {
			t.Errorf("lock and tags by %s: %v", kind, err)
		}
	}
	staged := blobtest.Bytes(blob.PartBytesMin, 1)
	if _, err := b.Put(ctx, "staged", staged, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(ctx, blob.Staged{Name: "staged", Size: blob.PartBytesMin}, []byte("tail"), "final", blob.PutOptions{}); err != nil {
		t.Errorf("lock and tags by publish: %v", err)
	}
	key, _ := b.key("final")
	head, err := b.head(ctx, key)
	if err != nil || head.ObjectLockMode != "COMPLIANCE" {
		t.Errorf("the final object's retention is %v, %v", head.ObjectLockMode, err)
	}
	version := deref(head.VersionId)
	if _, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.bucket, Key: &key, VersionId: &version}); err == nil {
		t.Error("a retained version is deleted")
	}
	if err := b.Delete(ctx, "final"); err != nil { // a marker
		t.Error(err)
	}
	err = writes["put"](ctx, versity(t, S3Options{Settings: blob.Settings{LockMode: "COMPLIANCE", LockFor: time.Hour}}, false))
	if err == nil {
		t.Error("retention in a bucket without it")
	}
}

// TestWrongChecksum: bytes that are not what was signed for are refused by the store, and named corrupt.
func TestWrongChecksum(t *testing.T) {
	b := versity(t, S3Options{Attempts: 2}, false)
	key, _ := b.key("wrong")
	_, err := b.do(t.Context(), try{once: true}, func(ctx context.Context) error {
		wrong := crc32cOf([]byte("other"))
		_, err := b.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.bucket, Key: &key, Body: strings.NewReader("body"), ChecksumCRC32C: &wrong})
		return err
	})
	if fault.KindOf(err) != fault.Corrupt {
		t.Errorf("a wrong checksum: %v", err)
	}
	if _, err := b.Head(t.Context(), "wrong"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("it is stored: %v", err)
	}
}

func TestCombine(t *testing.T) {
	body := blobtest.Bytes(100_000, 1)
	for _, cut := range []int{0, 1, 7, 4096, 99_999, 100_000} {
		u := &upload{parts: map[int32]uploaded{}}
		for n, piece := range [][]byte{body[:cut], body[cut:]} {
			sum := crc32.Checksum(piece, castagnoli)
			u.parts[int32(n+1)] = uploaded{size: int64(len(piece)), sent: &sum}
		}
		if got, want := *u.sum(2), crc32cOf(body); got != want {
			t.Errorf("cut at %d: %s, want %s", cut, got, want)
		}
	}
}

func TestCopyRanges(t *testing.T) {
	for _, size := range []int64{5 << 20, 256 << 20, 256<<20 + 1, 5 << 30, 1 << 40, 48 << 40} {
		at := int64(0)
		ranges := copyRanges(size)
		for _, r := range ranges {
			if r.Offset != at || r.Length < blob.PartBytesMin || r.Length > copyPartTop {
				t.Fatalf("%d bytes: %+v at %d", size, r, at)
			}
			at += r.Length
		}
		if at != size || len(ranges) >= blob.PartsMax {
			t.Errorf("%d bytes: %d in %d ranges", size, at, len(ranges))
		}
	}
}
