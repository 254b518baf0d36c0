package aws

import (
	"fmt"
	"sync/atomic"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/blobtest"
)

var buckets atomic.Int64

// session opens a session on an endpoint with keys.
func session(t *testing.T, endpoint, access, secret string) *Session {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	s, err := Load(t.Context(), Options{Endpoint: endpoint, Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// versity opens a bucket of its own on the local S3 server.
func versity(t *testing.T, o S3Options, lock bool) *S3 {
	t.Helper()
	p, err := server()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("test-%d", buckets.Add(1))
	if err := p.MakeBucket(t.Context(), name, lock); err != nil {
		t.Fatal(err)
	}
	b, err := session(t, p.Endpoint, p.Config.AccessKey, p.Config.SecretKey).S3(name, "some/prefix", o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSuiteVersity(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Bucket { return versity(t, S3Options{}, false) })
}
