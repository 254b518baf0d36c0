package local

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const createIndex = `{"TableName":"hash","AttributeDefinitions":[{"AttributeName":"g","AttributeType":"N"}],"GlobalSecondaryIndexUpdates":` +
	`[{"Create":{"IndexName":"by-g","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}}]}`

// scanAll scans a table or an index in small pages and returns its items, sorted.
func scanAll(t *testing.T, db *DB, rest string) []string {
	t.Helper()
	var items []string
	start := ""
	for {
		var page struct {
			Items            []json.RawMessage
			LastEvaluatedKey json.RawMessage
		}
		reply := must(t, db, "Scan", `{"TableName":"hash","Limit":7`+rest+start+`}`)
		if err := json.Unmarshal([]byte(reply), &page); err != nil {
			t.Fatal(err)
		}
		for _, it := range page.Items {
			items = append(items, string(it))
		}
		if page.LastEvaluatedKey == nil {
			slices.Sort(items)
			return items
		}
		start = `,"ExclusiveStartKey":` + string(page.LastEvaluatedKey)
	}
}

func waitFilled(t *testing.T, db *DB) {
	t.Helper()
	for range 1000 {
		reply := must(t, db, "DescribeTable", `{"TableName":"hash"}`)
		if !strings.Contains(reply, `"IndexStatus":"CREATING"`) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the index is not filled after 10 s")
}

// An index that is filled while others write holds, in the end, exactly the items that have its key.
func TestFillWhileWriting(t *testing.T) {
	db := newDB(t, Options{})
	must(t, db, "CreateTable", createHash)
	for i := range 500 {
		must(t, db, "PutItem", fmt.Sprintf(`{"TableName":"hash","Item":{"pk":{"S":"%d"},"g":{"N":"%d"}}}`, i, i%7))
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(w), 7))
			for range 300 {
				pk := dice.IntN(600)
				op, body := "PutItem", fmt.Sprintf(`{"TableName":"hash","Item":{"pk":{"S":"%d"},"g":{"N":"%d"},"w":{"N":"%d"}}}`, pk, dice.IntN(9), w)
				switch dice.IntN(4) {
				case 0:
					op, body = "DeleteItem", fmt.Sprintf(`{"TableName":"hash","Key":{"pk":{"S":"%d"}}}`, pk)
				case 1:
					op, body = "UpdateItem", fmt.Sprintf(`{"TableName":"hash","Key":{"pk":{"S":"%d"}},"UpdateExpression":"REMOVE g"}`, pk)
				}
				if status, reply := post(db, op, body); status != 200 {
					t.Error(status, reply)
				}
			}
		})
	}
	must(t, db, "UpdateTable", createIndex)
	if status, reply := post(db, "Query", `{"TableName":"hash","IndexName":"by-g","KeyConditionExpression":"g = :g",`+
		`"ExpressionAttributeValues":{":g":{"N":"1"}}}`); status != 200 && !strings.Contains(reply, "Cannot read from backfilling") {
		t.Error(status, reply)
	}
	wg.Wait()
	waitFilled(t, db)
	want := scanAll(t, db, `,"FilterExpression":"attribute_exists(g)"`)
	if got := scanAll(t, db, `,"IndexName":"by-g"`); !slices.Equal(got, want) {
		t.Errorf("the index holds %d items, the table %d of its key", len(got), len(want))
	}
	if len(want) < 200 {
		t.Error("too few items for this to mean much")
	}
}

// Filling that Close interrupts goes on with the next Open.
func TestFillGoesOn(t *testing.T) {
	opts := Options{Dir: t.TempDir(), NoSync: true, Clock: func() time.Time { return epoch }}
	db, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "CreateTable", createHash)
	for i := range 600 {
		must(t, db, "PutItem", fmt.Sprintf(`{"TableName":"hash","Item":{"pk":{"S":"%d"},"g":{"N":"1"}}}`, i))
	}
	db.crew.stop() // as Close does in the middle
	must(t, db, "UpdateTable", createIndex)
	interrupted := db.tables["hash"].busy() != nil
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = newDB(t, opts)
	waitFilled(t, db)
	if got := scanAll(t, db, `,"IndexName":"by-g"`); len(got) != 600 || !interrupted {
		t.Errorf("the index holds %d of 600 items; interrupted: %v", len(got), interrupted)
	}
}

// A global index has its own throughput, and holds back the writes that change it when it cannot keep up.
func TestIndexThrottling(t *testing.T) {
	db := newDB(t, Options{Throttle: true})
	must(t, db, "CreateTable", `{"TableName":"hash","AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},`+
		`{"AttributeName":"g","AttributeType":"N"}],"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],`+
		`"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1000},"GlobalSecondaryIndexes":[{"IndexName":"by-g",`+
		`"KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"},`+
		`"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1}}]}`)
	long := strings.Repeat("x", 99*1024)
	for i := range 4 { // 100 units each, of 300
		status, reply := post(db, "PutItem", fmt.Sprintf(`{"TableName":"hash","Item":{"pk":{"S":"%d"},"g":{"N":"1"},"v":{"S":"%s"}}}`, i, long))
		if i < 3 != (status == 200) {
			t.Fatal(i, status, reply)
		}
		if i == 3 && (!strings.Contains(reply, "IndexWriteProvisionedThroughputExceeded") || !strings.Contains(reply, "table/hash/index/by-g")) {
			t.Error(reply)
		}
	}
	// It holds back what would change it, and nothing else.
	plain, held := `{"Put":{"TableName":"hash","Item":{"pk":{"S":"p"}}}}`, `{"Put":{"TableName":"hash","Item":{"pk":{"S":"q"},"g":{"N":"2"}}}}`
	must(t, db, "PutItem", `{"TableName":"hash","Item":{"pk":{"S":"p"},"v":{"S":"not in the index"}}}`)
	reply := must(t, db, "BatchWriteItem", `{"RequestItems":{"hash":[{"PutRequest":{"Item":{"pk":{"S":"q"},"g":{"N":"2"}}}},`+
		`{"PutRequest":{"Item":{"pk":{"S":"r"}}}}]}}`)
	if !strings.Contains(reply, `{"UnprocessedItems":{"hash":[{"PutRequest":{"Item":{"pk":{"S":"q"},"g":{"N":"2"}}}}]}}`) {
		t.Error(reply)
	}
	must(t, db, "TransactWriteItems", `{"TransactItems":[`+plain+`]}`)
	if status, reply := post(db, "TransactWriteItems", `{"TransactItems":[`+plain+`,`+held+`]}`); status != 400 ||
		!strings.Contains(reply, `[{"Code":"None"},{"Code":"ProvisionedThroughputExceeded"`) {
		t.Error(status, reply)
	}
	query := `{"TableName":"hash","IndexName":"by-g","KeyConditionExpression":"g = :g","ExpressionAttributeValues":{":g":{"N":"1"}}}`
	for range 100 { // about 37 units each, of 300
		if status, reply := post(db, "Query", query); status != 200 {
			if !strings.Contains(reply, "IndexReadProvisionedThroughputExceeded") {
				t.Error(reply)
			}
			must(t, db, "GetItem", `{"TableName":"hash","Key":{"pk":{"S":"1"}}}`) // the table's own is untouched
			return
		}
	}
	t.Error("an index was never throttled")
}
