//go:build peers

package local

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"pgregory.net/rapid"

	"dynaferry/internal/item"
)

// operationCall is one request of a differential run.
type operationCall struct {
	op, body string
	nested   bool   // an update that writes below the top level
	indexed  bool   // a write to the table with indexes
	ties     bool   // a query of an index, whose items of equal keys come in any order
	order    string // the attribute by which they are ordered else
	counts   bool   // a page of those: only the counts can be compared
}

// drawing makes one request; the names and values its expressions use collect in it.
type drawing struct {
	*rapid.T
	dice   *rand.Rand // for choices, which rapid would draw towards the small ones
	used   map[string]bool
	names  map[string]string
	values map[string]item.Value
	nested bool
}

func (d *drawing) pick(label string, choices ...string) string {
	return rapid.SampledFrom(choices).Draw(d.T, label)
}

func (d *drawing) chance(percent int) bool { return d.dice.IntN(100) < percent }

// between draws from low to high.
func (d *drawing) between(low, high int) int { return low + d.dice.IntN(high-low+1) }

func (d *drawing) value(v item.Value) string {
	name := fmt.Sprintf(":v%d", len(d.values))
	d.values[name] = v
	return name
}

func (d *drawing) any() string { return d.value(drawValue(d.T, 1)) }

func (d *drawing) number() string {
	return d.value(item.Value{Type: item.N, Str: fmt.Sprint(d.between(-9, 9))})
}

// path draws a document path; the names x.y and so on go through placeholders.
func (d *drawing) path() string {
	switch d.between(0, 9) {
	case 0:
		d.names["#l"] = "läng"
		return "#l"
	case 1:
		d.names["#a"] = "a"
		return d.pick("#a", "#a.b", "#a[1]")
	case 2:
		return d.pick("a.b", "b.c", "c[0]", "d[1]", "a.b.c", "b[0].a", "c.a[0]")
	}
	return d.pick("a", "b", "c", "d", "e")
}

func (d *drawing) operand() string {
	switch d.between(0, 5) {
	case 0, 1:
		return d.any()
	case 2:
		return d.number()
	case 3:
		return "size(" + d.path() + ")"
	}
	return d.path()
}

func (d *drawing) condition(depth int) string {
	if depth > 0 && d.chance(35) {
		switch d.between(0, 3) {
		case 0:
			return "NOT " + d.condition(depth-1)
		case 1:
			return "(" + d.condition(depth-1) + " OR " + d.condition(depth-1) + ")"
		default:
			return d.condition(depth-1) + " AND " + d.condition(depth-1)
		}
	}
	switch d.between(0, 8) {
	case 0:
		return "attribute_exists(" + d.path() + ")"
	case 1:
		return "attribute_not_exists(" + d.path() + ")"
	case 2:
		kind := d.pick("S", "N", "B", "L", "M", "SS", "NS", "BS", "BOOL", "NULL", "X")
		return "attribute_type(" + d.path() + ", " + d.value(item.Value{Type: item.S, Str: kind}) + ")"
	case 3:
		return "begins_with(" + d.path() + ", " + d.any() + ")"
	case 4:
		return "contains(" + d.path() + ", " + d.any() + ")"
	case 5:
		return d.operand() + " IN (" + d.any() + ", " + d.number() + ")"
	case 6:
		return d.operand() + " BETWEEN " + d.number() + " AND " + d.number()
	}
	return d.operand() + " " + d.pick("=", "<>", "<", "<=", ">", ">=") + " " + d.operand()
}

func (d *drawing) setValue() string {
	switch d.between(0, 5) {
	case 0:
		return d.path() + " " + d.pick("+", "-") + " " + d.number()
	case 1:
		return "if_not_exists(" + d.path() + ", " + d.any() + ")"
	case 2:
		return "list_append(" + d.path() + ", " + d.value(item.Value{Type: item.L, List: []item.Value{drawValue(d.T, 0)}}) + ")"
	case 3:
		return d.path()
	}
	return d.any()
}

