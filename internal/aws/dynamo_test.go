package aws

import (
	"testing"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/dynamo/dynamotest"
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
	d := localTables(t, local.Options{})
	dynamotest.Run(t, func(*testing.T) dynamo.Client { return d }, dynamotest.Options{})
}
