package step

import (
	"context"
	"testing"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
	"dynaferry/internal/sample"
)

// BenchmarkSteps is one step over batches of 300 orders of about 800 bytes, parsing them left out. What a step has to do is find a few
// names among a dozen (about 0.1 µs) and, where it changes something, copy bytes and tape (about 0.2 µs).
func BenchmarkSteps(b *testing.B) {
	for _, text := range []string{"", "drop nothing", "filter total > 10", `filter status in ["paid", "open"] and total >= 10`, "filter total * 2 > 20", "drop address", "rename status=state",
		"keep orderId status total", "add source='orders'", "mask address.city", "hash address.city key=env:KEY", "map t=total * 2"} {
		b.Run(text, func(b *testing.B) {
			var steps []string
			if text != "" {
				steps = []string{text}
			}
			r := start(b, steps...)
			const items = 300
			from := &item.Batch{}
			for i := range uint64(items) {
				from.Src = append(sample.AppendOrder(from.Src, 1, i), '\n')
			}
			if _, err := ddbjson.ParseLines(from, ddbjson.Bare, true, nil); err != nil {
				b.Fatal(err)
			}
			work := &item.Batch{}
			refuse := func(f Refusal) error { return f.Reason }
			b.ReportAllocs()
			for b.Loop() {
				work.Src, work.Tape = from.Src, from.Tape
				work.Rows = append(work.Rows[:0], from.Rows...)
				if err := r.Items(context.Background(), work, refuse); err != nil {
					b.Fatal(err)
				}
				r.spare.Src, r.spare.Tape = nil, nil
				if len(work.Src) > 0 && &work.Src[0] != &from.Src[0] {
					r.spare.Src, r.spare.Tape = work.Src, work.Tape // as the holder would hand it back
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/items, "ns/item")
		})
	}
}