func (d *drawing) target() string {
	p := d.path()
	for range 5 { // paths that overlap are refused: mostly avoid them
		top, _, _ := strings.Cut(strings.TrimPrefix(p, "#"), ".")
		top, _, _ = strings.Cut(top, "[")
		if !d.used[top] {
			d.used[top] = true
			break
		}
		p = d.path()
	}
	d.nested = d.nested || strings.ContainsAny(p, ".[")
	return p
}

func (d *drawing) update() string {
	var clauses []string
	list := func(one func() string) string {
		parts := []string{one()}
		for d.chance(30) {
			parts = append(parts, one())
		}
		return strings.Join(parts, ", ")
	}
	if d.chance(70) {
		clauses = append(clauses, "SET "+list(func() string { return d.target() + " = " + d.setValue() }))
	}
	if d.chance(20) {
		clauses = append(clauses, "REMOVE "+list(d.target))
	}
	if d.chance(25) {
		clauses = append(clauses, "ADD "+list(func() string { return d.target() + " " + d.any() }))
	}
	if d.chance(10) || len(clauses) == 0 {
		clauses = append(clauses, "DELETE "+list(func() string {
			return d.target() + " " + d.value(drawSet(d.T, item.SS, drawText, func(s string) item.Value {
				return item.Value{Type: item.S, Str: s}
			}))
		}))
	}
	return strings.Join(clauses, " ")
}

func (d *drawing) key(table string) string {
	m := map[string]item.Value{"pk": {Type: item.S, Str: d.pick("k1", "k2", "k3", "ä")}}
	if table == "comp" {
		m["sk"] = item.Value{Type: item.N, Str: d.pick("1", "2", "3", "-1", "1.5", "10", "1e1")}
	}
	if d.chance(2) {
		m[d.pick("pk", "sk", "x")] = drawValue(d.T, 0)
	}
	if d.chance(1) {
		delete(m, "pk")
	}
	return string(item.AppendMap(nil, m))
}

func (d *drawing) item(table string) string {
	m := drawMembers(d.T, 2, drawName)
	if d.chance(5) {
		m["a"] = item.Value{Type: item.S, Str: strings.Repeat("x", d.between(0, 9000))}
	}
	key, members := d.key(table), string(item.AppendMap(nil, m))
	if members == "{}" || key == "{}" {
		return key
	}
	return strings.TrimSuffix(key, "}") + "," + strings.TrimPrefix(members, "{")
}

// placeholders renders names and values, now and then with one too many or too few.
func (d *drawing) placeholders() string {
	if d.chance(2) {
		d.names["#unused"] = "u"
	}
	if d.chance(2) {
		d.value(item.Value{Type: item.NULL, Bool: true})
	}
	if d.chance(1) {
		delete(d.values, ":v0")
	}
	out := ""
	if len(d.names) > 0 {
		out += `,"ExpressionAttributeNames":{`
		for name, to := range d.names {
			out += fmt.Sprintf("%q:%s,", name, item.AppendString(nil, []byte(to)))
		}
		out = strings.TrimSuffix(out, ",") + "}"
	}
	if len(d.values) > 0 {
		out += `,"ExpressionAttributeValues":` + string(item.AppendMap(nil, d.values))
	}
	return out
}

func quoted(s string) string { return string(item.AppendString(nil, []byte(s))) }

