package ddbjson

import (
	"slices"
	"testing"
	"time"

	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// benchLines is a chunk that fits the second-level cache, as the Reader's do.
func benchLines(lines func([]byte, uint64, uint64, int) []byte) *item.Batch {
	return &item.Batch{Src: item.WithSlack(lines(nil, 1, 0, 370))}
}

// pace keeps the times of single rounds: on a shared machine the mean says how busy the neighbours were, while the
// fastest tenth, rounds of less than a millisecond that nobody interrupted, repeats to a few per cent.
type pace struct {
	rounds []time.Duration
	last   time.Time
}

func (p *pace) begin() { p.last = time.Now() }

func (p *pace) end() { p.rounds = append(p.rounds, time.Since(p.last)) }

func (p *pace) report(b *testing.B, bytes, items int) {
	slices.Sort(p.rounds)
	seconds := p.rounds[len(p.rounds)/10].Seconds()
	b.ReportMetric(float64(bytes)/seconds/1e9, "GB/s-p10")
	b.ReportMetric(float64(items)/seconds/1e6, "Mitems/s-p10")
	b.ReportMetric(float64(bytes)/p.rounds[0].Seconds()/1e9, "GB/s-best")
}

// The bound: with nothing to understand, reading at 10 GB/s and writing 16 bytes of tape for about 13 of input
// would leave some 4 GB/s. Every byte is compared once (literals, 32 bytes a step) or looked at once (contents, 8
// bytes in 9 operations), which is 2.5 GB/s at three instructions a cycle. Measured on a Milan core at 2.45 GHz:
// 1.9 GB/s for orders of 698 bytes and 52 tokens, 1.57 GB/s for mixed items of 399. The gap is branches: one leaf
// in three has a length or a successor that was not foreseen. The must is 1.5 GB/s.
func benchmarkLines(b *testing.B, lines func([]byte, uint64, uint64, int) []byte) {
	batch := benchLines(lines)
	parser := &Parser{}
	b.SetBytes(int64(len(batch.Src)))
	var pace pace
	for b.Loop() {
		pace.begin()
		batch.Tape, batch.Rows = batch.Tape[:0], batch.Rows[:0]
		if _, _, err := parser.ParseLines(batch, Wrapped, true, nil); err != nil {
			b.Fatal(err)
		}
		pace.end()
	}
	pace.report(b, len(batch.Src), batch.Len())
	b.ReportMetric(float64(len(batch.Src))/float64(batch.Len()), "B/item")
	b.ReportMetric(float64(len(batch.Tape))/float64(batch.Len()), "tokens/item")
}

func BenchmarkTokenizeOrders(b *testing.B) { benchmarkLines(b, itemtest.OrderLines) }
func BenchmarkTokenizeMixed(b *testing.B)  { benchmarkLines(b, itemtest.MixedLines) }

// The bound: 26 names looked up at 2 ns, 25 values hashed by xxh3 at 4 ns and 26 mixes at 2 ns are 200 ns an
// order. Measured: 400 ns, and 775 with the parsing: 1.29 M orders and 1.84 M mixed items a second. The gap is
// calls (Go keeps no registers across them) and xxh3's branches on lengths. The must is 1 M, the aim 2 M.
func benchmarkFingerprint(b *testing.B, lines func([]byte, uint64, uint64, int) []byte, parse bool) {
	batch := benchLines(lines)
	parser := &Parser{}
	if _, _, err := parser.ParseLines(batch, Wrapped, true, nil); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(batch.Src)))
	var hasher item.Hasher
	var sum item.Fingerprint
	var pace pace
	for b.Loop() {
		pace.begin()
		if parse {
			batch.Tape, batch.Rows = batch.Tape[:0], batch.Rows[:0]
			if _, _, err := parser.ParseLines(batch, Wrapped, true, nil); err != nil {
				b.Fatal(err)
			}
		}
		for i := range batch.Rows {
			sum.Add(hasher.Item(batch.Item(i)))
		}
		pace.end()
	}
	pace.report(b, len(batch.Src), batch.Len())
}

func BenchmarkHashOrders(b *testing.B)        { benchmarkFingerprint(b, itemtest.OrderLines, false) }
func BenchmarkFingerprintOrders(b *testing.B) { benchmarkFingerprint(b, itemtest.OrderLines, true) }
func BenchmarkFingerprintMixed(b *testing.B)  { benchmarkFingerprint(b, itemtest.MixedLines, true) }
