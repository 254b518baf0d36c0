package capture_test

import (
	"context"
	"testing"
	"time"

	"dynaferry/internal/capture"
	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// lostShards is a stream whose shards are listed, and are not there when they are read.
type lostShards struct {
	feed.Client
	asked chan struct{}
}

func (l lostShards) Iterator(context.Context, string, string, feed.Position) (string, error) {
	select {
	case l.asked <- struct{}{}:
	default:
	}
	return "", fault.New(fault.NotFound, "Requested resource not found: Shard does not exist")
}

// TestUnsure: a stream that answers that its shard is not there is not one in which nothing happens.
func TestUnsure(t *testing.T) {
	p := openPlace(t)
	log, err := changelog.Create(t.Context(), p.folder, "log", changelog.Info{Stream: p.arn, Table: "Orders", View: feed.BothImages, Groups: 1})
	if err != nil {
		t.Fatal(err)
	}
	for lost, client := range map[bool]feed.Client{false: p.client, true: lostShards{p.client, make(chan struct{}, 1)}} {
		m := new(capture.Metrics)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- capture.Run(ctx, log, client, p.arn, capture.Options{Metrics: m, Lease: -1, Freshness: time.Second})
		}()
		if l, ok := client.(lostShards); ok {
			<-l.asked
			_ = pauseTest(ctx, 300*time.Millisecond)
		} else {
			for m.Calls.Load() < 3 || m.Unsure.Load() > 0 { // a list, an iterator, a page
				if err := pauseTest(ctx, 10*time.Millisecond); err != nil {
					t.Fatal(err)
				}
			}
		}
		if unsure := m.Unsure.Load(); lost != (unsure > 0) {
			t.Errorf("shards are not found %v: of %d no answer counts", lost, unsure)
		}
		stop()
		if err := <-done; err != nil || m.Unsure.Load() != 0 {
			t.Errorf("in the end %v, %d", err, m.Unsure.Load())
		}
	}
}
