package local

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dynaferry/internal/fault"
)

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	clock := func() time.Time { return epoch }
	db, err := Open(Options{Dir: dir, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "CreateTable", createHash)
	must(t, db, "CreateTable", strings.ReplaceAll(createHash, `"hash"`, `"gone"`))
	must(t, db, "TagResource", `{"ResourceArn":"arn:aws:dynamodb:x:0:table/hash","Tags":[{"Key":"a","Value":"b"}]}`)
	must(t, db, "UpdateTable", `{"TableName":"hash","DeletionProtectionEnabled":true}`)
	for i := range 100 {
		must(t, db, "PutItem", fmt.Sprintf(`{"TableName":"hash","Item":{"pk":{"S":"%d"},"v":{"N":"%d"}}}`, i, i))
	}
	must(t, db, "DeleteItem", `{"TableName":"hash","Key":{"pk":{"S":"7"}}}`)
	must(t, db, "DeleteTable", `{"TableName":"gone"}`)
	ask := []string{
		"ListTables {}", `DescribeTable {"TableName":"hash"}`, `Scan {"TableName":"hash"}`,
		`ListTagsOfResource {"ResourceArn":"arn:aws:dynamodb:x:0:table/hash"}`, `GetItem {"TableName":"hash","Key":{"pk":{"S":"7"}}}`,
	}
	before := answers(t, db, ask)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = newDB(t, Options{Dir: dir, Clock: clock})
	for i, after := range answers(t, db, ask) {
		if after != before[i] {
			t.Errorf("%s\n before %s\n after  %s", ask[i], before[i], after)
		}
	}
	if !strings.Contains(before[2], `"Count":99`) || !strings.Contains(before[1], `"ItemCount":99`) {
		t.Errorf("not what was written: %s %s", before[1], before[2])
	}
}

func answers(t *testing.T, db *DB, ask []string) []string {
	var got []string
	for _, line := range ask {
		op, body, _ := strings.Cut(line, " ")
		got = append(got, must(t, db, op, body))
	}
	return got
}

func TestNewerDefinitionIsRefused(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "CreateTable", createHash)
	newer := *db.tables["hash"].def
	newer.Version++
	if _, err := db.redefine(db.tables["hash"], &newer); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("opened a table of version %d: %v", newer.Version, err)
	}
}

// Counters that many clients add to lose nothing, and conditional puts of one key have one winner.
func TestConcurrentWriters(t *testing.T) {
	db := newDB(t, Options{})
	must(t, db, "CreateTable", createHash)
	const workers, rounds, keys = 8, 60, 3
	var winners atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				if status, reply := post(db, "UpdateItem", fmt.Sprintf(
					`{"TableName":"hash","Key":{"pk":{"S":"n%d"}},"UpdateExpression":"ADD n :1 SET w%d = :1",`+
						`"ExpressionAttributeValues":{":1":{"N":"1"}}}`, i%keys, w)); status != 200 {
					t.Error(status, reply)
				}
				status, _ := post(db, "PutItem", fmt.Sprintf(
					`{"TableName":"hash","Item":{"pk":{"S":"once%d"}},"ConditionExpression":"attribute_not_exists(pk)"}`, i))
				if status == 200 {
					winners.Add(1)
				}
				if status, reply := post(db, "Scan", `{"TableName":"hash"}`); status != 200 {
					t.Error(status, reply)
				}
			}
		})
	}
	wg.Wait()
	if winners.Load() != rounds {
		t.Errorf("%d conditional puts won, want %d", winners.Load(), rounds)
	}
	for k := range keys {
		want := fmt.Sprintf(`"n":{"N":"%d"}`, workers*rounds/keys)
		if got := must(t, db, "GetItem", fmt.Sprintf(`{"TableName":"hash","Key":{"pk":{"S":"n%d"}}}`, k)); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Tables that come and go under load give answers of the service, never a 500.
func TestConcurrentTables(t *testing.T) {
	db := newDB(t, Options{})
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for i := range 60 {
				op, body := "PutItem", `{"TableName":"hash","Item":{"pk":{"S":"a"}}}`
				switch (w + i) % 6 {
				case 0:
					op, body = "CreateTable", createHash
				case 1:
					op, body = "DeleteTable", `{"TableName":"hash"}`
				case 2:
					op, body = "Scan", `{"TableName":"hash"}`
				case 3:
					op, body = "DescribeTable", `{"TableName":"hash"}`
				case 4:
					op, body = "BatchWriteItem", `{"RequestItems":{"hash":[{"PutRequest":{"Item":{"pk":{"S":"b"}}}}]}}`
				}
				if status, reply := post(db, op, body); status != 200 && status != 400 {
					t.Errorf("%s: %d %s", op, status, reply)
				}
			}
		})
	}
	wg.Wait()
}

