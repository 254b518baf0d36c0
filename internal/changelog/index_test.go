package changelog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// longLog is a log of last entries that nobody had to write: entry n holds record n of shard a, of the time n µs, whose
// key is n/10. Index objects that skip names are missing.
func longLog(t testing.TB, last uint64, skip func(level int, k uint64) bool) *memory {
	t.Helper()
	m := newMemory()
	l := makeLog(t, m, 1)
	m.lazy = func(name string) func() []byte {
		var group, n, level uint64
		if c, _ := fmt.Sscanf(name, "chain/%d/index/%d/%d", &group, &level, &n); c == 3 {
			size := uint64(1)
			for range level {
				size *= fan
			}
			if (n+1)*size > last || skip != nil && skip(int(level), n) {
				return nil
			}
			return func() []byte {
				m.objects[name] = longIndex(t, l, int(level), n, size)
				return m.objects[name]
			}
		}
		if c, _ := fmt.Sscanf(name, "chain/%d/%d", &group, &n); c != 2 || n == 0 || n > last || strings.Count(name, "/") != 2 {
			return nil
		}
		return func() []byte {
			data := longEntry(t, l, n)
			if last < 5000 {
				m.objects[name] = data
			}
			return data
		}
	}
	return m
}

func longIndex(t testing.TB, l *Log, level int, k, size uint64) []byte {
	if level > 1 {
		rows := make([]row, fan)
		for i := range rows {
			first := (k*fan+uint64(i))*(size/fan) + 1
			rows[i] = row{From: int64(first), To: int64(first + size/fan - 1), Records: size / fan}
		}
		return buildIndex(0, level, k, nil, rows)
	}
	parts := make([]part, fan)
	for i := range parts {
		data := longEntry(t, l, k*fan+1+uint64(i))
		trail, err := parseTrailer(data, entryMagic)
		must(t, err)
		n := int64(k*fan + 1 + uint64(i))
		parts[i] = part{row{0, uint64(trail.footer()), n, n, 1}, data[trail.before:]}
	}
	return buildIndex(0, 1, k, parts, leafRows(parts))
}

func longKey(n uint64) uint64 { return KeyHash(fmt.Append(nil, n/10)) }

func longEntry(t testing.TB, l *Log, n uint64) []byte {
	at := func(n uint64) feed.Position {
		if n == 0 {
			return feed.Position{}
		}
		return feed.Position{Seq: feed.Number(fmt.Sprint(n))}
	}
	lines := append(record(int(n), int64(n), "k").Raw, '\n')
	body := l.zip.enc.EncodeAll(lines, nil)
	e := &Entry{N: n, ID: commit.ID{byte(n)}, Kind: Segment, Stream: "arn:stream/1", Writer: "w", At: int64(n), Whole: wholeDue(n, Segment),
		Shards: []Shard{{ID: "a", After: at(n - 1), End: at(n), Time: int64(n), Records: 1, Total: n}},
		Blocks: []Block{{Length: int64(len(body)), Bytes: int64(len(lines)), Records: 1, First: at(n), Last: at(n), From: int64(n), To: int64(n),
			Sum: checksum(body), Keys: newFilter([]uint64{longKey(n)})}}}
	data, err := l.zip.appendEntry(body, e)
	must(t, err)
	return data
}

// TestOpenCalls: a chain of up to 100,000 entries is opened with at most 50 calls, also when its index is missing or has
// holes; with few more when the index ends long before the chain.
func TestOpenCalls(t *testing.T) {
	holes := map[string]func(int, uint64) bool{
		"whole index": nil,
		"no index":    func(int, uint64) bool { return true },
		"no level 2":  func(level int, _ uint64) bool { return level > 1 },
		"holes":       func(level int, k uint64) bool { return level == 1 && k%3 == 1 },
		"short index": func(level int, k uint64) bool { return level == 1 && k > 100 },
	}
	for name, skip := range holes {
		most := 0
		for _, last := range []uint64{0, 1, 2, 15, 16, 17, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 99_999, 100_000} {
			l, b := faultedLog(t, longLog(t, last, skip), "put(never)#1: 503")
			before := b.Calls()
			c := openChain(t, l, "w")
			if c.State().N != last || last > 0 && c.State().Shard("a").Total != last {
				t.Errorf("%s: a chain of %d ends at %d", name, last, c.State().N)
			}
			most = max(most, b.Calls()-before)
		}
		if limit := map[bool]int{false: 50, true: 60}[name == "short index"]; most > limit {
			t.Errorf("%s: %d calls", name, most)
		}
	}
}

