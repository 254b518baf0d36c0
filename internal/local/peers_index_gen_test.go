//go:build peers

package local

import (
	"fmt"
	"strings"
	"time"

	"dynaferry/internal/item"
)

// createIndexed makes the table that indexes and transactions are tried on.
const createIndexed = `{"TableName":"idx","AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk",` +
	`"AttributeType":"N"},{"AttributeName":"ga","AttributeType":"S"},{"AttributeName":"gb","AttributeType":"N"}],"KeySchema":[` +
	`{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],"BillingMode":"PAY_PER_REQUEST",` +
	`"LocalSecondaryIndexes":[{"IndexName":"local","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"ga",` +
	`"KeyType":"RANGE"}],"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["c"]}}],"GlobalSecondaryIndexes":[` +
	`{"IndexName":"keys","KeySchema":[{"AttributeName":"ga","KeyType":"HASH"},{"AttributeName":"gb","KeyType":"RANGE"}],` +
	`"Projection":{"ProjectionType":"KEYS_ONLY"}},{"IndexName":"multi","KeySchema":[{"AttributeName":"gb","KeyType":"HASH"},` +
	`{"AttributeName":"ga","KeyType":"HASH"},{"AttributeName":"pk","KeyType":"RANGE"},{"AttributeName":"sk","KeyType":"RANGE"}],` +
	`"Projection":{"ProjectionType":"KEYS_ONLY"}},{"IndexName":"all","KeySchema":[{"AttributeName":"gb","KeyType":"HASH"}],` +
	`"Projection":{"ProjectionType":"ALL"}}]}`

// indexKeys draws few keys, so that entries of indexes meet.
func (d *drawing) indexKeys(m map[string]item.Value) {
	if d.chance(70) {
		m["ga"] = item.Value{Type: item.S, Str: d.pick("g1", "g2", "ä", "g")}
	}
	if d.chance(70) {
		m["gb"] = item.Value{Type: item.N, Str: d.pick("1", "2", "-1", "1.50")}
	}
	if d.chance(4) {
		m[d.pick("ga", "gb")] = drawValue(d.T, 0)
	}
}

func (d *drawing) indexedItem() string {
	m := drawMembers(d.T, 1, drawName)
	d.indexKeys(m)
	if d.chance(10) {
		m["d"] = item.Value{Type: item.S, Str: strings.Repeat("x", d.between(0, 5000))}
	}
	key, members := d.key("comp"), string(item.AppendMap(nil, m))
	if members == "{}" || key == "{}" {
		return key
	}
	return strings.TrimSuffix(key, "}") + "," + strings.TrimPrefix(members, "{")
}

func (d *drawing) indexedWrite(capacity string) operationCall {
	head, condition := `{"TableName":"idx"`, ""
	if d.chance(25) {
		condition = `,"ConditionExpression":` + quoted(d.condition(1))
	}
	switch d.between(0, 9) {
	case 0, 1, 2, 3, 4:
		return operationCall{op: "PutItem", indexed: true, body: head + `,"Item":` + d.indexedItem() + condition + d.placeholders() + capacity +
			`,"ReturnValues":"ALL_OLD"}`}
	case 5:
		return operationCall{op: "DeleteItem", indexed: true, body: head + `,"Key":` + d.key("comp") + condition + d.placeholders() + capacity + `}`}
	}
	return operationCall{op: "UpdateItem", indexed: true, body: head + `,"Key":` + d.key("comp") + `,"UpdateExpression":` + quoted(d.indexedUpdate()) +
		condition + d.placeholders() + capacity + `,"ReturnValues":"ALL_NEW"}`}
}

