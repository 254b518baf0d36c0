package column

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// oneName observes an item with one attribute of its own, without making garbage.
type oneName struct {
	b   item.Batch
	src []byte
}

func (o *oneName) item(t testing.TB, prefix string, i int) item.Item {
	o.b.Reset()
	o.src = append(o.src[:0], `{"id":{"S":"x"},"`...)
	o.src = append(append(o.src, prefix...), strconv.Itoa(i)...)
	o.src = append(o.src, `":{"N":"1"}}`...)
	o.b.Src = append(item.GrowSlack(o.b.Src), o.src...)
	o.b.Src = item.GrowSlack(o.b.Src)
	if err := ddbjson.Parse(&o.b, 0); err != nil {
		t.Fatal(err)
	}
	return o.b.Item(0)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A million distinct names fit in the memory budget, in a Shredder as it runs. Measured with a million: 87 MB, 16 MB in binary form.
func TestMillionNamesFit(t *testing.T) {
	names, budget := 100_000, int64(20<<20)
	if os.Getenv("DYNAFERRY_LONG") != "" {
		names, budget = 1_000_000, 100<<20
	}
	var one oneName
	s := NewShredder(ShredOptions{})
	before := heap()
	for i := range names {
		if err := s.Append(one.item(t, "name", i)); err != nil {
			t.Fatal(err)
		}
		if s.Rows() == 8192 {
			s.Slab()
		}
	}
	stats := s.Stats()
	used := heap() - before
	t.Logf("%d names: %d MB with the shredder's columns", stats.Names(), used>>20)
	if stats.Names() != names+1 || used > budget {
		t.Errorf("%d names in %d MB", stats.Names(), used>>20)
	}
	schema := stats.Schema(SchemaOptions{})
	if len(schema.Fields) != LeavesMax || findField(schema.Fields, "id") == nil || !schema.Spilled {
		t.Errorf("%d columns", len(schema.Fields))
	}
	data, _ := stats.AppendBinary(nil)
	t.Logf("binary form: %d MB", len(data)>>20)
	runtime.KeepAlive(s)
}

// Beyond the bound the shortest names stay, in whatever order they come and however they are merged.
func TestTooManyNames(t *testing.T) {
	if os.Getenv("DYNAFERRY_LONG") == "" {
		t.Skip("some seconds; DYNAFERRY_LONG=1 runs it")
	}
	const names = namesMax + namesMax/2
	var one oneName
	random := rand.New(rand.NewPCG(1, 2))
	var texts [2][]byte
	for k := range texts {
		var parts [3]Stats
		for _, i := range random.Perm(names) {
			parts[random.IntN(3)].Observe(one.item(t, "n", i))
		}
		parts[0].Merge(&parts[1])
		parts[2].Merge(&parts[0])
		texts[k], _ = parts[2].AppendBinary(nil)
		if parts[2].Names() != namesMax || !parts[2].Schema(SchemaOptions{}).Spilled {
			t.Errorf("%d names", parts[2].Names())
		}
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Error("stats depend on the order")
	}
}

// Structures that multiply collapse by weight, and the outcome depends on nothing but the items.
func TestHeavyStructuresCollapsePurely(t *testing.T) {
	var lines []string
	for i := range 120 {
		for j := range 3 {
			lines = append(lines, fmt.Sprintf(`{"m":{"M":{"a%d":{"M":{"b%d":{"M":{"x%d":{"S":""},"y":{"L":[{"M":{"z%d":{"N":"1"}}}]}}}}}}},`+
				`"k":{"M":{"%s":{"M":{"u%d":{"NULL":true}}}}}}`, i%60, i, i*3+j, i*7+j, strings.Repeat("n", i*20), i*j))
		}
	}
	for i := range 300 {
		lines = append(lines, fmt.Sprintf(`{"m":{"M":{"a1":{"M":{"b1":{"M":{"x%d":{"S":""}}}}}}}}`, i))
	}
	items := parse(t, lines...)
	var first []byte
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 3))
		var parts [3]Stats
		for _, i := range random.Perm(len(items)) {
			parts[random.IntN(3)].Observe(items[i])
		}
		parts[0].Merge(&parts[1])
		parts[0].Merge(&parts[2])
		data, _ := parts[0].AppendBinary(nil)
		if first == nil {
			first = data
			if m := parts[0].top.find([]byte("m")); m.more.kids.find([]byte("a1")).more.kids.find([]byte("b1")).more.collapsed == false {
				t.Error("301 names are no struct")
			}
		} else if !bytes.Equal(first, data) {
			t.Fatal("stats depend on the order")
		}
	}
}

// wraps are the two ways to lie in something.
var wraps = [][2]string{{`{"L":[`, `]}`}, {`{"M":{"k":`, `}}`}}

// nested is an item with a number in that many lists or maps.
func nested(wrap [2]string, depth int, more string) string {
	return `{"a":` + strings.Repeat(wrap[0], depth) + `{"N":"1.5"}` + strings.Repeat(wrap[1], depth) + more + `}`
}