// TestBetween: a window of time is found from the index's top, whether or not the index is there.
func TestBetween(t *testing.T) {
	for name, skip := range map[string]func(int, uint64) bool{
		"whole index": nil,
		"holes":       func(level int, k uint64) bool { return level == 1 && k == 257 },
	} {
		last := uint64(66_103)
		l, b := faultedLog(t, longLog(t, last, skip), "put(never)#1: 503")
		for _, w := range [][4]uint64{{1, 2, 1, 1}, {5, 7, 5, 6}, {0, 1, 0, 0}, {66_103, 80_000, 66_103, 66_103}, {66_104, 66_105, 0, 0}, {1_700, 1_900, 1_700, 1_899},
			{0, 1 << 40, 1, last}, {65_536, 65_538, 65_536, 65_537}} {
			before := b.Calls()
			first, end, err := l.Between(t.Context(), 0, int64(w[0]), int64(w[1]))
			if err != nil || first != w[2] || end != w[3] {
				t.Errorf("%s: [%d, %d): entries %d to %d, %v, want %d to %d", name, w[0], w[1], first, end, err, w[2], w[3])
			}
			if calls := b.Calls() - before; skip == nil && calls > 300 {
				t.Errorf("%s: %d calls", name, calls)
			}
		}
	}
}

// TestByKey: the records of a key are found through the filters in the index: few entries are read.
func TestByKey(t *testing.T) {
	last := uint64(1_300)
	for name, skip := range map[string]func(int, uint64) bool{"whole index": nil, "a hole": func(_ int, k uint64) bool { return k == 3 }} {
		l, b := faultedLog(t, longLog(t, last, skip), "put(never)#1: 503")
		for _, key := range []uint64{0, 55, 129} {
			before := b.Calls()
			lines, entries, err := readAll(t.Context(), l, Range{Key: longKey(key * 10), Last: last})
			must(t, err)
			if len(entries) != int(last) {
				t.Errorf("%s: %d entries", name, len(entries))
			}
			for n := key * 10; n < key*10+10; n++ {
				if n > 0 && !slices.Contains(lines["a"], string(record(int(n), 0, "k").Raw)) {
					t.Errorf("%s: key %d lacks record %d", name, key, n)
				}
			}
			if limit := 10 + int(last)/50; len(lines["a"]) > limit {
				t.Errorf("%s: %d records for a key of 10", name, len(lines["a"]))
			}
			if calls := b.Calls() - before; skip == nil && calls > 200 {
				t.Errorf("%s: %d calls", name, calls)
			}
		}
	}
}

// TestIndexByWriters: the index that writers make as they go is the one that its entries say, byte for byte, whoever makes
// it; an object that could not be put is put later, and one that a dead writer left out by the next.
func TestIndexByWriters(t *testing.T) {
	m := newMemory()
	l := makeLog(t, m, 1)
	refusing, _ := faultedLog(t, m, "put(chain/000/index/*)#1-3: 503")
	c := openChain(t, refusing, "w1")
	b := newTestBuilder(t, c.State(), BuilderOptions{})
	must(t, b.Begin(Shard{ID: "a"}))
	behind := 0
	for i := 1; i <= 600; i++ {
		if i == 400 { // the first writer dies; the second finds what is there
			c = openChain(t, l, "w2")
			b = newTestBuilder(t, c.State(), BuilderOptions{})
		}
		add(t, b, "a", record(i, int64(i), fmt.Sprint(i)))
		appendDraft(t, c, b.Cut())
		if c.Behind() != nil {
			behind++
		}
	}
	if behind != 3 {
		t.Errorf("the index was behind for %d appends", behind)
	}
	for k := range uint64(2) {
		got := m.objects[indexName("", 0, 1, k)]
		all, err := l.footers(t.Context(), 0, k*fan+1, (k+1)*fan)
		must(t, err)
		if want := buildIndex(0, 1, k, partsOf(all), leafRows(partsOf(all))); !bytes.Equal(got, want) {
			t.Errorf("index object %d has %d bytes, its entries say %d", k, len(got), len(want))
		}
	}
	// A writer of before the index, or one whose objects were lost: the next makes them, one an append.
	must(t, m.Delete(t.Context(), indexName("", 0, 1, 0), indexName("", 0, 1, 1)))
	c = openChain(t, l, "w3")
	for range 2 {
		appendDraft(t, c, newTestBuilder(t, c.State(), BuilderOptions{}).Cut())
	}
	if names := m.names(); !slices.Contains(names, indexName("", 0, 1, 0)) || !slices.Contains(names, indexName("", 0, 1, 1)) {
		t.Error("the index was not made again")
	}
}

