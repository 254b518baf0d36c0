package parquet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"pgregory.net/rapid"

	"dynaferry/internal/column"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// TestLibraryReadsOurPages compares every value that parquet-go reads with what went in.
func TestLibraryReadsOurPages(t *testing.T) {
	s, rows := modelSchema(), modelRows(5, 2500)
	for _, o := range []Options{{}, {Compression: Snappy, PageBytes: 300}, {Compression: Gzip, RowGroupRows: 700},
		{Compression: None}, {Level: 3}} {
		data, m := writeData(t, o, slabs(s, rows, 400)...)
		file := finishFile(t, data, m, s)
		f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		want := shred(s, rows)
		for leaf := range want.Vectors {
			if got, want := libraryValues(t, f, leaf), vectorValues(&want.Vectors[leaf]); !slices.Equal(got, want) {
				t.Fatalf("%+v leaf %v: %d and %d values differ", o, s.Leaves()[leaf].Path, len(got), len(want))
			}
		}
	}
}

func libraryValues(t tester, f *parquet.File, leaf int) []string {
	var out []string
	for _, g := range f.RowGroups() {
		pages := g.ColumnChunks()[leaf].Pages()
		for {
			page, err := pages.ReadPage()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			values := make([]parquet.Value, page.NumValues())
			if n, err := page.Values().ReadValues(values); n != len(values) || err != nil && err != io.EOF {
				t.Fatal(n, err)
			}
			for _, v := range values {
				text := fmt.Sprintf("%x", v.Bytes())
				if v.Kind() == parquet.ByteArray || v.Kind() == parquet.FixedLenByteArray {
					text = fmt.Sprintf("%x", v.ByteArray())
				} else {
					text = v.String()
				}
				if v.IsNull() {
					text = "null"
				}
				out = append(out, fmt.Sprintf("%d %d %s", v.RepetitionLevel(), v.DefinitionLevel(), text))
			}
		}
		pages.Close()
	}
	return out
}

func vectorValues(v *column.Vector) []string {
	var out []string
	next := 0
	for i := range v.Slots {
		rep, def := uint8(0), v.Leaf.MaxDef
		if v.Rep != nil {
			rep = v.Rep[i]
		}
		if v.Def != nil {
			def = v.Def[i]
		}
		text := "null"
		if def == v.Leaf.MaxDef {
			switch storageOf(v.Leaf.Field.Kind) {
			case asLong, asDate:
				text = fmt.Sprint(v.Longs[next])
			case asDouble:
				text = parquet.ValueOf(v.Doubles[next]).String()
			case asBool:
				text = fmt.Sprint(v.Bools[next])
			default:
				text = fmt.Sprintf("%x", textOf(v, next))
			}
			next++
		}
		out = append(out, fmt.Sprintf("%d %d %s", rep, def, text))
	}
	return out
}

