//go:build peers

package peers_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type (
	backedUp struct {
		Items  int64
		Kind   string
		By     string
		Untold []struct{ Setting, Reason string }
	}
	restoredTable struct {
		Proof    string
		Written  int64
		Settings []string
		Unset    []struct{ Setting, Reason string }
	}
)

// ask sends a request to a service of AWS's kind, as no SDK of ours would.
func ask(t *testing.T, endpoint, service, target, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	version := "1.0"
	if service != "dynamodb" {
		version = "1.1"
	}
	r.Header.Set("Content-Type", "application/x-amz-json-"+version)
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("X-Amz-Date", "20250101T000000Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+accessKey+"/20250101/us-east-1/"+service+"/aws4_request, SignedHeaders=host;x-amz-date, Signature=0")
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	said, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s %v", target, body, reply.Status, said, err)
	}
	return string(said)
}

// backupAt makes a table with indexes, a stream and TTL at a counterpart, backs it up by scan, restores it there and in our local
// world, and wants all equal. lacks are the settings that the counterpart cannot tell.
func backupAt(t *testing.T, p place, local place, endpoint string, lacks ...string) {
	t.Helper()
	const n = 1500
	ask(t, endpoint, "dynamodb", "DynamoDB_20120810.CreateTable", `{"TableName":"Kept","AttributeDefinitions":[{"AttributeName":"orderId","AttributeType":"S"},{"AttributeName":"customer","AttributeType":"S"}],
		"KeySchema":[{"AttributeName":"orderId","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"},
		"GlobalSecondaryIndexes":[{"IndexName":"byCustomer","KeySchema":[{"AttributeName":"customer","KeyType":"HASH"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}]}`)
	ask(t, endpoint, "dynamodb", "DynamoDB_20120810.UpdateTimeToLive", `{"TableName":"Kept","TimeToLiveSpecification":{"AttributeName":"neverThere","Enabled":true}}`)
	name, _ := writeItems(t, p.dir, "orders", n)
	var in imported
	p.ferry(t, &in, "import", name, "dynamodb://Kept", "--from-format", "dynamodb-json", "--write-units", "unlimited")
	var kept backedUp
	dest := filepath.Join(p.dir, "kept")
	p.ferry(t, &kept, "backup", "dynamodb://Kept", dest, "--scan", "--read-units", "unlimited")
	if kept.Items != n || kept.Kind != "base" || kept.By != "scan" {
		t.Fatalf("backed up %+v", kept)
	}
	for _, u := range kept.Untold {
		if !slices.Contains(lacks, u.Setting) {
			t.Errorf("%s is not told: %s", u.Setting, u.Reason)
		}
	}
	for _, to := range []place{p, local} {
		var back restoredTable
		to.ferry(t, &back, "restore", dest, "dynamodb://KeptAgain", "--write-units", "unlimited", "--read-units", "unlimited", "--state", filepath.Join(to.dir, "restore"))
		if back.Proof != "equal" || back.Written != n || strings.Join(back.Settings, ",") != "indexes,ttl,stream" {
			t.Errorf("restored %+v", back)
		}
		equal(t, to, n, filepath.Join(dest, "scans", only(t, filepath.Join(dest, "scans", "*"))), "dynamodb://KeptAgain")
	}
	equal(t, p, n, "dynamodb://Kept", "dynamodb://KeptAgain")
}

// only is the name of the one file that a pattern finds.
func only(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %q, %v", pattern, found, err)
	}
	return filepath.Base(found[0])
}

// A backup of a table in DynamoDB Local comes back there and in our world.
func TestBackupDynamoDBLocal(t *testing.T) {
	endpoint := startDynamoDBLocal(t)
	local := startLocal(t)
	p := local.with(endpoint, "")
	p.dir = t.TempDir()
	backupAt(t, p, local, endpoint, "pitr", "policy", "tags")
}

// Autoscaling that moto's Application Auto Scaling has of a table comes back for another.
func TestBackupAutoscaling(t *testing.T) {
	endpoint := startMoto(t)
	p := strangers(t, endpoint, endpoint)
	p.env = append(p.env, "AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING="+endpoint)
	name, n := writeItems(t, p.dir, "orders", 50)
	var in imported
	p.ferry(t, &in, "import", name, "dynamodb://Scaled", "--from-format", "dynamodb-json", "--create", "--key", keyOf["orders"], "--billing", "PROVISIONED",
		"--provision-read", "500", "--provision-write", "500", "--write-units", "unlimited")
	of := `"ServiceNamespace":"dynamodb","ResourceId":"table/Scaled","ScalableDimension":"dynamodb:table:ReadCapacityUnits"`
	ask(t, endpoint, "application-autoscaling", "AnyScaleFrontendService.RegisterScalableTarget", `{`+of+`,"MinCapacity":5,"MaxCapacity":500}`)
	ask(t, endpoint, "application-autoscaling", "AnyScaleFrontendService.PutScalingPolicy", `{`+of+`,"PolicyName":"seventy","PolicyType":"TargetTrackingScaling",
		"TargetTrackingScalingPolicyConfiguration":{"TargetValue":70.0,"PredefinedMetricSpecification":{"PredefinedMetricType":"DynamoDBReadCapacityUtilization"}}}`)
	ask(t, endpoint, "application-autoscaling", "AnyScaleFrontendService.PutScheduledAction", `{`+of+`,"ScheduledActionName":"night","Schedule":"cron(0 0 * * ? *)","ScalableTargetAction":{"MinCapacity":1}}`)
	dest := filepath.Join(p.dir, "kept")
	var kept backedUp
	p.ferry(t, &kept, "backup", "dynamodb://Scaled", dest, "--scan")
	var back restoredTable
	p.ferry(t, &back, "restore", dest, "dynamodb://ScaledAgain")
	if back.Proof != "equal" || back.Written != n || !slices.Contains(back.Settings, "autoscaling") {
		t.Errorf("restored %+v of %+v", back, kept)
	}
	for operation, want := range map[string]string{"DescribeScalableTargets": `"MaxCapacity":500`, "DescribeScalingPolicies": `"seventy"`, "DescribeScheduledActions": `"night"`} {
		said := ask(t, endpoint, "application-autoscaling", "AnyScaleFrontendService."+operation, `{"ServiceNamespace":"dynamodb"}`)
		var lists map[string]any
		if err := json.Unmarshal([]byte(said), &lists); err != nil {
			t.Fatal(err)
		}
		plain := strings.ReplaceAll(said, " ", "")
		if !strings.Contains(plain, `"ResourceId":"table/ScaledAgain"`) || strings.Count(plain, want) != 2 {
			t.Errorf("%s: %s", operation, said)
		}
	}
}
