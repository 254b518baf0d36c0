package delivery

import (
	"context"
	"fmt"
	"strings"
	"time"

	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
)

// GapError tells that records are missing in the log. All before is delivered.
type GapError struct {
	Group uint32
	Entry uint64
	changelog.GapNote
	err error
}

func newGapError(log *changelog.Log, e noted) *GapError {
	when := ""
	if e.gap.From > 0 && e.gap.To > 0 {
		when = fmt.Sprintf(" from %s to %s", timeText(e.gap.From), timeText(e.gap.To))
	}
	err := fault.New(fault.Differs, "changes are missing in the log of %s: entry %d of group %d is a gap%s (%s)", log.Table, e.n, e.group, when, e.gap.Reason)
	err = fault.Hint(err, "dynaferry follow dynamodb://%s %s --heal closes it with final states; --accept-gaps delivers what comes behind without them",
		log.Table, log.URL())
	return &GapError{e.group, e.n, *e.gap, err}
}

func timeText(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339) }

// Error names entry, time and reason.
func (e *GapError) Error() string { return e.err.Error() }

// Unwrap gives the error with kind and hint.
func (e *GapError) Unwrap() error { return e.err }

// healedBy finds the entry that holds the final states of a gap, 0 when there is none yet. It reads the index.
func healedBy(ctx context.Context, log *changelog.Log, group uint32, gap uint64) (uint64, error) {
	nobody := strings.Repeat("-", 8) // no shard's id: footers are read, and no blocks
	for batch, err := range log.Read(ctx, changelog.Range{Group: group, First: gap + 1, Shard: nobody}) {
		if err != nil {
			return 0, err
		}
		if batch.Heals(gap) {
			return batch.N, nil
		}
	}
	return 0, nil
}
