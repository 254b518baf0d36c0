package aws

import (
	"fmt"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
	"dynaferry/internal/local"
)

// TestKinesisOfATable: what a table puts into Kinesis, some of it twice and out of order, is read as what was written.
func TestKinesisOfATable(t *testing.T) {
	in, err := local.Start(t.Context(), local.Options{NoSync: true, KinesisDisorder: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	})
	d, k := tables(t, in.URL), feedClient(t, in.URL, true).(*Kinesis)
	def := &dynamo.Definition{Version: 1, Name: "Orders", BillingMode: "PAY_PER_REQUEST", Keys: item.KeySchema{Hash: item.KeyAttr{Name: "pk", Type: item.S}}}
	if _, err := d.Create(t.Context(), def); err != nil {
		t.Fatal(err)
	}
	if _, err := k.sdk.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: sdk.String("changes"), ShardCount: sdk.Int32(2)}); err != nil {
		t.Fatal(err)
	}
	stream, err := k.Describe(t.Context(), "changes")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.sdk.EnableKinesisStreamingDestination(t.Context(),
		&dynamodb.EnableKinesisStreamingDestinationInput{TableName: &def.Name, StreamArn: &stream.ARN}); err != nil {
		t.Fatal(err)
	}
	const writes = 60
	wrote := map[string]string{}
	for i := range writes {
		mixed, err := ddbjson.ParseItem(itemtest.AppendMixed(nil, 7, uint64(i)))
		if err != nil {
			t.Fatal(err)
		}
		members := mixed.Map()
		members["pk"] = item.Value{Type: item.S, Str: fmt.Sprint(i % 20)}
		members["round"] = item.Value{Type: item.N, Str: fmt.Sprint(i / 20)}
		it := itemtest.Must(members)
		if _, err := d.Write(t.Context(), &dynamo.WriteRequest{Table: def.Name, Item: it}); err != nil {
			t.Fatal(err)
		}
		wrote[fmt.Sprint(i%20, " ", i/20)] = string(item.AppendCanonical(nil, it))
	}
	seen := map[string]bool{}
	shards, err := k.Shards(t.Context(), stream.ARN, "")
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); len(seen) < writes && time.Now().Before(deadline); {
		for _, s := range shards {
			readOnce(t, k, stream.ARN, s.ID, func(p *feed.Page, r *feed.Record) {
				it := p.Items.Item(int(r.New))
				pk, _ := it.Get("pk")
				round, _ := it.Get("round")
				name := string(it.Text(pk)) + " " + string(it.Text(round))
				if got := string(item.AppendCanonical(nil, it)); got != wrote[name] || string(r.Table) != "Orders" || time.Since(time.UnixMicro(r.Micros)).Abs() > time.Hour ||
					(r.Event == feed.Insert) != (r.Old == item.NoImage) || len(r.PartitionKey) == 0 {
					t.Errorf("%s: %+v\n%s\n%s", name, r, got, wrote[name])
				}
				seen[string(r.EventID)] = true
			})
		}
	}
	if len(seen) != writes {
		t.Errorf("%d changes of %d", len(seen), writes)
	}
}

// readOnce reads a shard from its beginning to the first empty page.
func readOnce(t *testing.T, c feed.Client, stream, shard string, each func(*feed.Page, *feed.Record)) {
	t.Helper()
	it, err := c.Iterator(t.Context(), stream, shard, feed.Position{})
	if err != nil {
		t.Fatal(err)
	}
	for p := (&feed.Page{}); ; it = p.Next {
		if err := c.Read(t.Context(), it, 1000, p); err != nil {
			t.Fatal(err)
		}
		for i := range p.Records {
			each(p, &p.Records[i])
		}
		if len(p.Records) == 0 {
			return
		}
	}
}
