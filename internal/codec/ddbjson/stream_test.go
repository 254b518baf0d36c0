package ddbjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// got is what a Reader yields, each item as line@offset canonical.
func got(t testing.TB, r *Reader) (all []string, err error) {
	t.Helper()
	b := &item.Batch{}
	for {
		if err := r.Read(b); err != nil {
			if b.Len() != 0 {
				t.Fatalf("%d items come with %v", b.Len(), err)
			}
			return all, err
		}
		checkTape(t, b)
		if b.Len() == 0 || cap(b.Src)-len(b.Src) < item.Slack {
			t.Fatalf("batch of %d items, %d bytes of slack", b.Len(), cap(b.Src)-len(b.Src))
		}
		for i, row := range b.Rows {
			it := b.Item(i)
			all = append(all, fmt.Sprintf("%d@%d %s", b.FirstLine+int64(row.Line), b.Offset+int64(it.Tape[0].Off), it.Raw()))
		}
	}
}

const sampleLines = "{\"Item\":{\"a\":{\"S\":\"1\"}}}\n" +
	"\n" +
	"  \t\r\n" +
	"{\"Item\":{\"a\":{\"S\":\"2\"}}}\r\n" +
	"{\"Item\":{\"a\":{\"S\":\"\xff\"}}}\n" +
	" { \"Item\" : {\"a\":{\"S\":\"3\"}} } \n" +
	"{\"Item\":{}}\n" +
	"not json\n" +
	"{\"Item\":{\"a\":{\"S\":\"4\"}},\"x\":1}\n" +
	"{\"Thing\":{\"a\":{\"S\":\"5\"}}}\n" +
	"{\"Item\":{\"a\":{\"S\":\"6\"}}}"

func TestReader(t *testing.T) {
	want := []string{`1@8 {"a":{"S":"1"}}`, `4@39 {"a":{"S":"2"}}`, `6@94 {"a":{"S":"3"}}`, `7@121 {}`, `11@199 {"a":{"S":"6"}}`}
	wantRefused := []string{"5@76 attribute a: invalid UTF-8", "8@125 unexpected 'n', want '{'",
		"9@157 attribute a: unexpected ',', want '}'", "10@166 the line's member is \"Thing\", want \"Item\""}
	for chunk := 1; chunk < 300; chunk++ {
		for _, source := range []io.Reader{strings.NewReader(sampleLines), iotest.OneByteReader(strings.NewReader(sampleLines)),
			iotest.DataErrReader(strings.NewReader(sampleLines))} {
			var refused []string
			r := NewReader(source, ReaderOptions{ChunkBytes: chunk, Rejects: func(r codec.Reject) error {
				refused = append(refused, fmt.Sprintf("%d@%d %v", r.Place.Line, r.Place.Offset, r.Err))
				return nil
			}})
			all, err := got(t, r)
			if err != io.EOF || fmt.Sprint(all) != fmt.Sprint(want) || fmt.Sprint(refused) != fmt.Sprint(wantRefused) {
				t.Fatalf("chunks of %d: %v\n got %q\nwant %q\n got %q\nwant %q", chunk, err, all, want, refused, wantRefused)
			}
			if _, err := got(t, r); err != io.EOF {
				t.Fatalf("after the end: %v", err)
			}
		}
	}
}

func TestReaderWithoutRejects(t *testing.T) {
	all, err := got(t, NewReader(strings.NewReader(sampleLines), ReaderOptions{ChunkBytes: 32}))
	place := fault.PlaceOf(err)
	if len(all) != 2 || fault.KindOf(err) != fault.Corrupt || place.Line != 5 || place.Offset != 76 || place.Path != "a" {
		t.Fatalf("%d items, then %v", len(all), err)
	}
}

func TestReaderStopsWithItsRejects(t *testing.T) {
	stop := errors.New("enough")
	_, err := got(t, NewReader(strings.NewReader(sampleLines), ReaderOptions{Rejects: func(codec.Reject) error { return stop }}))
	if err != stop {
		t.Fatal(err)
	}
}

func TestReaderBare(t *testing.T) {
	var lines []byte
	for i := range uint64(500) {
		lines = append(itemtest.AppendArbitrary(lines, 5, i, true), '\n')
	}
	all, err := got(t, NewReader(bytes.NewReader(lines), ReaderOptions{Shape: Bare, ChunkBytes: 1000}))
	if err != io.EOF || len(all) != 500 {
		t.Fatalf("%d items, %v", len(all), err)
	}
}

