package changelog

import (
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// check tells whether an entry makes sense by itself; before is how many bytes of blocks it has. Every error is of kind
// Corrupt, but for kinds of entries that a later release may have.
func (e *Entry) check(before int64) error {
	if err := e.checkKind(); err != nil {
		return err
	}
	if e.Listed < 0 {
		return broken("its shards were listed at %d", e.Listed)
	}
	if e.N == 0 {
		return broken("it has number 0; the first is 1")
	}
	if wholeDue(e.N, e.Kind) && !e.Whole {
		return broken("entry %d of kind %s does not tell the whole state", e.N, e.Kind)
	}
	at := make(map[string]int, len(e.Shards))
	for i := range e.Shards {
		s := &e.Shards[i]
		if _, twice := at[s.ID]; twice || s.ID == "" {
			return broken("shard %q stands there twice or has no name", s.ID)
		}
		at[s.ID] = i
		if err := s.check(); err != nil {
			return err
		}
	}
	return e.checkBlocks(before, at)
}

func broken(format string, args ...any) error { return fault.New(fault.Corrupt, format, args...) }

func (e *Entry) checkKind() error {
	has := map[Kind]bool{Segment: false, Fence: e.Fence != nil, Release: e.Release != nil, Gap: e.Gap != nil, Compacted: e.Compacted != nil}
	if _, known := has[e.Kind]; !known {
		return fault.Hint(fault.New(fault.Unsupported, "entries of kind %.40q are not known", e.Kind),
			"use the release of dynaferry that wrote the log, or a later one")
	}
	for kind, told := range has {
		if told != (kind == e.Kind && kind != Segment) {
			return broken("an entry of kind %s, where a note of kind %s is missing or too many", e.Kind, kind)
		}
	}
	if len(e.Blocks) > 0 && e.Kind != Segment && e.Kind != Compacted {
		return broken("an entry of kind %s with records", e.Kind)
	}
	return nil
}

func (s *Shard) check() error {
	switch {
	case s.End.Compare(s.After) < 0:
		return broken("shard %s ends at %v, before it begins at %v", s.ID, s.End, s.After)
	case len(s.Children) > 0 && !s.Closed:
		return broken("shard %s has children and is open", s.ID)
	case s.Total < s.Records:
		return broken("shard %s has %d records in this entry and %d in all", s.ID, s.Records, s.Total)
	case s.Time < 0 || s.Tip < 0 || s.Begun < 0:
		return broken("shard %s has the time %d and the tip %d, and began at %d", s.ID, s.Time, s.Tip, s.Begun)
	}
	return nil
}

// run is what the blocks of one shard have told so far.
type run struct {
	records uint64
	last    feed.Position
	to      int64
	ended   bool // a child's records have begun
}

// checkBlocks: blocks lie one behind the other and hold what the shards say; at finds a shard by its id.
func (e *Entry) checkBlocks(before int64, at map[string]int) error {
	runs := make([]run, len(e.Shards))
	for i := range e.Shards {
		runs[i].last = e.Shards[i].After
	}
	var offset int64
	for i := range e.Blocks {
		b := &e.Blocks[i]
		switch {
		case b.Offset != offset || b.Length <= 0 || b.Length > before-offset:
			return broken("block %d has %d bytes at %d; it should begin at %d, and all blocks have %d", i, b.Length, b.Offset, offset, before)
		case b.Bytes <= 0 || b.Bytes > blockBytesMax || b.Records <= 0 || int64(b.Records) > b.Bytes:
			return broken("block %d has %d records in %d bytes", i, b.Records, b.Bytes)
		case b.From > b.To || b.From < 0:
			return broken("block %d is of the times %d to %d", i, b.From, b.To)
		case (b.Shard < 0) != (e.Kind == Compacted) || b.Shard < -1 || b.Shard >= len(e.Shards):
			return broken("block %d is of shard %d of %d in an entry of kind %s", i, b.Shard, len(e.Shards), e.Kind)
		}
		offset += b.Length
		if b.Shard < 0 {
			continue
		}
		s, r := &e.Shards[b.Shard], &runs[b.Shard]
		if b.First.Compare(r.last) <= 0 || b.Last.Compare(b.First) < 0 || b.Last.Compare(s.End) > 0 || b.From < r.to || b.To > s.Time || r.ended {
			return broken("block %d has the records %v to %v of the times %d to %d of shard %s; they do not follow %v of %d or go beyond %v of %d",
				i, b.First, b.Last, b.From, b.To, s.ID, r.last, r.to, s.End, s.Time)
		}
		r.last, r.to = b.Last, b.To
		r.records += uint64(b.Records)
		for _, parent := range s.Parents {
			if p, here := at[parent]; here {
				runs[p].ended = true
			}
		}
	}
	if offset != before {
		return broken("the blocks have %d bytes, the entry %d before its footer", offset, before)
	}
	for i := range runs {
		if s := &e.Shards[i]; runs[i].records != s.Records {
			return broken("shard %s has %d records in blocks and is said to have %d", s.ID, runs[i].records, s.Records)
		}
	}
	return nil
}
