package cli

import (
	"fmt"
	"time"

	"dynaferry/internal/job"
)

// showChange prints a change: + what an item became, - the key of one that is gone.
func (a *app) showChange(r job.ChangeRecord) {
	if string(r.New) == "null" {
		fmt.Fprintf(a.out, "- %s\n", r.Keys)
	} else {
		fmt.Fprintf(a.out, "+ %s\n", r.New)
	}
	when := ""
	if r.Written != nil {
		when = ", written " + r.Written.Format("2006-01-02 15:04:05 MST")
	}
	a.story.say("  %s:%d%s", r.File, r.Line, when)
}

func (a *app) showChangeCount(r job.ChangeCountRecord) {
	a.head("count")
	a.line("changes", "%s", countText(r.Changes))
	a.line("puts", "%s", countText(r.Puts))
	a.line("deletions", "%s", countText(r.Deletions))
	a.line("old images", "%s", countText(r.OldImages))
	if r.Rejects > 0 {
		a.line("no changes", "%s records, the first: %s", countText(r.Rejects), r.FirstReject)
	}
	if r.First != nil {
		a.line("last writes", "from %s to %s", r.First.Format(time.RFC3339), r.Last.Format(time.RFC3339))
	}
}
