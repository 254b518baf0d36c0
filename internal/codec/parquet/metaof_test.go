package parquet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"dynaferry/internal/column"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

var metaOptions = []Options{{}, {Compression: Snappy, PageBytes: 300, RowGroupRows: 130}, {Compression: Gzip, Bloom: []string{"pk", "n"}},
	{Compression: None, PageBytes: 200, RowGroupRows: 90, Bloom: []string{"pk"}}, {Level: 3, PageBytes: 700}}

// TestMetaOfIsTheFile: the end that Footer makes of what MetaOf reads is the end that was read, byte for byte.
func TestMetaOfIsTheFile(t *testing.T) {
	keyValue := map[string]string{"dynaferry.keys": `{"hash":{"name":"pk","type":"S"}}`, "a": ""}
	s, rows := modelSchema(), modelRows(21, 400)
	rows[7]["ratio"] = math.NaN() // a chunk without bounds, a page without an index
	for _, o := range metaOptions {
		data, m := writeData(t, o, slabs(s, rows, 100)...)
		tail, err := Footer(m, s, FooterOptions{KeyValue: keyValue, Version: "1.2.3"})
		if err != nil {
			t.Fatal(err)
		}
		file := slices.Concat(data, tail)
		back, found, err := MetaOf(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		if back.Size != m.Size || back.Rows != m.Rows || back.Codec != m.Codec || !maps.Equal(found, keyValue) {
			t.Errorf("%+v: %d bytes, %d rows of %s, %v", o, back.Size, back.Rows, back.Codec, found)
		}
		again, err := Footer(back, s, FooterOptions{KeyValue: found, Version: "1.2.3"})
		if err != nil || !bytes.Equal(again, tail) {
			t.Errorf("%+v: another end of %d bytes, not %d, %v", o, len(again), len(tail), err)
		}
		// A wider schema gets of both the same end, too.
		wide := widened()
		first, err1 := Footer(m, wide, FooterOptions{Staged: bytes.NewReader(data)})
		second, err2 := Footer(back, wide, FooterOptions{Staged: bytes.NewReader(file)})
		if err1 != nil || err2 != nil || !bytes.Equal(first, second) {
			t.Errorf("%+v: ends of a wider schema differ, %v, %v", o, err1, err2)
		}
	}
	_, m := writeData(t, Options{})
	file := finishFile(t, []byte(magic), m, s)
	if back, _, err := MetaOf(bytes.NewReader(file), int64(len(file))); err != nil || back.Size != 4 || back.Rows != 0 {
		t.Errorf("a file without rows: %+v, %v", back, err)
	}
}

// widenFile is what a job does to a file that lacks columns.
func widenFile(t tester, file []byte, s *column.Schema) []byte {
	t.Helper()
	watched := &readsOf{file: file}
	m, keyValue, err := MetaOf(watched, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if watched.lowest < m.Size {
		t.Fatalf("MetaOf read byte %d of the data, which ends at %d", watched.lowest, m.Size)
	}
	if watched.reads > 3 {
		t.Fatalf("MetaOf read %d times", watched.reads)
	}
	need, err := NeedLevels(m, s)
	if err != nil || !Fits(m, s) {
		t.Fatalf("the file does not fit, %v", err)
	}
	tail, err := Footer(m, s, FooterOptions{Staged: onlyRanges{file, need}, KeyValue: keyValue, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(file[:m.Size], tail)
}

type readsOf struct {
	file   []byte
	reads  int
	lowest int64
}

func (r *readsOf) ReadAt(p []byte, at int64) (int, error) {
	if r.reads++; r.reads == 1 || at < r.lowest {
		r.lowest = at
	}
	return bytes.NewReader(r.file).ReadAt(p, at)
}

// growing is the schema with members at the end of whatever holds members, and columns at its end.
func growing(s *column.Schema, draw func(n int) int, name string) *column.Schema {
	fresh := func() *column.Field {
		switch draw(4) {
		case 0:
			return listOf(name, item.L, structOf("", fld("a", column.String, item.S), listOf("b", item.NS, fld("", column.Long, item.N))))
		case 1:
			return structOf(name, fld("x", column.Double, item.N), fld("y", column.Bool, item.BOOL))
		case 2:
			return decimalField(name, column.Decimal38, 3)
		}
		return fld(name, column.Long, item.N)
	}
	var below func(f *column.Field) *column.Field
	below = func(f *column.Field) *column.Field {
		c := *f
		c.Fields = nil
		for _, member := range f.Fields {
			c.Fields = append(c.Fields, below(member))
		}
		if f.Elem != nil {
			c.Elem = below(f.Elem)
		}
		if f.Kind == column.Struct && draw(2) == 0 {
			c.Fields = append(c.Fields, fresh())
		}
		return &c
	}
	out := &column.Schema{Extra: s.Extra}
	for _, f := range s.Fields {
		out.Fields = append(out.Fields, below(f))
	}
	if draw(3) > 0 || len(out.Leaves()) == len(s.Leaves()) {
		out.Fields = append(out.Fields, fresh())
	}
	return out
}

// TestWidenFile lets files grow columns again and again, at all depths: each time the file holds what it would hold had
// its schema been the last one from the beginning, as the library reads it, and its items are the same.
func TestWidenFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		o := rapid.SampledFrom(metaOptions).Draw(t, "options")
		s, rows := modelSchema(), modelRows(seed, rapid.IntRange(1, 300).Draw(t, "rows"))
		for _, r := range rows {
			delete(r, "*extra")
		}
		data, m := writeData(t, o, slabs(s, rows, 70)...)
		file := finishFile(t, data, m, s)
		items, err := drain(file, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		filters := bloomBytes(t, file)
		random := rand.New(rand.NewPCG(seed, 1))
		for step := range rapid.IntRange(1, 4).Draw(t, "steps") {
			s = growing(s, random.IntN, fmt.Sprint("new", step))
			file = widenFile(t, file, s)
		}
		if !bytes.Equal(file[:len(data)], data) {
			t.Fatal("data were changed")
		}
		if again, err := drain(file, ReadOptions{}); err != nil || again != items {
			t.Fatalf("other items: %v", err)
		}
		f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		want := shred(s, rows)
		for leaf := range want.Vectors {
			if !slices.Equal(libraryValues(t, f, leaf), vectorValues(&want.Vectors[leaf])) {
				t.Fatalf("leaf %v differs", s.Leaves()[leaf].Path)
			}
		}
		for g, group := range f.Metadata().RowGroups {
			first := group.Columns[0].MetaData
			if at := chunkStart(&first) + group.TotalCompressedSize/2; at >= int64(len(file)) {
				t.Fatalf("row group %d is given to byte %d of %d by parquet-java", g, at, len(file))
			}
		}
		if again := bloomBytes(t, file); !maps.EqualFunc(again, filters, slices.Equal) {
			t.Fatal("bloom filters differ")
		}
		meta, _, err := MetaOf(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		if err := Verify(bytes.NewReader(file), int64(len(file)), meta); err != nil {
			t.Fatal(err)
		}
	})
}

// bloomBytes are the filters of a file by row group and column.
func bloomBytes(t tester, file []byte) map[string][]byte {
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	filters := map[string][]byte{}
	for g, group := range f.Metadata().RowGroups {
		for _, c := range group.Columns {
			if m := c.MetaData; m.BloomFilterLength > 0 {
				filters[fmt.Sprint(g, m.PathInSchema)] = file[m.BloomFilterOffset : m.BloomFilterOffset+int64(m.BloomFilterLength)]
			}
		}
	}
	return filters
}

// TestWidenedGolden prints the footer of a file that got columns twice, so that a change of one field is a readable diff.
func TestWidenedGolden(t *testing.T) {
	s := &column.Schema{Extra: "_extra", Fields: []*column.Field{fld("pk", column.String, item.S),
		listOf("orders", item.L, structOf("", fld("sku", column.String, item.S)))}}
	rows := []row{{"pk": "a", "orders": []any{map[string]any{"sku": "x"}, nil, map[string]any{}}}, {"pk": "b", "orders": []any{}}, {"pk": "c"}}
	data, m := writeData(t, Options{Compression: None, Bloom: []string{"pk"}}, shred(s, rows))
	tail, err := Footer(m, s, FooterOptions{KeyValue: map[string]string{"dynaferry.constants": `{"region":{"S":"eu"}}`}, Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	file := slices.Concat(data, tail)
	for _, name := range []string{"qty", "note"} {
		wide := *s
		orders := *s.Fields[1]
		orders.Elem = structOf("", append(slices.Clone(orders.Elem.Fields), fld(name, column.Long, item.N))...)
		orders.Elem.Name = s.Fields[1].Elem.Name
		wide.Fields = append([]*column.Field{s.Fields[0], &orders}, append(slices.Clone(s.Fields[2:]), fld("top"+name, column.Bool, item.BOOL))...)
		s = &wide
		file = widenFile(t, file, s)
	}
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(struct{ Footer, ColumnIndexes, OffsetIndexes any }{f.Metadata(), f.ColumnIndexes(), f.OffsetIndexes()}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "widened", string(text)+"\n")
}

// TestFits: what the data have must have its place in the schema; that values of a new column lie in _extra is no
// hindrance to a footer, and one to be settled.
func TestFits(t *testing.T) {
	s := modelSchema()
	_, m := writeData(t, Options{}, slabs(s, modelRows(1, 20), 20)...)
	wide := widened()
	lacks, other := modelSchema(), modelSchema()
	lacks.Fields = lacks.Fields[:5]
	other.Fields[1] = decimalField("n", column.Decimal18, 2)
	for name, c := range map[string]struct {
		to            *column.Schema
		fits, settled bool
	}{"the same": {s, true, true}, "wider": {wide, true, true}, "a column is gone": {lacks, false, false}, "another type": {other, false, false}} {
		if fits, settled := Fits(m, c.to), Settled(m, c.to); fits != c.fits || settled != c.settled {
			t.Errorf("%s: fits %v, settled %v", name, fits, settled)
		}
	}
	spilled := modelSchema()
	spilled.Spilled = true
	_, m = writeData(t, Options{}, slabs(spilled, modelRows(1, 20), 20)...)
	if !Fits(m, wide) || Settled(m, wide) {
		t.Error("a file with values of a new column in _extra fits, and is not settled")
	}
}

// TestMetaOfRefuses: damage of footer and indexes ends in an error of the right kind, or in a file with the same items.
func TestMetaOfRefuses(t *testing.T) {
	s := modelSchema()
	data, m := writeData(t, Options{RowGroupRows: 20, Compression: None, Bloom: []string{"pk"}}, slabs(s, modelRows(3, 40), 40)...)
	file := finishFile(t, data, m, s)
	step := 7 // of a few thousand bytes
	if os.Getenv("DYNAFERRY_LONG") != "" {
		step = 1
	}
	for i := len(data); i < len(file); i += step {
		file[i] ^= 0x11
		refused, err := widenDamaged(file)
		if kind := fault.KindOf(refused); err != nil || refused != nil && kind != fault.Corrupt && kind != fault.Unsupported && kind != fault.Limit {
			t.Fatalf("byte %d flipped: %v, %v", i, err, refused)
		}
		file[i] ^= 0x11
	}
	for n := len(data); n < len(file); n += 1 + n/100 {
		if _, _, err := MetaOf(bytes.NewReader(file[:n]), int64(n)); fault.KindOf(err) != fault.Corrupt {
			t.Fatalf("%d of %d bytes: %v", n, len(file), err)
		}
	}
	stranger := finishFile(t, data, m, s)
	at := bytes.LastIndex(stranger, []byte(SchemaKey))
	stranger[at] = 'D'
	if _, _, err := MetaOf(bytes.NewReader(stranger), int64(len(stranger))); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("a file that others have rewritten: %v", err)
	}
}

// widenDamaged widens a file that may be damaged: it is refused, or has the items that it had, if any.
func widenDamaged(file []byte) (refused, err error) {
	m, keyValue, refused := MetaOf(bytes.NewReader(file), int64(len(file)))
	if refused != nil || len(m.Schemas) == 0 {
		return refused, nil
	}
	s := growing(m.Schemas[0], func(int) int { return 0 }, "new")
	if !Fits(m, s) {
		return nil, nil // two columns became one
	}
	tail, refused := Footer(m, s, FooterOptions{Staged: bytes.NewReader(file), KeyValue: keyValue})
	if refused != nil {
		return refused, nil
	}
	before, err := drain(file, ReadOptions{})
	if err != nil {
		return nil, nil
	}
	after, err := drain(slices.Concat(file[:m.Size], tail), ReadOptions{})
	if err == nil && after != before {
		err = fmt.Errorf("items %v became %v", before, after)
	}
	return nil, err
}

// FuzzMetaOf: bytes that are no file of ours end in an error, never in a panic or in memory beyond the file's size.
func FuzzMetaOf(f *testing.F) {
	file := ownFile(f, Options{Bloom: []string{"pk"}})
	f.Add(file)
	f.Add(file[len(file)/2:])
	f.Fuzz(func(t *testing.T, data []byte) {
		m, _, err := MetaOf(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if m.Size > int64(len(data)) {
			t.Fatalf("%d bytes of %d are data", m.Size, len(data))
		}
		if len(m.Schemas) > 0 {
			_, _ = Footer(m, growing(m.Schemas[0], func(int) int { return 0 }, "new"), FooterOptions{Staged: bytes.NewReader(data)})
		}
	})
}