// Up to depthMax there are columns all the way; what lies deeper is JSON in the deepest of them.
func TestDeepestColumn(t *testing.T) {
	for _, wrap := range wraps {
		for depth, kind := range map[int]Kind{depthMax: Decimal18, depthMax + 1: JSON, 31: JSON} {
			var s Stats
			s.Observe(parse(t, nested(wrap, depth, ""))[0])
			levels, f := 0, s.Schema(SchemaOptions{}).Fields[0]
			for ; f.Kind == List || f.Kind == Struct; levels++ {
				if f.Kind == List {
					f = f.Elem
				} else {
					f = f.Fields[0]
				}
			}
			if levels != depthMax || f.Kind != kind {
				t.Errorf("%d deep: %v in %d levels, want %v in %d", depth, f.Kind, levels, kind, depthMax)
			}
		}
	}
}

// Items of every depth, in any order and cut, have one schema and come back.
func TestDepthsMixed(t *testing.T) {
	var lines []string
	for depth := range 31 {
		for n, wrap := range wraps {
			lines = append(lines, nested(wrap, depth, fmt.Sprintf(`,"b%d":{"M":{"x%d":%s`, n, depth%3, nested(wraps[1-n], depth/2, "}")[5:])))
		}
	}
	items := parse(t, lines...)
	var first string
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 5))
		shuffled := make([]item.Item, len(items))
		for to, from := range random.Perm(len(items)) {
			shuffled[to] = items[from]
		}
		var parts [3]Stats
		for _, it := range shuffled {
			parts[random.IntN(3)].Observe(it)
		}
		data, _ := parts[1].AppendBinary(nil)
		var back Stats
		if err := back.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		parts[0].Merge(&back)
		parts[0].Merge(&parts[2])
		schema := string(parts[0].Schema(SchemaOptions{}).AppendJSON(nil))
		if first == "" {
			first = schema
		} else if schema != first {
			t.Fatalf("the schema depends on order or cut:\n%s\n%s", schema, first)
		}
		slabs, _ := shredCut(t, ShredOptions{}, shuffled, func(int) bool { return random.IntN(5) == 0 })
		equalLines(t, "mixed", canonical(shuffled), assemble(t, slabs...))
	}
}

// Statistics of a version that looked deeper are those of today without what is deeper now.
func TestDeeperStats(t *testing.T) {
	data, err := os.ReadFile("testdata/deep-before.stats")
	if err != nil {
		t.Fatal(err)
	}
	var before, now Stats
	if err := before.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	for _, depth := range []int{3, 12, 13, 20, 31} {
		for _, wrap := range wraps {
			now.Observe(parse(t, nested(wrap, depth, `,"s":{"S":"x"}`))[0])
		}
	}
	a, _ := before.AppendBinary(nil)
	b, _ := now.AppendBinary(nil)
	if !bytes.Equal(a, b) {
		t.Errorf("%q\n%q", a, b)
	}
}

func TestDeepNesting(t *testing.T) {
	for _, depth := range []int{depthMax - 1, depthMax, depthMax + 1, 31, 32, 33, 60} {
		for _, wrap := range wraps {
			line := nested(wrap, depth, "")
			it, err := ddbjson.ParseItem([]byte(line))
			if err != nil {
				continue // beyond what the tokenizer takes
			}
			slabs, stats := shredCut(t, ShredOptions{}, []item.Item{it, it}, func(int) bool { return false })
			equalLines(t, "deep", canonical([]item.Item{it, it}), assemble(t, slabs...))
			data, _ := stats.AppendBinary(nil)
			var back Stats
			if err := back.UnmarshalBinary(data); err != nil {
				t.Errorf("depth %d: %v", depth, err)
			}
			if _, err := ParseSchema(stats.Schema(SchemaOptions{}).AppendJSON(nil)); err != nil {
				t.Errorf("depth %d: %v", depth, err)
			}
		}
	}
}

func TestStatsRefuseForeignBytes(t *testing.T) {
	var s Stats
	for _, it := range parse(t, `{"a":{"N":"1.5"},"m":{"M":{"x":{"L":[{"S":""}]}}},"s":{"NS":["1"]}}`, `{"a":{"S":""},"m":{"M":{}}}`) {
		s.Observe(it)
	}
	data, _ := s.AppendBinary(nil)
	for i := range data {
		broken := bytes.Clone(data)
		broken[i] ^= 0x20
		var back Stats
		if err := back.UnmarshalBinary(broken); err == nil {
			t.Errorf("byte %d changed, not noticed", i)
		}
		if err := back.UnmarshalBinary(data[:i]); fault.KindOf(err) != fault.Corrupt {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	data[4] = 9
	var back Stats
	if err := back.UnmarshalBinary(data); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("version 9: %v", err)
	}
}
