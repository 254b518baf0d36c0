package source

import (
	"fmt"
	"time"

	"dynaferry/internal/fault"
)

// ChainError tells that windows do not join, to each other or to their base: what lies between the two is missing, or,
// of Overlap, told twice.
type ChainError struct {
	Before, After string    // the two ends, each with its verb: "X ends at", "Y begins at"
	From, To      time.Time // what is missing between them
	Overlap       bool
}

// Error names both ends.
func (e *ChainError) Error() string {
	if e.Overlap {
		return fmt.Sprintf("the windows overlap: %s %s, %s %s", e.Before, stamp(e.To), e.After, stamp(e.From))
	}
	return fmt.Sprintf("the chain has a hole: %s %s, %s %s", e.Before, stamp(e.From), e.After, stamp(e.To))
}

// stamp writes a time as exports do, to the second where that is exact.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z") }

func missing(e *ChainError) error {
	return fault.Hint(fault.As(fault.User, e), "what is missing is the incremental export from %s to %s", stamp(e.From), stamp(e.To))
}

// checkChain holds sorted windows against each other: each begins where the one before ends, and all are of one table.
func checkChain(windows []Window) error {
	for i := 1; i < len(windows); i++ {
		a, b := windows[i-1], windows[i]
		switch {
		case a.Table.other(b.Table):
			return fault.New(fault.User, "%s is of %s, but %s is of %s", a.URL, a.Table, b.URL, b.Table)
		case a.URL == b.URL:
			return fault.Hint(fault.New(fault.User, "%s is given twice", a.URL), "name each incremental export once")
		case b.From.Before(a.To) && !b.Log:
			return fault.Hint(fault.As(fault.User, &ChainError{Before: a.URL + " ends at", After: b.URL + " begins at", From: b.From, To: a.To, Overlap: true}),
				"choose exports whose windows touch")
		case a.To.Before(b.From):
			return missing(&ChainError{Before: a.URL + " ends at", After: b.URL + " begins at", From: a.To, To: b.From})
		}
	}
	return nil
}

// WithinError tells that a base shows the table in the middle of a window.
type WithinError struct {
	Base, Window string
	At, From, To time.Time
}

// Error names both.
func (e *WithinError) Error() string {
	return fmt.Sprintf("%s shows the table of %s, in the middle of %s, which goes from %s to %s: an item that was made before and deleted "+
		"behind that moment is in the base, and no change tells that it went", e.Base, stamp(e.At), e.Window, stamp(e.From), stamp(e.To))
}

// checkBase holds the chain against what it is laid over, and tells how many of its windows say nothing new. One of
// them must begin where the base stands, or the last end there: a window has no record of an item that was made and deleted
// within it, so that a base from the middle of one may hold items of which nothing tells that they went. It may not begin
// later, nor end before: then the base's newer items would be replaced by older ones.
//
// A scan-made base has no single moment and must lie within the chain; what was made and deleted around it within one
// window may stay, and is warned of.
func checkBase(base *Info, windows []Window) (old int, err error) {
	shows := base.Shows
	first, last := windows[0], windows[len(windows)-1]
	switch {
	case shows == nil:
		return 0, fault.Hint(fault.New(fault.User, "%s does not tell which moment its items show, so that no chain can begin there", base.URL),
			"the base of an overlay is a full export, or a data set made from one or from a table, whole and in one version; "+
				"name an export by its folder …/AWSDynamoDB/<id>")
	case shows.other(first.Table):
		return 0, fault.New(fault.User, "%s is of %s, but %s is of %s", base.URL, shows.TableIdentity, first.URL, first.Table)
	case shows.Start.Before(first.From):
		return 0, missing(&ChainError{Before: base.URL + " shows the table of", After: first.URL + " begins at", From: shows.Start, To: first.From})
	case last.To.Before(shows.End) && shows.Start.Equal(shows.End):
		return 0, missing(&ChainError{Before: last.URL + " ends at", After: base.URL + " shows the table of", From: last.To, To: shows.End})
	case last.To.Before(shows.End):
		return 0, missing(&ChainError{Before: last.URL + " ends at", After: "the scan of " + base.URL + " ended at", From: last.To, To: shows.End})
	}
	for old < len(windows)-1 && !windows[old].To.After(shows.Start) {
		old++
	}
	switch w := windows[old]; {
	case w.Log:
	case shows.Start.Before(shows.End):
		base.Warnings = append(base.Warnings, fmt.Sprintf("%s was scanned from %s to %s: an item that was made and deleted around its scan, within one "+
			"window of changes, may stay; a full export as base has none", base.URL, stamp(shows.Start), stamp(shows.End)))
	case w.From.Before(shows.Start) && shows.Start.Before(w.To):
		return 0, fault.Hint(fault.As(fault.User, &WithinError{Base: base.URL, Window: w.URL, At: shows.Start, From: w.From, To: w.To}),
			"use the full export of %s, or the incremental export from %s to %s", stamp(w.From), stamp(shows.Start), stamp(w.To))
	}
	return old, nil
}
