package capture

import (
	"context"
	"errors"
	"strings"
	"time"

	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// read asks for a shard's next page.
func (g *group) read(s *shard, b *buffer) {
	q := question{shard: s.ID, iterator: s.iterator, after: s.end, horizon: s.horizon, limit: limitFor(s.size), only: s.closed}
	g.reading++
	g.aside(func() func() error {
		b.Reset()
		r := g.fetch(g.reads, q, b)
		return func() error {
			g.reading--
			defer func() { g.pages <- b }()
			if g.stopped {
				return nil
			}
			return g.arrived(s, &r, b)
		}
	})
}

// arrived takes what a read brought.
func (g *group) arrived(s *shard, r *reply, b *buffer) error {
	if s.gone {
		return nil
	}
	s.pace.ask(time.Now().Add(-r.took))
	if r.opened {
		s.quiet = nil
		s.unjudged = s.unjudged || s.horizon || s.end.IsZero() || g.stream.Kinesis
	}
	if r.err != nil {
		s.iterator = r.iterator
		return g.failed(s, r.err)
	}
	s.heard = true
	if s.failures = 0; !s.absent.IsZero() {
		s.absent, s.absences = time.Time{}, 0
		g.missing--
	}
	if s.closed {
		return nil // it was asked whether it is still there
	}
	g.learn(b.Date)
	g.o.Metrics.Read.Add(int64(len(b.Records)))
	if err := g.judge(s, b); err != nil {
		return err
	}
	news, err := g.add(s, b)
	if err != nil {
		return err
	}
	s.iterator = b.Next
	if news {
		g.woken()
	}
	if b.Next == "" {
		return g.drained(s, b.Children)
	}
	g.settle(s, r, b, news)
	return nil
}

// add hands a page's new records to the builder. news tells whether there were any.
func (g *group) add(s *shard, b *buffer) (news bool, err error) {
	last := s.end
	for i := range b.Records {
		r := &b.Records[i]
		if r.Position.Compare(last) <= 0 {
			continue // the whole of an aggregate comes again
		}
		if plantedSkips(s, b, i) {
			continue
		}
		last, news = r.Position, true
		s.time = max(s.time, r.Micros)
		if g.stream.Kinesis && r.Event != 0 && g.seen.before(r.EventID) {
			g.o.Metrics.Duplicates.Add(1)
			continue
		}
		if g.build.Full() {
			g.cut()
		}
		line := r.Raw
		if g.stream.Kinesis {
			g.line = changelog.AppendKinesis(g.line[:0], r)
			line = g.line
		}
		if err := g.build.Add(s.ID, changelog.Record{Raw: line, Position: r.Position, Micros: r.Micros, Key: b.keys[i]}); err != nil {
			return news, fault.At(err, fault.Place{File: g.stream.ARN + " " + s.ID})
		}
	}
	if news {
		s.end = feed.Position{Seq: feed.Number(strings.Clone(string(last.Seq))), Sub: last.Sub}
		s.basis = max(s.basis, s.time)
		s.size = (s.size + b.Bytes/len(b.Records)) / 2
	}
	return news, nil
}

// settle says when the next page of an open shard is due.
func (g *group) settle(s *shard, r *reply, b *buffer, news bool) {
	asked := b.Date.Add(-r.took).UnixMicro()
	atEnd := len(b.Records) == 0
	if g.stream.Kinesis {
		atEnd = b.Behind == 0
	}
	if atEnd {
		if s.empty(asked, g.stream.Kinesis) {
			g.o.Metrics.Progress.Store(g.now())
			g.mark = g.mark || g.markDue(s)
		}
		if !news && s.ahead {
			g.o.Metrics.setLag(s.ID, 0)
		}
	} else {
		s.quiet = nil
	}
	var wait time.Duration
	if g.stream.Kinesis {
		s.ahead = b.Behind == 0
		wait = time.Duration(b.Bytes) * time.Second / kinesisBytesSecond
	} else if news {
		// What comes now was written just now, or there is more to be caught up with.
		s.ahead = b.Date.UnixMicro()-s.time < aheadWithin.Microseconds() && len(b.Records) < limitFor(s.size)/2
	}
	if s.ahead {
		wait = max(wait, g.rates.interval(g.quiet()))
	}
	g.schedule(s, later(time.Now().Add(wait-r.took), s.pace.free(g.o.CallsPerSecond)))
}

const (
	// aheadWithin is how young a shard's last record is when it has caught up.
	aheadWithin = 20 * time.Second
	// kinesisBytesSecond is what a shard gives all its readers together (KDS quotas).
	kinesisBytesSecond = 2 << 20
)

// woken brings the shards that rest back to the full rate: who writes one item often writes others.
func (g *group) woken() {
	rested := g.quiet() > 4*g.rates.Full
	g.wake()
	if !rested {
		return
	}
	soon := time.Now().Add(g.rates.Full)
	for _, s := range g.list {
		if s.index >= 0 && s.failures == 0 && s.at.After(soon) {
			g.schedule(s, soon)
		}
	}
}

// markDue tells whether a tip is worth an entry of its own: the first of a shard of which the log knows no time, so that a
// later life can tell rest from loss; then every TipEvery; and where somebody waits for it.
func (g *group) markDue(s *shard) bool {
	return s.told == 0 && s.time == 0 || s.tip-max(s.told, s.time) >= g.o.TipEvery.Microseconds() || g.awaited(s.told, s.tip)
}

// awaited tells whether somebody waits for the log to get from one time to another.
func (g *group) awaited(told, tip int64) bool {
	until := g.o.Until.UnixMicro()
	return !g.o.Until.IsZero() && told < until && until <= tip
}

// failed decides what an error of a read means.
func (g *group) failed(s *shard, err error) error {
	kind := fault.KindOf(err)
	switch {
	case g.reads.Err() != nil && errors.Is(err, context.Canceled):
		return nil
	case errors.Is(err, feed.ErrExpired):
		s.reopen()
		plantedExpiry(s)
		g.schedule(s, time.Now())
		return nil
	case errors.Is(err, feed.ErrTrimmed):
		s.reopen()
		s.horizon, s.trimmed, s.unjudged = true, true, true
		g.schedule(s, time.Now())
		return nil
	case kind == fault.NotFound:
		return g.absent(s)
	case !kind.Retryable():
		return err
	case kind == fault.Throttled:
		g.o.Metrics.Throttles.Add(1)
	}
	g.o.Metrics.Retries.Add(1)
	s.failures++
	g.schedule(s, time.Now().Add(backoff(g.reads, s.ID, s.failures)))
	return nil
}

// drained notes that all of a shard's records are with the builder, and looks for its children.
func (g *group) drained(s *shard, children []feed.Shard) error {
	if err := g.build.Close(s.ID); err != nil {
		return err
	}
	s.closed = true
	s.look(false)
	g.children = append(g.children, s)
	g.o.Metrics.forget(s.ID)
	return g.adopt(s, children)
}