// TestSchemaGrows: leaves that appear in the middle of a row group are filled up with nulls, flat ones and nested ones
// (whose levels come from a sibling); a leaf of another kind begins a new row group.
func TestSchemaGrows(t *testing.T) {
	orders := func(members ...*column.Field) *column.Schema {
		return &column.Schema{Extra: "_extra", Fields: []*column.Field{fld("pk", column.String, item.S), listOf("orders",
			item.L, structOf("", members...))}}
	}
	first := orders(fld("sku", column.String, item.S))
	second := orders(fld("sku", column.String, item.S), fld("qty", column.Long, item.N), listOf("codes", item.L,
		fld("", column.Long, item.N)))
	second.Fields = append(second.Fields, fld("flag", column.Bool, item.BOOL))
	third := orders(fld("sku", column.String, item.S), decimalField("qty", column.Decimal18, 1), listOf("codes",
		item.L, fld("", column.Long, item.N)))
	third.Fields = append(third.Fields, fld("flag", column.Bool, item.BOOL))

	full := modelRows(9, 300)
	for _, r := range full {
		delete(r, "*extra")
	}
	cutTo := func(r row, members ...string) row {
		out := row{"pk": r["pk"]}
		list, ok := r["orders"].([]any)
		if !ok {
			return out
		}
		short := make([]any, len(list))
		for i, o := range list {
			if m, ok := o.(map[string]any); ok {
				c := map[string]any{}
				for _, name := range members {
					if v, ok := m[name]; ok {
						c[name] = v
					}
				}
				short[i] = c
			}
		}
		out["orders"] = short
		return out
	}
	var rows []row
	for i, r := range full {
		if i < 100 {
			rows = append(rows, cutTo(r, "sku"))
		} else {
			rows = append(rows, cutTo(r, "sku", "qty", "codes"))
		}
	}
	data, m := writeData(t, Options{PageBytes: 200}, shred(first, rows[:50]), shred(first, rows[50:100]),
		shred(second, rows[100:200]), shred(third, rows[200:]))
	if len(m.Groups) != 2 || m.Groups[0].Rows != 200 || m.Groups[1].Rows != 100 || m.Schemas[0] != second {
		t.Fatalf("row groups %d, %d rows in the first", len(m.Groups), m.Groups[0].Rows)
	}
	if Settled(m, second) || Settled(m, third) {
		t.Error("a file of two kinds is settled for neither")
	}
	// The first row group alone reads as if its schema had been known from the start.
	m.Groups, m.Rows = m.Groups[:1], 200
	file := finishFile(t, data, m, second)
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	want := shred(second, rows[:200])
	for leaf := range want.Vectors {
		if got, want := libraryValues(t, f, leaf), vectorValues(&want.Vectors[leaf]); !slices.Equal(got, want) {
			t.Errorf("leaf %v:\n got %v\nwant %v", second.Leaves()[leaf].Path, got, want)
		}
	}
}

// TestFooterAddsColumns: what a task never saw stands in the file as nulls at the right depth, in the order and under
// the names of the footer's schema.
func TestFooterAddsColumns(t *testing.T) {
	s, rows := modelSchema(), modelRows(11, 900)
	data, m := writeData(t, Options{RowGroupRows: 300, PageBytes: 500, Bloom: []string{"pk"}}, slabs(s, rows, 100)...)
	wide := widened()
	need, err := NeedLevels(m, wide)
	if err != nil || len(need) == 0 || !Settled(m, wide) {
		t.Fatal(need, err)
	}
	// Only what NeedLevels names may be read.
	tail, err := Footer(m, wide, FooterOptions{Staged: onlyRanges{data, need}})
	if err != nil {
		t.Fatal(err)
	}
	file := append(bytes.Clone(data), tail...)
	if err := Verify(bytes.NewReader(file), int64(len(file)), m); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	want := shred(wide, rows)
	for leaf := range want.Vectors {
		if got, want := libraryValues(t, f, leaf), vectorValues(&want.Vectors[leaf]); !slices.Equal(got, want) {
			t.Errorf("leaf %v differs", wide.Leaves()[leaf].Path)
		}
	}
	for _, g := range f.Metadata().RowGroups {
		first := g.Columns[0].MetaData
		if at := chunkStart(&first) + g.TotalCompressedSize/2; at >= int64(len(file)) {
			t.Errorf("row group %d is given to byte %d of %d by parquet-java", g.Ordinal, at, len(file))
		}
	}
	again, err := Footer(m, wide, FooterOptions{Staged: bytes.NewReader(data)})
	if err != nil || !bytes.Equal(again, tail) {
		t.Error("the same footer has other bytes")
	}
}

// widened is modelSchema with columns added at all depths, in reverse order and under other names.
func widened() *column.Schema {
	wide := modelSchema()
	orders, home := wide.Fields[11].Elem, wide.Fields[12]
	orders.Fields = append([]*column.Field{fld("note", column.String, item.S), listOf("deep", item.L, fld("",
		column.Bool, item.BOOL))}, orders.Fields...)
	home.Fields = append(home.Fields, structOf("geo", fld("x", column.Double, item.N)))
	wide.Fields = append(wide.Fields, fld("new", column.Long, item.N), listOf("news", item.L, fld("", column.String,
		item.S)))
	slices.Reverse(wide.Fields)
	for _, f := range wide.Fields {
		f.Name = "N_" + f.Name
	}
	return wide
}

type onlyRanges struct {
	data []byte
	may  []Range
}

