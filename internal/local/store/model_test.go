package store

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cockroachdb/pebble/vfs"
)

// model is what the store must look like: tables of items by hash and range key.
type model struct {
	tables map[TableID]*modelTable
	lastID TableID
}

type modelTable struct {
	name, def      string
	items          map[string]map[string]string // hash → range → item
	settings       Settings
	unbuilt        []IndexID     // that may lack entries of older items
	since, dropped int64         // the history begins, the table went
	changes        []modelChange // all of them
	stream         int           // where among changes its stream begins
	ended          []modelStream // its older streams
	alwaysOld      bool          // each record tells what was before
}

// modelChange is one change of an item, "" being none.
type modelChange struct {
	seq       uint64
	time      int64
	hash, rng string
	old, new  string
	service   bool
}

func (m *modelTable) counts() (c Counts) {
	for _, part := range m.items {
		for _, v := range part {
			c.Items++
			c.Bytes += int64(len(v))
		}
	}
	return c
}

func drain(t fataler, it *Iterator) []string {
	var got []string
	for it.Next() {
		got = append(got, string(it.Raw()))
	}
	if err := it.Close(); err != nil {
		t.Fatalf("iterate: %v", err)
	}
	return got
}

type fataler interface{ Fatalf(string, ...any) }

// raw is an item that tells its key, so that whoever reads it can resume behind it.
func raw(hash, rng string, n int, pad int) string {
	return fmt.Sprintf("%q/%q/%d/%s", hash, rng, n, bytes.Repeat([]byte{'x'}, pad))
}

// machine drives a store and its model with the same random operations.
type machine struct {
	o Options
	s *Store
	m model
	n int

	ms      atomic.Int64            // the clock, Unix ms
	gone    map[TableID]*modelTable // dropped
	lastIdx IndexID
}

var (
	genHash  = rapid.SampledFrom([]string{"a", "b", "a\x00", "a\x00b", "\x00", "\xff\xff", "h5", "h6", "h7"})
	genRange = rapid.SampledFrom([]string{"", "1", "2", "10", "\x00", "\x00\x01", "\xff", "1\xff", "1\x00", "abc", "abcd"})
)

func keyOf(hash, rng string) Key {
	return Key{Hash: EncodeString(nil, []byte(hash)), Range: EncodeBinary(nil, []byte(rng))}
}

func (k *machine) table(t *rapid.T) (TableID, *modelTable) {
	ids := slices.Sorted(maps.Keys(k.m.tables))
	if len(ids) == 0 {
		t.Skip("no table")
	}
	id := rapid.SampledFrom(ids).Draw(t, "table")
	return id, k.m.tables[id]
}

func (k *machine) Create(t *rapid.T) {
	if len(k.m.tables) >= 3 {
		t.Skip("enough tables")
	}
	k.n++
	def, name := fmt.Sprintf(`{"n":%d}`, k.n), fmt.Sprintf("t%d", k.n%4)
	taken := slices.ContainsFunc(slices.Collect(maps.Values(k.m.tables)), func(m *modelTable) bool { return m.name == name })
	settings := k.settings(t, nil)
	id, err := k.s.CreateTable([]byte(def), name, settings)
	if taken {
		if err == nil {
			t.Fatalf("two tables named %s", name)
		}
		return
	}
	if err != nil || id <= k.m.lastID {
		t.Fatalf("create: id %d after %d, %v", id, k.m.lastID, err)
	}
	k.m.lastID = id
	k.m.tables[id] = &modelTable{name: name, def: def, items: map[string]map[string]string{}, settings: settings, since: k.time(),
		alwaysOld: settings.OldImages || settings.History > 0}
}

func (k *machine) Drop(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "rarely") != 0 {
		t.Skip("rare")
	}
	id, m := k.table(t)
	if err := k.s.DropTable(id); err != nil {
		t.Fatalf("drop: %v", err)
	}
	delete(k.m.tables, id)
	m.endStream(k.time())
	m.dropped = k.time()
	k.gone[id] = m
	if _, _, err := k.s.Get(id, keyOf("a", "1")); err == nil {
		t.Fatalf("a dropped table answers")
	}
}

func (k *machine) Define(t *rapid.T) {
	id, m := k.table(t)
	k.n++
	m.def = fmt.Sprintf(`{"again":%d}`, k.n)
	settings := k.settings(t, m)
	if err := k.s.UpdateTable(id, []byte(m.def), settings); err != nil {
		t.Fatalf("update: %v", err)
	}
	m.redefined(settings, k.time())
}

