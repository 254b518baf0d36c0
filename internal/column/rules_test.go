package column

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// summary renders a schema as "name kind" lines, nested ones in brackets.
func summary(fields []*Field) string {
	var parts []string
	for _, f := range fields {
		text := f.Name + " " + kindText(f)
		if f.Elem != nil {
			text += "<" + strings.TrimPrefix(summary([]*Field{f.Elem}), elementName+" ") + ">"
		}
		if f.Fields != nil {
			text += "(" + summary(f.Fields) + ")"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func numbers(texts ...string) []string {
	var lines []string
	for _, n := range texts {
		lines = append(lines, `{"n":{"N":"`+n+`"}}`)
	}
	return lines
}

// The rules of the schema, one by one: items in, columns out, misfits of the whole.
func TestSchemaRules(t *testing.T) {
	nines := strings.Repeat("9", 18)
	for _, c := range []struct {
		name    string
		options SchemaOptions
		items   []string
		columns string
		misfits string
	}{
		{"integers are long", SchemaOptions{}, numbers("0", "-17", nines), "n long", ""},
		{"19 digits that fit", SchemaOptions{}, numbers("9223372036854775807", "-9223372036854775808"), "n long", ""},
		{"19 digits that do not", SchemaOptions{}, numbers("1", "9223372036854775808"), "n decimal(38,0)", ""},
		{"18 digits in all", SchemaOptions{}, numbers("1234567890123456", "0.25"), "n decimal(18,2)", ""},
		{"19 digits in all", SchemaOptions{}, numbers("12345678901234567", "0.25"), "n decimal(38,2)", ""},
		{"38 digits behind the point", SchemaOptions{}, numbers("0." + strings.Repeat("0", 37) + "1"), "n decimal(38,38)", ""},
		{"no rung holds all: the most", SchemaOptions{}, numbers("1e30", "0.0000000001", "0.5", "2"), "n decimal(18,10)", "/n range 1"},
		{"a tie goes to the lowest rung", SchemaOptions{}, numbers("1e60", "0.5", "7"), "n decimal(18,1)", "/n range 1"},
		{"and there to long", SchemaOptions{}, numbers("1e60", "1e-60", "7"), "n long", "/n range 2"},
		{"exponents and needless zeros", SchemaOptions{}, numbers("1.5e3", "2.500", "-0"), "n decimal(18,1)", ""},
		{"majority", SchemaOptions{}, []string{`{"a":{"S":"x"}}`, `{"a":{"N":"1"}}`, `{"a":{"N":"2"}}`, `{"a":{"NULL":true}}`},
			"a long", "/a conflict 1 /a null 1"},
		{"ties in DynamoDB's order", SchemaOptions{}, []string{`{"a":{"N":"1"}}`, `{"a":{"BOOL":true}}`, `{"a":{"S":"x"}}`},
			"a text", "/a conflict 2"},
		{"NULL alone is no column", SchemaOptions{}, []string{`{"a":{"NULL":true},"b":{"S":""}}`}, "b text", " null 1"},
		{"empty containers", SchemaOptions{}, []string{`{"m":{"M":{}},"l":{"L":[]},"n":{"L":[{"NULL":true}]}}`}, "l json, m json, n json", ""},
		{"sets", SchemaOptions{}, []string{`{"s":{"SS":["x"]},"n":{"NS":["1","2.5"]},"b":{"BS":["AA=="]}}`},
			"b list<binary>, n list<decimal(18,1)>, s list<text>", ""},
		{"nested", SchemaOptions{}, []string{`{"l":{"L":[{"M":{"x":{"N":"1"},"y":{"L":[{"L":[{"S":"a"}]}]}}},{"N":"5"},{"NULL":true},{"M":{}}]}}`},
			"l list<struct(x long, y list<list<text>>)>", ""},
		{"cap by count, then name", SchemaOptions{LeavesMax: 3}, []string{`{"d":{"S":""},"c":{"S":""},"b":{"S":""},"a":{"S":""}}`, `{"d":{"S":""}}`},
			"a text, b text, d text", " capped 1"},
		{"cap inside", SchemaOptions{LeavesMax: 2}, []string{`{"m":{"M":{"x":{"S":""},"y":{"S":""},"z":{"S":""}}},"l":{"L":[{"S":""}]}}`, `{"l":{"L":[{"S":""}]}}`},
			"l list<text>, m struct(x text)", "/m capped 2"},
		{"names differ by case", SchemaOptions{}, []string{`{"a":{"S":""},"A":{"S":""},"a__2":{"S":""}}`}, "A text, a__3 text, a__2 text", ""},
		{"composed and decomposed", SchemaOptions{}, []string{`{"é":{"S":""},"e\u0301":{"S":""}}`}, "e\u0301 text, é__2 text", ""},
		{"unsafe names", SchemaOptions{}, []string{`{"a.b":{"S":""},"a b":{"S":""},"":{"S":""},"\u0007":{"S":""},"日本":{"S":""}}`},
			"_ text, ___2 text, a_b text, a_b__2 text, 日本 text", ""},
		{"reserved names", SchemaOptions{Reserved: []string{"DT"}}, []string{`{"dt":{"S":""},"_extra":{"S":""},"m":{"M":{"dt":{"S":""}}}}`},
			"_extra__2 text, dt__2 text, m struct(dt text)", ""},
		{"keys first", SchemaOptions{Keys: []string{"z", "m"}}, []string{`{"a":{"S":""},"m":{"S":""},"z":{"S":""}}`}, "z text, m text, a text", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			items := parse(t, c.items...)
			slabs, stats := shredCut(t, ShredOptions{SchemaOptions: c.options}, items, func(int) bool { return false })
			schema := stats.Schema(c.options)
			if got := summary(schema.Fields); got != c.columns {
				t.Errorf("columns\n got %s\nwant %s", got, c.columns)
			}
			fixed, _ := shredCut(t, ShredOptions{Schema: schema}, items, func(int) bool { return false })
			for _, slabs := range [][]*Slab{slabs, fixed} {
				if c.misfits != "" || c.name == "sets" {
					var got []string
					for _, m := range slabs[0].Misfits {
						got = append(got, fmt.Sprintf("%s %s %d", m.Path, m.Reason, m.Count))
					}
					if text := strings.Join(got, " "); text != c.misfits {
						t.Errorf("misfits %q, want %q", text, c.misfits)
					}
				}
				equalLines(t, "restored", canonical(items), assemble(t, slabs...))
			}
			if _, err := ParseSchema(schema.AppendJSON(nil)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestExtraText(t *testing.T) {
	items := parse(t, `{"l":{"L":[{"N":"1"},{"S":"x"},{"NULL":true},{"N":"2"}]},"a/b":{"NULL":true},"m":{"M":{"k":{"S":"s"},"~":{"NULL":true}}}}`,
		`{"l":{"L":[]},"m":{"M":{"k":{"M":{"b":{"N":"1.0"},"a":{"BOOL":true}}}}}}`, `{"m":{"S":"none"}}`, `{}`)
	slabs, _ := shredCut(t, ShredOptions{}, items, func(int) bool { return false })
	extra := slabs[0].Vectors[len(slabs[0].Vectors)-1]
	want := `_extra json slots 4 def [1 1 1 0] rep []:` +
		" " + fmt.Sprintf("%q", `{"/a~1b":{"NULL":true},"/l/1":{"S":"x"},"/l/2":{"NULL":true},"/m/~0":{"NULL":true}}`) +
		" " + fmt.Sprintf("%q", `{"/m/k":{"M":{"a":{"BOOL":true},"b":{"N":"1"}}}}`) +
		" " + fmt.Sprintf("%q", `{"/m":{"S":"none"}}`) + "\n"
	if got := dumpVector(&extra); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	list := slabs[0].Vectors[0]
	if got := dumpVector(&list); got != "l.list.element long slots 7 def [3 2 2 3 1 0 0] rep [0 1 1 1 0 0 0]: 1 2\n" {
		t.Error(got)
	}
}

// A map of 200 names is a struct, of 201 JSON, at any depth and however the names are spread over tasks.
func TestMapsWithDataKeysCollapse(t *testing.T) {
	for _, n := range []int{membersMax, membersMax + 1} {
		var lines []string
		for i := range n {
			lines = append(lines, fmt.Sprintf(`{"m":{"M":{"k%03d":{"M":{"v":{"N":"%d"}}}}},"l":{"L":[{"M":{"k%03d":{"S":"x"}}}]}}`, i, i, i))
		}
		items := parse(t, lines...)
		var parts [2]Stats
		for i, it := range items {
			parts[i%2].Observe(it)
		}
		parts[0].Merge(&parts[1])
		want := "l list<json>, m json"
		if n == membersMax {
			want = "struct"
		}
		schema := parts[0].Schema(SchemaOptions{})
		if got := summary(schema.Fields); got != want && (n > membersMax || !strings.Contains(got, "k199 struct(v long)")) {
			t.Errorf("%d names: %.200s", n, got)
		}
		slabs, stats := shredCut(t, ShredOptions{}, items, func(i int) bool { return i%50 == 0 })
		equalLines(t, "restored", canonical(items), assemble(t, slabs...))
		a, _ := stats.AppendBinary(nil)
		b, _ := parts[0].AppendBinary(nil)
		if string(a) != string(b) {
			t.Error("stats of the shredder differ from observed ones")
		}
		for _, slab := range slabs {
			if to, err := Reshape(slab, schema); err != nil || len(to.Misfits) > 0 {
				t.Errorf("%d names: %v %v", n, err, to.Misfits)
			}
		}
	}
}

func TestAtMostThousandLeaves(t *testing.T) {
	var line strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&line, `,"a%04d":{"N":"%d"}`, i, i)
	}
	items := parse(t, "{"+line.String()[1:]+"}", `{"a2999":{"N":"1"}}`, `{"a2999":{"N":"2"},"b":{"S":"late"}}`)
	slabs, stats := shredCut(t, ShredOptions{}, items, func(int) bool { return true })
	schema := stats.Schema(SchemaOptions{})
	if n := len(schema.Fields); n != LeavesMax || schema.Fields[0].Source != "a0000" || schema.Fields[LeavesMax-1].Source != "a2999" || !schema.Spilled {
		t.Fatalf("%d columns, first %s, last %s", n, schema.Fields[0].Source, schema.Fields[n-1].Source)
	}
	equalLines(t, "restored", canonical(items), assemble(t, slabs...))
	for _, slab := range slabs {
		if n := len(slab.Vectors); n > LeavesMax+1 {
			t.Errorf("a slab of %d columns", n)
		}
	}
	final, err := Reshape(slabs[0], schema)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Misfit{{"", Capped, 2000}}; !slices.Equal(final.Misfits, want) {
		t.Errorf("misfits %v, want %v", final.Misfits, want)
	}
	equalLines(t, "first slab", canonical(items[:1]), assemble(t, final))
}

func TestOnNew(t *testing.T) {
	var before Stats
	for _, it := range parse(t, `{"id":{"N":"1"},"m":{"M":{"x":{"S":"a"}}},"A":{"S":""}}`) {
		before.Observe(it)
	}
	base := before.Schema(SchemaOptions{})
	items := parse(t, `{"id":{"N":"2.5"},"m":{"M":{"x":{"S":"b"},"y":{"S":"c"}}},"a":{"S":"new"}}`, `{"id":{"N":"3"},"z":{"NULL":true}}`)
	for _, c := range []struct {
		onNew   OnNew
		columns string
	}{{Evolve, "A text, id long, m struct(x text, y text), a__2 text"}, {ToExtra, "A text, id long, m struct(x text)"}} {
		o := SchemaOptions{Base: base, OnNew: c.onNew}
		slabs, stats := shredCut(t, ShredOptions{SchemaOptions: o}, items, func(int) bool { return false })
		if got := summary(stats.Schema(o).Fields); got != c.columns {
			t.Errorf("columns %s, want %s", got, c.columns)
		}
		if got := summary(slabs[0].Schema.Fields); got != c.columns {
			t.Errorf("slab's columns %s, want %s", got, c.columns)
		}
		equalLines(t, "restored", canonical(items), assemble(t, slabs...))
		if c.onNew == ToExtra {
			want := []Misfit{{"", Null, 1}, {"", Unknown, 1}, {"/id", Range, 1}, {"/m", Unknown, 1}}
			if !slices.Equal(slabs[0].Misfits, want) {
				t.Errorf("misfits %v, want %v", slabs[0].Misfits, want)
			}
		}
	}
	s := NewShredder(ShredOptions{SchemaOptions: SchemaOptions{Base: base, OnNew: Fail}})
	if err := s.Append(items[1]); err != nil {
		t.Errorf("nothing new: %v", err)
	}
	err := s.Append(items[0])
	if fault.KindOf(err) != fault.User || fault.PlaceOf(err).Path != "/m/y" || fault.HintOf(err) == "" {
		t.Errorf("new attribute: %v", err)
	}
	if got := s.Stats().Unknown(base, 10); !slices.Equal(got, []string{"/a", "/m/y"}) {
		t.Errorf("unknown paths %v", got)
	}
}

// Names, order and IDs of a task's columns stay when others come up beside them, kinds may change.
func TestWorkingColumnsStay(t *testing.T) {
	items := parse(t, `{"z":{"N":"1"},"a":{"S":"x"},"e":{"M":{}}}`, `{"A":{"S":"y"},"z":{"N":"0.5"},"a":{"S":"x"},"e":{"M":{"k":{"N":"1"}}}}`,
		`{"a":{"N":"1"}}`, `{"a":{"N":"2"},"z":{"N":"1e25"}}`, `{"a":{"N":"3"}}`)
	slabs, _ := shredCut(t, ShredOptions{}, items, func(int) bool { return true })
	var got []string
	for _, s := range slabs {
		text := summary(s.Schema.Fields)
		for _, f := range s.Schema.Fields {
			text += fmt.Sprint(" ", f.ID)
		}
		got = append(got, text)
	}
	want := []string{"z long, a text, e json 0 1 2", "z decimal(18,1), a text, e struct(k long), A__2 text 0 1 2 3",
		"z decimal(18,1), a text, e struct(k long), A__2 text 0 1 2 3", "z decimal(38,1), a text, e struct(k long), A__2 text 0 1 2 3",
		"z decimal(38,1), a long, e struct(k long), A__2 text 0 1 2 3"}
	if !slices.Equal(got, want) {
		t.Errorf("\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if slabs[1].Schema.Spilled {
		t.Error("nothing was left out, but the schema says so")
	}
}

func TestCompare(t *testing.T) {
	schema := func(lines ...string) *Schema {
		var s Stats
		for _, it := range parse(t, lines...) {
			s.Observe(it)
		}
		return s.Schema(SchemaOptions{})
	}
	flat := schema(`{"a":{"N":"1"},"m":{"M":{"x":{"S":""}}}}`)
	spilled := schema(`{"a":{"N":"1"},"m":{"M":{"x":{"S":""}}}}`)
	spilled.Spilled, spilled.Fields[1].Spilled, spilled.Fields[0].Spilled = true, true, true
	for _, c := range []struct {
		name string
		from *Schema
		to   *Schema
		want Work
	}{
		{"itself", flat, flat, Settled},
		{"another top-level column", flat, schema(`{"a":{"N":"1"},"b":{"S":""},"m":{"M":{"x":{"S":""}}}}`), Settled},
		{"the same, but it may lie in Extra", spilled, schema(`{"a":{"N":"1"},"b":{"S":""},"m":{"M":{"x":{"S":""}}}}`), Rebuild},
		{"another member", flat, schema(`{"a":{"N":"1"},"m":{"M":{"x":{"S":""},"y":{"S":""}}}}`), Refit},
		{"the same, but it may lie in Extra", spilled, schema(`{"a":{"N":"1"},"m":{"M":{"x":{"S":""},"y":{"S":""}}}}`), Rebuild},
		{"up the ladder", flat, schema(`{"a":{"N":"1.5"},"m":{"M":{"x":{"S":""}}}}`), Refit},
		{"the same, numbers lie in Extra", spilled, schema(`{"a":{"N":"1.5"},"m":{"M":{"x":{"S":""}}}}`), Rebuild},
		{"another type", flat, schema(`{"a":{"S":"1"},"m":{"M":{"x":{"S":""}}}}`), Rebuild},
		{"a column less", flat, schema(`{"a":{"N":"1"}}`), Rebuild},
		{"json", flat, schema(`{"a":{"N":"1"},"m":{"M":{}}}`), Rebuild},
	} {
		if got := Compare(c.from, c.to); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// Leaf by leaf gives what shredding anew gives, also for members below lists of lists that a file lacks.
func TestRefit(t *testing.T) {
	few := parse(t, `{"l":{"L":[{"M":{"x":{"L":[{"N":"1"},{"N":"2"}]}}},{"NULL":true},{"M":{}}]}}`, `{"l":{"L":[]}}`, `{}`,
		`{"l":{"L":[{"M":{"x":{"L":[]}}}]},"n":{"N":"7"}}`)
	more := parse(t, `{"l":{"L":[{"M":{"y":{"S":"s"},"x":{"L":[{"N":"0.5"}]}, "w":{"L":[{"M":{"d":{"S":"deep"}}}]}}}]},"n":{"N":"1e30"},"new":{"BOOL":true}}`)
	slabs, stats := shredCut(t, ShredOptions{}, few, func(int) bool { return false })
	for _, it := range more {
		stats.Observe(it)
	}
	schema := stats.Schema(SchemaOptions{})
	out, ok := refit(slabs[0], schema)
	if !ok || Compare(slabs[0].Schema, schema) != Refit {
		t.Fatal("no refit")
	}
	fresh, _ := shredCut(t, ShredOptions{Schema: schema}, few, func(int) bool { return false })
	if want, got := vectorsOf(fresh), vectorsOf([]*Slab{out}); want != got {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	checkSlab(t, out)
}

func TestConvertIsExactOrRefuses(t *testing.T) {
	leaf := func(kind Kind, scale int) Leaf {
		return Leaf{Field: &Field{Name: "n", Kind: kind, Scale: scale, Type: item.N}, MaxDef: 1}
	}
	v := &Vector{Leaf: leaf(Long, 0), Slots: 3, Longs: []int64{0, -5, 9_999_999_999_999_999}}
	for _, c := range []struct {
		to Leaf
		ok bool
	}{{leaf(Decimal18, 2), true}, {leaf(Decimal18, 3), false}, {leaf(Decimal38, 22), true}, {leaf(Decimal38, 23), false},
		{leaf(Double, 0), false}, {leaf(String, 0), false}} {
		up, ok := Convert(v, c.to)
		if ok != c.ok {
			t.Errorf("to %s(%d): %v", c.to.Field.Kind, c.to.Field.Scale, ok)
		}
		if !ok {
			continue
		}
		if err := checkVector(up, 3); err != nil {
			t.Error(err)
		}
		if back, ok := Convert(up, v.Leaf); !ok || !equalLongs(back.Longs, v.Longs) {
			t.Errorf("to %s and back: %v", c.to.Field.Kind, back)
		}
	}
	fraction := &Vector{Leaf: leaf(Decimal18, 2), Slots: 1, Longs: []int64{150}}
	if _, ok := Convert(fraction, leaf(Long, 0)); ok {
		t.Error("1.50 became an integer")
	}
	if one, ok := Convert(fraction, leaf(Decimal18, 1)); !ok || one.Longs[0] != 15 {
		t.Error("1.50 has one decimal")
	}
}
