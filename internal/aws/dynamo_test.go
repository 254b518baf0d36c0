package aws

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/dynamo/dynamotest"
	"dynaferry/internal/fault"
	"dynaferry/internal/local"
)

// localTables opens a client on a local DynamoDB of its own.
func localTables(t *testing.T, o local.Options) *DynamoDB {
	t.Helper()
	in, err := local.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	})
	return tables(t, in.URL)
}

// tables opens a client on an endpoint.
func tables(t *testing.T, endpoint string) *DynamoDB {
	t.Helper()
	d, err := session(t, endpoint, "test", "secret").DynamoDB()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSuiteLocalTables(t *testing.T) {
	dir := t.TempDir()
	d := localTables(t, local.Options{Bucket: func(context.Context, string) (blob.Bucket, error) { return folder.Open(dir, folder.Options{}) }})
	dynamotest.Run(t, func(*testing.T) dynamo.Client { return d }, dynamotest.Options{Bucket: "lake"})
}

// The error log of an import is asked of CloudWatch Logs, in the Region's words and signed.
func TestImportErrors(t *testing.T) {
	var asked http.Header
	var body []byte
	logs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header
		body, _ = io.ReadAll(r.Body)
		if bytes.Contains(body, []byte("denied")) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"AccessDeniedException","message":"not you"}`)
			return
		}
		fmt.Fprint(w, `{"events":[{"message":"{\"a\":1}\n"},{"message":"two"}]}`)
	}))
	t.Cleanup(logs.Close)
	i := &dynamo.Import{ARN: "arn:aws:dynamodb:us-east-1:1:table/T/import/0123-ab",
		LogGroup: "arn:aws:logs:us-east-1:1:log-group:/aws-dynamodb/imports:*"}
	if _, err := tables(t, "http://127.0.0.1:1").ImportErrors(t.Context(), i, 5); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("a DynamoDB of our own whose logs are nowhere: %v", err)
	}
	t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", logs.URL)
	d := tables(t, "http://127.0.0.1:1")
	lines, err := d.ImportErrors(t.Context(), i, 5)
	if err != nil || len(lines) != 2 || lines[0] != `{"a":1}` || lines[1] != "two" {
		t.Errorf("%q, %v", lines, err)
	}
	if want := `{"limit":5,"logGroupName":"/aws-dynamodb/imports","logStreamNames":["0123-ab/error"]}`; string(body) != want {
		t.Errorf("asked %s, want %s", body, want)
	}
	if asked.Get("X-Amz-Target") != "Logs_20140328.FilterLogEvents" || !strings.Contains(asked.Get("Authorization"), "/logs/aws4_request") {
		t.Errorf("asked with %v", asked)
	}
	i.ARN = "arn:aws:dynamodb:us-east-1:1:table/T/import/denied"
	if _, err := d.ImportErrors(t.Context(), i, 5); fault.KindOf(err) != fault.Permission || !strings.Contains(err.Error(), "not you") {
		t.Errorf("refused: %v", err)
	}
}
