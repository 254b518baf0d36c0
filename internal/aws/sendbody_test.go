package aws

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// closing is a body that fails once it is closed, as the SDK's does.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Read(p []byte) (int, error) {
	if c.closed {
		return 0, errors.New("read behind the close")
	}
	return c.Reader.Read(p)
}

func (c *closing) Close() error { c.closed = true; return nil }

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// TestBodyEndsByItself: a transport that looks behind the end of a body that was closed meanwhile finds its end.
func TestBodyEndsByItself(t *testing.T) {
	const text = "0123456789"
	body := &closing{Reader: strings.NewReader(text + "not sent")}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1", body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(text))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	_, err = told{transport(func(r *http.Request) (*http.Response, error) {
		got := make([]byte, len(text))
		if _, err := io.ReadFull(r.Body, got); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
		_ = body.Close() // the SDK, when it has the reply
		if n, err := r.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("behind the end: %d, %v", n, err)
		}
		again, err := r.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(again); err != nil || string(got) != text {
			t.Errorf("sent again: %q, %v", got, err)
		}
		return nil, r.Body.Close()
	})}.RoundTrip(req)
	if err != nil || req.Body != io.ReadCloser(body) {
		t.Errorf("%v, or the request was changed", err)
	}
}
