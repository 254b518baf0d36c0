package local

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"dynaferry/internal/item"
	"dynaferry/internal/local/kinesis"
)

const (
	target10    = "application/x-amz-json-1.0"
	targetStem  = "DynamoDB_20120810."
	streamsStem = "DynamoDBStreams_20120810."
	localStem   = "DynaferryLocal." // what no service has: orders to the local world

	// bodyMax is the service's bound on a request. One byte more is 413, as there.
	bodyMax = 16 << 20
	// bodyKept and replyKept are how large buffers may be to be kept for the next request: a reply of Scan is 1 MB of
	// items by the service's measure, and up to a few times that as JSON.
	bodyKept  = 1 << 20
	replyKept = 4 << 20
)

// call is one request on its way through: its arguments, and the reply that grows in out. It is used again for later
// requests, so nothing may keep what it points to.
type call struct {
	db     *DB
	ctx    context.Context
	region string
	host   string
	body   []byte // with item.Slack bytes behind it
	args   args
	out    []byte
	batch  item.Batch // the tapes of the records
	main   record     // the item or key
	values record     // ExpressionAttributeValues
	legacy legacy     // what of them came in other parameters
	spare  item.Batch // a stored item being looked at
	cut    item.Batch // and its projection
	part   []byte     // what an index holds of it

	records []record // of a batch of writes
	deeds   []deed
}

// ServeHTTP answers one request of the DynamoDB protocol (JSON 1.0).
func (db *DB) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := requestID()
	w.Header()["x-amzn-RequestId"] = []string{id}
	w.Header()["Server"] = []string{"dynaferry-local"}
	if !loopbackHost(r.Host) {
		reply(w, fail(nil, &apiError{http.StatusForbidden, nsCoral + "AccessDeniedException",
			"the local DynamoDB answers requests to loopback names only, not to " + r.Host, nil}), http.StatusForbidden)
		return
	}
	if r.Method == http.MethodGet && r.URL.Path == "/" {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "healthy: dynaferry local\n")
		return
	}
	if db.relay != nil && !db.forwarded(w, r) {
		return
	}
	if op, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), kinesis.TargetStem); ok && r.Method == http.MethodPost {
		db.serveKinesis(w, r, op)
		return
	}
	c := db.calls.Get().(*call)
	c.db, c.ctx, c.host, c.out = db, r.Context(), r.Host, c.out[:0]
	status := http.StatusOK
	if err := c.serve(r); err != nil {
		e := answer(err)
		c.out, status = fail(c.out[:0], e), e.Status
	}
	reply(w, c.out, status)
	c.ctx = nil
	if cap(c.body) > bodyKept {
		c.body = nil
	}
	if cap(c.out) > replyKept {
		c.out = nil
	}
	c.release()
	db.calls.Put(c)
}

// tapeKept is how many tokens of a tape are kept for the next request: some ten times those of a usual batch.
const tapeKept = 1 << 14

// release forgets what the request was about and keeps memory for the next.
func (c *call) release() {
	c.batch.Reset()
	c.batch.Src = nil
	if cap(c.batch.Tape) > tapeKept {
		c.batch.Tape = nil
	}
	c.main, c.values = record{}, record{}
	clear(c.records)
	clear(c.deeds)
	c.records, c.deeds = c.records[:0], c.deeds[:0]
}

func reply(w http.ResponseWriter, body []byte, status int) {
	h := w.Header()
	h["Content-Type"] = []string{target10}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["X-Amz-Crc32"] = []string{strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10)}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away is no concern of ours
}

// capitalMessage are the errors whose model says Message where that of all others says message.
var capitalMessage = set(nsCoral+"AccessDeniedException", nsCoral+"SerializationException",
	nsDynamo+"TransactionCanceledException", nsDynamo+"IdempotentParameterMismatchException")

// fail renders an error.
func fail(dst []byte, e *apiError) []byte {
	dst = append(dst, `{"__type":`...)
	dst = item.AppendString(dst, []byte(e.Type))
	dst = append(dst, e.Extra...)
	if e.Message != "" {
		key := `,"message":`
		if capitalMessage[e.Type] {
			key = `,"Message":`
		}
		dst = item.AppendString(append(dst, key...), []byte(e.Message))
	}
	return append(dst, '}')
}

