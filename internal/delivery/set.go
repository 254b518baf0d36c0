package delivery

import (
	"context"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Set is records that came together and are of no log, as a Lambda function gets them. Whoever brings them says nothing of what
// lies between one set and the next, so there are no epochs, and nothing is told of gaps.
type Set struct {
	Name   string // in names of files; a function of the records that were given, so that the same set makes the same files
	Source string // ARN of the stream, in dead letters
	Shard  string // "" where it is not told
	At     int64  // when it was read, in µs since 1970; also a function of the records
	Lines  []byte // the records, as a log keeps them (docs/formats/changelog.md)
	// Known tells of records, by event id, that are in files of an earlier set; they are left out. It may be nil.
	Known func(eventID []byte) bool
}

// Deliver makes files of a set, each put if absent under a name that is a function of the set, and tells which. It may be
// called again with the same set, also after an error and by another process: then the same files are there, once. An event
// id that a set has twice counts once. Columns are those of the set alone. Errors are those of Run, which tries again what may pass; Deliver leaves that to
// the caller.
func Deliver(ctx context.Context, dst blob.Bucket, s Settings, o Options, set Set) (*Done, error) {
	o = o.filled()
	s, x, err := s.filled()
	if err != nil {
		return nil, err
	}
	transform, err := o.transform(s.Steps)
	if err != nil {
		return nil, err
	}
	if s.Form == CSV && transform != nil && !transform.Pure() {
		return nil, fault.Hint(fault.New(fault.Unsupported, "a set is read twice for CSV, and its steps could make something else of it the second time"), "use --format json or parquet")
	}
	w := &work{ledger: newLedger(dst, o.Dir, s.Name), o: &o, set: &set, prefixes: x, transform: transform, done: Done{Format: formatVersion, Files: []File{}},
		epoch: &Epoch{Settings: s, Spans: []Span{{}}, Log: LogID{Stream: set.Source}}}
	if err := w.make(ctx); err != nil {
		return nil, err
	}
	return &w.done, nil
}

// loadSet hands on the set as one page.
func (s *spanWork) loadSet(ctx context.Context, order chan<- chan *page) error {
	p := <-s.spare
	p.reset(&changelog.Entry{At: s.set.At}, 0, int64(len(s.set.Lines)))
	p.shard = s.set.Shard
	p.feed.Items.Src = item.GrowSlack(append(p.feed.Items.Src[:0], s.set.Lines...))
	seen := map[string]bool{}
	err := p.parse(0, false, func(c *Change) bool {
		id := string(c.EventID)
		if id == "" {
			return true
		}
		if seen[id] || s.set.Known != nil && s.set.Known(c.EventID) {
			return false
		}
		seen[id] = true
		return true
	})
	if err != nil {
		return err
	}
	if s.transform == nil {
		if err := s.form(p); err != nil {
			return err
		}
	}
	coming := make(chan *page, 1)
	coming <- p
	close(coming)
	select {
	case order <- coming:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