func TestReaderLongLines(t *testing.T) {
	long := `{"Item":{"a":{"S":"` + strings.Repeat("x", 1000) + `"}}}`
	short := `{"Item":{"a":{"S":"y"}}}`
	for chunk := 10; chunk < 3000; chunk += 7 {
		var refused []string
		source := strings.NewReader(short + "\n" + long + "\n" + short + "\n" + long)
		r := NewReader(source, ReaderOptions{ChunkBytes: chunk, LineMax: 900, Rejects: func(r codec.Reject) error {
			refused = append(refused, fmt.Sprintf("%d@%d %s", r.Place.Line, r.Place.Offset, fault.KindOf(r.Err)))
			return nil
		}})
		all, err := got(t, r)
		if err != io.EOF || fmt.Sprint(all) != `[1@8 {"a":{"S":"y"}} 3@1057 {"a":{"S":"y"}}]` ||
			fmt.Sprint(refused) != "[2@25 limit 4@1074 limit]" {
			t.Fatalf("chunks of %d: %v %q %q", chunk, err, all, refused)
		}
	}
}

// A stream that breaks off gives the whole lines before, then its error with the place.
func TestReaderBrokenStream(t *testing.T) {
	broken := errors.New("connection lost")
	source := io.MultiReader(strings.NewReader(sampleLines[:60]), iotest.ErrReader(broken))
	all, err := got(t, NewReader(source, ReaderOptions{}))
	if len(all) != 2 || !errors.Is(err, broken) || fault.PlaceOf(err).Offset != 60 {
		t.Fatalf("%d items, then %v", len(all), err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestReaderStuck(t *testing.T) {
	if _, err := got(t, NewReader(stuck{}, ReaderOptions{})); !errors.Is(err, io.ErrNoProgress) {
		t.Fatal(err)
	}
}

// What a Writer writes a Reader reads: the same bytes when they were compact, the same items always.
func TestWriterRoundTrip(t *testing.T) {
	for _, shape := range []Shape{Wrapped, Bare} {
		var src []byte
		for i := range uint64(2000) {
			src = itemtest.AppendMixed(src, 9, i)
			src = append(src, '\n')
		}
		for _, h := range itemtest.Hostile() {
			src = append(append(src, h.Raw...), '\n')
		}
		b, refused := lines(t, &Parser{}, Bare, src)
		if len(refused) > 0 {
			t.Fatal(refused[0].Err)
		}
		var out bytes.Buffer
		w := NewWriter(&out, WriterOptions{Shape: shape})
		if err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		text := out.Bytes()
		if shape == Wrapped {
			text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("{\"Item\":{\"pk"), []byte("{\"pk")), []byte("}\n"), []byte("\n"))
		}
		if !bytes.Equal(text, src) {
			t.Fatalf("shape %d: written lines differ from what was read", shape)
		}
	}
}

func TestWriterCompacts(t *testing.T) {
	for i := range uint64(2000) {
		raw := itemtest.AppendArbitrary(nil, 11, i, false)
		b := &item.Batch{Src: item.WithSlack(raw)}
		if err := Parse(b, 0); err != nil {
			t.Fatal(err)
		}
		line := AppendLine(nil, b.Item(0), Wrapped)
		if bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("more than one line: %q", line)
		}
		back, refused := lines(t, &Parser{}, Wrapped, line)
		if len(refused) > 0 || back.Len() != 1 || !item.Equal(back.Item(0), b.Item(0)) || !item.IsCompact(back.Item(0)) {
			t.Fatalf("%q\nbecame %q", raw, line)
		}
	}
}

type failing struct{ after int }

func (f *failing) Write(b []byte) (int, error) {
	if f.after -= len(b); f.after < 0 {
		return 0, errors.New("disk full")
	}
	return len(b), nil
}

func TestWriterKeepsItsError(t *testing.T) {
	b, _ := lines(t, &Parser{}, Wrapped, itemtest.OrderLines(nil, 1, 0, 500))
	w := NewWriter(&failing{100_000}, WriterOptions{})
	err := w.Write(b)
	if err == nil || w.Write(b) == nil || w.Close() == nil {
		t.Fatal("an error was lost")
	}
}

