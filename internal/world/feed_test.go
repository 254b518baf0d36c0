package world

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// TestFeed: a table's stream is found by its description, a Kinesis stream by its name.
func TestFeed(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	stream := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"Table":{"TableName":"Orders","TableStatus":"ACTIVE","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],` +
			`"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}]` + stream + `}}`))
	}))
	t.Cleanup(server.Close)
	w := New()
	wrapped := 0
	w.WrapFeed = func(c feed.Client) feed.Client { wrapped++; return c }
	open := func(address string) (string, error) {
		at, err := Parse(address + "?endpoint=" + server.URL)
		if err != nil {
			t.Fatal(err)
		}
		c, stream, err := w.Feed(t.Context(), at)
		if (c == nil) != (err != nil) {
			t.Errorf("%s: %v beside %v", address, c, err)
		}
		return stream, err
	}
	for _, none := range []string{"", `,"LatestStreamArn":"arn:x"`} {
		stream = none
		if _, err := open("dynamodb://Orders"); fault.KindOf(err) != fault.NotFound || !strings.Contains(fault.HintOf(err), "Orders") {
			t.Errorf("without a stream that is on: %v", err)
		}
	}
	stream = `,"LatestStreamArn":"arn:x","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"}`
	if arn, err := open("dynamodb://Orders"); arn != "arn:x" || err != nil {
		t.Errorf("%q, %v", arn, err)
	}
	if name, err := open("kinesis://changes"); name != "changes" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	if wrapped != 2 {
		t.Errorf("%d clients were wrapped", wrapped)
	}
	for _, address := range []string{"kinesis://changes", "firehose://changes"} {
		at, err := Parse(address + "?endpoint=" + server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if c, stream, err := w.Outlet(t.Context(), at); c == nil || stream != "changes" || err != nil {
			t.Errorf("%s to put into: %q, %v", address, stream, err)
		}
		at.Scheme = S3
		if c, _, err := w.Outlet(t.Context(), at); c != nil || fault.KindOf(err) != fault.User {
			t.Errorf("a bucket takes no records: %v", err)
		}
	}
	if _, err := open("s3://lake"); fault.KindOf(err) != fault.User {
		t.Errorf("a bucket: %v", err)
	}
}
