//go:build peers

package local

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/item"
)

// peerEnv names the endpoint of a DynamoDB Local that runs with -sharedDb.
const peerEnv = "DYNAFERRY_PEER_DYNAMODB"

// defaultCalls is how many random requests a differential run sends; DYNAFERRY_PEER_CALLS changes it.
const defaultCalls = 6000

type peer struct{ url string }

func (p peer) post(t *testing.T, op, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, p.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", targetStem+op)
	r.Header.Set("Content-Type", target10)
	r.Header.Set("X-Amz-Date", "20260701T000000Z")
	r.Header.Set("Authorization", signature)
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(text)
}

// TestSameAsDynamoDBLocal sends the same random requests to a DynamoDB Local and to us and expects the same answers,
// errors included, but for the differences listed in peerSays, where the service itself is with us.
func TestSameAsDynamoDBLocal(t *testing.T) {
	url := os.Getenv(peerEnv)
	if url == "" {
		t.Skipf("SKIPPED, NOT PASSED: %s names no DynamoDB Local to compare with; make peers fetches one and runs this", peerEnv)
	}
	calls := defaultCalls
	if n, err := strconv.Atoi(os.Getenv("DYNAFERRY_PEER_CALLS")); err == nil {
		calls = n
	}
	first, _ := strconv.Atoi(os.Getenv("DYNAFERRY_PEER_SEED"))
	db, other := newDB(t, Options{}), peer{url}
	bothTables(t, db, other)
	generator := rapid.Custom(drawCall)
	differences, succeeded, reordered := 0, 0, 0
	for i := range calls {
		call := generator.Example(first + i)
		status, reply := post(db, call.op, call.body)
		otherStatus, otherReply := other.post(t, call.op, call.body)
		if status == 200 {
			succeeded++
		}
		why := compare(call, status, reply, otherStatus, otherReply)
		if why == anotherOrder {
			reordered++
		} else if why != "" {
			t.Errorf("%d. %s %s\n  %s\n  we   %d %.600s\n  peer %d %.600s", i, call.op, call.body, why,
				status, reply, otherStatus, otherReply)
			if differences++; differences == 25 {
				t.Fatal("stopped after 25 differences")
			}
		}
	}
	t.Logf("%d requests, %d of them successful: %d differences; %d times the two picked different ones of several complaints",
		calls, succeeded, differences, reordered)
	if succeeded < calls/3 || reordered > calls/20 {
		t.Error("too few requests succeeded, or too many answers were let pass, for this run to mean much")
	}
}

func bothTables(t *testing.T, db *DB, other peer) {
	t.Helper()
	for _, create := range []string{createHash, `{"TableName":"comp","AttributeDefinitions":[{"AttributeName":"pk",` +
		`"AttributeType":"S"},{"AttributeName":"sk","AttributeType":"N"}],"KeySchema":[{"AttributeName":"pk",` +
		`"KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],"BillingMode":"PAY_PER_REQUEST"}`, createIndexed} {
		name := regexp.MustCompile(`"TableName":"\w+"`).FindString(create)
		other.post(t, "DeleteTable", "{"+name+"}")
		if status, reply := other.post(t, "CreateTable", create); status != 200 {
			t.Fatal(reply)
		}
		must(t, db, "CreateTable", create)
	}
}

