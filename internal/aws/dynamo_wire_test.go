package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// answering serves every request with one function.
func answering(t *testing.T, answer http.HandlerFunc) *DynamoDB {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return tables(t, server.URL)
}

func reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(body))))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func parsed(t testing.TB, text string) item.Item {
	t.Helper()
	b := &item.Batch{Src: item.WithSlack([]byte(text))}
	if err := ddbjson.Parse(b, 0); err != nil {
		t.Fatal(err)
	}
	return b.Item(0)
}

// TestErrors: what the service answers and what it becomes.
func TestErrors(t *testing.T) {
	coral := func(code, message, rest string) string {
		return fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":%q%s}`, code, message, rest)
	}
	reasons := func(reason string) string {
		return `,"ThrottlingReasons":[{"reason":"` + reason + `","resource":"arn:aws:dynamodb:us-east-1:1:table/T"}]`
	}
	for _, c := range []struct {
		status int
		body   string
		kind   fault.Kind
		limit  dynamo.Limit
		text   string
		hint   string
	}{
		{400, coral("ProvisionedThroughputExceededException", "slow", reasons("TableReadKeyRangeThroughputExceeded")),
			fault.Throttled, dynamo.KeyRange, "slow", "hot"},
		{400, coral("ProvisionedThroughputExceededException", "slow", reasons("IndexWriteProvisionedThroughputExceeded")),
			fault.Throttled, dynamo.Provisioned, "slow", "--write-units"},
		{400, coral("ProvisionedThroughputExceededException", "slow", ""), fault.Throttled, dynamo.Provisioned, "slow", ""},
		{400, coral("ThrottlingException", "slow", reasons("TableWriteMaxOnDemandThroughputExceeded")), fault.Throttled,
			dynamo.MaxOnDemand, "slow", "MaxWriteRequestUnits"},
		{400, coral("ThrottlingException", "Rate exceeded", ""), fault.Throttled, dynamo.Account, "Rate exceeded", "quota"},
		{400, coral("RequestLimitExceeded", "slow", reasons("TableReadAccountLimitExceeded")), fault.Throttled,
			dynamo.Account, "slow", "quota"},
		{400, coral("ReplicatedWriteConflictException", "again", ""), fault.Throttled, dynamo.Replication, "again", ""},
		{400, coral("ValidationException", "One or more parameter values were invalid", ""), fault.User, "",
			"=One or more parameter values were invalid", ""},
		{400, coral("ResourceNotFoundException", "Requested resource not found", ""), fault.NotFound, "", "table T", "list-tables"},
		{400, coral("ConditionalCheckFailedException", "The conditional request failed", ""), fault.Conflict, "",
			"=the conditional request failed", ""},
		{400, `{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"The security token is invalid"}`,
			fault.Permission, "", "security token", "AWS_ACCESS_KEY_ID"},
		{400, `{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"expired"}`, fault.Permission, "",
			"expired", "renew"},
		{400, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"User is not authorized"}`,
			fault.Permission, "", "not authorized", "allow"},
		{400, coral("LimitExceededException", "Too many tables", ""), fault.Limit, "", "Too many tables", ""},
		{500, coral("InternalServerError", "Internal server error", ""), fault.Unavailable, "", "Internal server error", ""},
		{503, "<html>busy</html>", fault.Unavailable, "", "", ""},
		{413, "", fault.User, "", "larger", ""},
		{403, "", fault.Permission, "", "", "allow"},
		{429, "", fault.Throttled, dynamo.Provisioned, "", ""},
	} {
		calls := 0
		d := answering(t, func(w http.ResponseWriter, _ *http.Request) { calls++; reply(w, c.status, c.body) })
		_, err := d.Write(t.Context(), &dynamo.WriteRequest{Table: "T", Item: parsed(t, `{"a":{"S":"b"}}`)})
		var throttle *dynamo.ThrottleError
		limit := dynamo.Limit("")
		if errors.As(err, &throttle) {
			limit = throttle.Limit()
			if strings.Contains(c.body, "arn:") && throttle.ResourceARN() != "arn:aws:dynamodb:us-east-1:1:table/T" {
				t.Errorf("resource %q", throttle.ResourceARN())
			}
		}
		same := err != nil && strings.Contains(err.Error(), c.text)
		if exact, ok := strings.CutPrefix(c.text, "="); ok && err != nil {
			same = err.Error() == exact
		}
		if err == nil || fault.KindOf(err) != c.kind || limit != c.limit || !same ||
			!strings.Contains(fault.HintOf(err), c.hint) {
			t.Errorf("%d %s:\n%v (%s, %s; hint %q)", c.status, c.body, err, fault.KindOf(err), limit, fault.HintOf(err))
		}
		if most := 1 + strings.Count(c.body, "ExpiredToken"); calls > most {
			t.Errorf("%s: %d calls", c.body, calls)
		}
	}
}

const onePage = `{"Count":2,"Items":[{"id":{"S":"a"}},{"id":{"S":"b"}}],"ScannedCount":2,` +
	`"LastEvaluatedKey":{"id":{"S":"b"}},"ConsumedCapacity":{"TableName":"T","CapacityUnits":0.5}}`

// TestBrokenReplies: whatever happens to a reply on its way is Unavailable, never fewer items.
func TestBrokenReplies(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"wrong checksum": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amz-Crc32", "1")
			_, _ = io.WriteString(w, onePage)
		},
		"flipped bit": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(onePage))))
			_, _ = io.WriteString(w, strings.Replace(onePage, `"a"`, `"c"`, 1))
		},
		"flipped bit of a refusal": func(w http.ResponseWriter, _ *http.Request) {
			const refusal = `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}`
			w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(refusal))))
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, strings.Replace(refusal, "Throttling", "Throtvling", 1))
		},
		"cut with its length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(onePage)))
			_, _ = io.WriteString(w, onePage[:50])
		},
		"cut between chunks": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, onePage[:50])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
		"cut, no checksum, no length": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, onePage[:50])
			w.(http.Flusher).Flush()
		},
		"closed at once": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"empty":          func(http.ResponseWriter, *http.Request) {},
		"another thing":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>proxy</html>") },
	} {
		d := answering(t, answer)
		var b item.Batch
		_, err := d.Scan(t.Context(), &dynamo.ScanRequest{Table: "T"}, &b)
		if fault.KindOf(err) != fault.Unavailable || b.Len() != 0 {
			t.Errorf("%s: %v (%s), %d items", name, err, fault.KindOf(err), b.Len())
		}
	}
	d := answering(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, onePage) })
	var b item.Batch
	for range 3 { // the memory of the batch is used again
		page, err := d.Scan(t.Context(), &dynamo.ScanRequest{Table: "T"}, &b)
		if err != nil || b.Len() != 2 || string(page.Last) != `{"id":{"S":"b"}}` || page.Units != 0.5 || page.Scanned != 2 {
			t.Errorf("%+v, %d items, %v", page, b.Len(), err)
		}
	}
}

// TestStall: a try ends at its deadline, as Unavailable.
func TestStall(t *testing.T) {
	d := answering(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := d.Describe(ctx, "T")
	if fault.KindOf(err) != fault.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v (%s)", err, fault.KindOf(err))
	}
}

// TestBodies: the requests we write are JSON and say what was asked.
func TestBodies(t *testing.T) {
	var got []byte
	var target string
	d := answering(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		target = r.Header.Get("X-Amz-Target")
		if int64(len(got)) != r.ContentLength || r.Header.Get("Authorization") == "" || r.Header.Get("Accept-Encoding") == "gzip" {
			t.Errorf("%d bytes of %d, headers %v", len(got), r.ContentLength, r.Header)
		}
		reply(w, 200, `{}`)
	})
	it, key := parsed(t, `{"id":{"S":"q\"é"},"n":{"N":"1"}}`), parsed(t, `{"id":{"S":"x"}}`)
	names, values := map[string]string{"#b": "x", "#a": `"`}, map[string]item.Value{":v": {Type: item.N, Str: "1.0"}}
	var b item.Batch
	for _, c := range []struct {
		call         func() error
		target, body string
	}{
		{func() error {
			_, err := d.Scan(t.Context(), &dynamo.ScanRequest{Table: "T", Segment: 3, Segments: 9, Start: []byte(`{"id":{"S":"x"}}`),
				Limit: 5, Consistent: true, Filter: "#a < :v", Projection: "#b", Names: names, Values: values}, &b)
			return err
		}, "Scan", `{"TableName":"T","ReturnConsumedCapacity":"TOTAL","Segment":3,"TotalSegments":9,` +
			`"ExclusiveStartKey":{"id":{"S":"x"}},"Limit":5,"ConsistentRead":true,"FilterExpression":"#a < :v",` +
			`"ProjectionExpression":"#b","ExpressionAttributeNames":{"#a":"\"","#b":"x"},` +
			`"ExpressionAttributeValues":{":v":{"N":"1"}}}`},
		{func() error {
			_, err := d.BatchWrite(t.Context(), &dynamo.BatchWriteRequest{Table: "T", Puts: []item.Item{it, it},
				Deletes: []item.Item{key}})
			return err
		}, "BatchWriteItem", `{"ReturnConsumedCapacity":"TOTAL","RequestItems":{"T":[{"PutRequest":{"Item":` +
			`{"id":{"S":"q\"é"},"n":{"N":"1"}}}},{"PutRequest":{"Item":{"id":{"S":"q\"é"},"n":{"N":"1"}}}},` +
			`{"DeleteRequest":{"Key":{"id":{"S":"x"}}}}]}}`},
		{func() error {
			_, err := d.Get(t.Context(), "T", []item.Item{key, key}, &b)
			return err
		}, "BatchGetItem", `{"ReturnConsumedCapacity":"TOTAL","RequestItems":{"T":{"ConsistentRead":true,` +
			`"Keys":[{"id":{"S":"x"}},{"id":{"S":"x"}}]}}}`},
		{func() error {
			_, err := d.Write(t.Context(), &dynamo.WriteRequest{Table: "T", Item: key, Delete: true, Condition: "a = :v",
				Values: values})
			return err
		}, "DeleteItem", `{"ReturnConsumedCapacity":"TOTAL","TableName":"T","Key":{"id":{"S":"x"}},` +
			`"ConditionExpression":"a = :v","ReturnValuesOnConditionCheckFailure":"ALL_OLD",` +
			`"ExpressionAttributeValues":{":v":{"N":"1"}}}`},
		{func() error {
			_, err := d.Write(t.Context(), &dynamo.WriteRequest{Table: "T", Item: it})
			return err
		}, "PutItem", `{"ReturnConsumedCapacity":"TOTAL","TableName":"T","Item":{"id":{"S":"q\"é"},"n":{"N":"1"}}}`},
	} {
		if err := c.call(); err != nil {
			t.Error(err)
		}
		if string(got) != c.body || !json.Valid(got) || target != "DynamoDB_20120810."+c.target {
			t.Errorf("%s\n got %s\nwant %s", target, got, c.body)
		}
	}
}

