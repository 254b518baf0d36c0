package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"dynaferry/internal/fault"
)

// story tells on stderr what happens: lines, and one progress line that redraws on a terminal and comes once a minute
// elsewhere. It is the plan.Meter of every job.
type story struct {
	w        io.Writer
	json     bool
	quiet    bool
	terminal bool

	mu           sync.Mutex
	start        time.Time
	items, bytes int64
	notes        map[string]float64
	drawn        bool
	told         time.Time // when a line of progress came last, where nothing is drawn
	stop         chan struct{}
	done         chan struct{}
}

const (
	redrawEvery = 200 * time.Millisecond
	lineEvery   = time.Minute
)

func newStory(w io.Writer, asJSON, quiet bool) *story {
	s := &story{w: w, json: asJSON, quiet: quiet, notes: map[string]float64{}}
	if f, ok := w.(*os.File); ok && !asJSON {
		s.terminal = term.IsTerminal(int(f.Fd()))
	}
	return s
}

// say prints one line of the story.
func (s *story) say(format string, args ...any) {
	if s == nil || s.quiet {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if s.json {
		line, _ := json.Marshal(map[string]any{"type": "message", "message": text})
		fmt.Fprintf(s.w, "%s\n", line)
		return
	}
	s.erase()
	fmt.Fprintln(s.w, text)
}

// progress shows how long something takes that has no count: on a terminal in the line that is redrawn, elsewhere as a line
// a minute.
func (s *story) progress(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quiet {
		return
	}
	text := fmt.Sprintf(format, args...)
	if s.terminal {
		s.erase()
		fmt.Fprint(s.w, text)
		s.drawn = true
		return
	}
	if s.told.IsZero() {
		s.told = time.Now() // what is done within a minute needs no line
	}
	if time.Since(s.told) < lineEvery {
		return
	}
	s.told = time.Now()
	if s.json {
		line, _ := json.Marshal(map[string]any{"type": "message", "message": text})
		fmt.Fprintf(s.w, "%s\n", line)
		return
	}
	fmt.Fprintln(s.w, text)
}

// Add counts progress and begins to show it.
func (s *story) Add(items, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items += items
	s.bytes += bytes
	s.begin()
}

// Note adds to a named counter.
func (s *story) Note(name string, n float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes[name] += n
}

// begin starts the drawer; the caller holds mu.
func (s *story) begin() {
	if s.stop != nil || s.quiet {
		return
	}
	s.start, s.stop, s.done = time.Now(), make(chan struct{}), make(chan struct{})
	every := lineEvery
	if s.terminal {
		every = redrawEvery
	}
	go func(stop, done chan struct{}) {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				s.draw()
			}
		}
	}(s.stop, s.done)
}

func (s *story) draw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	seconds := time.Since(s.start).Seconds()
	if s.json {
		line, _ := json.Marshal(map[string]any{"type": "progress", "items": s.items, "bytes": s.bytes, "seconds": seconds, "counters": s.notes})
		fmt.Fprintf(s.w, "%s\n", line)
		return
	}
	text := fmt.Sprintf("%s items, %s, %s items/s", countText(s.items), bytesText(s.bytes), countText(int64(float64(s.items)/max(seconds, 0.001))))
	names := make([]string, 0, len(s.notes))
	for name := range s.notes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		text += fmt.Sprintf(", %s %s", countText(int64(s.notes[name])), name)
	}
	s.erase()
	if s.terminal {
		fmt.Fprint(s.w, text)
		s.drawn = true
		return
	}
	fmt.Fprintln(s.w, text)
}

// erase takes the progress line away; the caller holds mu.
func (s *story) erase() {
	if s.drawn {
		fmt.Fprint(s.w, "\r\033[K")
		s.drawn = false
	}
}

// end stops the drawer and clears its line.
func (s *story) end() {
	if s == nil {
		return
	}
	s.mu.Lock()
	stop, done := s.stop, s.done
	s.stop = nil
	s.mu.Unlock()
	if stop != nil {
		close(stop)
		<-done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

func (s *story) took(d time.Duration) {
	s.mu.Lock()
	items := s.items
	s.mu.Unlock()
	if items > 0 {
		s.say("read %s items in %s", countText(items), d.Round(10*time.Millisecond))
	}
}

func (a *app) printJSON(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", line)
	return err
}

func processors() int { return max(1, runtime.GOMAXPROCS(0)) }

// countText groups digits: 1,234,567.
func countText(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

var byteUnits = []struct {
	name string
	size int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1}}

func bytesText(n int64) string {
	for _, u := range byteUnits[:4] {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// parseBytes reads a size with its unit: 256MiB, 1.5GB, 4096B. A bare number is refused, since nobody knows its unit.
func parseBytes(text string) (int64, error) {
	for _, u := range byteUnits {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(v >= 0) || v*float64(u.size) > 1<<60 { // NaN is neither
			break
		}
		return int64(v * float64(u.size)), nil
	}
	return 0, fault.New(fault.User, "a size is a number with its unit, for instance 256MiB or 1.5GB")
}
