package column

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

const pinnedFile = `{"version": 1, "columns": [
  {"name": "id", "attribute": "Id", "kind": "text", "type": "N"},
  {"name": "price", "kind": "decimal(10,2)"},
  {"name": "ratio", "kind": "double"},
  {"name": "born", "kind": "date"},
  {"name": "dmy", "kind": "date", "format": "02/01/2006"},
  {"name": "at", "kind": "timestamp", "format": "iso"},
  {"name": "ms", "kind": "timestamp", "format": "iso-ms"},
  {"name": "sec", "kind": "timestamp", "format": "epoch-s"},
  {"name": "millis", "kind": "timestamp", "format": "epoch-ms"},
  {"name": "micros", "kind": "timestamp", "format": "epoch-us"},
  {"name": "day", "kind": "date", "format": "epoch-s"},
  {"name": "any", "kind": "json"},
  {"name": "blob", "kind": "json", "type": "M"},
  {"name": "tags", "kind": "list", "type": "SS", "element": {"kind": "text"}},
  {"name": "deep", "kind": "struct", "fields": [{"name": "x", "kind": "decimal(38,10)"}]},
  {"attribute": "a.b", "kind": "bool"}
]}`

func mustSchema(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := ParseSchema([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaFileRoundTrip(t *testing.T) {
	s := mustSchema(t, pinnedFile)
	again := mustSchema(t, string(s.AppendJSON(nil)))
	if !identical(s, again) {
		t.Fatalf("\n%s\n%s", s.AppendJSON(nil), again.AppendJSON(nil))
	}
	text, err := s.MarshalText()
	if err != nil || !identical(s, mustSchema(t, string(text))) {
		t.Fatalf("%v %s", err, text)
	}
	if f := s.Fields[1]; f.Kind != Decimal18 || f.Precision() != 10 || f.Scale != 2 || f.Type != item.N {
		t.Errorf("decimal(10,2): %+v", f)
	}
	if f := s.Fields[len(s.Fields)-1]; f.Name != "a_b" || f.Source != "a.b" {
		t.Errorf("unnamed attribute: %+v", f)
	}
}

// Whatever the items, the schema they give reads back equal.
func TestInferredSchemaRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stats Stats
		for _, it := range genItems(t, 8) {
			stats.Observe(it)
		}
		s := stats.Schema(genOptions(t))
		again, err := ParseSchema(s.AppendJSON(nil))
		if err != nil {
			t.Fatalf("%v\n%s", err, s.AppendJSON(nil))
		}
		if !identical(s, again) {
			t.Fatalf("\n%s\n%s", s.AppendJSON(nil), again.AppendJSON(nil))
		}
	})
}