// TestDamagedIndex: an index object with any byte changed misleads nobody; what it is of is read instead.
func TestDamagedIndex(t *testing.T) {
	m := longLog(t, 300, nil)
	l, err := Open(t.Context(), m, "")
	must(t, err)
	name := indexName("", 0, 1, 0)
	whole := m.lazy(name)()
	places := []int{0, 5, 9, 200, len(whole) - directoryBytes, len(whole) - directoryBytes + 12}
	for i := 0; i < trailerBytes; i += 3 {
		places = append(places, len(whole)-1-i)
	}
	for range 10 {
		places = append(places, rand.IntN(len(whole)))
	}
	for i, at := range places {
		data := bytes.Clone(whole)
		data[at] ^= 1 << (at % 8)
		m.objects[name] = data
		first, last, err := l.Between(t.Context(), 0, 100, 103)
		if err != nil || first != 100 || last != 102 {
			t.Fatalf("byte %d: entries %d to %d, %v", at, first, last, err)
		}
		if i%8 > 0 {
			continue
		}
		if lines, _, err := readAll(t.Context(), l, Range{Shard: "a", After: feed.Position{Seq: "298"}}); err != nil || len(lines["a"]) != 2 {
			t.Fatalf("byte %d: %v, %v", at, lines, err)
		}
	}
	m.objects[name] = whole[:len(whole)/2]
	if first, last, err := l.Between(t.Context(), 0, 100, 103); err != nil || first != 100 || last != 102 {
		t.Errorf("cut: entries %d to %d, %v", first, last, err)
	}
}

// TestFilter: what is in is found; of what is not, one in fifty at most seems to be.
func TestFilter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		n := rapid.IntRange(1, 3000).Draw(t, "keys")
		hash := func(i int) uint64 { return KeyHash(fmt.Append(nil, seed, i)) }
		var hashes []uint64
		for i := range n {
			hashes = append(hashes, hash(i), hash(i/2))
		}
		f := newFilter(hashes)
		if len(f) != max(8, (n*10+7)/8) {
			t.Fatalf("%d bytes for %d keys", len(f), n)
		}
		wrong := 0
		for i := range n {
			if !f.Has(hash(i)) {
				t.Fatalf("key %d is not found", i)
			}
			if f.Has(hash(n + i)) {
				wrong++
			}
		}
		if wrong > 3+n/50 {
			t.Fatalf("%d of %d seem to be there", wrong, n)
		}
	})
	if Filter(nil).Has(1) {
		t.Error("an empty filter has something")
	}
}

// TestMissingEntry: a chain with a hole is damage that names the entry.
func TestMissingEntry(t *testing.T) {
	m := longLog(t, 40, nil)
	below := m.lazy
	m.lazy = func(name string) func() []byte {
		if name == entryName("", 0, 20) {
			return nil
		}
		return below(name)
	}
	l, err := Open(t.Context(), m, "")
	must(t, err)
	_, entries, err := readAll(t.Context(), l, Range{Last: 40})
	if fault.KindOf(err) != fault.Corrupt || fault.PlaceOf(err).File != "mem://log/"+entryName("", 0, 20) || len(entries) != 19 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}
