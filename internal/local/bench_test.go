package local

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dynaferry/internal/item/itemtest"
)

const createBench = `{"TableName":"orders","AttributeDefinitions":[{"AttributeName":"orderId","AttributeType":"S"}],` +
	`"KeySchema":[{"AttributeName":"orderId","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST"}`

// batchOf is a BatchWriteItem of 25 orders of about 700 bytes.
func batchOf(first int) string {
	var b strings.Builder
	b.WriteString(`{"RequestItems":{"orders":[`)
	for i := range 25 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"PutRequest":{"Item":`)
		b.Write(itemtest.AppendOrder(nil, 1, uint64(first+i)))
		b.WriteString(`}}`)
	}
	b.WriteString("]}}")
	return b.String()
}

// The handler's own share of a put: reading, checking, keys, the store in memory, the reply. The bound is the store's
// index and log (about 10 µs) and the tokenizer (about 2).
func BenchmarkPutItem(b *testing.B) {
	db := newDB(b, Options{NoSync: true})
	must(b, db, "CreateTable", createBench)
	var bodies []string
	for i := range 1000 {
		bodies = append(bodies, `{"TableName":"orders","Item":`+string(itemtest.AppendOrder(nil, 1, uint64(i)))+`}`)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if status, reply := post(db, "PutItem", bodies[i%1000]); status != http.StatusOK {
			b.Fatal(reply)
		}
		i++
	}
}

func BenchmarkBatchWriteItem(b *testing.B) {
	db := newDB(b, Options{NoSync: true})
	must(b, db, "CreateTable", createBench)
	var bodies []string
	for i := range 40 {
		bodies = append(bodies, batchOf(25*i))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if status, reply := post(db, "BatchWriteItem", bodies[i%40]); status != http.StatusOK {
			b.Fatal(reply)
		}
		i++
	}
	b.ReportMetric(float64(25*i)/b.Elapsed().Seconds(), "items/s")
}

// A whole scan, raw: items go from the log into the reply without being looked into, but for their size.
func BenchmarkScan(b *testing.B) {
	for name, rest := range map[string]string{
		"raw": "",
		"filter": `,"FilterExpression":"#s = :s","ExpressionAttributeNames":{"#s":"status"},` +
			`"ExpressionAttributeValues":{":s":{"S":"PAID"}}`,
		"project": `,"ProjectionExpression":"orderId, address.city"`,
	} {
		b.Run(name, func(b *testing.B) {
			db := newDB(b, Options{NoSync: true})
			must(b, db, "CreateTable", createBench)
			for i := range 200 {
				must(b, db, "BatchWriteItem", batchOf(25*i))
			}
			b.ReportAllocs()
			items := 0
			for b.Loop() {
				start := ""
				for {
					w := httptest.NewRecorder()
					db.ServeHTTP(w, request("Scan", `{"TableName":"orders"`+rest+start+"}"))
					reply := w.Body.String()
					at := strings.LastIndex(reply, `"LastEvaluatedKey":`)
					if at < 0 {
						break
					}
					start = `,"ExclusiveStartKey":` + strings.TrimSuffix(reply[at+len(`"LastEvaluatedKey":`):], "}")
				}
				items += 5000
			}
			b.ReportMetric(float64(items)/b.Elapsed().Seconds(), "items/s")
		})
	}
}
