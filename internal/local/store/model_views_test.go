package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// modelEntries is the test's index function: of an item raw wrote, indexes with odd ids hold two of three under a hash
// of a few and a range of a few, those with even ids each under one hash and its number.
func modelEntries(dst []Entry, definition, item []byte) []Entry {
	var hash, rng string
	var n int
	if c, _ := fmt.Sscanf(string(item), "%q/%q/%d/", &hash, &rng, &n); c != 3 {
		return dst
	}
	for index := IndexID(1); index < 40; index++ {
		e, ok := modelEntry(index, n)
		if ok {
			dst = append(dst, e)
		}
	}
	return dst
}

func modelEntry(index IndexID, n int) (Entry, bool) {
	if index%2 == 0 {
		number, _ := EncodeNumber(nil, fmt.Append(nil, n%7))
		return Entry{index, Key{Hash: EncodeString(nil, []byte("all")), Range: number}}, true
	}
	e := Entry{index, Key{Hash: EncodeString(nil, fmt.Append(nil, "h", n%2))}}
	if n%4 > 0 {
		e.Key.Range = EncodeBinary(nil, []byte{byte(n % 3), 'x'}[:n%4-1])
	}
	return e, n%3 != 0
}

func (k *machine) time() int64 { return k.ms.Load() }

// settings draws a table's settings; m is what it has now.
func (k *machine) settings(t *rapid.T, m *modelTable) Settings {
	var s Settings
	if m != nil {
		s = m.settings
	}
	switch rapid.IntRange(0, 4).Draw(t, "setting") {
	case 0:
		s.Stream = 0
	case 1:
		s.Stream, s.Shards = k.s.NewStream(), rapid.IntRange(0, 3).Draw(t, "shards")
	}
	s.OldImages = rapid.Bool().Draw(t, "old images")
	s.History = time.Duration(rapid.SampledFrom([]int{0, 1, 5, 40}).Draw(t, "history")) * time.Hour
	s.Indexes = slices.Clone(s.Indexes)
	switch n := len(s.Indexes); rapid.IntRange(0, 3).Draw(t, "indexes") {
	case 0:
		if k.lastIdx < 39 {
			k.lastIdx++
			s.Indexes = append(s.Indexes, k.lastIdx)
		}
	case 1:
		if n > 0 {
			s.Indexes = s.Indexes[1:]
		}
	}
	return s
}

// modelStream is a stream that ended: changes [from, to) of its table.
type modelStream struct {
	id       StreamID
	from, to int
	closed   int64
}

func (m *modelTable) endStream(now int64) {
	if m.settings.Stream != 0 {
		m.ended = append(m.ended, modelStream{m.settings.Stream, m.stream, len(m.changes), now})
	}
}

func (m *modelTable) redefined(s Settings, now int64) {
	if s.Stream != m.settings.Stream {
		m.endStream(now)
		m.stream = len(m.changes)
	}
	if m.settings.History == 0 {
		m.since = now
	}
	for _, index := range s.Indexes {
		if !slices.Contains(m.settings.Indexes, index) && len(m.items) > 0 {
			m.unbuilt = append(m.unbuilt, index)
		}
	}
	m.settings = s
	m.alwaysOld = m.alwaysOld && (s.History > 0 || s.Stream != 0 && s.OldImages)
}

func (k *machine) index(t *rapid.T) (TableID, *modelTable, IndexID) {
	id, m := k.table(t)
	if len(m.settings.Indexes) == 0 {
		t.Skip("no index")
	}
	return id, m, rapid.SampledFrom(m.settings.Indexes).Draw(t, "index")
}

func (k *machine) Build(t *rapid.T) {
	id, m, index := k.index(t)
	if err := k.s.BuildIndex(context.Background(), id, index, nil); err != nil {
		t.Fatalf("build: %v", err)
	}
	m.unbuilt = slices.DeleteFunc(m.unbuilt, func(i IndexID) bool { return i == index })
}

// modelPlace is one entry as the model has it.
type modelPlace struct {
	Entry
	base Key
	text string
}

