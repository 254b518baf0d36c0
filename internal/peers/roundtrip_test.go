//go:build peers

package peers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"dynaferry/internal/item/itemtest"
)

// Reports of the program, as far as the tests look at them.
type (
	copied struct {
		Items, Rejects             int64
		Files, Partitions, Widened int
		Fingerprint                string
		Misfits, Losses            map[string]int64
	}
	imported struct {
		Read, Written, Duplicates, DeadLetters int64
	}
	verified struct {
		Equal                 bool
		Items                 [2]int64
		OnlyA, OnlyB, Changed int64
	}
)

// refusals are hostile items that a counterpart cannot hold though the service can, by name.
var refusals = map[string][]string{
	// It counts an empty map on the deepest level as one level more, and fails by itself on names of 65,535 bytes.
	"dynamodb local": {"32 levels and nothing", "longest name"},
}

// writeItems leaves DynamoDB JSON lines in a file: orders of one shape, items of four kinds with conflicts, hostile ones.
// It returns the file and how many there are.
func writeItems(t *testing.T, dir, kind string, n int, without ...string) (string, int64) {
	t.Helper()
	var lines []byte
	switch kind {
	case "orders":
		lines = itemtest.OrderLines(nil, 3, 0, n)
	case "mixed":
		lines = itemtest.MixedLines(nil, 3, 0, n)
	case "arbitrary":
		lines = itemtest.ArbitraryLines(nil, 3, 0, n)
	case "hostile":
		n = 0
		for _, h := range itemtest.Hostile() {
			if slices.Contains(without, h.Name) {
				continue
			}
			n++
			lines = append(append(append(lines, `{"Item":`...), h.Raw...), "}\n"...)
		}
	}
	name := filepath.Join(dir, kind+".json")
	if err := os.WriteFile(name, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, int64(n)
}

// keyOf names the partition key of each kind of items.
var keyOf = map[string]string{"orders": "orderId", "mixed": "pk", "arbitrary": "pk", "hostile": "pk"}

// roundTrip carries items of each kind into a table of the place, out to files in every format, back into another
// table, and wants them equal.
func roundTrip(t *testing.T, p place, files string, items int, without ...string) {
	t.Helper()
	for _, kind := range []string{"orders", "mixed", "hostile"} {
		t.Run(kind, func(t *testing.T) { roundTripOf(t, p, kind, files+"/"+kind, items, without) })
	}
}

func roundTripOf(t *testing.T, p place, kind, files string, items int, without []string) {
	name, n := writeItems(t, p.dir, kind, items, without...)
	table := "dynamodb://From-" + kind
	var in imported
	p.ferry(t, &in, "import", name, table, "--create", "--key", keyOf[kind], "--from-format", "dynamodb-json",
		"--write-units", "unlimited")
	if in.Written != n || in.DeadLetters != 0 {
		t.Fatalf("imported %+v of %d", in, n)
	}
	for i, how := range [][]string{{"--format", "parquet"}, {"--format", "dynamodb-json"}} {
		var out copied
		dest := fmt.Sprintf("%s-%d", files, i)
		p.ferry(t, &out, append([]string{"export", table, dest, "--read-units", "unlimited"}, how...)...)
		if out.Items != n || out.Rejects != 0 {
			t.Fatalf("exported %+v of %d", out, n)
		}
		again := fmt.Sprintf("dynamodb://Again-%s-%d", kind, i)
		p.ferry(t, &in, "import", dest, again, "--create", "--write-units", "unlimited")
		if in.Written != n || in.DeadLetters != 0 {
			t.Fatalf("imported again %+v of %d", in, n)
		}
		equal(t, p, n, table, again)
		equal(t, p, n, dest, again)
	}
}

// equal verifies two sources of n items each, by the program.
func equal(t *testing.T, p place, n int64, a, b string, flags ...string) {
	t.Helper()
	var v verified
	code := p.ferryCode(t, &v, append([]string{"verify", a, b, "--read-units", "unlimited", "--state", filepath.Join(p.dir, "state")}, flags...)...)
	if code != 0 || !v.Equal || v.Items != [2]int64{n, n} {
		t.Fatalf("verify %s %s: exit %d, %+v", a, b, code, v)
	}
}

// acrossWorlds carries a table from our local world to that of a stranger and back, and sees that one changed item shows.
func acrossWorlds(t *testing.T, p place, endpoint string) {
	t.Helper()
	const n = 1000
	name, _ := writeItems(t, p.dir, "mixed", n)
	var in imported
	here, there := "dynamodb://Across", "dynamodb://Across?endpoint="+endpoint
	p.ferry(t, &in, "import", name, here, "--create", "--key", "pk", "--from-format", "dynamodb-json", "--write-units", "unlimited")
	p.ferry(t, &in, "import", here, there, "--create", "--write-units", "unlimited")
	if in.Written != n {
		t.Fatalf("carried %+v", in)
	}
	equal(t, p, n, here, there)
	one := filepath.Join(p.dir, "one.json")
	if err := os.WriteFile(one, []byte(`{"Item":{"pk":{"S":"another"}}}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.ferry(t, &in, "import", one, there, "--overwrite", "--from-format", "dynamodb-json", "--write-units", "unlimited")
	var v verified
	code := p.ferryCode(t, &v, "verify", here, there, "--read-units", "unlimited", "--state", filepath.Join(p.dir, "state"))
	if code != 4 || v.Equal || v.OnlyA != 0 || v.OnlyB != 1 || v.Changed != 0 {
		t.Fatalf("a table with one more item: exit %d, %+v", code, v)
	}
}
