//go:build peers

package peers_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"dynaferry/internal/codec/codectest"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/codec/ion"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// ionItems are the items that Amazon's Ion library and ours hand each other.
func ionItems(t *testing.T) *item.Batch {
	t.Helper()
	b := &item.Batch{}
	build := item.NewBuilder(b)
	add := func(raw []byte) {
		if err := build.Item(uint32(b.Len()), codectest.Parse(string(raw))); err != nil {
			t.Fatal(err)
		}
	}
	for _, named := range itemtest.Hostile() {
		add(named.Raw)
	}
	for _, raw := range codectest.Odd() {
		add([]byte(raw))
	}
	for i := range uint64(500) {
		add(itemtest.AppendOrder(nil, 5, i))
		add(itemtest.AppendMixed(nil, 5, i))
		add(itemtest.AppendArbitrary(nil, 5, i, false))
	}
	return b
}

// TestIon lets ion-js, Amazon's own library, read what we write and reads what it writes, in text and in binary.
func TestIon(t *testing.T) {
	modules := filepath.Dir(need(t, "ion", "ion/node_modules/ion-js"))
	p := place{dir: t.TempDir()}
	items := ionItems(t)
	judge := func(t *testing.T, mode, file string) []byte {
		t.Helper()
		return []byte(p.must(t, "node", filepath.Join(root, "internal/peers/ion.js"), modules, mode, file))
	}
	for name, binary := range map[string]bool{"text": false, "binary": true} {
		t.Run("it reads our "+name, func(t *testing.T) {
			var out bytes.Buffer
			w := ion.NewWriter(&out, ion.WriterOptions{Binary: binary})
			if err := w.Write(items); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(p.dir, name)
			if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			got := &item.Batch{Src: item.WithSlack(judge(t, "read", file))}
			if _, err := ddbjson.ParseLines(got, ddbjson.Bare, true, nil); err != nil {
				t.Fatal(err)
			}
			sameItems(t, items, got)
		})
	}
	pairs := filepath.Join(p.dir, "pairs")
	if err := os.WriteFile(pairs, asPairs(t, items), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"text", "pretty", "binary"} {
		t.Run("we read its "+form, func(t *testing.T) {
			got := &item.Batch{}
			r := ion.NewReader(bytes.NewReader(judge(t, form, pairs)), ion.ReaderOptions{BatchBytes: item.BatchBytesMax})
			if err := r.Read(got); err != nil {
				t.Fatalf("%v at %+v", err, fault.PlaceOf(err))
			}
			if err := r.Read(&item.Batch{}); err != io.EOF {
				t.Fatal(err)
			}
			sameItems(t, items, got)
		})
	}
}

func sameItems(t *testing.T, want, got *item.Batch) {
	t.Helper()
	if got.Len() != want.Len() {
		t.Fatalf("%d items of %d", got.Len(), want.Len())
	}
	for i := range want.Rows {
		if !item.Equal(want.Item(i), got.Item(i)) {
			t.Fatalf("item %d: got %.500s, want %.500s", i, got.Item(i).Raw(), want.Item(i).Raw())
		}
	}
}

// asPairs writes items as DynamoDB JSON whose maps are lists of pairs, so that JavaScript keeps any name.
func asPairs(t *testing.T, items *item.Batch) []byte {
	t.Helper()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	for i := range items.Rows {
		if err := enc.Encode(pairsOf(items.Item(i).Map())); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func pairsOf(members map[string]item.Value) [][2]any {
	pairs := [][2]any{}
	for name, v := range members {
		pairs = append(pairs, [2]any{name, typed(v)})
	}
	slices.SortFunc(pairs, func(a, b [2]any) int { return bytes.Compare([]byte(a[0].(string)), []byte(b[0].(string))) })
	return pairs
}

func typed(v item.Value) map[string]any {
	return map[string]any{v.Type.String(): inner(v)}
}

func inner(v item.Value) any {
	switch v.Type {
	case item.S, item.N:
		return v.Str
	case item.B:
		return v.Bin
	case item.BOOL:
		return v.Bool
	case item.NULL:
		return true
	case item.M:
		return pairsOf(v.Map)
	}
	list := []any{}
	for _, e := range v.List {
		if v.Type == item.L {
			list = append(list, typed(e))
		} else {
			list = append(list, inner(e))
		}
	}
	return list
}
