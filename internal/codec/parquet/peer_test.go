package parquet

import (
	"os"
	"path/filepath"
	"testing"

	"dynaferry/internal/column"
	"dynaferry/internal/item/itemtest"
)

// TestWriteForPeers leaves files in the folder DYNAFERRY_PEERS_DIR for other readers to judge (internal/peers):
// values of all kinds in every compression, columns added and reordered by the footer, two tasks of one data set.
func TestWriteForPeers(t *testing.T) {
	dir := os.Getenv("DYNAFERRY_PEERS_DIR")
	if dir == "" {
		t.Skip("SKIPPED, NOT PASSED: DYNAFERRY_PEERS_DIR names no folder for files that other readers judge; make peers fetches them and runs this")
	}
	write := func(name string, file []byte) {
		if err := os.WriteFile(filepath.Join(dir, name+".parquet"), file, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	s, rows := modelSchema(), modelRows(1, 20_000)
	for _, c := range []Compression{Zstd, Snappy, Gzip, None} {
		o := Options{Compression: c, RowGroupRows: 8000, PageBytes: 32 << 10, Bloom: []string{"pk", "n", "big", "data"}}
		data, m := writeData(t, o, slabs(s, rows, 3000)...)
		write("model-"+string(c), finishFile(t, data, m, s))
		write("reordered-"+string(c), finishFile(t, data, m, widened()))
	}
	data, m := writeData(t, Options{})
	write("empty", finishFile(t, data, m, s))

	stats := column.Stats{}
	var tasks []staged
	for task := range uint64(2) {
		var raws [][]byte
		for i := range uint64(5000) {
			raws = append(raws, itemtest.AppendMixed(nil, 1, task*5000+i))
		}
		tasks = append(tasks, stage(t, parsed(t, raws...), 1000, Options{RowGroupRows: 2000, Bloom: []string{"pk"}}))
		stats.Merge(tasks[task].stats)
	}
	schema := stats.Schema(column.SchemaOptions{})
	write("mixed-1", publish(t, tasks[0], schema))
	write("mixed-2", publish(t, tasks[1], schema))
}