// TestPagesAsDynamoDBLocal compares where pages of 1 MB end and what they cost, which hangs on the sizes of items.
func TestPagesAsDynamoDBLocal(t *testing.T) {
	url := os.Getenv(peerEnv)
	if url == "" {
		t.Skipf("SKIPPED, NOT PASSED: %s names no DynamoDB Local to compare with; make peers fetches one and runs this", peerEnv)
	}
	db, other := newDB(t, Options{}), peer{url}
	bothTables(t, db, other)
	for i := range 60 {
		v := rapid.Custom(func(t *rapid.T) string { return string(item.AppendMap(nil, drawMembers(t, 3, drawName))) }).Example(i)
		it := fmt.Sprintf(`{"pk":{"S":"k"},"sk":{"N":"%d.%d"},"long":{"S":"%s"},"m":{"M":%s}}`,
			i, i, strings.Repeat("x", i*i*37%90_000), v)
		body := `{"TableName":"comp","Item":` + it + `,"ReturnConsumedCapacity":"TOTAL"}`
		status, reply := other.post(t, "PutItem", body)
		if why := compare(operationCall{op: "PutItem", body: body}, 200, must(t, db, "PutItem", body), status, reply); why != "" {
			t.Errorf("%s %s", it, why)
		}
	}
	for _, rest := range []string{"", `,"ScanIndexForward":false`, `,"ConsistentRead":true,"Limit":17`,
		`,"Select":"COUNT","Limit":60`, `,"Limit":20`} {
		start := ""
		for page := range 50 {
			body := `{"TableName":"comp","KeyConditionExpression":"pk = :p","ExpressionAttributeValues":{":p":{"S":"k"}},` +
				`"ReturnConsumedCapacity":"TOTAL"` + rest + start + `}`
			mine := must(t, db, "Query", body)
			status, reply := other.post(t, "Query", body)
			if why := compare(operationCall{op: "Query", body: body}, 200, mine, status, reply); why != "" {
				t.Errorf("page %d of %s%s: %.2000s", page, rest, start, why[max(0, len(why)-600):])
				break
			}
			var p struct{ LastEvaluatedKey json.RawMessage }
			if err := json.Unmarshal([]byte(mine), &p); err != nil {
				t.Fatal(err)
			}
			if p.LastEvaluatedKey == nil {
				break
			}
			start = `,"ExclusiveStartKey":` + string(p.LastEvaluatedKey)
		}
	}
}

// peerSays turns a message of DynamoDB Local into the service's, which is ours, where they differ.
var peerSays = []struct {
	local *regexp.Regexp
	ours  *regexp.Regexp
}{
	{regexp.MustCompile(`^One of the required keys was not given a value$`),
		regexp.MustCompile(`^(One or more parameter values were invalid: Missing the key \w+ in the item|` + saysSchema + `)$`)},
	{regexp.MustCompile(`^Item to put in PutItem cannot be null$`), regexp.MustCompile(`: Missing the key \w+ in the item$`)},
	{regexp.MustCompile(`^The list of keys in RequestItems for BatchGetItem may not contain null or empty values`),
		regexp.MustCompile(`^` + saysSchema + `$`)},
	{regexp.MustCompile(`^The number of conditions on the keys is invalid$`), regexp.MustCompile(`^` + saysSchema + `$`)},
	{regexp.MustCompile(`^One or more parameter values were invalid: Type mismatch for key$`),
		regexp.MustCompile(`^(One or more parameter values were invalid: Type mismatch for key \w+ expected: \w actual: \w+|` +
			saysSchema + `)$`)},
	{regexp.MustCompile(`^(Exclusive Start Key must have same size as table's key schema|Type mismatch for attribute to update|` +
		`The provided starting key is invalid)$`), regexp.MustCompile(`^The provided starting key is invalid: ` + saysSchema + `$`)},
	// It names the last path of the expression instead of the second of the pair.
	{regexp.MustCompile(`Two document paths (overlap|conflict) with each other`),
		regexp.MustCompile(`Two document paths (overlap|conflict) with each other`)},
	// Of a ConditionCheck it says it with a full stop.
	{regexp.MustCompile(`^The conditional request failed\.$`), regexp.MustCompile(`^The conditional request failed$`)},
	// It has no words for a token that was used for another transaction.
	{regexp.MustCompile(`^$`), regexp.MustCompile(`^The ClientRequestToken was used with other TransactItems`)},
	// It does not tell which attribute of which index.
	{regexp.MustCompile(`^(One or more parameter values were invalid: Type mismatch for Index Key|Invalid attribute value type)$`),
		regexp.MustCompile(`: Type mismatch for Index Key \w+ Expected: \w+ Actual: \w+ IndexName: \w+$`)},
	{regexp.MustCompile(`^The provided starting key is invalid$`), regexp.MustCompile(`^The provided starting key is invalid$`)},
	// Of a sum or difference.
	{regexp.MustCompile(`^DynamoDB only supports precision up to 38 digits$`),
		regexp.MustCompile(`^Attempting to store more than 38 significant digits in a Number$`)},
	// It looks at the key before the expressions.
	{regexp.MustCompile(`^(The number of conditions on the keys is invalid|Invalid attribute value type|One of the required keys was not ` +
		`given a value|One or more parameter values were invalid: Type mismatch for (key|Index Key))$`),
		regexp.MustCompile(`^(Invalid \w+Expression: |Value provided in ExpressionAttribute|` + saysSchema + `$|One or more parameter ` +
			`values were invalid: Type mismatch for key|The provided starting key is invalid: ` + saysSchema + `$)`)},
	{regexp.MustCompile(`^The provided starting key does not match the range key predicate$`),
		regexp.MustCompile(`^The provided starting key is outside query boundaries based on provided conditions$`)},
}

