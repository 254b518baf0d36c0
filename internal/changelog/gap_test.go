package changelog

import (
	"slices"
	"strings"
	"testing"

	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// TestGapsOfLineages: a gap whose size is not known, shards that are gone, and another stream of the table. Writers and
// readers agree on what is left of the state, also where the entry tells the whole of it.
func TestGapsOfLineages(t *testing.T) {
	for _, before := range []int{0, wholeEvery - 3} { // then the gap of those that are gone is a whole entry
		m := newMemory()
		l := makeLog(t, m, 1)
		c := openChain(t, l, "w1")
		b := newTestBuilder(t, c.State(), BuilderOptions{})
		for _, s := range []Shard{{ID: "a", Begun: 7}, {ID: "b"}, {ID: "leaf"}} {
			must(t, b.Begin(s))
		}
		add(t, b, "a", record(5, 10, "k"))
		must(t, b.Close("leaf"))
		first := b.Cut()
		first.Listed, first.Seen = 9, []uint64{0, 4}
		appendDraft(t, c, first)
		for range before {
			must(t, b.Tip("b", int64(c.State().N)))
			appendDraft(t, c, b.Cut())
		}
		open, err := b.Gap(GapNote{Reason: "trimmed"}, map[string]feed.Position{"a": {Seq: "5"}})
		must(t, err)
		if e := appendDraft(t, c, open); e.Shard("a") == nil || e.Shard("a").After != e.Shard("a").End {
			t.Errorf("an open gap is %+v", e)
		}
		gone, err := b.Gap(GapNote{Reason: "gone", Gone: []string{"b", "leaf"}}, nil)
		must(t, err)
		if e := appendDraft(t, c, gone); e.Whole != (before > 0) || !e.Shard("b").Closed {
			t.Errorf("entry %d of what is gone is %+v", e.N, e)
		}
		if _, has := b.Shard("b"); has || len(c.State().Shards()) != 1 || c.State().Shard("a").Begun != 7 {
			t.Errorf("what is gone is still there: %+v", c.State().Shards())
		}
		must(t, b.Begin(Shard{ID: "anew", Parents: []string{"never seen"}}))
		appendDraft(t, c, b.Cut())
		next, err := b.Gap(GapNote{Reason: "another stream", Stream: "arn:stream/1"}, nil)
		must(t, err)
		next.Stream = "arn:stream/2"
		appendDraft(t, c, next)
		must(t, b.Begin(Shard{ID: "a"}))
		appendDraft(t, c, b.Cut())
		if s := openChain(t, l, "w2").State(); len(s.Shards()) != 1 || s.Shard("a").End != (feed.Position{}) || s.Stream != "arn:stream/2" || s.Listed != 9 || !slices.Equal(s.Seen, []uint64{0, 4}) {
			t.Errorf("a reader has %+v of %s", s.Shards(), s.Stream)
		}
		if _, _, err := readAll(t.Context(), l, Range{}); err != nil {
			t.Error(err)
		}
	}
	c := openChain(t, makeLog(t, newMemory(), 1), "w1")
	_, err := c.Append(t.Context(), &Draft{Kind: Gap, Gap: &GapNote{Gone: []string{"a"}}, Shards: []Shard{{ID: "a"}}})
	if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "is said to be gone") {
		t.Errorf("an open shard that is gone: %v", err)
	}
}

// TestPassed: what a shard shows of the time that is asked for.
func TestPassed(t *testing.T) {
	const at = 100_000_000
	settled := int64(at + SettleMicros)
	for name, c := range map[string]struct {
		shards []Shard
		want   bool
	}{
		"nothing is known":              {nil, false},
		"no record yet":                 {[]Shard{{ID: "a"}}, false},
		"a record too near":             {[]Shard{{ID: "a", Time: settled - 1}}, false},
		"a record of later":             {[]Shard{{ID: "a", Time: settled}}, true},
		"an open end before":            {[]Shard{{ID: "a", Tip: at - 1}}, false},
		"an open end":                   {[]Shard{{ID: "a", Tip: at}}, true},
		"one of two":                    {[]Shard{{ID: "a", Tip: at}, {ID: "b", Time: at}}, false},
		"closed, children unknown":      {[]Shard{{ID: "a", Closed: true}}, false},
		"closed later":                  {[]Shard{{ID: "a", Closed: true, Time: settled}}, true},
		"closed, a child has not begun": {[]Shard{{ID: "a", Closed: true, Children: []string{"b"}}}, false},
		"closed, the child has not":     {[]Shard{{ID: "a", Closed: true, Children: []string{"b"}}, {ID: "b", Parents: []string{"a"}}}, false},
		"closed, the child has":         {[]Shard{{ID: "a", Closed: true, Children: []string{"b"}}, {ID: "b", Parents: []string{"a"}, Tip: at}}, true},
		"closed, one child of two":      {[]Shard{{ID: "a", Closed: true, Children: []string{"b", "c"}}, {ID: "b", Tip: at}, {ID: "c"}}, false},
	} {
		s := newState(0)
		for i := range c.shards {
			s.shards[c.shards[i].ID] = &c.shards[i]
		}
		if got := s.Passed(at); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
