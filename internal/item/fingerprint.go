package item

import (
	"bytes"
	"encoding/hex"
	"math/bits"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/fault"
)

// Fingerprint stands for a set of items whatever their order: their number and the sum of their hashes modulo 2^256.
// A sum, unlike XOR, does not let two equal items cancel. The zero Fingerprint is that of no items.
type Fingerprint struct {
	Count uint64
	Sum   Hash
}

// Add adds modulo 2^256.
func (h Hash) Add(g Hash) Hash {
	var carry uint64
	for i := range h {
		h[i], carry = bits.Add64(h[i], g[i], carry)
	}
	return h
}

// Add takes in one item.
func (f *Fingerprint) Add(h Hash) { f.add(h[0], h[1], h[2], h[3]) }

func (f *Fingerprint) add(w0, w1, w2, w3 uint64) {
	f.Count++
	sum := &f.Sum
	var carry uint64
	sum[0], carry = bits.Add64(sum[0], w0, 0)
	sum[1], carry = bits.Add64(sum[1], w1, carry)
	sum[2], carry = bits.Add64(sum[2], w2, carry)
	sum[3], _ = bits.Add64(sum[3], w3, carry)
}

// Merge takes in the items of another fingerprint.
func (f *Fingerprint) Merge(g Fingerprint) {
	f.Count += g.Count
	f.Sum = f.Sum.Add(g.Sum)
}

// Minus returns the fingerprint of what remains when g's items are taken out.
func (f Fingerprint) Minus(g Fingerprint) Fingerprint {
	var borrow uint64
	for i := range f.Sum {
		f.Sum[i], borrow = bits.Sub64(f.Sum[i], g.Sum[i], borrow)
	}
	f.Count -= g.Count
	return f
}

// hashText is the length of a hash in hexadecimal digits.
const hashText = 64

// String renders the hash as 64 hexadecimal digits, the highest first.
func (h Hash) String() string { return string(h.append(nil)) }

func (h Hash) append(dst []byte) []byte {
	for i := len(h) - 1; i >= 0; i-- {
		for shift := 60; shift >= 0; shift -= 4 {
			dst = append(dst, hexDigits[h[i]>>shift&15])
		}
	}
	return dst
}

// ParseHash reads what String renders.
func ParseHash(text string) (Hash, error) {
	var h Hash
	var raw [hashText / 2]byte
	if len(text) != hashText {
		return h, fault.New(fault.Corrupt, "hash %.80q has not %d digits", text, hashText)
	}
	if _, err := hex.Decode(raw[:], []byte(text)); err != nil {
		return h, fault.New(fault.Corrupt, "hash %q: %w", text, err)
	}
	for i, b := range raw {
		limb := len(h) - 1 - i/8
		h[limb] = h[limb]<<8 | uint64(b)
	}
	return h, nil
}

// String renders count and sum: 3:00ab...; ParseFingerprint reads it.
func (f Fingerprint) String() string { return string(f.append(nil)) }

func (f Fingerprint) append(dst []byte) []byte {
	dst = strconv.AppendUint(dst, f.Count, 10)
	return f.Sum.append(append(dst, ':'))
}

// ParseFingerprint reads what String renders.
func ParseFingerprint(text string) (Fingerprint, error) {
	count, sum, ok := strings.Cut(text, ":")
	if !ok {
		return Fingerprint{}, fault.New(fault.Corrupt, "fingerprint %.80q has no colon", text)
	}
	n, err := strconv.ParseUint(count, 10, 64)
	if err != nil {
		return Fingerprint{}, fault.New(fault.Corrupt, "fingerprint count %.80q: %w", count, err)
	}
	h, err := ParseHash(sum)
	if err != nil {
		return Fingerprint{}, err
	}
	return Fingerprint{Count: n, Sum: h}, nil
}

// MarshalText writes the form of String; JSON uses it too.
func (f Fingerprint) MarshalText() ([]byte, error) { return f.append(nil), nil }

// UnmarshalText reads the form of String.
func (f *Fingerprint) UnmarshalText(text []byte) error {
	parsed, err := ParseFingerprint(string(text))
	if err != nil {
		return err
	}
	*f = parsed
	return nil
}

// Buckets are the parts of a fingerprint by the hash of the items' canonical keys, so that a difference is located
// without looking again at what is equal. Its JSON form is an array of fingerprints in text form.
type Buckets []Fingerprint

// BucketOf returns which of n buckets the item with this canonical key (KeySchema.AppendKey) belongs to.
func BucketOf(key []byte, n int) int {
	hi, _ := bits.Mul64(xxh3.Hash(key), uint64(n))
	return int(hi)
}

// Add takes in one item by its canonical key.
func (b Buckets) Add(key []byte, h Hash) { b[BucketOf(key, len(b))].Add(h) }

// Merge takes in the items of as many other buckets.
func (b Buckets) Merge(c Buckets) error {
	if len(b) != len(c) {
		return fault.New(fault.Corrupt, "%d buckets cannot take in %d", len(b), len(c))
	}
	for i := range b {
		b[i].Merge(c[i])
	}
	return nil
}

// Sum is the fingerprint of all buckets.
func (b Buckets) Sum() Fingerprint {
	var f Fingerprint
	for i := range b {
		f.Merge(b[i])
	}
	return f
}

// Differ returns the indices of the buckets that differ.
func (b Buckets) Differ(c Buckets) []int {
	var which []int
	for i := range b {
		if i >= len(c) || b[i] != c[i] {
			which = append(which, i)
		}
	}
	return which
}

// String renders the buckets with spaces between; ParseBuckets reads it.
func (b Buckets) String() string {
	var text bytes.Buffer
	for i, f := range b {
		if i > 0 {
			text.WriteByte(' ')
		}
		text.Write(f.append(nil))
	}
	return text.String()
}

// ParseBuckets reads what String renders.
func ParseBuckets(text string) (Buckets, error) {
	var b Buckets
	for part := range strings.FieldsSeq(text) {
		f, err := ParseFingerprint(part)
		if err != nil {
			return nil, err
		}
		b = append(b, f)
	}
	return b, nil
}
