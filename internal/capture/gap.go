package capture

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/planted"
)

// GapError tells that records are missing from the log, and that it says so: the entry stands.
type GapError struct {
	Group  uint32
	N      uint64   // the entry of kind gap
	Shards []string // whose records are missing
	Reason string
	From   time.Time // no missing record is older; zero: unknown
	To     time.Time // nor newer
	err    error
}

// Error tells the place and what is missing.
func (e *GapError) Error() string { return e.err.Error() }

// Unwrap gives the error with its hint.
func (e *GapError) Unwrap() error { return e.err }

// toldGap reports a gap whose entry is in the log.
func (g *group) toldGap(e *changelog.Entry) error {
	g.o.Metrics.Gaps.Add(1)
	gap := &GapError{Group: e.Group, N: e.N, Reason: e.Gap.Reason}
	if e.Gap.From > 0 {
		gap.From = time.UnixMicro(e.Gap.From).UTC()
	}
	if e.Gap.To > 0 {
		gap.To = time.UnixMicro(e.Gap.To).UTC()
	}
	for i := range e.Shards {
		if s := &e.Shards[i]; !e.Whole || s.End != s.After || slices.Contains(e.Gap.Gone, s.ID) {
			gap.Shards = append(gap.Shards, s.ID)
		}
	}
	from, to := "an unknown time", gap.To.Format(time.RFC3339)
	if !gap.From.IsZero() {
		from = gap.From.Format(time.RFC3339)
	}
	table := g.log.Table
	if table == "" {
		table = g.stream.Table
	}
	gap.err = fault.Hint(fault.At(fault.New(fault.Differs, "changes are missing from the log, of %s to %s at the latest: %s", from, to, e.Gap.Reason),
		fault.Place{File: fmt.Sprintf("%s entry %d of group %d", g.log.URL(), e.N, e.Group)}),
		"dynaferry follow dynamodb://%s %s --heal", table, g.log.URL())
	if g.o.OnGap != nil {
		g.o.OnGap(gap)
	}
	if g.o.StopAtGap {
		return gap
	}
	return nil
}

// judge looks at the first page since a shard was opened where records may be missing: at its oldest record, or on
// Kinesis anywhere. None is missing while the log knows the shard's records up to a time within the retention.
func (g *group) judge(s *shard, b *buffer) error {
	if !s.unjudged {
		return nil
	}
	trimmed := s.trimmed
	s.unjudged, s.horizon, s.trimmed = false, false, false
	date := b.Date.UnixMicro()
	if s.basis == 0 && !trimmed || s.basis > 0 && date-s.basis < g.o.Retention.Microseconds() {
		return nil
	}
	if planted.Is(planted.SilentGap) {
		return nil
	}
	to, until := s.end, date
	for i := range b.Records {
		if r := &b.Records[i]; r.Position.Compare(s.end) > 0 {
			if before := before(r.Position); before.Compare(s.end) > 0 {
				to = before
			}
			until = min(until, r.Micros)
			break
		}
	}
	reason := fmt.Sprintf("shard %s: the service no longer has what came behind %v", s.ID, s.end)
	note := changelog.GapNote{Reason: reason, From: s.basis, To: max(until, s.basis)}
	if err := g.gap(note, map[string]feed.Position{s.ID: to}); err != nil {
		return err
	}
	s.end, s.basis = to, date
	return nil
}

// before is the last position that may come before another.
func before(p feed.Position) feed.Position {
	if p.Sub > 1 {
		return feed.Position{Seq: feed.Number(strings.Clone(string(p.Seq))), Sub: p.Sub - 1}
	}
	n, ok := new(big.Int).SetString(p.Seq.String(), 10)
	if !ok || n.Sign() == 0 {
		return feed.Position{}
	}
	seq, err := feed.ParseNumber(n.Sub(n, big.NewInt(1)).String())
	if err != nil {
		return feed.Position{}
	}
	return feed.Position{Seq: seq}
}

// gap puts the entry of a gap into the queue, behind all that was read before.
func (g *group) gap(note changelog.GapNote, to map[string]feed.Position) error {
	g.cut()
	d, err := g.build.Gap(note, to)
	if err != nil {
		return err
	}
	g.enqueue(d)
	g.tidy()
	g.telling = g.telling || len(note.Gone) > 0 || note.Stream != ""
	return nil
}

const (
	// A shard that the service does not know is gone when it says so this often over this long: lists and answers lag.
	absencesSure = 3
	absentSure   = time.Minute
)

// absent notes that the service does not know a shard. The list of shards tells whether the stream as a whole is gone.
func (g *group) absent(s *shard) error {
	s.reopen()
	if s.absent.IsZero() {
		s.absent = time.Now()
		g.missing++
		g.listAt = time.Now()
	}
	if s.absences++; s.absences < absencesSure || time.Since(s.absent) < absentSure {
		g.schedule(s, time.Now().Add(absentSure/(absencesSure-1)))
		return nil
	}
	s.gone = true
	g.missing--
	g.lost = append(g.lost, s)
	return nil
}

// tellLost tells of the shards that are gone, all at once when no other is in doubt.
func (g *group) tellLost() error {
	if len(g.lost) == 0 || g.missing > 0 {
		return nil
	}
	// Shards that were never listed may be gone with them: what begins anew tells nothing of where it comes from.
	note := changelog.GapNote{From: g.complete, To: g.now()}
	for _, s := range g.lost {
		if note.From == 0 || s.basis < note.From {
			note.From = s.basis
		}
		note.Gone = append(note.Gone, s.ID)
		s.closed = true
		g.forget(s)
	}
	slices.Sort(note.Gone)
	note.Reason = fmt.Sprintf("the service no longer has %d shards that were not read to their end, or their children: %s", len(g.lost), note.Gone[0])
	g.lost = nil
	g.complete = note.To
	return g.gap(note, nil)
}

// newStream tells that another stream of the table takes over from old: what happened between the two is not known.
func (g *group) newStream(old string) error {
	note := changelog.GapNote{Reason: "another stream of the table takes over: changes between the two are in neither", Stream: old, To: g.now()}
	for _, s := range g.list {
		if note.From == 0 || s.basis < note.From {
			note.From = s.basis
		}
		g.unschedule(s)
	}
	err := g.gap(note, nil)
	g.list, g.children, g.complete = nil, nil, note.To
	return err
}
