package job

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"dynaferry/internal/changelog"
	"dynaferry/internal/delivery"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// Capture always begins at the oldest record that the stream has; what is asked for here is where the delivery begins. That is
// decided once, by its first epoch (delivery.Begin): a run that is started again goes on, whatever it asks for.

// Words for where a delivery begins.
const (
	fromNow         = "now"
	fromTrimHorizon = "trim-horizon"
)

// checkFrom refuses what is no beginning, before anything is looked at.
func (f *Follow) checkFrom() error {
	from := f.wish.From
	if len(from) == 0 {
		return nil
	}
	if f.wish.Dest == "" {
		return fault.Hint(fault.New(fault.User, "--from is where a delivery begins; the log takes all that the stream has"), "name a destination, or leave --from away")
	}
	if isMoment(from) {
		if _, err := parseMoment(from[0], time.Now()); err != nil {
			return fmt.Errorf("--from: %w", err)
		}
	}
	return nil
}

// isMoment tells a time from a word and from positions: neither a shard's id nor a number has a T.
func isMoment(from []string) bool {
	return len(from) == 1 && from[0] != fromTrimHorizon && from[0] != fromNow && (!strings.Contains(from[0], ":") || strings.Contains(from[0], "T"))
}

// begin settles FollowWish.From, while nothing is delivered yet.
func (f *Follow) begin(ctx context.Context, shards []feed.Shard) error {
	from := f.wish.From
	if len(from) == 0 {
		return nil
	}
	b, decided, err := delivery.Began(ctx, f.dest.Bucket, f.dest.Prefix, f.wish.Delivery)
	if err != nil {
		return err
	}
	if decided {
		if b == nil || b.Asked != strings.Join(from, " ") {
			f.env.say("the delivery goes on; --from %s is of a delivery's first run, and this one began %s", strings.Join(from, " "), began(b))
		}
		return nil
	}
	if b, err = f.beginning(ctx, shards); err != nil {
		return err
	}
	f.env.say("the delivery begins %s", began(b))
	f.wish.Deliver.Begin = func(context.Context) (*delivery.Begin, error) { return b, nil }
	return nil
}

// began says it for people.
func began(b *delivery.Begin) string {
	switch {
	case b == nil || b.Time == 0 && len(b.Behind) == 0:
		return "with the oldest change of the log"
	case len(b.Behind) > 0:
		return "behind " + b.Asked
	}
	return "with the changes of " + timeText(time.UnixMicro(b.Time))
}

// beginning says where --from is.
func (f *Follow) beginning(ctx context.Context, shards []feed.Shard) (*delivery.Begin, error) {
	from := f.wish.From
	b := &delivery.Begin{Asked: strings.Join(from, " ")}
	if len(from) == 1 {
		switch text := from[0]; {
		case text == fromTrimHorizon:
			return b, nil
		case text == fromNow:
			now, err := f.serviceNow(ctx, shards)
			b.Time = now.UnixMicro() - changelog.SettleMicros // a change of after now may be stamped so: better one too many
			return b, err
		case isMoment(from):
			at, err := parseMoment(text, time.Now())
			if err != nil {
				return nil, fmt.Errorf("--from: %w", err)
			}
			b.Time = at.UnixMicro()
			return b, nil
		}
	}
	b.Behind = map[string]feed.Position{}
	for _, text := range from {
		if err := f.behind(ctx, b, text, shards); err != nil {
			return nil, err
		}
	}
	slices.Sort(b.Before)
	b.Before = slices.Compact(b.Before)
	return b, nil
}

// behind reads one SHARD:NUMBER.
func (f *Follow) behind(ctx context.Context, b *delivery.Begin, text string, shards []feed.Shard) error {
	id, number, _ := strings.Cut(text, ":")
	position, err := feed.ParsePosition(number)
	if err != nil || id == "" {
		return fault.Hint(fault.New(fault.User, "--from %s is no position", text), "SHARD:NUMBER, each as inspect of the log shows it, once for each shard; a time or %s stands alone", fromNow)
	}
	parents := map[string][]string{}
	for _, s := range shards {
		parents[s.ID] = s.Parents
	}
	err = f.eachState(ctx, func(s *changelog.State) {
		for _, shard := range s.Shards() {
			parents[shard.ID] = shard.Parents
		}
	})
	if err != nil {
		return err
	}
	if _, known := parents[id]; !known {
		return fault.Hint(fault.New(fault.User, "--from %s: neither the stream nor the log knows the shard", text), "dynaferry inspect %s shows those of the log", f.log.URL())
	}
	if _, twice := b.Behind[id]; twice {
		return fault.New(fault.User, "--from: the shard %s is named twice", id)
	}
	b.Behind[id] = position
	for up := slices.Clone(parents[id]); len(up) > 0; up = up[1:] {
		if !slices.Contains(b.Before, up[0]) {
			b.Before = append(b.Before, up[0])
			up = append(up, parents[up[0]]...)
		}
	}
	return nil
}

// serviceNow is the service's clock, to the second before: the Date of the reply of the first shard that answers.
func (f *Follow) serviceNow(ctx context.Context, shards []feed.Shard) (time.Time, error) {
	var page feed.Page
	err := fault.New(fault.Unavailable, "stream %s has no shard that answers", path.Base(f.stream.ARN))
	for i := len(shards) - 1; i >= 0; i-- { // the youngest are there for longer
		it, failed := f.client.Iterator(ctx, f.stream.ARN, shards[i].ID, feed.Position{})
		if failed == nil {
			page.Reset()
			failed = f.client.Read(ctx, it, 1, &page)
		}
		if failed == nil && !page.Date.IsZero() {
			return page.Date.UTC().Truncate(time.Second), nil
		}
		if failed != nil {
			err = fmt.Errorf("ask the stream for its time: %w", failed)
		}
	}
	return time.Time{}, err
}
