package job

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/capture"
	"dynaferry/internal/changelog"
	"dynaferry/internal/delivery"
	"dynaferry/internal/fault"
)

// Run carries changes into the log, and what is in the log into the destination, until ctx ends, which is no error, or the
// wish says so. What was captured is in the log on return; what is in the log and not delivered yet is by the next run.
func (f *Follow) Run(ctx context.Context) error {
	steps := &transforms{env: f.env}
	defer steps.close()
	f.wish.Deliver.Transform = func(texts []string) (delivery.Transform, error) { return steps.of(ctx, texts) }
	all, inner := errgroup.WithContext(ctx)
	delivering, stop := context.WithCancel(inner)
	defer stop()
	all.Go(func() error {
		defer stop()
		return f.capture(inner)
	})
	if f.dest != nil {
		all.Go(func() error { return f.deliverOn(delivering) })
	}
	if f.booting.Load() {
		all.Go(func() error {
			err := f.bootstrap(delivering)
			f.booting.Store(false)
			if delivering.Err() != nil && errors.Is(err, context.Canceled) {
				return nil // the next run goes on
			}
			return err
		})
	}
	all.Go(func() error { return f.watch(delivering) })
	all.Go(func() error { return f.listen(delivering, alarmEvery) })
	err := all.Wait()
	if ctx.Err() != nil {
		return nil
	}
	if f.dest != nil && (errors.Is(err, errIdle) || fault.KindOf(err) == fault.NotFound) {
		// Capture has ended and left nothing behind but what is in the log.
		once := f.wish.Deliver
		once.Once = true
		if err := f.deliver(ctx, once); err != nil {
			return err
		}
	}
	if errors.Is(err, errIdle) {
		return nil
	}
	return err
}

func (f *Follow) capture(ctx context.Context) error {
	o := f.wish.Capture
	o.Metrics = &f.captured
	o.OnEntry = func(*changelog.Entry) { f.bell.Ring() }
	o.OnGap = func(g *capture.GapError) { f.env.say("warning: %v", g) }
	return capture.Run(ctx, f.log, f.client, f.stream.ARN, o)
}

// healedEvery is how often it is looked whether a gap that delivery stopped before was healed meanwhile.
const healedEvery = 5 * time.Second

// deliverOn delivers until ctx ends. A gap stops what is visible and never capture, whose time runs out: delivery goes on behind
// it once it is healed, and when the run ends before that it tells.
func (f *Follow) deliverOn(ctx context.Context) error {
	for told := uint64(0); ; {
		err := f.deliver(ctx, f.wish.Deliver)
		var gap *delivery.GapError
		if !errors.As(err, &gap) || f.wish.Capture.StopAtGap {
			return err
		}
		if told != gap.Entry {
			told = gap.Entry
			f.env.say("warning: nothing more becomes visible: %v\n  try: %s", gap, fault.HintOf(err))
		}
		if pauseFor(ctx, healedEvery) != nil {
			return nil
		}
	}
}

func (f *Follow) deliver(ctx context.Context, o delivery.Options) error {
	o.Dir, o.Bell, o.Progress, o.Workers = f.dest.Prefix, &f.bell, &f.delivered, f.env.workers()
	o.Sink, o.MemoryBytes = f.into, f.env.Memory/2
	return delivery.Run(ctx, f.log, f.dest.Bucket, f.wish.Delivery, o)
}

// watchEvery is how often it is looked whether anything came.
const watchEvery = 200 * time.Millisecond

// standby is how long a follower that others leave groups to does not end: whose process stopped is taken over within 10 s,
// and until then nobody reads what came to it.
const standby = 12 * time.Second

// held is how many groups this follower captures.
func (f *Follow) held() (n int) {
	for _, writer := range f.captured.Holders() {
		if writer == f.wish.Capture.Writer {
			n++
		}
	}
	return n
}

// watch shows what happens, and ends the run once nothing came for as long as the wish says.
func (f *Follow) watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	last, since, held := int64(-1), time.Now(), -1
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s := f.Status()
		f.env.progress("%s", s)
		mine := f.held()
		if moved := f.captured.Read.Load() + s.Gaps + s.Retries; moved != last || mine != held || s.Calls == 0 || f.captured.Unsure.Load() > 0 || f.booting.Load() {
			last, since, held = moved, time.Now(), mine
		}
		idle := f.wish.Idle
		if mine < int(f.log.Groups) {
			idle = max(idle, standby)
		}
		if f.wish.Idle > 0 && time.Since(since) >= idle {
			return errIdle
		}
	}
}
