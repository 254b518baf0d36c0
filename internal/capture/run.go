package capture

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/planted"
)

// process is what all groups of one Run share.
type process struct {
	log    *changelog.Log
	client feed.Client
	stream *feed.Stream
	rates  Rates
	o      Options
	pages  chan *buffer // those that are free
	offset atomic.Int64 // the service's clock minus ours, ns
	active atomic.Int64 // when a record came last, by our clock: ns since begun
	begun  time.Time
	fleet  fleet
}

// Run carries a stream into a log until ctx ends, and then returns nil with all that was read in the log. It also ends:
//
//   - with nil once Options.Until has passed.
//   - with a GapError when Options.StopAtGap says so.
//   - with an error of kind NotFound when the stream is gone, or is closed and drained.
//   - with any other typed error that repeating does not heal: no permission, a damaged log, a record too large.
//
// What repeating may heal is repeated for ever and counted. Running it again goes on where the log ends.
func Run(ctx context.Context, log *changelog.Log, client feed.Client, stream string, o Options) error {
	p := &process{log: log, client: client, begun: time.Now()}
	if err := p.open(ctx, stream, o); err != nil {
		return ended(ctx, err)
	}
	all, ctx := errgroup.WithContext(ctx)
	for group := range log.Groups {
		all.Go(func() error {
			if p.o.Lease < 0 {
				return p.hold(ctx, group)
			}
			return p.tend(ctx, group)
		})
	}
	return ended(ctx, all.Wait())
}

// ended is what an error means once ctx has ended: nothing, when it is of that.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return nil
	}
	return err
}

// open learns what the stream is.
func (p *process) open(ctx context.Context, stream string, o Options) error {
	p.o.Metrics = o.Metrics
	if p.o.Metrics == nil {
		p.o.Metrics = new(Metrics)
	}
	o.Metrics = p.o.Metrics
	err := p.insist(ctx, stream, func() (err error) {
		return timely(ctx, func(ctx context.Context) error {
			p.stream, err = p.client.Describe(ctx, stream)
			return err
		})
	})
	if err != nil {
		return err
	}
	p.learn(p.stream.Date) // before any page: what is begun, or found gone, is by the service's clock already
	p.o = o.withDefaults(ctx, p.stream.Kinesis)
	p.rates = Derive(p.stream.Kinesis, p.o)
	p.pages = make(chan *buffer, p.o.pages())
	for range cap(p.pages) {
		b := new(buffer)
		if o.Redact == nil {
			b.Keep = feed.KeysOnly
		}
		p.pages <- b
	}
	return nil
}

// insist repeats what may pass later, with pauses, until ctx ends.
func (p *process) insist(ctx context.Context, name string, do func() error) error {
	for failures := 1; ; failures++ {
		err := do()
		if err == nil || ctx.Err() != nil || !fault.Retryable(err) {
			return err
		}
		p.o.Metrics.Retries.Add(1)
		if err := pause(ctx, backoff(ctx, name, failures)); err != nil {
			return err
		}
	}
}

// hold carries a group until ctx ends, or another takes it: a FencedError. What opening its chain again may heal, is healed so.
func (p *process) hold(ctx context.Context, group uint32) error {
	for failures := 0; ; {
		progress := p.o.Metrics.Entries.Load()
		err := p.carry(ctx, group)
		var fenced *changelog.FencedError
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case errors.As(err, &fenced) && fenced.Entry.Writer == p.o.Writer:
			// An earlier put of ours landed late: the chain knows where it ends.
		case errors.As(err, &fenced) && !planted.Is(planted.StaleHolder):
			p.o.Metrics.Lost.Add(1)
			return err
		case !fault.Retryable(err) && fenced == nil:
			return err
		}
		p.o.Metrics.Puts.Add(1)
		if failures++; p.o.Metrics.Entries.Load() > progress {
			failures = 1
		}
		if err := pause(ctx, backoff(ctx, fmt.Sprintf("group %d", group), failures)); err != nil {
			return err
		}
	}
}

// now is the service's clock, as far as it is known: µs since 1970.
func (p *process) now() int64 { return time.Now().Add(time.Duration(p.offset.Load())).UnixMicro() }

// learn takes the service's clock from a page. It is to the second, and from before the answer was on its way.
func (p *process) learn(date time.Time) {
	if !date.IsZero() {
		p.offset.Store(int64(time.Until(date)))
	}
}

// quiet is for how long no record came.
func (p *process) quiet() time.Duration {
	return time.Since(p.begun) - time.Duration(p.active.Load())
}

func (p *process) wake() { p.active.Store(int64(time.Since(p.begun))) }
