package aws

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/item"
)

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
	c := NewComparison(body, nil)
	for name, scan := range map[string]func(context.Context, int) error{"ours": c.Scan, "sdk": c.ScanSDK} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := scan(context.Background(), pageItems); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*pageItems/b.Elapsed().Seconds(), "items/s")
		})
	}
}

// BenchmarkBatchWrite compares one batch's way into a request body, a copy of 18 KB, and into a whole signed request:
// SHA-256 of the payload, the signature and the SDK's stack are the same for both and dominate ours. Must: 5 times the
// SDK's encoding; aim: 10.
func BenchmarkBatchWrite(b *testing.B) {
	items, _ := orders(b, 25)
	c := NewComparison([]byte(`{"UnprocessedItems":{},"ConsumedCapacity":[{"TableName":"T","CapacityUnits":25.0}]}`), items)
	ctx := context.Background()
	for name, write := range map[string]func() error{
		"body/ours":    c.Body,
		"body/sdk":     func() error { return c.BodySDK(ctx) },
		"request/ours": func() error { _, err := c.client.BatchWrite(ctx, &c.req); return err },
		"request/sdk":  func() error { _, err := c.client.sdk.BatchWriteItem(ctx, c.input()); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := write(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*25/b.Elapsed().Seconds(), "items/s")
		})
	}
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
