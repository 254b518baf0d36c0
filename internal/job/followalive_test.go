package job

import (
	"testing"
	"time"

	"dynaferry/internal/capture"
	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
)

// TestStandbyIsWell: who captures nothing, since another has the log, is neither broken nor late.
func TestStandbyIsWell(t *testing.T) {
	f := &Follow{log: &changelog.Log{Info: changelog.Info{Groups: 1}}, stream: &feed.Stream{}, began: time.Now().Add(-time.Hour),
		rates: capture.Derive(false, capture.Options{})}
	for _, items := range []int64{1, 2, 3} {
		f.alarm.see(0, [2]int64{items, 0})
	}
	if !f.alarm.on() {
		t.Fatal("the table moved, and no record was seen here")
	}
	if reasons := f.unwell(FollowStatus{}, 0); len(reasons) > 0 {
		t.Errorf("a follower that stands by: %q", reasons)
	}
	if reasons := f.unwell(FollowStatus{}, 1); len(reasons) != 2 {
		t.Errorf("one that has the log: %q", reasons)
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
