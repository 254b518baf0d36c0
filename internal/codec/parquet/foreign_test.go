package parquet

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/codec"
	"dynaferry/internal/column"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	a, b := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			t.Fatalf("%s line %d:\n got %s\nwant %s", path, i+1, a[i], strings.Join(b[min(i, len(b)):min(i+1, len(b))], ""))
		}
	}
	t.Fatalf("%s: %d lines, want %d", path, len(a), len(b))
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", name+".parquet"))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestForeignFiles reads files that pyarrow, DuckDB, polars and Spark wrote: all types, encodings, codecs and page
// versions among them. Files that hold the same values must give the same items.
func TestForeignFiles(t *testing.T) {
	paths, _ := filepath.Glob("testdata/*.parquet")
	if len(paths) < 12 {
		t.Fatalf("only %d fixtures", len(paths))
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".parquet")
		if name == "pyarrow-nan" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			lines := readAll(t, fixture(t, name), ReadOptions{BatchRows: 7})
			if len(lines) > 60 {
				lines = append(lines[:30], lines[len(lines)-30:]...)
			}
			golden(t, name, strings.Join(lines, "\n")+"\n")
		})
	}
	same := func(a, b string) {
		o := ReadOptions{Epoch: "us"} // the precision of timestamps differs
		if x, y := readAll(t, fixture(t, a), o), readAll(t, fixture(t, b), o); strings.Join(x, "\n") != strings.Join(y,
			"\n") {
			t.Errorf("%s and %s hold the same values and read differently", a, b)
		}
	}
	same("pyarrow-types", "pyarrow-types-v2")
	same("pyarrow-types", "pyarrow-types-brotli")
	same("spark-types", "spark-v2")
	same("spark-types", "spark-int96-legacy")
}

func TestForeignRejects(t *testing.T) {
	file := fixture(t, "pyarrow-nan")
	r, err := Open(bytes.NewReader(file), int64(len(file)), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b item.Batch
	if err := r.Read(&b); fault.PlaceOf(err).Line != 2 || fault.PlaceOf(err).Path != "x" {
		t.Errorf("without rejects: %v", err)
	}
	var lines []int64
	o := ReadOptions{Rejects: func(reject codec.Reject) error {
		lines = append(lines, reject.Place.Line)
		if fault.PlaceOf(reject.Err).Path != "x" || !strings.Contains(string(reject.Raw), `"id":{"N":"`) {
			t.Errorf("reject %s %s", reject.Err, reject.Raw)
		}
		return nil
	}}
	if r, err = Open(bytes.NewReader(file), int64(len(file)), o); err != nil {
		t.Fatal(err)
	}
	if err := r.Read(&b); err != nil || b.Len() != 2 || len(lines) != 2 || lines[0] != 2 || lines[1] != 4 {
		t.Fatalf("%d items, rejects %v, %v", b.Len(), lines, err)
	}
	if got := string(b.Item(1).Raw()); got != `{"x":{"N":"3"},"id":{"N":"3"}}` || b.Rows[1].Line != 2 || b.FirstLine != 1 {
		t.Errorf("second item is %s in row %d", got, b.Rows[1].Line)
	}
	if err := r.Read(&b); err != io.EOF {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	r, _ = Open(bytes.NewReader(file), int64(len(file)), ReadOptions{Rejects: func(codec.Reject) error { return stop }})
	if err := r.Read(&b); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestForeignOptions(t *testing.T) {
	file := fixture(t, "pyarrow-types")
	lines := readAll(t, file, ReadOptions{Nulls: true, Epoch: "ms", Types: map[string]string{
		"i8": "S", "s": "B", "tus": "iso", "tns": "epoch-ns", "los.p": "S", "d38": "S", "b": "S", "fix": "S", "dict": "S",
	}})
	golden(t, "options", strings.Join(lines, "\n")+"\n")
	for path, want := range map[string]string{"nobody": "S", "i8": "X", "st": "SS"} {
		if _, err := Open(bytes.NewReader(file), int64(len(file)),
			ReadOptions{Types: map[string]string{path: want}}); fault.KindOf(err) != fault.User && path != "st" {
			t.Errorf("types %s: %s gives %v", path, want, err)
		}
	}
}

// A FLOAT16 becomes the shortest decimal that is nearest to it among FLOAT16s: for all 63,488 of them.
func TestHalfText(t *testing.T) {
	for bits := range 1 << 15 {
		x := half(uint16(bits))
		_, text, err := halfText(nil, uint16(bits))
		if bits >= 0x7C00 {
			if err == nil {
				t.Fatalf("%04x became %s", bits, text)
			}
			continue
		}
		back, _ := strconv.ParseFloat(string(text), 64)
		if x != 0 && (back <= (half(uint16(bits-1))+x)/2 || bits < 0x7BFF && back >= (half(uint16(bits+1))+x)/2) {
			t.Fatalf("%04x is %v and became %s", bits, x, text)
		}
		if _, negative, _ := halfText(nil, uint16(bits|0x8000)); string(negative) != "-"+string(text) {
			t.Fatalf("-%s became %s", text, negative)
		}
	}
	for bits, want := range map[uint16]string{0x5256: "5.07e+01", 0x2E66: "1e-01", 0x3555: "3.333e-01", 0x0001: "6e-08", 0x7BFF: "6.55e+04", 0x3C00: "1e+00"} {
		if _, text, _ := halfText(nil, bits); string(text) != want {
			t.Errorf("%04x became %s, want %s", bits, text, want)
		}
	}
}

// A number that is wanted as text, or that is the key of a map, is text as people write it.
func TestNumbersAsText(t *testing.T) {
	v := &column.Vector{Doubles: []float64{0.5, 100, 1e-7, -0.0}}
	f, err := scalarOf(&format.SchemaElement{Type: thrift.New(format.Double)}, "", "S")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"0.5", "100", "0.0000001", "0"} {
		if typ, text, err := f(nil, v, i); typ != item.S || string(text) != want || err != nil {
			t.Errorf("%v became %v %s, %v", v.Doubles[i], typ, text, err)
		}
	}
}
