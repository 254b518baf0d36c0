//go:build peers

package local

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// uncharged takes the indexes "keys" and "multi", and sums that hold them, out of a write's capacity: DynamoDB Local charges them
// for items that are not in them, since they have but some of their keys' attributes. Table and other indexes are compared under INDEXES.
func uncharged(m map[string]any) {
	c, ok := m["ConsumedCapacity"].(map[string]any)
	if !ok {
		return
	}
	delete(c, "CapacityUnits")
	if global, ok := c["GlobalSecondaryIndexes"].(map[string]any); ok {
		delete(global, "multi")
		if delete(global, "keys"); len(global) == 0 {
			delete(c, "GlobalSecondaryIndexes")
		}
	}
}

// compareTies compares what a query of an index promises: items in the order of its range key, equal ones in any order. It
// takes out of both replies what it has compared, and of pages what depends on that order.
func compareTies(call operationCall, a, b map[string]any) string {
	if call.counts {
		for _, m := range []map[string]any{a, b} {
			delete(m, "Items")
			delete(m, "ConsumedCapacity") // hangs on the items
			if m["LastEvaluatedKey"] != nil {
				m["LastEvaluatedKey"] = "there is one"
			}
		}
		return ""
	}
	mine, _ := a["Items"].([]any)
	theirs, _ := b["Items"].([]any)
	if call.order != "" {
		for i := range min(len(mine), len(theirs)) {
			if canon("", of(mine[i], call.order)) != canon("", of(theirs[i], call.order)) {
				return "order of the items"
			}
		}
	}
	for _, m := range []map[string]any{a, b} {
		if list, ok := m["Items"].([]any); ok {
			slices.SortFunc(list, func(x, y any) int { return strings.Compare(canon("", x), canon("", y)) })
		}
	}
	return ""
}

func of(it any, name string) any {
	m, _ := it.(map[string]any)
	return m[name]
}

// compareCancelled compares the reasons of cancelled transactions. What an update does to an item is judged by DynamoDB
// Local for the whole request, where the service's documentation lists it among the reasons; a TransactGetItems of a wrong
// key is cancelled there without reasons.
func compareCancelled(a, b map[string]any) string {
	mine, _ := a["CancellationReasons"].([]any)
	theirs, _ := b["CancellationReasons"].([]any)
	if len(mine) == 0 {
		return "error"
	}
	if theirs == nil {
		for _, r := range mine {
			if sameWords(fmt.Sprint(of(r, "Message")), message(b)) {
				return ""
			}
			if eitherOrder(fmt.Sprint(of(r, "Message")), message(b)) {
				return anotherOrder
			}
		}
		return "reasons"
	}
	if len(mine) != len(theirs) {
		return "number of reasons"
	}
	invalid := slices.ContainsFunc(mine, func(r any) bool { return of(r, "Code") == "ValidationError" })
	for i := range mine {
		x, y := mine[i], theirs[i]
		if invalid && of(x, "Code") == "None" {
			continue // a member that cannot be keeps us, but not DynamoDB Local, from judging the others' conditions
		}
		if of(x, "Code") != of(y, "Code") || canon("", of(x, "Item")) != canon("", of(y, "Item")) ||
			!sameWords(fmt.Sprint(of(x, "Message")), fmt.Sprint(of(y, "Message"))) {
			return fmt.Sprintf("reason %d", i)
		}
	}
	return ""
}

func message(m map[string]any) string {
	if s, ok := m["message"].(string); ok {
		return s
	}
	s, _ := m["Message"].(string)
	return s
}

