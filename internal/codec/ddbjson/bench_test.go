package ddbjson

import (
	"testing"

	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// benchLines is a chunk that fits the second-level cache, as the Reader's do.
func benchLines(lines func([]byte, uint64, uint64, int) []byte) *item.Batch {
	return &item.Batch{Src: item.WithSlack(lines(nil, 1, 0, 370))}
}

// The bound: a 64-byte line of cache copied at 10 GB/s would be all there is if nothing had to be understood. Every
// byte is compared once (literals, 32 bytes a step) or looked at once (contents, 8 bytes in 9 operations), and a token of
// 16 bytes is written for about 11 of input. The aim is 1.5 GB/s a core.
func benchmarkLines(b *testing.B, lines func([]byte, uint64, uint64, int) []byte) {
	batch := benchLines(lines)
	parser := &Parser{}
	b.SetBytes(int64(len(batch.Src)))
	items := 0
	for b.Loop() {
		batch.Tape, batch.Rows = batch.Tape[:0], batch.Rows[:0]
		if _, _, err := parser.ParseLines(batch, Wrapped, true, nil); err != nil {
			b.Fatal(err)
		}
		items += batch.Len()
	}
	b.ReportMetric(float64(items)/b.Elapsed().Seconds(), "items/s")
	b.ReportMetric(float64(len(batch.Src))/float64(batch.Len()), "B/item")
	b.ReportMetric(float64(len(batch.Tape))/float64(batch.Len()), "tokens/item")
}

func BenchmarkTokenizeOrders(b *testing.B) { benchmarkLines(b, itemtest.OrderLines) }
func BenchmarkTokenizeMixed(b *testing.B)  { benchmarkLines(b, itemtest.MixedLines) }

func benchmarkFingerprint(b *testing.B, lines func([]byte, uint64, uint64, int) []byte, parse bool) {
	batch := benchLines(lines)
	parser := &Parser{}
	if _, _, err := parser.ParseLines(batch, Wrapped, true, nil); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(batch.Src)))
	var hasher item.Hasher
	var sum item.Fingerprint
	for b.Loop() {
		if parse {
			batch.Tape, batch.Rows = batch.Tape[:0], batch.Rows[:0]
			if _, _, err := parser.ParseLines(batch, Wrapped, true, nil); err != nil {
				b.Fatal(err)
			}
		}
		for i := range batch.Rows {
			sum.Add(hasher.Item(batch.Item(i)))
		}
	}
	b.ReportMetric(float64(sum.Count)/b.Elapsed().Seconds(), "items/s")
}

func BenchmarkHashOrders(b *testing.B)        { benchmarkFingerprint(b, itemtest.OrderLines, false) }
func BenchmarkFingerprintOrders(b *testing.B) { benchmarkFingerprint(b, itemtest.OrderLines, true) }
func BenchmarkFingerprintMixed(b *testing.B)  { benchmarkFingerprint(b, itemtest.MixedLines, true) }
