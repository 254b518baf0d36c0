package local

import (
	"context"
	"errors"
	"sync"
	"time"
)

// The rhythms of what happens by itself while requests are served.
const (
	ttlInterval  = time.Second
	loadInterval = time.Second
	tidyInterval = time.Minute
	feedInterval = 50 * time.Millisecond
)

// background does what the service does by itself, until ctx ends: it deletes what has expired, feeds Kinesis streams, lets
// shards follow each other, and forgets what nobody can read any more. An error is kept for Close, requests go on, and the job tries again.
func (db *DB) background(ctx context.Context) {
	if db.relay != nil {
		db.job.note(db.relay.keeper.Run(ctx)) // all else is the upstream's
		return
	}
	interval := db.opts.TTLInterval
	if interval <= 0 {
		interval = ttlInterval
	}
	sweep, load, tidy := time.NewTicker(interval), time.NewTicker(loadInterval), time.NewTicker(tidyInterval)
	feed := time.NewTicker(feedInterval)
	defer feed.Stop()
	defer sweep.Stop()
	defer load.Stop()
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			db.job.note(db.sweepTTL(ctx))
		case <-feed.C:
			db.job.note(db.feedAll(ctx))
		case <-load.C:
			db.job.note(db.splitLoaded())
			db.job.note(db.rollShards())
		case <-tidy.C:
			db.job.note(db.tidy(ctx))
		}
	}
}

// firstError keeps the first error of jobs that nobody waits for.
type firstError struct {
	mu   sync.Mutex
	kept error
}

func (f *firstError) note(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept == nil {
		f.kept = err
	}
}

func (f *firstError) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept
}

// tidy forgets what is past its time.
func (db *DB) tidy(ctx context.Context) error {
	return errors.Join(db.forgetStreams(), db.kinesis.Trim(ctx))
}
