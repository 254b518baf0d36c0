package parquet

import (
	"encoding/binary"
	"math/bits"
)

// Values that begin like the one before them, as identifiers that were counted up and times that were written one after
// the other do, are stored as DELTA_BYTE_ARRAY (Encodings.md, "Delta Strings"): what is left of them is short, and
// compressing it costs little.

const (
	// prefixSample is how many values at the start of a page are looked at.
	prefixSample = 128
	// prefixShare is the percentage of the sampled bytes that must be shared with the value before. With half of them
	// shared (words behind one fixed beginning) what is left compresses worse than the whole.
	prefixShare = 65
)

// prefixWorth tells from the first values of a page whether nearly all of their bytes are shared with the value before.
// Equal values are no reason: a compressor does as well with them.
func prefixWorth(text []byte, lengths []int64) bool {
	n := min(len(lengths), prefixSample)
	shared, total, equal := 0, 0, 0
	at, last := 0, 0
	for i, length := range lengths[:n] {
		size := int(length)
		if i > 0 {
			same := commonPrefix(text[last:at], text[at:at+size])
			shared += same
			total += size
			if same == size {
				equal++
			}
		}
		last, at = at, at+size
	}
	return 100*shared > prefixShare*total && equal < n/2
}

// commonPrefix is the number of bytes at the start in which a and b agree.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)>>3
		}
	}
	if n >= 8 { // the last word overlaps what is known to be equal
		if x := binary.LittleEndian.Uint64(a[n-8:]) ^ binary.LittleEndian.Uint64(b[n-8:]); x != 0 {
			return n - 8 + bits.TrailingZeros64(x)>>3
		}
		return n
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// prefixCoder is the scratch memory of DELTA_BYTE_ARRAY pages.
type prefixCoder struct {
	prefixes, suffixes []int64
	text               []byte
}

// append encodes the values that lie one behind the other in text. A page's first value is whole.
func (p *prefixCoder) append(dst, text []byte, lengths []int64) []byte {
	p.prefixes, p.suffixes, p.text = p.prefixes[:0], p.suffixes[:0], p.text[:0]
	var last []byte
	for _, length := range lengths {
		v := text[:length]
		text = text[length:]
		same := commonPrefix(last, v)
		p.prefixes = append(p.prefixes, int64(same))
		p.suffixes = append(p.suffixes, int64(len(v)-same))
		p.text = append(p.text, v[same:]...)
		last = v
	}
	dst = appendDelta(dst, p.prefixes)
	dst = appendDelta(dst, p.suffixes)
	return append(dst, p.text...)
}
