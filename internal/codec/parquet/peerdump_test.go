package parquet

import (
	"dynaferry/internal/column"
	"os"
	"testing"
)

func TestDumpForPeers(t *testing.T) {
	dir := os.Getenv("PQDUMP")
	if dir == "" {
		t.Skip()
	}
	s := modelSchema()
	rows := modelRows(1, 50000)
	for _, c := range []Compression{Zstd, Snappy, Gzip, None} {
		data, m := writeData(t, Options{Compression: c, RowGroupRows: 20000, PageBytes: 32 << 10, Bloom: []string{"pk", "n", "big", "data"}}, slabs(s, rows, 3000)...)
		os.WriteFile(dir+"/model-"+string(c)+".parquet", finishFile(t, data, m, s), 0o666)
	}
	data, m := writeData(t, Options{RowGroupRows: 20000}, slabs(s, rows, 3000)...)
	// reordered, with new columns flat and nested
	w := modelSchema()
	w.Fields[11].Elem.Fields = append(w.Fields[11].Elem.Fields, fld("note", column.String, 1))
	w = modelSchema()
	w.Fields[11].Elem.Fields = append([]*column.Field{fld("note", column.String, 1), listOf("deep", 6, fld("", column.Long, 2))}, w.Fields[11].Elem.Fields...)
	w.Fields[12].Fields = append(w.Fields[12].Fields, fld("zip", column.String, 1))
	nf := []*column.Field{fld("newfirst", column.String, 1), listOf("newlist", 6, fld("", column.Decimal38, 2)), structOf("news", fld("x", column.Bool, 4))}
	for i := len(w.Fields) - 1; i >= 0; i-- {
		nf = append(nf, w.Fields[i])
	}
	w.Fields = nf
	os.WriteFile(dir+"/reordered.parquet", finishFile(t, data, m, w), 0o666)
	data, m = writeData(t, Options{})
	os.WriteFile(dir+"/empty.parquet", finishFile(t, data, m, w), 0o666)
}

func slabs(s *column.Schema, rows []row, n int) []*column.Slab {
	var out []*column.Slab
	for len(rows) > 0 {
		k := min(n, len(rows))
		out = append(out, shred(s, rows[:k]))
		rows = rows[k:]
	}
	return out
}