func (d *drawing) indexedUpdate() string {
	m := map[string]item.Value{}
	d.indexKeys(m)
	var set []string
	for _, name := range []string{"ga", "gb"} {
		if v, ok := m[name]; ok {
			set = append(set, name+" = "+d.value(v))
		}
	}
	if d.chance(50) {
		set = append(set, d.pick("c", "d")+" = "+d.any())
	}
	text := ""
	if len(set) > 0 {
		text = "SET " + strings.Join(set, ", ")
	}
	for _, name := range []string{"ga", "gb", "e"} {
		if _, ok := m[name]; !ok && d.chance(25) {
			return text + " REMOVE " + name
		}
	}
	if text == "" {
		return "SET e = " + d.number()
	}
	return text
}

// indexes are the range keys of the indexes, by which items of one query are ordered; equal ones stand in any order.
var indexes = map[string]string{"local": "ga", "keys": "gb", "all": "", "multi": "pk"}

func (d *drawing) indexedQuery(capacity string) operationCall {
	index := d.pick("local", "keys", "all", "multi", "multi")
	call := operationCall{op: "Query", ties: true, order: indexes[index]}
	condition := map[string]string{"local": "pk = ", "keys": "ga = ", "all": "gb = ", "multi": "ga = "}[index]
	switch index {
	case "local":
		condition += d.value(item.Value{Type: item.S, Str: d.pick("k1", "k2", "k3")})
	case "keys", "multi":
		condition += d.value(item.Value{Type: item.S, Str: d.pick("g1", "g2", "ä", "none")})
	case "all":
		condition += d.value(item.Value{Type: item.N, Str: d.pick("1", "2", "-1", "1.5")})
	}
	if index == "multi" {
		condition += d.multiCondition()
	}
	switch n := d.between(0, 5); {
	case n == 0 && index == "local":
		condition += " AND begins_with(ga, " + d.value(item.Value{Type: item.S, Str: "g"}) + ")"
	case n == 1 && index == "keys":
		condition += " AND gb " + d.pick("=", "<", "<=", ">", ">=") + " " + d.number()
	case n == 2 && index == "keys":
		condition += " AND gb BETWEEN " + d.number() + " AND " + d.number()
	}
	body := fmt.Sprintf(`{"TableName":"idx","IndexName":%q,"KeyConditionExpression":%s`, index, quoted(condition))
	limited := d.chance(25)
	if limited {
		body += fmt.Sprintf(`,"Limit":%d`, d.between(1, 4))
		call.counts = true // which items come first among equal ones is nobody's promise
	} else if d.chance(40) {
		body += `,"FilterExpression":` + quoted("attribute_exists("+d.pick("c", "d", "sk", "gb", "ga")+")")
	}
	if d.chance(30) {
		body += `,"ProjectionExpression":` + quoted(d.pick("pk, sk", "ga, gb", "c", "d", "pk, d, e", "sk, c"))
		call.order = ""
	}
	if d.chance(5) {
		body += `,"ExclusiveStartKey":` + d.key("comp")
	}
	return operationCall{op: call.op, ties: true, order: call.order, counts: call.counts, body: body + d.placeholders() + capacity +
		d.pick("", "", `,"ConsistentRead":true`) + d.pick("", `,"ScanIndexForward":false`) +
		d.pick("", "", `,"Select":"ALL_ATTRIBUTES"`, `,"Select":"ALL_PROJECTED_ATTRIBUTES"`, `,"Select":"COUNT"`) + `}`}
}

// multiCondition goes on with the condition on an index whose keys have several attributes, now and then against its rules.
func (d *drawing) multiCondition() string {
	text := ""
	if !d.chance(5) {
		text += " AND gb " + d.pick("=", "=", "=", "=", "=", "=", "=", "<") + " " + d.value(item.Value{Type: item.N, Str: d.pick("1", "2", "-1", "1.5")})
	}
	pk := d.value(item.Value{Type: item.S, Str: d.pick("k1", "k2", "k", "ä")})
	switch d.between(0, 5) {
	case 0, 1, 2:
		text += " AND pk = " + pk
		if d.chance(60) {
			text += " AND sk " + d.pick("=", "<", "<=", ">", ">=") + " " + d.value(item.Value{Type: item.N, Str: d.pick("1", "2", "-1", "1.5")})
		}
	case 3:
		text += d.pick(" AND begins_with(pk, "+pk+")", " AND pk > "+pk, " AND pk <= "+pk)
	case 4:
		if d.chance(20) {
			text += " AND sk = " + d.number()
		}
	}
	return text
}

