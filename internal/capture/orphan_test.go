package capture_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"dynaferry/internal/capture"
	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
	"dynaferry/internal/sim"
)

// fading hides a shard from lists of all: from the first or the second, and from all behind those.
type fading struct {
	feed.Client
	of    string
	from  int64 // the list
	lists atomic.Int64
}

func (f *fading) Shards(ctx context.Context, stream, of string) ([]feed.Shard, error) {
	list, err := f.Client.Shards(ctx, stream, of)
	if of != "" || err != nil {
		return list, err
	}
	if n := f.lists.Add(1); n == f.from || n > 2 {
		list = slices.DeleteFunc(list, func(s feed.Shard) bool { return s.ID == f.of })
	}
	return list, nil
}

// TestOrphan: a shard whose parent the service lets go of while groups list is taken up by one of them, whoever was first.
func TestOrphan(t *testing.T) {
	shown := 0
	for _, from := range []int64{1, 2} {
		for _, groups := range []int{2, 3, 5} {
			world(t, sim.Plan{Writes: 60, Every: time.Second, Keys: 1, Splits: 5, Groups: groups}, func(t *testing.T, w *sim.World, log *changelog.Log) {
				w.Table.Live()
				shards := w.Table.Lines()
				if len(shards) < 2 {
					t.Fatal("no shard closed")
				}
				first := ""
				for id := range shards {
					if first == "" || id < first {
						first = id
					}
				}
				end := make(chan struct{})
				p := w.Spawn("one", func(ctx context.Context, env *sim.Env) error {
					ctx, cancel := context.WithCancel(ctx)
					defer cancel()
					go func() { <-end; cancel() }()
					log, err := changelog.Open(ctx, env.Bucket, "log")
					if err != nil {
						return err
					}
					return capture.Run(ctx, log, &fading{Client: env.Feed, of: first, from: from}, env.Stream, capture.Options{Writer: "one"})
				})
				time.Sleep(2 * time.Minute)
				close(end)
				<-p.Done
				if p.Err != nil {
					t.Fatal(p.Err)
				}
				seen := map[string]int{}
				for group := range log.Groups {
					for _, e := range entries(t, log, group) {
						if e.Shard(first) != nil {
							shown++
						}
						for _, id := range events(t, e) {
							seen[id]++
						}
					}
				}
				for id, n := range seen {
					if n != 1 {
						t.Errorf("%d groups, list %d: record %s is there %d times", groups, from, id, n)
					}
				}
				if want := len(w.Table.Changes()) - len(shards[first]); len(seen) < want {
					t.Errorf("%d groups, list %d: %d records, of %d and those of the shard that fades", groups, from, len(seen), want)
				}
			})
		}
	}
	if shown == 0 {
		t.Error("no group saw the shard that fades")
	}
}
