package delivery

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
)

// TestBegin: a delivery begins where its first epoch says, to the record; nothing asks again, and what is behind is whole.
func TestBegin(t *testing.T) {
	seq := func(n int) feed.Position { return feed.Position{Seq: feed.Number(fmt.Sprint(n))} }
	for name, c := range map[string]struct {
		begin Begin
		lines func(n int) bool // which of the log's records, from 1; those of shard-0 are odd rounds of 30
	}{
		"all":          {Begin{}, func(int) bool { return true }},
		"a time":       {Begin{Time: (testStart + 6) * 1e6}, func(n int) bool { return n >= 60 }},
		"later":        {Begin{Time: (testStart + 1e6) * 1e6}, func(int) bool { return false }},
		"a position":   {Begin{Behind: map[string]feed.Position{"shard-0": seq(70)}}, func(n int) bool { return shardOf(n) == 1 || n > 70 }},
		"an ancestor":  {Begin{Behind: map[string]feed.Position{"shard-0": seq(70)}, Before: []string{"shard-1"}}, func(n int) bool { return shardOf(n) == 0 && n > 70 }},
		"of one alone": {Begin{Time: (testStart + 6) * 1e6, Behind: map[string]feed.Position{"shard-0": seq(1)}}, func(n int) bool { return shardOf(n) == 0 && n > 1 || n >= 60 }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLog(t, 2)
			for i := range 4 {
				w.orders(i%2, 30)
				w.cut(i % 2)
			}
			dst := newMemory()
			asked := 0
			o := Options{Once: true, Begin: func(context.Context) (*Begin, error) { asked++; return &c.begin, nil }}
			must(t, Run(t.Context(), w.log, dst, Settings{}, o))
			w.orders(1, 3)
			w.cut(1)
			o.Begin = func(context.Context) (*Begin, error) { t.Error("asked again"); return &Begin{}, nil }
			must(t, Run(t.Context(), w.log, dst, Settings{}, o))
			var want []string
			for i, line := range w.lines {
				if n := i + 1; n > 120 && name != "later" && name != "an ancestor" || n <= 120 && c.lines(n) {
					want = append(want, line)
				}
			}
			if slices.Sort(want); !slices.Equal(allLines(t, dst), want) || asked != 1 {
				t.Errorf("%d lines are visible, %d were to be; asked %d times", len(allLines(t, dst)), len(want), asked)
			}
			begin, decided, err := Began(t.Context(), dst, "", Settings{})
			if must(t, err); !decided || begin.Time != c.begin.Time || fmt.Sprint(begin.Behind) != fmt.Sprint(c.begin.Behind) {
				t.Errorf("the epochs say %+v", begin)
			}
		})
	}
}

// shardOf is the group of a record of TestBegin: rounds of 30 alternate.
func shardOf(n int) int { return (n - 1) / 30 % 2 }

// TestBeginForms: the first epoch makes nothing, whatever the form, and a gap of before the beginning holds nothing back.
func TestBeginForms(t *testing.T) {
	for _, s := range forms() {
		w := newLog(t, 1)
		w.orders(0, 20)
		w.cut(0)
		d, err := w.builds[0].Gap(changelog.GapNote{Reason: "lost", From: testStart * 1e6, To: (testStart + 2) * 1e6}, map[string]feed.Position{"shard-0": {Seq: "25"}})
		must(t, err)
		w.append(0, d)
		w.seq = 40
		dst := newMemory()
		o := Options{Once: true, Begin: func(context.Context) (*Begin, error) { return &Begin{Time: (testStart + 4) * 1e6}, nil }}
		must(t, Run(t.Context(), w.log, dst, s, o))
		if files := objects(t, dst, false); len(files) > 0 {
			t.Errorf("%s: %v are there before anything that is delivered", s.Form, files)
		}
		w.orders(0, 10)
		w.cut(0)
		must(t, Run(t.Context(), w.log, dst, s, o))
		if done := lastDone(t, dst); done.Records != 10 || len(objects(t, dst, false)) == 0 {
			t.Errorf("%s: %+v", s.Form, done)
		}
	}
}

// lastDone is what the last epoch came to.
func lastDone(t testing.TB, dst blob.Bucket) *Done {
	t.Helper()
	l := newLedger(dst, "", nameDefault)
	n, err := l.tail(t.Context())
	must(t, err)
	done, err := l.done(t.Context(), n)
	must(t, err)
	if done == nil {
		t.Fatalf("epoch %d is not finished", n)
	}
	return done
}
