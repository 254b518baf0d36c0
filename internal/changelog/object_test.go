package changelog

import (
	"bytes"
	"strings"
	"testing"

	"dynaferry/internal/fault"
)

// Names that the log makes are read back; no other name is taken for one.
func TestParseName(t *testing.T) {
	for _, dir := range []string{"", "a", "a/chain/001"} {
		for _, o := range []Object{{dir, 0, 0, 1}, {dir, 7, 0, 999_999_999_999}, {dir, 999, 1, 0}, {dir, 12, levelsMax, 3}} {
			name := indexName(dir, o.Group, o.Level, o.N)
			if o.Level == 0 {
				name = entryName(dir, o.Group, o.N)
			}
			if got, ok := ParseName(name); !ok || got != o {
				t.Errorf("%s is %+v, %v, want %+v", name, got, ok, o)
			}
		}
	}
	for _, name := range []string{"", "log", "chain/000/1", "chain/000/000000000000", "chain/0/000000000001", "chain/000/index/0/000000000001",
		"chain/000/index/7/000000000001", "xchain/000/000000000001", "chain/000/000000000001.tmp", "chain/000/index/000000000001"} {
		if got, ok := ParseName(name); ok {
			t.Errorf("%s is %+v", name, got)
		}
	}
}

// An entry is read by itself, whatever became of the rest; of one with a damaged block the others are read.
func TestEntryAlone(t *testing.T) {
	m := newMemory()
	c := openChain(t, makeLog(t, m, 1), "w")
	b := newTestBuilder(t, c.State(), BuilderOptions{BlockBytes: 100})
	must(t, b.Begin(Shard{ID: "a"}))
	add(t, b, "a", record(1, 10, "x"))
	appendDraft(t, c, b.Cut())
	add(t, b, "a", record(2, 20, "x"), record(3, 30, "y"), record(4, 40, "z"))
	wrote := appendDraft(t, c, b.Cut())
	if len(wrote.Blocks) < 2 {
		t.Fatalf("%d blocks", len(wrote.Blocks))
	}
	must(t, m.Delete(t.Context(), "log", entryName("", 0, 1)))
	o, _ := ParseName(entryName("", 0, 2))
	l, err := o.Log(m)
	must(t, err)
	read := func() (lines string, damaged int) {
		e, err := l.Entry(t.Context(), o.Group, o.N)
		must(t, err)
		if e.N != 2 || e.Records() != 3 || e.Size != int64(len(m.objects[entryName("", 0, 2)])) {
			t.Errorf("%+v", e)
		}
		for i := range e.Blocks {
			p, err := l.ReadPart(t.Context(), e, i)
			if err == nil {
				var records []byte
				records, err = p.Records(nil)
				lines += string(records)
			}
			if err != nil {
				if damaged++; fault.KindOf(err) != fault.Corrupt || fault.PlaceOf(err).File != "mem://log/"+entryName("", 0, 2) {
					t.Errorf("block %d: %v", i, err)
				}
			}
		}
		return lines, damaged
	}
	all, damaged := read()
	if strings.Count(all, "\n") != 3 || damaged != 0 {
		t.Errorf("%d damaged, %q", damaged, all)
	}
	data := bytes.Clone(m.objects[entryName("", 0, 2)])
	data[wrote.Blocks[0].Length/2] ^= 1
	m.objects[entryName("", 0, 2)] = data
	if rest, damaged := read(); damaged != 1 || !strings.HasSuffix(all, rest) || strings.Count(rest, "\n") != 3-wrote.Blocks[0].Records {
		t.Errorf("%d damaged, %q of %q", damaged, rest, all)
	}
}

// What an index object says is told, and unlike for the log's own reading every byte of it must be sound.
func TestIndexObject(t *testing.T) {
	m := longLog(t, 2*fan*fan, nil)
	l, err := Object{}.Log(m)
	must(t, err)
	for _, c := range []struct {
		o    Object
		want IndexEntries
	}{
		{Object{Level: 1, N: 0}, IndexEntries{1, fan, fan, 1, fan}},
		{Object{Level: 1, N: 3}, IndexEntries{3*fan + 1, 4 * fan, fan, 3*fan + 1, 4 * fan}},
		{Object{Level: 2, N: 1}, IndexEntries{fan*fan + 1, 2 * fan * fan, fan * fan, fan*fan + 1, 2 * fan * fan}},
	} {
		if got, err := l.IndexObject(t.Context(), c.o); err != nil || got != c.want {
			t.Errorf("%+v: %+v, %v, want %+v", c.o, got, err, c.want)
		}
		name := indexName("", 0, c.o.Level, c.o.N)
		m.objects[name] = bytes.Clone(m.objects[name])
		m.objects[name][len(m.objects[name])/2] ^= 1
		lazy := m.lazy
		m.lazy = nil // what was damaged stays
		if _, err := l.IndexObject(t.Context(), c.o); fault.KindOf(err) != fault.Corrupt || !strings.HasPrefix(fault.HintOf(err), "delete it") {
			t.Errorf("%+v, damaged: %v", c.o, err)
		}
		m.lazy = lazy
	}
}

// An entry that is gone from the end is no damage that can be seen; one with others behind it is.
func TestLost(t *testing.T) {
	m := newMemory()
	l := makeLog(t, m, 1)
	c := openChain(t, l, "w")
	for range 4 {
		appendDraft(t, c, &Draft{Kind: Segment, At: 1})
	}
	for _, s := range []struct {
		gone uint64
		lost bool
	}{{4, false}, {2, true}, {1, true}} {
		must(t, m.Delete(t.Context(), entryName("", 0, s.gone)))
		tail, err := l.Tail(t.Context(), 0)
		must(t, err)
		err = l.Lost(t.Context(), 0, tail)
		if (fault.KindOf(err) == fault.Corrupt) != s.lost || !s.lost && err != nil {
			t.Errorf("without entry %d, tail %d: %v", s.gone, tail, err)
		}
	}
}
