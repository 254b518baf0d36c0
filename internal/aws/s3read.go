package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// resumesMax bounds how often one body is taken up again, each time a little further.
const resumesMax = 500

// idleTime is how long a body may stay silent before it counts as cut.
const idleTime = 30 * time.Second

// Head is blob.Bucket's.
func (b *S3) Head(ctx context.Context, name string) (blob.Info, error) {
	key, err := b.key(name)
	if err != nil {
		return blob.Info{}, err
	}
	out, err := b.head(ctx, key)
	if err != nil {
		return blob.Info{}, b.fail("head", name, err)
	}
	return headInfo(name, out), nil
}

func (b *S3) head(ctx context.Context, key string) (*s3.HeadObjectOutput, error) {
	return b.look(ctx, &s3.HeadObjectInput{Bucket: &b.bucket, Key: &key})
}

// headSum is head of an object that is about to be read, with its checksum.
func (b *S3) headSum(ctx context.Context, key string) (*s3.HeadObjectOutput, error) {
	return b.look(ctx, &s3.HeadObjectInput{Bucket: &b.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
}

func (b *S3) look(ctx context.Context, in *s3.HeadObjectInput) (out *s3.HeadObjectOutput, err error) {
	_, err = b.do(ctx, try{key: *in.Key}, func(ctx context.Context) error {
		out, err = b.client.HeadObject(ctx, in)
		return err
	})
	return out, err
}

func headInfo(name string, out *s3.HeadObjectOutput) blob.Info {
	return blob.Info{Name: name, Size: deref(out.ContentLength), ETag: deref(out.ETag),
		Modified: deref(out.LastModified), Metadata: lowerNames(out.Metadata)}
}

// lowerNames: header names come in any case, metadata names are lower-case.
func lowerNames(m map[string]string) map[string]string {
	lower := make(map[string]string, len(m))
	for name, value := range m {
		lower[strings.ToLower(name)] = value
	}
	return lower
}

// Get is blob.Bucket's.
func (b *S3) Get(ctx context.Context, name string, opts blob.ReadOptions) (io.ReadCloser, blob.Info, error) {
	key, err := b.key(name)
	if err != nil {
		return nil, blob.Info{}, err
	}
	r := &reader{b: b, ctx: ctx, name: name, key: key, etag: opts.IfMatch}
	info, err := r.begin(opts)
	if err != nil {
		return nil, blob.Info{}, b.fail("get", name, conditional(err, blob.Condition{IfMatch: opts.IfMatch}))
	}
	return r, info, nil
}

// reader is one range of one version; a body that breaks is taken up where it broke.
type reader struct {
	b         *S3
	ctx       context.Context
	name, key string
	etag      string

	body   io.ReadCloser
	cancel context.CancelFunc // of the body's request
	at     int64              // next byte of the object
	left   int64
	check  *stored
	fails  int // since a byte came
	again  int // resumptions in all
	err    error
}

// begin sends the first request and learns what the object is.
func (r *reader) begin(o blob.ReadOptions) (blob.Info, error) {
	if o.Offset < 0 && o.Length > 0 { // a range from the end with a length is none of HTTP's
		out, err := r.b.head(r.ctx, r.key)
		if err != nil {
			return blob.Info{}, err
		}
		info := headInfo(r.name, out)
		if o.IfMatch != "" && info.ETag != o.IfMatch {
			return info, fault.As(fault.Conflict, blob.ErrChanged)
		}
		o.Offset, o.Length = blob.Span(o, info.Size)
		if o.Length == 0 {
			return info, nil
		}
		r.etag = info.ETag
	}
	var out *s3.GetObjectOutput
	_, err := r.b.do(r.ctx, try{key: r.key}, func(context.Context) (err error) {
		out, err = r.request(rangeHeader(o))
		return err
	})
	var a *answer
	if errors.As(err, &a) && a.status == 416 { // the range begins at or behind the end: nothing to read
		head, err := r.b.head(r.ctx, r.key)
		if err != nil {
			return blob.Info{}, err
		}
		info := headInfo(r.name, head)
		if o.IfMatch != "" && info.ETag != o.IfMatch {
			return info, fault.As(fault.Conflict, blob.ErrChanged)
		}
		return info, nil
	}
	if err != nil {
		return blob.Info{}, err
	}
	info := blob.Info{Name: r.name, ETag: deref(out.ETag), Modified: deref(out.LastModified), Metadata: lowerNames(out.Metadata)}
	if err := r.accept(out, o, &info); err != nil {
		r.closeBody()
		return info, err
	}
	return info, nil
}

// accept checks that a reply is what was asked for, and sets where the body is.
func (r *reader) accept(out *s3.GetObjectOutput, o blob.ReadOptions, info *blob.Info) error {
	r.etag = info.ETag
	ranged := rangeHeader(o) != ""
	if !ranged || out.ContentRange == nil {
		info.Size = deref(out.ContentLength)
		r.at, r.left = blob.Span(o, info.Size)
		if out.ContentLength == nil {
			return fault.New(fault.Corrupt, "the reply does not say how long the object is")
		}
		if !ranged {
			r.check = storedChecksum(out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumCRC32)
			return nil
		}
		// A store without ranges sent the whole object.
		_, err := io.CopyN(io.Discard, r.body, r.at)
		return err
	}
	first, last, size, err := parseContentRange(*out.ContentRange)
	if err != nil {
		return err
	}
	info.Size = size
	r.at, r.left = blob.Span(o, size)
	if first != r.at || last-first+1 != r.left || out.ContentLength != nil && *out.ContentLength != r.left {
		return fault.New(fault.Corrupt, "asked for %s, the reply is %s", rangeHeader(o), *out.ContentRange)
	}
	return nil
}

// request sends one GET. The reply's body lives on a context of its own, which closeBody ends.
func (r *reader) request(byteRange string) (*s3.GetObjectOutput, error) {
	ctx, cancel := context.WithCancel(r.ctx)
	begun := time.AfterFunc(requestTime, cancel)
	defer begun.Stop()
	out, err := r.b.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &r.b.bucket, Key: &r.key, Range: str(byteRange), IfMatch: str(r.etag),
	}, checksumMode)
	if err != nil {
		cancel()
		return nil, err
	}
	r.body, r.cancel = out.Body, cancel
	return out, nil
}

