package parquet

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"dynaferry/internal/column"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// orderSlabs shreds uniform orders of about 700 B of DynamoDB JSON, 18 leaves, nested lists and maps.
func orderSlabs(b *testing.B, n int) (batch *item.Batch, source int64) {
	var raws [][]byte
	for i := range uint64(n) {
		raw := itemtest.AppendOrder(nil, 1, i)
		source += int64(len(raw)) + 1
		raws = append(raws, raw)
	}
	return parsed(b, raws...), source
}

// BenchmarkWriter is encode and compression per MB of source JSON (SetBytes is the JSON's size, so MB/s compare with
// the other stages of the hot path).
//
// Bound: 18 leaves of 1 M rows are some 300 MB of values; encoding passes over them about three times (copy, bounds,
// encode) at 3-10 GB/s: 0.1-0.2 s for 709 MB of source, 3.5-7 GB/s. zstd's fastest level runs at 200-300 MB/s over the
// some 250 MB that encoding leaves: 1.0-1.2 s, 600 MB/s. See docs/formats/parquet.md for what was measured.
func BenchmarkWriter(b *testing.B) {
	batch, source := orderSlabs(b, 20_000)
	for _, c := range []Compression{None, Zstd, Snappy} {
		b.Run(string(c), func(b *testing.B) {
			shredder := column.NewShredder(column.ShredOptions{})
			for i := range batch.Len() {
				if err := shredder.Append(batch.Item(i)); err != nil {
					b.Fatal(err)
				}
			}
			slab := shredder.Slab()
			b.SetBytes(source)
			b.ReportAllocs()
			w := NewWriter(io.Discard, Options{Compression: c})
			for b.Loop() {
				if err := w.Write(slab); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := w.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(w.offset)/float64(w.meta.Rows), "B/row")
		})
	}
}

// BenchmarkReader is file to items: decode, assemble, lay out DynamoDB JSON. Bound: unzstd at 1-2 GB/s over 250 MB is
// 0.15-0.25 s of the 709 MB; the rest is writing the JSON.
func BenchmarkReader(b *testing.B) {
	batch, source := orderSlabs(b, 20_000)
	s := stage(b, batch, 4096, Options{})
	file := publish(b, s, s.stats.Schema(column.SchemaOptions{}))
	for _, mode := range []string{"items", "pages"} {
		b.Run(mode, func(b *testing.B) {
			b.SetBytes(source)
			b.ReportAllocs()
			var out item.Batch
			for b.Loop() {
				r, err := Open(bytes.NewReader(file), int64(len(file)), ReadOptions{})
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					if mode == "items" {
						err = r.Read(&out)
						continue
					}
					var slab *column.Slab
					if slab, err = r.slab(); err == nil {
						r.rows.drop(slab.Rows)
					}
				}
				if err != io.EOF {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStages measures the encoders alone, per value.
func BenchmarkStages(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	const n = 32 << 10
	longs, lengths := make([]int64, n), make([]int64, n)
	var text []byte
	defs := make([]byte, n)
	few := make([]int64, n)
	for i := range n {
		longs[i], few[i] = r.Int64N(1e6), r.Int64N(200)*1_000_003
		lengths[i] = 12 + r.Int64N(8)
		text = append(text, fmt.Sprintf("%020d", r.Int64())[:lengths[i]]...)
		if r.IntN(10) > 0 {
			defs[i] = 1
		}
	}
	var dst []byte
	per := func(name string, do func()) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				do()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/value")
		})
	}
	per("delta", func() { dst = appendDelta(dst[:0], longs) })
	per("long bounds", func() { longBounds(longs, asLong) })
	per("text bounds", func() { textBounds(text, lengths, true) })
	var e hybridEncoder
	per("levels", func() { e.reset(1); e.levels(defs); e.finish() })
	d := newDictionary(asLong)
	idx := make([]uint32, 0, n)
	per("dictionary", func() { d.reset(); idx, _, _ = d.indexLongs(idx[:0], few) })
	out := make([]int64, n)
	packed := appendDelta(nil, longs)
	per("undelta", func() { u, _ := newDeltaDecoder(packed); u.read(out) })
}
