package store

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"dynaferry/internal/fault"

	"pgregory.net/rapid"
)

// pastTable draws a table, also a dropped one, and tells how far its history must reach; ok is false when it has none.
func (k *machine) pastTable(t *rapid.T) (id TableID, m *modelTable, from int64, ok bool) {
	all := maps.Clone(k.m.tables)
	maps.Copy(all, k.gone)
	ids := slices.Sorted(maps.Keys(all))
	if len(ids) == 0 {
		t.Skip("no table")
	}
	id = rapid.SampledFrom(ids).Draw(t, "past table")
	m = all[id]
	keep := m.settings.History.Milliseconds()
	from = max(m.since, k.time()-keep)
	gone := m.dropped != 0 && k.time()-m.dropped > keep
	got, err := k.s.HistoryFrom(id)
	ok = m.settings.History > 0 && !gone
	if (err == nil) != ok || ok && got.UnixMilli() != from {
		t.Fatalf("history from %v %v, want %d %v", got, err, from, ok)
	}
	return id, m, from, ok
}

// instant draws a time, often that of a change.
func (k *machine) instant(t *rapid.T, m *modelTable, name string) int64 {
	if n := len(m.changes); n > 0 && rapid.Bool().Draw(t, name+" near") {
		return m.changes[rapid.IntRange(0, n-1).Draw(t, name+" change")].time + int64(rapid.IntRange(-1, 1).Draw(t, name+" off"))
	}
	return k.time() - int64(rapid.IntRange(-1, 40*3600*1000).Draw(t, name+" ago"))
}

func (k *machine) refused(t *rapid.T, err error, m *modelTable, from int64, ok bool, at int64) bool {
	if ok && at >= from {
		return false
	}
	if !errors.Is(err, ErrTooOld) && (ok || fault.KindOf(err) != fault.NotFound) {
		t.Fatalf("at %d of history from %d (%v): %v", at, from, ok, err)
	}
	return true
}

// State compares the table at a time with what the model says it was.
func (k *machine) State(t *rapid.T) {
	id, m, from, ok := k.pastTable(t)
	at := k.instant(t, m, "at")
	want := map[string]string{}
	for _, c := range m.changes {
		if c.time > at {
			break
		}
		if want[string(itemKey(nil, id, keyOf(c.hash, c.rng)))] = c.new; c.new == "" {
			delete(want, string(itemKey(nil, id, keyOf(c.hash, c.rng))))
		}
	}
	segments := rapid.IntRange(1, 3).Draw(t, "segments")
	page := rapid.IntRange(0, 4).Draw(t, "page")
	for seg := range segments {
		o := ScanOptions{Segment: seg, Segments: segments, Limit: page}
		for {
			it := k.s.StateAt(id, time.UnixMilli(at), o)
			n := 0
			last := []byte(nil)
			for it.Next() {
				n++
				o.After = it.Key()
				key := itemKey(nil, id, o.After)
				if text, found := want[string(key)]; !found || text != string(it.Raw()) || bytes.Compare(key, last) <= 0 ||
					!o.After.InSegment(seg, segments) {
					t.Fatalf("at %d: %q is %q, want %q %v", at, key, it.Raw(), text, found)
				}
				delete(want, string(key))
				last = key
			}
			err := it.Close()
			if k.refused(t, err, m, from, ok, at) {
				return
			}
			if err != nil {
				t.Fatalf("state at %d of history from %d: %v", at, from, err)
			}
			if page == 0 || n < page {
				break
			}
		}
	}
	if len(want) != 0 {
		t.Fatalf("state at %d lacks %q", at, want)
	}
}

// Changes compares what changed between two times.
func (k *machine) Changes(t *rapid.T) {
	id, m, from, ok := k.pastTable(t)
	a, b := k.instant(t, m, "from"), k.instant(t, m, "to")
	want := map[string]modelChange{}
	for _, c := range m.changes {
		if c.time <= a || c.time > b {
			continue
		}
		key := string(itemKey(nil, id, keyOf(c.hash, c.rng)))
		if first, found := want[key]; found {
			c.old = first.old
		}
		want[key] = c
	}
	var last []byte
	err := k.s.Changes(context.Background(), id, time.UnixMilli(a), time.UnixMilli(b), func(g Change) error {
		key := itemKey(nil, id, g.Key)
		c, found := want[string(key)]
		if !found || bytes.Compare(key, last) <= 0 || string(g.Old) != c.old || string(g.New) != c.new || (g.Old == nil) != (c.old == "") ||
			(g.New == nil) != (c.new == "") || g.Seq != c.seq || g.Time.UnixMilli() != c.time || g.Service != c.service {
			t.Fatalf("change in (%d, %d]: %+v, want %+v %v", a, b, g, c, found)
		}
		delete(want, string(key))
		last = key
		return nil
	})
	if k.refused(t, err, m, from, ok, a) {
		return
	}
	if err != nil || len(want) != 0 {
		t.Fatalf("changes in (%d, %d]: %v, missing %+v", a, b, err, want)
	}
	if list, err := k.s.fs.List(k.s.fs.PathJoin(k.s.dir, sortDir)); err == nil && len(list) != 0 {
		t.Fatalf("sorted runs stay: %q", list)
	}
}
