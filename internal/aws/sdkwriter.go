package aws

import (
	"context"
	"maps"
	"net"
	"net/http"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// SDKWriter writes to a DynamoDB by the plain SDK, as a program of anybody's would, so that package bench can measure a server
// under it. Its methods may be called concurrently.
type SDKWriter struct {
	client *dynamodb.Client
	table  string
	items  []map[string]types.AttributeValue
}

// NewSDKWriter writes items to a table at an endpoint over at most so many connections. dial is nil for the usual way.
func NewSDKWriter(endpoint, table string, connections int, dial func(ctx context.Context, network, address string) (net.Conn, error), items []item.Item) *SDKWriter {
	w := &SDKWriter{table: table, client: dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: sdk.String(endpoint),
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), Retryer: sdk.NopRetryer{},
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}}})}
	for _, it := range items {
		w.items = append(w.items, sdkMap(it.Map()))
	}
	return w
}

// item is one of the items, under another key.
func (w *SDKWriter) item(attribute, key string, i int) map[string]types.AttributeValue {
	m := maps.Clone(w.items[i%len(w.items)])
	m[attribute] = &types.AttributeValueMemberS{Value: key}
	return m
}

// Put puts the i-th item under a key.
func (w *SDKWriter) Put(ctx context.Context, attribute, key string, i int) error {
	_, err := w.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &w.table, Item: w.item(attribute, key, i)})
	return err
}

// Batch puts the items from the i-th on under keys, in one BatchWriteItem.
func (w *SDKWriter) Batch(ctx context.Context, attribute string, keys []string, i int) error {
	writes := make([]types.WriteRequest, 0, len(keys))
	for n, key := range keys {
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: w.item(attribute, key, i+n)}})
	}
	out, err := w.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{w.table: writes}})
	if err == nil && len(out.UnprocessedItems) > 0 {
		err = fault.New(fault.Throttled, "batch write: %d items came back", len(out.UnprocessedItems[w.table]))
	}
	return err
}
