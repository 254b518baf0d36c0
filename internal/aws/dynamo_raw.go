package aws

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// replyBytesMax bounds a reply: BatchGetItem returns 16 MB of items, which JSON and base64 may make several times
// larger. Nothing the service sends comes near.
const replyBytesMax = 256 << 20

// refusalBytesMax bounds an error's body as far as we read it.
const refusalBytesMax = 64 << 10

// exchange is one call's bytes: the body that replaces what the SDK would send, and the reply taken before the SDK
// reads it. It is the two middlewares at once.
type exchange struct {
	body     []byte
	reply    []byte // in: memory to use; out: the body of a reply with status 200, with item.Slack behind it
	sent     bool   // out: nobody reads body any more
	checked  bool   // out: the reply's CRC32 was there and right
	refusal  []byte // out: the body of a reply with another status
	received time.Time
	reader   *bodyReader
}

// call runs one SDK operation with an exchange and classifies its error.
func (d *DynamoDB) call(ctx context.Context, x *exchange, table string,
	operation func(ctx context.Context, options func(*dynamodb.Options)) error) error {
	err := x.carry(d.creds, func() error {
		return operation(ctx, func(o *dynamodb.Options) { o.APIOptions = x.with(o.APIOptions) })
	})
	if err == nil {
		return nil
	}
	return d.classify(ctx, table, x.refusal, err)
}

// carry runs one SDK operation. Credentials that the service calls expired are fetched anew once.
func (x *exchange) carry(creds sdk.CredentialsProvider, operation func() error) error {
	memory := x.reply
	for again := false; ; again = true {
		x.reply, x.refusal = memory[:0], nil
		err := operation()
		x.sent = x.reader == nil || x.reader.done()
		if err == nil || again || !answerOf(err).expired() || !refreshCredentials(creds) {
			return err
		}
	}
}

// with returns the options of an SDK call with the exchange's own.
func (x *exchange) with(options []func(*middleware.Stack) error) []func(*middleware.Stack) error {
	return append(options[:len(options):len(options)], x.install)
}

func (x *exchange) install(stack *middleware.Stack) error {
	err := stack.Serialize.Insert((*rawRequest)(x), "OperationSerializer", middleware.After)
	if err != nil {
		return err
	}
	return stack.Deserialize.Insert((*rawReply)(x), "OperationDeserializer", middleware.After)
}

type rawRequest exchange

func (*rawRequest) ID() string { return "dynaferry:RawRequest" }

// HandleSerialize runs right after the SDK has serialized its small stand-in of an input, and before the hash of the
// payload and the signature are made.
func (r *rawRequest) HandleSerialize(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (
	middleware.SerializeOutput, middleware.Metadata, error) {
	req, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return middleware.SerializeOutput{}, middleware.Metadata{}, fmt.Errorf("unexpected request type %T", in.Request)
	}
	if r.body != nil {
		r.reader = &bodyReader{bytes: bytes.NewReader(r.body)}
		req, err := req.SetStream(r.reader)
		if err != nil {
			return middleware.SerializeOutput{}, middleware.Metadata{}, err
		}
		req.ContentLength = int64(len(r.body))
		in.Request = req
	}
	return next.HandleSerialize(ctx, in)
}

// bodyReader tells whether a body was read to its end. The HTTP transport may go on reading a body after it has
// returned a reply to it; only what was read whole may be used again.
type bodyReader struct {
	bytes *bytes.Reader
	end   atomic.Bool
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.bytes.Read(p)
	if b.bytes.Len() == 0 {
		b.end.Store(true)
	}
	return n, err
}

func (b *bodyReader) Seek(offset int64, whence int) (int64, error) {
	at, err := b.bytes.Seek(offset, whence)
	b.end.Store(b.bytes.Len() == 0)
	return at, err
}

func (b *bodyReader) done() bool { return b.end.Load() }

type rawReply exchange

func (*rawReply) ID() string { return "dynaferry:RawReply" }

// refused is an error's body that was read ahead.
type refused struct {
	io.Reader
	io.Closer
}

// HandleDeserialize takes a good reply's body and leaves the SDK an empty object. Of a reply with an error a copy is
// kept.
func (r *rawReply) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	if err != nil {
		return out, metadata, err
	}
	resp, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok {
		return out, metadata, err
	}
	if resp.StatusCode != 200 {
		r.refusal, _ = io.ReadAll(io.LimitReader(resp.Body, refusalBytesMax))
		if _, err := soundReply(resp, r.refusal); err != nil {
			// Its words may be others than the service's: a throttle that reads like a refusal for good would end a job.
			_ = resp.Body.Close()
			return out, metadata, fault.New(fault.Unavailable, "broken refusal with status %d: %w", resp.StatusCode, err)
		}
		resp.Body = &refused{Reader: io.MultiReader(bytes.NewReader(r.refusal), resp.Body), Closer: resp.Body}
		return out, metadata, err
	}
	r.received = receivedAt(resp.Header.Get("Date"))
	err = (*exchange)(r).read(resp)
	resp.Body = io.NopCloser(bytes.NewReader([]byte("{}")))
	return out, metadata, err
}

// read takes the body whole and checks length and CRC32 (API reference, "Using the DynamoDB low-level API").
func (x *exchange) read(resp *smithyhttp.Response) error {
	body := x.reply[:0]
	if n := resp.ContentLength; n > 0 && n <= replyBytesMax && int64(cap(body)) < n+item.Slack {
		body = make([]byte, 0, n+n/8+item.Slack)
	}
	broken := func(err error) error {
		x.reply = body[:0]
		_ = resp.Body.Close()
		return fault.New(fault.Unavailable, "broken reply after %d bytes: %w", len(body), err)
	}
	for {
		if cap(body)-len(body) < item.Slack+512 {
			body = append(body, make([]byte, max(4096, len(body)))...)[:len(body)]
		}
		n, err := resp.Body.Read(body[len(body) : cap(body)-item.Slack])
		body = body[:len(body)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return broken(err)
		}
		if len(body) > replyBytesMax {
			return broken(fault.New(fault.Limit, "reply is larger than %d bytes", replyBytesMax))
		}
	}
	if err := resp.Body.Close(); err != nil {
		return broken(err)
	}
	if n := resp.ContentLength; n >= 0 && n != int64(len(body)) {
		return broken(io.ErrUnexpectedEOF)
	}
	var err error
	if x.checked, err = soundReply(resp, body); err != nil {
		return broken(err)
	}
	x.reply = body
	return nil
}

// soundReply holds a body against the CRC32 that the service sent with it; checked is false when there was none.
func soundReply(resp *smithyhttp.Response, body []byte) (checked bool, err error) {
	text := resp.Header.Get("X-Amz-Crc32")
	if text == "" {
		return false, nil
	}
	want, err := strconv.ParseUint(text, 10, 32)
	if got := crc32.ChecksumIEEE(body); err != nil || got != uint32(want) {
		return false, fmt.Errorf("CRC32 is %d, the service sent %s", got, text)
	}
	return true, nil
}
