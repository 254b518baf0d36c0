package faulttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wireFault is what the proxy does to the requests of one operation, from the first-th on, times times.
type wireFault struct {
	operation    string
	fault        string
	first, times int
}

func (f wireFault) String() string {
	return fmt.Sprintf("%s#%d-%d: %s", f.operation, f.first, f.first+f.times-1, f.fault)
}

// lateBy is how long a late request travels: longer than the first back-off.
const lateBy = 150 * time.Millisecond

// proxy stands between the program and a service on the wire. What it forwards it forwards byte by byte, so signatures hold.
type proxy struct {
	*httptest.Server
	upstream *url.URL
	fault    wireFault
	poison   string // key of the item that the table never takes

	mu     sync.Mutex
	seen   int
	pages  map[string][]byte // continuation of lists that were cut
	struck atomic.Int64
	late   sync.WaitGroup
}

func newProxy(t testing.TB, upstream string, f wireFault) *proxy {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{upstream: target, fault: f, pages: map[string][]byte{}}
	p.Server = httptest.NewUnstartedServer(p)
	p.Server.Config.ErrorLog = nil
	p.Start()
	return p
}

func (p *proxy) end() {
	p.CloseClientConnections()
	p.Close()
	p.late.Wait()
}

// operationOf names a request.
func operationOf(r *http.Request) string {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		return target[strings.LastIndexByte(target, '.')+1:]
	}
	query := r.URL.Query()
	object := strings.Count(strings.Trim(r.URL.Path, "/"), "/") > 0
	switch {
	case r.Method == http.MethodHead && object:
		return "HeadObject"
	case r.Method == http.MethodGet && !object:
		return "ListObjectsV2"
	case r.Method == http.MethodGet:
		return "GetObject"
	case r.Method == http.MethodPost && query.Has("uploads"):
		return "CreateMultipartUpload"
	case r.Method == http.MethodPost && query.Has("uploadId"):
		return "CompleteMultipartUpload"
	case r.Method == http.MethodPost && query.Has("delete"):
		return "DeleteObjects"
	case r.Method == http.MethodPut && query.Has("uploadId") && r.Header.Get("X-Amz-Copy-Source") != "":
		return "UploadPartCopy"
	case r.Method == http.MethodPut && query.Has("uploadId"):
		return "UploadPart"
	case r.Method == http.MethodPut && r.Header.Get("If-None-Match") != "":
		return "PutObjectIfAbsent"
	case r.Method == http.MethodPut:
		return "PutObject"
	}
	return r.Method
}