func TestSchemaFileErrorsNameTheirPlace(t *testing.T) {
	for _, c := range []struct{ columns, path, text string }{
		{`{"name":"a","kind":"integer"}`, "/columns/0/kind", `kind "integer" is not known`},
		{`{"name":"a","kind":"long"},{"name":"A","kind":"long"}`, "/columns/1/name", "taken"},
		{`{"name":"a","kind":"long"},{"name":"b","attribute":"a","kind":"long"}`, "/columns/1", "two columns"},
		{`{"name":"a","kind":"long","type":"S"}`, "/columns/0/type", "cannot hold type S"},
		{`{"name":"a","kind":"long","type":"X"}`, "/columns/0/type", `type "X" is not known`},
		{`{"name":"a","kind":"decimal(39,0)"}`, "/columns/0/kind", "precision is 1 to 38"},
		{`{"name":"a","kind":"decimal(5,6)"}`, "/columns/0/kind", "scale 0 to precision"},
		{`{"name":"a","kind":"decimal(5)"}`, "/columns/0/kind", "not known"},
		{`{"name":"a","kind":"date","format":"hh:mm"}`, "/columns/0/format", "layout"},
		{`{"name":"a","kind":"date","format":"iso-ms"}`, "/columns/0/format", "timestamps"},
		{`{"name":"a","kind":"long","format":"iso"}`, "/columns/0/format", "only dates"},
		{`{"name":"a b","kind":"long"}`, "/columns/0/name", `"a_b" would do`},
		{`{"kind":"long"}`, "/columns/0", "needs a name"},
		{`{"name":"a","kind":"struct"}`, "/columns/0", "needs fields"},
		{`{"name":"a","kind":"list"}`, "/columns/0", "needs an element"},
		{`{"name":"a","kind":"list","type":"NS","element":{"kind":"text"}}`, "/columns/0/element", "of type N"},
		{`{"name":"a","kind":"long","colour":1}`, "/columns/0/colour", "unknown"},
		{`{"name":"a","name":"b","kind":"long"}`, "/columns/0/name", "duplicate"},
		{`{"name":"a","kind":7}`, "/columns/0/kind", ""},
		{`{"name":"a","kind":"list","element":{"kind":"struct","fields":[{"name":"x","kind":"hm"}]}}`, "/columns/0/element/fields/0/kind", "not known"},
	} {
		_, err := ParseSchema([]byte("{\"version\":1,\n\"columns\":[" + c.columns + "]}"))
		place := fault.PlaceOf(err)
		if err == nil || fault.KindOf(err) != fault.User || place.Path != c.path || place.Line != 2 || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v (place %+v)", c.columns, err, place)
		}
	}
	for _, text := range []string{"", "{", "[]", `{"version":2,"columns":[]}`, `{"columns":[]}`} {
		if _, err := ParseSchema([]byte(text)); fault.KindOf(err) != fault.User {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestPinnedSchemaShredsAndRestores(t *testing.T) {
	pinned := mustSchema(t, pinnedFile)
	lines := []string{
		`{"Id":{"N":"1.50e3"},"price":{"N":"12345678.25"},"ratio":{"N":"0.1"},"born":{"S":"2024-02-29"},"dmy":{"S":"31/12/1999"},` +
			`"at":{"S":"2026-01-02T03:04:05Z"},"ms":{"S":"2026-01-02T03:04:05.678Z"},"sec":{"N":"1700000000.5"},"millis":{"N":"-1.25"},` +
			`"micros":{"N":"0"},"day":{"N":"-86400"},"any":{"NULL":true},"blob":{"M":{"k":{"S":"v"}}},"tags":{"SS":["b","a"]},` +
			`"deep":{"M":{"x":{"N":"0.0000000001"},"new":{"S":"n"}}},"a.b":{"BOOL":true},"more":{"N":"7"}}`,
		`{"price":{"N":"123456789.25"},"ratio":{"N":"0.1234567890123456789"},"born":{"S":"2023-02-29"},"dmy":{"S":"1/1/1999"},` +
			`"at":{"S":"2026-01-02T03:04:05.5+02:00"},"ms":{"S":"2026-01-02T03:04:05Z"},"sec":{"N":"1700000000.1234567"},` +
			`"micros":{"N":"1e30"},"day":{"N":"86401"},"any":{"SS":["x"]},"blob":{"S":"no map"},"a.b":{"NULL":true}}`,
		`{"at":{"N":"5"},"born":{"S":"2026-01-02T03:04:05Z"}}`,
	}
	items := parse(t, lines...)
	o := SchemaOptions{Pinned: pinned}
	slabs, stats := shredCut(t, ShredOptions{SchemaOptions: o}, items, func(int) bool { return false })
	equalLines(t, "restored", canonical(items), assemble(t, slabs...))
	schema := stats.Schema(o)
	for i, f := range pinned.Fields {
		g := schema.Fields[i]
		if g.Name != f.Name || g.Kind != f.Kind || g.Format != f.Format || g.Precision() != f.Precision() {
			t.Errorf("column %d is %+v, pinned %+v", i, g, f)
		}
	}
	if last := schema.Fields[len(schema.Fields)-1]; last.Source != "more" || last.Kind != Long {
		t.Errorf("unpinned column: %+v", last)
	}
	fixed, _ := shredCut(t, ShredOptions{Schema: schema}, items, func(int) bool { return false })
	equalLines(t, "restored with the fixed schema", canonical(items), assemble(t, fixed...))
	want := map[string][]int64{"born": {19782, 20455}, "dmy": {10956}, "at": {1767323045000000, 1767315845500000},
		"ms": {1767323045678000, 1767323045000000}, "sec": {1700000000500000, 1700000000123456}, "millis": {-1250}, "micros": {0},
		"day": {-1, 1}, "price": {1234567825}}
	for i, leaf := range schema.Leaves() {
		if values, ok := want[leaf.Path[0]]; ok {
			if got := fixed[0].Vectors[i].Longs; !equalLongs(got, values) {
				t.Errorf("%s: %v, want %v", leaf.Path[0], got, values)
			}
		}
	}
	reasons := map[string]Reason{"/price": Range, "/ratio": Inexact, "/born": Range, "/dmy": Range, "/at": Inexact, "/ms": Inexact,
		"/sec": Inexact, "/micros": Range, "/day": Inexact, "/blob": Conflict, "/a.b": Null}
	for _, m := range fixed[0].Misfits {
		if m.Path == "/at" && m.Reason == Conflict || m.Path == "/born" && m.Reason == Inexact {
			continue
		}
		if reasons[m.Path] != m.Reason || m.Count != 1 {
			t.Errorf("misfit %+v", m)
		}
		delete(reasons, m.Path)
	}
	if len(reasons) > 0 {
		t.Errorf("misfits not counted: %v", reasons)
	}
}

func equalLongs(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Whatever a date or timestamp column is given, the very same value comes back.
func TestMomentsRestoreExactly(t *testing.T) {
	formats := []struct{ kind, format, typ string }{
		{"date", "iso", "S"}, {"timestamp", "iso", "S"}, {"timestamp", "iso-ms", "S"}, {"timestamp", "iso-us", "S"},
		{"timestamp", "epoch-s", "N"}, {"timestamp", "epoch-ms", "N"}, {"timestamp", "epoch-us", "N"}, {"date", "epoch-s", "N"},
		{"date", "epoch-ms", "N"}, {"date", "02.01.2006", "S"}, {"timestamp", "Jan _2 15:04:05 2006", "S"},
	}
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(formats).Draw(t, "format")
		text := rapid.OneOf(
			rapid.SampledFrom([]string{"2026-01-02", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456Z", "2026-02-30", "0000-01-01", "9999-12-31",
				"2026-01-02T24:00:00Z", "2026-01-02T03:04:60Z", "2026-1-2", "", "02.01.2026", "Jan  2 03:04:05 2026", "2026-01-02T03:04:05z"}),
			rapid.StringMatching(`[0-2][0-9]{3}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|\+0[0-9]:00))?`)).Draw(t, "text")
		if f.typ == "N" {
			text = rapid.OneOf(rapid.SampledFrom([]string{"0", "1e20", "-9223372036854775808", "86400", "0.000001", "1e-130"}),
				rapid.StringMatching(`-?[1-9][0-9]{0,16}(\.[0-9]{1,8})?`)).Draw(t, "number")
		}
		schema, err := ParseSchema([]byte(`{"version":1,"extra":"_extra","columns":[{"name":"a","kind":"` + f.kind + `","format":"` + f.format + `"}]}`))
		if err != nil {
			t.Fatalf("%v", err)
		}
		typ := item.S
		if f.typ == "N" {
			typ = item.N
		}
		it, err := item.FromMap(map[string]item.Value{"a": {Type: typ, Str: text}})
		if err != nil {
			t.Fatalf("%v", err)
		}
		slabs, _ := shredCut(t, ShredOptions{Schema: schema}, []item.Item{it}, func(int) bool { return false })
		equalLines(t, f.format, canonical([]item.Item{it}), assemble(t, slabs...))
	})
}

// A pinned name that is not to be had, as that of Extra or of a partition, is given anew like an attribute's.
func TestPinnedNamesKeepOffReserved(t *testing.T) {
	pinned, err := ParseSchema([]byte(`{"version":1,"columns":[{"name":"_extra","attribute":"a","kind":"long"},
		{"name":"Dt","attribute":"b","kind":"text"},{"name":"c","kind":"struct","fields":[{"name":"dt","kind":"long"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	items := parse(t, `{"a":{"N":"1"},"b":{"S":"x"},"c":{"M":{"dt":{"N":"1"}}},"_extra":{"S":"y"}}`)
	var stats Stats
	stats.Observe(items[0])
	schema := stats.Schema(SchemaOptions{Pinned: pinned, Reserved: []string{"dt"}})
	if got, want := summary(schema.Fields), "a long, b text, c struct(dt long), _extra__2 text"; got != want {
		t.Errorf("columns %s, want %s", got, want)
	}
	if _, err := ParseSchema(schema.AppendJSON(nil)); err != nil {
		t.Errorf("its own JSON: %v", err)
	}
}