// orders are complaints of which one request may earn several; the two then need not pick the same one. A run counts how
// often that happened.
var orders = []*regexp.Regexp{
	regexp.MustCompile(`^(The document path provided in the update expression is invalid for update|An operand in the update ` +
		`expression has an incorrect data type|The provided expression refers to an attribute that does not exist in the item)$`),
	regexp.MustCompile(`^Invalid UpdateExpression: Incorrect operand type for operator or function; operator: (ADD|DELETE), `),
	regexp.MustCompile(`^(Invalid \w+Expression: |Query condition missed |Query key condition |One or more parameter values were ` +
		`invalid: Condition parameter type |Filter Expression can only |Value provided in Expression|ExpressionAttribute\w+ can only )`),
	regexp.MustCompile(`^One or more parameter values (were invalid: Type mismatch for Index Key|are not valid\. )`),
	regexp.MustCompile(`^(Invalid \w+Expression: |Value provided in Expression|Consistent reads are not |One or more parameter values were ` +
		`invalid: (Select type ALL_ATTRIBUTES is not|Secondary index \w+ does not|Global secondary index \w+ does not)|The provided starting key)`),
	regexp.MustCompile(`^(Transaction request cannot include multiple operations|Invalid attribute value type|The number of conditions on ` +
		`the keys|One of the required keys|Value provided in Expression|ExpressionAttribute\w+ can only |Invalid \w+Expression: |One or more ` +
		`parameter values were invalid: (ComparisonOperator |AttributeValues inside |Invalid number of argument))`),
	regexp.MustCompile(`^(Provided list of item keys contains duplicates|Invalid attribute value type|The number of conditions on ` +
		`the keys is invalid|One of the required keys|` + saysSchema + `$|One or more parameter values were invalid: (Missing|Type mismatch))`),
}

const anotherOrder = "another of several complaints"

// compare tells how two answers to one request differ, "" when they do not.
func compare(call operationCall, status int, reply string, otherStatus int, otherReply string) string {
	if status != otherStatus {
		return "status"
	}
	var a, b map[string]any
	if json.Unmarshal([]byte(reply), &a) != nil || json.Unmarshal([]byte(otherReply), &b) != nil {
		return "not JSON"
	}
	if status != http.StatusOK {
		return compareErrors(a, b)
	}
	if call.nested {
		delete(a, "Attributes") // DynamoDB Local answers with whole attributes, the service with the parts that were named
		delete(b, "Attributes")
	}
	if strings.HasPrefix(call.op, "Batch") || strings.HasPrefix(call.op, "Transact") {
		delete(a, "ConsumedCapacity")
		delete(b, "ConsumedCapacity")
	}
	if call.indexed {
		uncharged(a)
		uncharged(b)
	}
	if call.ties {
		if why := compareTies(call, a, b); why != "" {
			return why
		}
	}
	for _, m := range []map[string]any{a, b} {
		if call.op == "Query" && m["ScannedCount"] == 0.0 {
			delete(m, "ConsumedCapacity") // DynamoDB Local charges nothing for finding nothing
		}
	}
	if x, y := canon(call.op, a), canon(call.op, b); x != y {
		return "reply:\n    " + x + "\n    " + y
	}
	return ""
}