// requestID is 52 letters and digits, as the service's.
func requestID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
}

// loopbackHost tells whether a Host header names this machine by a name that only it can own.
func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(host, "."), "["), "]")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// serve finds the operation, reads the arguments and runs it.
func (c *call) serve(r *http.Request) error {
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return &apiError{http.StatusNotFound, nsCoral + "UnknownOperationException",
			"the DynamoDB protocol is POST /", nil}
	}
	op, err := operation(r.Header.Get("X-Amz-Target"))
	if err != nil {
		return err
	}
	if c.region, err = region(r); err != nil {
		return err
	}
	if err := c.read(r); err != nil {
		return err
	}
	var ok bool
	if c.args, ok = split(c.args, c.body); !ok {
		if trimmed := strings.TrimSpace(string(c.body)); trimmed != "" && jsontext.Value(trimmed).IsValid() {
			return serialization("Start of structure or map expected")
		}
		return serialization("")
	}
	return op(c)
}

// operation looks up the operation of an X-Amz-Target.
func operation(target string) (func(*call) error, error) {
	if name, ok := strings.CutPrefix(target, targetStem); ok {
		if op := operations[name]; op != nil {
			return op, nil
		}
		if unserved[name] {
			return nil, unknownOperation(nsRefusal+"the operation %s", name)
		}
		return nil, unknownOperation("")
	}
	for stem, served := range map[string]map[string]func(*call) error{streamsStem: streamTargets, localStem: localTargets} {
		if op := served[strings.TrimPrefix(target, stem)]; op != nil && strings.HasPrefix(target, stem) {
			return op, nil
		}
	}
	if target == "" {
		return nil, &apiError{http.StatusBadRequest, nsCoral + "MissingAuthenticationTokenException",
			"Missing Authentication Token", nil}
	}
	return nil, unknownOperation("")
}

// regionDefault is the Region of requests whose credential scope names none.
const regionDefault = "us-east-1"

// region takes the Region from the credential scope of a signature, version 4. Who signed is not looked at: everybody
// on this machine may do everything.
func region(r *http.Request) (string, error) {
	header := r.Header.Get("Authorization")
	_, scope, found := strings.Cut(header, "Credential=")
	if !found {
		if scope = r.URL.Query().Get("X-Amz-Credential"); scope == "" {
			return "", &apiError{http.StatusBadRequest, nsCoral + "MissingAuthenticationTokenException",
				"Request is missing Authentication Token", nil}
		}
	}
	scope, _, _ = strings.Cut(scope, ",")
	// AKID/20260101/us-east-1/dynamodb/aws4_request, from behind: an access key may hold slashes in no known case, but
	// the scope's four parts are fixed.
	parts := strings.Split(scope, "/")
	if len(parts) < 5 || parts[len(parts)-3] == "" || strings.ContainsAny(parts[len(parts)-3], "\": ") {
		return regionDefault, nil
	}
	return parts[len(parts)-3], nil
}

// read takes the whole body into c.body and leaves slack behind it.
func (c *call) read(r *http.Request) error {
	if r.ContentLength > bodyMax {
		return tooLargeBody()
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return refused("requests with Content-Encoding %s", e)
	}
	c.body = c.body[:0]
	want := int(max(r.ContentLength, 512)) + item.Slack + 1
	if cap(c.body) < want {
		c.body = make([]byte, 0, want)
	}
	for {
		if cap(c.body)-len(c.body) <= item.Slack {
			c.body = append(make([]byte, 0, 2*cap(c.body)), c.body...)
		}
		n, err := r.Body.Read(c.body[len(c.body) : cap(c.body)-item.Slack])
		c.body = c.body[:len(c.body)+n]
		if len(c.body) > bodyMax {
			return tooLargeBody()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &apiError{http.StatusBadRequest, nsCoral + "SerializationException",
				fmt.Sprintf("the request's body broke off: %v", err), nil}
		}
	}
}

func tooLargeBody() error {
	return &apiError{http.StatusRequestEntityTooLarge, nsCoral + "RequestEntityTooLargeException",
		"a request is at most 16 MB", nil}
}

// arn is the ARN of a table as the caller's Region sees it: all Regions share one set of tables.
func (c *call) arn(table string) string { return tableARN(c.region, table) }

// account is the account id in our ARNs.
const account = "000000000000"
