package capture_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dynaferry/internal/blob/folder"
	"dynaferry/internal/capture"
	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// crowd is a stream of shards that have a page each, which takes its time.
type crowd struct{ shards int }

func (c crowd) Describe(context.Context, string) (*feed.Stream, error) {
	return &feed.Stream{ARN: "arn:crowd", Table: "T", View: feed.BothImages, Open: true}, nil
}

func (c crowd) Shards(_ context.Context, _, of string) (all []feed.Shard, _ error) {
	for i := range c.shards {
		if of == "" {
			all = append(all, feed.Shard{ID: fmt.Sprintf("shard-%03d", i)})
		}
	}
	return all, nil
}

func (c crowd) Iterator(_ context.Context, _, shard string, _ feed.Position) (string, error) {
	return shard, nil
}

func (c crowd) Read(_ context.Context, iterator string, _ int, p *feed.Page) error {
	time.Sleep(50 * time.Millisecond)
	p.Date, p.Next = time.Now(), "-"
	if iterator != "-" {
		raw := fmt.Appendf(nil, `{"shard":%q}`, iterator)
		p.Records = append(p.Records, feed.Record{Raw: raw, Position: feed.Position{Seq: "7"}, Micros: time.Now().UnixMicro(), New: item.NoImage, Old: item.NoImage})
		p.Bytes = len(raw)
	}
	return nil
}

// TestStarvingShardsWait: shards that are due and find no free buffer wait for one, and for nothing else. A loop that asks
// again at once would take a core from those who free them; here it would keep time from going on.
func TestStarvingShardsWait(t *testing.T) {
	at, err := folder.Open(t.TempDir(), folder.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	spins := time.AfterFunc(20*time.Second, func() { panic("the loop spins") }) // outside the bubble: real time
	defer spins.Stop()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		log, err := changelog.Create(ctx, at, "", changelog.Info{Stream: "arn:crowd", Table: "T", View: feed.BothImages, Groups: 1})
		if err != nil {
			t.Fatal(err)
		}
		const shards = 40 // for the 4 buffers that so little memory has
		var m capture.Metrics
		if err := capture.Run(ctx, log, crowd{shards}, "arn:crowd", capture.Options{Metrics: &m, MemoryBytes: 1}); err != nil {
			t.Fatal(err)
		}
		if m.Records.Load() != shards {
			t.Errorf("%d records of %d", m.Records.Load(), shards)
		}
	})
}

// ending is a stream of shards that all end with their page, and notes how many are asked for their children at once.
type ending struct {
	crowd
	mu          sync.Mutex
	asked, most int
}

func (e *ending) Shards(ctx context.Context, stream, of string) ([]feed.Shard, error) {
	if of != "" {
		e.mu.Lock()
		e.asked++
		e.most = max(e.most, e.asked)
		e.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
		e.mu.Lock()
		e.asked--
		e.mu.Unlock()
	}
	return e.crowd.Shards(ctx, stream, of)
}

func (e *ending) Read(ctx context.Context, iterator string, limit int, p *feed.Page) error {
	err := e.crowd.Read(ctx, iterator, limit, p)
	p.Next = ""
	return err
}

// TestChildrenAreAskedForAFewAtATime: when many shards end at once, as they do when a stream is read that has ended, the
// account's few calls a second are left to others, and answers that tell of all shards are not in memory a thousandfold.
func TestChildrenAreAskedForAFewAtATime(t *testing.T) {
	at, err := folder.Open(t.TempDir(), folder.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		log, err := changelog.Create(ctx, at, "", changelog.Info{Stream: "arn:crowd", Table: "T", View: feed.BothImages, Groups: 1})
		if err != nil {
			t.Fatal(err)
		}
		const shards = 40
		e := &ending{crowd: crowd{shards}}
		var m capture.Metrics
		if err := capture.Run(ctx, log, e, "arn:crowd", capture.Options{Metrics: &m}); err != nil {
			t.Fatal(err)
		}
		if m.Records.Load() != shards || e.most == 0 || e.most > 4 {
			t.Errorf("%d records of %d, %d asked for their children at once", m.Records.Load(), shards, e.most)
		}
	})
}
