package cli

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestProgressIsALineAMinute: where nobody redraws, in a log, progress comes once a minute and not after the end.
func TestProgressIsALineAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := newStory(&out, false, false)
		s.Add(1000, 1<<20)
		s.Note("read units", 12.7)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if out.Len() > 0 {
			t.Errorf("said before a minute was over: %q", &out)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := out.String(); got != "1,000 items, 1.0 MiB, 16 items/s, 12 read units\n" {
			t.Errorf("after a minute: %q", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		s.end()
		if n := strings.Count(out.String(), "\n"); n != 3 {
			t.Errorf("%d lines after three minutes", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := strings.Count(out.String(), "\n"); n != 3 {
			t.Errorf("%d lines after the end", n)
		}
	})
}

// TestProgressRedrawsOnATerminal: one line that is erased before anything else is said, and at the end.
func TestProgressRedrawsOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := newStory(&out, false, false)
		s.terminal = true
		s.Add(1, 1)
		time.Sleep(redrawEvery + time.Millisecond)
		synctest.Wait()
		s.say("throttled: %s", "slower")
		s.end()
		want := "1 items, 1 B, 5 items/s\r\033[Kthrottled: slower\n"
		if got := out.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// TestProgressAsJSON: the same as objects with a type; quiet says nothing.
func TestProgressAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := newStory(&out, true, false)
		s.Add(7, 9)
		time.Sleep(lineEvery + time.Second)
		synctest.Wait()
		s.end()
		if got := out.String(); !strings.HasPrefix(got, `{"bytes":9,"counters":{},"items":7,`) || !strings.Contains(got, `"type":"progress"`) {
			t.Errorf("%q", got)
		}
		out.Reset()
		q := newStory(&out, false, true)
		q.Add(1, 1)
		q.say("x")
		time.Sleep(2 * lineEvery)
		q.end()
		if out.Len() > 0 {
			t.Errorf("quiet said %q", &out)
		}
	})
}

// TestSizes: numbers for people, and sizes that say their unit.
func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -999: "-999", 12: "12"} {
		if got := countText(n); got != want {
			t.Errorf("countText(%d) = %q, want %q", n, got, want)
		}
	}
	for text, want := range map[string]int64{"256MiB": 256 << 20, "1.5GB": 1.5e9, "4096B": 4096, "1 KiB": 1024, "10kB": 10_000} {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("parseBytes(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "12", "-1B", "MiB", "1XB", "9999999999TiB", "NaNB", "InfB"} {
		if got, err := parseBytes(text); err == nil {
			t.Errorf("parseBytes(%q) = %d, want an error", text, got)
		}
	}
}
