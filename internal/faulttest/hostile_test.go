package faulttest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// journey is a way through a format and back.
type journey struct {
	name  string
	args  []string
	loses func(item.Value) item.Value // what the format's page says is lost; nil: nothing
}

// journeys has every format, and each compression of each at least once.
var journeys = []journey{
	{name: "parquet zstd"},
	{name: "parquet snappy", args: []string{"--compression", "snappy"}},
	{name: "parquet gzip", args: []string{"--compression", "gzip"}},
	{name: "parquet none", args: []string{"--compression", "none"}},
	{name: "parquet partitioned", args: []string{"--partition", "part"}},
	{name: "dynamodb-json", args: []string{"--format", "dynamodb-json"}},
	{name: "json gzip", args: []string{"--format", "json"}, loses: asJSON},
	{name: "json zstd", args: []string{"--format", "json", "--compression", "zstd"}, loses: asJSON},
	{name: "json none", args: []string{"--format", "json", "--compression", "none"}, loses: asJSON},
	{name: "json partitioned", args: []string{"--format", "json", "--partition", "part"}, loses: asJSON},
	{name: "csv typed gzip", args: []string{"--format", "csv"}},
	{name: "csv typed zstd", args: []string{"--format", "csv", "--compression", "zstd"}},
	{name: "csv typed none", args: []string{"--format", "csv", "--compression", "none", "--formula-safe"}},
	{name: "csv ddbjson", args: []string{"--format", "csv", "--csv-cells", "ddbjson"}},
}

// asJSON is what docs/formats/json.md says comes back: sets as lists, binaries as base64 strings.
func asJSON(v item.Value) item.Value {
	switch v.Type {
	case item.B:
		return item.Value{Type: item.S, Str: base64.StdEncoding.EncodeToString(v.Bin)}
	case item.SS, item.NS, item.BS, item.L:
		out := item.Value{Type: item.L, List: make([]item.Value, 0, len(v.List))}
		for _, e := range v.List {
			out.List = append(out.List, asJSON(e))
		}
		return out
	case item.M:
		out := item.Value{Type: item.M, Map: map[string]item.Value{}}
		for name, e := range v.Map {
			out.Map[name] = asJSON(e)
		}
		return out
	}
	return v
}

// TestHostile carries the corpus of items that tools stumble over, and generated ones, through every format and back.
func TestHostile(t *testing.T) {
	dir := scratch(t)
	corpus := hostileLines(t)
	t.Run("corpus", func(t *testing.T) {
		n := travel(t, filepath.Join(dir, "corpus"), corpus, journeys)
		t.Logf("hostile: %d items through %d ways", n, len(journeys))
	})
	t.Run("arbitrary", func(t *testing.T) {
		started := time.Now()
		const seed = 7
		total := count(1_000, 100_000, 1_000_000)
		// Each way gets its share whole: the slow ones of wide rows read a part of the generated items.
		shares := map[string]int{"parquet zstd": total * 6 / 10, "parquet partitioned": total / 10, "dynamodb-json": total / 10}
		travelled, first := 0, uint64(0)
		for _, j := range journeys {
			n := shares[j.name]
			if n == 0 {
				n = total / 50
			}
			data := itemtest.ArbitraryLines(nil, seed, first, n)
			first += uint64(n)
			travelled += travel(t, filepath.Join(dir, "arbitrary-"+strings.ReplaceAll(j.name, " ", "-")), data, []journey{j})
		}
		t.Logf("hostile: %d generated items through %d ways in %v", travelled, len(journeys), time.Since(started).Round(time.Second))
	})
}

// hostileLines is the corpus, some in partitions that are hostile too.
func hostileLines(t *testing.T) []byte {
	var out []byte
	for i, n := range itemtest.Hostile() {
		raw := bytes.TrimSpace(n.Raw)
		if i%4 > 0 && !bytes.Contains(raw, []byte(`"part"`)) && len(raw) < 300<<10 {
			part := []string{`../up`, `a/b %=`, `ü.😀`, ``}[i%4]
			raw = append(raw[:len(raw)-1:len(raw)-1], fmt.Sprintf(`,"part":{"S":%q}}`, part)...)
		}
		out = append(out, `{"Item":`...)
		out = append(out, raw...)
		out = append(out, "}\n"...)
	}
	if len(out) == 0 {
		t.Fatal("no hostile items")
	}
	return out
}

