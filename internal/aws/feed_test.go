package aws

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"dynaferry/internal/feed"
	"dynaferry/internal/feed/feedtest"
	"dynaferry/internal/local"
)

// feedClient opens one of the two clients of streams.
func feedClient(t *testing.T, endpoint string, kinesis bool) feed.Client {
	t.Helper()
	s := session(t, endpoint, "test", "secret")
	var c feed.Client
	var err error
	if kinesis {
		c, err = s.Kinesis()
	} else {
		c, err = s.Streams()
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSuiteLocalFeeds: with empty pages in mid-shard, and with splits.
func TestSuiteLocalFeeds(t *testing.T) {
	for name, kinesis := range map[string]bool{"streams": false, "kinesis": true} {
		t.Run(name, func(t *testing.T) {
			var later atomic.Int64
			in, err := local.Start(t.Context(), local.Options{NoSync: true, ShardLife: 1000 * time.Hour,
				Clock: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := in.Close(); err != nil {
					t.Error(err)
				}
			})
			feedtest.Run(t, feedtest.Service{URL: in.URL, Client: feedClient(t, in.URL, kinesis), Kinesis: kinesis, Splits: true,
				Later: func(d time.Duration) { later.Add(int64(d)) }})
		})
	}
}

// TestFeedEndpoints: as the AWS CLI finds them; what is named for DynamoDB alone is its streams' too, and never Kinesis's.
func TestFeedEndpoints(t *testing.T) {
	for _, c := range []struct {
		env              map[string]string
		endpoint         string
		streams, kinesis string
	}{
		{nil, "", "", ""},
		{map[string]string{"AWS_ENDPOINT_URL": "http://localhost:1"}, "", "http://localhost:1", "http://localhost:1"},
		{map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": "http://localhost:2"}, "", "http://localhost:2", ""},
		{map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": "http://localhost:2", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": "http://localhost:3",
			"AWS_ENDPOINT_URL_KINESIS": "http://localhost:4"}, "", "http://localhost:3", "http://localhost:4"},
		{map[string]string{"AWS_ENDPOINT_URL_DYNAMODB_STREAMS": "http://localhost:3", "AWS_ENDPOINT_URL_KINESIS": "http://localhost:4"},
			"http://localhost:5", "http://localhost:5", "http://localhost:5"},
	} {
		t.Run(fmt.Sprint(c.env, c.endpoint), func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			s := session(t, c.endpoint, "a", "b")
			streams, err := s.Streams()
			if err != nil {
				t.Fatal(err)
			}
			kinesis, err := s.Kinesis()
			if err != nil {
				t.Fatal(err)
			}
			if got := [2]string{deref(streams.sdk.Options().BaseEndpoint), deref(kinesis.sdk.Options().BaseEndpoint)}; got != [2]string{c.streams, c.kinesis} {
				t.Errorf("streams %q, kinesis %q", got[0], got[1])
			}
		})
	}
}
