package sample

import "math/bits"

// Random is splitmix64: a good sequence for each seed, at a nanosecond a number.
type Random uint64

// NewRandom starts the sequence of a seed and a number.
func NewRandom(seed, i uint64) Random {
	r := Random(seed*0x9e3779b97f4a7c15 ^ bits.RotateLeft64(i*0xd1342543de82ef95, 31))
	r.Next()
	return r
}

// Next returns 64 random bits.
func (r *Random) Next() uint64 {
	*r += 0x9e3779b97f4a7c15
	x := uint64(*r)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Below returns a number from 0 to n-1.
func (r *Random) Below(n int) int {
	hi, _ := bits.Mul64(r.Next(), uint64(n))
	return int(hi)
}

// One returns one of the choices.
func (r *Random) One(choices ...string) string { return choices[r.Below(len(choices))] }
