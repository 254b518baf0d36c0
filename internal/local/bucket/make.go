package bucket

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"dynaferry/internal/fault"
)

// makeBuckets makes those of the configuration; an error ends the child.
func (p *Process) makeBuckets(ctx context.Context) error {
	for _, name := range p.Config.Buckets {
		if err := p.MakeBucket(ctx, name, false); err != nil {
			p.Close()
			return err
		}
	}
	return nil
}

// MakeBucket makes a bucket unless it exists. With lock its objects can be retained (Object Lock, which needs
// versions). Only package aws sees the SDK, so the one request is signed here.
func (p *Process) MakeBucket(ctx context.Context, name string, lock bool) error {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return fault.New(fault.User, "bucket name %q: only a-z, 0-9, dots and dashes", name)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, p.Endpoint+"/"+name, nil)
	if err != nil {
		return err
	}
	if lock {
		req.Header.Set("x-amz-bucket-object-lock-enabled", "true")
	}
	p.sign(req, time.Now().UTC())
	reply, err := http.DefaultClient.Do(req)
	if err != nil {
		return fault.New(fault.Unavailable, "make bucket %s: %w", name, err)
	}
	defer reply.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(reply.Body, 4<<10))
	// A bucket made under another access key of ours is said to be another owner's; the root key rules them all.
	if reply.StatusCode == http.StatusOK || reply.StatusCode == http.StatusConflict &&
		(strings.Contains(string(body), "BucketAlreadyOwnedByYou") || strings.Contains(string(body), "BucketAlreadyExists")) {
		return nil
	}
	return fault.New(fault.User, "make bucket %s: status %d: %s", name, reply.StatusCode, body)
}

// emptySHA256 is the hash of a body without bytes.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// sign adds a version 4 signature for a request without query and body (AWS General Reference: create a signed
// request).
func (p *Process) sign(req *http.Request, now time.Time) {
	stamp, day := now.Format("20060102T150405Z"), now.Format("20060102")
	req.Header.Set("x-amz-date", stamp)
	req.Header.Set("x-amz-content-sha256", emptySHA256)
	names := []string{"host", "x-amz-content-sha256", "x-amz-date"}
	if req.Header.Get("x-amz-bucket-object-lock-enabled") != "" {
		names = []string{"host", "x-amz-bucket-object-lock-enabled", "x-amz-content-sha256", "x-amz-date"}
	}
	var headers strings.Builder
	for _, name := range names {
		value := req.Header.Get(name)
		if name == "host" {
			value = req.URL.Host
		}
		headers.WriteString(name + ":" + value + "\n")
	}
	signed := strings.Join(names, ";")
	canonical := strings.Join([]string{req.Method, req.URL.EscapedPath(), "", headers.String(), signed, emptySHA256}, "\n")
	scope := day + "/" + p.Config.Region + "/s3/aws4_request"
	digest := sha256.Sum256([]byte(canonical))
	text := "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + hex.EncodeToString(digest[:])
	key := []byte("AWS4" + p.Config.SecretKey)
	for _, step := range []string{day, p.Config.Region, "s3", "aws4_request"} {
		key = mac(key, step)
	}
	req.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		p.Config.AccessKey, scope, signed, hex.EncodeToString(mac(key, text))))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
