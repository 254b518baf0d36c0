package cli

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/local"
)

// A log that was captured from a Kinesis stream, with doubles and neighbours out of order as the service allows them: replayed, it tells the
// table; an archive has what TTL deleted, and nothing that others did.
func TestKinesisLog(t *testing.T) {
	for _, precision := range []string{"MICROSECOND", "MILLISECOND"} {
		t.Run(precision, func(t *testing.T) {
			if precision == "MICROSECOND" && os.Getenv("DYNAFERRY_LONG") == "" {
				t.Skip("the simpler case; DYNAFERRY_LONG=1 runs it")
			}
			a := newAway(t, local.Options{KinesisDisorder: true, TTLInterval: 20 * time.Millisecond})
			t.Setenv("AWS_ENDPOINT_URL_KINESIS", a.service.url)
			a.put("Orders", "-a", "-b")
			a.service.must("UpdateTimeToLive", map[string]any{"TableName": "Orders", "TimeToLiveSpecification": map[string]any{"Enabled": true, "AttributeName": "exp"}}, nil)
			a.service.must("CreateStream", map[string]any{"StreamName": "changes", "ShardCount": 2}, nil)
			a.service.must("EnableKinesisStreamingDestination", map[string]any{"TableName": "Orders", "StreamArn": "arn:aws:kinesis:us-east-1:000000000000:stream/changes",
				"EnableKinesisStreamingConfiguration": map[string]any{"ApproximateCreationDateTimePrecision": precision}}, nil)
			r := rand.New(rand.NewPCG(5, uint64(len(precision))))
			ttl := map[string]bool{}
			name := ""
			for i := range 600 {
				if r.IntN(3) > 0 { // else the same once more, as a rule within the same millisecond
					name = fmt.Sprintf("k%d", r.IntN(12))
				}
				switch {
				case i%100 == 50:
					ttl[fmt.Sprintf("t%d", i)] = true
					a.expires("Orders", fmt.Sprintf("t%d", i), 0)
				case r.IntN(4) == 0:
					a.put("Orders", "-"+name)
				default:
					a.put("Orders", fmt.Sprintf("%s=%d", name, i))
				}
			}
			for name := range ttl {
				a.expired("Orders", name)
			}
			a.run(0, "follow", "kinesis://changes", "--log", "s3://lake/log", "--key", "id", "--exit-when-idle", "1s")
			a.run(0, "import", writeItems(a.t, `{"id":"none"}`), "dynamodb://Copy", "--create", "--key", "id")
			a.put("Copy", "-none")
			a.run(0, "replay", "s3://lake/log", "dynamodb://Copy", "--overwrite")
			a.says(a.run(0, "verify", "dynamodb://Orders", "dynamodb://Copy"), "equal")
			out := a.run(0, "archive", "s3://lake/log", "s3://lake/archive")
			a.says(out, fmt.Sprintf("items        %d\n", len(ttl)))
			a.run(0, "import", "s3://lake/archive", "dynamodb://Archived", "--create", "--key", "id")
			for name := range ttl {
				var got struct{ Item map[string]any }
				a.service.must("GetItem", map[string]any{"TableName": "Archived", "Key": map[string]any{"id": map[string]any{"S": name}}}, &got)
				if got.Item["exp"] == nil {
					t.Errorf("%s is not archived: %v", name, got)
				}
			}
			if strings.Contains(a.run(0, "archive", "s3://lake/log", "s3://lake/archive"), "items        1") {
				t.Error("archived again")
			}
		})
	}
}
