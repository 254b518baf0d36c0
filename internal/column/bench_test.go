package column

import (
	"fmt"
	"testing"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

const (
	benchRows  = 8192 // of a slab
	benchItems = 512  // distinct ones: what a chunk of input holds, so that tape and bytes are as warm as in a run
)

// benchBatch parses n items made by one of itemtest's generators.
func benchBatch(tb testing.TB, make func(dst []byte, seed, i uint64) []byte, n int) *item.Batch {
	tb.Helper()
	b := &item.Batch{}
	var ends []int
	for i := range n {
		b.Src = make(b.Src, 1, uint64(i))
		ends = append(ends, len(b.Src))
	}
	src := item.WithSlack(b.Src)
	*b = item.Batch{}
	from := 0
	for _, end := range ends {
		one := item.Batch{Src: item.WithSlack(src[from:end])}
		if err := ddbjson.Parse(&one, 0); err != nil {
			tb.Fatal(err)
		}
		shift, first := uint32(len(b.Src)), uint32(len(b.Tape))
		b.Src = append(b.Src, one.Src...)
		for _, token := range one.Tape {
			token.Off += shift
			token.End += shift
			b.Tape = append(b.Tape, token)
		}
		b.Rows = append(b.Rows, item.Row{First: first})
		from = end
	}
	b.Src = item.WithSlack(b.Src)
	return b
}

// BenchmarkAppend is observe and append together. Bound: each of the order's 700 bytes is read once and about 350 of
// them copied, each of its 70 tokens looked at: 70 x 3 ns + copying = 250 ns.
func BenchmarkAppend(b *testing.B) {
	for name, gen := range map[string]func([]byte, uint64, uint64) []byte{"orders": itemtest.AppendOrder, "mixed": itemtest.AppendMixed} {
		b.Run(name, func(b *testing.B) {
			batch := benchBatch(b, gen, benchItems)
			s := NewShredder(ShredOptions{})
			for range 2 {
				for i := range benchRows {
					s.Append(batch.Item(i % benchItems))
				}
				s.Slab()
			}
			b.SetBytes(int64(len(batch.Src) / benchItems))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if s.Append(batch.Item(i % benchItems)); i == benchRows-1 {
					s.Slab()
					i = -1
				}
				i++
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
}

func BenchmarkAssemble(b *testing.B) {
	for name, gen := range map[string]func([]byte, uint64, uint64) []byte{"orders": itemtest.AppendOrder, "mixed": itemtest.AppendMixed} {
		b.Run(name, func(b *testing.B) {
			batch := benchBatch(b, gen, benchRows)
			s := NewShredder(ShredOptions{})
			for i := range batch.Len() {
				s.Append(batch.Item(i))
			}
			slab := s.Slab()
			a := NewAssembler(slab.Schema)
			var out item.Batch
			b.SetBytes(int64(len(batch.Src) / benchRows))
			b.ReportAllocs()
			rows := 0
			for b.Loop() {
				if rows++; rows%benchRows == 0 || rows == 1 {
					out.Reset()
					if err := a.Items(slab, &out); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
}

func BenchmarkObserve(b *testing.B) {
	batch := benchBatch(b, itemtest.AppendOrder, benchRows)
	var s Stats
	b.SetBytes(int64(len(batch.Src) / benchRows))
	i := 0
	for b.Loop() {
		s.Observe(batch.Item(i % benchRows))
		i++
	}
}

func BenchmarkReshape(b *testing.B) {
	batch := benchBatch(b, itemtest.AppendMixed, benchRows)
	s := NewShredder(ShredOptions{})
	for i := range batch.Len() {
		s.Append(batch.Item(i))
	}
	slab := s.Slab()
	to := s.Stats().Schema(SchemaOptions{LeavesMax: 20})
	for b.Loop() {
		if _, err := Reshape(slab, to); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*benchRows)/b.Elapsed().Seconds(), "items/s")
}

// Names made of data: every item has an attribute of its own.
func BenchmarkAppendFreshNames(b *testing.B) {
	batch := &item.Batch{}
	for i := range 1 << 16 {
		one, err := ddbjson.ParseItem(fmt.Appendf(nil, `{"id":{"N":"%d"},"n%d":{"S":"x"}}`, i, i))
		if err != nil {
			b.Fatal(err)
		}
		shift, first := uint32(len(batch.Src)), uint32(len(batch.Tape))
		batch.Src = append(batch.Src, one.Src...)
		for _, token := range one.Tape {
			token.Off += shift
			token.End += shift
			batch.Tape = append(batch.Tape, token)
		}
		batch.Rows = append(batch.Rows, item.Row{First: first})
	}
	s := NewShredder(ShredOptions{})
	i := 0
	for b.Loop() {
		if s.Append(batch.Item(i % batch.Len())); s.Rows() == benchRows {
			s.Slab()
		}
		i++
	}
}
