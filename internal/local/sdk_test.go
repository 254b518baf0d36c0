package local

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func start(t *testing.T, opts Options) (*Instance, *dynamodb.Client) {
	t.Helper()
	in, err := Start(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	})
	return in, dynamodb.New(dynamodb.Options{
		Region: "eu-central-1", BaseEndpoint: &in.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
}

func s(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
func n(v string) types.AttributeValue { return &types.AttributeValueMemberN{Value: v} }

type attributes = map[string]types.AttributeValue

func createOrders(t *testing.T, c *dynamodb.Client, units int64) *types.TableDescription {
	t.Helper()
	in := &dynamodb.CreateTableInput{
		TableName: aws.String("Orders"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: "S"}, {AttributeName: aws.String("sk"), AttributeType: "N"}},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: "HASH"}, {AttributeName: aws.String("sk"), KeyType: "RANGE"}},
	}
	if units > 0 {
		in.BillingMode = types.BillingModeProvisioned
		in.ProvisionedThroughput = &types.ProvisionedThroughput{ReadCapacityUnits: &units, WriteCapacityUnits: &units}
	}
	if _, err := c.CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	waiter := dynamodb.NewTableExistsWaiter(c)
	out, err := waiter.WaitForOutput(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("Orders")}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return out.Table
}

// The SDK creates a table, fills it in batches, and reads it back by key, by query, by segment, page by page.
func TestSDKRoundTrip(t *testing.T) {
	_, c := start(t, Options{})
	table := createOrders(t, c, 0)
	if got := aws.ToString(table.TableArn); got != "arn:aws:dynamodb:eu-central-1:000000000000:table/Orders" {
		t.Error(got)
	}
	const items = 200
	for from := 0; from < items; from += 25 {
		var writes []types.WriteRequest
		for i := from; i < from+25; i++ {
			writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: attributes{
				"pk": s(fmt.Sprintf("p%d", i%7)), "sk": n(fmt.Sprint(i)), "text": s(strings.Repeat("ä", 10)),
				"tags": &types.AttributeValueMemberSS{Value: []string{"a", "b"}},
				"bin":  &types.AttributeValueMemberB{Value: []byte{0, 255}},
			}}})
		}
		out, err := c.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{
			RequestItems: map[string][]types.WriteRequest{"Orders": writes}})
		if err != nil || len(out.UnprocessedItems) != 0 {
			t.Fatal(out, err)
		}
	}
	got, err := c.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: aws.String("Orders"), Key: attributes{"pk": s("p3"), "sk": n("3")}})
	if err != nil || len(got.Item) != 5 || string(got.Item["bin"].(*types.AttributeValueMemberB).Value) != "\x00\xff" {
		t.Fatal(got, err)
	}
	query := dynamodb.NewQueryPaginator(c, &dynamodb.QueryInput{
		TableName: aws.String("Orders"), KeyConditionExpression: aws.String("pk = :p AND sk >= :s"), Limit: aws.Int32(4),
		ExpressionAttributeValues: attributes{":p": s("p0"), ":s": n("70")}, ScanIndexForward: aws.Bool(false),
	})
	last, count := 1000, 0
	for query.HasMorePages() {
		page, err := query.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range page.Items {
			var sk int
			fmt.Sscan(it["sk"].(*types.AttributeValueMemberN).Value, &sk)
			if sk >= last {
				t.Errorf("%d after %d", sk, last)
			}
			last, count = sk, count+1
		}
	}
	if count != 19 || last != 70 {
		t.Errorf("%d items down to %d", count, last)
	}
	total := 0
	for segment := range int32(4) {
		scan := dynamodb.NewScanPaginator(c, &dynamodb.ScanInput{
			TableName: aws.String("Orders"), Segment: &segment, TotalSegments: aws.Int32(4), Limit: aws.Int32(9)})
		for scan.HasMorePages() {
			page, err := scan.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			total += len(page.Items)
		}
	}
	if total != items {
		t.Errorf("scanned %d items", total)
	}
}

// Errors arrive as the SDK's own types, with what they carry.
func TestSDKErrors(t *testing.T) {
	_, c := start(t, Options{Throttle: true})
	createOrders(t, c, 1)
	item := attributes{"pk": s("a"), "sk": n("1"), "v": s("old")}
	put := &dynamodb.PutItemInput{TableName: aws.String("Orders"), Item: item}
	if _, err := c.PutItem(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	put.ConditionExpression = aws.String("attribute_not_exists(pk)")
	put.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	_, err := c.PutItem(t.Context(), put)
	var failed *types.ConditionalCheckFailedException
	if !errors.As(err, &failed) || failed.Item["v"].(*types.AttributeValueMemberS).Value != "old" {
		t.Errorf("%v", err)
	}
	_, err = c.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("Nothing")})
	var missing *types.ResourceNotFoundException
	if !errors.As(err, &missing) || !strings.Contains(missing.ErrorMessage(), "Table: Nothing not found") {
		t.Errorf("%v", err)
	}
	put.ConditionExpression, put.Item = nil, attributes{"pk": s("a"), "sk": n("1"), "v": s(strings.Repeat("x", 390_000))}
	_, err = c.PutItem(t.Context(), put)
	if err == nil {
		_, err = c.PutItem(t.Context(), put)
	}
	var throttled *types.ProvisionedThroughputExceededException
	if !errors.As(err, &throttled) || len(throttled.ThrottlingReasons) != 1 ||
		aws.ToString(throttled.ThrottlingReasons[0].Reason) != "TableWriteProvisionedThroughputExceeded" {
		t.Errorf("%v", err)
	}
	_, err = c.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: put.TableName, Item: put.Item}},
	}})
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) || len(cancelled.CancellationReasons) != 1 ||
		aws.ToString(cancelled.CancellationReasons[0].Code) != "ProvisionedThroughputExceeded" {
		t.Errorf("%v", err)
	}
}