// drawCall draws one request.
func drawCall(t *rapid.T) operationCall {
	seed := rapid.Uint64().Draw(t, "dice")
	d := &drawing{T: t, dice: rand.New(rand.NewPCG(seed, 1)), used: map[string]bool{},
		names: map[string]string{}, values: map[string]item.Value{}}
	capacity := `,"ReturnConsumedCapacity":"` + d.pick("NONE", "TOTAL", "INDEXES") + `"`
	switch n := d.between(0, 99); {
	case n < 20:
		return d.indexedWrite(capacity)
	case n < 32:
		return d.indexedQuery(capacity)
	case n < 35:
		return d.indexedScan()
	case n < 50:
		return d.transaction()
	}
	if d.chance(15) {
		return d.legacy(capacity)
	}
	table := d.pick("hash", "comp", "comp")
	head := fmt.Sprintf(`{"TableName":%q`, table)
	condition := ""
	switch n := d.between(0, 99); {
	case n < 25:
		it := d.item(table)
		if d.chance(40) {
			condition = `,"ConditionExpression":` + quoted(d.condition(2))
		}
		return operationCall{op: "PutItem", body: head + `,"Item":` + it + condition + d.placeholders() + capacity +
			`,"ReturnValues":"` + d.pick("NONE", "ALL_OLD", "ALL_OLD") + `","ReturnValuesOnConditionCheckFailure":"` +
			d.pick("NONE", "ALL_OLD") + `"}`}
	case n < 60:
		key, update := d.key(table), d.update()
		if d.chance(25) {
			condition = `,"ConditionExpression":` + quoted(d.condition(1))
		}
		values := d.pick("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW")
		return operationCall{op: "UpdateItem", body: head + `,"Key":` + key + `,"UpdateExpression":` + quoted(update) + condition +
			d.placeholders() + capacity + `,"ReturnValues":"` + values + `"}`, nested: d.nested && strings.HasPrefix(values, "UPDATED")}
	case n < 67:
		key := d.key(table)
		if d.chance(40) {
			condition = `,"ConditionExpression":` + quoted(d.condition(1))
		}
		return operationCall{op: "DeleteItem", body: head + `,"Key":` + key + condition + d.placeholders() + capacity +
			`,"ReturnValues":"ALL_OLD"}`}
	case n < 77:
		key, projection := d.key(table), ""
		if d.chance(50) {
			projection = `,"ProjectionExpression":` + quoted(d.projection())
		}
		return operationCall{op: "GetItem", body: head + `,"Key":` + key + projection + d.placeholders() + capacity + `}`}
	case n < 87:
		return d.query(capacity)
	case n < 93:
		body := head
		if d.chance(80) {
			body += `,"FilterExpression":` + quoted(d.condition(2))
		}
		return operationCall{op: "Scan", body: body + d.placeholders() + `,"ConsistentRead":true` +
			d.pick("", `,"Select":"COUNT"`, `,"Select":"ALL_ATTRIBUTES"`) + `}`}
	case n < 97:
		return operationCall{op: "BatchWriteItem", body: d.batchWrite()}
	}
	return operationCall{op: "BatchGetItem", body: `{"RequestItems":{"comp":{"Keys":[` + d.key("comp") + `,` + d.key("comp") +
		`]},"hash":{"Keys":[` + d.key("hash") + `]}}}`}
}

func (d *drawing) projection() string {
	parts := []string{d.path()}
	for d.chance(40) {
		parts = append(parts, d.path())
	}
	return strings.Join(parts, ", ")
}

func (d *drawing) batchWrite() string {
	var tables []string
	for _, table := range []string{"hash", "comp"} {
		var members []string
		for range d.between(1, 3) {
			if d.chance(70) {
				members = append(members, `{"PutRequest":{"Item":`+d.item(table)+`}}`)
			} else {
				members = append(members, `{"DeleteRequest":{"Key":`+d.key(table)+`}}`)
			}
		}
		tables = append(tables, fmt.Sprintf(`%q:[%s]`, table, strings.Join(members, ",")))
	}
	return `{"RequestItems":{` + strings.Join(tables, ",") + `}}`
}

func (d *drawing) query(capacity string) operationCall {
	condition := "pk = " + d.value(item.Value{Type: item.S, Str: d.pick("k1", "k2", "k3", "ä")})
	switch d.between(0, 6) {
	case 0:
		condition += " AND sk " + d.pick("=", "<", "<=", ">", ">=") + " " + d.number()
	case 1:
		condition += " AND sk BETWEEN " + d.number() + " AND " + d.number()
	case 2:
		condition = "sk > " + d.any() + " AND " + condition
	}
	body := `{"TableName":"comp","KeyConditionExpression":` + quoted(condition)
	if d.chance(30) {
		body += `,"FilterExpression":` + quoted(d.condition(1))
	}
	if d.chance(40) {
		body += fmt.Sprintf(`,"Limit":%d`, d.between(1, 4))
	}
	if d.chance(30) {
		body += `,"ExclusiveStartKey":` + d.key("comp")
	}
	if d.chance(30) {
		body += `,"ProjectionExpression":` + quoted(d.projection())
	}
	return operationCall{op: "Query", body: body + d.placeholders() + capacity + d.pick("", `,"ScanIndexForward":false`) + `}`}
}
