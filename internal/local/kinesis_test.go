package local

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"dynaferry/internal/local/cbor"
)

func kinesisClient(t *testing.T, in *Instance) *kinesis.Client {
	return kinesis.New(kinesis.Options{Region: "eu-central-1", BaseEndpoint: &in.URL, RetryMaxAttempts: 1, HTTPClient: ownConnections(t),
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")})
}

// ownConnections is an HTTP client that leaves no connection open for the server to wait for at its end.
func ownConnections(t *testing.T) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// drain reads a shard from an iterator until it is closed or empty.
func drain(t *testing.T, c *kinesis.Client, stream, shard string) (records []types.Record, closed bool) {
	t.Helper()
	out, err := c.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{StreamName: &stream, ShardId: &shard,
		ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	if err != nil {
		t.Fatal(err)
	}
	for it := out.ShardIterator; it != nil; {
		page, err := c.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it, Limit: aws.Int32(100)})
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, page.Records...)
		if it = page.NextShardIterator; it != nil && len(page.Records) == 0 && *page.MillisBehindLatest == 0 {
			return records, false
		}
	}
	return records, true
}

// Writers put numbered records of their own keys while shards split and merge under them: every record is in the stream
// once, parents before children, and in each key's order.
func TestKinesisReshardUnderWriters(t *testing.T) {
	in, _ := start(t, Options{})
	c := kinesisClient(t, in)
	stream := aws.String("orders")
	if _, err := c.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: stream, ShardCount: aws.Int32(2)}); err != nil {
		t.Fatal(err)
	}
	const writers, rounds = 6, 60
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range rounds {
				out, err := c.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: stream, Records: []types.PutRecordsRequestEntry{
					{PartitionKey: aws.String(fmt.Sprint("k", w)), Data: fmt.Append(nil, 2*i)},
					{PartitionKey: aws.String(fmt.Sprint("k", w)), Data: fmt.Append(nil, 2*i+1)}}})
				if err != nil || *out.FailedRecordCount != 0 {
					t.Error(out, err)
				}
			}
		})
	}
	for _, n := range []int32{3, 2, 4, 5, 3} {
		if _, err := c.UpdateShardCount(t.Context(), &kinesis.UpdateShardCountInput{StreamName: stream, TargetShardCount: &n,
			ScalingType: types.ScalingTypeUniformScaling}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	out, err := c.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: stream})
	if err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	for _, shard := range out.Shards { // by age: parents first
		records, closed := drain(t, c, "orders", *shard.ShardId)
		if closed != (shard.SequenceNumberRange.EndingSequenceNumber != nil) {
			t.Errorf("shard %s: read to an end: %v", *shard.ShardId, closed)
		}
		for _, r := range records {
			if want := fmt.Sprint(next[*r.PartitionKey]); string(r.Data) != want {
				t.Fatalf("%s: %s where %s was due", *r.PartitionKey, r.Data, want)
			}
			next[*r.PartitionKey]++
		}
	}
	for w := range writers {
		if got := next[fmt.Sprint("k", w)]; got != 2*rounds {
			t.Errorf("writer %d: %d records of %d", w, got, 2*rounds)
		}
	}
}

