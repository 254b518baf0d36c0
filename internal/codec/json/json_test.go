package json

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"dynaferry/internal/codec"
	"dynaferry/internal/codec/codectest"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// loss is docs/formats/json.md, "What is lost", as a function.
func loss(members map[string]item.Value) map[string]item.Value {
	out := map[string]item.Value{}
	for name, v := range members {
		out[name] = lossOf(v)
	}
	return out
}

func lossOf(v item.Value) item.Value {
	switch v.Type {
	case item.B:
		return item.Value{Type: item.S, Str: base64.StdEncoding.EncodeToString(v.Bin)}
	case item.M:
		return item.Value{Type: item.M, Map: loss(v.Map)}
	case item.L, item.SS, item.NS, item.BS:
		list := item.Value{Type: item.L}
		for _, e := range v.List {
			list.List = append(list.List, lossOf(e))
		}
		return list
	}
	return v
}

func TestSuite(t *testing.T) {
	codectest.Run(t, codectest.Codec{
		Writer: func(w io.Writer, _ []item.Item) codec.Writer { return NewWriter(w) },
		Reader: func(r io.Reader, rejects codec.Rejects) codec.Reader {
			return NewReader(r, ReaderOptions{Rejects: rejects, BatchBytes: 10_000})
		},
		Loss:    loss,
		Samples: samples,
	})
}

const one, two = `{"a":{"N":"1"}}`, `{"b":{"N":"2"}}`

var samples = []codectest.Sample{
	{Name: "bad line", Input: "{\"a\":1}\n{\"x\":\n\n{\"b\":2}\n", Items: []string{one, two}, Rejects: []fault.Place{{Line: 2, Path: "x"}}},
	{Name: "bad first line", Input: "{\"x\":[}\n{\"b\":2}\n", Items: []string{two}, Rejects: []fault.Place{{Line: 1, Path: "x"}}},
	{Name: "first line cut", Input: "{\"x\":\"y\n{\"b\":2}\n", Items: []string{two}, Rejects: []fault.Place{{Line: 1, Path: "x"}}},
	{Name: "last line cut", Input: "{\"a\":1}\n{\"b\":", Items: []string{one}, Rejects: []fault.Place{{Line: 2, Offset: 13, Path: "b"}}},
	{Name: "text", Input: "hello\nworld\n", Rejects: []fault.Place{{Line: 1}, {Line: 2}}},
	{Name: "no objects", Input: "1\n\"x\"\nnull\n{\"a\":1}\n", Items: []string{one}, Rejects: []fault.Place{{Line: 1}, {Line: 2}, {Line: 3}}},
	{Name: "two on a line", Input: "{\"a\":1}\n{\"b\":2} {\"b\":2}\n", Items: []string{one}, Rejects: []fault.Place{{Line: 2}}},
	{Name: "duplicate name", Input: "{\"x\":1,\"\\u0078\":2}\n{\"a\":1}\n", Items: []string{one}, Rejects: []fault.Place{{Line: 1, Offset: 7, Path: "x"}}},
	{Name: "invalid UTF-8", Input: "{\"a\":1}\n{\"x\":{\"y\":\"\xff\"}}\n", Items: []string{one}, Rejects: []fault.Place{{Line: 2, Offset: 19, Path: "x.y"}}},
	{Name: "lone surrogate", Input: "{\"a\":1}\n{\"x\":\"\\ud800\"}\n", Items: []string{one}, Rejects: []fault.Place{{Line: 2, Path: "x"}}},
	{Name: "39 digits", Input: "{\"x\":[1,{\"y\":123456789012345678901234567890123456789}]}\n{\"a\":1}", Items: []string{one}, Rejects: []fault.Place{{Line: 1, Path: "x[1].y"}}},
	{Name: "1e400", Input: "{\"x\":1e400}\n{\"x\":NaN}\n{\"x\":01}\n", Rejects: []fault.Place{{Line: 1, Path: "x"}, {Line: 2, Path: "x"}, {Line: 3}}},
	{Name: "depth", Input: strings.Repeat(`{"x":`, 100_000) + "\n{\"a\":1}\n", Items: []string{one}, Rejects: []fault.Place{{Line: 1, Path: strings.Repeat("x.", 9999) + "x"}}},
	{Name: "pretty", Input: "{\n  \"a\": 1\n}\n{\n  \"x\": [\n {\n}\n}\n{\n  \"b\": 2\n}\n", Items: []string{one, two}, Rejects: []fault.Place{{Line: 8, Path: "x"}}},
	{Name: "pretty, early end", Input: "{\n  \"a\": 1\n}\n{\n  \"x\": 1 }, \"y\": {\n {\"n\": 3}\n}\n{\n  \"b\": 2\n}\n", Items: []string{one, `{"x":{"N":"1"}}`, two}, Rejects: []fault.Place{{Line: 5}}},
	{Name: "pretty, cut behind a comma", Input: "{\n\"a\": 1\n}\n{\n\"x\": 1,\n{\n\"b\": 2\n}\n", Items: []string{one, two}, Rejects: []fault.Place{{Line: 5}}},
	{Name: "no indent", Input: "{\n\"a\": 1\n}\n{\n\"x\": [\n{\n},\n{\n}\n]\n}\n{\"y\"}", Items: []string{one, `{"x":{"L":[{"M":{}},{"M":{}}]}}`}, Rejects: []fault.Place{{Line: 12, Path: "y"}}},
	{Name: "array", Input: "[\n {\"a\":1},\n 7,\n {\"x\":1,\"x\":2},\n {\"b\":2}\n]\n", Items: []string{one, two}, Rejects: []fault.Place{{Line: 3}, {Line: 4, Path: "x"}}},
	{Name: "array, broken", Input: "[{\"a\":1},\n{\"x\":[}},{\"y\":1}]", Items: []string{one}, Ends: "2 at byte 16"},
	{Name: "array, cut", Input: "[{\"a\":1},", Items: []string{one}, Ends: "input ends within the array"},
	{Name: "array, cut in an element", Input: "[{\"a\":1},{\"b\"", Items: []string{one}, Ends: "input ends within the array"},
	{Name: "array, no comma", Input: "[{\"a\":1} {\"b\":2}]", Items: []string{one}, Ends: "no comma"},
	{Name: "array, comma at the end", Input: "[{\"a\":1},]", Items: []string{one}, Ends: "element missing"},
	{Name: "array, two commas", Input: "[{\"a\":1},,{\"b\":2}]", Items: []string{one}, Ends: "element missing"},
	{Name: "array, more behind", Input: "[{\"a\":1}]\n[{\"b\":2}]", Items: []string{one}, Ends: "data behind the end of the array"},
}