func (o onlyRanges) ReadAt(p []byte, at int64) (int, error) {
	for _, r := range o.may {
		if at >= r.Offset && at+int64(len(p)) <= r.Offset+r.Bytes {
			return copy(p, o.data[at:]), nil
		}
	}
	return 0, fmt.Errorf("read of [%d, %d) was not announced", at, at+int64(len(p)))
}

// TestStatistics holds bounds and null counts of pages and chunks against the values, through the library's view.
func TestStatistics(t *testing.T) {
	long := func(fill string) string { return strings.Repeat(fill, 40) }
	s := &column.Schema{Extra: "_extra", Fields: []*column.Field{
		fld("s", column.String, item.S), fld("n", column.Long, item.N), decimalField("d", column.Decimal38, 2), fld("x",
			column.Double, item.N),
		fld("b", column.Binary, item.B)}}
	rows := []row{
		{"s": long("né"), "n": int64(-5), "d": big.NewInt(-7), "x": 0.0, "b": strings.Repeat("\xff", 70)},
		{"s": "z", "n": int64(3), "d": big.NewInt(300), "x": -1.5},
		{"s": long("\U0010FFFF"), "n": int64(1 << 60)},
	}
	data, m := writeData(t, Options{}, shred(s, rows))
	chunk := func(i int) Bounds { return m.Groups[0].Chunks[i].Bounds }
	if b := chunk(0); b.MinExact || string(b.Min) != long("né")[:64] || !b.MaxExact ||
		string(b.Max) != long("\U0010FFFF") {
		t.Errorf("text bounds %q %q", b.Min, b.Max)
	}
	if b := chunk(2); !signedLess(b.Min, b.Max) || b.Min[15] != 0xF9 {
		t.Errorf("decimal bounds %x %x", b.Min, b.Max)
	}
	if b := chunk(4); len(b.Max) != 70 || b.MinExact || len(b.Min) != 64 {
		t.Errorf("a maximum of bytes 0xFF cannot be cut: %x %x", b.Min, b.Max)
	}
	for value, want := range map[string]string{"ab\xff": "ac", "\xff\xff": "", "a": "b"} {
		if got := raise([]byte(value), false); string(got) != want {
			t.Errorf("raise %q is %q", value, got)
		}
	}
	for value, want := range map[string]string{"a\U0010FFFF": "b", "\uD7FF": "\uE000", "é": "ê", "\x7f": "\u0080",
		"\uFFFC": "\uFFFD", "\uFFFD": "\uFFFE", long("€")[:63]: long("€")[:60] + "₭"} {
		if got := raise([]byte(value), true); string(got) != want {
			t.Errorf("raise %q is %q", value, got)
		}
	}
	file := finishFile(t, data, m, s)
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	low, high, ok := f.RowGroups()[0].ColumnChunks()[1].(*parquet.FileColumnChunk).Bounds()
	if !ok || low.Int64() != -5 || high.Int64() != 1<<60 {
		t.Errorf("library sees bounds %v %v", low, high)
	}
	if got := f.Metadata().RowGroups[0].Columns[3].MetaData.Statistics.NullCount; got != 1 {
		t.Errorf("null count %d", got)
	}
	index := f.ColumnIndexes()
	if len(index) != 6 || index[1].NullCounts[0] != 0 || index[5].NullPages[0] != true {
		t.Errorf("column index %+v", index)
	}
}

// TestHeldIsBounded: a writer of a thousand columns and large values ends its row groups by the memory it holds.
func TestHeldIsBounded(t *testing.T) {
	s := &column.Schema{Extra: "_extra"}
	for i := range 1000 {
		s.Fields = append(s.Fields, fld(fmt.Sprint("c", i), column.String, item.S))
	}
	r := row{}
	for i := range 1000 {
		r[fmt.Sprint("c", i)] = strings.Repeat("x", i%300)
	}
	rows := slices.Repeat([]row{r}, 20)
	slab := shred(s, rows)
	const limit = 24 << 20
	w := NewWriter(io.Discard, Options{HeldBytes: limit, Compression: None})
	high := int64(0)
	for range 40 {
		if err := w.Write(slab); err != nil {
			t.Fatal(err)
		}
		high = max(high, w.Held())
	}
	m, err := w.Close()
	if err != nil || m.Rows != 800 {
		t.Fatal(err)
	}
	if high > limit+8<<20 {
		t.Errorf("writer held %d bytes", high)
	}
}