// TestUnprocessed: members come back reordered and reformatted, and are found.
func TestUnprocessed(t *testing.T) {
	left := `{"T":[{"DeleteRequest":{"Key":{"id":{"S":"d1"}}}},{"PutRequest":{"Item":{ "n":{"N":"1.0"}, "id":{"S":"p2"}}}},` +
		`{"PutRequest":{"Item":{"id":{"S":"p\u0030"}}}}]}`
	d := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, `{"UnprocessedItems":`+left+`,"ConsumedCapacity":[{"TableName":"T","CapacityUnits":2.0}]}`)
	})
	req := &dynamo.BatchWriteRequest{Table: "T",
		Puts: []item.Item{parsed(t, `{"id":{"S":"p0"}}`), parsed(t, `{"id":{"S":"p1"}}`),
			parsed(t, `{"id":{"S":"p2"},"n":{"N":"1"}}`)},
		Deletes: []item.Item{parsed(t, `{"id":{"S":"d0"}}`), parsed(t, `{"id":{"S":"d1"}}`)}}
	got, err := d.BatchWrite(t.Context(), req)
	if err != nil || !slices.Equal(got.UnprocessedPuts, []int{0, 2}) || !slices.Equal(got.UnprocessedDeletes, []int{1}) ||
		got.Units != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	left = `{"T":[{"PutRequest":{"Item":{"id":{"S":"stranger"}}}}]}`
	if _, err := d.BatchWrite(t.Context(), req); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a member nobody sent: %v", err)
	}
}

