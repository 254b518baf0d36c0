package parquet

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestInfoOfForeignFiles shows what inspect tells of files that others wrote: types, encodings and bounds as values.
func TestInfoOfForeignFiles(t *testing.T) {
	paths, _ := filepath.Glob("testdata/*.parquet")
	var out strings.Builder
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".parquet")
		data := fixture(t, name)
		r, err := Open(bytes.NewReader(data), int64(len(data)), ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		info := r.Info()
		fmt.Fprintf(&out, "%s: %d rows in %d row groups, foreign %t, by %s\n", name, info.Rows, len(info.Groups),
			info.Foreign, info.CreatedBy)
		for _, c := range info.Columns {
			fmt.Fprintf(&out, "  %s %s %s %v %v %d values %d nulls [%s .. %s]\n", c.Path, c.Type, c.Logical, c.Codecs,
				c.Encodings, c.Values, c.Nulls, c.Min, c.Max)
		}
	}
	golden(t, "info", out.String())
}
