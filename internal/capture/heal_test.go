package capture_test

import (
	"context"
	"testing"
	"time"

	"dynaferry/internal/capture"
	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
)

// TestHealedBeside: an entry that closes a gap may come between a follower's own at any time; it fences nobody.
func TestHealedBeside(t *testing.T) {
	p := openPlace(t)
	log, err := changelog.Create(t.Context(), p.folder, "log", changelog.Info{Stream: p.arn, Table: "Orders", View: feed.BothImages, Groups: 1})
	if err != nil {
		t.Fatal(err)
	}
	put := func(n string) {
		p.post("DynamoDB_20120810.PutItem", object{"TableName": "Orders", "Item": object{"pk": object{"S": "a"}, "n": object{"N": n}}}, nil)
	}
	captured := make(chan uint64, 100)
	o := capture.Options{SegmentEvery: 10 * time.Millisecond, CallsPerSecond: 50, Metrics: new(capture.Metrics)}
	o.OnEntry = func(e *changelog.Entry) {
		if e.Records() > 0 {
			captured <- e.N
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- capture.Run(ctx, log, p.client, p.arn, o) }()
	for i, n := range []string{"1", "2", "3"} {
		put(n)
		var entry uint64
		select {
		case entry = <-captured:
		case err := <-done:
			t.Fatalf("capture ended before write %d was captured: %v", i+1, err)
		}
		healer, err := log.Chain(t.Context(), 0, "healer", changelog.ChainOptions{})
		if err != nil {
			t.Fatal(err)
		}
		note := &changelog.CompactedNote{Gap: 1, From: 1, To: 2, Source: "a test"}
		e, err := healer.Append(t.Context(), &changelog.Draft{Kind: changelog.Compacted, At: time.Now().UnixMicro(), Compacted: note})
		if err != nil || e.N <= entry || !e.Heals(1) || e.Heals(2) {
			t.Fatalf("healed by %+v, %v", e, err)
		}
	}
	put("4")
	select {
	case <-captured:
	case err := <-done:
		t.Fatalf("capture ended: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := counts(t, log); got["a"] != 4 || o.Metrics.Fences.Load() > 0 {
		t.Errorf("the log has %v, %d fences", got, o.Metrics.Fences.Load())
	}
}
