//go:build peers

package local

import (
	"fmt"
	"strings"

	"dynaferry/internal/item"
)

// legacy draws a request in the parameters of the API before expressions. AttributeUpdates always put something: what they do
// when they only delete, or say no Action, is known to differ.
func (d *drawing) legacy(capacity string) operationCall {
	head, key := `{"TableName":"comp"`, `,"Key":`+d.key("comp")
	switch d.between(0, 9) {
	case 0:
		return operationCall{op: "GetItem", body: head + key + `,"AttributesToGet":["` + d.pick("a", "b", "pk", "läng") + `"]` + capacity + "}"}
	case 1:
		return operationCall{op: "PutItem", body: head + `,"Item":` + d.item("comp") + d.comparisons("Expected") + capacity + "}"}
	case 2:
		return operationCall{op: "DeleteItem", body: head + key + d.comparisons("Expected") + capacity + `,"ReturnValues":"ALL_OLD"}`}
	case 3, 4:
		keys := `"pk":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"` + d.pick("k1", "k2", "ä") + `"}]}`
		if d.chance(60) {
			op := d.pick("EQ", "LT", "LE", "GT", "GE", "BETWEEN")
			keys += `,"sk":` + d.comparison(op, false, item.Value{Type: item.N, Str: d.pick("1", "2", "-1")}, item.Value{Type: item.N, Str: "3"})
		}
		return operationCall{op: "Query", body: head + `,"KeyConditions":{` + keys + "}" + d.comparisons("QueryFilter") + capacity + "}"}
	case 5:
		return operationCall{op: "Scan", body: head + d.comparisons("ScanFilter") + `,"ConsistentRead":true}`}
	}
	updates := []string{`"z":{"Action":"PUT","Value":{"N":"1"}}`}
	for _, name := range []string{"a", "b", "c", "x.y"} {
		if d.chance(60) {
			continue
		}
		v := drawValue(d.T, 1)
		action, value := "PUT", `,"Value":`+string(item.AppendValue(nil, v))
		switch { // an action that its value cannot have is refused before the condition is looked at, or after
		case v.Type.IsSet():
			action = d.pick("PUT", "ADD", "DELETE")
		case v.Type == item.N || v.Type == item.L:
			action = d.pick("PUT", "ADD")
		case d.chance(30):
			action, value = "DELETE", ""
		}
		updates = append(updates, fmt.Sprintf(`%q:{"Action":%q%s}`, name, action, value))
	}
	return operationCall{op: "UpdateItem", body: head + key + `,"AttributeUpdates":{` + strings.Join(updates, ",") + "}" +
		d.comparisons("Expected") + capacity + `,"ReturnValues":"` + d.pick("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW") + `"}`}
}

// comparisons draws a parameter with conditions by attribute, or nothing.
func (d *drawing) comparisons(parameter string) string {
	var list []string
	for _, name := range []string{"a", "b", "c", "d", "läng"} {
		if d.chance(75) {
			continue
		}
		if parameter == "Expected" && d.chance(30) {
			list = append(list, fmt.Sprintf(`%q:`, name)+d.pick(`{"Exists":false}`, `{"Value":`+string(item.AppendValue(nil, drawValue(d.T, 1)))+`}`))
			continue
		}
		op := d.pick("EQ", "NE", "LT", "LE", "GT", "GE", "BETWEEN", "IN", "NULL", "NOT_NULL", "CONTAINS", "NOT_CONTAINS", "BEGINS_WITH")
		list = append(list, fmt.Sprintf(`%q:`, name)+d.comparison(op, true, drawValue(d.T, 1), drawValue(d.T, 0)))
	}
	if len(list) == 0 {
		return ""
	}
	joined := `,"` + parameter + `":{` + strings.Join(list, ",") + "}"
	if len(list) > 1 {
		joined += d.pick("", `,"ConditionalOperator":"OR"`, `,"ConditionalOperator":"AND"`)
	}
	return joined
}

// comparison draws one condition; with fault now and then with too many values or too few.
func (d *drawing) comparison(op string, fault bool, values ...item.Value) string {
	n := map[string]int{"BETWEEN": 2, "IN": 2, "NULL": 0, "NOT_NULL": 0}
	count, listed := n[op]
	if !listed {
		count = 1
	}
	if fault && d.chance(3) {
		count = d.between(0, 2)
	}
	// The API wants values of one type. One fault a request: which of two is told differs.
	if values[1].Type != values[0].Type && !(compares("IN", values[0].Type) && compares("IN", values[1].Type) && d.chance(10)) {
		values[1] = values[0]
	}
	var shown []string
	for _, v := range values[:count] {
		shown = append(shown, string(item.AppendValue(nil, v)))
	}
	return fmt.Sprintf(`{"ComparisonOperator":%q,"AttributeValueList":[%s]}`, op, strings.Join(shown, ","))
}
