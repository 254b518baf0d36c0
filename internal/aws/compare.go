package aws

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/schemas"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Comparison does the same work our way and the SDK's way, over a transport that answers from memory, so that package
// bench can measure what the raw path saves. It is for one goroutine.
type Comparison struct {
	client *DynamoDB
	batch  item.Batch
	req    dynamo.BatchWriteRequest
	values []map[string]types.AttributeValue
}

// canned is a transport that reads the request and answers the same each time, so that what is measured is the client.
type canned struct {
	body   []byte
	header http.Header
}

// Do is the SDK's HTTPClient.
func (c *canned) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	return &http.Response{StatusCode: 200, Header: c.header, ContentLength: int64(len(c.body)), Request: r,
		Body: io.NopCloser(bytes.NewReader(c.body))}, nil
}

// cannedClient is our client, and below it the plain SDK's, over canned answers.
func cannedClient(body []byte) *DynamoDB {
	header := http.Header{"X-Amz-Crc32": {fmt.Sprint(crc32.ChecksumIEEE(body))},
		"Content-Type": {"application/x-amz-json-1.0"}}
	return &DynamoDB{region: "us-east-1", sdk: dynamodb.New(dynamodb.Options{Region: "us-east-1",
		HTTPClient: &canned{body: body, header: header}, Retryer: sdk.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})}
}

// NewComparison compares over a Scan reply, or over items to write.
func NewComparison(page []byte, items []item.Item) *Comparison {
	c := &Comparison{client: cannedClient(page), req: dynamo.BatchWriteRequest{Table: "T", Puts: items}}
	for _, it := range items {
		c.values = append(c.values, sdkMap(it.Map()))
	}
	return c
}

// Scan decodes the page to items.
func (c *Comparison) Scan(ctx context.Context, want int) error {
	if _, err := c.client.Scan(ctx, &dynamo.ScanRequest{Table: "T"}, &c.batch); err != nil {
		return err
	}
	if c.batch.Len() != want {
		return fault.New(fault.Bug, "%d items", c.batch.Len())
	}
	return nil
}

// ScanSDK is Scan with the SDK's own decoding.
func (c *Comparison) ScanSDK(ctx context.Context, want int) error {
	out, err := c.client.sdk.Scan(ctx, &dynamodb.ScanInput{TableName: sdk.String("T")})
	if err != nil {
		return err
	}
	if len(out.Items) != want {
		return fault.New(fault.Bug, "%d items", len(out.Items))
	}
	return nil
}

// Body builds the request body of one BatchWriteItem.
func (c *Comparison) Body() error {
	x := bodies.get()
	x.batchWrite(&c.req)
	x.sent = true // so that the pool takes it back
	bodies.put(x)
	return nil
}

// BodySDK is Body by the SDK's own protocol.
func (c *Comparison) BodySDK(ctx context.Context) error {
	operation := smithy.NewOperationSchema(schemas.BatchWriteItem, schemas.BatchWriteItemInput, schemas.BatchWriteItemOutput)
	req := smithyhttp.NewStackRequest().(*smithyhttp.Request)
	return c.client.sdk.Options().Protocol.SerializeRequest(ctx, operation, c.input(), req)
}

// input is the SDK's form of the batch.
func (c *Comparison) input() *dynamodb.BatchWriteItemInput {
	writes := make([]types.WriteRequest, 0, len(c.values))
	for _, v := range c.values {
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: v}})
	}
	return &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"T": writes}}
}

func sdkMap(in map[string]item.Value) map[string]types.AttributeValue {
	out := make(map[string]types.AttributeValue, len(in))
	for name, v := range in {
		out[name] = sdkValue(v)
	}
	return out
}

func sdkValue(v item.Value) types.AttributeValue {
	switch v.Type {
	case item.S:
		return &types.AttributeValueMemberS{Value: v.Str}
	case item.N:
		return &types.AttributeValueMemberN{Value: v.Str}
	case item.B:
		return &types.AttributeValueMemberB{Value: v.Bin}
	case item.BOOL:
		return &types.AttributeValueMemberBOOL{Value: v.Bool}
	case item.NULL:
		return &types.AttributeValueMemberNULL{Value: true}
	case item.M:
		return &types.AttributeValueMemberM{Value: sdkMap(v.Map)}
	case item.BS:
		var set [][]byte
		for _, m := range v.List {
			set = append(set, m.Bin)
		}
		return &types.AttributeValueMemberBS{Value: set}
	case item.SS, item.NS:
		var set []string
		for _, m := range v.List {
			set = append(set, m.Str)
		}
		if v.Type == item.NS {
			return &types.AttributeValueMemberNS{Value: set}
		}
		return &types.AttributeValueMemberSS{Value: set}
	}
	var list []types.AttributeValue
	for _, e := range v.List {
		list = append(list, sdkValue(e))
	}
	return &types.AttributeValueMemberL{Value: list}
}
