package job

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"dynaferry/internal/source"
)

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 500_000_000, time.UTC)
	for text, want := range map[string]string{
		"now": "2026-03-10T12:00:01Z", "-0s": "2026-03-10T12:00:01Z", "-90m": "2026-03-10T10:30:01Z", "-2d": "2026-03-08T12:00:01Z",
		"-1d12h": "2026-03-09T00:00:01Z", "2026-01-02T03:04:05Z": "2026-01-02T03:04:05Z", "2026-01-02T05:04:05+02:00": "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05.001Z": "2026-01-02T03:04:06Z",
	} {
		if got, err := parseMoment(text, now); err != nil || timeText(got) != want {
			t.Errorf("%q is %s, %v, want %s", text, timeText(got), err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "5m", "-5", "2026-01-02", "-d", "-99999999999d", "+1h"} {
		if got, err := parseMoment(text, now); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}

// Windows touch, cover the whole, are no longer than a day, and none is short because it was left over.
func TestWindows(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for length, want := range map[time.Duration]int{time.Second: 1, 24 * time.Hour: 1, 24*time.Hour + time.Second: 2, 24*time.Hour + 5*time.Minute: 2,
		72 * time.Hour: 3, 35*24*time.Hour + 7*time.Second: 36} {
		ws := windows(from, from.Add(length))
		at := from
		for _, w := range ws {
			d := w.To.Sub(w.From)
			if w.From != at || d <= 0 || d > windowMost || len(ws) > 1 && d < windowMost/2-time.Minute {
				t.Errorf("%s: a window from %s to %s after %s", length, w.From, w.To, at)
			}
			at = w.To
		}
		if len(ws) != want || at != from.Add(length) {
			t.Errorf("%s: %d windows to %s, want %d", length, len(ws), at, want)
		}
	}
}

func TestChain(t *testing.T) {
	at := func(h int) time.Time { return time.Date(2026, 1, 1, h, 0, 0, 0, time.UTC) }
	full := func(h int) link { return link{full: true, to: at(h)} }
	scan := func(from, to int) link { return link{full: true, to: at(from), scanned: at(to)} }
	inc := func(from, to int) link { return link{from: at(from), to: at(to)} }
	for _, c := range []struct {
		name  string
		links []link
		want  string
	}{
		{"nothing", nil, "none"},
		{"changes of nothing", []link{inc(1, 2)}, "none"},
		{"a full one", []link{full(3)}, "3"},
		{"a chain in any order", []link{inc(5, 7), full(3), inc(3, 5)}, "7"},
		{"changes of before", []link{inc(1, 2), full(3)}, "3"},
		{"a window around the only full one", []link{inc(1, 4), full(3)}, "within 1-4"},
		{"a window around the newest full one", []link{full(1), inc(1, 4), full(3)}, "4"},
		{"a window around the newest full one, after a hole", []link{full(0), inc(1, 4), full(3), inc(5, 6)}, "0-1 4-5 6"},
		{"windows around both full ones", []link{full(2), inc(1, 4), full(5), inc(4, 6)}, "within 4-6"},
		{"windows that touch at the full one", []link{inc(1, 3), full(3), inc(3, 4)}, "4"},
		{"a hole", []link{full(3), inc(3, 5), inc(7, 9)}, "5-7 9"},
		{"a hole that was filled", []link{full(3), inc(3, 5), inc(7, 9), inc(5, 7)}, "9"},
		{"a scan", []link{scan(3, 5)}, "3, scanned to 5"},
		{"changes from before a scan on", []link{scan(3, 5), inc(2, 4)}, "4, scanned to 5"},
		{"changes from behind a scan's start on", []link{scan(3, 5), inc(4, 6)}, "3-4 6, scanned to 5"},
		{"a full one behind a scan", []link{scan(3, 5), full(6)}, "6"},
		{"a hole before another full one", []link{full(3), inc(5, 7), full(8), inc(8, 9)}, "9"},
	} {
		holes, end, scanned, err := chain(c.links)
		got := "none"
		var within *source.WithinError
		if errors.As(err, &within) {
			got = fmt.Sprintf("within %d-%d", within.From.Hour(), within.To.Hour())
		}
		if err == nil {
			got = ""
			for _, h := range holes {
				got += fmt.Sprintf("%d-%d ", h.From.Hour(), h.To.Hour())
			}
			got += fmt.Sprint(end.Hour())
			if !scanned.IsZero() {
				got += fmt.Sprintf(", scanned to %d", scanned.Hour())
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestChainEnd(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(1_767_225_600_000 + ms).UTC() }
	for _, c := range []struct {
		name                       string
		end, latest, scanned, want time.Time
	}{
		{"what the service knows", at(0), at(60_000), time.Time{}, at(60_000)},
		{"nothing new", at(5000), at(5000), time.Time{}, at(6000)},
		{"between two seconds", at(5500), at(5000), time.Time{}, at(7000)},
		{"behind a scan", at(0), at(60_000), at(30_500), at(60_000)},
		{"in the middle of a scan", at(0), at(20_000), at(30_500), at(31_000)},
		{"before a scan", at(0), at(-300_000), at(30_000), at(30_000)},
	} {
		if got := chainEnd(c.end, c.latest, c.scanned); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
