package aws

import (
	"io"
	"net/http"
)

// told sends requests whose bodies end by themselves after the length that was told.
//
// The SDK closes a request's body as soon as there is a reply. The transport may not have looked yet whether the body
// goes on behind its length; it takes what the closed body says for a failed write, and closes the connection while the
// reply is being read. Where replies come faster than that look, which a busy machine is enough for, every other
// connection was lost, and some replies with it.
type told struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b told) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody || req.ContentLength <= 0 {
		return b.RoundTripper.RoundTrip(req)
	}
	sent := *req // which is not to be changed
	sent.Body = &sendBody{ReadCloser: req.Body, left: req.ContentLength}
	if again := req.GetBody; again != nil {
		sent.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			return &sendBody{ReadCloser: body, left: req.ContentLength}, err
		}
	}
	return b.RoundTripper.RoundTrip(&sent)
}

// sendBody ends after left bytes, whatever is behind them.
type sendBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (s *sendBody) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.ReadCloser.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	return n, err
}
