package bench

import (
	"context"
	"testing"

	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/world"
)

// TestReadyStream: our client reads it to its end, and no record, key or number comes twice.
func TestReadyStream(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	t.Setenv("AWS_REGION", "us-east-1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &ReadyStream{Shards: 3, Pages: 2}
	served := make(chan string, 1)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, func(url string, _ int) { served <- url }) }()
	client, stream, err := world.New().Feed(ctx, world.Address{Scheme: world.DynamoDB, Host: readyTable, Endpoint: <-served})
	if err != nil {
		t.Fatal(err)
	}
	shards, err := client.Shards(ctx, stream, "")
	if err != nil || len(shards) != 3 || !shards[0].Closed {
		t.Fatalf("%v, %v", shards, err)
	}
	keys, ids, n := map[string]bool{}, map[string]bool{}, 0
	for _, shard := range shards {
		it, err := client.Iterator(ctx, stream, shard.ID, feed.Position{})
		if err != nil {
			t.Fatal(err)
		}
		var p feed.Page
		var last feed.Position
		for ; it != ""; it = p.Next {
			if err := client.Read(ctx, it, 1000, &p); err != nil {
				t.Fatal(err)
			}
			for i := range p.Records {
				r := &p.Records[i]
				if last.Compare(r.Position) >= 0 || r.Old == item.NoImage || len(r.Raw) < 1500 || len(r.Raw) > 2000 {
					t.Fatalf("record %d behind %v: %s", n, last, r.Raw)
				}
				last = feed.Position{Seq: feed.Number([]byte(r.Seq))}
				keys[string(p.Items.Item(int(r.Keys)).Raw())], ids[string(r.EventID)] = true, true
				if k, _ := p.Items.Item(int(r.New)).Get("orderId"); string(p.Items.Item(int(r.New)).Text(k)) == "" {
					t.Fatalf("record %d has no key", n)
				}
				n++
			}
			if p.Bytes > 1<<20+200 {
				t.Errorf("a page of %d bytes", p.Bytes)
			}
		}
	}
	t.Logf("%d bytes a record", len(s.page.text)/s.page.records)
	if n != s.Records() || len(keys) != n || len(ids) != n {
		t.Errorf("%d records of %d, %d keys, %d ids", n, s.Records(), len(keys), len(ids))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
