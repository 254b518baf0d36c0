package changelog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// told is a record as a reader of a log has it.
type told struct {
	shard, line string
	running     int64
}

// tell reads a part as readers of windows do: a record's time is the running maximum from its block's beginning on, a final state's its own.
func tell(p *Part, micros map[string]int64, each func(told) error) error {
	lines, err := p.Records(nil)
	if err != nil {
		return err
	}
	running, shard := p.From, ""
	if p.Source != nil {
		shard = p.Source.ID
	}
	for line := range Lines(lines) {
		if running = max(running, micros[string(line)]); shard == "" {
			running = micros[string(line)]
		}
		if err := each(told{shard, string(line), running}); err != nil {
			return err
		}
	}
	return nil
}

// copying is a log, and what a part of it is to hold.
type copying struct {
	from   *Log
	micros map[string]int64 // of each line
	info   Info
	wants  func(t told) bool
}

// copy does what is left of a group, as job does; a copier that loses an entry to another goes on behind it.
func (c *copying) copy(ctx context.Context, b blob.Bucket, group uint32, writer string, o CopierOptions) error {
	l, err := Create(ctx, b, "part", c.info)
	if err != nil {
		return err
	}
	for {
		err := c.goOn(ctx, l, group, writer, o)
		var fenced *FencedError
		if !errors.As(err, &fenced) {
			return err
		}
	}
}

