package csv

import (
	"bytes"
	"encoding/base64"
	stdcsv "encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"dynaferry/internal/codec"
	"dynaferry/internal/codec/codectest"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

func survey(items []item.Item) []Column {
	var s Survey
	for _, it := range items {
		s.Observe(it)
	}
	return s.Columns()
}

// TestLossless: columns from a first pass, or DynamoDB JSON throughout, carry every item through every dialect.
func TestLossless(t *testing.T) {
	for name, w := range map[string]WriterOptions{
		"typed": {}, "json": {AllJSON: true, Delimiter: ';'}, "space": {Delimiter: ' ', ByteOrderMark: true},
		"formula-safe": {FormulaSafe: true, Delimiter: '|', CRLF: true},
	} {
		t.Run(name, func(t *testing.T) {
			var columns []Column
			codectest.Run(t, codectest.Codec{
				Writer: func(out io.Writer, items []item.Item) codec.Writer {
					columns = survey(items)
					opts := w
					opts.Columns = columns
					if items == nil { // the suite's test of failing writers, whose items are orders
						opts.Drop = true
					}
					return NewWriter(out, opts)
				},
				Reader: func(in io.Reader, rejects codec.Rejects) codec.Reader {
					opts := ReaderOptions{Delimiter: w.Delimiter, Default: JSON, QuotedIsText: true, FormulaSafe: w.FormulaSafe,
						Rejects: rejects, BatchBytes: 10_000}
					if !w.AllJSON {
						return &lateTypes{in: in, opts: opts, columns: &columns}
					}
					return NewReader(in, opts)
				},
			})
		})
	}
}

// lateTypes takes the types of what is being read from the columns it was written with, as far as the input has them.
type lateTypes struct {
	in      io.Reader
	opts    ReaderOptions
	columns *[]Column
	r       *Reader
}

func (l *lateTypes) Read(b *item.Batch) error {
	if l.r == nil {
		l.opts.Types = TypesOf(*l.columns)
		l.r = NewReader(l.in, l.opts)
	}
	return l.r.Read(b)
}

// plain is the documented loss of columns without a type, read back as S with QuotedIsText.
func plain(members map[string]item.Value) map[string]item.Value {
	out := map[string]item.Value{}
	for name, v := range members {
		text := v.Str
		switch v.Type {
		case item.S:
		case item.N:
			n, _ := item.ParseNumber([]byte(v.Str))
			text = string(n)
		case item.BOOL:
			text = fmt.Sprint(v.Bool)
		case item.B:
			text = base64.StdEncoding.EncodeToString(v.Bin)
		default:
			it := codectest.Make(map[string]item.Value{"x": v})
			text = string(it.AppendValue(nil, 2))
		}
		out[name] = item.Value{Type: item.S, Str: text}
	}
	return out
}

// TestUntyped: what is lost without types is what the documentation says, and nothing else.
func TestUntyped(t *testing.T) {
	codectest.Run(t, codectest.Codec{
		Writer: func(out io.Writer, items []item.Item) codec.Writer {
			columns := survey(items)
			for i := range columns {
				columns[i].Type = ""
			}
			return NewWriter(out, WriterOptions{Columns: columns, Drop: items == nil})
		},
		Reader: func(in io.Reader, rejects codec.Rejects) codec.Reader {
			return NewReader(in, ReaderOptions{QuotedIsText: true, Rejects: rejects, BatchBytes: 10_000})
		},
		Loss: plain,
		// A record whose only cell is empty is a blank line, which is none, or an empty string.
		Skip:    func(members map[string]item.Value) bool { return len(members) == 0 },
		Samples: samples,
	})
}

const row1, row2 = `{"a":{"S":"1"},"b":{"S":"2"}}`, `{"a":{"S":"3"},"b":{"S":"4"}}`

var samples = []codectest.Sample{
	{Name: "ragged", Input: "a,b\n1,2\nx\nx,y,z\n3,4\n", Items: []string{row1, row2}, Rejects: []fault.Place{{Line: 3, Offset: 8}, {Line: 4, Offset: 10}}},
	{Name: "text behind a quote", Input: "a,b\n\"x\"y,2\n1,2\n3,4", Items: []string{row1, row2}, Rejects: []fault.Place{{Line: 2}}},
	{Name: "quote inside", Input: "a,b\n1,2\nx,y\"z\"\n3,4", Items: []string{row1, row2}, Rejects: []fault.Place{{Line: 3}}},
	{Name: "quote without end", Input: "a,b\n1,2\nx,\"y\n3,4\n", Items: []string{row1, row2}, Rejects: []fault.Place{{Line: 3}}},
	{Name: "quote that ends in the next record", Input: "a,b\n1,2\nx,\"y\n3,\"4\"\n", Items: []string{row1, row2}, Rejects: []fault.Place{{Line: 3}}},
	{Name: "invalid UTF-8", Input: "a,b\n1,2\nx,\xff\n3,4\n", Items: []string{row1, row2}, Rejects: []fault.Place{{Line: 3, Path: "b"}}},
	{Name: "line numbers are physical", Input: "a,b\n\"x\n\ny\",2\n\n\nbad\n3,4", Items: []string{`{"a":{"S":"x\n\ny"},"b":{"S":"2"}}`, row2}, Rejects: []fault.Place{{Line: 7}}},
	{Name: "two equal columns", Input: "a,b,a\n1,2,3\n", Ends: `column "a" is there twice`},
	{Name: "header without end", Input: "a,\"b\n1,2\n", Ends: "quoted cell does not end"},
	{Name: "lines that end with CR alone", Input: "a,b\r1,2\r3,4\r", Ends: "end with CR alone"},
	{Name: "UTF-16", Input: "\xff\xfea\x00,\x00", Ends: "UTF-16"},
}

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

func TestReading(t *testing.T) {
	for _, c := range []struct {
		name, input string
		opts        ReaderOptions
		want        string // items, one a line
	}{
		{"plain", "a,b\n1,2\n3,4\n", ReaderOptions{}, row1 + "\n" + row2},
		{"crlf, bom, no end", "\ufeffa,b\r\n1,2\r\n3,4", ReaderOptions{}, row1 + "\n" + row2},
		{"crlf behind quotes", "\"a\",\"b\"\r\n\"1\",\"2\"\r\n\"3\",\"4\"\r\n", ReaderOptions{}, row1 + "\n" + row2},
		{"cr at the end", "a,b\r\n1,\"2\"\r\n3,\"4\"\r", ReaderOptions{}, row1 + "\n" + row2},
		{"blank lines", "\n\r\na,b\n\n1,2\n\r\n3,4\n\n", ReaderOptions{}, row1 + "\n" + row2},
		{"header given", "1,2\n3,4\n", ReaderOptions{Header: []string{"a", "b"}}, row1 + "\n" + row2},
		{"tab", "a\tb\n1\t2\n3\t4\n", ReaderOptions{Delimiter: '\t'}, row1 + "\n" + row2},
		{"empty cells are absent", "a,b\n,\n\"\",x\n", ReaderOptions{}, "{}\n" + `{"b":{"S":"x"}}`},
		{"quoted empty is text", "a,b\n,\"\"\n", ReaderOptions{QuotedIsText: true}, `{"b":{"S":""}}`},
		{"null tokens", "a,b\nNA,\"NA\"\nNULL,na\n", ReaderOptions{Nulls: []string{"NA", "NULL"}}, "{}\n" + `{"b":{"S":"na"}}`},
		{"null tokens, quoted is text", "a,b\nNA,\"NA\"\n", ReaderOptions{Nulls: []string{"NA"}, QuotedIsText: true}, `{"b":{"S":"NA"}}`},
		{"quotes", "a,b\n\"x \"\"y\"\", z\",\"1\n2\r\n3\"\n", ReaderOptions{}, `{"a":{"S":"x \"y\", z"},"b":{"S":"1\n2\r\n3"}}`},
		{"spaces stay", "a,b\n 1 ,\t2\n", ReaderOptions{}, `{"a":{"S":" 1 "},"b":{"S":"\t2"}}`},
		{"types", "n,t,b,ss,ns,j\n 1.50 ,TRUE,AAE=,\"[\"\"x\"\"]\",\"[2,\"\"1\"\"]\",\"{\"\"NULL\"\":true}\"\n",
			ReaderOptions{Types: map[string]Spec{"n": Number, "t": Bool, "b": Binary, "ss": SS, "ns": NS, "j": JSON}},
			`{"b":{"B":"AAE="},"j":{"NULL":true},"n":{"N":"1.5"},"ns":{"NS":["1","2"]},"ss":{"SS":["x"]},"t":{"BOOL":true}}`},
		{"plain json", "l;m\n[1,\"x\",null,[true]];{\"k\":{\"x\":1e2}}\n", ReaderOptions{Delimiter: ';', Header: nil, Rejects: func(codec.Reject) error { return nil },
			Types: map[string]Spec{"l": List, "m": Map}}, ""},
		{"plain json, quoted", "l;m\n\"[1,\"\"x\"\",null,[true]]\";\"{\"\"k\"\":{\"\"x\"\":1e2}}\"\n", ReaderOptions{Delimiter: ';', Types: map[string]Spec{"l": List, "m": Map}},
			`{"l":{"L":[{"N":"1"},{"S":"x"},{"NULL":true},{"L":[{"BOOL":true}]}]},"m":{"M":{"k":{"M":{"x":{"N":"100"}}}}}}`},
		{"dynamodb json in typed columns", "n,l,b\n\"{\"\"S\"\":\"\"x\"\"}\",\"{\"\"L\"\":[]}\",\"{\"\"NULL\"\":true}\"\n", ReaderOptions{Types: map[string]Spec{"n": Number, "l": List, "b": Bool}},
			`{"b":{"NULL":true},"l":{"L":[]},"n":{"S":"x"}}`},
		{"infer", "a,b,c,d,e,f,g,h\n1,-0.50,1e3,true,True,007,+1,\"1\"\n", ReaderOptions{Default: Infer},
			`{"a":{"N":"1"},"b":{"N":"-0.5"},"c":{"N":"1000"},"d":{"BOOL":true},"e":{"S":"True"},"f":{"S":"007"},"g":{"S":"+1"},"h":{"S":"1"}}`},
		{"infer, no numbers", "a,b,c,d,e\n1e400,123456789012345678901234567890123456789,1.,-,NaN\n", ReaderOptions{Default: Infer},
			`{"a":{"S":"1e400"},"b":{"S":"123456789012345678901234567890123456789"},"c":{"S":"1."},"d":{"S":"-"},"e":{"S":"NaN"}}`},
		{"infer, types win", "a,b\n1,1\n", ReaderOptions{Default: Infer, Types: map[string]Spec{"a": Text}}, `{"a":{"S":"1"},"b":{"N":"1"}}`},
		{"formula-safe", "a,'=b\n'=1,''+1\n'x,'\n", ReaderOptions{FormulaSafe: true}, `{"=b":{"S":"'+1"},"a":{"S":"=1"}}` + "\n" + `{"=b":{"S":"'"},"a":{"S":"'x"}}`},
	} {
		got, err := readAll(t, c.input, c.opts)
		if err != nil || strings.Join(got, "\n") != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.name, err, strings.Join(got, "\n"), c.want)
		}
	}
}

