package itemtest

import "dynaferry/internal/sample"

// random is the samples' generator under the names that this package's source has.
type random struct{ sample.Random }

func newRandom(seed, i uint64) random { return random{sample.NewRandom(seed, i)} }

func (r *random) next() uint64                 { return r.Next() }
func (r *random) below(n int) int              { return r.Below(n) }
func (r *random) one(choices ...string) string { return r.One(choices...) }

// AppendOrder is sample.AppendOrder: one shape, about 700 bytes.
func AppendOrder(dst []byte, seed, i uint64) []byte { return sample.AppendOrder(dst, seed, i) }

// AppendMixed is sample.AppendMixed: four kinds of item, types that conflict, rare attributes.
func AppendMixed(dst []byte, seed, i uint64) []byte { return sample.AppendMixed(dst, seed, i) }

// OrderLines is sample.OrderLines.
func OrderLines(dst []byte, seed, first uint64, n int) []byte {
	return sample.OrderLines(dst, seed, first, n)
}

// MixedLines is sample.MixedLines.
func MixedLines(dst []byte, seed, first uint64, n int) []byte {
	return sample.MixedLines(dst, seed, first, n)
}
