package local

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// The one-pass size of stored bytes is item.Size, whatever the item.
func TestSizeOfStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		it, err := item.FromMap(drawMembers(t, 3, drawName))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := sizeOf(it.Raw())
		if want := item.Size(it); !ok || got != want {
			t.Fatalf("%s: %d (%v), item.Size says %d", it.Raw(), got, ok, want)
		}
		spaced := strings.NewReplacer(":", " : ", ",", " ,\n").Replace(string(it.Raw()))
		if tokenised, err := tokens(new(item.Batch), []byte(spaced)); err == nil {
			if got, ok := sizeOf([]byte(spaced)); !ok || got != item.Size(tokenised) {
				t.Fatalf("%s: %d (%v), item.Size says %d", spaced, got, ok, item.Size(tokenised))
			}
		}
	})
}

func TestSizeOfRefuses(t *testing.T) {
	for _, raw := range []string{"", "{", "{}x", `{"a"}`, `{"a":}`, `{"a":{"S":"x"}`, `{"a":{"Q":"x"}}`, `{"a":{"S":"x`,
		`{"a":{"L":[{"S":"x"}}}`, `[]`, `{"a":{"S":1}}`} {
		if n, ok := sizeOf([]byte(raw)); ok {
			t.Errorf("%s has the size %d", raw, n)
		}
	}
}

func BenchmarkSizeOf(b *testing.B) {
	raw := itemtest.AppendOrder(nil, 1, 1)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := sizeOf(raw); !ok {
			b.Fatal("not an item")
		}
	}
}