func TestParsePage(t *testing.T) {
	items := []string{`{"a":{"S":"1"}}`, `{ "a" : {"S":"2"}, "b":{"L":[]}}`, `{}`, `{"a":{"N":"-0.50"}}`}
	body := `{"Count":4,"Unknown":[{"x":[1,2.5e3,"\u0041",null,true,{}]},[]],"Items":[` + strings.Join(items, " , ") +
		`],"ScannedCount":17,"LastEvaluatedKey":{"a":{"S":"2"}},` +
		`"ConsumedCapacity":{"TableName":"T","CapacityUnits":12.5,"Table":{"CapacityUnits":99}}}`
	for _, spaced := range []string{body, strings.ReplaceAll(body, ",\"", "\n , \"") + "\n"} {
		b := &item.Batch{Src: item.WithSlack([]byte(spaced))}
		page, err := ParsePage(b)
		if err != nil {
			t.Fatal(err)
		}
		checkTape(t, b)
		if page.Count != 4 || page.Scanned != 17 || page.Units != 12.5 || string(page.Last) != `{"a":{"S":"2"}}` || page.Unprocessed != nil {
			t.Errorf("%+v", page)
		}
		if b.Len() != 4 || string(b.Item(3).Raw()) != items[3] || b.Rows[3].Line != 3 {
			t.Errorf("rows %+v", b.Rows)
		}
	}
}

func TestParsePageOthers(t *testing.T) {
	for _, c := range []struct {
		body string
		rows int
		page Page
	}{
		{`{}`, 0, Page{Count: -1, Scanned: -1}},
		{`{"Items":[],"Count":0,"ScannedCount":0,"LastEvaluatedKey":null}`, 0, Page{}},
		{`{"Item":{"a":{"S":"x"}}}`, 1, Page{Count: -1, Scanned: -1}},
		{`{"Responses":{"T":[{"a":{"S":"x"}},{"a":{"S":"y"}}],"U":[{"b":{"S":"x"}}]},"UnprocessedKeys":{},
		  "ConsumedCapacity":[{"TableName":"T","CapacityUnits":1},{"TableName":"U","CapacityUnits":0.5}]}`, 3,
			Page{Count: -1, Scanned: -1, Units: 1.5}},
		{`{"Responses":{},"UnprocessedKeys":{"T":{"Keys":[]}}}`, 0, Page{Count: -1, Scanned: -1, Unprocessed: []byte(`{"T":{"Keys":[]}}`)}},
	} {
		b := &item.Batch{Src: item.WithSlack([]byte(c.body))}
		page, err := ParsePage(b)
		if err != nil || b.Len() != c.rows || fmt.Sprintf("%+v", page) != fmt.Sprintf("%+v", c.page) {
			t.Errorf("%s: %d rows, %+v, %v", c.body, b.Len(), page, err)
		}
	}
}

func TestParsePageRefuses(t *testing.T) {
	for _, body := range []string{``, `[]`, `{"Items":{}}`, `{"Items":[{"a":{"S":"x"}},]}`, `{"Items":[{"a":"x"}]}`, `{"Count":"1"}`, `{"Count":-1}`,
		`{"Count":1.5}`, `{"Count":1,"Count":1}`, `{"Items":[]`, `{"Items":[]} x`, `{"X":01}`, `{"X":tru}`, `{"X":"` + "\xff" + `"}`,
		`{"X":` + strings.Repeat("[", 100_000), `{"X":` + strings.Repeat(`{"a":`, 100_000), `{"X":1.}`, `{"X":-}`, `{"X":1e}`,
		`{"Items":[{"a":{"S":"x"}},{"a":{"S":"y"},"a":{"S":"z"}}]}`, `{"ConsumedCapacity":{"CapacityUnits":"x"}}`} {
		b := &item.Batch{Src: item.WithSlack([]byte(body))}
		if _, err := ParsePage(b); fault.KindOf(err) != fault.Corrupt || b.Len() != 0 || len(b.Tape) != 0 {
			t.Errorf("%.80s: %v, %d rows", body, err, b.Len())
		}
	}
	b := &item.Batch{Src: item.WithSlack([]byte(`{"Items":[{"a":{"S":"x"}},{"a":{"L":[{"N":"1"},{"N":"x"}]}}]}`))}
	_, err := ParsePage(b)
	if place := fault.PlaceOf(err); place.Path != "a[1]" || place.Offset != 53 {
		t.Errorf("%v: %+v", err, place)
	}
}

