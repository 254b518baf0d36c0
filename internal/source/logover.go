package source

import (
	"context"
	"path"
	"strings"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/world"
)

// A window of a change log may overlap what it is laid over: the log tells every change in order, so that its last one of a key is
// what the key came to, whether or not base and exports have it already. So it begins early enough for clocks that differ, and an
// item that was made and deleted while the base was scanned is gone.

// logOverlap is how much earlier than what it is laid over the window of a log begins.
const logOverlap = 15 * time.Minute

// addLog lays the changes of a log behind all windows that there are.
func (s *files) addLog(ctx context.Context, w *world.World, o Overlay) error {
	if s.info.Kind == KindIncremental || s.info.Shows == nil && len(s.info.Windows) == 0 {
		_, err := checkBase(&s.info, []Window{{URL: o.Address}})
		return err
	}
	before, from := s.info.URL+" shows the table of", time.Time{}
	if s.info.Shows != nil {
		from = s.info.Shows.Start
	}
	if n := len(s.info.Windows); n > 0 {
		before, from = s.info.Windows[n-1].URL+" ends at", s.info.Windows[n-1].To
	}
	wish := *o.Log
	if wish.FromText == "" {
		wish.FromText = from.Add(-logOverlap).UTC().Format(time.RFC3339Nano)
	}
	whole := wish
	whole.Whole = true // which is no part of the plan
	opened, err := Open(ctx, w, Spec{Address: o.Address, Log: &whole})
	if err != nil {
		return err
	}
	l, ok := opened.(*log)
	if !ok {
		return fault.New(fault.User, "%s is no change log", o.Address)
	}
	switch {
	case !l.log.View.HasNew():
		return fault.Hint(fault.New(fault.User, "%s has the view %s: what items became is not in it", l.at, l.log.View), "follow the table with a stream of NEW_AND_OLD_IMAGES")
	case len(l.log.Redact) > 0:
		return fault.New(fault.User, "%s was made with --redact: items are not in it as they were", l.at)
	}
	begins, err := l.begins(ctx)
	if err != nil {
		return err
	}
	if begins.After(from) {
		return missing(&ChainError{Before: before, After: l.at.String() + " begins at", From: from, To: begins})
	}
	window := l.info.Windows[0]
	s.info.Warnings = append(s.info.Warnings, l.info.Warnings...)
	s.info.Windows = append(s.info.Windows, window)
	s.changes = append(s.changes, windowFiles{log: l})
	s.spec.Overlay = append(s.spec.Overlay, Overlay{Address: l.at.String(), Log: &wish})
	return nil
}

// streamKeeps is how long a stream has its records at least, less what a first look takes.
const streamKeeps = 23 * time.Hour

// begins is the time from which on every change is in the log. Capture begins at the oldest record that a stream has: that
// is a day ago, or when the stream was turned on. Of Kinesis nobody knows since when the table writes into it.
func (s *log) begins(ctx context.Context) (time.Time, error) {
	var begins time.Time
	on, err := time.Parse("2006-01-02T15:04:05.999", path.Base(s.log.Stream))
	for group := range s.log.Groups {
		first, failed := s.log.Entry(ctx, group, 1)
		if failed != nil {
			return begins, failed
		}
		at := time.UnixMicro(first.At).UTC()
		if err == nil && !s.log.Kinesis {
			if at = at.Add(-streamKeeps); at.Before(on) {
				at = on
			}
		}
		if at.After(begins) {
			begins = at
		}
	}
	return begins, nil
}

// tableOf is the table of a stream's ARN, as far as that tells it.
func tableOf(stream string) TableIdentity {
	arn, _, ok := strings.Cut(stream, "/stream/")
	if !ok || !strings.Contains(arn, ":table/") {
		return TableIdentity{}
	}
	return TableIdentity{ARN: arn}
}

// times reads a window whose texts are whole times, as those in plans.
func (l *LogSpec) times() (err error) {
	for _, t := range []struct {
		text string
		at   *time.Time
	}{{l.FromText, &l.From}, {l.ToText, &l.To}} {
		if t.text == "" || !t.at.IsZero() {
			continue
		}
		if *t.at, err = time.Parse(time.RFC3339, t.text); err != nil {
			return fault.New(fault.User, "%q is no time", t.text)
		}
	}
	return nil
}
