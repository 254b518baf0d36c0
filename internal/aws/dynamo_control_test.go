package aws

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/local"
)

// scaler is an Application Auto Scaling that keeps what it is given, one thing a page.
type scaler struct {
	kept  map[string][]json.RawMessage // by the name of the list
	asked []string
}

func (s *scaler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if !strings.Contains(r.Header.Get("Authorization"), "/application-autoscaling/aws4_request") || !strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AnyScaleFrontendService.") {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	s.asked = append(s.asked, operation+" "+string(body))
	lists := map[string]string{"RegisterScalableTarget": "ScalableTargets", "PutScalingPolicy": "ScalingPolicies", "PutScheduledAction": "ScheduledActions"}
	if list := lists[operation]; list != "" {
		s.kept[list] = append(s.kept[list], body)
		fmt.Fprint(w, "{}")
		return
	}
	list := strings.TrimPrefix(operation, "Describe")
	var ask struct {
		ResourceId  string
		ResourceIds []string
		NextToken   string
	}
	_ = json.Unmarshal(body, &ask)
	var found []json.RawMessage
	for _, raw := range s.kept[list] {
		var of struct{ ResourceId string }
		_ = json.Unmarshal(raw, &of)
		if of.ResourceId == ask.ResourceId || len(ask.ResourceIds) > 0 && of.ResourceId == ask.ResourceIds[0] {
			found = append(found, raw)
		}
	}
	at := len(ask.NextToken)
	reply := map[string]any{list: []json.RawMessage{}}
	if at < len(found) {
		reply[list] = found[at : at+1]
	}
	if at+1 < len(found) {
		reply["NextToken"] = strings.Repeat("x", at+1)
	}
	_ = json.NewEncoder(w).Encode(reply)
}

// Autoscaling is read by table and index, page by page, and put for a table of another name, without what is the service's own.
func TestAutoscaling(t *testing.T) {
	s := &scaler{kept: map[string][]json.RawMessage{
		"ScalableTargets": {json.RawMessage(`{"ServiceNamespace":"dynamodb","ResourceId":"table/Orders","ScalableDimension":"dynamodb:table:ReadCapacityUnits","MinCapacity":5,"MaxCapacity":50,"RoleARN":"arn:x","CreationTime":1,"ScalableTargetARN":"y","SuspendedState":{"ScheduledScalingSuspended":true}}`),
			json.RawMessage(`{"ServiceNamespace":"dynamodb","ResourceId":"table/Orders","ScalableDimension":"dynamodb:table:WriteCapacityUnits","MinCapacity":1,"MaxCapacity":9}`),
			json.RawMessage(`{"ServiceNamespace":"dynamodb","ResourceId":"table/Orders/index/byDay","ScalableDimension":"dynamodb:index:ReadCapacityUnits","MinCapacity":2,"MaxCapacity":3}`)},
		"ScalingPolicies":  {json.RawMessage(`{"PolicyARN":"z","PolicyName":"p","ServiceNamespace":"dynamodb","ResourceId":"table/Orders","ScalableDimension":"dynamodb:table:ReadCapacityUnits","PolicyType":"TargetTrackingScaling","TargetTrackingScalingPolicyConfiguration":{"TargetValue":70.0},"Alarms":[]}`)},
		"ScheduledActions": {json.RawMessage(`{"ScheduledActionName":"night","ScheduledActionARN":"q","ServiceNamespace":"dynamodb","Schedule":"cron(0 0 * * ? *)","ResourceId":"table/Orders","ScalableDimension":"dynamodb:table:ReadCapacityUnits","ScalableTargetAction":{"MinCapacity":1}}`)},
	}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING", server.URL)
	d := localTables(t, local.Options{})
	orders := &dynamo.Table{Name: "Orders", Provisioned: true, Raw: json.RawMessage(`{"GlobalSecondaryIndexes":[{"IndexName":"byDay"}]}`)}
	var told dynamo.Settings
	if err := d.readScaling(t.Context(), orders, &told); err != nil {
		t.Fatal(err)
	}
	if n := []int{len(told.Scaling.Targets), len(told.Scaling.Policies), len(told.Scaling.Scheduled)}; !reflect.DeepEqual(n, []int{3, 1, 1}) {
		t.Errorf("targets, policies, schedules: %v", n)
	}
	s.kept, s.asked = map[string][]json.RawMessage{}, nil
	def := &dynamo.Definition{Settings: &told}
	if err := d.Set(t.Context(), &dynamo.Table{Name: "Again"}, def, dynamo.Scaling); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`RegisterScalableTarget {"MaxCapacity":50,"MinCapacity":5,"ResourceId":"table/Again","ScalableDimension":"dynamodb:table:ReadCapacityUnits","ServiceNamespace":"dynamodb","SuspendedState":{"ScheduledScalingSuspended":true}}`,
		`RegisterScalableTarget {"MaxCapacity":9,"MinCapacity":1,"ResourceId":"table/Again","ScalableDimension":"dynamodb:table:WriteCapacityUnits","ServiceNamespace":"dynamodb"}`,
		`RegisterScalableTarget {"MaxCapacity":3,"MinCapacity":2,"ResourceId":"table/Again/index/byDay","ScalableDimension":"dynamodb:index:ReadCapacityUnits","ServiceNamespace":"dynamodb"}`,
		`PutScalingPolicy {"PolicyName":"p","PolicyType":"TargetTrackingScaling","ResourceId":"table/Again","ScalableDimension":"dynamodb:table:ReadCapacityUnits","ServiceNamespace":"dynamodb","TargetTrackingScalingPolicyConfiguration":{"TargetValue":70.0}}`,
		`PutScheduledAction {"ResourceId":"table/Again","ScalableDimension":"dynamodb:table:ReadCapacityUnits","ScalableTargetAction":{"MinCapacity":1},"Schedule":"cron(0 0 * * ? *)","ScheduledActionName":"night","ServiceNamespace":"dynamodb"}`,
	}
	if !reflect.DeepEqual(s.asked, want) {
		t.Errorf("put\n%s\nwant\n%s", strings.Join(s.asked, "\n"), strings.Join(want, "\n"))
	}
}

