package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

const createStreamed = `{"TableName":"hash","AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],` +
	`"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST",` +
	`"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`

// told is a record of a stream as a reader sees it.
type toldRecord struct {
	EventID, EventName string
	UserIdentity       *struct{ PrincipalId, Type string }
	Dynamodb           struct {
		Keys, NewImage, OldImage    map[string]map[string]any
		SequenceNumber              string
		ApproximateCreationDateTime int64
	}
}

// latestStream is the ARN of a table's stream.
func latestStream(t testing.TB, db *DB, table string) string {
	t.Helper()
	var out struct {
		Table struct{ LatestStreamArn string }
	}
	unmarshal(t, must(t, db, "DescribeTable", `{"TableName":"`+table+`"}`), &out)
	return out.Table.LatestStreamArn
}

func unmarshal(t testing.TB, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(text, err)
	}
}

type shownShard struct {
	ShardId, ParentShardId string
	SequenceNumberRange    struct{ StartingSequenceNumber, EndingSequenceNumber string }
}

// describeShards reads all shards of a stream, in small pages.
func describeShards(t testing.TB, db *DB, arn string) (list []shownShard) {
	t.Helper()
	for after := ""; ; {
		var out struct {
			StreamDescription struct {
				Shards               []shownShard
				LastEvaluatedShardId string
			}
		}
		start := ""
		if after != "" {
			start = `,"ExclusiveStartShardId":"` + after + `"`
		}
		unmarshal(t, must(t, db, "Streams.DescribeStream", `{"StreamArn":"`+arn+`","Limit":3`+start+`}`), &out)
		list = append(list, out.StreamDescription.Shards...)
		if after = out.StreamDescription.LastEvaluatedShardId; after == "" {
			return list
		}
	}
}

// readShardAll reads a shard from its oldest record until it ends or two pages in a row are empty.
func readShardAll(t testing.TB, db *DB, arn, shard string) (records []toldRecord, ended bool) {
	t.Helper()
	var it struct{ ShardIterator, NextShardIterator string }
	unmarshal(t, must(t, db, "Streams.GetShardIterator",
		`{"StreamArn":"`+arn+`","ShardId":"`+shard+`","ShardIteratorType":"TRIM_HORIZON"}`), &it)
	for token, empty := it.ShardIterator, 0; empty < 2; {
		var page struct {
			Records           []toldRecord
			NextShardIterator string
		}
		unmarshal(t, must(t, db, "Streams.GetRecords", `{"ShardIterator":"`+token+`","Limit":50}`), &page)
		records = append(records, page.Records...)
		if token = page.NextShardIterator; token == "" {
			return records, true
		}
		if empty++; len(page.Records) > 0 {
			empty = 0
		}
	}
	return records, false
}

// readStream reads all of a stream, parents before children.
func readStream(t testing.TB, db *DB, arn string) (records []toldRecord) {
	t.Helper()
	for _, shard := range describeShards(t, db, arn) {
		part, ended := readShardAll(t, db, arn, shard.ShardId)
		if ended != (shard.SequenceNumberRange.EndingSequenceNumber != "") {
			t.Errorf("shard %s read to an end: %v; %v", shard.ShardId, ended, shard)
		}
		records = append(records, part...)
	}
	return records
}

// Empty pages are in the middle of a shard only, and there they are: a reader of a new stream finds its first records at once.
func TestEmptyPagesAreInMidShard(t *testing.T) {
	empty := 0
	for place := range uint64(4000) {
		empty += btoi(emptyAt(7, place))
	}
	if emptyAt(7, 0) || empty < 800 || empty > 1200 {
		t.Errorf("%d of 4000 places; the beginning: %v", empty, emptyAt(7, 0))
	}
}

