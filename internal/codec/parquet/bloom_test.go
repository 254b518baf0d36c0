package parquet

import (
	"bytes"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// TestBloomFilters asks the library for every key: a filter that misses one loses rows in Spark and DuckDB.
func TestBloomFilters(t *testing.T) {
	s, rows := modelSchema(), modelRows(1, 3000)
	data, m := writeData(t, Options{Bloom: []string{"pk", "n", "big", "data"}, RowGroupRows: 1000}, slabs(s, rows, 500)...)
	file := finishFile(t, data, m, s)
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for g, group := range f.RowGroups() {
		pk, n := group.ColumnChunks()[0].BloomFilter(), group.ColumnChunks()[1].BloomFilter()
		if pk == nil || n == nil || group.ColumnChunks()[2].BloomFilter() != nil {
			t.Fatal("filters are not where they were asked for")
		}
		wrong := 0
		for i, r := range rows {
			hasPK, err1 := pk.Check(parquet.ValueOf(r["pk"]))
			hasN, err2 := n.Check(parquet.ValueOf(r["n"]))
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			in := i/1000 == g
			if in && (!hasPK || !hasN) {
				t.Fatalf("row %d is missing from the filters of row group %d", i, g)
			}
			if !in && (hasPK || hasN) {
				wrong++
			}
		}
		if wrong > 100 {
			t.Errorf("%d of 2000 foreign keys pass the filters of row group %d", wrong, g)
		}
	}
}
