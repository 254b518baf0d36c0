package local

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// multiTable has an index with two attributes in the partition key and three, of all types, in the sort key.
const multiTable = `{"TableName":"multi","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[` +
	`{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"h1","AttributeType":"S"},{"AttributeName":"h2","AttributeType":"N"},` +
	`{"AttributeName":"r1","AttributeType":"S"},{"AttributeName":"r2","AttributeType":"N"},{"AttributeName":"r3","AttributeType":"B"}],` +
	`"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],"GlobalSecondaryIndexes":[{"IndexName":"gsi","KeySchema":[` +
	`{"AttributeName":"h1","KeyType":"HASH"},{"AttributeName":"h2","KeyType":"HASH"},{"AttributeName":"r1","KeyType":"RANGE"},` +
	`{"AttributeName":"r2","KeyType":"RANGE"},{"AttributeName":"r3","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}]}`

// multiItem is an item of it. A negative r2 stands for a number, absent is told by has.
type multiItem struct {
	pk, h1, r1, r3 string
	h2, r2         int
	has            bool // all of its key attributes
}

func (m multiItem) json() string {
	r3 := ""
	if m.has {
		r3 = fmt.Sprintf(`,"r3":{"B":"%s"}`, base64.StdEncoding.EncodeToString([]byte(m.r3)))
	}
	r1, _ := json.Marshal(m.r1)
	return fmt.Sprintf(`{"pk":{"S":"%s"},"h1":{"S":"%s"},"h2":{"N":"%d"},"r1":{"S":%s},"r2":{"N":"%d"}%s,"v":{"S":"x"}}`,
		m.pk, m.h1, m.h2, r1, m.r2, r3)
}

// Whatever is asked of an index whose keys have several attributes, in pages of any length and in both directions, is what a
// list of its items sorted by one attribute after the other gives; zeros within attributes do not move them.
func TestMultiAttributeKeys(t *testing.T) {
	db := newDB(t, Options{})
	must(t, db, "CreateTable", multiTable)
	random := rand.New(rand.NewPCG(7, 11))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	var items []multiItem
	for i := range 160 {
		m := multiItem{pk: fmt.Sprint(i), h1: pick("x", "xy"), h2: random.IntN(2), r1: pick("a", "ab", "a\x00", "a\x00b", "\x00", "b"),
			r2: random.IntN(5) - 2, r3: pick("\x00", "\x00\x00", "\x01", "a", "\xff", "\xff\x00"), has: random.IntN(8) > 0}
		must(t, db, "PutItem", `{"TableName":"multi","Item":`+m.json()+`}`)
		if m.has {
			items = append(items, m)
		}
	}
	slices.SortStableFunc(items, func(a, b multiItem) int {
		return cmp.Or(cmp.Compare(a.r1, b.r1), cmp.Compare(a.r2, b.r2), cmp.Compare(a.r3, b.r3))
	})
	for range 300 {
		checkMulti(t, db, items, random)
	}
}

