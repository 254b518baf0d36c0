//go:build peers

package peers_test

import (
	"path/filepath"
	"testing"
)

// TestReaders lets readers of others read what we export, every value of it: one shape, four kinds with conflicts, hostile
// names and values, Hive partitions.
func TestReaders(t *testing.T) {
	p := startLocal(t)
	judge := filepath.Join(root, "internal/peers/judge.py")
	for _, data := range []struct {
		name, kind string
		items      int
		export     []string
	}{
		{"orders", "orders", 5000, []string{"--target-size", "1MiB", "--segments", "4"}},
		{"partitioned", "orders", 3000, []string{"--partition", "year,month of createdAt, region, status", "--compression", "snappy"}},
		{"mixed", "mixed", 4000, []string{"--compression", "gzip", "--bloom"}},
		{"hostile", "hostile", 0, []string{"--segments", "3"}},
	} {
		items, n := writeItems(t, p.dir, data.kind, data.items)
		table, folder := "dynamodb://Read-"+data.name, filepath.Join(p.dir, data.name)
		schema := folder + ".schema"
		var in imported
		p.ferry(t, &in, "import", items, table, "--create", "--key", keyOf[data.kind], "--from-format", "dynamodb-json", "--write-units", "unlimited")
		var out copied
		p.ferry(t, &out, append([]string{"export", table, folder, "--read-units", "unlimited"}, data.export...)...)
		if out.Items != n {
			t.Fatalf("exported %+v of %d", out, n)
		}
		t.Run(data.name+"/one schema", func(t *testing.T) {
			t.Log(p.must(t, pythonOf(t, "python"), judge, "schema", folder, items, schema))
		})
		for _, reader := range []string{"duckdb", "pyarrow", "polars", "chdb", "spark"} {
			t.Run(data.name+"/"+reader, func(t *testing.T) {
				part, more := "python", []string{}
				switch reader {
				case "spark":
					part = "spark"
					java(t)
				case "chdb":
					more = []string{need(t, "chdb", "chdb/node_modules/chdb")}
				}
				t.Log(p.must(t, pythonOf(t, part), append([]string{judge, reader, folder, items, schema}, more...)...))
			})
		}
	}
}
