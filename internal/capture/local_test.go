package capture_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"dynaferry/internal/aws"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/capture"
	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/local"
)

// place is a local DynamoDB with one table that streams, and a folder for its log.
type place struct {
	t      *testing.T
	url    string
	arn    string
	client feed.Client
	folder *folder.Folder
}

type object = map[string]any

func (p *place) post(target string, body any, reply any) {
	p.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url, bytes.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", target)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s %s: %d %s, %v", target, text, resp.StatusCode, said, err)
	}
	if reply != nil {
		if err := json.Unmarshal(said, reply); err != nil {
			p.t.Fatal(err)
		}
	}
}

func openPlace(t *testing.T) *place {
	t.Helper()
	in, err := local.Start(t.Context(), local.Options{NoSync: true, ShardLife: 1000 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &place{t: t, url: in.URL}
	s, err := aws.Load(t.Context(), aws.Options{Endpoint: in.URL, Region: "us-east-1", AccessKey: "test", SecretKey: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if p.client, err = s.Streams(); err != nil {
		t.Fatal(err)
	}
	if p.folder, err = folder.Open(t.TempDir(), folder.Options{}); err != nil {
		t.Fatal(err)
	}
	var reply struct {
		TableDescription struct{ LatestStreamArn string }
	}
	p.post("DynamoDB_20120810.CreateTable", object{"TableName": "Orders", "BillingMode": "PAY_PER_REQUEST",
		"AttributeDefinitions": []object{{"AttributeName": "pk", "AttributeType": "S"}},
		"KeySchema":            []object{{"AttributeName": "pk", "KeyType": "HASH"}},
		"StreamSpecification":  object{"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"}}, &reply)
	p.arn = reply.TableDescription.LatestStreamArn
	return p
}

// split ends one of the stream's open shards: two take over, or one.
func (p *place) split(r *rand.Rand) {
	p.t.Helper()
	shards, err := p.client.Shards(p.t.Context(), p.arn, "")
	if err != nil {
		p.t.Fatal(err)
	}
	var open []string
	for _, s := range shards {
		if !s.Closed {
			open = append(open, s.ID)
		}
	}
	op := []string{"SplitShard", "RollShard"}[r.IntN(2)]
	p.post("DynaferryLocal."+op, object{"StreamArn": p.arn, "ShardId": open[r.IntN(len(open))]}, nil)
}

// counts reads the log: for each key its changes must count up by one.
func counts(t *testing.T, log *changelog.Log) map[string]int {
	t.Helper()
	next := map[string]int{}
	for group := range log.Groups {
		for batch, err := range log.Read(t.Context(), changelog.Range{Group: group}) {
			if err != nil {
				t.Fatal(err)
			}
			for i := range batch.Parts {
				records, err := batch.Parts[i].Records(nil)
				if err != nil {
					t.Fatal(err)
				}
				for line := range changelog.Lines(records) {
					var r struct {
						Dynamodb struct{ NewImage map[string]map[string]string }
					}
					if err := json.Unmarshal(line, &r); err != nil {
						t.Fatal(err)
					}
					key := r.Dynamodb.NewImage["pk"]["S"]
					if next[key]++; r.Dynamodb.NewImage["n"]["N"] != fmt.Sprint(next[key]) {
						t.Fatalf("key %s: %v where %d was due", key, r.Dynamodb.NewImage, next[key])
					}
				}
			}
		}
	}
	return next
}

// TestLocal: a table is written while its shards split and roll, and capture is stopped and started; the log holds every
// change once and in its item's order.
func TestLocal(t *testing.T) {
	for _, groups := range []uint32{1, 3} {
		t.Run(fmt.Sprint(groups), func(t *testing.T) {
			p := openPlace(t)
			log, err := changelog.Create(t.Context(), p.folder, "log", changelog.Info{Stream: p.arn, Table: "Orders", View: feed.BothImages,
				Keys: item.KeySchema{Hash: item.KeyAttr{Name: "pk", Type: item.S}}, Groups: groups})
			if err != nil {
				t.Fatal(err)
			}
			o := capture.Options{Freshness: time.Second, SegmentEvery: 50 * time.Millisecond, CallsPerSecond: 50, Metrics: new(capture.Metrics)}
			r := rand.New(rand.NewPCG(1, uint64(groups)))
			want := map[string]int{}
			for range 4 {
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- capture.Run(ctx, log, p.client, p.arn, o) }()
				for i := range 120 {
					key := fmt.Sprint(r.IntN(9))
					p.post("DynamoDB_20120810.UpdateItem", object{"TableName": "Orders", "Key": object{"pk": object{"S": key}},
						"UpdateExpression": "ADD n :one", "ExpressionAttributeValues": object{":one": object{"N": "1"}}}, nil)
					want[key]++
					if i%40 == 39 {
						p.split(r)
					}
				}
				stop()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
			total := int64(0)
			for _, n := range want {
				total += int64(n)
			}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- capture.Run(ctx, log, p.client, p.arn, o) }()
			for deadline := time.Now().Add(20 * time.Second); o.Metrics.Records.Load() < total && time.Now().Before(deadline); {
				if err := pauseTest(ctx, 20*time.Millisecond); err != nil {
					t.Fatal(err)
				}
			}
			stop()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if got := counts(t, log); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the log has %v, the table had %v", got, want)
			}
			if o.Metrics.Records.Load() != total || o.Metrics.Gaps.Load() > 0 {
				t.Errorf("%d records and %d gaps are counted; %d changes", o.Metrics.Records.Load(), o.Metrics.Gaps.Load(), total)
			}
		})
	}
}

func pauseTest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return errors.New("the context ended")
	}
}