// TestUnprocessedKeys: Get asks again for what did not fit, and gives up where nothing moves.
func TestUnprocessedKeys(t *testing.T) {
	calls := 0
	d := answering(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch calls++; calls {
		case 1:
			reply(w, 200, `{"Responses":{"T":[{"id":{"S":"a"}}]},"UnprocessedKeys":{"T":{"ConsistentRead":true,"Keys":[`+
				`{"id":{"S":"b"}}]}},"ConsumedCapacity":[{"CapacityUnits":1.0}]}`)
		case 2:
			if want := `"RequestItems":{"T":{"ConsistentRead":true,"Keys":[{"id":{"S":"b"}}]}}`; !bytes.Contains(body, []byte(want)) {
				t.Errorf("%s", body)
			}
			reply(w, 200, `{"Responses":{"T":[{"id":{"S":"b"},"l":{"L":[{"N":"1"}]}}]},"UnprocessedKeys":{},`+
				`"ConsumedCapacity":[{"CapacityUnits":2.0}]}`)
		default:
			reply(w, 200, `{"Responses":{"T":[]},"UnprocessedKeys":{"T":{"Keys":[{"id":{"S":"b"}}]}}}`)
		}
	})
	keys := []item.Item{parsed(t, `{"id":{"S":"a"}}`), parsed(t, `{"id":{"S":"b"}}`)}
	var b item.Batch
	page, err := d.Get(t.Context(), "T", keys, &b)
	if err != nil || b.Len() != 2 || page.Units != 3 || string(item.AppendCanonical(nil, b.Item(1))) !=
		`{"id":{"S":"b"},"l":{"L":[{"N":"1"}]}}` {
		t.Errorf("%+v, %d items, %v", page, b.Len(), err)
	}
	if _, err := d.Get(t.Context(), "T", keys, &b); fault.KindOf(err) != fault.Throttled || b.Len() != 0 {
		t.Errorf("%v", err)
	}
}