// Writers count up their items while shards split and roll under them; each item's records tell every number once, in
// order, with the number before as old image.
func TestStreamOrderUnderWritersAndSplits(t *testing.T) {
	db := newDB(t, Options{Clock: time.Now})
	must(t, db, "CreateTable", createStreamed)
	arn := latestStream(t, db, "hash")
	const writers, rounds = 6, 80
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range rounds {
				body := fmt.Sprintf(`{"TableName":"hash","Key":{"pk":{"S":"%d"}},"UpdateExpression":"ADD n :1",`+
					`"ExpressionAttributeValues":{":1":{"N":"1"}}}`, (w+i)%9)
				if status, reply := post(db, "UpdateItem", body); status != 200 {
					t.Error(reply)
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		shards := describeShards(t, db, arn)
		op := []string{"Local.SplitShard", "Local.RollShard"}[random.IntN(2)]
		status, reply := post(db, op, `{"StreamArn":"`+arn+`","ShardId":"`+shards[random.IntN(len(shards))].ShardId+`"}`)
		if status != 200 && !strings.Contains(reply, "closed already") {
			t.Error(reply)
		}
	}
	wg.Wait()
	next, seen := map[string]int{}, map[string]bool{}
	for _, r := range readStream(t, db, arn) {
		key := r.Dynamodb.Keys["pk"]["S"].(string)
		if got, want := r.Dynamodb.NewImage["n"]["N"], fmt.Sprint(next[key]+1); got != want {
			t.Fatalf("item %s: %v where %s was due", key, got, want)
		}
		if next[key] > 0 && r.Dynamodb.OldImage["n"]["N"] != fmt.Sprint(next[key]) {
			t.Fatalf("item %s: old image %v before %d", key, r.Dynamodb.OldImage, next[key]+1)
		}
		if (next[key] == 0) != (r.EventName == "INSERT") || seen[r.EventID] || len(r.Dynamodb.SequenceNumber) != 40 {
			t.Errorf("record %+v", r)
		}
		next[key]++
		seen[r.EventID] = true
	}
	if len(seen) != writers*rounds {
		t.Errorf("%d records of %d", len(seen), writers*rounds)
	}
}

// Each view shows what it is for.
func TestStreamViews(t *testing.T) {
	for view, want := range map[string][2]bool{"KEYS_ONLY": {}, "NEW_IMAGE": {true, false}, "OLD_IMAGE": {false, true}, "NEW_AND_OLD_IMAGES": {true, true}} {
		db := newDB(t, Options{})
		must(t, db, "CreateTable", strings.ReplaceAll(createStreamed, "NEW_AND_OLD_IMAGES", view))
		must(t, db, "PutItem", `{"TableName":"hash","Item":{"pk":{"S":"a"},"v":{"N":"1"}}}`)
		must(t, db, "BatchWriteItem", `{"RequestItems":{"hash":[{"PutRequest":{"Item":{"pk":{"S":"a"},"v":{"N":"2"}}}}]}}`)
		must(t, db, "DeleteItem", `{"TableName":"hash","Key":{"pk":{"S":"a"}}}`)
		records := readStream(t, db, latestStream(t, db, "hash"))
		if len(records) != 3 {
			t.Fatalf("%s: %d records", view, len(records))
		}
		for i, name := range []string{"INSERT", "MODIFY", "REMOVE"} {
			d := records[i].Dynamodb
			if records[i].EventName != name || (d.NewImage != nil) != (want[0] && i < 2) || (d.OldImage != nil) != (want[1] && i > 0) ||
				d.Keys["pk"]["S"] != "a" || records[i].UserIdentity != nil {
				t.Errorf("%s: %+v", view, records[i])
			}
		}
	}
}

// Shards roll by time; what is older than a day cannot be asked for any more, a reader who falls behind is told, and
// names of parents stay. A clock that steps back harms nobody.
func TestStreamTrimAndRoll(t *testing.T) {
	now := epoch
	db := newDB(t, Options{FullPages: true, Clock: func() time.Time { return now }})
	must(t, db, "CreateTable", createStreamed)
	arn := latestStream(t, db, "hash")
	put := func(v int) {
		must(t, db, "PutItem", fmt.Sprintf(`{"TableName":"hash","Item":{"pk":{"S":"a"},"v":{"N":"%d"}}}`, v))
	}
	first := describeShards(t, db, arn)[0]
	put(0)
	records, _ := readShardAll(t, db, arn, first.ShardId)
	number := records[0].Dynamodb.SequenceNumber
	for hour := 1; hour <= 26; hour++ {
		now = now.Add(time.Hour)
		if hour == 13 {
			now = now.Add(-30 * time.Minute)
		}
		if err := db.rollShards(); err != nil {
			t.Fatal(err)
		}
		put(hour)
	}
	if err := db.tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	shards := describeShards(t, db, arn)
	if len(shards) < 5 || len(shards) > 8 {
		t.Errorf("%d shards: %v", len(shards), shards)
	}
	for i, s := range shards {
		if i > 0 && s.ParentShardId != shards[i-1].ShardId || s.ParentShardId == "" && s.ShardId != first.ShardId {
			t.Errorf("shard %d: %v after %v", i, s, shards[max(i-1, 0)])
		}
	}
	all := readStream(t, db, arn)
	if n := len(all); n < 23 || n > 26 {
		t.Errorf("%d records of the last day", n)
	}
	status, reply := post(db, "Streams.GetShardIterator", `{"StreamArn":"`+arn+`","ShardId":"`+first.ShardId+
		`","ShardIteratorType":"AFTER_SEQUENCE_NUMBER","SequenceNumber":"`+number+`"}`)
	if status != 400 || !strings.Contains(reply, "TrimmedDataAccessException") && !strings.Contains(reply, "ResourceNotFoundException") {
		t.Error(status, reply)
	}
}

// An iterator whose records are trimmed under it says so.
func TestStreamTrimmedUnderIterator(t *testing.T) {
	now := epoch
	db := newDB(t, Options{FullPages: true, Clock: func() time.Time { return now }})
	must(t, db, "CreateTable", createStreamed)
	arn := latestStream(t, db, "hash")
	shard := describeShards(t, db, arn)[0].ShardId
	must(t, db, "PutItem", `{"TableName":"hash","Item":{"pk":{"S":"a"}}}`)
	records, _ := readShardAll(t, db, arn, shard)
	must(t, db, "PutItem", `{"TableName":"hash","Item":{"pk":{"S":"b"}}}`)
	now = now.Add(23*time.Hour + 50*time.Minute)
	must(t, db, "PutItem", `{"TableName":"hash","Item":{"pk":{"S":"c"}}}`)
	var it struct{ ShardIterator string }
	unmarshal(t, must(t, db, "Streams.GetShardIterator", `{"StreamArn":"`+arn+`","ShardId":"`+shard+
		`","ShardIteratorType":"AFTER_SEQUENCE_NUMBER","SequenceNumber":"`+records[0].Dynamodb.SequenceNumber+`"}`), &it)
	now = now.Add(14 * time.Minute)
	status, reply := post(db, "Streams.GetRecords", `{"ShardIterator":"`+it.ShardIterator+`"}`)
	if status != 400 || !strings.Contains(reply, "TrimmedDataAccessException") {
		t.Error(status, reply)
	}
	if records, _ := readShardAll(t, db, arn, shard); len(records) != 1 || records[0].Dynamodb.Keys["pk"]["S"] != "c" {
		t.Errorf("from the horizon: %v", records)
	}
}

// Under load a shard is split in time, and not under little.
func TestStreamSplitsByLoad(t *testing.T) {
	now := epoch
	db := newDB(t, Options{NoSync: true, Clock: func() time.Time { return now }})
	must(t, db, "CreateTable", createStreamed)
	arn := latestStream(t, db, "hash")
	write := func(calls int) {
		for c := range calls {
			var puts []string
			for i := range 25 {
				puts = append(puts, fmt.Sprintf(`{"PutRequest":{"Item":{"pk":{"S":"%d-%d"},"v":{"N":"%d"}}}}`, c, i, now.Unix()))
			}
			must(t, db, "BatchWriteItem", `{"RequestItems":{"hash":[`+strings.Join(puts, ",")+`]}}`)
		}
	}
	for _, phase := range []struct{ calls, shards int }{{30, 1}, {50, 3}} {
		for range 13 {
			now = now.Add(time.Second)
			write(phase.calls)
			if err := db.splitLoaded(); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(describeShards(t, db, arn)); got != phase.shards {
			t.Errorf("%d shards after %d writes a second, want %d", got, 25*phase.calls, phase.shards)
		}
	}
}

// Streams are there after a restart: shards, records, places, names.
func TestStreamRestart(t *testing.T) {
	dir := t.TempDir()
	open := func() *DB {
		db, err := Open(Options{Dir: dir, FullPages: true, Clock: func() time.Time { return epoch }})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	must(t, db, "CreateTable", createStreamed)
	arn := latestStream(t, db, "hash")
	must(t, db, "PutItem", `{"TableName":"hash","Item":{"pk":{"S":"a"}}}`)
	must(t, db, "Local.SplitShard", `{"StreamArn":"`+arn+`","ShardId":"`+describeShards(t, db, arn)[0].ShardId+`"}`)
	must(t, db, "PutItem", `{"TableName":"hash","Item":{"pk":{"S":"b"}}}`)
	must(t, db, "DeleteTable", `{"TableName":"hash"}`)
	before, shards := fmt.Sprint(readStream(t, db, arn)), fmt.Sprint(describeShards(t, db, arn))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open()
	if after := fmt.Sprint(readStream(t, db, arn)); after != before || strings.Count(after, "INSERT") != 2 {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	if after := fmt.Sprint(describeShards(t, db, arn)); after != shards {
		t.Errorf("before %s\nafter  %s", shards, after)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func streamsClient(t *testing.T, in *Instance) *dynamodbstreams.Client {
	return dynamodbstreams.New(dynamodbstreams.Options{Region: "eu-central-1", BaseEndpoint: &in.URL, RetryMaxAttempts: 1,
		HTTPClient: ownConnections(t), Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")})
}

// The SDK reads a stream, and hears of its errors as its own types.
func TestStreamSDK(t *testing.T) {
	in, c := start(t, Options{TTLInterval: 10 * time.Millisecond})
	createOrders(t, c, 0)
	table := aws.String("Orders")
	out, err := c.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{TableName: table, StreamSpecification: &ddbtypes.StreamSpecification{
		StreamEnabled: aws.Bool(true), StreamViewType: ddbtypes.StreamViewTypeNewAndOldImages}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{TableName: table,
		TimeToLiveSpecification: &ddbtypes.TimeToLiveSpecification{AttributeName: aws.String("ends"), Enabled: aws.Bool(true)}}); err != nil {
		t.Fatal(err)
	}
	item := attributes{"pk": s("a"), "sk": n("1"), "ends": n(fmt.Sprint(time.Now().Add(-time.Minute).Unix()))}
	if _, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: table, Item: item}); err != nil {
		t.Fatal(err)
	}
	streams := streamsClient(t, in)
	arn := out.TableDescription.LatestStreamArn
	about, err := streams.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: arn})
	if err != nil || len(about.StreamDescription.Shards) != 1 || about.StreamDescription.StreamStatus != types.StreamStatusEnabled {
		t.Fatal(about, err)
	}
	shard := about.StreamDescription.Shards[0].ShardId
	it, err := streams.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{StreamArn: arn, ShardId: shard,
		ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	if err != nil {
		t.Fatal(err)
	}
	var records []types.Record
	for next, deadline := it.ShardIterator, time.Now().Add(20*time.Second); len(records) < 2 && time.Now().Before(deadline); {
		page, err := streams.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: next})
		if err != nil {
			t.Fatal(err)
		}
		records, next = append(records, page.Records...), page.NextShardIterator
	}
	if len(records) != 2 || records[0].EventName != types.OperationTypeInsert || records[1].EventName != types.OperationTypeRemove {
		t.Fatalf("%+v", records)
	}
	if who := records[1].UserIdentity; who == nil || *who.PrincipalId != "dynamodb.amazonaws.com" || *who.Type != "Service" || records[0].UserIdentity != nil {
		t.Errorf("who deleted: %+v", who)
	}
	if _, ok := new(big.Int).SetString(*records[1].Dynamodb.SequenceNumber, 10); !ok {
		t.Error(*records[1].Dynamodb.SequenceNumber)
	}
	_, err = streams.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: aws.String(*arn + "0")})
	var missing *types.ResourceNotFoundException
	if !errors.As(err, &missing) {
		t.Error(err)
	}
}
