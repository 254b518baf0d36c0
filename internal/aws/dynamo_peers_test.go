//go:build peers

package aws

import (
	"os"
	"testing"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/dynamo/dynamotest"
)

// TestSuitePeerTables runs the suite against a real counterpart, for instance DynamoDB Local.
func TestSuitePeerTables(t *testing.T) {
	endpoint := os.Getenv("DYNAFERRY_PEER_DYNAMODB")
	if endpoint == "" {
		t.Skip("SKIPPED, NOT PASSED: DYNAFERRY_PEER_DYNAMODB names no DynamoDB of somebody else; make peers fetches DynamoDB Local and runs this")
	}
	d := tables(t, endpoint)
	dynamotest.Run(t, func(*testing.T) dynamo.Client { return d }, dynamotest.Options{NoBatchUnits: true})
}
