package parquet

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go/format"
	"pgregory.net/rapid"

	"dynaferry/internal/column"
	"dynaferry/internal/item"
)

// Any texts come back from DELTA_BYTE_ARRAY, each by whole value and across the pieces that values are read in.
func TestPrefixRoundTrip(t *testing.T) {
	var coder prefixCoder
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom([]byte("ab\x00\xff")), 0, 40), 1, 600).Draw(t, "texts")
		text, lengths := bytes.Join(texts, nil), []int64{}
		for _, x := range texts {
			lengths = append(lengths, int64(len(x)))
		}
		d := values{physical: format.ByteArray}
		v := &column.Vector{}
		if !d.open(format.DeltaByteArray, coder.append(nil, text, lengths), int64(len(texts))) || !d.read(v, len(texts)) {
			t.Fatal("not read")
		}
		if !bytes.Equal(v.Bytes, text) || len(v.Ends) != len(texts) {
			t.Fatalf("%q became %q", text, v.Bytes)
		}
		for i, x := range texts {
			if int(v.Ends[i]) != len(bytes.Join(texts[:i+1], nil)) {
				t.Fatalf("value %d is not %q", i, x)
			}
		}
	})
}

func TestCommonPrefix(t *testing.T) {
	for n := range 40 {
		a := bytes.Repeat([]byte{'x'}, n)
		for at := range n {
			b := slices.Clone(a)
			b[at] = 'y'
			if got := commonPrefix(a, append(b, 'z')); got != at {
				t.Errorf("of %d: differ at %d, found %d", n, at, got)
			}
		}
		if got := commonPrefix(a, append(slices.Clone(a), 'z')); got != n {
			t.Errorf("of %d: %d", n, got)
		}
	}
}

// What was counted up is stored by its endings; words with one beginning and repeated values are not; all come back.
func TestPrefixIsChosen(t *testing.T) {
	var raws [][]byte
	for i := range 3000 {
		raws = append(raws, fmt.Appendf(nil, `{"id":{"S":"order-%09d"},"at":{"S":"2026-01-%02dT%02d:%02d:%02d.000Z"},"sku":{"S":"S-%d"},"day":{"S":"2026-01-01 and %d"}}`,
			i, i/86400+1, i/3600%24, i/60%60, i%60, i*7919%99991, i/1500))
	}
	b := parsed(t, raws...)
	s := stage(t, b, 1000, Options{PageBytes: 8 << 10})
	schema := s.stats.Schema(column.SchemaOptions{})
	want := map[string]format.Encoding{"id": format.DeltaByteArray, "at": format.DeltaByteArray,
		"sku": format.DeltaLengthByteArray, "day": format.RLEDictionary}
	group := s.meta.Groups[0]
	for i, leaf := range s.meta.Schemas[group.Schema].Leaves() {
		if e, ok := want[leaf.Field.Source]; ok {
			if got := group.Chunks[i].Pages[0].Encoding; got != e {
				t.Errorf("%s has encoding %s, want %s", leaf.Field.Source, got, e)
			}
		}
	}
	file := publish(t, s, schema)
	r, err := Open(bytes.NewReader(file), int64(len(file)), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out item.Batch
	n := 0
	for {
		if err := r.Read(&out); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for i := range out.Len() {
			if !item.Equal(out.Item(i), b.Item(n)) {
				t.Fatalf("item %d came back as %s", n, out.Item(i).Raw())
			}
			n++
		}
	}
	if n != len(raws) {
		t.Fatalf("%d items of %d", n, len(raws))
	}
}
