//go:build peers

package peers_test

import (
	"path/filepath"
	"testing"
)

// TestWriters takes Parquet of other writers, by the rules of docs/formats/parquet.md: into a table by import, into
// DynamoDB JSON by convert, both equal to the items that the rules promise.
func TestWriters(t *testing.T) {
	p := startLocal(t)
	for _, writer := range []string{"pyarrow", "duckdb", "polars", "spark"} {
		t.Run(writer, func(t *testing.T) {
			const n = 500
			part := "python"
			if writer == "spark" {
				part = "spark"
				java(t)
			}
			folder := filepath.Join(p.dir, writer)
			p.must(t, pythonOf(t, part), filepath.Join(root, "internal/peers/write.py"), writer, folder)
			rows, expected, table := filepath.Join(folder, "rows.parquet"), filepath.Join(folder, "expected.json"), "dynamodb://By-"+writer
			var in imported
			p.ferry(t, &in, "import", rows, table, "--create", "--key", "id", "--write-units", "unlimited")
			if in.Written != n || in.DeadLetters != 0 {
				t.Fatalf("imported %+v", in)
			}
			same(t, p, n, expected, table, "--key", "id", "--from-format", "dynamodb-json")
			var out copied
			p.ferry(t, &out, "convert", rows, filepath.Join(folder, "converted"), "--format", "dynamodb-json", "--key", "id")
			if out.Items != n || out.Rejects != 0 {
				t.Fatalf("converted %+v", out)
			}
			same(t, p, n, filepath.Join(folder, "converted"), table, "--key", "id")
		})
	}
}

// same is equal with more arguments.
func same(t *testing.T, p place, n int64, a, b string, more ...string) {
	t.Helper()
	var v verified
	code := p.ferryCode(t, &v, append([]string{"verify", a, b, "--read-units", "unlimited", "--state", filepath.Join(p.dir, "state")}, more...)...)
	if code != 0 || !v.Equal || v.Items != [2]int64{n, n} {
		r := p.command(t, program, append([]string{"verify", a, b, "--state", filepath.Join(p.dir, "state2")}, more...)...)
		t.Fatalf("verify %s %s: exit %d, %+v\n%.1500s", a, b, code, v, r.out)
	}
}
