package aws

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/schemas"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/item"
)

// canned is a transport that reads the request and answers the same each time, so that what is measured is the client.
type canned struct {
	body   []byte
	header http.Header
}

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

// order is an item of about 700 bytes with nested lists and maps, as exports of shops have them.
func order(i int) string {
	return fmt.Sprintf(`{"orderId":{"S":"O-%08d"},"customer":{"M":{"id":{"N":"%d"},"name":{"S":"Customer %d"},`+
		`"email":{"S":"customer%d@example.com"},"vip":{"BOOL":%t}}},"status":{"S":"delivered"},"total":{"N":"%d.%02d"},`+
		`"createdAt":{"S":"2026-03-%02dT10:15:30.123Z"},"lines":{"L":[{"M":{"sku":{"S":"SKU-%05d"},"qty":{"N":"%d"},`+
		`"price":{"N":"19.99"}}},{"M":{"sku":{"S":"SKU-%05d"},"qty":{"N":"2"},"price":{"N":"7.50"}}}]},`+
		`"tags":{"SS":["gift","express"]},"note":{"S":"please leave the parcel with the neighbour at number %d"},`+
		`"address":{"M":{"street":{"S":"Long Street %d"},"city":{"S":"Springfield"},"zip":{"S":"%05d"}}},"gone":{"NULL":true}}`,
		i, i*7, i, i, i%5 == 0, i%900, i%100, i%28+1, i%99999, i%9+1, (i*31)%99999, i%200, i%300, i%99999)
}

// orders gives items both ways.
func orders(b testing.TB, n int) (items []item.Item, values []map[string]types.AttributeValue) {
	for i := range n {
		it := parsed(b, order(i))
		items = append(items, it)
		values = append(values, sdkMap(it.Map()))
	}
	return items, values
}

func sdkMap(in map[string]item.Value) map[string]types.AttributeValue {
	out := map[string]types.AttributeValue{}
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
	case item.BOOL:
		return &types.AttributeValueMemberBOOL{Value: v.Bool}
	case item.NULL:
		return &types.AttributeValueMemberNULL{Value: true}
	case item.M:
		return &types.AttributeValueMemberM{Value: sdkMap(v.Map)}
	case item.SS:
		var set []string
		for _, m := range v.List {
			set = append(set, m.Str)
		}
		return &types.AttributeValueMemberSS{Value: set}
	}
	var list []types.AttributeValue
	for _, e := range v.List {
		list = append(list, sdkValue(e))
	}
	return &types.AttributeValueMemberL{Value: list}
}

func page(n int) []byte {
	var body bytes.Buffer
	fmt.Fprintf(&body, `{"ConsumedCapacity":{"CapacityUnits":128.0,"TableName":"T"},"Count":%d,"Items":[`, n)
	for i := range n {
		if i > 0 {
			body.WriteByte(',')
		}
		body.WriteString(order(i))
	}
	fmt.Fprintf(&body, `],"LastEvaluatedKey":{"orderId":{"S":"x"}},"ScannedCount":%d}`, n)
	return body.Bytes()
}

const pageItems = 1400 // about 1 MB as DynamoDB counts

// BenchmarkScan compares one page's way to items. The bound is reading it once: CRC32 at some 10 GB/s and the tokenizer
// at 1.5 GB/s give under a millisecond for 1.2 MB. Must: 10 times the SDK's items a CPU second; aim: 20 times.
func BenchmarkScan(b *testing.B) {
	body := page(pageItems)
	d := cannedClient(body)
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		var batch item.Batch
		for b.Loop() {
			if _, err := d.Scan(context.Background(), &dynamo.ScanRequest{Table: "T"}, &batch); err != nil ||
				batch.Len() != pageItems {
				b.Fatal(batch.Len(), err)
			}
		}
		b.ReportMetric(float64(b.N)*pageItems/b.Elapsed().Seconds(), "items/s")
	})
	b.Run("sdk", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			out, err := d.sdk.Scan(context.Background(), &dynamodb.ScanInput{TableName: sdk.String("T")})
			if err != nil || len(out.Items) != pageItems {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*pageItems/b.Elapsed().Seconds(), "items/s")
	})
}

// BenchmarkBatchWrite compares one batch's way into a signed request. The encoding is a copy of 18 KB, a few µs; SHA-256
// of the payload, the signature and the SDK's stack are the same for both and dominate ours. Must: 5 times; aim: 10.
func BenchmarkBatchWrite(b *testing.B) {
	items, values := orders(b, 25)
	d := cannedClient([]byte(`{"UnprocessedItems":{},"ConsumedCapacity":[{"TableName":"T","CapacityUnits":25.0}]}`))
	b.Run("request/ours", func(b *testing.B) {
		b.ReportAllocs()
		req := &dynamo.BatchWriteRequest{Table: "T", Puts: items}
		for b.Loop() {
			if _, err := d.BatchWrite(context.Background(), req); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*25/b.Elapsed().Seconds(), "items/s")
	})
	b.Run("request/sdk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var writes []types.WriteRequest
			for _, v := range values {
				writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: v}})
			}
			if _, err := d.sdk.BatchWriteItem(context.Background(), &dynamodb.BatchWriteItemInput{
				RequestItems: map[string][]types.WriteRequest{"T": writes}}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*25/b.Elapsed().Seconds(), "items/s")
	})
	b.Run("body/sdk", func(b *testing.B) {
		b.ReportAllocs()
		protocol := d.sdk.Options().Protocol
		operation := smithy.NewOperationSchema(schemas.BatchWriteItem, schemas.BatchWriteItemInput, schemas.BatchWriteItemOutput)
		for b.Loop() {
			var writes []types.WriteRequest
			for _, v := range values {
				writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: v}})
			}
			in := &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"T": writes}}
			req := smithyhttp.NewStackRequest().(*smithyhttp.Request)
			if err := protocol.SerializeRequest(context.Background(), operation, in, req); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*25/b.Elapsed().Seconds(), "items/s")
	})
	b.Run("body/ours", func(b *testing.B) {
		b.ReportAllocs()
		req := &dynamo.BatchWriteRequest{Table: "T", Puts: items}
		for b.Loop() {
			x := bodies.get()
			x.batchWrite(req)
			x.sent = true
			bodies.put(x)
		}
		b.ReportMetric(float64(b.N)*25/b.Elapsed().Seconds(), "items/s")
	})
}

// TestRawPathsAgree: what the benchmarks compare is the same: both decode a page to the same items.
func TestRawPathsAgree(t *testing.T) {
	d := cannedClient(page(50))
	var batch item.Batch
	if _, err := d.Scan(t.Context(), &dynamo.ScanRequest{Table: "T"}, &batch); err != nil {
		t.Fatal(err)
	}
	_, want := orders(t, 50)
	out, err := d.sdk.Scan(t.Context(), &dynamodb.ScanInput{TableName: sdk.String("T")})
	if err != nil || len(out.Items) != batch.Len() {
		t.Fatal(len(out.Items), batch.Len(), err)
	}
	for i := range out.Items {
		if a, b := fmt.Sprint(len(out.Items[i])), fmt.Sprint(len(want[i])); a != b {
			t.Errorf("item %d has %s members, want %s", i, a, b)
		}
		again := &item.Batch{Src: item.WithSlack([]byte(order(i)))}
		if err := ddbjson.Parse(again, 0); err != nil || !item.Equal(again.Item(0), batch.Item(i)) {
			t.Errorf("item %d differs: %v", i, err)
		}
	}
}