// travel converts the lines into each format and holds what comes back against what went in.
func travel(t *testing.T, dir string, data []byte, ways []journey) int {
	t.Helper()
	write(t, filepath.Join(dir, "from", "a.json"), data)
	items := parse(t, data)
	for _, j := range ways {
		dest := filepath.Join(dir, strings.ReplaceAll(j.name, " ", "-"))
		args := append([]string{"convert", filepath.Join(dir, "from"), dest, "--from-format", "dynamodb-json", "--key", "pk", "--workers", "2", "--memory", "512MiB"}, j.args...)
		o := inside(nil, args...)
		if o.code != 0 {
			t.Errorf("%s: %s", j.name, o)
			continue
		}
		want := printOfItems(items, j.loses)
		got, err := fingerprint(world.New(), source.Spec{Address: dest})
		if err != nil {
			t.Errorf("%s: read it back: %v", j.name, err)
			continue
		}
		if got == want {
			checkLosses(t, j, items, o)
			continue
		}
		t.Errorf("%s: %d items came back as %d, fingerprint %v, not %v%s", j.name, want.Count, got.Count, got, want, difference(t, dest, items, j.loses))
	}
	return int(items.Len())
}

func parse(t testing.TB, data []byte) *item.Batch {
	t.Helper()
	b := &item.Batch{Src: item.WithSlack(data)}
	if n, err := ddbjson.ParseLines(b, ddbjson.Wrapped, true, nil); err != nil || n == 0 {
		t.Fatalf("%d bytes: %v", n, err)
	}
	return b
}

// printOfItems is the fingerprint of items after a documented loss.
func printOfItems(items *item.Batch, loses func(item.Value) item.Value) item.Fingerprint {
	var print item.Fingerprint
	var h item.Hasher
	for i := range items.Rows {
		it := items.Item(i)
		if loses != nil {
			it = itemtest.Must(loses(item.Value{Type: item.M, Map: it.Map()}).Map)
		}
		print.Add(h.Item(it))
	}
	return print
}

// checkLosses holds the report against the items: it must name a loss exactly where there is one.
func checkLosses(t *testing.T, j journey, items *item.Batch, o *outcome) {
	t.Helper()
	told, _ := o.report["losses"].(map[string]any)
	var sum float64
	for _, n := range told {
		sum += n.(float64)
	}
	if j.loses == nil {
		if sum > 0 {
			t.Errorf("%s: reports losses and has none: %v", j.name, told)
		}
		return
	}
	lost := 0
	for i := range items.Rows {
		lost += lossesOf(item.Value{Type: item.M, Map: items.Item(i).Map()})
	}
	if int(sum) != lost {
		t.Errorf("%s: reports %v losses, there are %d", j.name, sum, lost)
	}
}

// lossesOf counts what plain JSON loses: each binary, each set; a set of binaries is one loss.
func lossesOf(v item.Value) int {
	n := 0
	switch v.Type {
	case item.B, item.SS, item.NS, item.BS:
		return 1
	case item.L:
		for _, e := range v.List {
			n += lossesOf(e)
		}
	case item.M:
		for _, e := range v.Map {
			n += lossesOf(e)
		}
	}
	return n
}

// difference names the first items that did not come back.
func difference(t *testing.T, dest string, items *item.Batch, loses func(item.Value) item.Value) string {
	t.Helper()
	have := map[string]int{}
	err := eachItem(world.New(), source.Spec{Address: dest}, func(it item.Item) { have[string(item.AppendCanonical(nil, it))]++ })
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	missing := 0
	for i := range items.Rows {
		it := items.Item(i)
		if loses != nil {
			it = itemtest.Must(loses(item.Value{Type: item.M, Map: it.Map()}).Map)
		}
		canonical := string(item.AppendCanonical(nil, it))
		if have[canonical]--; have[canonical] < 0 {
			if missing++; missing <= 3 {
				fmt.Fprintf(&text, "\n  lost: %.300s", canonical)
			}
		}
	}
	extra := 0
	for canonical, n := range have {
		if n > 0 {
			if extra++; extra <= 3 {
				fmt.Fprintf(&text, "\n  came: %.300s", canonical)
			}
		}
	}
	fmt.Fprintf(&text, "\n  %d missing, %d extra", missing, extra)
	return text.String()
}

// eachItem reads a source.
func eachItem(w *world.World, spec source.Spec, take func(item.Item)) error {
	return eachBatch(w, spec, func(b *item.Batch) {
		for i := range b.Rows {
			take(b.Item(i))
		}
	})
}