func compareErrors(a, b map[string]any) string {
	ours, theirs := message(a), message(b)
	if a["__type"] == nsDynamo+"TransactionCanceledException" {
		return compareCancelled(a, b)
	}
	if ours == saysTwice && b["__type"] == nsDynamo+"TransactionCanceledException" {
		return "" // it judges conditions before it sees that an item is named twice
	}
	if b["__type"] == nsDynamo+"TransactionCanceledException" && eitherOrder(ours, theirs) {
		return anotherOrder // of two members of a TransactGetItems
	}
	if a["__type"] != b["__type"] {
		return "error"
	}
	if ours == theirs {
		if x, y := canon("", a["Item"]), canon("", b["Item"]); x != y {
			return "item of the failed condition:\n    " + x + "\n    " + y
		}
		return ""
	}
	if sameWords(ours, theirs) {
		return ""
	}
	if eitherOrder(ours, theirs) {
		return anotherOrder
	}
	return "message"
}

// eitherOrder tells whether the two complaints are such that one request may earn both.
func eitherOrder(ours, theirs string) bool {
	return slices.ContainsFunc(orders, func(order *regexp.Regexp) bool {
		return order.MatchString(ours) && order.MatchString(theirs)
	})
}

// sameWords tells whether DynamoDB Local says the same as we do, or what it is known to say in its place.
func sameWords(ours, theirs string) bool {
	for _, s := range peerSays {
		if s.local.MatchString(theirs) && s.ours.MatchString(ours) {
			return true
		}
	}
	return ours == theirs
}

// canon renders a reply so that equal ones are equal bytes: numbers in normal form, sets sorted, members by name, and
// the items of a scan or batch sorted, since their order is nobody's promise.
func canon(op string, v any) string {
	var out bytes.Buffer
	writeCanon(&out, op, v)
	return out.String()
}

func writeCanon(out *bytes.Buffer, op string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if n, ok := v["N"].(string); ok && len(v) == 1 {
			if normal, err := item.ParseNumber([]byte(n)); err == nil {
				fmt.Fprintf(out, `{"N":%q}`, normal)
				return
			}
		}
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		out.WriteByte('{')
		for _, name := range names {
			fmt.Fprintf(out, "%q:", name)
			list, isList := v[name].([]any)
			sorted := name == "SS" || name == "NS" || name == "BS" || op == "Scan" && name == "Items" ||
				op == "BatchGetItem" && isList
			if sorted && isList {
				writeSorted(out, op, name, list)
			} else {
				writeCanon(out, op, v[name])
			}
			out.WriteByte(',')
		}
		out.WriteByte('}')
	case []any:
		out.WriteByte('[')
		for _, e := range v {
			writeCanon(out, op, e)
			out.WriteByte(',')
		}
		out.WriteByte(']')
	default:
		text, _ := json.Marshal(v)
		out.Write(text)
	}
}

func writeSorted(out *bytes.Buffer, op, name string, list []any) {
	parts := make([]string, len(list))
	for i, e := range list {
		if s, ok := e.(string); ok && name == "NS" {
			if normal, err := item.ParseNumber([]byte(s)); err == nil {
				e = string(normal)
			}
		}
		parts[i] = canon(op, e)
	}
	slices.SortFunc(parts, cmp.Compare[string])
	fmt.Fprint(out, parts)
}
