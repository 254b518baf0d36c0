package intake

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/codec/compress"
	"dynaferry/internal/codec/csv"
)

func bucket(t *testing.T) blob.Bucket {
	t.Helper()
	b, err := folder.Open(t.TempDir(), folder.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, b blob.Bucket, name string, body []byte) blob.Info {
	t.Helper()
	if _, err := b.Put(t.Context(), name, body, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for info, err := range b.List(t.Context(), name, "") {
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	t.Fatal("not listed")
	return blob.Info{}
}

// read returns the items and errors of an object, one a line, and its unpacked size.
func read(t *testing.T, b blob.Bucket, info blob.Info, o Options) (string, int64) {
	t.Helper()
	var got strings.Builder
	var size int64
	err := Read(t.Context(), b, info, o, func(p Piece) error {
		for i := range p.Batch.Rows {
			fmt.Fprintf(&got, "%s\n", p.Batch.Item(i).Raw())
		}
		for _, e := range p.Errors {
			fmt.Fprintf(&got, "error at %d\n", e.Index)
		}
		size = p.Bytes
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got.String(), size
}

func TestRead(t *testing.T) {
	key := map[string]csv.Spec{"p": csv.Number, "elsewhere": csv.Binary}
	for _, c := range []struct {
		name, text string
		options    Options
		want       string
	}{
		{"json", "{\"Item\":{\"p\":{\"S\":\"a\"}}}\r\n\n  \n{\"Item\":{\"p\":{\"S\":\"b\"}}}", Options{Format: JSON}, "{\"p\":{\"S\":\"a\"}}\n{\"p\":{\"S\":\"b\"}}\n"},
		{"empty", "", Options{Format: JSON}, ""},
		{"blank", "\n \n", Options{Format: JSON}, ""},
		{"rule", `{"Item":{"p":{"S":"a"}}}` + "\n" + `{"Item":{"p":{"N":"x"}}}` + "\n" + `{"Item":{"p":{"S":"b"}}}`, Options{Format: JSON},
			"{\"p\":{\"S\":\"a\"}}\n{\"p\":{\"S\":\"b\"}}\nerror at 1\n"},
		{"no item", `{"Item":{"p":{"S":"a"}}}` + "\n" + `{"item":{}}` + "\n" + `{"Item":{"p":{"S":"b"}}}` + "\n{\n", Options{Format: JSON},
			"{\"p\":{\"S\":\"a\"}}\nerror at 1\n"},
		{"ion", "$ion_1_0 {Item:{p:\"a\"}}\n $ion_1_0 {Item:{p:1.}}\n\n", Options{Format: Ion}, "{\"p\":{\"S\":\"a\"}}\n{\"p\":{\"N\":\"1\"}}\n"},
		{"ion list", "$ion_1_0 [{Item:{p:\"a\"}},\n{Item:{p:\"b\"}}]", Options{Format: Ion}, "{\"p\":{\"S\":\"a\"}}\n{\"p\":{\"S\":\"b\"}}\n"},
		{"csv", "p,t\n1,x\n2,\n", Options{Format: CSV, Types: key}, "{\"p\":{\"N\":\"1\"},\"t\":{\"S\":\"x\"}}\n{\"p\":{\"N\":\"2\"}}\n"},
		{"csv header", "x|1\n", Options{Format: CSV, Types: key, Delimiter: '|', Header: []string{"t", "p"}}, "{\"t\":{\"S\":\"x\"},\"p\":{\"N\":\"1\"}}\n"},
		{"csv without the key", "t\nx\n", Options{Format: CSV, Types: key}, "{\"t\":{\"S\":\"x\"}}\n"},
	} {
		for _, codec := range []compress.Codec{compress.None, compress.Gzip, compress.Zstd} {
			var packed bytes.Buffer
			w := compress.NewWriter(&packed, codec, 0)
			if _, err := w.Write([]byte(c.text)); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			b := bucket(t)
			c.options.Compression = codec
			got, size := read(t, b, put(t, b, "o", packed.Bytes()), c.options)
			if got != c.want || size > int64(len(c.text)) {
				t.Errorf("%s, %s: %d bytes\n%swant\n%s", c.name, codec, size, got, c.want)
			}
		}
	}
}

// What is cut or not packed as it says is one error, after the items that could be read.
func TestDamage(t *testing.T) {
	b := bucket(t)
	var packed bytes.Buffer
	w := compress.NewWriter(&packed, compress.Gzip, 0)
	for range 50_000 {
		if _, err := w.Write([]byte(`{"Item":{"p":{"S":"a"}}}` + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, _ := read(t, b, put(t, b, "cut", packed.Bytes()[:packed.Len()/2]), Options{Format: JSON, Compression: compress.Gzip})
	if n := strings.Count(got, "error"); n != 1 || strings.Count(got, "\n") < 1000 {
		t.Errorf("%d errors in %d lines", n, strings.Count(got, "\n"))
	}
	got, _ = read(t, b, put(t, b, "plain", []byte(`{"Item":{}}`)), Options{Format: JSON, Compression: compress.Zstd})
	if got != "error at 0\n" {
		t.Error(got)
	}
}

// An object that is replaced or gone since it was listed ends the import.
func TestChanged(t *testing.T) {
	b := bucket(t)
	info := put(t, b, "o", []byte(`{"Item":{"p":{"S":"a"}}}`))
	put(t, b, "o", []byte(`{"Item":{"p":{"S":"bb"}}}`))
	each := func(Piece) error { return nil }
	if err := Read(t.Context(), b, info, Options{Format: JSON, Compression: compress.None}, each); !errors.Is(err, blob.ErrChanged) {
		t.Error(err)
	}
	if err := b.Delete(t.Context(), "o"); err != nil {
		t.Fatal(err)
	}
	if err := Read(t.Context(), b, info, Options{Format: CSV, Compression: compress.None}, each); !errors.Is(err, blob.ErrChanged) {
		t.Error(err)
	}
}

// The error logs of earlier imports are no data, whatever the prefix.
func TestListSkipsLogs(t *testing.T) {
	b := bucket(t)
	put(t, b, "a", []byte("x"))
	put(t, b, LogName("01693685827463-2d8752fd"), []byte("x"))
	var names []string
	for info, err := range List(t.Context(), b, "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	if len(names) != 1 || names[0] != "a" {
		t.Error(names)
	}
}
