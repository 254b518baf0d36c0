package aws

import (
	"context"
	"errors"
	"sync"
	"time"

	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

const (
	attemptsDefault = 12
	backoffBase     = 100 * time.Millisecond
	backoffTop      = 10 * time.Second
	// corruptAttempts is how often a body that arrived damaged is sent again: more often than twice it is damaged here.
	corruptAttempts = 3
)

// Deadlines of one attempt: a connection that is half open must not hold a job. Bodies get time for their bytes at
// a rate below which a link is of no use.
const (
	requestTime  = 60 * time.Second
	slowestBytes = 128 << 10 // a second
	assembleTime = 15 * time.Minute
)

func bodyTime(n int) time.Duration {
	return requestTime + time.Duration(n/slowestBytes)*time.Second
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// backoff is full jitter: a uniform part of a doubling, capped step (attempt from 1). Requests about other keys draw for
// themselves, see commit.WithSource.
func backoff(ctx context.Context, key string, attempt int) time.Duration {
	step := min(backoffBase<<min(attempt-1, 20), backoffTop)
	return time.Duration(commit.Jitter(ctx, "s3 backoff "+key, int64(step)-1)) + 1
}

// pacer makes all requests of a bucket wait once S3 asked any of them to slow down, so that waiting ones do not
// add to what the prefix cannot take: a pause that doubles up to 5 s with each further complaint and ends with the
// quiet.
type pacer struct {
	mu    sync.Mutex
	until time.Time
	step  time.Duration
}

const (
	paceBase = 50 * time.Millisecond
	paceTop  = 5 * time.Second
)

func (p *pacer) complain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Before(p.until) { // this request was sent before the pause began
		return
	}
	if p.step == 0 || now.Sub(p.until) > paceTop {
		p.step = paceBase
	} else {
		p.step = min(2*p.step, paceTop)
	}
	p.until = now.Add(p.step)
}

// wait is how long a request should still wait; a random share more spreads the restart.
func (p *pacer) wait(ctx context.Context, key string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := time.Until(p.until)
	if left <= 0 {
		return 0
	}
	return left + time.Duration(commit.Jitter(ctx, "s3 pace "+key, int64(p.step)-1))
}

// try says how one call may be repeated.
type try struct {
	key     string        // that it is about, or of several the first
	once    bool          // send it exactly once, except when it was refused unread
	timeout time.Duration // of one attempt; 0 is requestTime
}

// do sends a request by the rules of t. The error is classified. unsure tells that an earlier attempt, or the failed
// one, may have been carried out although no success was seen.
func (b *S3) do(ctx context.Context, t try, call func(ctx context.Context) error) (unsure bool, err error) {
	if t.timeout == 0 {
		t.timeout = requestTime
	}
	refreshed := false
	for attempt := 1; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return unsure, context.Cause(ctx)
		}
		if wait := b.pacer.wait(ctx, t.key); wait > 0 {
			if err := b.sleep(ctx, wait); err != nil {
				return unsure, err
			}
		}
		limited, cancel := context.WithTimeout(ctx, t.timeout)
		err := classify(ctx, call(limited))
		cancel()
		if err == nil {
			return unsure, nil
		}
		var a *answer
		errors.As(err, &a)
		kind := fault.KindOf(err)
		unsure = unsure || kind == fault.Unavailable || a == nil
		if kind == fault.Throttled {
			b.pacer.complain()
		}
		switch {
		case ctx.Err() != nil:
			return unsure, err
		case a != nil && a.expired() && !refreshed:
			refreshed = true // the service refused it unread: asking again with other credentials repeats nothing
			refreshCredentials(b.credentials)
			continue
		case t.once || attempt >= b.options.Attempts:
			return unsure, err
		case kind == fault.Corrupt && attempt < corruptAttempts:
		case !fault.Retryable(err):
			return unsure, err
		}
		if err := b.sleep(ctx, backoff(ctx, t.key, attempt)); err != nil {
			return unsure, err
		}
	}
}
