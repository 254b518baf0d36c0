package step

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"

	"dynaferry/internal/fault"
)

// server is a program behind a URL: it gets each request by POST.
type server struct {
	url   string
	token reference // of a bearer token; "" for none
}

func parseHTTP(ws []word, _ string, _ int) (kind, error) {
	ws, given, err := options(ws, append(transformOptions, "token")...)
	if err != nil {
		return nil, err
	}
	if len(ws) != 1 {
		return nil, place(0, "it is one URL")
	}
	u, err := url.Parse(ws[0].text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, place(ws[0].at, "%q is no http URL", ws[0].text)
	}
	if u.User != nil {
		return nil, place(ws[0].at, "a URL with a password would be kept in the plan: use token=env:NAME")
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, place(ws[0].at, "%s: items leave this machine by https alone", u.Host)
	}
	s := &server{url: u.String()}
	if w, ok := given["token"]; ok {
		if s.token, err = parseReference(w); err != nil {
			return nil, err
		}
	}
	k := &transform{program: s}
	return k, k.settle(given)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (s *server) open(r *Runner) (caller, error) {
	c := &client{server: s, http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if s.token != "" {
		token, err := s.token.read(&r.env)
		if err != nil {
			return nil, err
		}
		c.bearer = "Bearer " + string(token)
	}
	return c, nil
}

type client struct {
	*server
	http   *http.Client
	bearer string
}

func (c *client) call(ctx context.Context, data []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(data))
	if err != nil {
		return nil, fault.New(fault.User, "%w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.bearer != "" {
		req.Header.Set("Authorization", c.bearer)
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, replyBytesMax+1))
	switch code := answer.StatusCode; {
	case code == http.StatusTooManyRequests || code >= 500:
		return nil, fault.New(fault.Unavailable, "%s answers %s", c.url, answer.Status)
	case code != http.StatusOK:
		return nil, fault.New(fault.User, "%s answers %s", c.url, answer.Status)
	case err != nil:
		return nil, fault.New(fault.Unavailable, "%w", err)
	case len(body) > replyBytesMax:
		return nil, fault.New(fault.Limit, "an answer of more than %d MB", replyBytesMax>>20)
	}
	return body, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }
