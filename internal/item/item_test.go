package item_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

func parse(t testing.TB, raw string) item.Item {
	t.Helper()
	it, err := ddbjson.ParseItem([]byte(raw))
	if err != nil {
		t.Fatalf("%.200s: %v", raw, err)
	}
	return it
}

func TestCanonical(t *testing.T) {
	for _, c := range [][2]string{
		{`{}`, `{}`},
		{` { "b" : {"N":"1e0"} , "a":{"S":"\u0041\/"} } `, `{"a":{"S":"A/"},"b":{"N":"1"}}`},
		{`{"é":{"S":""},"z":{"S":""},"Z":{"S":""},"":{"S":""}}`, `{"":{"S":""},"Z":{"S":""},"z":{"S":""},"é":{"S":""}}`},
		{`{"\uffff":{"S":""},"😀":{"S":""}}`, "{\"\uffff\":{\"S\":\"\"},\"😀\":{\"S\":\"\"}}"}, // by UTF-8, not UTF-16
		{`{"n":{"NS":["10","9","-1","1e-3","2.50"]}}`, `{"n":{"NS":["-1","0.001","2.5","9","10"]}}`},
		{`{"s":{"SS":["b","\u0061","B",""]}}`, `{"s":{"SS":["","B","a","b"]}}`},
		{`{"b":{"BS":["/w==","AA==","","AAA="]}}`, `{"b":{"BS":["","AA==","AAA=","/w=="]}}`},
		{`{"b":{"B":"QR\u003d\u003d"}}`, `{"b":{"B":"QQ=="}}`},
		{`{"s":{"S":"\u0000\u001f\b\f\n\r\t\"\\\u007f\u2028"}}`, `{"s":{"S":"\u0000\u001f\b\f\n\r\t\"\\` + "\x7f\u2028" + `"}}`},
		{`{"l":{"L":[{"NULL": true},{"BOOL":false},{"M":{"y":{"L":[]},"x":{"M":{}}}}]}}`,
			`{"l":{"L":[{"NULL":true},{"BOOL":false},{"M":{"x":{"M":{}},"y":{"L":[]}}}]}}`},
	} {
		if got := string(item.AppendCanonical(nil, parse(t, c[0]))); got != c[1] {
			t.Errorf("%s\n got %s\nwant %s", c[0], got, c[1])
		}
	}
}

// The canonical form parses to an equal item whose canonical form is the same, and so do the decoded tree and the
// compact form.
func TestForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := itemtest.Members().Draw(t, "members")
		it := parseRapid(t, itemtest.Spelled(members).Draw(t, "spelled"))
		canonical := item.AppendCanonical(nil, it)
		for name, raw := range map[string][]byte{"canonical": canonical, "compact": item.AppendCompact(nil, it),
			"tree": item.AppendMap(nil, it.Map()), "built": itemtest.Must(it.Map()).Raw()} {
			again := parseRapid(t, raw)
			if got := item.AppendCanonical(nil, again); !bytes.Equal(got, canonical) {
				t.Fatalf("%s: %s\n got %s\nwant %s", name, raw, got, canonical)
			}
			if !item.IsCompact(again) {
				t.Fatalf("%s is not compact: %s", name, raw)
			}
			if item.Size(again) != item.Size(it) {
				t.Fatalf("%s: size %d, then %d", raw, item.Size(it), item.Size(again))
			}
		}
		for name, v := range it.Map() {
			if i, ok := it.Get(name); !ok || !it.Value(i).Equal(v) || !v.Equal(members[name]) {
				t.Fatalf("attribute %q differs", name)
			}
		}
	})
}

func parseRapid(t *rapid.T, raw []byte) item.Item {
	it, err := ddbjson.ParseItem(raw)
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return it
}

// A built item is what the parser makes of its bytes, token for token.
func TestBuilderMakesWhatTheParserMakes(t *testing.T) {
	b := &item.Batch{}
	w := item.NewBuilder(b)
	for i := range uint64(500) {
		members := itemtest.Arbitrary(3, i)
		if err := w.Item(uint32(i), members); err != nil {
			t.Fatal(err)
		}
		source := parse(t, string(itemtest.AppendArbitrary(nil, 3, i, false)))
		w.Begin(uint32(i))
		for at := 1; at < len(source.Tape); at += 1 + int(source.Tape[at+1].Skip) {
			w.RawName(source, at)
			w.Raw(source, at+1)
		}
		w.Finish()
	}
	for i := range b.Rows {
		it := b.Item(i)
		again := parse(t, string(it.Raw())).Tape
		for j := range again {
			again[j].Off += it.Tape[0].Off
			again[j].End += it.Tape[0].Off
		}
		if !slices.Equal(it.Tape, again) || b.Rows[i].Line != uint32(i/2) {
			t.Fatalf("item %d: %s\n%+v\n%+v", i, it.Raw(), it.Tape, again)
		}
		if i%2 == 1 && !item.Equal(it, b.Item(i-1)) {
			t.Fatalf("item %d copied raw differs", i)
		}
	}
}

func TestBuilderErrors(t *testing.T) {
	b := &item.Batch{}
	w := item.NewBuilder(b)
	bad := map[string]item.Value{"a": {Type: item.L, List: []item.Value{{Type: item.N, Str: "x"}}}}
	if err := w.Item(0, bad); err == nil || len(b.Src)+len(b.Tape)+len(b.Rows) != 0 {
		t.Errorf("%v, left %d bytes", err, len(b.Src))
	}
	if _, err := item.FromMap(map[string]item.Value{"a": {}}); err == nil {
		t.Error("a value without type was built")
	}
	w.Begin(0)
	w.Name("n")
	w.Int(-9223372036854775808)
	w.Name("d")
	w.Decimal(item.Decimal{Lo: 15, Digits: 2, Exp: -1})
	w.Finish()
	if got := string(b.Item(0).Raw()); got != `{"n":{"N":"-9223372036854775808"},"d":{"N":"1.5"}}` {
		t.Error(got)
	}
	if cap(b.Src)-len(b.Src) < item.Slack {
		t.Error("no slack")
	}
}

func TestSize(t *testing.T) {
	for raw, want := range map[string]int{
		`{}`: 0, `{"a":{"S":""}}`: 1, `{"a":{"S":"é"}}`: 3, `{"é":{"S":"\u00e9\n"}}`: 5, `{"a":{"N":"0"}}`: 2, `{"a":{"N":"1"}}`: 3, `{"a":{"N":"12"}}`: 3,
		`{"a":{"N":"123"}}`: 4, `{"a":{"N":"-123"}}`: 5, `{"a":{"N":"1200"}}`: 3, `{"a":{"N":"1E100"}}`: 3, `{"a":{"N":"0.0012"}}`: 3,
		`{"a":{"N":"` + nines + `"}}`: 21, `{"a":{"B":""}}`: 1, `{"a":{"B":"AQ=="}}`: 2, `{"a":{"B":"AQI="}}`: 3, `{"a":{"B":"AQID"}}`: 4,
		`{"a":{"B":"\u0041QID"}}`: 4, `{"a":{"BOOL":true}}`: 2, `{"a":{"NULL":true}}`: 2, `{"a":{"L":[]}}`: 4, `{"a":{"L":[{"S":"xy"}]}}`: 7,
		`{"a":{"L":[{"NULL":true},{"L":[]}]}}`: 10, `{"a":{"M":{}}}`: 4, `{"a":{"M":{"bc":{"N":"1"}}}}`: 9, `{"a":{"SS":["x","yz"]}}`: 4,
		`{"a":{"NS":["1","-22"]}}`: 6, `{"a":{"BS":["AQ==","AQI="]}}`: 4, `{"a":{"S":"x"},"bb":{"S":"y"}}`: 5,
	} {
		if got := item.Size(parse(t, raw)); got != want {
			t.Errorf("%s: %d bytes, want %d", raw, got, want)
		}
	}
}

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		size              int
		eventually, write float64
	}{{0, 0.5, 1}, {1, 0.5, 1}, {1024, 0.5, 1}, {1025, 0.5, 2}, {4096, 0.5, 4}, {4097, 1, 5}, {409600, 50, 400}} {
		if item.ReadUnits(c.size, false) != c.eventually || item.ReadUnits(c.size, true) != 2*c.eventually ||
			item.WriteUnits(c.size) != c.write {
			t.Errorf("%d bytes: %v, %v, %v", c.size, item.ReadUnits(c.size, false), item.ReadUnits(c.size, true), item.WriteUnits(c.size))
		}
	}
}

func TestKeySchemaJSON(t *testing.T) {
	for text, want := range map[string]item.KeySchema{
		`{"hash":{"name":"pk","type":"S"}}`: {Hash: item.KeyAttr{Name: "pk", Type: item.S}},
		`{"hash":{"name":"pk","type":"B"},"range":{"name":"sk","type":"N"}}`: {
			Hash: item.KeyAttr{Name: "pk", Type: item.B}, Range: item.KeyAttr{Name: "sk", Type: item.N}},
	} {
		var k item.KeySchema
		if err := json.Unmarshal([]byte(text), &k); err != nil || k != want {
			t.Errorf("%s: %+v, %v", text, k, err)
		}
		if got, err := json.Marshal(k); err != nil || string(got) != text {
			t.Errorf("%s became %s, %v", text, got, err)
		}
	}
	for _, text := range []string{`{}`, `{"hash":{"name":"pk","type":"X"}}`, `{"hash":{"name":"pk","type":"SS"}}`, `[]`,
		`{"hash":{"name":"a","type":"S"},"range":{"name":"a","type":"S"}}`, `{"hash":{"name":"a","type":"S"},"range":{"type":"S"}}`} {
		var k item.KeySchema
		if err := json.Unmarshal([]byte(text), &k); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

func key(hash, rng item.Type) item.KeySchema {
	return item.KeySchema{Hash: item.KeyAttr{Name: "h", Type: hash}, Range: item.KeyAttr{Name: "r", Type: rng}}
}

// Keys sort as DynamoDB sorts: the first attribute by its own order, then the second, whatever bytes they hold.
func TestKeysSort(t *testing.T) {
	sorted := []string{`{"S":""}`, `{"S":"\u0000"}`, `{"S":"\u0000\u0000"}`, `{"S":"\u0000a"}`, `{"S":"\u0001"}`, `{"S":"a"}`, `{"S":"a\u0000"}`, `{"S":"a\u0000b"}`,
		`{"S":"a\u0001"}`, `{"S":"ab"}`, `{"S":"b"}`, `{"S":"é"}`, "{\"S\":\"\uffff\"}", `{"S":"😀"}`}
	numbers := []string{`{"N":"-9E125"}`, `{"N":"-100"}`, `{"N":"-99.5"}`, `{"N":"-1"}`, `{"N":"-0.5"}`, `{"N":"-1E-130"}`, `{"N":"0"}`, `{"N":"1E-130"}`,
		`{"N":"0.1"}`, `{"N":"1"}`, `{"N":"1.01"}`, `{"N":"9"}`, `{"N":"10"}`, `{"N":"10.5"}`, `{"N":"100"}`, `{"N":"9E125"}`}
	var last []byte
	for i, hash := range sorted {
		for j, rng := range numbers {
			got, err := key(item.S, item.N).AppendKey(nil, parse(t, `{"x":{"S":""},"r":`+rng+`,"h":`+hash+`}`))
			if err != nil {
				t.Fatal(err)
			}
			if (i > 0 || j > 0) && bytes.Compare(last, got) >= 0 {
				t.Fatalf("%s %s: %x is not behind %x", hash, rng, got, last)
			}
			last = got
		}
	}
}

func TestKeyForms(t *testing.T) {
	k := key(item.B, item.N)
	it := parse(t, `{"r":{"N":"1.50E1"},"h":{"B":"QR=="}}`)
	got, err := k.AppendKeyJSON([]byte("x"), it)
	if err != nil || string(got) != `x{"h":{"B":"QQ=="},"r":{"N":"15"}}` {
		t.Errorf("%s, %v", got, err)
	}
	a, _ := k.AppendKey(nil, it)
	b, _ := k.AppendKey(nil, parse(t, `{"h":{"B":"QQ=="},"r":{"N":"15"}}`))
	if !bytes.Equal(a, b) {
		t.Error("equal keys have different bytes")
	}
	for raw, want := range map[string]string{
		`{"h":{"B":""}}`:               "Missing the key r in the item",
		`{"h":{"S":""},"r":{"N":"1"}}`: "Type mismatch for key h expected: B actual: S",
	} {
		if _, err := k.AppendKey(nil, parse(t, raw)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", raw, err)
		}
		if got, err := k.AppendKeyJSON([]byte("x"), parse(t, raw)); err == nil || string(got) != "x" {
			t.Errorf("%s: %s, %v", raw, got, err)
		}
	}
}

func TestValidate(t *testing.T) {
	k := key(item.S, item.B)
	for raw, want := range map[string]string{
		`{"h":{"S":"x"},"r":{"B":"AQ=="}}`:                                                  "",
		`{"h":{"S":"x"},"r":{"B":""}}`:                                                      "cannot contain an empty binary value. Key: r",
		`{"h":{"S":"` + strings.Repeat("x", 2049) + `"},"r":{"B":"AQ=="}}`:                  "limit of2048 bytes",
		`{"h":{"S":"x"},"r":{"B":"` + strings.Repeat("AAAA", 342) + `"}}`:                   "size limit of 1024 bytes",
		`{"h":{"S":"x"},"r":{"B":"AQ=="},"m":{"M":{"a":{"L":[{"SS":[]}]}}}}`:                "An string set  may not be empty",
		`{"h":{"S":"x"},"r":{"B":"AQ=="},"s":{"BS":["AQ==","AQ=="]}}`:                       "Input collection [AQ==, AQ==]of type BS contains duplicates.",
		`{"h":{"S":"x"},"r":{"B":"AQ=="},"a":{"S":"` + text(item.ItemBytesMax-4-1) + `"}}`:  "",
		`{"h":{"S":"x"},"r":{"B":"AQ=="},"aa":{"S":"` + text(item.ItemBytesMax-4-1) + `"}}`: "Item size has exceeded the maximum allowed size",
	} {
		err := item.Validate(parse(t, raw), &k)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.100s: %v, want %q", raw, err, want)
		}
		if err != nil && fault.KindOf(err) != fault.User {
			t.Errorf("%.100s: kind %s", raw, fault.KindOf(err))
		}
	}
	err := item.Validate(parse(t, `{"m":{"M":{"a":{"L":[{"S":""},{"SS":[]}]}}}}`), nil)
	if fault.PlaceOf(err).Path != "m.a[1]" {
		t.Error(err)
	}
	deep, err := item.FromMap(map[string]item.Value{"d": wrap(32)})
	if err != nil {
		t.Fatal(err)
	}
	if err := item.Validate(deep, nil); err == nil || !strings.Contains(err.Error(), "Nesting Levels have exceeded") {
		t.Error(err)
	}
	shallow, _ := item.FromMap(map[string]item.Value{"d": wrap(31)})
	if err := item.Validate(shallow, nil); err != nil {
		t.Error(err)
	}
}

func text(n int) string { return strings.Repeat("x", n) }

func wrap(levels int) item.Value {
	v := item.Value{Type: item.S}
	for range levels {
		v = item.Value{Type: item.L, List: []item.Value{v}}
	}
	return v
}

func TestPath(t *testing.T) {
	it := parse(t, `{"a":{"S":""},"b":{"M":{"c":{"L":[{"N":"1"},{"SS":["x","y"]}]}}},"d":{"N":"2"}}`)
	var paths []string
	for i := range it.Tape {
		paths = append(paths, it.Path(i))
	}
	want := []string{"", "a", "a", "b", "b", "b.c", "b.c", "b.c[0]", "b.c[1]", "b.c[1][0]", "b.c[1][1]", "d", "d"}
	if !slices.Equal(paths, want) {
		t.Errorf("%q", paths)
	}
}

func TestAccess(t *testing.T) {
	it := parse(t, `{"a":{"S":"x\u0041"},"n\n":{"M":{"k":{"NS":["1","2"]}}},"b":{"B":"A\u0051=="},"t":{"BOOL":true}}`)
	i, _ := it.Get("n\n")
	set, ok := it.Member(i, "k")
	second, found := it.Element(set, 1)
	_, third := it.Element(set, 2)
	if !ok || !found || third || string(it.Text(second)) != "2" || it.Count(set) != 2 || it.Count(0) != 4 {
		t.Error("members and elements")
	}
	if _, ok := it.Get("absent"); ok {
		t.Error("absent found")
	}
	a, _ := it.Get("a")
	b, _ := it.Get("b")
	if string(it.Text(a)) != "xA" || string(it.AppendText([]byte("-"), a)) != "-xA" || string(it.Bytes(b, nil)) != "\x01" {
		t.Error("text and bytes")
	}
	if got := string(it.AppendValue(nil, i)); got != `{"M":{"k":{"NS":["1","2"]}}}` {
		t.Error(got)
	}
	clone := it.Clone()
	copy(it.Src, make([]byte, len(it.Src)))
	if got := string(item.AppendCanonical(nil, clone)); !strings.HasPrefix(got, `{"a":{"S":"xA"}`) || cap(clone.Src)-len(clone.Src) < item.Slack {
		t.Error(got)
	}
}

func ExampleBuilder() {
	b := &item.Batch{}
	w := item.NewBuilder(b)
	w.Begin(0)
	w.Name("Id")
	w.Int(1)
	w.Name("tags")
	w.BeginSet(item.SS)
	w.String([]byte("new"))
	w.End()
	w.Finish()
	fmt.Printf("%s\n", b.Item(0).Raw())
	// Output: {"Id":{"N":"1"},"tags":{"SS":["new"]}}
}

// TestPlain: what the shortcuts of Builder write is what the long ways write.
func TestPlain(t *testing.T) {
	build := func(plain bool) item.Item {
		var b item.Batch
		w := item.NewBuilder(&b)
		w.Begin(0)
		for _, name := range []string{"a", "", strings.Repeat("long ", 50)} {
			if plain {
				w.PlainName([]byte(name))
				w.PlainString([]byte(name))
				w.PlainName([]byte(name + "s"))
			} else {
				w.NameText([]byte(name))
				w.String([]byte(name))
				w.Name(name + "s")
			}
			w.BeginSet(item.NS)
			for _, n := range []string{"1", "-2.5"} {
				if plain {
					w.NormalNumber([]byte(n))
				} else if err := w.Number([]byte(n)); err != nil {
					t.Fatal(err)
				}
			}
			w.End()
		}
		w.Finish()
		return b.Item(0)
	}
	a, b := build(true), build(false)
	if !bytes.Equal(a.Src, b.Src) || !slices.Equal(a.Tape, b.Tape) {
		t.Errorf("plain %s\nlong  %s", a.Src, b.Src)
	}
}
