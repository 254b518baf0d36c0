package outlet

import (
	"context"
	"fmt"
	"hash/maphash"
	"iter"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/fault"
)

// Options tune Send; zero values mean the defaults.
type Options struct {
	Lanes int // requests at once; records of one key are of one lane: 4
	// Refuse takes a record that the service can never take, and why; nil makes it an error.
	Refuse func(r Record, reason string) error
	// Patience is how long a lane goes on without that anything is taken: 5 minutes. Then Send fails with the service's words.
	Patience time.Duration
}

const (
	pauseFirst = 50 * time.Millisecond
	pauseMost  = 5 * time.Second
)

// Send puts all records into a stream: each at least once, and those of one key in the order of records. On return with
// nil all were taken or refused for good. A record comes twice only where the answer to a request was lost.
//
// Records without a key have no order. A key is at most once in a request, since of a request that is taken in part the first of a key could be the one that is
// not; so a stream of one hot key goes at one record a request.
func Send(ctx context.Context, c Client, stream string, records iter.Seq[Record], o Options) error {
	if o.Lanes == 0 {
		o.Lanes = 4
	}
	if o.Patience == 0 {
		o.Patience = 5 * time.Minute
	}
	work, ctx := errgroup.WithContext(ctx)
	lanes := make([]chan Record, o.Lanes)
	limits := c.Limits()
	for i := range lanes {
		lanes[i] = make(chan Record, limits.Records)
		l := lane{client: c, stream: stream, limits: limits, in: lanes[i], patience: o.Patience}
		work.Go(func() error { return l.run(ctx) })
	}
	seed := maphash.MakeSeed()
	work.Go(func() error {
		turn := uint64(0)
		defer func() {
			for _, l := range lanes {
				close(l)
			}
		}()
		for r := range records {
			if size := limits.Size(r); size > limits.Record {
				if err := refuse(o, r, fmt.Sprintf("%d bytes: %s takes at most %d", size, stream, limits.Record)); err != nil {
					return err
				}
				continue
			}
			at := turn
			if turn++; r.Key != "" {
				at = maphash.String(seed, r.Key)
			}
			select {
			case lanes[at%uint64(len(lanes))] <- r:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return work.Wait()
}

func refuse(o Options, r Record, reason string) error {
	if o.Refuse == nil {
		return fault.New(fault.Limit, "a record of %s", reason)
	}
	return o.Refuse(r, reason)
}

// lane sends the records of its keys, one request at a time.
type lane struct {
	client   Client
	stream   string
	limits   Limits
	in       <-chan Record
	patience time.Duration

	request []Record // what is sent next: refused ones first, in their order
	keys    map[string]bool
	bytes   int
	waiting *Record // that was taken from in and does not fit into request
}

func (l *lane) run(ctx context.Context) error {
	l.keys = map[string]bool{}
	pause, last := pauseFirst, time.Now()
	for {
		if err := l.fill(ctx); err != nil || len(l.request) == 0 {
			return err
		}
		refusals, err := l.client.Put(ctx, l.stream, l.request)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !fault.Retryable(err) {
			return err
		}
		taken := 0
		if err == nil {
			taken = l.settle(refusals)
		}
		if taken > 0 {
			pause, last = pauseFirst, time.Now()
		}
		if err == nil && len(l.request) == 0 {
			continue
		}
		if err == nil {
			if err = refusedBy(l.stream, refusals); !fault.Retryable(err) {
				return err
			}
		}
		if time.Since(last) > l.patience {
			return err
		}
		if err := rest(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, pauseMost)
	}
}

// fill adds records to the request while there are some and they fit. It waits only for the first.
func (l *lane) fill(ctx context.Context) error {
	for {
		if l.waiting == nil {
			r, ok, err := l.next(ctx)
			if err != nil || !ok {
				return err
			}
			l.waiting = &r
		}
		size := l.limits.Size(*l.waiting)
		if len(l.request) == l.limits.Records || l.bytes+size > l.limits.Bytes || l.keys[l.waiting.Key] {
			return nil
		}
		l.add(*l.waiting)
		l.waiting = nil
	}
}

func (l *lane) next(ctx context.Context) (r Record, ok bool, err error) {
	if len(l.request) > 0 {
		select {
		case r, ok = <-l.in:
		default:
		}
		return r, ok, nil
	}
	select {
	case r, ok = <-l.in:
		return r, ok, nil
	case <-ctx.Done():
		return r, false, ctx.Err()
	}
}

func (l *lane) add(r Record) {
	l.request = append(l.request, r)
	l.bytes += l.limits.Size(r)
	if r.Key != "" {
		l.keys[r.Key] = true
	}
}

// settle leaves in the request what was refused, and tells how many were taken.
func (l *lane) settle(refusals []Refusal) (taken int) {
	sent := l.request
	l.request, l.bytes = nil, 0
	clear(l.keys)
	for i, r := range sent {
		if i < len(refusals) && refusals[i].Code != "" {
			l.add(r)
		} else {
			taken++
		}
	}
	return taken
}

// refusedBy is the first refusal as an error.
func refusedBy(stream string, refusals []Refusal) error {
	for _, r := range refusals {
		switch r.Code {
		case "":
		case "ProvisionedThroughputExceededException", "ThrottlingException", "LimitExceededException":
			return fault.New(fault.Throttled, "%s: %s: %s", stream, r.Code, r.Message)
		case "InternalFailure", "ServiceUnavailableException", "ServiceUnavailable":
			return fault.New(fault.Unavailable, "%s: %s: %s", stream, r.Code, r.Message)
		default:
			return fault.New(fault.User, "%s refuses a record: %s: %s", stream, r.Code, r.Message)
		}
	}
	return nil
}

// rest waits up to the pause, at least half of it.
func rest(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause/2 + rand.N(pause/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
