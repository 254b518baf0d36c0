package parquet

import (
	"bytes"
	"fmt"
	"math/big"
	"math/rand/v2"

	"dynaferry/internal/column"
	"dynaferry/internal/item"
)

// tester is what tests, benchmarks and rapid's properties have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// A model row is a map from source names to values: int64 (Long, Decimal18, Date, Timestamp), *big.Int (Decimal38),
// float64, bool, string (String, Binary, JSON), []any (List), map[string]any (Struct). An absent key is null.
type row = map[string]any

// shred makes a slab of rows the slow and plain way, straight from the definition of the levels.
func shred(s *column.Schema, rows []row) *column.Slab {
	slab := &column.Slab{Rows: len(rows), Schema: s}
	for _, l := range s.Leaves() {
		slab.Vectors = append(slab.Vectors, column.Vector{Leaf: l})
	}
	for _, r := range rows {
		next := 0
		for _, f := range s.Fields {
			v, ok := r[f.Source]
			shredField(slab, f, v, ok, 0, 0, &next, 0)
		}
		if s.Extra != "" {
			v, ok := r["*extra"]
			shredField(slab, &column.Field{Name: s.Extra, Kind: column.JSON}, v, ok, 0, 0, &next, 0)
		}
	}
	for i := range slab.Vectors {
		v := &slab.Vectors[i]
		v.Slots = len(v.Def)
		if !bytes.ContainsFunc(v.Def, func(r rune) bool { return byte(r) != v.Leaf.MaxDef }) {
			v.Def = nil
		}
		if v.Leaf.MaxRep == 0 {
			v.Rep = nil
		}
	}
	return slab
}

// shredField appends v, whose holder is defined to level def, to the leaves below f.
func shredField(slab *column.Slab, f *column.Field, v any, ok bool, rep, def uint8, next *int, lists uint8) {
	if ok {
		def++
	}
	switch f.Kind {
	case column.Struct:
		m, _ := v.(map[string]any)
		for _, member := range f.Fields {
			x, has := m[member.Source]
			shredField(slab, member, x, ok && has, rep, def, next, lists)
		}
	case column.List:
		list, _ := v.([]any)
		lists++
		first := *next
		if len(list) == 0 {
			shredField(slab, f.Elem, nil, false, rep, def, next, lists)
			return
		}
		for i, x := range list {
			*next = first
			if i > 0 {
				rep = lists
			}
			shredField(slab, f.Elem, x, x != nil, rep, def+1, next, lists)
		}
	default:
		vec := &slab.Vectors[*next]
		*next++
		vec.Rep, vec.Def = append(vec.Rep, rep), append(vec.Def, def)
		if !ok {
			return
		}
		switch x := v.(type) {
		case int64:
			vec.Longs = append(vec.Longs, x)
		case float64:
			vec.Doubles = append(vec.Doubles, x)
		case bool:
			vec.Bools = append(vec.Bools, x)
		case string:
			vec.Bytes = append(vec.Bytes, x...)
			vec.Ends = append(vec.Ends, uint32(len(vec.Bytes)))
		case *big.Int:
			vec.Bytes = append(vec.Bytes, twosComplement(x)...)
			vec.Ends = append(vec.Ends, uint32(len(vec.Bytes)))
		default:
			panic(fmt.Sprintf("value %T", v))
		}
	}
}

func twosComplement(x *big.Int) []byte {
	if x.Sign() < 0 {
		x = new(big.Int).Add(x, new(big.Int).Lsh(big.NewInt(1), 128))
	}
	return x.FillBytes(make([]byte, 16))
}

func fld(source string, k column.Kind, t item.Type) *column.Field {
	return &column.Field{Name: source, Source: source, Kind: k, Type: t}
}

func isoField(source string, k column.Kind) *column.Field {
	return &column.Field{Name: source, Source: source, Kind: k, Type: item.S, Format: "iso"}
}

func decimalField(source string, k column.Kind, scale int) *column.Field {
	return &column.Field{Name: source, Source: source, Kind: k, Type: item.N, Scale: scale}
}

func listOf(source string, t item.Type, elem *column.Field) *column.Field {
	elem.Name, elem.Source = "element", ""
	return &column.Field{Name: source, Source: source, Kind: column.List, Type: t, Elem: elem}
}