// TestPagesShareMemory: a leaf has pages of the usual size beside two hundred that hold next to nothing, and small ones
// beside two hundred full ones.
func TestPagesShareMemory(t *testing.T) {
	const leaves, rows, each = 200, 200, 2000
	s := &column.Schema{Extra: "_extra"}
	for i := range leaves {
		s.Fields = append(s.Fields, fld(fmt.Sprint("c", i), column.String, item.S))
	}
	for _, full := range []int{1, leaves} {
		w := NewWriter(io.Discard, Options{Compression: None, HeldBytes: 1 << 30, RowGroupBytes: 1 << 30})
		high := 0
		for from := 0; from < rows; from += 20 {
			slab := make([]row, 20)
			for i := range slab {
				slab[i] = row{}
				for c := range full {
					slab[i][fmt.Sprint("c", c)] = fmt.Sprint(from+i) + strings.Repeat("x", each)
				}
			}
			if err := w.Write(shred(s, slab)); err != nil {
				t.Fatal(err)
			}
			open := 0
			for _, c := range w.chunks {
				open += c.openBytes()
			}
			high = max(high, open)
		}
		m, err := w.Close()
		if err != nil {
			t.Fatal(err)
		}
		pages := len(m.Groups[0].Chunks[0].Pages)
		if usual := rows*each/PageBytesDefault + 1; full == 1 && pages != usual || full == leaves && pages < 3*usual || high > openBytes {
			t.Errorf("%d full leaves: %d pages in one, %d bytes open", full, pages, high)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	for _, o := range []Options{{Compression: "lzo"}, {Level: 9}, {Compression: Gzip, Level: 10}} {
		if _, err := NewWriter(io.Discard, o).Close(); fault.KindOf(err) != fault.User {
			t.Errorf("%+v gives %v", o, err)
		}
	}
	w := NewWriter(io.Discard, Options{})
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err == nil {
		t.Error("a second Close passes")
	}
	if err := w.Write(shred(modelSchema(), modelRows(1, 1))); err == nil {
		t.Error("Write after Close passes")
	}
}

// TestDelta holds the delta encoder and decoder against the library's.
func TestDelta(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.Int64Range(-1000, 1000)
		v := rapid.SliceOfN(rapid.OneOf(small, rapid.Int64()), 1, 700).Draw(t, "values")
		ours := appendDelta(nil, v)
		theirs, err := (&delta.BinaryPackedEncoding{}).DecodeInt64(nil, ours)
		if err != nil || !slices.Equal(theirs, v) {
			t.Fatalf("library reads %v, %v", theirs, err)
		}
		encoded, err := (&delta.BinaryPackedEncoding{}).EncodeInt64(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range [][]byte{ours, encoded} {
			d, ok := newDeltaDecoder(append(slices.Clone(in), "rest"...))
			if rest, fine := d.rest(); !ok || !fine || string(rest) != "rest" {
				t.Fatalf("rest is %q", rest)
			}
			got := make([]int64, len(v))
			for i := 0; i < len(got); {
				n := d.read(got[i:min(len(got), i+rapid.IntRange(1, 300).Draw(t, "step"))])
				if n == 0 {
					t.Fatalf("ends after %d of %d", i, len(got))
				}
				i += n
			}
			if !slices.Equal(got, v) {
				t.Fatalf("got %v", got)
			}
		}
	})
}

// TestHybrid holds the hybrid encoder and decoder against the library's, with runs and noise.
func TestHybrid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 8).Draw(t, "width")
		var v []byte
		var e hybridEncoder
		e.reset(uint(width))
		for range rapid.IntRange(1, 12).Draw(t, "parts") {
			if x := byte(rapid.IntRange(0, 1<<width-1).Draw(t, "value")); rapid.Bool().Draw(t, "run") {
				n := rapid.IntRange(1, 900).Draw(t, "n")
				e.run(uint32(x), n)
				v = append(v, bytes.Repeat([]byte{x}, n)...)
			} else if rapid.Bool().Draw(t, "stretches") {
				var part []byte
				for _, n := range rapid.SliceOfN(rapid.IntRange(1, 3*runMin), 1, 9).Draw(t, "lengths") {
					part = append(part, bytes.Repeat([]byte{byte(rapid.IntRange(0, 1<<width-1).Draw(t, "value"))}, n)...)
				}
				e.levels(part)
				v = append(v, part...)
			} else {
				part := rapid.SliceOfN(rapid.ByteRange(0, byte(1<<width-1)), 0, 600).Draw(t, "part")
				e.levels(part)
				v = append(v, part...)
			}
		}
		out := e.finish()
		var got []uint32
		theirs, err := (&rle.Encoding{BitWidth: width}).DecodeLevels(nil, out)
		if err != nil || len(theirs) < len(v) || !bytes.Equal(theirs[:len(v)], v) {
			t.Fatalf("library reads %v, %v; want %v", theirs, err, v)
		}
		var wide hybridEncoder
		wide.reset(uint(width))
		for _, x := range v {
			got = append(got, uint32(x))
		}
		wide.values(got)
		if theirs, err := (&rle.Encoding{BitWidth: width}).DecodeLevels(nil, wide.finish()); err != nil ||
			len(theirs) < len(v) || !bytes.Equal(theirs[:len(v)], v) {
			t.Fatalf("library reads values %v, %v; want %v", theirs, err, v)
		}
		clear(got)
		d := newHybridDecoder(out, uint(width))
		if n := d.read(got); n != len(got) {
			t.Fatalf("ends after %d of %d", n, len(v))
		}
		for i := range v {
			if got[i] != uint32(v[i]) {
				t.Fatalf("value %d is %d, want %d", i, got[i], v[i])
			}
		}
	})
}