func (d *drawing) indexedScan() operationCall {
	index := d.pick("local", "keys", "all", "multi")
	filter := ""
	if d.chance(50) {
		filter = `,"FilterExpression":` + quoted("attribute_exists(ga) AND sk > "+d.number())
		if index == "all" {
			filter = `,"FilterExpression":` + quoted(d.condition(1))
		}
	}
	return operationCall{op: "Scan", body: fmt.Sprintf(`{"TableName":"idx","IndexName":%q`, index) + filter + d.placeholders() +
		d.pick("", "", `,"ConsistentRead":true`) + d.pick("", `,"Select":"COUNT"`, `,"Select":"ALL_ATTRIBUTES"`) + `}`}
}

// tokenRun tells the tokens of this run from those that the counterpart knows of an earlier one.
var tokenRun = time.Now().UnixNano()

// transaction draws a TransactWriteItems or TransactGetItems over both tables of composite keys. Each member has its own
// placeholders.
func (d *drawing) transaction() operationCall {
	if d.chance(20) {
		token := d.between(0, 30) // the same request whenever it comes: done once
		return operationCall{op: "TransactWriteItems", body: fmt.Sprintf(`{"ClientRequestToken":"%d-%d","TransactItems":[{"Update":{`+
			`"TableName":"idx","Key":{"pk":{"S":"token"},"sk":{"N":"%d"}},"UpdateExpression":"ADD n :one","ExpressionAttributeValues":`+
			`{":one":{"N":"%s"}}}}]}`, tokenRun, token, token%3, d.pick("1", "1", "1", "2"))}
	}
	write := d.chance(75)
	var members []string
	for range d.between(1, 4) {
		d.names, d.values, d.used = map[string]string{}, map[string]item.Value{}, map[string]bool{}
		table := d.pick("idx", "idx", "comp")
		if write {
			members = append(members, d.action(table))
			continue
		}
		projection := ""
		if d.chance(40) {
			projection = `,"ProjectionExpression":` + quoted(d.projection())
		}
		members = append(members, fmt.Sprintf(`{"Get":{"TableName":%q,"Key":%s`, table, d.key("comp"))+projection+d.placeholders()+"}}")
	}
	op := "TransactGetItems"
	if write {
		op = "TransactWriteItems"
	}
	return operationCall{op: op, body: `{"TransactItems":[` + strings.Join(members, ",") + `]}`}
}

func (d *drawing) action(table string) string {
	head, condition := fmt.Sprintf(`{"TableName":%q`, table), ""
	if d.chance(30) {
		condition = `,"ConditionExpression":` + quoted(d.pick("attribute_exists(pk)", "attribute_not_exists(c)", d.condition(1)))
	}
	tail := d.pick("", `,"ReturnValuesOnConditionCheckFailure":"ALL_OLD"`)
	switch d.between(0, 4) {
	case 0:
		if condition == "" {
			condition = `,"ConditionExpression":"attribute_exists(pk)"`
		}
		return `{"ConditionCheck":` + head + `,"Key":` + d.key("comp") + condition + d.placeholders() + tail + "}}"
	case 1:
		return `{"Delete":` + head + `,"Key":` + d.key("comp") + condition + d.placeholders() + tail + "}}"
	case 2:
		return `{"Update":` + head + `,"Key":` + d.key("comp") + `,"UpdateExpression":` + quoted(d.indexedUpdate()) + condition +
			d.placeholders() + tail + "}}"
	}
	return `{"Put":` + head + `,"Item":` + d.indexedItem() + condition + d.placeholders() + tail + "}}"
}
