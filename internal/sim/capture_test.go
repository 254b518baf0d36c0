package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dynaferry/internal/capture"
	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
)

// captured tries package capture with package changelog below it: processes carry the stream into one log.
func captured() Scenario {
	return Scenario{Name: "capture", Actor: carry,
		Begin: func(w *World) error {
			_, err := changelog.Create(context.Background(), w.Store.Bucket(), "log", changelog.Info{Stream: w.Plan.Stream(), Table: TableName,
				Kinesis: w.Plan.Kinesis, Keys: keys, View: feed.BothImages, Groups: uint32(max(1, w.Plan.Groups))})
			return err
		},
		Safe: func(w *World) error { return checkLog(w, false) },
		Done: func(w *World) error { return checkLog(w, true) }}
}

func carry(ctx context.Context, env *Env) error {
	log, err := changelog.Open(ctx, env.Bucket, "log")
	if err != nil {
		return err
	}
	return capture.Run(ctx, log, env.Feed, env.Stream, capture.Options{Writer: env.Name, ReadBudget: 240,
		Builder: changelog.BuilderOptions{Workers: 1, BlockBytes: 4 << 10, OpenBytes: 16 << 10}, SegmentBytes: 32 << 10})
}

// logged is what a log says, as far as it is checked.
type logged struct {
	shards map[string]*loggedShard
	ids    map[string]bool // event ids of all records
	order  map[string][]string
	gaps   []*changelog.Entry
}

// loggedShard is one shard's records, and the entries that say something of it, in the chain's order.
type loggedShard struct {
	lines map[string]bool
	last  int // number of the last record
	begun int64
	seen  []seenShard
}

type seenShard struct {
	changelog.Shard
	at   int64
	gap  bool
	gone bool
}

func (l *logged) shard(id string) *loggedShard {
	s := l.shards[id]
	if s == nil {
		s = &loggedShard{lines: map[string]bool{}}
		l.shards[id] = s
	}
	return s
}

