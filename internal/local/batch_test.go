package local

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/item"
)

// spacedBatch is the same request as no SDK writes it, so that it goes the general way.
func spacedBatch(body string) string {
	return strings.Replace(body, `"RequestItems":{`, `"RequestItems":{ `, 1)
}

// TestCompactWritesAnswerAlike: the spelling of a BatchWriteItem decides how it is read, and nothing else: not what is
// refused and how, nor what is stored.
func TestCompactWritesAnswerAlike(t *testing.T) {
	history, err := os.ReadFile("testdata/batch.txt")
	if err != nil {
		t.Fatal(err)
	}
	var requests [][2]string
	for line := range strings.Lines(string(history)) {
		if op, body, ok := strings.Cut(strings.TrimSpace(line), " "); ok && operations[op] != nil {
			requests = append(requests, [2]string{op, body})
		}
	}
	for _, items := range []string{
		`{"PutRequest":{"Item":{"pk":{"S":"a"},"n":{"N":"01.50"},"s":{"NS":["2","1e0"]},"b":{"B":"MR=="}}}}`,
		`{"PutRequest":{"Item":{"pk":{"S":"b"},"e":{"S":"\u0041\n"}}}},{"DeleteRequest":{"Key":{"pk":{"S":"a"}}}}`,
		`{"DeleteRequest":{"Key":{"pk":{"S":"a"}}}},{"PutRequest":{"Item":{"pk":{"S":"c"},"m":{"M":{"x":{"L":[]}}}}}}`,
		`{"PutRequest":{"Item":{"pk":{"S":"c"},"":{"S":"x"}}}}`,
		`{"PutRequest":{"Item":{"pk":{"S":"c"},"s":{"SS":["x","x"]}}}}`,
		`{"PutRequest":{"Item":{"pk":{"S":"c"},"s":{"SS":[]}}}}`,
		`{"PutRequest":{"Item":{"pk":{"S":"c"},"x":{"S":"1"},"x":{"S":"2"}}}}`,
		`{"PutRequest":{"Item":{"pk":{"S":"d"},"x":{"S":"` + strings.Repeat("x", item.ItemBytesMax) + `"}}}}`,
		`{"PutRequest":{"Item":{"pk":{"S":"c"}}}`, `{"PutRequest":{"Item":{"pk":{"S":"c"}}},}`,
		`{"PutRequest":{"Item":{"pk":{"S":"c"}}}},`, `{"PutRequest":{"Item":{"pk":{"S":"c"}},"Item":{"pk":{"S":"d"}}}}`,
		`{"PutRequest":{"Item":{"pk":{"S":"c"}},"Other":1},"More":null}`, `{"PutRequest":{"Item":null}}`, `{"PutRequest":{"Item":{}}}`,
		strings.TrimSuffix(strings.Repeat(`{"DeleteRequest":{"Key":{"pk":{"S":"a"}}}},`, 26), ","),
	} {
		requests = append(requests, [2]string{"BatchWriteItem", `{"RequestItems":{"hash":[` + items + `]}}`},
			[2]string{"BatchWriteItem", `{"RequestItems":{"hash":[` + items + `],"hash":[` + items + `]},"ReturnConsumedCapacity":"INDEXES"}`})
	}
	for _, parts := range []string{`"hash":[%s]:1`, `"hash":[%s]"comp":[]`, `"hash":[%s],`, `"ha\u0073h":[%s]`, `"no":[%s]`, `"hash":[%s],"hash":{}`} {
		body := fmt.Sprintf(`{"RequestItems":{`+parts+`}}`, `{"PutRequest":{"Item":{"pk":{"S":"p"}}}}`)
		requests = append(requests, [2]string{"BatchWriteItem", body})
	}
	clock := func() time.Time { return epoch }
	compact, general := newDB(t, Options{Clock: clock, Throttle: true}), newDB(t, Options{Clock: clock, Throttle: true})
	for _, r := range requests {
		want, wantReply := post(general, r[0], spacedBatch(r[1]))
		got, gotReply := post(compact, r[0], r[1])
		if r[0] != "CreateTable" && (got != want || gotReply != wantReply) {
			t.Errorf("%s %.300s\n compact %d %s\n general %d %s", r[0], r[1], got, gotReply, want, wantReply)
		}
	}
	for _, table := range []string{"hash", "comp"} {
		scan := `{"TableName":"` + table + `"}`
		if got, want := must(t, compact, "Scan", scan), must(t, general, "Scan", scan); got != want {
			t.Errorf("%s holds\n %s\nand\n %s", table, got, want)
		}
	}
}

// What loads send must not need the general way: that would be right, and slow.
func TestCompactWritesTakeWhatIsUsual(t *testing.T) {
	orders := batchOf(0)
	remove := `{"RequestItems":{"orders":[{"DeleteRequest":{"Key":{"orderId":{"S":"x"}}}}],"more":[{"PutRequest":{"Item":{"a":{"S":"x"}}}}]}}`
	for _, test := range []struct {
		body          string
		taken         bool
		tables, items int
	}{
		{orders, true, 1, 25}, {remove, true, 2, 2}, {spacedBatch(orders), false, 0, 0},
		{strings.Replace(orders, `]}}`, `,{"PutRequest":{"Item":{"a":{"S":"x"}}}}]}}`, 1), false, 0, 0}, // 26
	} {
		c := &call{body: append(make([]byte, 0, len(test.body)+item.Slack), test.body...)}
		c.args, _ = split(nil, c.body)
		list, ok := c.compactWrites(c.args.get("RequestItems"))
		items := 0
		for i := range list {
			items += len(list[i].records)
		}
		if got := fmt.Sprint(ok, len(list), items); ok != test.taken || ok && got != fmt.Sprint(true, test.tables, test.items) {
			t.Errorf("%.60s...: %s", test.body, got)
		}
	}
}