// checkMulti asks one random thing.
func checkMulti(t *testing.T, db *DB, items []multiItem, random *rand.Rand) {
	t.Helper()
	like := items[random.IntN(len(items))]
	values := []string{fmt.Sprintf(`":h1":{"S":"%s"},":h2":{"N":"%d"}`, like.h1, like.h2)}
	text, keep := []string{"h1 = :h1", "h2 = :h2"}, []func(multiItem) bool{func(m multiItem) bool { return m.h1 == like.h1 && m.h2 == like.h2 }}
	compares := map[string]func(multiItem) int{
		"r1": func(m multiItem) int { return cmp.Compare(m.r1, like.r1) },
		"r2": func(m multiItem) int { return cmp.Compare(m.r2, like.r2) },
		"r3": func(m multiItem) int { return bytes.Compare([]byte(m.r3), []byte(like.r3)) },
	}
	r1, _ := json.Marshal(like.r1)
	said := map[string]string{"r1": `{"S":` + string(r1) + `}`, "r2": fmt.Sprintf(`{"N":"%d"}`, like.r2),
		"r3": `{"B":"` + base64.StdEncoding.EncodeToString([]byte(like.r3)) + `"}`}
	asked := random.IntN(4)
	for n, name := range []string{"r1", "r2", "r3"}[:asked] {
		compare, op := compares[name], "="
		if n == asked-1 {
			op = []string{"=", "<", "<=", ">", ">=", "begins_with"}[random.IntN(6)]
		}
		if op == "begins_with" && name == "r2" {
			op = "="
		}
		values = append(values, fmt.Sprintf(`":%s":%s`, name, said[name]))
		text = append(text, fmt.Sprintf("%s %s :%s", name, op, name))
		switch op {
		case "=":
			keep = append(keep, func(m multiItem) bool { return compare(m) == 0 })
		case "<":
			keep = append(keep, func(m multiItem) bool { return compare(m) < 0 })
		case "<=":
			keep = append(keep, func(m multiItem) bool { return compare(m) <= 0 })
		case ">":
			keep = append(keep, func(m multiItem) bool { return compare(m) > 0 })
		case ">=":
			keep = append(keep, func(m multiItem) bool { return compare(m) >= 0 })
		default:
			text[len(text)-1] = fmt.Sprintf("begins_with(%s, :%s)", name, name)
			keep = append(keep, func(m multiItem) bool {
				if name == "r1" {
					return strings.HasPrefix(m.r1, like.r1)
				}
				return strings.HasPrefix(m.r3, like.r3)
			})
		}
	}
	var want []multiItem
	for _, m := range items {
		if !slices.ContainsFunc(keep, func(keeps func(multiItem) bool) bool { return !keeps(m) }) {
			want = append(want, m)
		}
	}
	forward := random.IntN(2) == 0
	if !forward {
		slices.Reverse(want)
	}
	random.Shuffle(len(text), func(i, j int) { text[i], text[j] = text[j], text[i] })
	query := fmt.Sprintf(`{"TableName":"multi","IndexName":"gsi","ScanIndexForward":%v,"Limit":%d,"KeyConditionExpression":"%s",`+
		`"ExpressionAttributeValues":{%s}`, forward, 1+random.IntN(9), strings.Join(text, " AND "), strings.Join(values, ","))
	place := func(m multiItem) string { return fmt.Sprintf("%q %d %q", m.r1, m.r2, m.r3) }
	got := 0
	for start := ""; ; {
		var page struct {
			Items            []map[string]map[string]string
			LastEvaluatedKey json.RawMessage
		}
		unmarshal(t, must(t, db, "Query", query+start+"}"), &page)
		for _, it := range page.Items {
			r3, _ := base64.StdEncoding.DecodeString(it["r3"]["B"])
			at := fmt.Sprintf("%q %s %q", it["r1"]["S"], it["r2"]["N"], r3)
			if got >= len(want) || at != place(want[got]) || len(it) != 6 {
				t.Fatalf("%s: item %d is %v of %d", query, got, it, len(want))
			}
			got++
		}
		if page.LastEvaluatedKey == nil {
			break
		}
		start = `,"ExclusiveStartKey":` + string(page.LastEvaluatedKey)
	}
	if got != len(want) {
		t.Fatalf("%s: %d items of %d", query, got, len(want))
	}
}

// A definition is read in the form of before, and in that of keys with several attributes.
func TestIndexKeysJSON(t *testing.T) {
	for _, text := range []string{
		`{"hash":{"name":"a","type":"S"}}`, `{"hash":{"name":"a","type":"S"},"range":{"name":"b","type":"N"}}`,
		`{"hash":[{"name":"a","type":"S"},{"name":"b","type":"B"}]}`,
		`{"hash":{"name":"a","type":"S"},"range":[{"name":"b","type":"N"},{"name":"c","type":"N"}]}`,
	} {
		var keys indexKeys
		if err := json.Unmarshal([]byte(text), &keys); err != nil {
			t.Fatal(text, err)
		}
		if back, err := json.Marshal(keys); err != nil || string(back) != text {
			t.Errorf("%s came back as %s: %v", text, back, err)
		}
	}
	for _, text := range []string{`{}`, `{"hash":[]}`, `{"hash":7}`, `{"hash":{"name":""}}`} {
		if err := json.Unmarshal([]byte(text), new(indexKeys)); err == nil {
			t.Error(text, "was read")
		}
	}
}
