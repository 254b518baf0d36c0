package itemtest

import "math/bits"

// random is splitmix64: a good sequence for each seed, at a nanosecond a number.
type random uint64

func newRandom(seed, i uint64) random {
	r := random(seed*0x9e3779b97f4a7c15 ^ bits.RotateLeft64(i*0xd1342543de82ef95, 31))
	r.next()
	return r
}

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	x := uint64(*r)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below returns a number from 0 to n-1.
func (r *random) below(n int) int {
	hi, _ := bits.Mul64(r.next(), uint64(n))
	return int(hi)
}

// one returns one of the choices.
func (r *random) one(choices ...string) string { return choices[r.below(len(choices))] }
