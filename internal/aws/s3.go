package aws

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// S3Options are how one bucket is written and asked.
type S3Options struct {
	blob.Settings
	// Attempts is how often a request is sent at most; 0 takes AWS_MAX_ATTEMPTS, else 12: with full jitter and a cap of
	// 10 s about half a minute passes, longer than S3 takes to split a hot prefix once.
	Attempts int
}

// S3 is a bucket, or what lies below a prefix of one. It never redirects, never follows another Region, and asks
// path-style when an endpoint is set.
type S3 struct {
	client      *s3.Client
	credentials sdk.CredentialsProvider
	bucket      string
	prefix      string // "" or "a/b/"
	options     S3Options
	checksums   bool        // false for clones that refuse them: AWS_REQUEST_CHECKSUM_CALCULATION=when_required
	copiesPlain atomic.Bool // part copies into uploads with checksums are refused or lied about, see wantsChecksum and errBorrowed
	pacer       pacer
	sleep       func(ctx context.Context, d time.Duration) error

	mu       sync.Mutex
	verified map[string]bool // kinds of write whose first object was read back, see verifyStored
}

var (
	_ blob.Bucket  = (*S3)(nil)
	_ blob.Uploads = (*S3)(nil)
)

// S3 opens a bucket below a prefix ("" is its root). It makes no request; blob.ProbeConditional tells early whether
// bucket, rights and settings hold.
func (s *Session) S3(bucket, prefix string, o S3Options) (*S3, error) {
	if bucket == "" || strings.ContainsAny(bucket, "/ ?#\\@") {
		err := fault.New(fault.User, "bucket name %q is not one", bucket)
		return nil, fault.Hint(err, "write the address as s3://bucket/prefix")
	}
	prefix = strings.Trim(prefix, "/")
	if prefix != "" {
		if err := blob.CheckName(prefix); err != nil {
			return nil, err
		}
		prefix += "/"
	}
	if err := o.Settings.Check(); err != nil {
		return nil, err
	}
	cfg, err := s.S3Config()
	if err != nil {
		return nil, err
	}
	if o.Attempts == 0 {
		o.Attempts = s.config.RetryMaxAttempts
	}
	if o.Attempts <= 0 {
		o.Attempts = attemptsDefault
	}
	plain := cfg.BaseEndpoint != nil && strings.HasPrefix(strings.ToLower(*cfg.BaseEndpoint), "http:")
	client := s3.NewFromConfig(cfg, func(so *s3.Options) {
		so.BaseEndpoint = cfg.BaseEndpoint
		so.UsePathStyle = cfg.BaseEndpoint != nil
		// Checksums are ours both ways: sent as headers over bodies that are in memory, checked over resumed reads too.
		so.RequestChecksumCalculation = sdk.RequestChecksumCalculationWhenRequired
		so.ResponseChecksumValidation = sdk.ResponseChecksumValidationWhenRequired
		so.DisableLogOutputChecksumValidationSkipped = true
		if !plain {
			// TLS and the CRC protect the body; a SHA-256 over it for the signature would cost more than both.
			so.APIOptions = append(so.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
		}
	})
	return &S3{
		client: client, credentials: cfg.Credentials, bucket: bucket, prefix: prefix, options: o, sleep: sleep,
		checksums: s.config.RequestChecksumCalculation != sdk.RequestChecksumCalculationWhenRequired,
		verified:  map[string]bool{},
	}, nil
}

// URL is blob.Bucket's.
func (b *S3) URL() string { return "s3://" + b.bucket + "/" + strings.TrimSuffix(b.prefix, "/") }

// key is the object's whole key.
func (b *S3) key(name string) (string, error) {
	if err := blob.CheckName(name); err != nil {
		return "", err
	}
	if key := b.prefix + name; len(key) <= blob.NameBytesMax {
		return key, nil
	}
	return "", fault.New(fault.User, "object name %q is longer than 1,024 bytes with the prefix %s", name, b.prefix)
}

// fail adds the verb and the place to an error.
func (b *S3) fail(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	return fault.At(fmt.Errorf("%s: %w", verb, err), fault.Place{File: "s3://" + b.bucket + "/" + b.prefix + name})
}

func str(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// deref gives the value of an optional member of a reply.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
