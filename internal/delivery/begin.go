package delivery

import (
	"context"
	"slices"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
)

// Begin is where a delivery begins in a log that begins earlier: capture takes all that there is, so that nothing is lost
// whatever is decided later. It is decided by the first epoch, which makes no files, and stands in all. Of each shard a
// beginning is left out, so what is delivered is whole from there on, and in order.
type Begin struct {
	Asked string `json:"asked,omitempty"` // how it was asked for, for people
	// Time is that of the first changes that are delivered (µs since 1970), by the running maximum along a shard's lineage.
	Time int64 `json:"time,omitempty"`
	// Behind are positions behind which a shard is delivered, whatever its times.
	Behind map[string]feed.Position `json:"behind,omitempty"`
	// Before are shards of which nothing is delivered: the ancestors of those in Behind.
	Before []string `json:"before,omitempty"`
}

// Began tells where a delivery into dest, as of Options.Dir, begins; decided is false when it has no epoch yet.
func Began(ctx context.Context, b blob.Bucket, dest string, s Settings) (begin *Begin, decided bool, err error) {
	set(&s.Name, nameDefault)
	last, err := ledgerOf(b, dest, &s).last(ctx)
	if err != nil || last == nil {
		return nil, false, err
	}
	return last.Begin, true, nil
}

// from is the time before which no block need be read; 0 when that is not known from times.
func (b *Begin) from() int64 {
	if b == nil || len(b.Behind) > 0 {
		return 0
	}
	return b.Time
}

// has tells whether a change is delivered. Final states of a healed gap are of no shard.
func (b *Begin) has(shard string, position feed.Position, micros int64) bool {
	if b == nil {
		return true
	}
	if after, named := b.Behind[shard]; named && shard != "" {
		return position.Compare(after) > 0
	}
	return micros >= b.Time && !slices.Contains(b.Before, shard)
}

// over tells whether all that a gap may lack is of before the beginning.
func (b *Begin) over(gap *changelog.GapNote) bool {
	return b != nil && gap != nil && gap.To > 0 && gap.To < b.Time
}

// decide puts the first epoch, which says where the delivery begins and delivers nothing, unless there is one by then.
func (r *runner) decide(ctx context.Context) (*Epoch, error) {
	begin, err := r.o.Begin(ctx)
	if err != nil {
		return nil, err
	}
	e := &Epoch{Format: formatVersion, N: 1, Log: r.logID(), Settings: r.set, Impure: r.impure, Begin: begin, Spans: []Span{},
		Ends: make([]uint64, r.log.Groups)}
	stands, _, err := r.l.propose(ctx, e, r.o.Commit)
	return stands, err
}