// readAll reads plain JSON to canonical items.
func readAll(t testing.TB, input string, opts ReaderOptions) ([]string, error) {
	t.Helper()
	r := NewReader(strings.NewReader(input), opts)
	var all []string
	for b := (&item.Batch{}); ; {
		err := r.Read(b)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		for i := range b.Rows {
			all = append(all, string(item.AppendCanonical(nil, b.Item(i))))
		}
	}
}

// TestShapes: lines, objects over several lines and one array read alike.
func TestShapes(t *testing.T) {
	for _, input := range []string{
		"{\"a\":1}\n{\"b\":2}\n", "{\"a\":1}\r\n\r\n{\"b\":2}", "\ufeff{\"a\":1}\n{\"b\":2}\n", "\n\n  {\"a\":1}\n\t{\"b\":2}  \n",
		"{\"a\":1}{\"b\":2}", "{\"a\":1} {\"b\":2}\n", "{\n\"a\":1\n}\n{\n\"b\":2\n}\n", "{\n\"a\":1\n}{\"b\":\n2}",
		"[{\"a\":1},{\"b\":2}]", "\ufeff [\n  {\n    \"a\": 1\n  },\n{\n    \"b\": 2\n  }\n]\n", "[\n{\"a\":1}\n,\n{\"b\":2}\n]",
		"{\n\"a\":\n1\n}\n{\"b\":2}",
	} {
		got, err := readAll(t, input, ReaderOptions{})
		if err != nil || len(got) != 2 || got[0] != one || got[1] != two {
			t.Errorf("%q: %q, %v", input, got, err)
		}
	}
	for _, input := range []string{"[]", " [ ]\n", "\ufeff", "\ufeff\n"} {
		if got, err := readAll(t, input, ReaderOptions{}); err != nil || len(got) != 0 {
			t.Errorf("%q: %q, %v", input, got, err)
		}
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	for in, want := range map[string]string{
		"12345678901234567890123456789012345678": "12345678901234567890123456789012345678", "1.10": "1.1", "-0": "0", "-0.0": "0",
		"1E2": "100", "1e-3": "0.001", "0.1": "0.1", "9007199254740993": "9007199254740993", "1e125": "1" + strings.Repeat("0", 125),
	} {
		got, err := readAll(t, `{"n":`+in+`}`, ReaderOptions{})
		if err != nil || got[0] != `{"n":{"N":"`+want+`"}}` {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
}

// TestTypes: hints restore everything that writing lost, and refuse what does not fit.
func TestTypes(t *testing.T) {
	types := map[string]item.Type{"ss": item.SS, "ns": item.NS, "bs": item.BS, "b": item.B, "m.b": item.B, "l[].ss": item.SS,
		"bl[]": item.B, "n": item.N, "s": item.S, "l": item.L, "m": item.M, "t": item.BOOL}
	for in, want := range map[string]string{
		`{"ss":["b","a"],"ns":[2,1.0,"3"],"bs":["AA=="],"b":"AAE="}`:    `{"b":{"B":"AAE="},"bs":{"BS":["AA=="]},"ns":{"NS":["1","2","3"]},"ss":{"SS":["a","b"]}}`,
		`{"m":{"b":"AA==","c":"AA=="},"l":[{"ss":["x"],"b":"AA=="}]}`:   `{"l":{"L":[{"M":{"b":{"S":"AA=="},"ss":{"SS":["x"]}}}]},"m":{"M":{"b":{"B":"AA=="},"c":{"S":"AA=="}}}}`,
		`{"bl":["AA==",null],"n":"1.50","s":1.50,"t":true}`:             `{"bl":{"L":[{"B":"AA=="},{"NULL":true}]},"n":{"N":"1.5"},"s":{"S":"1.50"},"t":{"BOOL":true}}`,
		`{"ss":null,"b":null,"ns":[],"x":{"ss":["x"]}}`:                 `{"b":{"NULL":true},"ns":{"L":[]},"ss":{"NULL":true},"x":{"M":{"ss":{"L":[{"S":"x"}]}}}}`,
		`{"l":[],"after":["x"],"m":{},"b":"AA==","ss":["q"],"t":false}`: `{"after":{"L":[{"S":"x"}]},"b":{"B":"AA=="},"l":{"L":[]},"m":{"M":{}},"ss":{"SS":["q"]},"t":{"BOOL":false}}`,
	} {
		got, err := readAll(t, in, ReaderOptions{Types: types})
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s:\n got %v, %v\nwant %s", in, got, err, want)
		}
	}
	for in, path := range map[string]string{`{"ss":"x"}`: "ss", `{"ss":[true]}`: "ss", `{"ss":["a",null]}`: "ss[1]", `{"ns":["x"]}`: "ns", `{"bs":["!"]}`: "bs",
		`{"b":"A"}`: "b", `{"b":1}`: "b", `{"n":true}`: "n", `{"s":[]}`: "s", `{"l":{}}`: "l", `{"m":[]}`: "m", `{"m":{"b":"?"}}`: "m.b", `{"t":1}`: "t"} {
		_, err := readAll(t, in, ReaderOptions{Types: types})
		if place := fault.PlaceOf(err); err == nil || !strings.HasPrefix(place.Path, strings.TrimSuffix(path, "[1]")) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// TestLossReport: every lost type is counted at its path, and the report stays small.
func TestLossReport(t *testing.T) {
	b := &item.Batch{}
	build := item.NewBuilder(b)
	add := func(raw string) {
		if err := build.Item(0, codectest.Parse(raw)); err != nil {
			t.Fatal(err)
		}
	}
	add(`{"tags":{"SS":["a"]},"orders":{"L":[{"M":{"photo":{"B":"AA=="}}},{"M":{"photo":{"B":"AA=="},"ns":{"NS":["1"]}}}]},"s":{"S":"x"}}`)
	add(`{"tags":{"BS":["AA=="]},"m":{"M":{"n":{"N":"1"},"k":{"M":{"b":{"B":""}}}}},"bl":{"L":[{"L":[{"B":"AA=="}]}]}}`)
	add(`{"tags":{"SS":["b"]}}`)
	var out bytes.Buffer
	w := NewWriter(&out)
	if err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	want := []Loss{
		{"bl[][]", item.B, "B becomes base64 string", 1},
		{"m.k.b", item.B, "B becomes base64 string", 1},
		{"orders[].ns", item.NS, "NS becomes array", 1},
		{"orders[].photo", item.B, "B becomes base64 string", 2},
		{"tags", item.SS, "SS becomes array", 2},
		{"tags", item.BS, "BS becomes array of base64 strings", 1},
	}
	got := w.Losses()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	}
	b.Reset()
	names := map[string]item.Value{}
	for i := range 2 * LossPathsMax {
		names[strings.Repeat("x", i+1)] = item.Value{Type: item.B}
	}
	if err := build.Item(0, names); err != nil {
		t.Fatal(err)
	}
	w = NewWriter(&out)
	if err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	got = w.Losses()
	if last := got[len(got)-1]; len(got) != LossPathsMax+1 || last.Path != "" || last.Count != LossPathsMax {
		t.Fatalf("%d entries, the last %v", len(got), last)
	}
}

// TestLosslessWithTypes: what the report names is all that a reader must be told.
func TestLosslessWithTypes(t *testing.T) {
	b := &item.Batch{}
	build := item.NewBuilder(b)
	if err := build.Item(0, codectest.Parse(`{"tags":{"SS":["a","b"]},"o":{"L":[{"M":{"p":{"B":"AA=="}}},{"M":{"q":{"NS":["1"]}}}]},"bs":{"BS":["AA=="]}}`)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := NewWriter(&out)
	if err := w.Write(b); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	types := map[string]item.Type{}
	for _, l := range w.Losses() {
		types[l.Path] = l.Type
	}
	got, err := readAll(t, out.String(), ReaderOptions{Types: types})
	if want := string(item.AppendCanonical(nil, b.Item(0))); err != nil || got[0] != want {
		t.Fatalf("%v, %v, want %s", got, err, want)
	}
}

// TestLongRecords: a record above the bound is rejected, in memory of about the bound, and reading goes on.
func TestLongRecords(t *testing.T) {
	long := `{"x":"` + strings.Repeat("y", 1_000_000) + `"}`
	for name, c := range map[string]struct {
		input   string
		items   int
		rejects int
	}{
		"line":     {"{\"a\":1}\n" + long + "\n{\"b\":2}\n", 2, 1},
		"sequence": {"{\n\"a\":1}\n" + strings.Replace(long, ":", ":\n {\"z\":1},\n", 1) + "\n {\"no\":1}\n{\"b\":2}\n", 2, 1},
		"last":     {"{\"a\":1}\n" + long, 1, 1},
	} {
		rejects := 0
		got, err := readAll(t, c.input, ReaderOptions{RecordBytesMax: 1000, Rejects: func(r codec.Reject) error {
			rejects++
			if len(r.Raw) > 1000 {
				t.Errorf("%d raw bytes", len(r.Raw))
			}
			return nil
		}})
		if err != nil || rejects != c.rejects || len(got) != c.items {
			t.Errorf("%s: %d items, %d rejects, %v", name, len(got), rejects, err)
		}
	}
	if _, err := readAll(t, "["+long+"]", ReaderOptions{RecordBytesMax: 1000}); err == nil {
		t.Error("long element accepted")
	}
}

// FuzzReader: no input makes the reader panic, every object of a valid line becomes an item unless it says why not,
// and what is read survives writing and reading again but for the documented loss.
func FuzzReader(f *testing.F) {
	for _, s := range samples {
		if len(s.Input) < 1000 {
			f.Add([]byte(s.Input))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rejects := 0
		r := NewReader(bytes.NewReader(data), ReaderOptions{BatchBytes: 100, RecordBytesMax: 1 << 12, Rejects: func(codec.Reject) error {
			rejects++
			return nil
		}})
		var out bytes.Buffer
		w := NewWriter(&out)
		var want []string
		var err error
		for b := (&item.Batch{}); err == nil; {
			if err = r.Read(b); err == nil {
				for i := range b.Rows {
					want = append(want, string(item.AppendCanonical(nil, b.Item(i))))
				}
				if err := w.Write(b); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.Close()
		if n := len(w.Losses()); n != 0 {
			t.Fatalf("plain JSON has %d types to lose", n)
		}
		if line := bytes.TrimSuffix(data, []byte("\n")); bytes.IndexByte(line, '\n') < 0 && jsontext.Value(line).IsValid() &&
			jsontext.Value(line).Kind() == '{' && len(want)+rejects != 1 {
			t.Fatalf("%q: %d items, %d rejects", line, len(want), rejects)
		}
		got, err := readAll(t, out.String(), ReaderOptions{})
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d items of %d: %v", len(got), len(want), err)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%s became %s", want[i], got[i])
			}
		}
	})
}

// BenchmarkRead and BenchmarkWrite are bounded by the grammar (jsontext reads about 500 MB/s) and by copying.
func BenchmarkRead(b *testing.B) {
	data := benchLines(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	batch := &item.Batch{}
	for b.Loop() {
		r := NewReader(bytes.NewReader(data), ReaderOptions{})
		for r.Read(batch) == nil {
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	data := benchLines(b)
	batch := &item.Batch{}
	if err := NewReader(bytes.NewReader(data), ReaderOptions{BatchBytes: 1 << 30}).Read(batch); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		w := NewWriter(io.Discard)
		w.Write(batch)
		w.Close()
	}
}

func benchLines(b *testing.B) []byte {
	batch := &item.Batch{}
	build := item.NewBuilder(batch)
	for i := range uint64(2000) {
		if err := build.Item(uint32(i), codectest.Parse(string(itemtest.AppendOrder(nil, 1, i)))); err != nil {
			b.Fatal(err)
		}
	}
	var out bytes.Buffer
	w := NewWriter(&out)
	w.Write(batch)
	w.Close()
	return out.Bytes()
}
