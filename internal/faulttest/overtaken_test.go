package faulttest

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestOvertaken kills an append between its version and its plan's end, lets another append pass, and runs the first again:
// what it had published must not be published twice.
func TestOvertaken(t *testing.T) {
	dir := scratch(t)
	for i, name := range []string{"first", "second", "third"} {
		write(t, filepath.Join(dir, name, "a.json"), lines(30, shifted(uint64(i)*100)))
	}
	appends := func(name, dest string) []string {
		return []string{"convert", filepath.Join(dir, name), dest, "--from-format", "dynamodb-json", "--into", "append", "--workers", "1"}
	}
	measured := filepath.Join(dir, "measured")
	must(t, appends("first", measured)...)
	calls := &trace{}
	if o := inside(calls, appends("second", measured)...); o.code != 0 {
		t.Fatal(o)
	}
	at := 0
	for i, call := range calls.list() {
		if strings.HasPrefix(call, "put ") && strings.HasSuffix(call, "/commit") {
			at = i + 1
		}
	}
	if at == 0 {
		t.Fatalf("no end of a plan among %q", calls.list())
	}
	dest := filepath.Join(dir, "dest")
	must(t, appends("first", dest)...)
	if o := outside(t, "cli", []string{fmt.Sprintf("%s=%d before", crashVariable, at)}, appends("second", dest)...); !o.killed {
		t.Fatal(o)
	}
	must(t, appends("third", dest)...)
	must(t, appends("second", dest)...)
	sight, err := look(dest, ".parquet", "pk")
	if err != nil || sight.rows != 90 {
		t.Errorf("%d rows, %v", sight.rows, err)
	}
}