// write is one drawn write and what the model says about it.
func (k *machine) write(t *rapid.T, id TableID, m *modelTable, hash, rng string) (Write, func(Result)) {
	old, existed := m.items[hash][rng]
	op := rapid.SampledFrom([]Op{OpPut, OpPut, OpPut, OpDelete, OpNone}).Draw(t, "op")
	fail := rapid.IntRange(0, 9).Draw(t, "fail") == 0
	blind := rapid.Bool().Draw(t, "blind")
	k.n++
	value := raw(hash, rng, k.n, rapid.IntRange(0, 300).Draw(t, "pad"))
	boom := fmt.Errorf("condition %d", k.n)
	service := rapid.IntRange(0, 4).Draw(t, "service") == 0
	w := Write{Table: id, Key: keyOf(hash, rng), Blind: blind, Service: service, Decide: func(got []byte) (Op, []byte, error) {
		if !blind && (string(got) != old || (got != nil) != existed) {
			t.Fatalf("old item is %q, want %q", got, old)
		}
		if fail {
			return 0, nil, boom
		}
		return op, []byte(value), nil
	}}
	return w, func(r Result) {
		if r.Commit.Existed != existed || r.Commit.OldSize != len(old) {
			t.Fatalf("commit %+v of an item %q", r.Commit, old)
		}
		if fail {
			if r.Err != boom {
				t.Fatalf("error %v, want %v", r.Err, boom)
			}
			return
		}
		written := op == OpPut || op == OpDelete && existed
		if r.Err != nil || (r.Commit.Seq != 0) != written {
			t.Fatalf("result %+v, written %v", r, written)
		}
		if written {
			c := modelChange{seq: r.Commit.Seq, time: r.Commit.Time, hash: hash, rng: rng, old: old, service: service}
			if op == OpPut {
				c.new = value
			}
			m.changes = append(m.changes, c)
		}
		switch {
		case op == OpPut && m.items[hash] == nil:
			m.items[hash] = map[string]string{rng: value}
		case op == OpPut:
			m.items[hash][rng] = value
		case op == OpDelete:
			delete(m.items[hash], rng)
		}
	}
}

func (k *machine) Update(t *rapid.T) {
	id, m := k.table(t)
	w, check := k.write(t, id, m, genHash.Draw(t, "hash"), genRange.Draw(t, "range"))
	r, err := k.s.UpdateMany(context.Background(), []Write{w}, false)
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	check(r[0])
}

func (k *machine) Batch(t *rapid.T) {
	id, m := k.table(t)
	atomic := rapid.Bool().Draw(t, "atomic")
	var writes []Write
	var checks []func(Result)
	seen := map[string]bool{}
	for range rapid.IntRange(1, 12).Draw(t, "writes") {
		hash, rng := genHash.Draw(t, "hash"), genRange.Draw(t, "range")
		if seen[hash+"/"+rng] {
			continue
		}
		seen[hash+"/"+rng] = true
		w, check := k.write(t, id, m, hash, rng)
		writes, checks = append(writes, w), append(checks, check)
	}
	r, err := k.s.UpdateMany(context.Background(), writes, atomic)
	if err != nil {
		t.Fatalf("update many: %v", err)
	}
	failed := slices.ContainsFunc(r, func(r Result) bool { return r.Err != nil })
	seq := uint64(0)
	for i := range r {
		if atomic && failed {
			if r[i].Commit.Seq != 0 {
				t.Fatalf("part of a failed transaction was written")
			}
			continue
		}
		if s := r[i].Commit.Seq; s != 0 {
			if atomic && seq != 0 && s > seq+uint64(len(r)) {
				t.Fatalf("a transaction in two frames")
			}
			seq = max(seq, s)
		}
		checks[i](r[i])
	}
}

func (k *machine) Get(t *rapid.T) {
	id, m := k.table(t)
	hash, rng := genHash.Draw(t, "hash"), genRange.Draw(t, "range")
	want, exists := m.items[hash][rng]
	got, ok, err := k.s.Get(id, keyOf(hash, rng))
	if err != nil || ok != exists || string(got) != want {
		t.Fatalf("get %q %v %v, want %q %v", got, ok, err, want, exists)
	}
}