func structOf(source string, fields ...*column.Field) *column.Field {
	return &column.Field{Name: source, Source: source, Kind: column.Struct, Type: item.M, Fields: fields}
}

func modelSchema() *column.Schema {
	return &column.Schema{Extra: "_extra", Fields: []*column.Field{
		fld("pk", column.String, item.S), fld("n", column.Long, item.N),
		decimalField("price", column.Decimal18, 2), decimalField("big", column.Decimal38, 5),
		fld("ratio", column.Double, item.N), fld("flag", column.Bool, item.BOOL), fld("data", column.Binary, item.B),
		isoField("day", column.Date), isoField("at", column.Timestamp), fld("kind", column.String, item.S),
		listOf("tags", item.SS, fld("", column.String, item.S)),
		listOf("orders", item.L, structOf("", fld("sku", column.String, item.S), fld("qty", column.Long, item.N),
			listOf("codes", item.L, fld("", column.Long, item.N)))),
		structOf("home", fld("city", column.String, item.S), decimalField("lat", column.Decimal18, 6)),
	}}
}

func modelRow(r *rand.Rand, i int) row {
	m := row{"pk": fmt.Sprintf("customer-%08d", i), "n": int64(i) * 7, "kind": []string{"a", "bb", "ccc",
		"dddd"}[r.IntN(4)]}
	some := func(name string, v any) {
		if r.IntN(4) > 0 {
			m[name] = v
		}
	}
	some("price", r.Int64N(1e6)-1000)
	b := new(big.Int).Mul(big.NewInt(r.Int64()), big.NewInt(r.Int64N(1e9)))
	if r.IntN(2) == 0 {
		b.Neg(b)
	}
	some("big", b)
	some("ratio", r.Float64())
	some("flag", r.IntN(2) == 0)
	some("data", string([]byte{byte(i), 0xFF, byte(i >> 8)}))
	some("day", r.Int64N(40000)-10000)
	some("at", r.Int64N(1<<50))
	tags := make([]any, r.IntN(4))
	for i := range tags {
		tags[i] = fmt.Sprintf("tag%d", r.IntN(1000))
	}
	some("tags", tags)
	orders := make([]any, r.IntN(3))
	for i := range orders {
		if r.IntN(5) == 0 {
			continue // a null element
		}
		o := map[string]any{"sku": fmt.Sprint("sku", r.IntN(100)), "codes": []any{int64(1), int64(r.IntN(9))}[:r.IntN(3)]}
		if r.IntN(2) == 0 {
			o["qty"] = int64(r.IntN(10))
		}
		orders[i] = o
	}
	some("orders", orders)
	home := map[string]any{}
	if r.IntN(3) > 0 {
		home["city"] = "Zürich"
	}
	if r.IntN(3) > 0 {
		home["lat"] = r.Int64N(180e6) - 90e6
	}
	some("home", home)
	if r.IntN(10) == 0 {
		m["*extra"] = `{"/n":{"S":"x"}}`
	}
	return m
}

func modelRows(seed uint64, n int) []row {
	r := rand.New(rand.NewPCG(seed, 1))
	rows := make([]row, n)
	for i := range rows {
		rows[i] = modelRow(r, i)
	}
	return rows
}

// writeData writes slabs of the given rows and returns data part and metadata.
func writeData(t tester, o Options, slabs ...*column.Slab) ([]byte, *FileMeta) {
	t.Helper()
	var buf bytes.Buffer
	w := NewWriter(&buf, o)
	for _, s := range slabs {
		if err := w.Write(s); err != nil {
			t.Fatal(err)
		}
	}
	m, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if m.Size != int64(buf.Len()) {
		t.Fatalf("meta says %d bytes, written %d", m.Size, buf.Len())
	}
	return buf.Bytes(), m
}

// finishFile appends the footer for s.
func finishFile(t tester, data []byte, m *FileMeta, s *column.Schema) []byte {
	t.Helper()
	tail, err := Footer(m, s, FooterOptions{Staged: bytes.NewReader(data), Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.Clone(data), tail...)
}

// slabs cuts rows into slabs of n.
func slabs(s *column.Schema, rows []row, n int) []*column.Slab {
	var out []*column.Slab
	for len(rows) > 0 {
		k := min(n, len(rows))
		out = append(out, shred(s, rows[:k]))
		rows = rows[k:]
	}
	return out
}
