package column

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
)

func parse(t testing.TB, lines ...string) []item.Item {
	t.Helper()
	var items []item.Item
	for _, line := range lines {
		it, err := ddbjson.ParseItem([]byte(line))
		if err != nil {
			t.Fatalf("parse %s: %v", line, err)
		}
		items = append(items, it)
	}
	return items
}

// testing.T and rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// copySlab gives a slab memory of its own.
func copySlab(s *Slab) *Slab {
	out := *s
	out.Vectors = slices.Clone(s.Vectors)
	for i := range out.Vectors {
		v := &out.Vectors[i]
		v.Def, v.Rep, v.Longs = slices.Clone(v.Def), slices.Clone(v.Rep), slices.Clone(v.Longs)
		v.Doubles, v.Bools, v.Bytes, v.Ends = slices.Clone(v.Doubles), slices.Clone(v.Bools), slices.Clone(v.Bytes), slices.Clone(v.Ends)
	}
	return &out
}

// shredCut shreds items with a slab wherever cut says so.
func shredCut(t fataler, o ShredOptions, items []item.Item, cut func(i int) bool) ([]*Slab, *Stats) {
	t.Helper()
	s := NewShredder(o)
	var slabs []*Slab
	take := func() {
		if slab := s.Slab(); slab != nil {
			checkSlab(t, slab)
			slabs = append(slabs, copySlab(slab))
		}
	}
	for i, it := range items {
		if i > 0 && cut(i) {
			take()
		}
		if err := s.Append(it); err != nil {
			t.Fatalf("append: %v", err)
		}
	}
	take()
	return slabs, s.Stats()
}

func checkSlab(t fataler, s *Slab) {
	t.Helper()
	leaves := s.Schema.Leaves()
	if len(leaves) != len(s.Vectors) {
		t.Fatalf("%d vectors for %d leaves", len(s.Vectors), len(leaves))
	}
	for i := range s.Vectors {
		v := &s.Vectors[i]
		if v.Leaf.Field != leaves[i].Field && v.Leaf.Field.Name != s.Schema.Extra {
			t.Fatalf("vector %d is of %s, leaf of %s", i, v.Leaf.Field.Name, leaves[i].Field.Name)
		}
		if err := checkVector(v, s.Rows); err != nil {
			t.Fatalf("%v", err)
		}
	}
	seen := map[string]bool{}
	for _, l := range leaves {
		path := foldName(strings.Join(l.Path, "\x00"))
		if seen[path] {
			t.Fatalf("two leaves are called %q", l.Path)
		}
		seen[path] = true
	}
}

func assemble(t fataler, slabs ...*Slab) []string {
	t.Helper()
	var out []string
	for _, s := range slabs {
		var b item.Batch
		if err := NewAssembler(s.Schema).Items(s, &b); err != nil {
			t.Fatalf("assemble: %v\n%s", err, dump(s))
		}
		for i := range b.Len() {
			out = append(out, string(item.AppendCanonical(nil, b.Item(i))))
		}
	}
	return out
}

func canonical(items []item.Item) []string {
	var out []string
	for _, it := range items {
		out = append(out, string(item.AppendCanonical(nil, it)))
	}
	return out
}

// dump renders a slab as text, all of it.
func dump(s *Slab) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows %s\n", s.Rows, s.Schema.AppendJSON(nil))
	for i := range s.Vectors {
		b.WriteString(dumpVector(&s.Vectors[i]))
	}
	return b.String()
}

func dumpVector(v *Vector) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s slots %d def %v rep %v:", strings.Join(v.Leaf.Path, "."), kindText(v.Leaf.Field), v.Slots, v.Def, v.Rep)
	for _, l := range v.Longs {
		fmt.Fprintf(&b, " %d", l)
	}
	for _, l := range v.Doubles {
		fmt.Fprintf(&b, " %v", l)
	}
	for _, l := range v.Bools {
		fmt.Fprintf(&b, " %v", l)
	}
	from := uint32(0)
	for _, end := range v.Ends {
		fmt.Fprintf(&b, " %q", v.Bytes[from:end])
		from = end
	}
	b.WriteByte('\n')
	return b.String()
}

func equalLines(t fataler, what string, want, got []string) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
	for i := range want {
		if want[i] != got[i] {
			t.Fatalf("%s: row %d\n got %s\nwant %s", what, i, got[i], want[i])
		}
	}
}

// vectorsOf renders the vectors of several slabs row-wise independent of where they were cut: by leaf, values and
// levels one after the other.
func vectorsOf(slabs []*Slab) string {
	if len(slabs) == 0 {
		return ""
	}
	var b strings.Builder
	for i := range slabs[0].Vectors {
		whole := Vector{Leaf: slabs[0].Vectors[i].Leaf}
		for _, s := range slabs {
			v := &s.Vectors[i]
			for n := range v.Slots {
				def, rep := v.Leaf.MaxDef, uint8(0)
				if v.Def != nil {
					def = v.Def[n]
				}
				if v.Rep != nil {
					rep = v.Rep[n]
				}
				whole.Def, whole.Rep = append(whole.Def, def), append(whole.Rep, rep)
			}
			base := uint32(len(whole.Bytes))
			for _, end := range v.Ends {
				whole.Ends = append(whole.Ends, base+end)
			}
			whole.Bytes = append(whole.Bytes, v.Bytes...)
			whole.Longs, whole.Doubles, whole.Bools = append(whole.Longs, v.Longs...), append(whole.Doubles, v.Doubles...), append(whole.Bools, v.Bools...)
		}
		b.WriteString(dumpVector(&whole))
	}
	return b.String()
}