func (c *copying) goOn(ctx context.Context, l *Log, group uint32, writer string, o CopierOptions) error {
	copier, err := l.Copier(ctx, group, writer, c.from, o)
	if err != nil {
		return err
	}
	for b, err := range c.from.Read(ctx, Range{Group: group, First: max(copier.Through()+1, l.Part.Entries[group].First), Last: l.Part.Entries[group].Last}) {
		if err != nil {
			return err
		}
		err = copier.Entry(ctx, b, func(add func(*Part, Record) error) error {
			for i := range b.Parts {
				p := &b.Parts[i]
				err := tell(p, c.micros, func(t told) error {
					if !c.wants(t) {
						return nil
					}
					at, err := PositionOf([]byte(t.line))
					if err != nil {
						return err
					}
					return add(p, Record{Raw: []byte(t.line), Position: at, Micros: c.micros[t.line], Running: t.running})
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return copier.Finish(ctx)
}

// judge compares the part with the log: records, their times, and behind each entry the state.
func (c *copying) judge(t *testing.T, b blob.Bucket) {
	t.Helper()
	l, err := Open(t.Context(), b, "part")
	must(t, err)
	for group := range l.Groups {
		run := l.Part.Entries[group]
		var want, have []told
		all := func(into *[]told, wants func(told) bool) func(told) error {
			return func(r told) error {
				if wants(r) {
					*into = append(*into, r)
				}
				return nil
			}
		}
		for b, err := range c.from.Read(t.Context(), Range{Group: group, First: run.First, Last: run.Last}) {
			must(t, err)
			for i := range b.Parts {
				if from, to := l.Part.Bounds(); b.Compacted != nil && !b.Compacted.Meets(from, to) {
					break
				}
				must(t, tell(&b.Parts[i], c.micros, all(&want, c.wants)))
			}
		}
		entries, through := 0, uint64(0)
		gaps := map[uint64]uint64{} // of the part: by their number, that in the log
		for b, err := range l.Read(t.Context(), Range{Group: group}) {
			must(t, err)
			entries++
			through = b.Through
			for i := range b.Parts {
				p, n := &b.Parts[i], len(have)
				must(t, tell(p, c.micros, all(&have, func(told) bool { return true })))
				first, err := PositionOf([]byte(have[n].line))
				must(t, err)
				last, err := PositionOf([]byte(have[len(have)-1].line))
				must(t, err)
				if p.Source != nil && (p.First != first || p.Last != last) {
					t.Errorf("entry %d: block %d holds %v to %v and says %v to %v", b.N, i, first, last, p.First, p.Last)
				}
			}
			if b.Gap != nil {
				gaps[b.N] = b.Through
			}
			if b.Compacted != nil {
				theirs, err := c.from.Entry(t.Context(), group, b.Through)
				must(t, err)
				if of := theirs.Compacted.Gap; gaps[b.Compacted.Gap] != of && (of >= run.First || b.Compacted.Gap != 0) {
					t.Errorf("entry %d is of the gap %d, in the log of %d", b.N, b.Compacted.Gap, of)
				}
			}
			theirs, err := c.from.StateAt(t.Context(), group, b.Through)
			must(t, err)
			if got, want := stands(b.State), stands(theirs); got != want || b.State.Stream != theirs.Stream {
				t.Fatalf("behind entry %d of the part, of %s:\n%s\nbehind entry %d of the log, of %s:\n%s", b.N, b.State.Stream, got, b.Through, theirs.Stream, want)
			}
		}
		byShard := func(a, b told) int { return strings.Compare(a.shard, b.shard) } // stable: in an entry blocks of shards may lie otherwise
		slices.SortStableFunc(want, byShard)
		slices.SortStableFunc(have, byShard)
		if !slices.Equal(have, want) {
			t.Errorf("group %d: the part has %d records in %d entries through %d, wanted are %d, or they differ\n%v\n%v", group, len(have), entries, through, len(want), have, want)
		}
	}
}

// stands tells of a state what a part has in common with its log: all but counts.
func stands(s *State) string {
	var text strings.Builder
	fmt.Fprintf(&text, "listed %d\n", s.Listed)
	for _, shard := range s.Shards() {
		one := *shard
		one.After, one.Total, one.Records, one.Taken = feed.Position{}, 0, 0, nil
		slices.Sort(one.Children)
		fmt.Fprintf(&text, "%+v\n", one)
	}
	return text.String()
}

// TestCopies: whatever part of a log is copied, whoever dies in the middle and however many do it at once, the part has each record that
// is meant once, in order and of its own time, and stands where the log stands.
func TestCopies(t *testing.T) {
	histories := 60
	if testing.Short() {
		histories = 10
	}
	if os.Getenv("DYNAFERRY_LONG") != "" {
		histories = 3_000
	}
	for seed := range histories {
		synctest.Test(t, func(t *testing.T) { copies(t, uint64(seed)) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func copies(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 9))
	m := newMemory()
	c := &copying{from: makeLog(t, m, 1), micros: map[string]int64{}}
	c.keep(t, r)
	tail, err := c.from.Tail(t.Context(), 0)
	must(t, err)
	first := 1 + r.Uint64N(tail)
	last := first + r.Uint64N(tail+1-first)
	from, to, one := int64(math.MinInt64), int64(math.MaxInt64), uint64(1+r.IntN(4))
	part := &PartOf{Of: c.from.ID, Log: c.from.URL(), Entries: []Run{{first, last}}}
	if r.IntN(2) == 0 {
		from, to = 1000+r.Int64N(100), 1050+r.Int64N(200)
		part.From, part.To = from, to
	}
	c.wants = func(r told) bool {
		return (r.shard == "" || r.running > from && r.running <= to) && KeyHash([]byte(r.line))%one == 0
	}
	c.info = c.from.Info
	c.info.Part = part
	broken, f := faultedLog(t, m, strings.ReplaceAll(faults(r), "(chain", "(part/chain"))
	var wait sync.WaitGroup
	for w := range 1 + r.IntN(3) {
		own := rand.New(rand.NewPCG(seed, uint64(200+w)))
		wait.Go(func() {
			for life := range 5 {
				ctx, kill := context.WithTimeout(t.Context(), time.Duration(own.IntN(20_000))*time.Millisecond)
				o := CopierOptions{EntryBytes: 100 + own.IntN(4000), Builder: BuilderOptions{BlockBytes: 200 + own.IntN(2000), OpenBytes: 500 + own.IntN(5000), Workers: 2}}
				err := c.copy(ctx, broken.bucket, 0, fmt.Sprintf("c%d.%d", w, life), o)
				kill()
				if k := fault.KindOf(err); err != nil && ctx.Err() == nil && (k == fault.Corrupt || k == fault.Bug || k == fault.Conflict) {
					t.Errorf("seed %d: copier %d: %v", seed, w, err)
				}
				time.Sleep(time.Duration(own.IntN(5000)) * time.Millisecond)
			}
		})
	}
	wait.Wait()
	f.Wait()
	must(t, c.copy(t.Context(), m, 0, "last", CopierOptions{EntryBytes: 500}))
	c.judge(t, m)
}

// keep writes a log of a made-up stream, with gaps and what stands for them.
func (c *copying) keep(t *testing.T, r *rand.Rand) {
	s := newStream(1 + r.IntN(3))
	chain := openChain(t, c.from, "w")
	b := newTestBuilder(t, chain.State(), BuilderOptions{BlockBytes: 300})
	for range 10 + r.IntN(40) {
		for range r.IntN(12) {
			s.happen(r)
		}
		listed, _ := s.look()
		must(t, gather(b, chain.State(), s, r, listed))
		d := b.Cut()
		d.Listed = int64(r.IntN(2) * s.seq)
		appendDraft(t, chain, d)
		if open := openLanes(b); r.IntN(8) == 0 && len(open) > 0 {
			id := open[r.IntN(len(open))]
			to := b.lanes[id].position()
			if to.Seq = feed.Number(fmt.Sprint(s.seq)); to.Compare(b.lanes[id].position()) < 0 || r.IntN(2) == 0 {
				to = b.lanes[id].position()
			}
			d, err := b.Gap(GapNote{Reason: "trimmed", From: 1000, To: 1100}, map[string]feed.Position{id: to})
			must(t, err)
			gap := appendDraft(t, chain, d)
			for n := r.IntN(3); n > 0; n-- {
				for range r.IntN(4) {
					s.seq++
					state := record(s.seq, int64(1000+r.IntN(100)), "k")
					c.micros[string(state.Raw)] = state.Micros
					must(t, b.AddLoose(state))
				}
				d := b.Cut()
				d.Kind, d.Compacted = Compacted, &CompactedNote{Gap: gap.N, From: int64(900 + r.IntN(100)), To: int64(1000 + r.IntN(200)), More: n > 1}
				appendDraft(t, chain, d)
			}
		}
	}
	for _, id := range s.order {
		for _, r := range s.shards[id].records {
			c.micros[string(r.Raw)] = r.Micros
		}
	}
}

func openLanes(b *Builder) (open []string) {
	for id, l := range b.lanes {
		if !l.shard.Closed {
			open = append(open, id)
		}
	}
	slices.Sort(open)
	return open
}

// TestCopiesOfLineages: what takes shards away, a release, a gap of those that are gone and another stream, does so in a part as in the
// log; a shard that another group took up goes on there.
func TestCopiesOfLineages(t *testing.T) {
	m := newMemory()
	c := &copying{from: makeLog(t, m, 2), micros: map[string]int64{}, wants: func(told) bool { return true }}
	chain := openChain(t, c.from, "w")
	b := newTestBuilder(t, chain.State(), BuilderOptions{})
	for _, s := range []Shard{{ID: "a", Begun: 7}, {ID: "b"}, {ID: "goes"}} {
		must(t, b.Begin(s))
	}
	add(t, b, "a", record(5, 10, "k"))
	add(t, b, "goes", record(6, 11, "k"))
	appendDraft(t, chain, b.Cut())
	leaving := *chain.State().Shard("goes")
	d, err := b.Release(1, "goes")
	must(t, err)
	leaving.Taken = &Taken{N: appendDraft(t, chain, d).N}
	d, err = b.Gap(GapNote{Reason: "gone", Gone: []string{"b"}}, map[string]feed.Position{"a": {Seq: "8"}})
	must(t, err)
	appendDraft(t, chain, d)
	add(t, b, "a", record(9, 12, "k"))
	appendDraft(t, chain, b.Cut())
	d, err = b.Gap(GapNote{Reason: "another stream", Stream: "arn:stream/1"}, nil)
	must(t, err)
	d.Stream = "arn:stream/2"
	appendDraft(t, chain, d)
	must(t, b.Begin(Shard{ID: "a"}))
	add(t, b, "a", record(1, 13, "k"))
	appendDraft(t, chain, b.Cut())

	other, err := c.from.Chain(t.Context(), 1, "w", ChainOptions{})
	must(t, err)
	_, err = other.Append(t.Context(), &Draft{Kind: Segment, Listed: 3}) // without a shard yet
	must(t, err)
	b = newTestBuilder(t, other.State(), BuilderOptions{})
	must(t, b.Begin(leaving))
	add(t, b, "goes", record(7, 14, "k"))
	appendDraft(t, other, b.Cut())
	for first := uint64(1); first <= 6; first++ {
		info := c.from.Info
		info.Part = &PartOf{Of: c.from.ID, Entries: []Run{{first, 6}, {1, 1 + first%2}}}
		c.info = info
		part := newMemory()
		must(t, c.copy(t.Context(), part, 0, "c", CopierOptions{}))
		must(t, c.copy(t.Context(), part, 1, "c", CopierOptions{}))
		c.judge(t, part)
	}
	if _, err := c.from.Copier(t.Context(), 0, "c", c.from, CopierOptions{}); fault.KindOf(err) != fault.Bug {
		t.Errorf("a copier into the log itself: %v", err)
	}
}

// TestPartOf: a part of a log is opened as what it is, goes on with nothing but itself, and is unknown to whoever knows only whole logs.
func TestPartOf(t *testing.T) {
	m := newMemory()
	whole := makeLog(t, m, 1)
	info := whole.Info
	info.Part = &PartOf{Of: whole.ID, Log: "s3://lake/log", From: 1e6, To: 2e6, Key: []byte(`{"id":{"S":"a"}}`), Ops: []string{"put", "ttl"}, Where: "v > 1", Entries: []Run{{1, 9}}}
	l, err := Create(t.Context(), m, "part", info)
	must(t, err)
	if l.Version != 2 || l.ID == whole.ID || len(l.ID) != 32 {
		t.Errorf("version %d, id %s", l.Version, l.ID)
	}
	if got, want := l.Part.String(), `a part of s3://lake/log (behind 1970-01-01T00:00:01Z; up to 1970-01-01T00:00:02Z; of the key {"id":{"S":"a"}}; put, ttl alone; where v > 1)`; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
	elsewhere := *info.Part
	elsewhere.Log = "s3://copy/log"
	of := func(p PartOf) Info { i := info; i.Part = &p; return i }
	if found, err := Find(t.Context(), m, "part", of(elsewhere)); err != nil || found.ID != l.ID {
		t.Errorf("a part of a log that lies elsewhere now: %v", err)
	}
	for what, other := range map[string]Info{
		"nothing else is added to it":         whole.Info,
		"not a part of s3://lake/log (all up": of(PartOf{Of: whole.ID, Log: "s3://lake/log", Entries: info.Part.Entries}),
	} {
		if _, err := Create(t.Context(), m, "part", other); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Create(t.Context(), m, "", info); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "is a log that is no part of another") {
		t.Errorf("a part in the place of a whole log: %v", err)
	}
	inner := PartOf{Of: l.ID, Log: "s3://lake/part", To: 1_500_000, Entries: []Run{{1, 2}}, Within: info.Part}
	if from, to := inner.Bounds(); from != 1e6 || to != 1_500_000 {
		t.Errorf("a part of a part is of (%d, %d]", from, to)
	}
	if got, want := inner.String(), "a part of s3://lake/part (up to 1970-01-01T00:00:01.5Z), which is a part of s3://lake/log ("; !strings.HasPrefix(got, want) {
		t.Errorf("it is %s, want %s", got, want)
	}
	// A root that says of itself another version than what it is of.
	for _, body := range []string{`{"version":1,"groups":1,"part":{"of":"x"}}`, `{"version":2,"groups":1}`} {
		_, err := commit.Put(t.Context(), m, infoName(body), []byte(body), commit.Options{})
		must(t, err)
		if _, err := Open(t.Context(), m, body); fault.KindOf(err) != fault.Unsupported {
			t.Errorf("%s: %v", body, err)
		}
	}
}
