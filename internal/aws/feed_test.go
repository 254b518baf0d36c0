package aws

import (
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