func (k *machine) Index(t *rapid.T) {
	id, m, index := k.index(t)
	if slices.Contains(m.unbuilt, index) {
		t.Skip("not built")
	}
	var want []modelPlace
	for hash, part := range m.items {
		for rng, text := range part {
			for _, e := range modelEntries(nil, nil, []byte(text)) {
				if e.Index == index {
					want = append(want, modelPlace{e, keyOf(hash, rng), text})
				}
			}
		}
	}
	// An index key is compared as a whole: by hash value, hash, range, then the item's hash and range key.
	slices.SortFunc(want, func(a, b modelPlace) int {
		if x, y := a.Key.hash64(), b.Key.hash64(); x != y {
			if x < y {
				return -1
			}
			return 1
		}
		for _, c := range []int{bytes.Compare(a.Key.Range, b.Key.Range), bytes.Compare(a.base.Hash, b.base.Hash)} {
			if c != 0 {
				return c
			}
		}
		return bytes.Compare(a.base.Range, b.base.Range)
	})
	page := rapid.IntRange(0, 4).Draw(t, "page")
	if rapid.Bool().Draw(t, "scan") {
		k.scanIndex(t, id, index, want, page)
	} else {
		k.queryIndex(t, id, index, want, page)
	}
}

// pages walks page after page and compares.
func pages(t *rapid.T, want []modelPlace, page int, next func(last *modelPlace) *Iterator) {
	var last *modelPlace
	for {
		it, n := next(last), 0
		for it.Next() {
			n++
			got := modelPlace{Entry{0, it.Key()}, it.BaseKey(), string(it.Raw())}
			if len(want) == 0 {
				t.Fatalf("one more than expected: %+v", got)
			}
			if w := want[0]; !w.Entry.Key.same(got.Entry.Key) || !w.base.same(got.base) || w.text != got.text {
				t.Fatalf("got %q %q %.40q\nwant %q %q %.40q", got.Entry.Key, got.base, got.text, w.Entry.Key, w.base, w.text)
			}
			last, want = &got, want[1:]
		}
		if err := it.Close(); err != nil {
			t.Fatalf("iterate: %v", err)
		}
		if page == 0 || n < page {
			break
		}
	}
	if len(want) != 0 {
		t.Fatalf("%d are missing, first %+v", len(want), want[0])
	}
}

func (k Key) same(o Key) bool {
	return bytes.Equal(k.Hash, o.Hash) && bytes.Equal(k.Range, o.Range) && (k.Range == nil) == (o.Range == nil)
}

func (k *machine) scanIndex(t *rapid.T, id TableID, index IndexID, want []modelPlace, page int) {
	segments := rapid.IntRange(1, 4).Draw(t, "segments")
	for seg := range segments {
		part := slices.DeleteFunc(slices.Clone(want), func(p modelPlace) bool { return !p.Key.InSegment(seg, segments) })
		pages(t, part, page, func(last *modelPlace) *Iterator {
			o := ScanOptions{Segment: seg, Segments: segments, Limit: page}
			if last != nil {
				o.After, o.AfterBase = last.Key, last.base
			}
			return k.s.ScanIndex(id, index, o)
		})
	}
}

func (k *machine) queryIndex(t *rapid.T, id TableID, index IndexID, want []modelPlace, page int) {
	n := rapid.IntRange(0, 20).Draw(t, "like")
	e, _ := modelEntry(index, n)
	o := QueryOptions{Limit: page, Descending: rapid.Bool().Draw(t, "descending"), LowerExclusive: rapid.Bool().Draw(t, "lx"),
		UpperExclusive: rapid.Bool().Draw(t, "ux")}
	bound := func(name string) []byte {
		if !rapid.Bool().Draw(t, name) {
			return nil
		}
		b, _ := modelEntry(index, rapid.IntRange(0, 20).Draw(t, name+" bound"))
		return b.Key.Range
	}
	o.Lower, o.Upper, o.Prefix = bound("lower"), bound("upper"), bound("prefix")
	part := slices.DeleteFunc(slices.Clone(want), func(p modelPlace) bool {
		r := p.Key.Range
		lower, upper := bytes.Compare(r, o.Lower), bytes.Compare(r, o.Upper)
		return !bytes.Equal(p.Key.Hash, e.Key.Hash) || o.Lower != nil && (lower < 0 || o.LowerExclusive && lower == 0) ||
			o.Upper != nil && (upper > 0 || o.UpperExclusive && upper == 0) || !bytes.HasPrefix(r, o.Prefix)
	})
	if o.Descending {
		slices.Reverse(part)
	}
	pages(t, part, page, func(last *modelPlace) *Iterator {
		o := o
		if last != nil {
			o.After, o.AfterBase = last.Key.Range, last.base
		}
		return k.s.QueryIndex(id, index, e.Key.Hash, o)
	})
}

// Later lets time pass, and sometimes what is out of date go.
func (k *machine) Later(t *rapid.T) {
	step := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Hour, 5 * time.Hour, 13 * time.Hour})
	k.ms.Add(step.Draw(t, "later").Milliseconds())
	if rapid.Bool().Draw(t, "trim") {
		k.s.compactor.late.Store(true)
		k.s.wakeCompactor()
	}
}

