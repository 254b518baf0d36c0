//go:build peers

package peers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// told is what a table holds by somebody's reckoning: how many items, the sum of their totals, and of the items themselves
// the fingerprint, which no spelling of numbers and no order changes.
type told struct {
	Items int64 `json:"items"`
	Cents int64 `json:"cents"`
	print item.Fingerprint
}

func (d *told) add(b *item.Batch, hasher *item.Hasher) {
	for i := range b.Rows {
		d.print.Add(hasher.Item(b.Item(i)))
	}
}

// ordersInto writes n orders as DynamoDB JSON and tells of them.
func ordersInto(t *testing.T, name string, n int) (d told) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var hasher item.Hasher
	for first := 0; first < n; first += 10_000 {
		lines := itemtest.OrderLines(nil, 3, uint64(first), min(10_000, n-first))
		if _, err := f.Write(lines); err != nil {
			t.Fatal(err)
		}
		b := &item.Batch{Src: item.WithSlack(lines)}
		if _, err := ddbjson.ParseLines(b, ddbjson.Wrapped, true, nil); err != nil {
			t.Fatal(err)
		}
		d.add(b, &hasher)
		for i := range b.Rows {
			it := b.Item(i)
			at, _ := it.Get("total")
			d.Cents += centsOf(t, string(it.Text(at)))
		}
		d.Items += int64(b.Len())
	}
	return d
}

func centsOf(t *testing.T, text string) int64 {
	t.Helper()
	whole, rest, _ := strings.Cut(text, ".")
	cents, err := strconv.ParseInt(whole+(rest + "00")[:2], 10, 64)
	if err != nil || len(rest) > 2 {
		t.Fatalf("%q is no amount: %v", text, err)
	}
	return cents
}

// readBy runs a reader of others, which prints items as DynamoDB JSON and then, to stderr, what it made of them itself.
func (p place) readBy(t *testing.T, name string, args ...string) (d told) {
	t.Helper()
	begun := time.Now()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var stderr bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stderr = environment(p.env...), p.dir, &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var b item.Batch
	var hasher item.Hasher
	r := ddbjson.NewReader(out, ddbjson.ReaderOptions{Shape: ddbjson.Bare})
	for err = r.Read(&b); err == nil; err = r.Read(&b) {
		d.add(&b, &hasher)
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("what %s prints: %v", filepath.Base(name), err)
		_, _ = io.Copy(io.Discard, out)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, tail(stderr.String()))
	}
	if err := json.Unmarshal(stderr.Bytes(), &d); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, tail(stderr.String()))
	}
	t.Logf("%s: %s, %s in %v", filepath.Base(name), bytes.TrimSpace(stderr.Bytes()), d.print, time.Since(begun).Round(100*time.Millisecond))
	return d
}

// nativeExport has our local engine export a table and returns the folder of its data.
func nativeExport(t *testing.T, p place, table, form string, items int64) string {
	t.Helper()
	var report struct {
		Items   int64
		Exports []struct{ Manifest string }
	}
	dest := "s3://lake/" + table + "-" + form
	p.ferry(t, &report, "export", "dynamodb://"+table, dest, "--native", "--enable-pitr", "--format", form)
	if report.Items != items || len(report.Exports) != 1 {
		t.Fatalf("exported %+v of %d", report, items)
	}
	return filepath.Join(p.world, "s3", "buckets", "lake", filepath.Dir(filepath.FromSlash(report.Exports[0].Manifest)), "data")
}

// TestExportsAreRead lets readers that are not ours read what our local engine exports, in both forms, every value of it.
func TestExportsAreRead(t *testing.T) {
	p := startLocal(t)
	n := 200_000
	if os.Getenv("DYNAFERRY_LONG") == "1" {
		n = 1_000_000
	}
	name := filepath.Join(p.dir, "orders.json")
	want := ordersInto(t, name, n)
	var report struct{ Items int64 }
	p.ferry(t, &report, "convert", name, "s3://lake/in", "--format", "dynamodb-json", "--from-format", "dynamodb-json", "--key", "orderId")
	p.ferry(t, &struct{}{}, "import", "s3://lake/in", "dynamodb://Orders", "--native", "--create", "--key", "orderId")
	for _, c := range []struct {
		form, reader string
		run          func(t *testing.T, data string) told
	}{
		{"dynamodb-json", "duckdb", func(t *testing.T, data string) told {
			return p.readBy(t, pythonOf(t, "python"), filepath.Join(root, "internal/peers/exports.py"), "duckdb", data+"/*.json.gz")
		}},
		{"ion", "ion-js", func(t *testing.T, data string) told {
			modules := filepath.Dir(need(t, "ion", "ion/node_modules/ion-js"))
			return p.readBy(t, "node", filepath.Join(root, "internal/peers/ion.js"), modules, "export", data)
		}},
	} {
		t.Run(c.form+" by "+c.reader, func(t *testing.T) {
			if got := c.run(t, nativeExport(t, p, "Orders", c.form, int64(n))); got != want {
				t.Errorf("%s reads %+v, want %+v", c.reader, got, want)
			}
		})
	}
}

// TestMotoCarries lets moto import what we export, and reads what moto exports, which is without manifests. The proof that
// all items are equal is by moto's export, which walks its table once. Each page of its scan sorts the whole table anew, so
// that only few are scanned.
func TestMotoCarries(t *testing.T) {
	p := startLocal(t)
	n, few := int64(1_000), true
	if os.Getenv("DYNAFERRY_LONG") == "1" {
		n, few = 1_000_000, false
	}
	name := filepath.Join(p.dir, "orders.json")
	want := ordersInto(t, name, int(n))
	p.ferry(t, &imported{}, "import", name, "dynamodb://Orders", "--create", "--key", "orderId", "--from-format", "dynamodb-json", "--write-units", "unlimited")
	data := nativeExport(t, p, "Orders", "dynamodb-json", n)
	endpoint := startMoto(t)
	moto := strangers(t, endpoint, endpoint)
	script := filepath.Join(root, "internal/peers/exports.py")
	if got := moto.readBy(t, pythonOf(t, "python"), script, "moto", data, "Orders", "orderId", "back"); got != want {
		t.Errorf("moto holds %+v, want %+v", got, want)
	}
	if few {
		equal(t, p, n, "dynamodb://Orders", "dynamodb://Orders?endpoint="+endpoint)
	}
	equal(t, p, n, "dynamodb://Orders", "s3://back/from-moto?endpoint="+endpoint, "--from-format", "dynamodb-json", "--key", "orderId")
}