// A consumer is pushed what is put, and goes on where it was told to.
func TestKinesisSubscribe(t *testing.T) {
	in, _ := start(t, Options{})
	c := kinesisClient(t, in)
	stream, shard := aws.String("orders"), aws.String("shardId-000000000000")
	if _, err := c.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: stream, ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	about, err := c.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: stream})
	if err != nil {
		t.Fatal(err)
	}
	made, err := c.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{
		StreamARN: about.StreamDescriptionSummary.StreamARN, ConsumerName: aws.String("fast")})
	if err != nil {
		t.Fatal(err)
	}
	put := func(text string) {
		if _, err := c.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: stream, PartitionKey: aws.String("k"), Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	subscribe := func(at types.StartingPosition) *kinesis.SubscribeToShardEventStream {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		t.Cleanup(cancel)
		out, err := c.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{ConsumerARN: made.Consumer.ConsumerARN, ShardId: shard, StartingPosition: &at})
		if err != nil {
			t.Fatal(err)
		}
		return out.GetStream()
	}
	var at *string
	var seen string
	// follow reads events until those records have come, or the shard has ended; a stream that breaks off is taken up
	// where it was, as consumers do.
	follow := func(want string) (children []types.ChildShard) {
		for range 10 {
			from := types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}
			if at != nil {
				from = types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: at}
			}
			events := subscribe(from)
			for event := range events.Events() {
				e := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
				for _, r := range e.Records {
					seen += string(r.Data)
				}
				if at = e.ContinuationSequenceNumber; at == nil || (seen == want && want != "end") {
					_ = events.Close()
					return e.ChildShards
				}
			}
		}
		t.Fatalf("only %q came", seen)
		return nil
	}
	follow("") // nothing yet, and a place to go on from
	put("a")
	put("b")
	follow("ab")
	put("c")
	follow("abc")
	if _, err := c.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: stream, ShardToSplit: shard, NewStartingHashKey: aws.String("5000")}); err != nil {
		t.Fatal(err)
	}
	if children := follow("end"); len(children) != 2 || seen != "abc" {
		t.Errorf("children at the end: %v, seen %q", children, seen)
	}
}