// checksumMode asks for the stored checksum without the SDK's own check, which ends with the first broken body.
func checksumMode(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("x-amz-checksum-mode", "ENABLED"))
}

func rangeHeader(o blob.ReadOptions) string {
	switch {
	case o.Offset == 0 && o.Length == 0:
		return ""
	case o.Offset < 0:
		return fmt.Sprintf("bytes=%d", o.Offset)
	case o.Length == 0:
		return fmt.Sprintf("bytes=%d-", o.Offset)
	}
	return fmt.Sprintf("bytes=%d-%d", o.Offset, o.Offset+o.Length-1)
}

// parseContentRange reads "bytes 5-9/100".
func parseContentRange(s string) (first, last, size int64, err error) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	span, total, ok2 := strings.Cut(rest, "/")
	from, to, ok3 := strings.Cut(span, "-")
	if ok && ok2 && ok3 {
		var errs [3]error
		first, errs[0] = strconv.ParseInt(from, 10, 64)
		last, errs[1] = strconv.ParseInt(to, 10, 64)
		size, errs[2] = strconv.ParseInt(total, 10, 64)
		empty := first == 0 && last == -1 && size == 0 // what MinIO says of a suffix of nothing
		if errors.Join(errs[:]...) == nil && (empty || 0 <= first && first <= last && last < size) {
			return first, last, size, nil
		}
	}
	return 0, 0, 0, fault.New(fault.Corrupt, "the reply has no sensible Content-Range: %q", s)
}

func (r *reader) Read(p []byte) (int, error) {
	for r.err == nil {
		if r.left == 0 {
			r.err = r.end()
			break
		}
		if len(p) == 0 {
			return 0, nil
		}
		n, err := r.readBody(p[:min(int64(len(p)), r.left)])
		if n > 0 {
			r.at += int64(n)
			r.left -= int64(n)
			r.fails = 0
			if r.check != nil {
				r.check.hash.Write(p[:n])
			}
			return n, nil // an error beside bytes comes again with the next call
		}
		if err != nil {
			r.err = r.resume(err)
		}
	}
	return 0, r.err
}

// readBody reads once and gives up a body that stays silent.
func (r *reader) readBody(p []byte) (int, error) {
	if r.body == nil {
		return 0, io.ErrUnexpectedEOF
	}
	idle := time.AfterFunc(idleTime, r.cancel)
	defer idle.Stop()
	return r.body.Read(p)
}

// end checks the whole once its last byte was read.
func (r *reader) end() error {
	r.closeBody()
	if r.check == nil {
		return io.EOF
	}
	if got, ok := r.check.ok(); !ok {
		return r.b.fail("read", r.name, fault.New(fault.Corrupt, "%s of the body is %s, stored is %s", r.check.name, got, r.check.want))
	}
	return io.EOF
}

// resume opens the rest after a body broke; nil when reading can go on.
func (r *reader) resume(broke error) error {
	r.closeBody()
	if err := r.ctx.Err(); err != nil {
		return context.Cause(r.ctx)
	}
	r.fails++
	r.again++
	if broke == io.EOF {
		broke = io.ErrUnexpectedEOF
	}
	if r.fails >= r.b.options.Attempts || r.again > resumesMax || r.etag == "" {
		return r.b.fail("read", r.name, fault.New(fault.Unavailable, "the body broke %d bytes before its end: %w", r.left, broke))
	}
	if r.fails > 1 { // the first time nothing is known to be overloaded
		if err := r.b.sleep(r.ctx, backoff(r.ctx, r.key, r.fails-1)); err != nil {
			return err
		}
	}
	rest := blob.ReadOptions{Offset: r.at, Length: r.left}
	var out *s3.GetObjectOutput
	_, err := r.b.do(r.ctx, try{key: r.key}, func(context.Context) (err error) {
		out, err = r.request(rangeHeader(rest))
		return err
	})
	if err != nil {
		return r.b.fail("read", r.name, conditional(err, blob.Condition{IfMatch: r.etag}))
	}
	if got := deref(out.ETag); got != r.etag { // a store that ignores If-Match on reads
		r.closeBody()
		return r.b.fail("read", r.name, fault.As(fault.Conflict, blob.ErrChanged))
	}
	check := r.check
	info := blob.Info{ETag: r.etag}
	err = r.accept(out, rest, &info)
	r.check = check
	if err != nil {
		return r.b.fail("read", r.name, err)
	}
	return nil
}

func (r *reader) closeBody() {
	if r.body != nil {
		r.cancel() // first: closing an unread body would read on
		r.body.Close()
		r.body = nil
	}
}

// Close is io.Closer's.
func (r *reader) Close() error {
	if r.left == 0 && r.body != nil { // at its end, so that the connection can be used again
		r.body.Close()
		r.cancel()
		r.body = nil
	}
	r.closeBody()
	if r.err == nil {
		r.err = errors.New("read of a closed body")
	}
	return nil
}
