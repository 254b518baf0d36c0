package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dynaferry/internal/fault"
	"dynaferry/internal/job"
)

// countsShown is how many lines of counts a person is shown at most.
const countsShown = 20

// showCounts prints counts by name; of many the largest.
func (a *app) showCounts(label string, counts map[string]int64) {
	names := sortedKeys(counts)
	if len(names) > countsShown {
		slices.SortStableFunc(names, func(x, y string) int { return cmp.Compare(counts[y], counts[x]) })
	}
	for i, name := range names {
		if i == countsShown {
			fmt.Fprintf(a.out, "  %s ... and %s more, all of them with --json\n", label, countText(int64(len(names)-i)))
			return
		}
		what := name
		if strings.HasPrefix(name, ": ") { // counted at the item itself
			what = "attributes without column" + name
		}
		fmt.Fprintf(a.out, "  %s %s: %s\n", label, printable(what), countText(counts[name]))
	}
}

// showCopy prints what an export or a convert came to.
func (a *app) showCopy(raw []byte) error {
	var r job.Report
	if err := json.Unmarshal(raw, &r); err != nil {
		return fault.New(fault.Corrupt, "report: %w", err)
	}
	if r.Rejects > 0 {
		a.code = exitPartial
	}
	if a.flags.json {
		return a.printJSON(a.out, json.RawMessage(raw))
	}
	fmt.Fprintf(a.out, "%s\n  items        %s\n", r.Destination, countText(r.Items))
	if r.Read != r.Items {
		fmt.Fprintf(a.out, "  read         %s\n", countText(r.Read))
	}
	if r.Dropped > 0 {
		fmt.Fprintf(a.out, "  dropped      %s by the steps\n", countText(r.Dropped))
	}
	if r.Refused > 0 {
		fmt.Fprintf(a.out, "  refused      %s by the steps\n", countText(r.Refused))
	}
	if r.Changes > 0 {
		fmt.Fprintf(a.out, "  changes      %s\n", countText(r.Changes))
	}
	fmt.Fprintf(a.out, "  files        %s of %s, %s\n", countText(int64(r.Files)), r.Format, bytesText(r.Bytes))
	if r.Partitions > 0 {
		fmt.Fprintf(a.out, "  partitions   %s\n", countText(int64(r.Partitions)))
	}
	if r.Columns > 0 {
		fmt.Fprintf(a.out, "  columns      %d\n", r.Columns)
	}
	if r.Widened > 0 {
		fmt.Fprintf(a.out, "  widened      %s files of before, by the new columns\n", countText(int64(r.Widened)))
	}
	if r.Native != nil {
		showExported(a.out, r.Native)
	}
	if r.Units > 0 || r.Native != nil {
		fmt.Fprintf(a.out, "  read units   %s\n", countText(int64(r.Units)))
	}
	of := ""
	if r.Steps > 0 {
		of = fmt.Sprintf(" (of what %d steps made of the items)", r.Steps)
		if r.Steps == 1 {
			of = " (of what 1 step made of the items)"
		}
	}
	fmt.Fprintf(a.out, "  fingerprint  %s%s\n", r.Fingerprint, of)
	a.showCounts("in _extra   ", r.Misfits)
	a.showCounts("type lost   ", r.Losses)
	for _, name := range r.DeadLetters {
		what := "could not be read"
		if r.Refused > 0 {
			what = "could not be read or were refused by a step"
		}
		fmt.Fprintf(a.out, "  dead letters %s (%s records %s)\n", name, countText(r.Rejects), what)
	}
	return nil
}
