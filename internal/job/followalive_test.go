package job

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/blob/folder"
	"dynaferry/internal/capture"
	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
)

// TestAlarmOfAllGroups: followers that share the groups of a log judge a silent stream by what all of them captured. One that
// stands by, or has a part, takes nobody's records for none, and none alone has to see all of them to tell that there are none.
func TestAlarmOfAllGroups(t *testing.T) {
	ctx := t.Context()
	bucket, err := folder.Open(t.TempDir(), folder.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	log, err := changelog.Create(ctx, bucket, "", changelog.Info{Stream: "arn", Table: "Orders", View: feed.BothImages, Groups: 2})
	if err != nil {
		t.Fatal(err)
	}
	chain, err := log.Chain(ctx, 1, "another", changelog.ChainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chain.Append(ctx, &changelog.Draft{Kind: changelog.Fence, At: 1}); err != nil {
		t.Fatal(err)
	}
	build, err := changelog.NewBuilder(chain.State(), changelog.BuilderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := build.Begin(changelog.Shard{ID: "shard"}); err != nil {
		t.Fatal(err)
	}
	record := func(n int64) { // captured by another, in a group that is not ours
		at := n * 15_000_000
		r := changelog.Record{Raw: fmt.Appendf(nil, `{"n":%d}`, n), Position: feed.Position{Seq: feed.Number(fmt.Sprint(n))}, Micros: at, Key: changelog.KeyHash([]byte("k"))}
		if err := build.Add("shard", r); err != nil {
			t.Fatal(err)
		}
		d := build.Cut()
		d.At = at
		if _, err := chain.Append(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	f := &Follow{log: log, stream: &feed.Stream{}, began: time.Now().Add(-time.Hour), rates: capture.Derive(false, capture.Options{})}
	for n := range int64(4) {
		record(n + 1)
		f.hear(ctx, [2]int64{n, 0})
	}
	if reasons := f.unwell(FollowStatus{}, 0); len(reasons) > 0 {
		t.Errorf("the table moves, and another captures: %q", reasons)
	}
	if reasons := f.unwell(FollowStatus{}, 1); len(reasons) != 1 || !strings.Contains(reasons[0], "has not answered") {
		t.Errorf("who holds a group and never heard of its stream: %q", reasons)
	}
	for n := range int64(2) {
		f.hear(ctx, [2]int64{4 + n, 0})
	}
	for _, held := range []int{0, 1, 2} {
		if reasons := f.unwell(FollowStatus{Calls: 1}, held); len(reasons) != 1 || !strings.Contains(reasons[0], "yields nothing") {
			t.Errorf("the table moves and nobody captures, %d groups held: %q", held, reasons)
		}
	}
	record(9)
	f.hear(ctx, [2]int64{6, 0})
	if reasons := f.unwell(FollowStatus{Calls: 1}, 1); len(reasons) > 0 {
		t.Errorf("it came: %q", reasons)
	}
}

// TestAlarm: a table whose counts move again and again while no record comes has a stream that is broken; one that rests has
// not, though its counts are refreshed once after its last change, and neither has one whose records come.
func TestAlarm(t *testing.T) {
	type look struct {
		records int64
		items   int64
	}
	for name, c := range map[string]struct {
		looks []look
		on    bool
	}{
		"nothing yet":                {nil, false},
		"rests":                      {[]look{{5, 10}, {5, 10}, {5, 10}, {5, 10}}, false},
		"is counted late, once":      {[]look{{5, 10}, {5, 12}, {5, 12}, {5, 12}}, false},
		"moves, and records come":    {[]look{{5, 10}, {6, 11}, {7, 12}, {8, 13}, {9, 14}}, false},
		"moves, and none comes":      {[]look{{5, 10}, {5, 11}, {5, 12}}, true},
		"moved, and then they came":  {[]look{{5, 10}, {5, 11}, {5, 12}, {6, 12}}, false},
		"moves anew behind a record": {[]look{{5, 10}, {5, 11}, {6, 11}, {6, 12}, {6, 12}, {6, 13}}, true},
	} {
		var a alarm
		for _, l := range c.looks {
			a.see(l.records, [2]int64{l.items, 0})
		}
		if a.on() != c.on {
			t.Errorf("%s: %v", name, a.on())
		}
	}
}
