package job

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/world"
)

// alarm knows whether a table moves while its stream does not: a stream that answers and yields nothing looks like a table
// that rests. What the table's description counts tells them apart. The service refreshes these counts every six hours,
// others at once; a table that rests moves them at most once more, after its last change was counted. So twice without a
// record between is a stream that is broken.
type alarm struct {
	mu      sync.Mutex
	records int64 // captured when the counts were looked at first
	counts  [2]int64
	looked  bool
	moves   int
}

const (
	alarmEvery = 15 * time.Second
	alarmMoves = 2
)

// see takes counts, and how many records were captured until now.
func (a *alarm) see(records int64, counts [2]int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !a.looked || records != a.records:
		a.looked, a.records, a.moves = true, records, 0
	case counts != a.counts:
		a.moves++
	}
	a.counts = counts
}

func (a *alarm) on() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.moves >= alarmMoves
}

// listen looks at the table now and then; errors are no news about it.
func (f *Follow) listen(ctx context.Context, every time.Duration) error {
	at, err := world.Parse(f.wish.Source)
	if err != nil || at.Scheme != world.DynamoDB {
		return err
	}
	client, err := f.env.World.Client(ctx, at)
	if err != nil {
		return err
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if t, err := dynamo.Describe(ctx, client, at.Host); err == nil {
			f.alarm.see(f.captured.Records.Load(), [2]int64{t.Items, t.Bytes})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Health tells what is wrong: data that should move and does not. A shard that rests is well.
func (f *Follow) Health() []string { return f.unwell(f.Status(), f.held()) }

func (f *Follow) unwell(s FollowStatus, held int) (reasons []string) {
	limit := max(time.Minute, 10*f.rates.Freshness)
	idle := min(time.Since(time.UnixMicro(f.captured.Progress.Load())), time.Since(f.began))
	for _, lag := range s.LagMillis {
		if time.Duration(lag)*time.Millisecond > limit && idle > limit {
			reasons = append(reasons, fmt.Sprintf("nothing was captured for %v though the stream has more", idle.Round(time.Second)))
			break
		}
	}
	if held > 0 && f.captured.Progress.Load() == 0 && time.Since(f.began) > limit && s.Calls == s.Retries {
		reasons = append(reasons, "the stream has not answered yet")
	}
	if d := s.Delivered; d != nil && time.Duration(d.LagMillis)*time.Millisecond > limit+3*f.wish.Deliver.Interval {
		reason := fmt.Sprintf("what is visible is %v behind the log", (time.Duration(d.LagMillis) * time.Millisecond).Round(time.Second))
		if d.Error != "" {
			reason += ": " + d.Error
		}
		reasons = append(reasons, reason)
	}
	// Who captures a part of the log alone, or stands by, does not see the records of the others.
	if held == int(f.log.Groups) && f.alarm.on() {
		reasons = append(reasons, "the table changes and its stream yields nothing")
	}
	return reasons
}