// What was acknowledged is there after a restart, numbers go on rising though the clock steps back, and old records go.
func TestKinesisRestartAndTrim(t *testing.T) {
	dir, now := t.TempDir(), epoch
	clock := func() time.Time { return now }
	open := func() *DB {
		db, err := Open(Options{Dir: dir, Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	number := func(reply string) string {
		var out struct{ SequenceNumber string }
		if err := json.Unmarshal([]byte(reply), &out); err != nil {
			t.Fatal(err)
		}
		return out.SequenceNumber
	}
	const record = `{"StreamName":"orders","PartitionKey":"a","Data":"AQID"}`
	db := open()
	must(t, db, "Kinesis.CreateStream", `{"StreamName":"orders","ShardCount":1}`)
	must(t, db, "Kinesis.PutRecord", record)
	last := number(must(t, db, "Kinesis.PutRecord", record))
	for _, step := range []time.Duration{-48 * time.Hour, 0, 96 * time.Hour, -time.Hour} {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db, now = open(), now.Add(step)
		if err := db.kinesis.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := number(must(t, db, "Kinesis.PutRecord", record))
		if n <= last {
			t.Errorf("after %s: %s is not above %s", step, n, last)
		}
		last = n
	}
	if got := must(t, db, "ListTables", "{}"); got != `{"TableNames":[]}` {
		t.Errorf("hidden tables are listed: %s", got)
	}
	var it struct{ ShardIterator string }
	_ = json.Unmarshal([]byte(must(t, db, "Kinesis.GetShardIterator",
		`{"StreamName":"orders","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}`)), &it)
	reply := must(t, db, "Kinesis.GetRecords", `{"ShardIterator":"`+it.ShardIterator+`"}`)
	if n := strings.Count(reply, "SequenceNumber"); n != 2 {
		t.Errorf("%d records after three days, the last two are young: %s", n, reply)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestKinesisThrottles(t *testing.T) {
	now := epoch
	db := newDB(t, Options{Throttle: true, Clock: func() time.Time { return now }})
	must(t, db, "Kinesis.CreateStream", `{"StreamName":"orders","ShardCount":1}`)
	entry := `{"PartitionKey":"a","Data":"AQID"},`
	reply := must(t, db, "Kinesis.PutRecords", `{"StreamName":"orders","Records":[`+strings.TrimSuffix(strings.Repeat(entry, 500), ",")+`]}`)
	if !strings.Contains(reply, `"FailedRecordCount":0`) {
		t.Error(reply)
	}
	must(t, db, "Kinesis.PutRecords", `{"StreamName":"orders","Records":[`+strings.TrimSuffix(strings.Repeat(entry, 499), ",")+`]}`)
	reply = must(t, db, "Kinesis.PutRecords", `{"StreamName":"orders","Records":[`+entry+strings.TrimSuffix(entry, ",")+`]}`)
	if !strings.Contains(reply, `"FailedRecordCount":1`) || !strings.Contains(reply,
		`"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded for shard shardId-000000000000 in stream orders under account 000000000000."`) {
		t.Error(reply)
	}
	now = now.Add(time.Second)
	must(t, db, "Kinesis.PutRecord", `{"StreamName":"orders","PartitionKey":"a","Data":"AQID"}`)
	var it struct{ ShardIterator string }
	_ = json.Unmarshal([]byte(must(t, db, "Kinesis.GetShardIterator",
		`{"StreamName":"orders","ShardId":"shardId-000000000000","ShardIteratorType":"LATEST"}`)), &it)
	for range 5 {
		must(t, db, "Kinesis.GetRecords", `{"ShardIterator":"`+it.ShardIterator+`"}`)
	}
	if status, reply := post(db, "Kinesis.GetRecords", `{"ShardIterator":"`+it.ShardIterator+`"}`); status != 400 ||
		!strings.Contains(reply, "ProvisionedThroughputExceededException") {
		t.Error(status, reply)
	}
}

// Errors arrive as the SDK's own types.
func TestKinesisSDKErrors(t *testing.T) {
	in, _ := start(t, Options{})
	c := kinesisClient(t, in)
	_, err := c.DescribeStream(t.Context(), &kinesis.DescribeStreamInput{StreamName: aws.String("nothing")})
	var missing *types.ResourceNotFoundException
	if !errors.As(err, &missing) {
		t.Error(err)
	}
	_, err = c.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("many"), ShardCount: aws.Int32(5000)})
	var limit *types.LimitExceededException
	if !errors.As(err, &limit) {
		t.Error(err)
	}
}

// What a client says in CBOR is answered in CBOR, with what the same in JSON is: the whole history of Kinesis in the other form.
func TestKinesisCBOR(t *testing.T) {
	history, err := os.ReadFile("testdata/kinesis.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := play(t, history, func(db *DB, op, body string) (int, string) {
		parameters := map[string]any{}
		d := json.NewDecoder(strings.NewReader(body))
		d.UseNumber()
		if !strings.HasPrefix(op, "Kinesis.") || body != "" && d.Decode(&parameters) != nil {
			return post(db, op, body)
		}
		sent, err := cbor.Marshal(asCBOR("", parameters))
		if err != nil {
			t.Fatal(err)
		}
		r := request(op, string(sent))
		r.Header.Set("Content-Type", "application/x-amz-cbor-1.1")
		w := httptest.NewRecorder()
		db.ServeHTTP(w, r)
		if w.Header().Get("Content-Type") != "application/x-amz-cbor-1.1" {
			t.Errorf("%s is answered with %s", op, w.Header())
		}
		if w.Body.Len() == 0 {
			return w.Code, ""
		}
		text, err := cbor.ToJSON(w.Body.Bytes())
		if err != nil {
			t.Fatal(op, err)
		}
		return w.Code, strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`).Replace(string(text))
	})
	diff(t, "testdata/kinesis.txt", history, got)
	status, reply := 0, ""
	db := newDB(t, Options{})
	for _, body := range []string{"\xff", "\x01", "\xbf"} {
		r := request("Kinesis.ListStreams", body)
		r.Header.Set("Content-Type", "application/x-amz-cbor-1.1")
		w := httptest.NewRecorder()
		db.ServeHTTP(w, r)
		text, err := cbor.ToJSON(w.Body.Bytes())
		if status, reply = w.Code, string(text); status != 400 || err != nil || !strings.Contains(reply, "SerializationException") {
			t.Error(status, reply, err)
		}
	}
}

// millisTime is a time as CBOR has it.
type millisTime int64

func (m millisTime) Millis() int64 { return int64(m) }

// asCBOR gives the parameters of a request the types that clients send: bytes for data, times for times.
func asCBOR(name string, v any) any {
	switch v := v.(type) {
	case string:
		if data, err := base64.StdEncoding.DecodeString(v); err == nil && name == "Data" {
			return data
		}
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			return v.String()
		}
		if name == "Timestamp" || name == "StreamCreationTimestamp" {
			return millisTime(1000 * n)
		}
		return n
	case []any:
		for i := range v {
			v[i] = asCBOR(name, v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = asCBOR(name, v[name])
		}
	}
	return v
}