func (k *machine) Query(t *rapid.T) {
	id, m := k.table(t)
	hash := genHash.Draw(t, "hash")
	var o QueryOptions
	o.Descending = rapid.Bool().Draw(t, "descending")
	o.Limit = rapid.IntRange(0, 4).Draw(t, "limit")
	bound := func(name string, excl *bool) (enc []byte, text *string) {
		if !rapid.Bool().Draw(t, name) {
			return nil, nil
		}
		if excl != nil {
			*excl = rapid.Bool().Draw(t, name+" exclusive")
		}
		r := genRange.Draw(t, name+" bound")
		return EncodeBinary(nil, []byte(r)), &r
	}
	var lower, upper, prefix, after *string
	o.Lower, lower = bound("lower", &o.LowerExclusive)
	o.Upper, upper = bound("upper", &o.UpperExclusive)
	o.Prefix, prefix = bound("prefix", nil)
	o.After, after = bound("after", nil)
	var want []string
	for _, rng := range slices.Sorted(maps.Keys(m.items[hash])) {
		out := lower != nil && (rng < *lower || o.LowerExclusive && rng == *lower) ||
			upper != nil && (rng > *upper || o.UpperExclusive && rng == *upper) ||
			prefix != nil && !bytes.HasPrefix([]byte(rng), []byte(*prefix)) ||
			after != nil && (!o.Descending && rng <= *after || o.Descending && rng >= *after)
		if !out {
			want = append(want, m.items[hash][rng])
		}
	}
	if o.Descending {
		slices.Reverse(want)
	}
	if o.Limit > 0 && len(want) > o.Limit {
		want = want[:o.Limit]
	}
	if got := drain(t, k.s.Query(id, EncodeString(nil, []byte(hash)), o)); !slices.Equal(got, want) {
		t.Fatalf("query %+v\n got %q\nwant %q", o, got, want)
	}
}

func (k *machine) Scan(t *rapid.T) {
	id, m := k.table(t)
	segments := rapid.IntRange(1, 5).Draw(t, "segments")
	page := rapid.IntRange(0, 5).Draw(t, "page")
	want := map[string]bool{}
	var hashes []string
	for hash, part := range m.items {
		hashes = append(hashes, hash)
		for _, v := range part {
			want[v] = true
		}
	}
	slices.SortFunc(hashes, func(a, b string) int { return cmp.Compare(keyOf(a, "").hash64(), keyOf(b, "").hash64()) })
	place := func(hash string) int { return slices.Index(hashes, hash) }
	last := -1
	for seg := range segments {
		o := ScanOptions{Segment: seg, Segments: segments, Limit: page}
		for {
			items := drain(t, k.s.Scan(id, o))
			for _, v := range items {
				var hash, rng string
				if _, err := fmt.Sscanf(v, "%q/%q/", &hash, &rng); err != nil {
					t.Fatalf("item %q: %v", v, err)
				}
				if !want[v] || place(hash) < last || !keyOf(hash, rng).InSegment(seg, segments) {
					t.Fatalf("segment %d of %d: %q twice, unknown, out of order or elsewhere", seg, segments, v)
				}
				delete(want, v)
				last = place(hash)
				o.After = keyOf(hash, rng)
			}
			if page == 0 || len(items) < page {
				break
			}
		}
	}
	if len(want) != 0 {
		t.Fatalf("scan missed %v", want)
	}
}

func (k *machine) Reopen(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "rarely") != 0 {
		t.Skip("rare")
	}
	if err := k.s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	k.open(t)
}

func (k *machine) open(t fataler) {
	s, err := Open(k.o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	k.s = s
}

func (k *machine) Check(t *rapid.T) {
	list := k.s.Tables()
	if len(list) != len(k.m.tables) {
		t.Fatalf("%d tables, want %d", len(list), len(k.m.tables))
	}
	for _, tab := range list {
		m := k.m.tables[tab.ID]
		if m == nil || m.name != tab.Name || m.def != string(tab.Definition) {
			t.Fatalf("table %+v, want %+v", tab, m)
		}
		if got, err := k.s.Counts(tab.ID); err != nil || got != m.counts() {
			t.Fatalf("counts of %s: %+v %v, want %+v", tab.Name, got, err, m.counts())
		}
	}
}

func (k *machine) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){"create": k.Create, "drop": k.Drop, "define": k.Define, "update": k.Update,
		"update ": k.Update, "batch": k.Batch, "get": k.Get, "query": k.Query, "scan": k.Scan, "reopen": k.Reopen, "": k.Check,
		"build": k.Build, "index": k.Index, "reshard": k.Reshard, "stream": k.Stream, "later": k.Later,
		"state": k.State, "changes": k.Changes}
}

// TestModel: whatever is done, in whatever order, across restarts and compactions, the store answers as a map does.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := &machine{m: model{tables: map[TableID]*modelTable{}}, gone: map[TableID]*modelTable{}}
		k.ms.Store(1e12)
		k.o = Options{Dir: "/db", SegmentBytes: 1 << 12, CacheBytes: 1 << 16, fs: vfs.NewMem(),
			NoSync: rapid.Bool().Draw(t, "nosync"), Entries: modelEntries, Clock: func() time.Time { return time.UnixMilli(k.time()) },
			changedMax: rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "changed")}
		k.open(t)
		defer func() { k.s.Close() }()
		k.Create(t)
		t.Repeat(k.actions())
	})
}