func TestRefusedCells(t *testing.T) {
	for spec, cells := range map[Spec][]string{
		Number: {"x", "1 2", "1e400", "0x1", "--1", `{"N":"x"}`, `{`},
		Bool:   {"yes", "1", "t", `{"BOOL":"true"}`},
		Binary: {"A", "AA", "A A=", "AB==", "!"},
		SS:     {"x", "[]", "[1]", `["x"`, `["x"] y`, `["x",null]`},
		NS:     {"[\"x\"]", "1", "[true]"},
		BS:     {`["!"]`, `[1]`},
		List:   {"{}", "1", "[1", "[1]]", `[{"a":1,"a":2}]`, "[01]"},
		Map:    {"[]", "x", `{"a":1e999}`, `{"a":1`, `{"a":1}{}`},
		JSON:   {"1", `"x"`, `{"N":"1"},"x":{"N":"2"}`, `{"N":1}`, `{"X":"1"}`, `{"N":"1"}}`, `{"S":"\ud800"}`, "{}"},
	} {
		for _, cell := range cells {
			var w Writer
			w.quoted([]byte(cell))
			rejects := 0
			got, err := readAll(t, "id,c\n0,\n1,"+string(w.buf)+"\n2,\n", ReaderOptions{Types: map[string]Spec{"c": spec}, Rejects: func(r codec.Reject) error {
				rejects++
				if r.Place.Line != 3 || r.Place.Path != "c" || fault.KindOf(r.Err) == fault.Bug {
					t.Errorf("%s %s: %v", spec, cell, r.Err)
				}
				return nil
			}})
			if err != nil || rejects != 1 || len(got) != 2 {
				t.Errorf("%s: %q: %q, %v", spec, cell, got, err)
			}
		}
	}
}

