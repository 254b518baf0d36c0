package changelog

import (
	"slices"

	"github.com/zeebo/xxh3"
)

// Filter is a Bloom filter of keys' hashes. What it has not is certainly not there; one in a hundred that are not there it
// seems to have. An empty one has nothing.
type Filter []byte

const (
	filterBitsPerKey = 10
	filterProbes     = 7
	filterBytesMin   = 8 // so that one key does not fill half of the filter
)

// KeyHash is what a filter knows of a key in canonical form (item.KeySchema.AppendKey). It is never 0, which stands for
// a record without a key.
func KeyHash(canonical []byte) uint64 { return max(xxh3.Hash(canonical), 1) }

// newFilter makes a filter of hashes, which it sorts.
func newFilter(hashes []uint64) Filter {
	slices.Sort(hashes)
	hashes = slices.Compact(hashes)
	if len(hashes) == 0 {
		return nil
	}
	f := make(Filter, max(filterBytesMin, (len(hashes)*filterBitsPerKey+7)/8))
	for _, hash := range hashes {
		for i := range filterProbes {
			bit := f.bit(hash, i)
			f[bit/8] |= 1 << (bit % 8)
		}
	}
	return f
}

// bit is where probe i of a hash falls: two halves of the hash make a sequence of 32-bit numbers, each scaled to the filter.
func (f Filter) bit(hash uint64, i int) uint64 {
	probe := uint32(hash) + uint32(i)*(uint32(hash>>32)|1)
	return uint64(probe) * uint64(len(f)*8) >> 32
}

// Has tells whether the filter may know the hash.
func (f Filter) Has(hash uint64) bool {
	if len(f) == 0 {
		return false
	}
	for i := range filterProbes {
		if bit := f.bit(hash, i); f[bit/8]>>(bit%8)&1 == 0 {
			return false
		}
	}
	return true
}