// Where DynamoDB is not AWS's own and nobody said where its autoscaling is, a provisioned table's is untold, and cannot be set.
func TestNoAutoscaling(t *testing.T) {
	d := localTables(t, local.Options{})
	var told dynamo.Settings
	if err := d.readScaling(t.Context(), &dynamo.Table{Name: "T", Provisioned: true}, &told); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("read: %v", err)
	}
	if err := d.readScaling(t.Context(), &dynamo.Table{Name: "T"}, &told); err != nil {
		t.Errorf("on demand there is none to tell: %v", err)
	}
	def := &dynamo.Definition{Settings: &dynamo.Settings{Scaling: &dynamo.AutoScaling{Targets: []json.RawMessage{[]byte("{}")}}}}
	if err := d.Set(t.Context(), &dynamo.Table{Name: "T"}, def, dynamo.Scaling); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("set: %v", err)
	}
}

// CreateTable's request is made of DescribeTable's answer: what a table on demand or a provisioned one takes, no attribute that
// no key uses, and without what was left away.
func TestCreation(t *testing.T) {
	table := `{"TableName":"Old","AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"},{"AttributeName":"b","AttributeType":"N"}],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],
		"GlobalSecondaryIndexes":[{"IndexName":"i","KeySchema":[{"AttributeName":"b","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"},"ProvisionedThroughput":{"ReadCapacityUnits":3,"WriteCapacityUnits":4,"NumberOfDecreasesToday":1},
			"OnDemandThroughput":{"MaxReadRequestUnits":-1,"MaxWriteRequestUnits":7},"WarmThroughput":{"ReadUnitsPerSecond":1}}],
		"OnDemandThroughput":{"MaxReadRequestUnits":10,"MaxWriteRequestUnits":-1},"TableClassSummary":{"TableClass":"STANDARD_INFREQUENT_ACCESS"},"SSEDescription":{"Status":"ENABLED","SSEType":"KMS","KMSMasterKeyArn":"k"}}`
	for _, c := range []struct {
		billing string
		without []dynamo.Setting
		want    string
	}{
		{"PAY_PER_REQUEST", nil, `{"TableName":"New","AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"},{"AttributeName":"b","AttributeType":"N"}],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST",` +
			`"OnDemandThroughput":{"MaxReadRequestUnits":10},"GlobalSecondaryIndexes":[{"IndexName":"i","KeySchema":[{"AttributeName":"b","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"},"OnDemandThroughput":{"MaxWriteRequestUnits":7}}],` +
			`"TableClass":"STANDARD_INFREQUENT_ACCESS","SSESpecification":{"Enabled":true,"SSEType":"KMS","KMSMasterKeyId":"k"}}`},
		{"PROVISIONED", []dynamo.Setting{dynamo.Encryption, dynamo.Class}, `{"TableName":"New","AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"},{"AttributeName":"b","AttributeType":"N"}],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],"BillingMode":"PROVISIONED",` +
			`"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":2},"GlobalSecondaryIndexes":[{"IndexName":"i","KeySchema":[{"AttributeName":"b","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"},"ProvisionedThroughput":{"ReadCapacityUnits":3,"WriteCapacityUnits":4}}]}`},
		{"PAY_PER_REQUEST", dynamo.SettingsMade, `{"TableName":"New","AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"}],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST"}`},
	} {
		def := dynamo.Definition{Name: "New", BillingMode: c.billing, ReadUnits: 1, WriteUnits: 2, Table: json.RawMessage(table)}
		for _, s := range c.without {
			def = def.Without(s)
		}
		made, err := newCreation(&def)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := json.Marshal(made); string(got) != c.want {
			t.Errorf("%s without %v:\n%s\nwant\n%s", c.billing, c.without, got, c.want)
		}
	}
}

// A policy follows its table to another name, and no other table whose name begins like it.
func TestRenamePolicy(t *testing.T) {
	const from, to = "arn:aws:dynamodb:r:1:table/T", "arn:aws:dynamodb:r:1:table/New"
	for in, want := range map[string]string{
		`{"Resource":"` + from + `"}`:                       `{"Resource":"` + to + `"}`,
		`{"Resource":["` + from + `/index/*","x"]}`:         `{"Resource":["` + to + `/index/*","x"]}`,
		`{"Resource":["` + from + `2","` + from + `-b/x"]}`: `{"Resource":["` + from + `2","` + from + `-b/x"]}`,
	} {
		if got := renamePolicy(in, from, to); got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
}