// genValue draws values that collide often: few names, few numbers, all types.
func genValue(t *rapid.T, depth int) item.Value {
	kinds := []item.Type{item.S, item.N, item.N, item.N, item.B, item.BOOL, item.NULL, item.SS, item.NS, item.BS}
	if depth < 4 {
		kinds = append(kinds, item.L, item.M, item.L, item.M)
	}
	kind := rapid.SampledFrom(kinds).Draw(t, "type")
	switch kind {
	case item.S:
		return item.Value{Type: kind, Str: rapid.SampledFrom([]string{"", "a", "é\n", "2026-01-02T03:04:05Z", "2026-01-02"}).Draw(t, "s")}
	case item.N:
		return item.Value{Type: kind, Str: genNumber(t)}
	case item.B:
		return item.Value{Type: kind, Bin: rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "b")}
	case item.BOOL:
		return item.Value{Type: kind, Bool: rapid.Bool().Draw(t, "bool")}
	case item.L:
		var list []item.Value
		for range rapid.IntRange(0, 3).Draw(t, "len") {
			list = append(list, genValue(t, depth+1))
		}
		return item.Value{Type: kind, List: list}
	case item.M:
		return item.Value{Type: kind, Map: genMembers(t, depth+1)}
	case item.SS:
		return item.Value{Type: kind, List: []item.Value{{Type: item.S, Str: "b"}, {Type: item.S, Str: "a"}}}
	case item.NS:
		return item.Value{Type: kind, List: []item.Value{{Type: item.N, Str: "10"}, {Type: item.N, Str: genFraction(t)}}}
	case item.BS:
		return item.Value{Type: kind, List: []item.Value{{Type: item.B, Bin: []byte{0xff}}, {Type: item.B, Bin: []byte{1}}}}
	}
	return item.Value{Type: item.NULL}
}

func genFraction(t *rapid.T) string {
	return rapid.SampledFrom([]string{"0.5", "-3", "1e-20", "12345678901234567890.5"}).Draw(t, "fraction")
}

func genNumber(t *rapid.T) string {
	return rapid.SampledFrom([]string{"0", "-0", "1", "-17", "2.50", "0.001", "999999999999999999", "-999999999999999999",
		"9223372036854775807", "-9223372036854775808", "9223372036854775808", "1E-130", "9.99E+125", "12345678901234567890.12345",
		"99999999999999999999999999999999999999", "0.00000000000000000000000000000000000001", "1e20", "123456.789", "1700000000.5",
	}).Draw(t, "n")
}

func genMembers(t *rapid.T, depth int) map[string]item.Value {
	members := map[string]item.Value{}
	names := []string{"a", "A", "b", "c/d", "~", "0", "_extra", "a__2", "", "x y"}
	if depth == 0 {
		names = append(names, "dt")
	}
	for range rapid.IntRange(0, 5).Draw(t, "members") {
		members[rapid.SampledFrom(names).Draw(t, "name")] = genValue(t, depth)
	}
	return members
}

func genItems(t *rapid.T, most int) []item.Item {
	var items []item.Item
	for range rapid.IntRange(1, most).Draw(t, "items") {
		it, err := item.FromMap(genMembers(t, 0))
		if err != nil {
			t.Fatalf("make item: %v", err)
		}
		items = append(items, it)
	}
	return items
}

func genOptions(t *rapid.T) SchemaOptions {
	o := SchemaOptions{Reserved: []string{"dt"}, Keys: []string{"b"}}
	if rapid.Bool().Draw(t, "narrow") {
		o.LeavesMax = rapid.IntRange(1, 6).Draw(t, "leavesMax")
	}
	if rapid.IntRange(0, 2).Draw(t, "pinned") == 0 {
		o.Pinned = genPinned(t)
	}
	if rapid.IntRange(0, 2).Draw(t, "base") == 0 {
		var before Stats
		for _, it := range genItems(t, 4) {
			before.Observe(it)
		}
		o.Base = before.Schema(o)
		o.OnNew = rapid.SampledFrom([]OnNew{Evolve, ToExtra}).Draw(t, "onNew")
	}
	return o
}

