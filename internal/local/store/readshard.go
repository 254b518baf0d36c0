package store

import (
	"bytes"
	"encoding/binary"

	"github.com/cockroachdb/pebble"

	"dynaferry/internal/fault"
)

// ReadShard reads changes with sequence numbers above after, at most limit (at least 1) and about so many bytes of
// images (0: no bound, and one change is always read). after 0 begins at the oldest that is kept; with any other, an
// error that wraps ErrTrimmed says that changes behind it are gone. NotFound as for Shards.
func (s *Store) ReadShard(id StreamID, number uint32, after uint64, limit, bytes int) (Page, error) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := s.usable(); err != nil {
		return Page{}, err
	}
	horizon := s.streamHorizon()
	visible := s.visible.Load() // all records up to here are in the index that is read below
	sh, _, err := s.streams.find(id, number)
	if err != nil || endedBefore(sh.closed, horizon) {
		if err == nil {
			err = fault.New(fault.NotFound, "shard %d closed more than %v ago", number, StreamKeep)
		}
		return Page{}, err
	}
	r := shardReader{s: s, shard: number, limit: max(limit, 1), bytes: bytes}
	defer r.close()
	if err := r.begin(after, horizon); err != nil {
		return Page{}, err
	}
	// Asked once the index is pinned: trimming says what it takes before it does.
	if now, _, err := s.streams.find(id, number); err != nil || after != 0 && after < now.trimmed {
		return Page{}, trimmed(number, after)
	}
	p := Page{Next: after}
	for len(p.Changes) < r.limit && r.ok && !r.full {
		c, err := r.change()
		if err != nil {
			return Page{}, err
		}
		p.Changes = append(p.Changes, c)
		p.Next = c.Seq
		r.ok = r.it.Next()
	}
	if err := r.it.Error(); err != nil {
		return Page{}, indexError(err)
	}
	if !r.ok {
		p.Next = max(p.Next, visible)
		p.End = sh.closed != 0 // and so nothing came after the look
	}
	return p, nil
}

func trimmed(shard uint32, after uint64) error {
	return fault.New(fault.NotFound, "shard %d behind sequence number %d: %w", shard, after, ErrTrimmed)
}

// shardReader reads one page of a shard: places from the index, records and old images from the log.
type shardReader struct {
	s            *Store
	shard        uint32
	limit, bytes int

	it   *pebble.Iterator
	ok   bool // it stands at a record
	full bool // the bytes are used up
	v    *view

	ahead     []byte // a piece of a segment behind the last record that was read
	aheadSeg  uint32
	aheadFrom uint32
}

func (r *shardReader) close() {
	if r.it != nil {
		_ = r.it.Close() // its error was looked at
	}
	if r.v != nil {
		r.v.release()
	}
}

// begin stands before the first record behind after.
func (r *shardReader) begin(after uint64, horizon int64) (err error) {
	if r.it, r.v, err = r.s.pinned(changeKey(r.shard, 0), changeKey(r.shard+1, 0)); err != nil {
		return err
	}
	r.ok = r.it.SeekGE(changeKey(r.shard, after+1))
	if !r.ok {
		return nil
	}
	l, err := r.located()
	if err != nil || l.time >= horizon {
		return err
	}
	if after != 0 {
		return trimmed(r.shard, after)
	}
	_, err = seekTime(r.it, r.shard, horizon)
	r.ok = r.it.Valid()
	return err
}

func (r *shardReader) located() (l located, err error) { return locate(r.it) }

func locate(it *pebble.Iterator) (l located, err error) {
	if !l.parse(it.Value()) {
		return l, fault.New(fault.Corrupt, "stream entry of the index that this program did not write")
	}
	return l, nil
}

// seekTime moves an iterator over a shard's records to the first one at or after a time, and returns the sequence
// number of the one before, 0 without one. Times rise with sequence numbers, so it halves the range of these.
func seekTime(it *pebble.Iterator, shard uint32, horizon int64) (before uint64, err error) {
	if !it.Last() {
		return 0, it.Error()
	}
	seq := func() uint64 { return binary.BigEndian.Uint64(it.Key()[5:]) }
	lo, hi := uint64(0), seq()+1 // the first that is young enough is in [lo, hi]; hi: none is
	for lo < hi {
		middle := lo + (hi-lo)/2
		if !it.SeekGE(changeKey(shard, middle)) {
			hi = middle
			continue
		}
		l, err := locate(it)
		switch {
		case err != nil:
			return 0, err
		case l.time < horizon:
			before = seq()
			lo = before + 1
		default:
			hi = middle
		}
	}
	it.SeekGE(changeKey(shard, lo))
	return before, it.Error()
}

// change reads the record that the iterator stands at.
func (r *shardReader) change() (Change, error) {
	l, err := r.located()
	if err != nil {
		return Change{}, err
	}
	b, seg, err := r.record(&l.place)
	if err != nil {
		return Change{}, err
	}
	var rec record
	if _, _, ok := rec.parse(b); !ok {
		return Change{}, unreadable(seg, int64(l.offset))
	}
	c := Change{Seq: rec.seq, Time: at(rec.time), Service: rec.service, New: bytes.Clone(rec.value),
		Key: Key{Hash: bytes.Clone(rec.key.Hash), Range: bytes.Clone(rec.key.Range)}}
	switch rec.old {
	case oldInline:
		c.Old = bytes.Clone(rec.oldInline)
	case oldPointer:
		if c.Old, err = r.v.value(&rec.oldAt); err != nil {
			return Change{}, err
		}
	}
	if r.bytes > 0 {
		r.bytes -= len(c.Old) + len(c.New)
		r.full = r.bytes <= 0
	}
	return c, nil
}

// record returns a record's bytes, from what was read ahead or by reading on from there: records of a shard lie near
// each other in the log.
func (r *shardReader) record(p *place) ([]byte, *segment, error) {
	seg := r.v.segs[p.segment]
	if seg == nil {
		return nil, nil, noSegment(p.segment)
	}
	cached := func() []byte {
		from := int64(p.offset) - int64(r.aheadFrom)
		if r.aheadSeg != p.segment || from < 0 || from+int64(p.length) > int64(len(r.ahead)) {
			return nil
		}
		return r.ahead[from:][:p.length]
	}
	b := cached()
	if b == nil || checksum(b) != p.crc { // what lay ahead may have been written only after it was read
		n := p.length
		if r.limit > 1 {
			n = max(n, min(runBytes, uint32(r.limit)*runGap))
		}
		r.ahead = make([]byte, n)
		r.aheadSeg, r.aheadFrom = p.segment, p.offset
		if err := seg.readAt(r.ahead, &pointer{offset: p.offset}); err != nil {
			return nil, nil, err
		}
		b = cached()
	}
	return b, seg, seg.check(b, &pointer{offset: p.offset, length: p.length, crc: p.crc})
}

// value reads a value through the view that pins its segment.
func (v *view) value(p *pointer) ([]byte, error) {
	seg := v.segs[p.segment]
	if seg == nil {
		return nil, noSegment(p.segment)
	}
	value := make([]byte, p.length)
	return value, seg.value(value, p)
}

func noSegment(number uint32) error {
	return fault.New(fault.Corrupt, "the index names segment %d, which does not exist", number)
}