func TestRawZstd(t *testing.T) {
	for _, n := range []int{0, 1, 128 << 10, 128<<10 + 1, 300_000} {
		src := bytes.Repeat([]byte{7, 9}, n)[:n]
		out, err := (&expander{}).expand(nil, 6, appendRawZstd(nil, src), n)
		if err != nil || !bytes.Equal(out, src) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

// TestFooterGolden prints a whole footer as the library decodes it, so that a change of one field is a readable diff.
func TestFooterGolden(t *testing.T) {
	small := func() *column.Schema {
		return &column.Schema{Extra: "_extra", Fields: []*column.Field{
			fld("pk", column.String, item.S), decimalField("d", column.Decimal18, 2), listOf("tags", item.SS, fld("",
				column.String, item.S))}}
	}
	s, wide := small(), small()
	data, m := writeData(t, Options{Compression: None, Bloom: []string{"pk"}}, shred(s, modelRows(2, 4)))
	wide.Fields = append([]*column.Field{fld("first", column.Long, item.N)}, wide.Fields...)
	file := finishFile(t, data, m, wide)
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(f.Metadata(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "footer", string(text)+"\n")
}

// TestFileMetaRoundTrip: the durable form holds every field, and a flipped bit in it is found.
func TestFileMetaRoundTrip(t *testing.T) {
	s := modelSchema()
	data, m := writeData(t, Options{RowGroupRows: 100, PageBytes: 900, Bloom: []string{"pk", "n"}}, slabs(s,
		modelRows(2, 250), 50)...)
	raw, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	back := new(FileMeta)
	if err := back.UnmarshalBinary(raw); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m.Groups, back.Groups) || m.Rows != back.Rows || m.Size != back.Size || m.Codec != back.Codec {
		t.Error("metadata came back otherwise")
	}
	if !bytes.Equal(finishFile(t, data, m, s), finishFile(t, data, back, s)) {
		t.Error("metadata that came back make another footer")
	}
	for i := range raw {
		raw[i] ^= 1
		if err := new(FileMeta).UnmarshalBinary(raw); fault.KindOf(err) != fault.Corrupt &&
			fault.KindOf(err) != fault.Unsupported {
			t.Fatalf("byte %d: %v", i, err)
		}
		raw[i] ^= 1
	}
}