func TestThrottling(t *testing.T) {
	now := epoch
	db := newDB(t, Options{Throttle: true, Clock: func() time.Time { return now }})
	must(t, db, "CreateTable", strings.ReplaceAll(createHash, `"BillingMode":"PAY_PER_REQUEST"`,
		`"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":2}`))
	put := `{"TableName":"hash","Item":{"pk":{"S":"a"},"v":{"S":"` + strings.Repeat("x", 9*1024) + `"}}}` // 10 units
	puts := func() (n int) {
		for ; n < 1000; n++ {
			if status, _ := post(db, "PutItem", put); status != 200 {
				return n
			}
		}
		return n
	}
	if n := puts(); n != 60 { // 300 s of 2 units
		t.Errorf("%d puts before the first throttling, want 60", n)
	}
	_, reply := post(db, "PutItem", put)
	var e struct {
		Type    string                              `json:"__type"`
		Reasons []struct{ Reason, Resource string } `json:"ThrottlingReasons"`
	}
	if err := json.Unmarshal([]byte(reply), &e); err != nil || len(e.Reasons) != 1 {
		t.Fatal(reply, err)
	}
	if e.Type != nsDynamo+"ProvisionedThroughputExceededException" ||
		e.Reasons[0].Reason != "TableWriteProvisionedThroughputExceeded" ||
		e.Reasons[0].Resource != "arn:aws:dynamodb:eu-central-1:000000000000:table/hash" {
		t.Error(reply)
	}
	now = now.Add(10 * time.Second)
	if n := puts(); n != 2 {
		t.Errorf("%d puts after 10 s, want 2", n)
	}
	now = now.Add(1500 * time.Millisecond) // 3 units: the batch's third member meets an overdrawn bucket
	reply = must(t, db, "BatchWriteItem", `{"RequestItems":{"hash":[{"PutRequest":{"Item":{"pk":{"S":"1"}}}},`+
		`{"PutRequest":{"Item":{"pk":{"S":"2"}}}},{"PutRequest":{"Item":{"pk":{"S":"3"}}}},{"DeleteRequest":{"Key":{"pk":{"S":"4"}}}}]}}`)
	if want := `{"UnprocessedItems":{"hash":[{"DeleteRequest":{"Key":{"pk":{"S":"4"}}}}]}}`; reply != want {
		t.Errorf("%s\nwant %s", reply, want)
	}
	last := `{"RequestItems":{"hash":[{"DeleteRequest":{"Key":{"pk":{"S":"4"}}}}]}}`
	if status, reply := post(db, "BatchWriteItem", last); status != 400 {
		t.Error("a batch that is throttled whole:", status, reply)
	}
	must(t, db, "UpdateTable", `{"TableName":"hash","BillingMode":"PAY_PER_REQUEST"}`)
	if n := puts(); n != 1000 {
		t.Errorf("on demand, without a ceiling, %d puts pass", n)
	}
	must(t, db, "UpdateTable", `{"TableName":"hash","OnDemandThroughput":{"MaxReadRequestUnits":1}}`)
	for i := range 1000 {
		if status, reply := post(db, "Scan", `{"TableName":"hash"}`); status != 200 {
			if i < 50 || !strings.Contains(reply, "TableReadMaxOnDemandThroughputExceeded") ||
				!strings.Contains(reply, "ThrottlingException") {
				t.Error(i, reply)
			}
			return
		}
	}
	t.Error("a ceiling on demand never throttled")
}

func TestBatchGetThrottled(t *testing.T) {
	now := epoch
	db := newDB(t, Options{Throttle: true, Clock: func() time.Time { return now }})
	must(t, db, "CreateTable", strings.ReplaceAll(createHash, `"BillingMode":"PAY_PER_REQUEST"`,
		`"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1000}`))
	must(t, db, "PutItem", `{"TableName":"hash","Item":{"pk":{"S":"a"},"v":{"S":"`+strings.Repeat("x", 400_000)+`"}}}`) // 98 units
	for range 3 {
		must(t, db, "GetItem", `{"TableName":"hash","Key":{"pk":{"S":"a"}},"ConsistentRead":true}`)
	}
	get := `{"RequestItems":{"hash":{"Keys":[{"pk":{"S":"a"}},{"pk":{"S":"b"}}],"ConsistentRead":true,` +
		`"ProjectionExpression":"#p","ExpressionAttributeNames":{"#p":"pk"}}}}`
	reply := must(t, db, "BatchGetItem", get)
	want := `{"Responses":{"hash":[{"pk":{"S":"a"}}]},"UnprocessedKeys":{"hash":{"Keys":[{"pk":{"S":"b"}}],"ConsistentRead":true,` +
		`"ProjectionExpression":"#p","ExpressionAttributeNames":{"#p":"pk"}}}}`
	if reply != want {
		t.Errorf("%s\nwant %s", reply, want)
	}
	if status, reply := post(db, "BatchGetItem", get); status != 400 || !strings.Contains(reply, "TableReadProvisionedThroughputExceeded") {
		t.Error(status, reply)
	}
}
