//go:build peers

package peers_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestReaders lets readers of others read what we export, every value of it: one shape, four kinds with conflicts, hostile
// names and values, Hive partitions.
func TestReaders(t *testing.T) {
	p := startLocal(t)
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
		var in imported
		p.ferry(t, &in, "import", items, table, "--create", "--key", keyOf[data.kind], "--from-format", "dynamodb-json", "--write-units", "unlimited")
		var out copied
		p.ferry(t, &out, append([]string{"export", table, folder, "--read-units", "unlimited"}, data.export...)...)
		if out.Items != n {
			t.Fatalf("exported %+v of %d", out, n)
		}
		p.judged(t, data.name, folder, items)
	}
}

// TestReadersOfAppended lets the same readers, none with an option for it, read data sets that runs have added columns to, at
// the top and in the maps of lists: what was written before has the columns, too.
func TestReadersOfAppended(t *testing.T) {
	p := startLocal(t)
	lines := func(kind string, n int) [][]byte {
		name, _ := writeItems(t, p.dir, kind, n)
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.SplitAfter(bytes.TrimSpace(data), []byte("\n"))
	}
	orders, mixed := lines("orders", 3000), lines("mixed", 2000)
	gifts := bytes.ReplaceAll(bytes.Join(orders[2000:], nil), []byte(`"sku":`), []byte(`"note":{"M":{"by":{"S":"x"},"at":{"NS":["1","2"]}}},"sku":`))
	gifts = bytes.ReplaceAll(gifts, []byte(`"orderId":`), []byte(`"gift":{"M":{"from":{"S":"y"}}},"orderId":`))
	kinds := func(names ...string) (out []byte) {
		for _, line := range mixed {
			if slices.ContainsFunc(names, func(name string) bool { return bytes.Contains(line, []byte(`"kind":{"S":"`+name+`"}`)) }) {
				out = append(out, line...)
			}
		}
		return out
	}
	for _, data := range []struct {
		name   string
		pieces [][]byte
		flags  []string
	}{
		{"orders", [][]byte{bytes.Join(orders[:2000], nil), gifts}, []string{"--target-size", "1MiB", "--task-size", "200KB"}},
		{"mixed", [][]byte{kinds("user"), kinds("event"), kinds("reading", "order")}, []string{"--bloom", "--key", "pk"}},
	} {
		name := "appended-" + data.name
		folder, all := filepath.Join(p.dir, name), filepath.Join(p.dir, name+".json")
		for i, piece := range data.pieces {
			from := filepath.Join(p.dir, fmt.Sprintf("%s.%d.json", name, i))
			for file, content := range map[string][]byte{from: piece, all: bytes.Join(data.pieces[:i+1], nil)} {
				if err := os.WriteFile(file, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out copied
			p.ferry(t, &out, append([]string{"convert", from, folder, "--into", "append", "--from-format", "dynamodb-json"}, data.flags...)...)
			if (out.Widened > 0) != (i > 0) {
				t.Fatalf("piece %d: %+v", i, out)
			}
		}
		p.judged(t, name, folder, all)
	}
}

// judged lets every reader hold the files of a folder against the items that went in.
func (p place) judged(t *testing.T, name, folder, items string) {
	t.Helper()
	judge, schema := filepath.Join(root, "internal/peers/judge.py"), folder+".schema"
	t.Run(name+"/one schema", func(t *testing.T) {
		t.Log(p.must(t, pythonOf(t, "python"), judge, "schema", folder, items, schema))
	})
	for _, reader := range []string{"duckdb", "pyarrow", "polars", "chdb", "spark"} {
		t.Run(name+"/"+reader, func(t *testing.T) {
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
