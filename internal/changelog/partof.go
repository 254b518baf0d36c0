package changelog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
)

// partVersion is that of the root of a log that holds a part of another: whoever knows only whole logs refuses it.
const partVersion = 2

// version is that of a root.
func (i *Info) version() int {
	if i.Part != nil {
		return partVersion
	}
	return formatVersion
}

// PartOf says of which log another holds a part, and which: the records of a window of time that pass all filters. Such a log never
// claims to be whole: no state of the table follows from it.
type PartOf struct {
	Of  string `json:"of"`  // Log.ID of the other
	Log string `json:"log"` // its address, as it was
	// Records of a time in (From, To], µs since 1970, running as in the other; 0 and 0 are its beginning and its end as it was found.
	From int64 `json:"from,omitempty"`
	To   int64 `json:"to,omitempty"`

	// Filters, as source.LogSpec has them.
	Key   json.RawMessage `json:"key,omitempty"`
	Ops   []string        `json:"ops,omitempty"`
	Where string          `json:"where,omitempty"`

	Entries []Run `json:"entries"` // of the other that the window comes to, by group
	// Within is set when the other is a part itself.
	Within *PartOf `json:"within,omitempty"`
}

// Run is a run of entries; none when First is behind Last.
type Run struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// Bounds is the window (from, to] of all that may be in the part.
func (p *PartOf) Bounds() (from, to int64) {
	from, to = math.MinInt64, math.MaxInt64
	if p.Within != nil {
		from, to = p.Within.Bounds()
	}
	if p.From != 0 {
		from = max(from, p.From)
	}
	if p.To != 0 {
		to = min(to, p.To)
	}
	return from, to
}

// same tells whether two are the same part of the same log, wherever that lies.
func (p *PartOf) same(q *PartOf) bool {
	a, b := *p, *q
	a.Log, b.Log = "", ""
	if a.Within != nil && b.Within != nil { // the other is the same, so that is
		a.Within, b.Within = nil, nil
	}
	mine, err := json.Marshal(a)
	theirs, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(mine, theirs)
}

// String tells it to a person.
func (p *PartOf) String() string {
	text := "a part of " + p.Log
	var only []string
	for _, t := range []struct {
		word string
		at   int64
	}{{"behind ", p.From}, {"up to ", p.To}} {
		if t.at != 0 {
			only = append(only, t.word+time.UnixMicro(t.at).UTC().Format(time.RFC3339Nano))
		}
	}
	if len(p.Key) > 0 {
		only = append(only, "of the key "+string(p.Key))
	}
	if len(p.Ops) > 0 {
		only = append(only, strings.Join(p.Ops, ", ")+" alone")
	}
	if p.Where != "" {
		only = append(only, "where "+p.Where)
	}
	if len(only) == 0 {
		only = append(only, "all up to entry "+lasts(p.Entries))
	}
	text += " (" + strings.Join(only, "; ") + ")"
	if p.Within != nil {
		text += ", which is " + p.Within.String()
	}
	return text
}

// lasts names the last entry of each group.
func lasts(runs []Run) string {
	list := make([]string, len(runs))
	for i, r := range runs {
		list[i] = fmt.Sprint(r.Last)
	}
	return strings.Join(list, ", ")
}
