package local

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// No request makes the service panic, answer 500 or answer anything but JSON, and what is stored stays readable.
func FuzzRequests(f *testing.F) {
	ops := slices.Sorted(maps.Keys(operations))
	for i, op := range ops {
		f.Add(uint8(i), `{"TableName":"hash","Key":{"pk":{"S":"a"}},"Item":{"pk":{"S":"a"},"n":{"NS":["1","2.0"]}}}`)
		_ = op
	}
	at := func(name string) uint8 { return uint8(slices.Index(ops, name)) }
	f.Add(at("Query"), `{"TableName":"hash","KeyConditionExpression":"pk = :p","FilterExpression":"n = :p",`+
		`"ExpressionAttributeValues":{":p":{"S":"a"}},"ExclusiveStartKey":{"pk":{"S":"a"}},"Limit":1}`)
	f.Add(at("Scan"), `{"TableName":"hash","Segment":0,"TotalSegments":3,"ProjectionExpression":"a[0].b"}`)
	f.Add(at("UpdateItem"), `{"TableName":"hash","Key":{"pk":{"S":"a"}},"UpdateExpression":"SET a = :v ADD n :n REMOVE x[1]",`+
		`"ExpressionAttributeValues":{":v":{"L":[{"NULL":true}]},":n":{"N":"1"}},"ReturnValues":"UPDATED_NEW"}`)
	f.Add(at("BatchWriteItem"), `{"RequestItems":{"hash":[{"PutRequest":{"Item":{"pk":{"S":"b"},"b":{"B":"MR=="}}}}]}}`)
	f.Add(at("BatchGetItem"), `{"RequestItems":{"hash":{"Keys":[{"pk":{"S":"a"}}],"ProjectionExpression":"n"}}}`)
	f.Add(at("TagResource"), `{"ResourceArn":"arn:aws:dynamodb:x:0:table/hash","Tags":[{"Key":"k","Value":"v"}]}`)
	f.Add(at("PutItem"), "\xff{\"TableName\":\"\\ud800\"}")
	f.Fuzz(func(t *testing.T, op uint8, body string) {
		db := newDB(t, Options{})
		must(t, db, "CreateTable", createHash)
		must(t, db, "PutItem", `{"TableName":"hash","Item":{"pk":{"S":"a"},"a":{"L":[{"M":{"b":{"N":"1"}}}]}}}`)
		name := ops[int(op)%len(ops)]
		status, reply := post(db, name, body)
		silent := reply == "" && status == 200 && strings.HasSuffix(strings.ToLower(name), "tagresource") // as the service
		if status != 200 && status != 400 || !silent && !jsontext.Value(reply).IsValid() {
			t.Fatalf("%s %q: %d %s", name, body, status, reply)
		}
		if list := must(t, db, "ListTables", "{}"); strings.Contains(list, `"hash"`) {
			if reply := must(t, db, "Scan", `{"TableName":"hash"}`); !jsontext.Value(reply).IsValid() {
				t.Fatalf("after %s %q: %s", name, body, reply)
			}
		}
	})
}