// TestIndexPagesAsDynamoDBLocal walks indexes page by page: both must tell every item once, and end.
func TestIndexPagesAsDynamoDBLocal(t *testing.T) {
	url := os.Getenv(peerEnv)
	if url == "" {
		t.Skipf("NOT RUN: no DynamoDB Local to compare with: %s is not set; make peers fetches one and runs this", peerEnv)
	}
	db, other := newDB(t, Options{}), peer{url}
	bothTables(t, db, other)
	for i := range 300 {
		body := fmt.Sprintf(`{"TableName":"idx","Item":{"pk":{"S":"k%d"},"sk":{"N":"%d"},"ga":{"S":"g%d"},"gb":{"N":"%d"},"c":{"S":"%s"}}}`,
			i%3, i, i%5, i%2, strings.Repeat("x", i*137%9000))
		must(t, db, "PutItem", body)
		if status, reply := other.post(t, "PutItem", body); status != 200 {
			t.Fatal(reply)
		}
	}
	for _, walk := range []struct{ op, body string }{
		{"Query", `"IndexName":"all","KeyConditionExpression":"gb = :v","ExpressionAttributeValues":{":v":{"N":"1"}},"Limit":7`},
		{"Query", `"IndexName":"all","KeyConditionExpression":"gb = :v","ExpressionAttributeValues":{":v":{"N":"0"}},"ScanIndexForward":false,"Limit":11`},
		{"Query", `"IndexName":"keys","KeyConditionExpression":"ga = :v","ExpressionAttributeValues":{":v":{"S":"g1"}},"Limit":1`},
		{"Query", `"IndexName":"keys","KeyConditionExpression":"ga = :v AND gb = :b","ExpressionAttributeValues":{":v":{"S":"g2"},":b":{"N":"1"}},"Limit":4`},
		{"Query", `"IndexName":"local","KeyConditionExpression":"pk = :v","ExpressionAttributeValues":{":v":{"S":"k2"}}`},
		{"Scan", `"IndexName":"keys","Limit":13`},
		{"Scan", `"IndexName":"local"`},
		{"Scan", `"IndexName":"all","Segment":1,"TotalSegments":2,"Limit":9`},
	} {
		mine := walkPages(t, walk.body, func(body string) (int, string) { return post(db, walk.op, body) })
		theirs := walkPages(t, walk.body, func(body string) (int, string) { return other.post(t, walk.op, body) })
		if strings.Contains(walk.body, "Segment\"") {
			continue // which segment an item is in is each one's own; that the walk ends is what counts
		}
		if !slices.Equal(mine, theirs) {
			t.Errorf("%s %s: %d items here, %d there", walk.op, walk.body, len(mine), len(theirs))
		}
	}
}

func walkPages(t *testing.T, body string, ask func(string) (int, string)) (items []string) {
	t.Helper()
	start := ""
	for range 500 {
		status, reply := ask(`{"TableName":"idx",` + body + start + `}`)
		var page struct {
			Items            []any
			LastEvaluatedKey json.RawMessage
		}
		if err := json.Unmarshal([]byte(reply), &page); err != nil || status != http.StatusOK {
			t.Fatal(body, status, reply)
		}
		for _, it := range page.Items {
			items = append(items, canon("", it))
		}
		if page.LastEvaluatedKey == nil {
			slices.Sort(items)
			return items
		}
		start = `,"ExclusiveStartKey":` + string(page.LastEvaluatedKey)
	}
	t.Fatal("500 pages and no end:", body)
	return nil
}

// TestUpdateTableAsDynamoDBLocal changes indexes at random in both and expects that they agree on what can be done and on
// the tables that come of it. The words of complaints about tables are DynamoDB Local's own and not compared.
func TestUpdateTableAsDynamoDBLocal(t *testing.T) {
	url := os.Getenv(peerEnv)
	if url == "" {
		t.Skipf("NOT RUN: no DynamoDB Local to compare with: %s is not set; make peers fetches one and runs this", peerEnv)
	}
	db, other := newDB(t, Options{}), peer{url}
	bothTables(t, db, other)
	for i := range 40 {
		body := fmt.Sprintf(`{"TableName":"idx","Item":{"pk":{"S":"k"},"sk":{"N":"%d"},"x":{"S":"x%d"},"y":{"N":"%d"}}}`, i, i%3, i%4)
		must(t, db, "PutItem", body)
		other.post(t, "PutItem", body)
	}
	done := 0
	for n, change := range indexChanges {
		body := `{"TableName":"idx",` + change + `}`
		status, reply := post(db, "UpdateTable", body)
		otherStatus, otherReply := other.post(t, "UpdateTable", body)
		if status != otherStatus {
			t.Errorf("%d. %s\n  we   %d %.300s\n  peer %d %.300s", n, change, status, reply, otherStatus, otherReply)
		}
		done += btoi(status == http.StatusOK)
		mine := settle(t, func() (int, string) { return post(db, "DescribeTable", `{"TableName":"idx"}`) })
		theirs := settle(t, func() (int, string) { return other.post(t, "DescribeTable", `{"TableName":"idx"}`) })
		if mine != theirs {
			t.Errorf("%d. after %s\n  we   %s\n  peer %s", n, change, mine, theirs)
		}
	}
	if done < len(indexChanges)/3 {
		t.Error("too few changes were possible for this to mean much")
	}
}

