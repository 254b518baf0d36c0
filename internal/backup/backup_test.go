package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// at is a moment of the tests' day.
func at(minute int) time.Time {
	return time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC).Add(time.Duration(minute) * time.Minute)
}

// entry makes a backup out of a line: "base 10", "scan 10-12" or "changes 10-20 20-30".
func entry(t *testing.T, text string) Backup {
	t.Helper()
	words := strings.Fields(text)
	b := Backup{Plan: text, Kind: Base, By: ByNative, Table: Table{Name: "T", ID: "t"},
		Definition: dynamo.Definition{Version: dynamo.DefinitionVersion, Keys: item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}}}
	if words[0] == "changes" {
		b.Kind = Changes
	}
	if words[0] == "scan" {
		b.By = ByScan
	}
	for _, w := range words[1:] {
		var from, to int
		if n, _ := fmt.Sscanf(w, "%d-%d", &from, &to); n == 2 {
			b.Links = append(b.Links, Link{Dir: "d/" + w, From: at(from), To: at(to)})
		} else if n, _ := fmt.Sscanf(w, "%d", &to); n == 1 {
			b.Links = append(b.Links, Link{Dir: "d/" + w, To: at(to)})
		}
	}
	return b
}

func place(t *testing.T) blob.Bucket {
	b, err := folder.Open(t.TempDir(), folder.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func load(t *testing.T, b blob.Bucket) *Catalogue {
	t.Helper()
	c, err := Load(t.Context(), b, "place")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pointsText tells the points: the minute, the base, and the windows.
func pointsText(c *Catalogue) string {
	var b strings.Builder
	for _, p := range c.Points() {
		fmt.Fprintf(&b, "%d=%s", int(p.At.Sub(at(0)).Minutes()), strings.TrimPrefix(p.Base.Dir, "d/"))
		for _, w := range p.Windows {
			fmt.Fprintf(&b, "+%s", strings.TrimPrefix(w.Dir, "d/"))
		}
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

// What a catalogue can restore, where its next changes begin, and what it says of a time.
func TestPoints(t *testing.T) {
	for _, c := range []struct {
		name   string
		lines  []string
		points string
		open   string // holes and end
		ask    int    // minute; 0 the latest
		says   string // "" is a point
	}{
		{"nothing but changes", []string{"changes 10-20"}, "", "none", 0, "no base"},
		{"a base", []string{"base 10"}, "10=10", "10", 0, ""},
		{"a chain", []string{"base 10", "changes 10-20", "changes 20-30 30-40"}, "10=10 20=10+10-20 30=10+10-20+20-30 40=10+10-20+20-30+30-40", "40", 30, ""},
		{"between two ends", []string{"base 10", "changes 10-20"}, "10=10 20=10+10-20", "20", 15, "the nearest are of 2026-01-31T00:10:00Z and 2026-01-31T00:20:00Z"},
		{"before all", []string{"base 10"}, "10=10", "10", 5, "the first is of 2026-01-31T00:10:00Z"},
		{"after all", []string{"base 10"}, "10=10", "10", 50, "the last is of 2026-01-31T00:10:00Z"},
		{"a hole", []string{"base 10", "changes 10-20", "changes 30-40"}, "10=10 20=10+10-20", "20-30 40", 40,
			"the changes from 2026-01-31T00:20:00Z to 2026-01-31T00:30:00Z, between backup 1 and backup 2, are missing"},
		{"the latest behind a hole", []string{"base 10", "changes 20-30"}, "10=10", "10-20 30", 0, "between backup 0 and backup 1"},
		{"before a hole", []string{"base 10", "changes 10-20", "changes 30-40"}, "10=10 20=10+10-20", "20-30 40", 20, ""},
		{"a hole that was filled", []string{"base 10", "changes 10-20", "changes 30-40", "changes 20-30"}, "10=10 20=10+10-20 30=10+10-20+20-30 40=10+10-20+20-30+30-40", "40", 40, ""},
		{"a new base", []string{"base 10", "changes 10-20", "base 25", "changes 25-40"}, "10=10 20=10+10-20 25=25 40=25+25-40", "40", 0, ""},
		{"a new base at an end", []string{"base 10", "changes 10-20", "base 20", "changes 20-30"}, "10=10 20=20 30=20+20-30", "30", 0, ""},
		{"a base in the middle of a window", []string{"base 10", "changes 10-20", "base 15", "changes 20-30"}, "10=10 15=15 20=10+10-20 30=10+10-20+20-30", "30", 0, ""},
		{"a scan", []string{"scan 10-13"}, "13=10-13", "10", 0, ""},
		{"a scan and changes that end before it ended", []string{"scan 10-13", "changes 10-12", "changes 12-20"}, "13=10-13 20=10-13+10-12+12-20", "20", 12, "the first is of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := place(t)
			for _, line := range c.lines {
				if _, err := load(t, b).Add(t.Context(), entry(t, line)); err != nil {
					t.Fatal(err)
				}
			}
			all := load(t, b)
			if got := pointsText(all); got != c.points {
				t.Errorf("points %s, want %s", got, c.points)
			}
			var open []string
			holes, end, ok := all.Open("t")
			for _, h := range holes {
				open = append(open, fmt.Sprintf("%d-%d", int(h[0].Sub(at(0)).Minutes()), int(h[1].Sub(at(0)).Minutes())))
			}
			if open = append(open, fmt.Sprint(int(end.Sub(at(0)).Minutes()))); !ok {
				open = []string{"none"}
			}
			if got := strings.Join(open, " "); got != c.open {
				t.Errorf("open %s, want %s", got, c.open)
			}
			wish := time.Time{}
			if c.ask > 0 {
				wish = at(c.ask)
			}
			p, err := all.At(wish)
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says == "" && c.ask > 0 && !p.At.Equal(wish):
				t.Errorf("asked for %d, got %s", c.ask, p.At)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%v does not say %q", err, c.says)
			}
		})
	}
}

// A plan adds its backup once, however often it tries; who is overtaken by another's changes is told; bases never are.
func TestAdd(t *testing.T) {
	b := place(t)
	stale := load(t, b)
	base, err := load(t, b).Add(t.Context(), entry(t, "base 10"))
	if err != nil || base.Number != 0 {
		t.Fatal(base, err)
	}
	if again, err := load(t, b).Add(t.Context(), entry(t, "base 10")); err != nil || again.Number != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
	if other, err := stale.Add(t.Context(), entry(t, "base 11")); err != nil || other.Number != 1 {
		t.Errorf("of a process that saw an empty catalogue: %+v, %v", other, err)
	}
	stale = load(t, b)
	if _, err := load(t, b).Add(t.Context(), entry(t, "changes 11-20")); err != nil {
		t.Fatal(err)
	}
	late := entry(t, "changes 11-25")
	var overtaken *OvertakenError
	if _, err := stale.Add(t.Context(), late); !errors.As(err, &overtaken) || overtaken.By != 2 {
		t.Errorf("overtaken: %v", err)
	}
	if n := len(load(t, b).Backups); n != 3 {
		t.Errorf("%d backups", n)
	}
}

// Damage is told with the name of the object; another program's objects beside are passed over.
func TestLoad(t *testing.T) {
	b := place(t)
	if _, err := load(t, b).Add(t.Context(), entry(t, "base 10")); err != nil {
		t.Fatal(err)
	}
	put := func(name, data string) {
		if _, err := b.Put(context.Background(), "place/"+catalogueFolder+"/"+name, []byte(data), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put("README", "hello")
	if n := len(load(t, b).Backups); n != 1 {
		t.Errorf("%d backups", n)
	}
	put("00000001", "{}")
	if _, err := Load(t.Context(), b, "place"); fault.KindOf(err) != fault.Corrupt || !strings.Contains(err.Error(), "00000001") {
		t.Errorf("%v", err)
	}
	for text, want := range map[string]string{
		`{"format":2,"number":0}`:                                        "format 2",
		`{"format":1,"number":7,"kind":"base","links":[{"dir":"x"}]}`:    "holds backup 7",
		`{"format":1,"number":0,"kind":"base","links":[]}`:               "0 exports",
		`{"format":1,"number":0,"kind":"base","links":[{"dir":"../x"}]}`: "../x",
		`{"format":1,"number":0,"kind":"changes","links":[{"dir":"x","from":"2026-01-02T00:00:00Z","to":"2026-01-01T00:00:00Z"}]}`: "in no order",
		`[]`: "cannot unmarshal",
	} {
		if _, err := decode("name", 0, []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %q", text, err, want)
		}
	}
}

// FuzzDecode: whatever stands under the name of a backup is a backup or an error.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"format":1,"number":0,"kind":"base","by":"native","links":[{"dir":"AWSDynamoDB/x","to":"2026-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"format":1,"number":0,"kind":"changes","links":[{"dir":"x","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decode("name", 0, data)
		if err != nil {
			return
		}
		c := &Catalogue{Backups: []Backup{*b}}
		_, _ = c.At(time.Time{})
		c.Holes()
		c.Open(b.Table.ID)
	})
}
