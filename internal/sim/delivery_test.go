package sim

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/delivery"
	"dynaferry/internal/feed"
)

// delivered tries package delivery beside what writes the log: processes that know nothing of each other carry the stream into
// the log and the log into files.
func delivered() Scenario {
	seen := map[string]string{} // visible files, as they were when they were first looked at
	return Scenario{Name: "delivery", Actor: carryAndDeliver,
		Begin: func(w *World) error {
			_, err := changelog.Create(context.Background(), w.Store.Bucket(), "log", changelog.Info{Stream: w.Plan.Stream(), Table: TableName,
				Kinesis: w.Plan.Kinesis, View: feed.BothImages, Groups: 1, Created: w.Begun})
			return err
		},
		Safe: func(w *World) error { return checkFiles(w, seen, false) },
		Done: func(w *World) error { return checkFiles(w, seen, true) }}
}

func carryAndDeliver(ctx context.Context, env *Env) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return carry(ctx, env) })
	group.Go(func() error {
		ctx, own := env.Part(ctx, "delivery")
		log, err := changelog.Open(ctx, own, "log")
		if err != nil {
			return err
		}
		return delivery.Run(ctx, log, own, delivery.Settings{Compression: "none", BufferBytes: 3000}, delivery.Options{Dir: "files",
			Interval: 5 * time.Second, Workers: 1, AcceptGaps: true})
	})
	return group.Wait()
}

// checkFiles: no record of the log is visible oftener than the log has it (Kinesis gives some twice), what was visible stays as
// it is, and with whole every record is visible.
func checkFiles(w *World, seen map[string]string, whole bool) error {
	ctx, bucket := context.Background(), w.Store.Bucket()
	visible := map[string]int{} // by event, how often
	for _, name := range w.Store.Names() {
		if !strings.HasPrefix(name, "files/") || strings.HasPrefix(name, "files/_dynaferry/") {
			continue
		}
		data, _, err := blob.ReadAll(ctx, bucket, name, 1<<30)
		if err != nil {
			return err
		}
		if before, has := seen[name]; has && before != string(data) {
			return fmt.Errorf("%s was visible, and is another now", name)
		}
		seen[name] = string(data)
		for line := range strings.Lines(string(data)) {
			visible[eventOf(line)]++
		}
	}
	log, err := changelog.Open(ctx, bucket, "log")
	if err != nil {
		return err
	}
	more := maps.Clone(visible) // than the log has it
	for batch, err := range log.Read(ctx, changelog.Range{}) {
		if err != nil {
			return err
		}
		for i := range batch.Parts {
			records, err := batch.Parts[i].Records(nil)
			if err != nil {
				return err
			}
			for line := range changelog.Lines(records) {
				more[eventOf(string(line))]--
			}
		}
	}
	for id, n := range more {
		if n > 0 || n < 0 && whole {
			return fmt.Errorf("event %s is visible %d times, and %d times in the log", id, visible[id], visible[id]-n)
		}
	}
	if there := len(w.Table.Changes()); whole && !w.Plan.Outage && len(visible) < there {
		return fmt.Errorf("%d changes are visible, the table had %d", len(visible), there)
	}
	return nil
}

func eventOf(line string) string {
	_, rest, _ := strings.Cut(line, `"eventID":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}