func genPinned(t *rapid.T) *Schema {
	columns := []string{`{"name":"a","kind":"text","type":"N"}`, `{"name":"b","kind":"timestamp"}`, `{"name":"xy","kind":"decimal(5,2)","attribute":"x y"}`,
		`{"name":"t","attribute":"~","kind":"double"}`, `{"attribute":"0","kind":"json"}`, `{"attribute":"c/d","kind":"struct","fields":[{"name":"a","kind":"long"}]}`,
		`{"name":"a__2","kind":"list","element":{"kind":"double"}}`, `{"attribute":"","kind":"timestamp","format":"epoch-s"}`,
		`{"name":"dt2","attribute":"dt","kind":"list","type":"NS","element":{"kind":"decimal(20,1)"}}`, `{"name":"never","kind":"date"}`}
	n := rapid.IntRange(1, len(columns)).Draw(t, "columns")
	chosen := rapid.Permutation(columns).Draw(t, "order")[:n]
	s, err := ParseSchema([]byte(`{"version":1,"columns":[` + strings.Join(chosen, ",") + `]}`))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return s
}

func TestShredAssembleIsIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := genItems(t, 12)
		cut := rapid.IntRange(1, 12).Draw(t, "cut")
		slabs, _ := shredCut(t, ShredOptions{SchemaOptions: genOptions(t)}, items, func(i int) bool { return i%cut == 0 })
		equalLines(t, "assembled", canonical(items), assemble(t, slabs...))
	})
}

// checkBase checks that the columns of an existing data set keep place, name, kind and ID.
func checkBase(t fataler, o SchemaOptions, s *Schema) {
	t.Helper()
	if o.Base == nil {
		return
	}
	var same func(base, now []*Field)
	same = func(base, now []*Field) {
		for i, f := range base {
			g := now[i]
			if f.Name != g.Name || f.Source != g.Source || f.ID != g.ID || !sameLeaf(f, g) {
				t.Fatalf("column %+v of the data set became %+v", f, g)
			}
			if f.Elem != nil {
				same([]*Field{f.Elem}, []*Field{g.Elem})
			}
			same(f.Fields, g.Fields)
		}
	}
	same(o.Base.Fields, s.Fields)
	if o.OnNew == ToExtra && o.Pinned == nil && len(s.Fields) != len(o.Base.Fields) {
		t.Fatalf("%d columns became %d", len(o.Base.Fields), len(s.Fields))
	}
}

// The promise of the package: whatever the order of the items and the cut into tasks and slabs, the same schema, the same
// columns and the same Extra, and none of it differs from what one Shredder with the final schema makes.
func TestSchemaAndExtraArePure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := genItems(t, 14)
		o := genOptions(t)
		var whole Stats
		for _, it := range items {
			whole.Observe(it)
		}
		schema := whole.Schema(o)
		text := string(schema.AppendJSON(nil))
		checkBase(t, o, schema)
		fixed := ShredOptions{Schema: schema}
		direct, _ := shredCut(t, fixed, items, func(int) bool { return false })

		seed := rapid.Uint64().Draw(t, "seed")
		random := rand.New(rand.NewPCG(seed, 1))
		order := random.Perm(len(items))
		parts := 1 + random.IntN(4)
		var union Stats
		final := make([]string, len(items))
		var statsOfTasks []*Stats
		var slabsOfTasks [][]*Slab
		var rows []int
		for part := range parts {
			var mine []item.Item
			for k, i := range order {
				if k%parts == part {
					mine = append(mine, items[i])
					rows = append(rows, i)
				}
			}
			slabs, stats := shredCut(t, ShredOptions{SchemaOptions: o}, mine, func(int) bool { return random.IntN(3) == 0 })
			statsOfTasks, slabsOfTasks = append(statsOfTasks, stats), append(slabsOfTasks, slabs)
		}
		for _, i := range random.Perm(parts) {
			data, _ := statsOfTasks[i].AppendBinary(nil)
			var back Stats
			if err := back.UnmarshalBinary(data); err != nil {
				t.Fatalf("stats: %v", err)
			}
			union.Merge(&back)
		}
		a, _ := whole.AppendBinary(nil)
		b, _ := union.AppendBinary(nil)
		if !bytes.Equal(a, b) {
			t.Fatalf("stats differ:\n%q\n%q", a, b)
		}
		if got := string(union.Schema(o).AppendJSON(nil)); got != text {
			t.Fatalf("schema\n got %s\nwant %s", got, text)
		}
		var shuffled []item.Item
		n := 0
		var reshaped []*Slab
		for _, slabs := range slabsOfTasks {
			for _, slab := range slabs {
				to, err := Reshape(slab, schema)
				if err != nil {
					t.Fatalf("reshape: %v", err)
				}
				checkSlab(t, to)
				reshaped = append(reshaped, copySlab(to))
				for _, line := range assemble(t, to) {
					final[rows[n]] = line
					shuffled = append(shuffled, items[rows[n]])
					n++
				}
			}
		}
		equalLines(t, "after merge", canonical(items), final)
		again, _ := shredCut(t, ShredOptions{Schema: schema}, shuffled, func(int) bool { return false })
		if want, got := vectorsOf(again), vectorsOf(reshaped); want != got {
			t.Fatalf("reshaped columns differ from shredded ones\n got %s\nwant %s", got, want)
		}
		equalLines(t, "direct", canonical(items), assemble(t, direct...))
	})
}