// Maps whose keys are data, and more of everything than the automaton keeps, change speed and nothing else.
func TestMoreThanIsLearnt(t *testing.T) {
	p := &Parser{}
	var chunk []byte
	for i := range 6000 {
		chunk = fmt.Appendf(chunk, `{"id":{"N":"%d"},"data":{"M":{"k%d":{"M":{"x":{"S":"y"},"z%d":{"L":[{"M":{"q":{"SS":["a"]}}}]}}},"k%d":{"N":"1"}}},"t":{"S":"%d"}}`,
			i, i, i%700, i+1, i)
		chunk = append(chunk, '\n')
	}
	chunk = append(chunk, `{"data":{"M":{"k7000":{"N":"1"},"k7000":{"N":"1"}}}}`+"\n"...)
	chunk = append(chunk, `{"data":{"M":{"k8000":{"N":"1"},"k9":{"N":"1"},"k8000":{"N":"1"}}}}`+"\n"...)
	b, refused := lines(t, p, Bare, chunk)
	if b.Len() != 6000 || len(refused) != 2 {
		t.Fatalf("%d items, %d refused", b.Len(), len(refused))
	}
	for i := range b.Rows {
		slow := &item.Batch{Src: item.WithSlack(b.Item(i).Raw())}
		if err := Parse(slow, 0); err != nil || len(slow.Tape) != len(b.Item(i).Tape) {
			t.Fatalf("item %d: %v, %d tokens", i, err, len(slow.Tape))
		}
	}
	if a := p.automaton(Bare); a.nodes > nodesMax || a.learnt > learntMax {
		t.Fatalf("learnt %d nodes, %d transitions", a.nodes, a.learnt)
	}
}

// What is usual must not need the checked parser: that would be right, and slow.
func TestAutomatonTakesWhatIsUsual(t *testing.T) {
	deep := func(levels int) string {
		return `{"pk":{"S":"k"},"d":` + strings.Repeat(`{"M":{"n":`, levels-1) + `{"L":[]}` + strings.Repeat(`}}`, levels-1) + `}`
	}
	p := &Parser{}
	a := p.automaton(Bare)
	for range 2 {
		for _, c := range []struct {
			raw   string
			taken bool
		}{
			{string(itemtest.AppendOrder(nil, 1, 1)), true}, {string(itemtest.AppendMixed(nil, 1, 1)), true}, {string(itemtest.AppendMixed(nil, 1, 2)), true},
			{`{"ключ":{"S":"значение"},"s":{"S":"a\n\u0041"},"n":{"N":"1E5"},"b":{"B":"AQ=="},"e":{"M":{}},"f":{"SS":[]},"x":{"NULL":true}}`, true},
			{deep(4), true}, {deep(20), true}, {deep(item.NestingMax), true}, {deep(item.NestingMax + 1), false},
			{`{"a" : {"S":"x"}}`, false}, {`{"a":{"S":"x"},"a":{"S":"x"}}`, false}, {`{"\u0061":{"S":"x"}}`, false}, {`{"a":{"S":"x"}`, false},
		} {
			b := &item.Batch{Src: item.WithSlack([]byte(c.raw))}
			end := a.begin(b)
			at, taken := a.item(0)
			end()
			if taken != c.taken || taken && int(at) != len(c.raw) {
				t.Errorf("%.100s: taken %v up to %d of %d", c.raw, taken, at, len(c.raw))
			}
		}
	}
}

// After its first lines a stream of one shape is parsed without the structural parser, and without a single allocation.
func TestSteadyState(t *testing.T) {
	p := &Parser{}
	b := &item.Batch{Src: item.WithSlack(itemtest.OrderLines(nil, 1, 0, 1000))}
	round := func() {
		b.Tape, b.Rows = b.Tape[:0], b.Rows[:0]
		if _, _, err := p.ParseLines(b, Wrapped, true, nil); err != nil || b.Len() != 1000 {
			t.Fatal(err)
		}
	}
	round()
	learnt := p.automaton(Wrapped).learnt
	if allocs := testing.AllocsPerRun(10, round); allocs > 2 {
		t.Errorf("%v allocations a chunk", allocs)
	}
	if more := p.automaton(Wrapped).learnt; more != learnt || learnt > 100 {
		t.Errorf("learnt %d transitions, then %d", learnt, more)
	}
}
