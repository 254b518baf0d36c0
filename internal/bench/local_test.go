package bench

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestRawClient: what the raw client sends is HTTP that net/http understands, and what it reads is all of the reply.
func TestRawClient(t *testing.T) {
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		calls.Add(1)
		reply := r.Header.Get("X-Amz-Target") + " " + string(body) + strings.Repeat(".", 100_000)
		w.Header().Set("Content-Length", strconv.Itoa(len(reply)))
		if string(body) == "bad" {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, reply)
	}))
	defer server.Close()
	s := &served{name: "test", address: server.Listener.Addr().String(), dial: (&net.Dialer{}).DialContext}
	reply, err := s.once(t.Context(), "Do", "body")
	if err != nil || len(reply) != 100_000+len("DynamoDB_20120810.Do body") || !strings.HasPrefix(string(reply), "DynamoDB_20120810.Do body.") {
		t.Fatalf("%d %.40s %v", len(reply), reply, err)
	}
	if _, err := s.once(t.Context(), "Do", "bad"); err == nil || !strings.Contains(err.Error(), "400") {
		t.Fatalf("a refusal: %v", err)
	}
	calls.Store(0)
	if _, err := s.together(t.Context(), 4, 10, time.Hour, func(c *rawConn, call int) (int, error) {
		_, err := c.post(s.head("Do"), []byte("body"))
		return 1, err
	}); err != nil || calls.Load() != 10 {
		t.Fatalf("%d calls of 10: %v", calls.Load(), err)
	}
}

func TestScanned(t *testing.T) {
	n, next, err := scanned([]byte(`{"Count":12,"Items":[],"LastEvaluatedKey":{"orderId":{"S":"x"}},"ScannedCount":14}`))
	if err != nil || n != 12 || string(next) != `{"orderId":{"S":"x"}}` {
		t.Fatal(n, string(next), err)
	}
	if n, next, err = scanned([]byte(`{"Items":[],"Count":0}`)); err != nil || n != 0 || next != nil {
		t.Fatal(n, next, err)
	}
	if _, _, err = scanned([]byte(`{}`)); err == nil {
		t.Fatal("a page without a count passed")
	}
}

// TestRoom: a listener in the room cannot be reached from outside, and from inside it can.
func TestRoom(t *testing.T) {
	r, err := newRoom()
	if err != nil {
		t.Skipf("SKIPPED, NOT PASSED: DynamoDB Local is kept to loopback in a network namespace, which this user may not make: %v", err)
	}
	defer r.leave()
	var l net.Listener
	if err := r.do(func() (err error) { l, err = net.Listen("tcp", "127.0.0.1:0"); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := r.dial(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
		conn.Close()
		t.Fatal("the room has no walls")
	}
}
