package ion

import (
	"bytes"
	"io"
	"testing"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// benchItems are 2,000 items of a kind, and their Ion.
func benchItems(b *testing.B, lines func([]byte, uint64, uint64, int) []byte, binary bool) (*item.Batch, []byte) {
	b.Helper()
	batch := &item.Batch{Src: item.WithSlack(lines(nil, 1, 0, 2000))}
	if _, err := ddbjson.ParseLines(batch, ddbjson.Wrapped, true, nil); err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	w := NewWriter(&out, WriterOptions{Binary: binary})
	if err := w.Write(batch); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return batch, out.Bytes()
}

func benchmarkRead(b *testing.B, lines func([]byte, uint64, uint64, int) []byte, binary bool) {
	items, encoded := benchItems(b, lines, binary)
	b.SetBytes(int64(len(encoded)))
	b.ReportAllocs()
	var batch item.Batch
	for b.Loop() {
		r := NewReader(bytes.NewReader(encoded), ReaderOptions{})
		n := 0
		for {
			err := r.Read(&batch)
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			n += batch.Len()
		}
		if n != items.Len() {
			b.Fatalf("%d items", n)
		}
	}
	seconds := b.Elapsed().Seconds()
	b.ReportMetric(float64(items.Len()*b.N)/seconds/1e6, "Mitems/s")
	b.ReportMetric(float64(len(items.Src)*b.N)/seconds/1e6, "MB-of-JSON/s")
}

func BenchmarkReadTextOrders(b *testing.B)   { benchmarkRead(b, itemtest.OrderLines, false) }
func BenchmarkReadTextMixed(b *testing.B)    { benchmarkRead(b, itemtest.MixedLines, false) }
func BenchmarkReadBinaryOrders(b *testing.B) { benchmarkRead(b, itemtest.OrderLines, true) }
func BenchmarkReadBinaryMixed(b *testing.B)  { benchmarkRead(b, itemtest.MixedLines, true) }

func benchmarkWrite(b *testing.B, binary bool) {
	items, encoded := benchItems(b, itemtest.OrderLines, binary)
	b.SetBytes(int64(len(encoded)))
	b.ReportAllocs()
	w := NewWriter(io.Discard, WriterOptions{Binary: binary})
	for b.Loop() {
		if err := w.Write(items); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(items.Len()*b.N)/b.Elapsed().Seconds()/1e6, "Mitems/s")
}

func BenchmarkWriteText(b *testing.B)   { benchmarkWrite(b, false) }
func BenchmarkWriteBinary(b *testing.B) { benchmarkWrite(b, true) }