func write(t testing.TB, opts WriterOptions, items ...string) (string, *Writer, error) {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, opts)
	b := &item.Batch{}
	build := item.NewBuilder(b)
	for i, raw := range items {
		if err := build.Item(uint32(i), codectest.Parse(raw)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write(b); err != nil {
		return "", w, err
	}
	err := w.Close()
	return out.String(), w, err
}

func TestWriting(t *testing.T) {
	columns := []Column{{"a", Text}, {"n", Number}, {"j", JSON}}
	for _, c := range []struct {
		name string
		opts WriterOptions
		item string
		want string
	}{
		{"typed", WriterOptions{Columns: columns}, `{"a":{"S":"x,y"},"n":{"N":"1.50"},"j":{"BOOL":true}}`, "a,n,j\n\"x,y\",1.5,\"{\"\"BOOL\"\":true}\"\n"},
		{"absent and empty", WriterOptions{Columns: columns}, `{"a":{"S":""}}`, "a,n,j\n\"\",,\n"},
		{"misfit", WriterOptions{Columns: columns}, `{"n":{"S":"x"}}`, "a,n,j\n,\"{\"\"S\"\":\"\"x\"\"}\",\n"},
		{"crlf", WriterOptions{Columns: columns, CRLF: true, Delimiter: ';'}, `{"a":{"S":"x,y"}}`, "a;n;j\r\nx,y;;\r\n"},
		{"all json", WriterOptions{Columns: columns, AllJSON: true}, `{"a":{"S":"x"}}`, "a,n,j\n\"{\"\"S\"\":\"\"x\"\"}\",,\n"},
		{"formula", WriterOptions{Columns: []Column{{"=a", Text}, {"n", Number}}, FormulaSafe: true}, `{"=a":{"S":"@x"},"n":{"N":"-1"}}`, "'=a,n\n'@x,-1\n"},
		{"no formula", WriterOptions{Columns: []Column{{"=a", Text}}}, `{"=a":{"S":"@x"}}`, "=a\n@x\n"},
		{"plus in base64", WriterOptions{Columns: []Column{{"b", Binary}, {"c", Text}}, FormulaSafe: true}, `{"b":{"B":"+/+/"},"c":{"B":"+/+/"}}`, "b,c\n\"{\"\"B\"\":\"\"+/+/\"\"}\",\"{\"\"B\"\":\"\"+/+/\"\"}\"\n"},
		{"infer", WriterOptions{Columns: []Column{{"a", Infer}, {"b", Infer}}}, `{"a":{"S":"1"},"b":{"N":"1"}}`, "a,b\n\"1\",1\n"},
		{"bom", WriterOptions{Columns: columns[:1], ByteOrderMark: true}, `{}`, "\ufeffa\n\"\"\n"},
	} {
		got, _, err := write(t, c.opts, c.item)
		if err != nil || got != c.want {
			t.Errorf("%s: %v\n got %q\nwant %q", c.name, err, got, c.want)
		}
	}
	if _, _, err := write(t, WriterOptions{Columns: columns}, `{"x":{"S":"1"}}`); fault.KindOf(err) != fault.User || fault.PlaceOf(err).Path != "x" {
		t.Error(err)
	}
	for _, bad := range []WriterOptions{{Columns: []Column{{"a", ""}, {"a", ""}}}, {Columns: []Column{{"a", "int"}}}, {Columns: columns, Delimiter: 'x'}} {
		if _, _, err := write(t, bad, `{}`); fault.KindOf(err) != fault.User {
			t.Error(err)
		}
	}
	for _, bad := range []ReaderOptions{{Delimiter: '"'}, {Types: map[string]Spec{"a": "int"}}, {Default: "x"}, {Types: map[string]Spec{"c": Text}}} {
		if _, err := readAll(t, "a,b\n1,2\n", bad); fault.KindOf(err) != fault.User {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestLosses(t *testing.T) {
	_, w, err := write(t, WriterOptions{Columns: []Column{{"a", ""}, {"n", Number}, {"i", Infer}}, Drop: true},
		`{"a":{"N":"1"},"n":{"S":"x"},"i":{"N":"1"}}`, `{"a":{"N":"2"},"i":{"L":[]},"x":{"S":"1"}}`, `{"a":{"S":"s"}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{a N N becomes text 2 false} {i L L becomes text 1 false} {x S S is dropped 1 false}]`
	if got := fmt.Sprint(w.Losses()); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestSurvey(t *testing.T) {
	var a, b Survey
	for i, raw := range []string{`{"z":{"S":"x"},"n":{"N":"1"},"mix":{"S":"x"}}`, `{"n":{"NULL":true},"mix":{"N":"1"},"l":{"L":[]},"b":{"B":""}}`, `{"t":{"BOOL":true},"z":{"S":"y"}}`} {
		it := codectest.Make(codectest.Parse(raw))
		if i == 0 {
			a.Observe(it)
		} else {
			b.Observe(it)
		}
	}
	a.Merge(&b)
	if got, want := fmt.Sprint(a.Columns("z", "nowhere")), "[{z S} {b B} {l json} {mix json} {n N} {t BOOL}]"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestAgainstStandardLibrary: encoding/csv reads what we write, and we read what it writes, record by record.
func TestAgainstStandardLibrary(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var records [][]string
		columns := 2 + r.IntN(4)
		header := make([]string, columns)
		for i := range header {
			header[i] = fmt.Sprint("c", i)
		}
		for range r.IntN(20) {
			record := make([]string, columns)
			for i := range record {
				for range r.IntN(6) {
					record[i] += string([]rune("ab,;\"\n\té '=")[r.IntN(11)])
				}
			}
			records = append(records, record)
		}
		var theirs bytes.Buffer
		sw := stdcsv.NewWriter(&theirs)
		sw.WriteAll(append([][]string{header}, records...))
		got, err := readAll(t, theirs.String(), ReaderOptions{})
		if err != nil || len(got) != len(records) {
			t.Fatalf("seed %d: %d of %d records, %v", seed, len(got), len(records), err)
		}
		var raws []string
		for i, record := range records {
			members := map[string]item.Value{}
			for k, cell := range record {
				if cell != "" {
					members[header[k]] = item.Value{Type: item.S, Str: cell}
				}
			}
			raws = append(raws, codectest.Canonical(members))
			if got[i] != raws[i] {
				t.Fatalf("seed %d: %s instead of %s", seed, got[i], raws[i])
			}
		}
		var cs []Column
		for _, name := range header {
			cs = append(cs, Column{name, Text})
		}
		ours, _, err := write(t, WriterOptions{Columns: cs}, raws...)
		if err != nil {
			t.Fatal(err)
		}
		back, err := stdcsv.NewReader(strings.NewReader(ours)).ReadAll()
		if err != nil || fmt.Sprintf("%q", back) != fmt.Sprintf("%q", append([][]string{header}, records...)) {
			t.Fatalf("seed %d: %q, %v", seed, back, err)
		}
	}
}

// TestLongRecords: a record above the bound is rejected, and reading goes on, whatever quotes it has.
func TestLongRecords(t *testing.T) {
	for _, long := range []string{strings.Repeat("x", 500_000), `"` + strings.Repeat("x", 500_000) + `"`, `"` + strings.Repeat("x,", 500_000)} {
		rejects := 0
		got, err := readAll(t, "a,b\n1,2\n"+long+",y\n3,4\n", ReaderOptions{RecordBytesMax: 1000, Rejects: func(r codec.Reject) error {
			rejects++
			if r.Place.Line != 3 || len(r.Raw) > 1000 || fault.KindOf(r.Err) != fault.Limit {
				t.Errorf("%d raw bytes, %v", len(r.Raw), r.Err)
			}
			return nil
		}})
		if err != nil || len(got) != 2 || rejects != 1 {
			t.Errorf("%d items, %d rejects, %v", len(got), rejects, err)
		}
	}
}

// FuzzReader: no input makes the reader panic, and what it reads survives writing and reading again.
func FuzzReader(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s.Input), byte(0))
	}
	f.Add([]byte("a,b\n1,\"{\"\"N\"\":\"\"1\"\"}\"\n"), byte(1))
	f.Fuzz(func(t *testing.T, data []byte, mode byte) {
		opts := ReaderOptions{QuotedIsText: mode&1 > 0, FormulaSafe: mode&2 > 0, Default: Specs()[int(mode>>3)%len(Specs())], BatchBytes: 100,
			RecordBytesMax: 1 << 12, Rejects: func(codec.Reject) error { return nil }}
		if mode&4 > 0 {
			opts.Delimiter = ';'
		}
		var want []string
		var items []item.Item
		r := NewReader(bytes.NewReader(data), opts)
		for b := (&item.Batch{}); r.Read(b) == nil; {
			for i := range b.Rows {
				items = append(items, b.Item(i).Clone())
				want = append(want, string(item.AppendCanonical(nil, b.Item(i))))
			}
		}
		columns := survey(items)
		out, _, err := write(t, WriterOptions{Columns: columns, FormulaSafe: mode&2 > 0}, want...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(t, out, ReaderOptions{Types: TypesOf(columns), Default: JSON, QuotedIsText: true, FormulaSafe: mode&2 > 0})
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || !utf8.ValidString(out) {
			t.Fatalf("%v\n got %q\nwant %q\nfile %q", err, got, want, out)
		}
	})
}

func benchFile(b *testing.B) (string, []Column) {
	var raws []string
	var items []item.Item
	for i := range uint64(2000) {
		raw := string(itemtest.AppendOrder(nil, 1, i))
		raws = append(raws, raw)
		items = append(items, codectest.Make(codectest.Parse(raw)))
	}
	columns := survey(items)
	out, _, err := write(b, WriterOptions{Columns: columns}, raws...)
	if err != nil {
		b.Fatal(err)
	}
	return out, columns
}

func BenchmarkRead(b *testing.B) {
	data, columns := benchFile(b)
	batch := &item.Batch{}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(strings.NewReader(data), ReaderOptions{Types: TypesOf(columns)})
		for r.Read(batch) == nil {
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	data, columns := benchFile(b)
	batch := &item.Batch{}
	if err := NewReader(strings.NewReader(data), ReaderOptions{Types: TypesOf(columns), BatchBytes: 1 << 30}).Read(batch); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		w := NewWriter(io.Discard, WriterOptions{Columns: columns})
		w.Write(batch)
		w.Close()
	}
}