// Reshard splits or rolls a shard.
func (k *machine) Reshard(t *rapid.T) {
	_, m := k.table(t)
	if m.settings.Stream == 0 {
		t.Skip("no stream")
	}
	list, err := k.s.Shards(m.settings.Stream)
	if err != nil || len(list) == 0 {
		t.Fatalf("shards: %+v %v", list, err)
	}
	sh := rapid.SampledFrom(list).Draw(t, "shard")
	if rapid.Bool().Draw(t, "split") {
		err = k.s.SplitShard(m.settings.Stream, sh.ID)
	} else {
		err = k.s.RollShard(m.settings.Stream, sh.ID)
	}
	if (err != nil) != (sh.Last != 0) {
		t.Fatalf("reshard of %+v: %v", sh, err)
	}
}

// Stream reads all shards of a stream, page by page, and compares with what the model kept of it.
func (k *machine) Stream(t *rapid.T) {
	all := []modelStream{}
	owner := map[StreamID]*modelTable{}
	for _, tables := range []map[TableID]*modelTable{k.m.tables, k.gone} {
		for _, m := range tables {
			for _, st := range m.ended {
				all, owner[st.id] = append(all, st), m
			}
		}
	}
	for _, m := range k.m.tables {
		if id := m.settings.Stream; id != 0 {
			all, owner[id] = append(all, modelStream{id: id, from: m.stream, to: len(m.changes)}), m
		}
	}
	if len(all) == 0 {
		t.Skip("no stream")
	}
	slices.SortFunc(all, func(a, b modelStream) int { return int(a.id) - int(b.id) })
	st := rapid.SampledFrom(all).Draw(t, "stream")
	horizon := k.time() - StreamKeep.Milliseconds()
	list, err := k.s.Shards(st.id)
	if (err != nil) != endedBefore(st.closed, horizon) {
		t.Fatalf("stream closed at %d of horizon %d: %v", st.closed, horizon, err)
	}
	got := map[uint64]Change{}
	for _, sh := range list {
		k.readShard(t, st.id, sh, got)
	}
	for _, c := range owner[st.id].changes[st.from:st.to] {
		g, ok := got[c.seq]
		delete(got, c.seq)
		if ok != (c.time >= horizon) {
			t.Fatalf("change at %d of horizon %d is there: %v", c.time, horizon, ok)
		}
		if ok && (!g.Key.same(keyOf(c.hash, c.rng)) || g.Time.UnixMilli() != c.time || g.Service != c.service ||
			string(g.New) != c.new || g.Old != nil && string(g.Old) != c.old) {
			t.Fatalf("change %+v, want %+v", g, c)
		}
		if ok && c.old != "" && g.Old == nil && owner[st.id].alwaysOld {
			t.Fatalf("change %+v without its old image", g)
		}
	}
	if len(got) != 0 {
		t.Fatalf("%d records too many in stream %d: %+v", len(got), st.id, got)
	}
}

func (k *machine) readShard(t *rapid.T, id StreamID, sh Shard, got map[uint64]Change) {
	after, limit, size := uint64(0), rapid.IntRange(1, 5).Draw(t, "limit"), rapid.SampledFrom([]int{0, 1, 500}).Draw(t, "bytes")
	if rapid.Bool().Draw(t, "all") {
		limit = 1000
	}
	for {
		p, err := k.s.ReadShard(id, sh.ID, after, limit, size)
		if err != nil {
			t.Fatalf("read shard %+v after %d: %v", sh, after, err)
		}
		for _, c := range p.Changes {
			h := c.Key.hash64()
			if c.Seq <= after || c.Seq <= sh.First || sh.Last != 0 && c.Seq > sh.Last || h < sh.Lo || h > sh.Hi {
				t.Fatalf("record %d after %d in shard %+v", c.Seq, after, sh)
			}
			after = c.Seq
			got[c.Seq] = c
		}
		if p.Next < after || len(p.Changes) > limit {
			t.Fatalf("page %+v after %d", p, after)
		}
		if len(p.Changes) == 0 || p.End {
			if p.End != (sh.Last != 0) {
				t.Fatalf("end %v of shard %+v", p.End, sh)
			}
			break
		}
	}
	// From within what is gone the reader hears of it.
	if after > 2 {
		_, err := k.s.ReadShard(id, sh.ID, 1, 1, 0)
		if err != nil && !errors.Is(err, ErrTrimmed) {
			t.Fatalf("from 1: %v", err)
		}
	}
}
