package parquet

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/column"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// parsed makes a batch of items from attribute maps in DynamoDB JSON.
func parsed(t tester, raws ...[]byte) *item.Batch {
	t.Helper()
	b := &item.Batch{}
	for _, raw := range raws {
		from := len(b.Src)
		b.Src = item.GrowSlack(append(b.Src, raw...))
		if err := ddbjson.Parse(b, from); err != nil {
			t.Fatalf("%.200s: %v", raw, err)
		}
	}
	return b
}

// staged is what one task leaves behind.
type staged struct {
	data  []byte
	meta  *FileMeta
	stats *column.Stats
}

// stage runs items through a shredder and a writer, a slab every so many rows.
func stage(t tester, b *item.Batch, slabRows int, o Options) staged {
	t.Helper()
	var buf bytes.Buffer
	shredder := column.NewShredder(column.ShredOptions{})
	w := NewWriter(&buf, o)
	for i := range b.Len() {
		if err := shredder.Append(b.Item(i)); err != nil {
			t.Fatal(err)
		}
		if shredder.Rows() >= slabRows || i+1 == b.Len() {
			if err := w.Write(shredder.Slab()); err != nil {
				t.Fatal(err)
			}
		}
	}
	m, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return staged{buf.Bytes(), m, shredder.Stats()}
}

// publish does what a commit does: metadata through its durable form, Rewrite where the schema asks for it, Footer,
// Verify.
func publish(t tester, s staged, schema *column.Schema) []byte {
	t.Helper()
	durable, err := s.meta.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	m := new(FileMeta)
	if err := m.UnmarshalBinary(durable); err != nil {
		t.Fatal(err)
	}
	data := s.data
	if !Settled(m, schema) {
		var buf bytes.Buffer
		if m, _, err = Rewrite(bytes.NewReader(data), m, schema, &buf, Options{}); err != nil {
			t.Fatal(err)
		}
		data = buf.Bytes()
		if !Settled(m, schema) {
			t.Fatal("rewritten data are not settled")
		}
		if need, err := NeedLevels(m, schema); err != nil || len(need) > 0 {
			t.Fatalf("rewritten data need levels %v, %v", need, err)
		}
	}
	file := finishFile(t, data, m, schema)
	if err := Verify(bytes.NewReader(file), int64(len(file)), m); err != nil {
		t.Fatal(err)
	}
	return file
}

// readAll reads a file to canonical lines.
func readAll(t tester, file []byte, o ReadOptions) []string {
	t.Helper()
	r, err := Open(bytes.NewReader(file), int64(len(file)), o)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	var b item.Batch
	for {
		err := r.Read(&b)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if b.FirstLine != int64(len(lines))+1 {
			t.Fatalf("batch begins at line %d after %d items", b.FirstLine, len(lines))
		}
		for i := range b.Len() {
			lines = append(lines, string(item.AppendCanonical(nil, b.Item(i))))
		}
	}
	if int64(len(lines)) != r.Rows() {
		t.Fatalf("%d items of %d rows", len(lines), r.Rows())
	}
	return lines
}

func canonicalLines(b *item.Batch) []string {
	lines := make([]string, b.Len())
	for i := range lines {
		lines[i] = string(item.AppendCanonical(nil, b.Item(i)))
	}
	return lines
}

// roundTrip cuts items into tasks, merges their schema, publishes each task's file and wants the items back.
func roundTrip(t tester, tasks []*item.Batch, slabRows int, o Options) {
	t.Helper()
	stats := column.Stats{}
	var all []staged
	for _, b := range tasks {
		s := stage(t, b, slabRows, o)
		stats.Merge(s.stats)
		all = append(all, s)
	}
	schema := stats.Schema(column.SchemaOptions{})
	for i, s := range all {
		file := publish(t, s, schema)
		got, want := readAll(t, file, ReadOptions{}), canonicalLines(tasks[i])
		if len(got) != len(want) {
			t.Fatalf("task %d: %d items came back of %d", i, len(got), len(want))
		}
		for j := range want {
			if got[j] != want[j] {
				t.Fatalf("task %d, item %d:\n  in %.2000s\n out %.2000s", i, j, want[j], got[j])
			}
		}
	}
}

func TestHostileItemsComeBack(t *testing.T) {
	var raws [][]byte
	for _, named := range itemtest.Hostile() {
		roundTrip(t, []*item.Batch{parsed(t, []byte(named.Raw))}, 1, Options{})
		raws = append(raws, []byte(named.Raw))
	}
	for _, c := range []Compression{Zstd, Snappy, Gzip, None} {
		roundTrip(t, []*item.Batch{parsed(t, raws...)}, 7, Options{Compression: c})
	}
}

// TestArbitraryItemsComeBack: different tasks see different attributes and types, so every way of settling a file is
// taken: null chunks, derived levels, converted chunks, reshaped row groups.
func TestArbitraryItemsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tasks []*item.Batch
		for range rapid.IntRange(1, 3).Draw(t, "tasks") {
			b := &item.Batch{}
			w := item.NewBuilder(b)
			for i := range rapid.IntRange(1, 12).Draw(t, "items") {
				if err := w.Item(uint32(i), itemtest.Members().Draw(t, "item")); err != nil {
					t.Fatal(err)
				}
			}
			tasks = append(tasks, b)
		}
		o := Options{RowGroupRows: rapid.IntRange(1, 8).Draw(t, "group"), PageBytes: rapid.SampledFrom([]int{1, 100,
			0}).Draw(t, "page")}
		roundTrip(t, tasks, rapid.IntRange(1, 5).Draw(t, "slab"), o)
	})
}

func TestOrdersComeBack(t *testing.T) {
	for name, make := range map[string]func([]byte, uint64, uint64) []byte{"orders": itemtest.AppendOrder,
		"mixed": itemtest.AppendMixed} {
		t.Run(name, func(t *testing.T) {
			var tasks []*item.Batch
			for task := range uint64(3) {
				var raws [][]byte
				for i := range uint64(3000) {
					raws = append(raws, make(nil, 1, task*3000+i))
				}
				tasks = append(tasks, parsed(t, raws...))
			}
			roundTrip(t, tasks, 500, Options{RowGroupRows: 1200})
		})
	}
}

func ExampleWriter() {
	b := &item.Batch{}
	w := item.NewBuilder(b)
	w.Begin(0)
	w.Name("pk")
	w.String([]byte("a"))
	w.Name("n")
	w.Int(7)
	w.Finish()

	shredder := column.NewShredder(column.ShredOptions{})
	_ = shredder.Append(b.Item(0))
	var out bytes.Buffer
	pages := NewWriter(&out, Options{})
	_ = pages.Write(shredder.Slab())
	meta, _ := pages.Close()

	schema := shredder.Stats().Schema(column.SchemaOptions{})
	tail, _ := Footer(meta, schema, FooterOptions{})
	out.Write(tail)

	r, _ := Open(bytes.NewReader(out.Bytes()), int64(out.Len()), ReadOptions{})
	_ = r.Read(b)
	fmt.Println(string(item.AppendCanonical(nil, b.Item(0))))
	// Output: {"n":{"N":"7"},"pk":{"S":"a"}}
}
