package ion

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"time"

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

// pace keeps the times of single rounds: on a shared machine the mean says how busy the neighbours were, while the fastest
// tenth repeats to a few per cent.
type pace []time.Duration

func (p pace) report(b *testing.B, ion, json, items int) {
	slices.Sort(p)
	seconds := p[len(p)/10].Seconds()
	b.ReportMetric(float64(ion)/seconds/1e6, "MB/s-p10")
	b.ReportMetric(float64(json)/seconds/1e6, "MB-of-JSON/s-p10")
	b.ReportMetric(float64(items)/seconds/1e6, "Mitems/s-p10")
}

// The bound: an order of 502 bytes of text has 52 tokens, and as many stretches of DynamoDB JSON of 13 bytes and tokens of 16
// are written for them. At 10 ns a token, two calls and two unforeseen branches, that is 520 ns an order, 960 MB/s of text.
// Measured on a Milan core at 2.45 GHz with busy neighbours: 350 MB/s (490 MB/s counted as the DynamoDB JSON that comes
// out), 0.7 M orders/s, 27 ns a token. The gap is calls: a name, its value and their two tokens pass nine functions, cursor and
// Builder among them, since the grammar knows no items and Builder no grammar. Binary has half the bytes and the same
// tokens: 180 MB/s, 0.6 M orders/s.
func benchmarkRead(b *testing.B, lines func([]byte, uint64, uint64, int) []byte, binary bool) {
	items, encoded := benchItems(b, lines, binary)
	b.SetBytes(int64(len(encoded)))
	b.ReportAllocs()
	var batch item.Batch
	var p pace
	for b.Loop() {
		start := time.Now()
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
		p = append(p, time.Since(start))
	}
	p.report(b, len(encoded), len(items.Src), items.Len())
}

func BenchmarkReadTextOrders(b *testing.B)   { benchmarkRead(b, itemtest.OrderLines, false) }
func BenchmarkReadTextMixed(b *testing.B)    { benchmarkRead(b, itemtest.MixedLines, false) }
func BenchmarkReadBinaryOrders(b *testing.B) { benchmarkRead(b, itemtest.OrderLines, true) }
func BenchmarkReadBinaryMixed(b *testing.B)  { benchmarkRead(b, itemtest.MixedLines, true) }

// The bound: copying 700 bytes of DynamoDB JSON to 500 of text, piece by piece at 5 ns each, is 260 ns an order, 1.9 GB/s.
// Measured: 910 MB/s of text; binary 225 MB/s, where each name is looked up in a map (25 ns) and each number becomes 128
// bits first.
func benchmarkWrite(b *testing.B, binary bool) {
	items, encoded := benchItems(b, itemtest.OrderLines, binary)
	b.SetBytes(int64(len(encoded)))
	b.ReportAllocs()
	w := NewWriter(io.Discard, WriterOptions{Binary: binary})
	var p pace
	for b.Loop() {
		start := time.Now()
		if err := w.Write(items); err != nil {
			b.Fatal(err)
		}
		p = append(p, time.Since(start))
	}
	p.report(b, len(encoded), len(items.Src), items.Len())
}

func BenchmarkWriteText(b *testing.B)   { benchmarkWrite(b, false) }
func BenchmarkWriteBinary(b *testing.B) { benchmarkWrite(b, true) }
