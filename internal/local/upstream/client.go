package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dynaferry/internal/fault"
)

// The stems of X-Amz-Target.
const (
	tablesStem  = "DynamoDB_20120810."
	streamsStem = "DynamoDBStreams_20120810."
	kinesisStem = "Kinesis_"
)

// callTimeout bounds our own requests. Those of clients take as long as the upstream does, up to replyTimeout.
const (
	callTimeout  = 20 * time.Second
	replyTimeout = 2 * time.Minute
	replyMax     = 64 << 20
)

// Options say how the upstream is reached.
type Options struct {
	URL       string            // of the endpoint, without a path
	Transport http.RoundTripper // nil: one that inflates nothing
	// Sign signs a request for a service (dynamodb or kinesis). nil: the signature is a form without meaning.
	Sign func(r *http.Request, service string, body []byte) error
}

// Client is an endpoint. It may be used concurrently.
type Client struct {
	url       *url.URL
	transport http.RoundTripper
	sign      func(*http.Request, string, []byte) error
}

// New returns the client of an endpoint; it makes no request. A URL that is none is an error of kind User.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" {
		err := fault.New(fault.User, "the upstream %q is not the URL of an endpoint", o.URL)
		return nil, fault.Hint(err, "write it as http://127.0.0.1:8000")
	}
	u.Path = "/"
	c := &Client{url: u, transport: o.Transport, sign: o.Sign}
	if c.transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost, t.DisableCompression = 64, true // or connections would churn, and answers be inflated on the way
		c.transport = t
	}
	if c.sign == nil {
		c.sign = formally
	}
	return c, nil
}

// formally gives a request a signature that is one in form only.
func formally(r *http.Request, service string, _ []byte) error {
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=dynaferry/20260101/us-east-1/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	return nil
}

// URL is the endpoint's.
func (c *Client) URL() string { return strings.TrimSuffix(c.url.String(), "/") }

// Error is what the upstream answered in place of 200.
type Error struct {
	Status  int
	Type    string // without the namespace
	Message string
	Raw     []byte // the answer's body
}

// Error renders type and message.
func (e *Error) Error() string { return e.Type + ": " + e.Message }

// ErrAway is what the error of an upstream without an answer wraps.
var ErrAway = errors.New("does not answer")

// Is tells whether err is the upstream's answer of that type.
func Is(err error, kind string) bool {
	var e *Error
	return errors.As(err, &e) && e.Type == kind
}

// Call makes one request of DynamoDB's and decodes its reply into out. Nobody tries again. An answer other than 200 is an
// *Error; no answer, or one that is none, is of kind Unavailable.
func (c *Client) Call(ctx context.Context, operation string, in, out any) error {
	return c.call(ctx, tablesStem+operation, in, out)
}

func (c *Client) call(ctx context.Context, target string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fault.New(fault.Bug, "write a request of %s: %w", target, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url.String(), bytes.NewReader(body))
	if err != nil {
		return fault.New(fault.Bug, "write a request of %s: %w", target, err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("Accept-Encoding", "identity")
	if err := c.sign(r, serviceOf(target), body); err != nil {
		return err
	}
	reply, err := c.transport.RoundTrip(r)
	if err != nil {
		return c.away(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(io.LimitReader(reply.Body, replyMax))
	if err != nil {
		return c.away(err)
	}
	if sum := reply.Header.Get("X-Amz-Crc32"); sum != "" && sum != strconv.FormatUint(uint64(crc32.ChecksumIEEE(text)), 10) {
		return fault.New(fault.Unavailable, "%s: a reply of %d bytes that its checksum %s does not fit", c.URL(), len(text), sum)
	}
	if reply.StatusCode != http.StatusOK {
		return c.refusal(reply.StatusCode, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fault.New(fault.Unavailable, "%s: a reply to %s that is none of DynamoDB's: %w", c.URL(), target, err)
	}
	return nil
}

func serviceOf(target string) string {
	if strings.HasPrefix(target, kinesisStem) {
		return "kinesis"
	}
	return "dynamodb"
}

// refusal reads an answer that is none of success.
func (c *Client) refusal(status int, text []byte) error {
	var body struct {
		Type  string `json:"__type"`
		Upper string `json:"Message"`
		Lower string `json:"message"`
	}
	if json.Unmarshal(text, &body) != nil || body.Type == "" {
		err := fault.New(fault.Unavailable, "the upstream %s %w as DynamoDB does, but %d", c.URL(), ErrAway, status)
		return fault.Hint(err, "is a DynamoDB at that address? --upstream names its URL")
	}
	e := &Error{Status: status, Type: body.Type[strings.LastIndexByte(body.Type, '#')+1:], Message: body.Upper + body.Lower, Raw: text}
	switch {
	case status >= http.StatusInternalServerError:
		return fault.As(fault.Unavailable, e)
	case e.Type == "ThrottlingException", e.Type == "ProvisionedThroughputExceededException", e.Type == "LimitExceededException", e.Type == "RequestLimitExceeded":
		return fault.As(fault.Throttled, e)
	case e.Type == "ResourceNotFoundException":
		return fault.As(fault.NotFound, e)
	}
	return e
}

// away is the error of an upstream that does not answer.
func (c *Client) away(err error) error {
	err = fault.New(fault.Unavailable, "the upstream %s %w: %w", c.URL(), ErrAway, err)
	return fault.Hint(err, "start it, or give its URL to --upstream")
}

// Forward sends a client's request on, signed anew, and the answer back as it comes. body is the request's, read already.
// away answers the client when there is no answer.
func (c *Client) Forward(w http.ResponseWriter, r *http.Request, body []byte, away func(http.ResponseWriter, error)) {
	ctx, cancel := context.WithTimeout(r.Context(), replyTimeout)
	defer cancel()
	out := r.Clone(ctx)
	out.Body, out.ContentLength, out.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(c.url)
			p.Out.URL.Path = p.In.URL.Path // SetURL joins two paths
			query := p.Out.URL.Query()
			for name := range query {
				if strings.HasPrefix(strings.ToLower(name), "x-amz-") { // a signature in the URL
					query.Del(name)
				}
			}
			p.Out.URL.RawQuery = query.Encode()
			for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"} {
				p.Out.Header.Del(name)
			}
		},
		Transport: signing{c, body}, FlushInterval: -1, ErrorLog: nil,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { away(w, err) },
	}
	proxy.ServeHTTP(w, out)
}

// signing signs what the proxy made of a request, the last thing before it leaves.
type signing struct {
	client *Client
	body   []byte
}

// RoundTrip implements http.RoundTripper.
func (s signing) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := s.client.sign(r, serviceOf(r.Header.Get("X-Amz-Target")), s.body); err != nil {
		return nil, err
	}
	reply, err := s.client.transport.RoundTrip(r)
	if err != nil {
		return nil, s.client.away(err)
	}
	return reply, nil
}

// Ping asks for one table's name, to see that a DynamoDB is there.
func (c *Client) Ping(ctx context.Context) error {
	var reply struct{ TableNames []string }
	if err := c.Call(ctx, "ListTables", map[string]int{"Limit": 1}, &reply); err != nil {
		return fmt.Errorf("ask the upstream for its tables: %w", err)
	}
	return nil
}
