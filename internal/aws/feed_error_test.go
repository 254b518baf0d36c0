package aws

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// TestFeedErrors: each answer of the services as the port has it.
func TestFeedErrors(t *testing.T) {
	status, body, header := 0, "", map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	for _, ofKinesis := range []bool{false, true} {
		c := feedClient(t, server.URL, ofKinesis)
		p := &feed.Page{Records: make([]feed.Record, 3), Next: "old"}
		for _, e := range []struct {
			status int
			code   string
			kind   fault.Kind
			is     error
		}{
			{400, "ExpiredIteratorException", fault.Bug, feed.ErrExpired}, {400, "TrimmedDataAccessException", fault.Bug, feed.ErrTrimmed},
			{400, "ResourceNotFoundException", fault.NotFound, nil}, {400, "LimitExceededException", fault.Throttled, nil},
			{400, "ProvisionedThroughputExceededException", fault.Throttled, nil}, {400, "ThrottlingException", fault.Throttled, nil},
			{400, "KMSThrottlingException", fault.Throttled, nil}, {400, "KMSAccessDeniedException", fault.Permission, nil},
			{400, "AccessDeniedException", fault.Permission, nil}, {400, "UnrecognizedClientException", fault.Permission, nil},
			{400, "ValidationException", fault.User, nil}, {400, "InvalidArgumentException", fault.User, nil},
			{400, "UnknownOperationException", fault.Unsupported, nil}, {400, "ExpiredNextTokenException", fault.Unavailable, nil},
			{500, "InternalServerError", fault.Unavailable, nil}, {503, "", fault.Unavailable, nil}, {429, "", fault.Throttled, nil}, {403, "", fault.Permission, nil},
		} {
			status, body = e.status, fmt.Sprintf(`{"__type":"com.amazonaws#%s","message":"says so"}`, e.code)
			if e.code == "" {
				body = "<html>"
			}
			err := c.Read(t.Context(), "it", 10, p)
			if e.is != nil && !errors.Is(err, e.is) || e.is == nil && fault.KindOf(err) != e.kind || len(p.Records) > 0 || p.Next != "" {
				t.Errorf("kinesis %v, %d %s: %v (%s)", ofKinesis, e.status, e.code, err, fault.KindOf(err))
			}
		}
		status, body = 200, `{"Records":[],"NextShardIterator":"n"}`
		header["Date"], header["X-Amz-Crc32"] = "Wed, 25 Nov 2026 10:00:00 GMT", fmt.Sprint(crc32.ChecksumIEEE([]byte(body)))
		if err := c.Read(t.Context(), "it", 10, p); err != nil || p.Next != "n" || p.Date != time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC) || p.Bytes != len(body) {
			t.Errorf("a good page: %+v, %v", p, err)
		}
		header["X-Amz-Crc32"] = "7"
		if err := c.Read(t.Context(), "it", 10, p); fault.KindOf(err) != fault.Unavailable || p.Next != "" {
			t.Errorf("another checksum: %v", err)
		}
		delete(header, "X-Amz-Crc32")
		for _, broken := range []string{`{"Records":[`, `<html>`, ``, `{"Records":[{}]}`} {
			body = broken
			if err := c.Read(t.Context(), "it", 10, p); fault.KindOf(err) != fault.Unavailable {
				t.Errorf("%s without checksum: %v", broken, err)
			}
			if it, err := c.Iterator(t.Context(), "arn:aws:dynamodb:us-east-1:1:table/T/stream/2026", "shardId-00000000000000000001-0000", feed.Position{}); fault.KindOf(err) != fault.Unavailable {
				t.Errorf("%s as iterator: %q, %v", broken, it, err)
			}
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Read(ended, "it", 10, p); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	}
}

// TestStreamsWithoutShardFilter: an endpoint that refuses the filter, or passes over it, is asked for all shards, and told of.
func TestStreamsWithoutShardFilter(t *testing.T) {
	const arn, parent = "arn:aws:dynamodb:us-east-1:1:table/T/stream/2026", "shardId-00000000000000000001-0000"
	for name, refuses := range map[string]bool{"refused": true, "passed over": false} {
		asked := ""
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			filtered, second := strings.Contains(string(text), "ShardFilter"), strings.Contains(string(text), "ExclusiveStartShardId")
			asked += map[bool]string{true: "f", false: "w"}[filtered]
			switch {
			case filtered && refuses:
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `{"__type":"SerializationException","message":"unknown member"}`)
			case second:
				fmt.Fprintf(w, `{"StreamDescription":{"Shards":[{"ShardId":"%s","SequenceNumberRange":{"EndingSequenceNumber":"9"}},{"ShardId":"b","ParentShardId":"other"}]}}`, parent)
			default:
				fmt.Fprintf(w, `{"StreamDescription":{"Shards":[{"ShardId":"a","ParentShardId":"%s"}],"LastEvaluatedShardId":"shardId-00000000000000000001-0001"}}`, parent)
			}
		}))
		t.Cleanup(server.Close)
		c := feedClient(t, server.URL, false).(*Streams)
		if c.WholeLists() {
			t.Error("told before anything was asked")
		}
		for range 2 {
			list, err := c.Shards(t.Context(), arn, parent)
			if err != nil || len(list) != 1 || list[0].ID != "a" || list[0].Closed || !c.WholeLists() {
				t.Errorf("%s: %v, %v", name, list, err)
			}
		}
		if want := map[bool]string{true: "fwwww", false: "ffww"}[refuses]; asked != want {
			t.Errorf("%s: asked %s, want %s", name, asked, want)
		}
		list, err := c.Shards(t.Context(), arn, "")
		if err != nil || len(list) != 3 || list[0].ID != parent || !list[0].Closed {
			t.Errorf("%s: parents first: %v, %v", name, list, err)
		}
	}
}