// readLog reads all chains. That entries go on where those before end, reading them checks.
func readLog(w *World) (*logged, error) {
	log, err := changelog.Open(context.Background(), w.Store.Bucket(), "log")
	if err != nil {
		return nil, err
	}
	l := &logged{shards: map[string]*loggedShard{}, ids: map[string]bool{}, order: map[string][]string{}}
	for group := range log.Groups {
		entries := 0
		for batch, err := range log.Read(context.Background(), changelog.Range{Group: group}) {
			if err != nil {
				return nil, err
			}
			entries++
			if err := l.entry(batch); err != nil {
				return nil, err
			}
		}
		if err := checkNames(w, group, entries); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *logged) entry(batch *changelog.Batch) error {
	for i := range batch.Parts {
		records, err := batch.Parts[i].Records(nil)
		if err != nil {
			return err
		}
		s := l.shard(batch.Parts[i].Source.ID)
		for line := range changelog.Lines(records) {
			at, err := changelog.PositionOf(line)
			if err != nil {
				return err
			}
			if n := number(at.Seq); n <= s.last {
				return fmt.Errorf("shard %s: record %d comes behind %d", batch.Parts[i].Source.ID, n, s.last)
			} else {
				s.last = n
			}
			text := string(line)
			s.lines[text] = true
			id := eventOf(text)
			l.ids[id] = true
			_, rest, _ := strings.Cut(text, `"Keys":{"id":{"S":"`)
			key, _, _ := strings.Cut(rest, `"`)
			place := fmt.Sprintf("%s of group %d", key, batch.Group)
			l.order[place] = append(l.order[place], id)
		}
	}
	if batch.Gap != nil {
		l.gaps = append(l.gaps, batch.Entry)
	}
	for i := range batch.Entry.Shards {
		s := &batch.Entry.Shards[i]
		to := l.shard(s.ID)
		if len(to.seen) == 0 {
			to.begun = batch.At
		}
		gone := batch.Gap != nil && slices.Contains(batch.Gap.Gone, s.ID)
		to.seen = append(to.seen, seenShard{*s, batch.At, batch.Gap != nil, gone})
	}
	return nil
}

// checkLog compares the log with the stream, and with what happened to the table; whole tells that nothing may be missing.
func checkLog(w *World, whole bool) error {
	l, err := readLog(w)
	if err != nil {
		return err
	}
	w.Table.mu.Lock()
	defer w.Table.mu.Unlock()
	if len(l.gaps) > 0 && !w.Plan.Outage {
		return fmt.Errorf("entry %d tells a gap where nothing was lost: %+v", l.gaps[0].N, l.gaps[0].Gap)
	}
	there := map[string]bool{}
	for _, s := range w.Table.shards {
		there[s.ID] = true
		if err := l.checkShard(w, s, whole); err != nil {
			return fmt.Errorf("shard %s: %w", s.ID, err)
		}
	}
	for id := range l.shards {
		if !there[id] {
			return fmt.Errorf("the log has a shard %s that the stream never had", id)
		}
	}
	if w.Plan.Kinesis {
		return nil // has no order of an item's changes
	}
	return l.checkOrder(w)
}

// checkShard: the log has the shard's records, each once and in order, up to a point or all; what it lacks a gap tells, and
// was no longer to be had; and of before a tip mark it lacks nothing.
func (l *logged) checkShard(w *World, s *shard, whole bool) error {
	got := l.shards[s.ID]
	if got == nil {
		got = &loggedShard{}
	}
	found := 0
	for _, r := range s.records {
		if got.lines[r.line(w.Plan.Kinesis)] {
			found++
			continue
		}
		n := number(r.seq)
		for _, seen := range got.seen {
			if seen.Tip > r.at.UnixMicro() && number(seen.End.Seq) < n && !l.double(w, r) && l.lost(w, s, got, r) == "" {
				return fmt.Errorf("the tip mark %d is above record %d of %d, which is missing", seen.Tip, n, r.at.UnixMicro())
			}
		}
		if !whole && n > got.last || l.double(w, r) || l.lost(w, s, got, r) != "" {
			continue
		}
		return fmt.Errorf("record %d of %v is missing, and nothing tells of it", n, r.at.Sub(w.Begun))
	}
	if found != len(got.lines) {
		return fmt.Errorf("%d records of the log are none of the stream's", len(got.lines)-found)
	}
	return nil
}

// double tells whether Kinesis told the record twice, and once is in the log.
func (l *logged) double(w *World, r *record) bool {
	return w.Plan.Kinesis && l.ids[fmt.Sprintf("%032x", r.N)]
}

// lost tells why a record that was not captured in time may be missing, "" when it may not.
func (l *logged) lost(w *World, s *shard, got *loggedShard, r *record) string {
	until := func(at int64) bool {
		return r.at.UnixMicro() < at-retention.Microseconds()+2*time.Minute.Microseconds()
	}
	n := number(r.seq)
	for _, seen := range got.seen {
		switch {
		case !seen.gap || !until(seen.at):
		case seen.After != seen.End && number(seen.After.Seq) < n && n <= number(seen.End.Seq):
			return "a gap with numbers"
		case seen.After == seen.End && number(seen.After.Seq) < n && (seen.gone || got.last <= number(seen.After.Seq) || n < got.firstBehind(seen.After)):
			return "a gap that is open"
		}
	}
	if len(got.seen) == 0 || got.last == 0 || n < got.firstBehind(feed.Position{}) {
		for _, gap := range l.gaps {
			if until(gap.At) && l.descends(w, s, gap.Gap.Gone) {
				return "its lineage is gone"
			}
			// The clock that entries tell is learnt to the second: one may seem older than the one before.
			if until(gap.At) && (len(got.seen) == 0 || got.begun+time.Second.Microseconds() > gap.At) && len(gap.Gap.Gone) > 0 && gap.Gap.From <= r.at.UnixMicro() {
				return "it was not known before, and is gone with others of its time"
			}
		}
	}
	if len(got.seen) == 0 { // never known, and gone: what came after it tells so
		for _, child := range w.Table.shards {
			if below := l.shards[child.ID]; below != nil && l.descends(w, child, []string{s.ID}) &&
				slices.ContainsFunc(below.seen, func(seen seenShard) bool { return seen.gap && seen.After.IsZero() && until(seen.at) }) {
				return "a gap where its child begins"
			}
		}
	}
	if l.fresh(w, s) && (len(got.seen) == 0 || until(got.begun)) && time.Since(r.at) > retention-2*time.Minute {
		return "the log begins later"
	}
	return ""
}

// firstBehind is the number of the first record of the log behind a position.
func (s *loggedShard) firstBehind(p feed.Position) int {
	first := int(^uint(0) >> 1)
	for line := range s.lines {
		if at, err := changelog.PositionOf([]byte(line)); err == nil && number(at.Seq) > number(p.Seq) {
			first = min(first, number(at.Seq))
		}
	}
	return first
}

// ancestors yields the shards that one descends from.
func ancestors(w *World, s *shard, visit func(*shard) bool) bool {
	for _, parent := range s.Parents {
		for _, p := range w.Table.shards {
			if p.ID == parent && (visit(p) || ancestors(w, p, visit)) {
				return true
			}
		}
	}
	return false
}

func (l *logged) descends(w *World, s *shard, from []string) bool {
	return slices.Contains(from, s.ID) || ancestors(w, s, func(p *shard) bool { return slices.Contains(from, p.ID) })
}

// fresh tells that the log had nothing of the shard's lineage before.
func (l *logged) fresh(w *World, s *shard) bool {
	return !ancestors(w, s, func(p *shard) bool { return l.shards[p.ID] != nil })
}

// checkOrder: what the log says of each item, in the log's order, is what happened to it.
func (l *logged) checkOrder(w *World) error {
	want := map[string][]string{}
	for _, c := range w.Table.changes {
		want[c.Key] = append(want[c.Key], fmt.Sprintf("%032x", c.N))
	}
	for place, got := range l.order {
		key, _, _ := strings.Cut(place, " ")
		rest := want[key]
		for i, id := range got {
			at := slices.Index(rest, id)
			if at < 0 {
				return fmt.Errorf("item %s: the log has change %s as number %d, out of the table's order or twice", place, id, i)
			}
			rest = rest[at+1:]
		}
	}
	return nil
}

// checkNames: a chain is dense, and each entry was written once.
func checkNames(w *World, group uint32, entries int) error {
	n := 0
	dir := fmt.Sprintf("log/chain/%03d/", group)
	for _, name := range w.Store.Names() {
		if !strings.HasPrefix(name, dir+"0") {
			continue
		}
		if n++; name != fmt.Sprintf("%s%012d", dir, n) {
			return fmt.Errorf("%s is there, where entry %d should be", name, n)
		}
		if w.Store.Written(name) != 1 {
			return fmt.Errorf("%s was written %d times", name, w.Store.Written(name))
		}
	}
	if n != entries {
		return fmt.Errorf("%d entries are there, %d were read", n, entries)
	}
	return nil
}