// indexChanges come, go, come again under one name with another key, and cannot be.
var indexChanges = []string{
	`"GlobalSecondaryIndexUpdates":[]`, `"GlobalSecondaryIndexUpdates":[{}]`, `"GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"none"}}]`,
	`"AttributeDefinitions":[{"AttributeName":"x","AttributeType":"S"}],"GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"new",` +
		`"KeySchema":[{"AttributeName":"x","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}}]`,
	`"AttributeDefinitions":[{"AttributeName":"x","AttributeType":"S"}],"GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"new",` +
		`"KeySchema":[{"AttributeName":"x","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}}]`,
	`"GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"keys"}},{"Delete":{"IndexName":"new"}}]`,
	`"GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"keys"}}]`,
	`"GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"local"}}]`,
	`"AttributeDefinitions":[{"AttributeName":"y","AttributeType":"N"},{"AttributeName":"x","AttributeType":"S"}],"GlobalSecondaryIndexUpdates":[` +
		`{"Create":{"IndexName":"keys","KeySchema":[{"AttributeName":"y","KeyType":"HASH"},{"AttributeName":"x","KeyType":"RANGE"}],` +
		`"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["c"]}}}]`,
	`"AttributeDefinitions":[{"AttributeName":"x","AttributeType":"N"}],"GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"other",` +
		`"KeySchema":[{"AttributeName":"x","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}}]`,
	`"GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"other","KeySchema":[{"AttributeName":"none","KeyType":"HASH"}],` +
		`"Projection":{"ProjectionType":"ALL"}}}]`,
	`"AttributeDefinitions":[{"AttributeName":"x","AttributeType":"S"}],"GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"other",` +
		`"KeySchema":[{"AttributeName":"x","KeyType":"HASH"}],"Projection":{"ProjectionType":"INCLUDE"}}}]`,
	`"GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"new"}}]`, `"GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"keys"}}]`,
	`"GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"all"}}]`, `"GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"all"}}]`,
}

// settle waits until the table and its indexes are ACTIVE and renders what both describe alike: keys, indexes, their items.
func settle(t *testing.T, describe func() (int, string)) string {
	t.Helper()
	for range 600 {
		_, reply := describe()
		var d struct {
			Table struct {
				TableStatus                                   string
				AttributeDefinitions, KeySchema               []any
				LocalSecondaryIndexes, GlobalSecondaryIndexes []map[string]any
			}
		}
		if err := json.Unmarshal([]byte(reply), &d); err != nil {
			t.Fatal(reply)
		}
		settled := d.Table.TableStatus == "ACTIVE"
		var parts []string
		for _, ix := range append(d.Table.LocalSecondaryIndexes, d.Table.GlobalSecondaryIndexes...) {
			settled = settled && (ix["IndexStatus"] == nil || ix["IndexStatus"] == "ACTIVE")
			parts = append(parts, canon("", []any{ix["IndexName"], ix["KeySchema"], ix["Projection"], ix["ItemCount"]}))
		}
		for _, a := range d.Table.AttributeDefinitions {
			parts = append(parts, canon("", a))
		}
		if settled {
			slices.Sort(parts)
			return canon("", d.Table.KeySchema) + strings.Join(parts, "\n    ")
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the table does not settle")
	return ""
}
