package delivery

import (
	"context"
	"math"

	"dynaferry/internal/changelog"
)

// noted is what a run knows of an entry that is not delivered yet.
type noted struct {
	group   uint32
	n       uint64
	records uint64
	bytes   int64 // of its records
	newest  int64 // time
	gap     *changelog.GapNote
	state   *changelog.State
}

// newsAhead is how many entries may be known and not looked at: what is behind them waits in the log.
const newsAhead = 256

// watch tells of the entries of a group from first on, as they come, until ctx ends.
func watch(ctx context.Context, log *changelog.Log, group uint32, first uint64, o *Options, news chan<- noted) error {
	r := changelog.Range{Group: group, First: first, Poll: o.Poll, Wake: o.Bell.Wait,
		From: math.MaxInt64} // no blocks
	for batch, err := range log.Read(ctx, r) {
		if err != nil {
			return err
		}
		e := noted{group: group, n: batch.N, records: batch.Records(), gap: batch.Gap, state: batch.State}
		_, e.newest = batch.Span()
		for i := range batch.Blocks {
			e.bytes += batch.Blocks[i].Bytes
		}
		select {
		case news <- e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// pending are entries of the log that are known and not delivered, by group.
type pending struct {
	groups [][]noted
	states []*changelog.State // of each group, behind what is delivered and entries that hold nothing to deliver
	ends   []uint64           // delivered
	bytes  int64
	weighs int // entries that hold records or are gaps
	begin  *Begin
}

func (p *pending) add(e noted) {
	if e.n <= p.ends[e.group] {
		return
	}
	if p.begin.over(e.gap) {
		e.gap = nil
	}
	p.groups[e.group] = append(p.groups[e.group], e)
	p.count(e, 1)
}

func (p *pending) count(e noted, sign int) {
	p.bytes += int64(sign) * e.bytes
	if e.weighs() {
		p.weighs += sign
	}
}

// weighs tells whether an entry alone is worth an epoch: those that only say where shards stand go along with others.
func (e *noted) weighs() bool { return e.records > 0 || e.gap != nil }

// delivered drops what an epoch covers.
func (p *pending) delivered(ends []uint64) {
	for g, end := range ends {
		list := p.groups[g]
		for len(list) > 0 && list[0].n <= end {
			p.count(list[0], -1)
			p.states[g] = list[0].state
			list = list[1:]
		}
		p.groups[g] = list
		p.ends[g] = max(p.ends[g], end)
	}
}

// reached is where each group stands if nothing that weighs is left out.
func (p *pending) reached() []*changelog.State {
	states := append([]*changelog.State(nil), p.states...)
	for g, list := range p.groups {
		for i := range list {
			if list[i].weighs() {
				break
			}
			states[g] = list[i].state
		}
	}
	return states
}

// known is where each group stands behind all that is known.
func (p *pending) known() []*changelog.State {
	states := append([]*changelog.State(nil), p.states...)
	for g, list := range p.groups {
		if len(list) > 0 {
			states[g] = list[len(list)-1].state
		}
	}
	return states
}

// Bounds of one epoch: how many spans are made into files together at most, but for one of each group, and how many entries a
// group brings.
const (
	spansMax   = 4
	entriesMax = 4096
)

// cut makes the spans of the next epoch: whole entries up to the bounds, spans of them each full at bufferBytes. Gaps that may be
// passed over are noted; before others a group ends.
func (p *pending) cut(bufferBytes int64, most int, pass func(noted) *GapSeen) (spans []Span, ends []uint64, gaps []GapSeen) {
	ends = append([]uint64(nil), p.ends...)
	active := 0
	for _, list := range p.groups {
		if len(list) > 0 {
			active++
		}
	}
	share := max(most/max(active, 1), 1) // no group waits for another
	for g, list := range p.groups {
		var open *Span
		var bytes int64
		begun, entries := 0, 0
		for _, e := range list {
			var seen *GapSeen
			if e.gap != nil {
				if seen = pass(e); seen == nil {
					break
				}
			}
			if open != nil && bytes >= bufferBytes {
				open, bytes = nil, 0
			}
			if open == nil && begun == share || entries == entriesMax {
				break
			}
			if open == nil {
				begun++
				spans = append(spans, Span{Group: uint32(g), First: e.n, Last: e.n})
				open = &spans[len(spans)-1]
			}
			open.Last, ends[g] = e.n, e.n
			bytes += e.bytes
			entries++
			if seen != nil {
				gaps = append(gaps, *seen)
			}
		}
	}
	return spans, ends, gaps
}