func (p *proxy) strikes(r *http.Request) bool {
	if operationOf(r) != p.fault.operation || strings.Contains(r.URL.Path, "/probe-") != strings.HasPrefix(p.fault.fault, "ignored") {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen++
	if p.seen < p.fault.first || p.seen >= p.fault.first+p.fault.times {
		return false
	}
	return true
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if page := p.page(r); page != nil {
		w.Header().Set("Content-Type", "application/xml")
		_, _ = w.Write(page)
		return
	}
	if !p.strikes(r) {
		p.pass(w, r, body)
		return
	}
	p.struck.Add(1)
	p.strike(w, r, body)
}

// forward sends a request on as it came.
func (p *proxy) forward(r *http.Request, body []byte) (status int, header http.Header, reply []byte, err error) {
	out := &http.Request{Method: r.Method, URL: &url.URL{Scheme: p.upstream.Scheme, Host: p.upstream.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery},
		Host: r.Host, Header: r.Header.Clone(), Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if len(body) == 0 {
		out.Body = http.NoBody
	}
	out.Header.Del("Expect")
	if out.Header.Get("Accept-Encoding") == "" {
		out.Header.Set("Accept-Encoding", "identity")
	}
	answer, err := straight.RoundTrip(out)
	if err != nil {
		return 0, nil, nil, err
	}
	defer answer.Body.Close()
	reply, err = io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Header, reply, err
}

// straight neither follows nor unpacks anything.
var straight = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}

func (p *proxy) pass(w http.ResponseWriter, r *http.Request, body []byte) {
	status, header, reply, err := p.forward(r, body)
	if err != nil {
		hangUp(w)
		return
	}
	send(w, r, status, header, reply, len(reply))
}

// send answers with the first n bytes of a reply and hangs up when that is not all.
func send(w http.ResponseWriter, r *http.Request, status int, header http.Header, reply []byte, n int) {
	for name, values := range header {
		w.Header()[name] = values
	}
	if r.Method != http.MethodHead && (len(reply) > 0 || n < len(reply)) {
		w.Header().Set("Content-Length", strconv.Itoa(len(reply)))
	}
	w.WriteHeader(status)
	_, _ = w.Write(reply[:n])
	if n < len(reply) {
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		hangUp(w)
	}
}

// hangUp ends the connection in the middle.
func hangUp(w http.ResponseWriter) {
	h, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := h.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func isTable(r *http.Request) bool { return r.Header.Get("X-Amz-Target") != "" }

// refuse answers with an error of the service.
func refuse(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	if isTable(r) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":%q}`, code, message)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message><RequestId>1</RequestId></Error>`, code, message)
	}
}

func (p *proxy) strike(w http.ResponseWriter, r *http.Request, body []byte) {
	switch p.fault.fault {
	case "throttle":
		refuse(w, r, 400, "ProvisionedThroughputExceededException", "The level of configured provisioned throughput for the table was exceeded.")
	case "throttling":
		refuse(w, r, 400, "ThrottlingException", "Rate exceeded")
	case "limit":
		refuse(w, r, 400, "LimitExceededException", "Too many operations for a given subscriber.")
	case "expired iterator":
		refuse(w, r, 400, "ExpiredIteratorException", "Iterator expired.")
	case "500":
		code := "InternalError"
		if isTable(r) {
			code = "InternalServerError"
		}
		refuse(w, r, 500, code, "We encountered an internal error. Please try again.")
	case "503":
		refuse(w, r, 503, "SlowDown", "Please reduce your request rate.")
	case "409":
		refuse(w, r, 409, "ConditionalRequestConflict", "A conflicting operation occurred.")
	case "412":
		refuse(w, r, 412, "PreconditionFailed", "At least one of the preconditions you specified did not hold.")
	case "expired":
		if isTable(r) {
			refuse(w, r, 400, "ExpiredTokenException", "The security token included in the request is expired")
		} else {
			refuse(w, r, 400, "ExpiredToken", "The provided token has expired.")
		}
	case "403":
		refuse(w, r, 403, "AccessDenied", "Access Denied")
	case "reset":
		hangUp(w)
	case "late":
		p.late.Add(1)
		late := r.Clone(r.Context())
		go func() {
			defer p.late.Done()
			time.Sleep(lateBy)
			_, _, _, _ = p.forward(late, body)
		}()
		hangUp(w)
	default:
		p.spoil(w, r, body)
	}
}

// spoil carries the request out and does something to the answer.
func (p *proxy) spoil(w http.ResponseWriter, r *http.Request, body []byte) {
	if p.fault.fault == "poison" {
		p.unprocess(w, r, body)
		return
	}
	status, header, reply, err := p.forward(r, body)
	if err != nil {
		hangUp(w)
		return
	}
	switch p.fault.fault {
	case "lost":
		hangUp(w)
	case "cut":
		send(w, r, status, header, reply, len(reply)/2)
	case "cut last":
		send(w, r, status, header, reply, max(len(reply)-1, 0))
	case "flip":
		if len(reply) > 0 {
			reply[len(reply)/2] ^= 0x10
		}
		send(w, r, status, header, reply, len(reply))
	case "404 upload": // the answer to the first try was lost below us
		refuse(w, r, 404, "NoSuchUpload", "The specified multipart upload does not exist.")
	case "200 error":
		refuse(w, r, 200, "InternalError", "We encountered an internal error. Please try again.")
	case "ignored condition": // as stores do that do not know the header
		if status == http.StatusPreconditionFailed || status == http.StatusConflict {
			p.pretend(w, r)
			return
		}
		send(w, r, status, header, reply, len(reply))
	case "unprocessed": // all were taken, one is said not to have been
		send(w, r, status, nil, unprocessed(body, 1), len(unprocessed(body, 1)))
	case "stale":
		p.list(w, reply, func(entries []string) []string { return entries[:max(len(entries)-1, 0)] })
	case "stale shards":
		header.Del("X-Amz-Crc32")
		reply = withoutLastShard(reply)
		send(w, r, status, header, reply, len(reply))
	case "twice":
		p.list(w, reply, func(entries []string) []string {
			if len(entries) > 0 {
				entries = append(entries[:1:1], entries...)
			}
			return entries
		})
	case "pages":
		p.cutPages(w, reply)
	default:
		panic("no fault " + p.fault.fault)
	}
}

// withoutLastShard is a description of a stream as of before its last shard was made.
func withoutLastShard(reply []byte) []byte {
	var said struct{ StreamDescription map[string]json.RawMessage }
	var shards []json.RawMessage
	if json.Unmarshal(reply, &said) != nil || json.Unmarshal(said.StreamDescription["Shards"], &shards) != nil || len(shards) == 0 {
		return reply
	}
	said.StreamDescription["Shards"], _ = json.Marshal(shards[:len(shards)-1])
	reply, _ = json.Marshal(said)
	return reply
}

func (p *proxy) pretend(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"pretended"`)
	w.WriteHeader(200)
	if r.Method == http.MethodPost {
		fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><CompleteMultipartUploadResult><ETag>"pretended"</ETag></CompleteMultipartUploadResult>`)
	}
}

