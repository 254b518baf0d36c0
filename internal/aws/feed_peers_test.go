//go:build peers

package aws

import (
	"os"
	"testing"

	"dynaferry/internal/feed/feedtest"
)

// TestSuitePeerFeeds runs the suite of feeds against somebody else's streams: DynamoDB Local's and moto's Kinesis.
func TestSuitePeerFeeds(t *testing.T) {
	ran := false
	for variable, kinesis := range map[string]bool{"DYNAFERRY_PEER_STREAMS": false, "DYNAFERRY_PEER_KINESIS": true} {
		endpoint := os.Getenv(variable)
		if endpoint == "" {
			continue
		}
		ran = true
		t.Run(variable, func(t *testing.T) {
			feedtest.Run(t, feedtest.Service{URL: endpoint, Client: feedClient(t, endpoint, kinesis), Kinesis: kinesis, Splits: kinesis,
				Endless: kinesis})
		})
	}
	if !ran {
		t.Skip("SKIPPED, NOT PASSED: neither DYNAFERRY_PEER_STREAMS nor DYNAFERRY_PEER_KINESIS names a service of somebody else; make peers starts them and runs this")
	}
}
