package parquet

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/column"
)

// bloomBytesMax is where a filter stops to grow: parquet-java's default for parquet.bloom.filter.max.bytes.
const bloomBytesMax = 1 << 20

// appendHashes appends XXH64 of the PLAIN form of values (BloomFilter.md).
func appendHashes(dst []uint64, s storage, v *column.Vector, from, to int) []uint64 {
	var hash bloom.XXH64
	switch s {
	case asLong:
		for _, x := range v.Longs[from:to] {
			dst = append(dst, hash.Sum64Uint64(uint64(x)))
		}
	case asDate:
		for _, x := range v.Longs[from:to] {
			dst = append(dst, hash.Sum64Uint32(uint32(x)))
		}
	case asDouble:
		for _, x := range v.Doubles[from:to] {
			dst = append(dst, hash.Sum64Uint64(math.Float64bits(x)))
		}
	case asBytes, asFixed:
		for i := from; i < to; i++ {
			start := uint32(0)
			if i > 0 {
				start = v.Ends[i-1]
			}
			dst = append(dst, hash.Sum64(v.Bytes[start:v.Ends[i]]))
		}
	}
	return dst
}

// bloom writes the filter of a finished chunk, sized by its number of distinct values, and returns its length.
func (w *Writer) bloom(c *chunkWriter) int32 {
	slices.Sort(c.hashes)
	distinct := slices.Compact(c.hashes)
	// Bits for a value in a split-block filter: -8 / ln(1 - p^(1/8)) (Putze, Sanders, Singler: Cache-, Hash- and
	// Space-Efficient Bloom Filters).
	bits := -8 / math.Log(1-math.Pow(w.o.BloomFPP, 1.0/8))
	blocks := max(1, int(math.Ceil(bits*float64(len(distinct))/256)))
	blocks = min(blocks, bloomBytesMax/32)
	filter := make(bloom.SplitBlockFilter, blocks)
	for _, h := range distinct {
		filter.Insert(h)
	}
	head, err := thrift.Marshal(&thrift.CompactProtocol{}, &format.BloomFilterHeader{
		NumBytes:    int32(blocks * 32),
		Algorithm:   format.BloomFilterAlgorithm{Value: &format.SplitBlockAlgorithm{}},
		Hash:        format.BloomFilterHash{Value: &format.XxHash{}},
		Compression: format.BloomFilterCompression{Value: &format.BloomFilterUncompressed{}},
	})
	if err != nil {
		w.err = err
		return 0
	}
	start := w.offset
	w.write(head)
	var words []byte
	for i := range filter {
		for _, word := range filter[i] {
			words = binary.LittleEndian.AppendUint32(words, uint32(word))
		}
	}
	w.write(words)
	return int32(w.offset - start)
}