// unprocessed is the reply of a BatchWriteItem that left n members.
func unprocessed(body []byte, n int) []byte {
	var req struct {
		RequestItems map[string][]json.RawMessage
	}
	if err := json.Unmarshal(body, &req); err != nil {
		panic(err)
	}
	for table, members := range req.RequestItems {
		req.RequestItems[table] = members[:min(n, len(members))]
	}
	reply, _ := json.Marshal(map[string]any{"UnprocessedItems": req.RequestItems})
	return reply
}

// unprocess lets everything through but the poisoned key. The local DynamoDB looks at no signature, so the body may change.
func (p *proxy) unprocess(w http.ResponseWriter, r *http.Request, body []byte) {
	var req map[string]json.RawMessage
	var items map[string][]json.RawMessage
	_ = json.Unmarshal(body, &req)
	_ = json.Unmarshal(req["RequestItems"], &items)
	left := map[string][]json.RawMessage{}
	for table, members := range items {
		kept := members[:0]
		for _, m := range members {
			if bytes.Contains(m, []byte(p.poison)) {
				left[table] = append(left[table], m)
			} else {
				kept = append(kept, m)
			}
		}
		items[table] = kept
		if len(kept) == 0 {
			delete(items, table)
		}
	}
	if len(items) > 0 {
		req["RequestItems"], _ = json.Marshal(items)
		changed, _ := json.Marshal(req)
		r = r.Clone(r.Context())
		r.Header.Del("Content-Length")
		r.Header.Del("Content-Encoding")
		if status, header, reply, err := p.forward(r, changed); err != nil || status != 200 {
			send(w, r, status, header, reply, len(reply))
			return
		}
	} else {
		refuse(w, r, 400, "ProvisionedThroughputExceededException", "The level of configured provisioned throughput for the table was exceeded.")
		return
	}
	reply, _ := json.Marshal(map[string]any{"UnprocessedItems": left})
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_, _ = w.Write(reply)
}

var contents = regexp.MustCompile(`(?s)<Contents>.*?</Contents>`)

// list answers a listing with changed entries.
func (p *proxy) list(w http.ResponseWriter, reply []byte, change func([]string) []string) {
	entries := contents.FindAllString(string(reply), -1)
	w.Header().Set("Content-Type", "application/xml")
	if len(entries) == 0 {
		_, _ = w.Write(reply)
		return
	}
	_, _ = w.Write(listing(string(reply), change(entries), ""))
}

func listing(reply string, entries []string, next string) []byte {
	reply = contents.ReplaceAllString(reply, "")
	if next != "" {
		reply = strings.Replace(reply, "<IsTruncated>false</IsTruncated>", "<IsTruncated>true</IsTruncated><NextContinuationToken>"+next+"</NextContinuationToken>", 1)
	}
	return []byte(strings.Replace(reply, "</ListBucketResult>", strings.Join(entries, "")+"</ListBucketResult>", 1))
}

// cutPages serves a listing one entry a page.
func (p *proxy) cutPages(w http.ResponseWriter, reply []byte) {
	entries := contents.FindAllString(string(reply), -1)
	w.Header().Set("Content-Type", "application/xml")
	if len(entries) < 2 {
		_, _ = w.Write(reply)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	serial := len(p.pages)
	token := func(i int) string { return fmt.Sprintf("page-%d-%d", serial, i) }
	for i := 1; i < len(entries); i++ {
		next := ""
		if i+1 < len(entries) {
			next = token(i + 1)
		}
		p.pages[token(i)] = listing(string(reply), entries[i:i+1], next)
	}
	_, _ = w.Write(listing(string(reply), entries[:1], token(1)))
}

func (p *proxy) page(r *http.Request) []byte {
	token := r.URL.Query().Get("continuation-token")
	if token == "" {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pages[token]
}
