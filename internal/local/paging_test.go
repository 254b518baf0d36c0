package local

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type pageReply struct {
	Items            []map[string]map[string]string
	Count            int
	ScannedCount     int
	LastEvaluatedKey json.RawMessage
}

// pages walks an operation to its end and returns every item's (pk, sk).
func pages(t *rapid.T, db *DB, op, body string) (keys [][2]string) {
	start := ""
	for range 1000 {
		status, reply := post(db, op, body+start+"}")
		if status != http.StatusOK {
			t.Fatalf("%s %s%s: %s", op, body, start, reply)
		}
		var p pageReply
		if err := json.Unmarshal([]byte(reply), &p); err != nil {
			t.Fatal(err)
		}
		if p.Count != len(p.Items) || p.ScannedCount < p.Count {
			t.Fatalf("%s", reply)
		}
		for _, it := range p.Items {
			keys = append(keys, [2]string{it["pk"]["S"], it["sk"]["N"]})
		}
		if p.LastEvaluatedKey == nil {
			return keys
		}
		start = `,"ExclusiveStartKey":` + string(p.LastEvaluatedKey)
	}
	t.Fatal("no end after 1000 pages")
	return nil
}

// Whatever the page size and the number of segments, a scan meets each item once, and each query meets what it asks for
// in order.
func TestPagesMeetEveryItemOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		db, err := Open(Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		if status, reply := post(db, "CreateTable", `{"TableName":"comp","AttributeDefinitions":[{"AttributeName":"pk",`+
			`"AttributeType":"S"},{"AttributeName":"sk","AttributeType":"N"}],"KeySchema":[{"AttributeName":"pk",`+
			`"KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],"BillingMode":"PAY_PER_REQUEST"}`); status != 200 {
			t.Fatal(reply)
		}
		model := map[[2]string]bool{}
		for range rapid.IntRange(0, 40).Draw(t, "items") {
			key := [2]string{rapid.SampledFrom([]string{"a", "b", "c", "ä"}).Draw(t, "pk"),
				strconv.Itoa(rapid.IntRange(-30, 30).Draw(t, "sk"))}
			model[key] = true
			if status, reply := post(db, "PutItem", fmt.Sprintf(
				`{"TableName":"comp","Item":{"pk":{"S":%q},"sk":{"N":%q}}}`, key[0], key[1])); status != 200 {
				t.Fatal(reply)
			}
		}
		checkScan(t, db, model)
		checkQuery(t, db, model)
	})
}

func checkScan(t *rapid.T, db *DB, model map[[2]string]bool) {
	limit, segments := rapid.IntRange(1, 12).Draw(t, "limit"), rapid.IntRange(1, 5).Draw(t, "segments")
	seen := map[[2]string]bool{}
	home := map[string]int{}
	for s := range segments {
		for _, key := range pages(t, db, "Scan", fmt.Sprintf(
			`{"TableName":"comp","Limit":%d,"Segment":%d,"TotalSegments":%d`, limit, s, segments)) {
			if seen[key] || !model[key] {
				t.Fatalf("scan met %v: seen %v, in the table %v", key, seen[key], model[key])
			}
			if other, ok := home[key[0]]; ok && other != s {
				t.Fatalf("partition %s in segments %d and %d", key[0], other, s)
			}
			seen[key], home[key[0]] = true, s
		}
	}
	if len(seen) != len(model) {
		t.Fatalf("scan met %d of %d items", len(seen), len(model))
	}
}

func checkQuery(t *rapid.T, db *DB, model map[[2]string]bool) {
	pk := rapid.SampledFrom([]string{"a", "ä"}).Draw(t, "of")
	low, high := rapid.IntRange(-31, 31).Draw(t, "low"), rapid.IntRange(-31, 31).Draw(t, "high")
	low, high = min(low, high), max(low, high)
	forward := rapid.Bool().Draw(t, "forward")
	condition := rapid.SampledFrom([]string{"pk = :p AND sk BETWEEN :l AND :h", "pk = :p AND sk >= :l", "pk = :p AND sk > :l",
		"pk = :p AND sk < :h", "sk <= :h AND pk = :p", "pk = :p AND sk = :h", "pk = :p"}).Draw(t, "condition")
	keep := map[string]func(n int) bool{
		"pk = :p AND sk BETWEEN :l AND :h": func(n int) bool { return n >= low && n <= high },
		"pk = :p AND sk >= :l":             func(n int) bool { return n >= low },
		"pk = :p AND sk > :l":              func(n int) bool { return n > low },
		"pk = :p AND sk < :h":              func(n int) bool { return n < high },
		"sk <= :h AND pk = :p":             func(n int) bool { return n <= high },
		"pk = :p AND sk = :h":              func(n int) bool { return n == high },
		"pk = :p":                          func(int) bool { return true },
	}[condition]
	var want []int
	for key := range model {
		if n, _ := strconv.Atoi(key[1]); key[0] == pk && keep(n) {
			want = append(want, n)
		}
	}
	slices.SortFunc(want, func(a, b int) int {
		if forward {
			return cmp.Compare(a, b)
		}
		return cmp.Compare(b, a)
	})
	values := fmt.Sprintf(`":p":{"S":%q}`, pk)
	for name, n := range map[string]int{":l": low, ":h": high} {
		if strings.Contains(condition, name) {
			values += fmt.Sprintf(`,%q:{"N":"%d"}`, name, n)
		}
	}
	var got []int
	for _, key := range pages(t, db, "Query", fmt.Sprintf(`{"TableName":"comp","KeyConditionExpression":%q,`+
		`"ScanIndexForward":%v,"Limit":%d,"ExpressionAttributeValues":{%s}`, condition, forward,
		rapid.IntRange(1, 9).Draw(t, "page"), values)) {
		n, _ := strconv.Atoi(key[1])
		got = append(got, n)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s (forward %v, %d..%d): %v, want %v", condition, forward, low, high, got, want)
	}
}
