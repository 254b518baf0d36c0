package local

import (
	"context"
	"hash/crc32"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/fault"
)

const createHash = `{"TableName":"hash","AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],` +
	`"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST"}`

func TestOnlyLoopbackNames(t *testing.T) {
	db := newDB(t, Options{})
	for host, want := range map[string]int{
		"127.0.0.1:8000": 200, "127.0.0.1": 200, "127.8.8.8:1": 200, "localhost:8000": 200, "LocalHost": 200,
		"[::1]:8000": 200, "[::1]": 200, "dynamodb.localhost:80": 200, "localhost.": 200,
		"example.com": 403, "example.com:8000": 403, "127.0.0.1.example.com": 403, "localhost.example.com": 403,
		"192.168.0.1:8000": 403, "0.0.0.0:8000": 403, "": 403, "[fe80::1]:8000": 403, "notlocalhost": 403,
	} {
		r := request("ListTables", "{}")
		r.Host = host
		w := httptest.NewRecorder()
		db.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host %q: %d, want %d: %s", host, w.Code, want, w.Body)
		}
	}
}

func TestReplyHeaders(t *testing.T) {
	db := newDB(t, Options{})
	for _, op := range []string{"ListTables", "NoSuch"} {
		w := httptest.NewRecorder()
		db.ServeHTTP(w, request(op, "{}"))
		h := w.Result().Header
		if got, want := h.Get("X-Amz-Crc32"), strconv.Itoa(int(crc32.ChecksumIEEE(w.Body.Bytes()))); got != want {
			t.Errorf("%s: crc32 %s, want %s", op, got, want)
		}
		if got := h["x-amzn-RequestId"]; len(got) != 1 || len(got[0]) != 52 {
			t.Errorf("%s: request id %q", op, got)
		}
		if got := h.Get("Content-Type"); got != "application/x-amz-json-1.0" {
			t.Errorf("%s: content type %s", op, got)
		}
		if got := h.Get("Content-Length"); got != strconv.Itoa(w.Body.Len()) {
			t.Errorf("%s: content length %s of %d", op, got, w.Body.Len())
		}
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	db := newDB(t, Options{})
	for name, c := range map[string]struct {
		change func(r *http.Request)
		status int
		say    string
	}{
		"unsigned":  {func(r *http.Request) { r.Header.Del("Authorization") }, 400, "MissingAuthenticationTokenException"},
		"no target": {func(r *http.Request) { r.Header.Del("X-Amz-Target") }, 400, "MissingAuthenticationTokenException"},
		"other service": {func(r *http.Request) { r.Header.Set("X-Amz-Target", "Firehose_20150804.ListDeliveryStreams") }, 400,
			"UnknownOperationException"},
		"no operation of streams": {func(r *http.Request) { r.Header.Set("X-Amz-Target", streamsStem+"PutRecords") }, 400,
			"UnknownOperationException"},
		"get":        {func(r *http.Request) { r.Method = http.MethodGet; r.URL.Path = "/x" }, 404, "POST /"},
		"put":        {func(r *http.Request) { r.Method = http.MethodPut }, 404, "POST /"},
		"compressed": {func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 400, "Content-Encoding gzip"},
		"announced":  {func(r *http.Request) { r.ContentLength = bodyMax + 1 }, 413, "16 MB"},
		"presigned": {func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "X-Amz-Credential=A/1/eu-west-1/dynamodb/aws4_request"
		}, 200, "[]"},
	} {
		r := request("ListTables", "{}")
		c.change(r)
		w := httptest.NewRecorder()
		db.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.say) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestLongBodyWithoutLength(t *testing.T) {
	db := newDB(t, Options{})
	r := request("ListTables", "{}"+strings.Repeat(" ", bodyMax))
	r.ContentLength = -1
	w := httptest.NewRecorder()
	db.ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	r = request("ListTables", strings.Repeat(" ", 100_000)+"{}")
	r.ContentLength = -1
	w = httptest.NewRecorder()
	if db.ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestRegionOfTheSignature(t *testing.T) {
	db := newDB(t, Options{})
	must(t, db, "CreateTable", createHash)
	for scope, arn := range map[string]string{
		"AKID/20260701/ap-southeast-2/dynamodb/aws4_request": "arn:aws:dynamodb:ap-southeast-2:000000000000:table/hash",
		"AKID/20260701//dynamodb/aws4_request":               "arn:aws:dynamodb:us-east-1:000000000000:table/hash",
		"AKID":                                               "arn:aws:dynamodb:us-east-1:000000000000:table/hash",
	} {
		r := request("DescribeTable", `{"TableName":"hash"}`)
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+scope+", SignedHeaders=host, Signature=0")
		w := httptest.NewRecorder()
		if db.ServeHTTP(w, r); !strings.Contains(w.Body.String(), `"TableArn":"`+arn+`"`) {
			t.Errorf("%s: %s", scope, w.Body)
		}
	}
}

func TestHealth(t *testing.T) {
	db := newDB(t, Options{})
	r := httptest.NewRequest(http.MethodGet, "http://localhost/", nil)
	w := httptest.NewRecorder()
	if db.ServeHTTP(w, r); w.Code != 200 || !strings.HasPrefix(w.Body.String(), "healthy") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestListensOnLoopbackOnly(t *testing.T) {
	if in, err := Start(t.Context(), Options{Addr: "0.0.0.0:0"}); fault.KindOf(err) != fault.User {
		t.Errorf("%v %v", in, err)
	}
	db := newDB(t, Options{})
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Skip(err)
	}
	if err := db.Serve(t.Context(), l); fault.KindOf(err) != fault.User {
		t.Error(err)
	}
}

// Close lets a request that is under way finish.
func TestCloseWaitsForRequests(t *testing.T) {
	in, err := Start(context.Background(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(in.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := createHash
	head := "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: " + targetStem + "CreateTable\r\nAuthorization: " +
		signature + "\r\nExpect: 100-continue\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	if _, err := conn.Write([]byte(head)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	if n, err := conn.Read(buf); err != nil || !strings.Contains(string(buf[:n]), "100 Continue") {
		t.Fatalf("%q %v", buf[:n], err) // now the handler waits for the body
	}
	closed := make(chan error)
	go func() { closed <- in.Close() }()
	if _, err := conn.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := conn.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200") {
		t.Fatalf("%q %v", buf[:n], err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := in.Close(); err != nil {
		t.Error("second close:", err)
	}
}
