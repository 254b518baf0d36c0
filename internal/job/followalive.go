package job

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dynaferry/internal/changelog"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/world"
)

// alarm knows whether a table moves while its stream does not: a stream that answers and yields nothing looks like a table
// that rests. What the table's description counts tells them apart. The service refreshes these counts every six hours,
// others at once; a table that rests moves them at most once more, after its last change was counted. So twice without a
// record between is a stream that is broken.
type alarm struct {
	mu     sync.Mutex
	newest int64 // time of the newest record when the counts were looked at first
	counts [2]int64
	looked bool
	moves  int
}

const (
	alarmEvery = 15 * time.Second
	alarmMoves = 2
)

// moved tells whether counts are others than those that were seen last: only then is it worth asking for the newest record.
func (a *alarm) moved(counts [2]int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.looked || counts != a.counts
}

// see takes counts, and the time of the newest record that was captured, by whomever.
func (a *alarm) see(newest int64, counts [2]int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !a.looked || newest != a.newest:
		a.looked, a.newest, a.moves = true, newest, 0
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
		select { // not at once: whoever begins has to find the log's end first, and that twice side by side is slower
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if t, err := dynamo.Describe(ctx, client, at.Host); err == nil {
			f.hear(ctx, [2]int64{t.Items, t.Bytes})
		}
	}
}

// hear judges a table's counts by the log, which tells what all followers that share its groups have captured; of one's own records
// none may tell.
func (f *Follow) hear(ctx context.Context, counts [2]int64) {
	if !f.alarm.moved(counts) {
		return
	}
	var newest int64
	err := f.eachState(ctx, func(s *changelog.State) {
		for _, shard := range s.Shards() {
			newest = max(newest, shard.Time)
		}
	})
	if err == nil {
		f.alarm.see(newest, counts)
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
	if f.alarm.on() {
		reasons = append(reasons, "the table changes and its stream yields nothing")
	}
	return reasons
}
