//go:build peers

package peers_test

import "testing"

// TestFeeds lets our clients of streams read what DynamoDB Local and moto's Kinesis serve.
func TestFeeds(t *testing.T) {
	t.Run("streams of DynamoDB Local", func(t *testing.T) {
		suite(t, "internal/aws", "TestSuitePeerFeeds", "", "DYNAFERRY_PEER_STREAMS="+startDynamoDBLocal(t))
	})
	t.Run("Kinesis of moto", func(t *testing.T) {
		suite(t, "internal/aws", "TestSuitePeerFeeds", "", "DYNAFERRY_PEER_KINESIS="+startMoto(t))
	})
}
