package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// dial opens a connection to an endpoint; DynamoDB Local lives where net.Dial does not reach.
type dial func(ctx context.Context, network, address string) (net.Conn, error)

// rawConn is one kept-open HTTP connection with as little client as can be: what is measured over it is the server.
type rawConn struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	body []byte
}

// rawHead is all a request needs: the server asks for a signature's form, not for its truth.
const rawHead = "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Target: %s\r\n" +
	"Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0\r\n" +
	"X-Amz-Date: 20260101T000000Z\r\nContent-Length: "

func openRaw(ctx context.Context, d dial, address string) (*rawConn, error) {
	conn, err := d(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &rawConn{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

// post sends one request and returns the reply's body, which the next call overwrites.
func (c *rawConn) post(head, body []byte) ([]byte, error) {
	c.out = append(c.out[:0], head...)
	c.out = append(strconv.AppendInt(c.out, int64(len(body)), 10), "\r\n\r\n"...)
	c.out = append(c.out, body...)
	if _, err := c.conn.Write(c.out); err != nil {
		return nil, err
	}
	status, length := 0, -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if status == 0 {
			if status, err = strconv.Atoi(string(bytes.Fields(line)[1])); err != nil {
				return nil, err
			}
			continue
		}
		if len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(": ")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return nil, err
			}
		}
	}
	if length < 0 {
		return nil, errors.New("a reply without Content-Length")
	}
	if cap(c.body) < length {
		c.body = make([]byte, 2*length)
	}
	c.body = c.body[:length]
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return nil, err
	}
	if status != 200 {
		return nil, fmt.Errorf("%d %.300s", status, c.body)
	}
	return c.body, nil
}

// once makes one call on a connection of its own.
func (s *served) once(ctx context.Context, operation, body string) ([]byte, error) {
	c, err := openRaw(ctx, s.dial, s.address)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	reply, err := c.post(s.head(operation), []byte(body))
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", operation, s.name, err)
	}
	return reply, nil
}

func (s *served) head(operation string) []byte {
	return fmt.Appendf(nil, rawHead, s.address, "DynamoDB_20120810."+operation)
}

// together runs work on so many connections until each has done its share (n in all, when above 0) or the time is over,
// and returns how many things a second were done. work gets the number of the call and returns how many things it did.
func (s *served) together(ctx context.Context, connections, n int, atMost time.Duration, work func(c *rawConn, call int) (int, error)) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*atMost+time.Minute)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	done := make([]int, connections)
	start := time.Now()
	for g := range connections {
		c, err := openRaw(ctx, s.dial, s.address)
		if err != nil {
			return 0, errors.Join(err, group.Wait())
		}
		group.Go(func() error {
			defer c.conn.Close()
			defer context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Now()) })()
			for call := g; (n == 0 || call < n) && time.Since(start) < atMost; call += connections {
				did, err := work(c, call)
				if err != nil {
					return err
				}
				done[g] += did
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("load on %s: %w", s.name, err)
	}
	total := 0
	for _, d := range done {
		total += d
	}
	return float64(total) / time.Since(start).Seconds(), nil
}
