package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// replicas is "replicas REGION...": from now on DescribeTable tells that each table has a replica in these Regions.
func replicas(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: replicas REGION...")
	}
	at, err := url.Parse(ts.Getenv("AWS_ENDPOINT_URL_DYNAMODB"))
	ts.Check(err)
	told := `"Table":{"Replicas":[{"RegionName":"` + strings.Join(args, `","ReplicaStatus":"ACTIVE"},{"RegionName":"`) + `","ReplicaStatus":"ACTIVE"}],`
	proxy := httputil.NewSingleHostReverseProxy(at)
	proxy.ModifyResponse = func(r *http.Response) error {
		if !strings.HasSuffix(r.Request.Header.Get("X-Amz-Target"), ".DescribeTable") || r.StatusCode != http.StatusOK {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		body = bytes.Replace(body, []byte(`"Table":{`), []byte(told), 1)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		r.Header.Del("X-Amz-Crc32")
		return nil
	}
	server := httptest.NewServer(proxy)
	ts.Defer(server.Close)
	ts.Setenv("AWS_ENDPOINT_URL_DYNAMODB", server.URL)
}
