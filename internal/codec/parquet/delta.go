package parquet

import (
	"encoding/binary"
	"math/bits"
)

// The shape of our DELTA_BINARY_PACKED blocks: parquet-java's, which every reader has met.
const (
	deltaBlock    = 128
	deltaMini     = 32
	deltaMinis    = deltaBlock / deltaMini
	deltaMinisMax = 4096    // refused beyond: a block header that lies
	deltaBlockMax = 1 << 20 // likewise
)

// appendDelta appends v in DELTA_BINARY_PACKED (Encodings.md, "Delta Encoding"). Differences wrap as the format wants.
func appendDelta(dst []byte, v []int64) []byte {
	dst = binary.AppendUvarint(dst, deltaBlock)
	dst = binary.AppendUvarint(dst, deltaMinis)
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	if len(v) == 0 {
		return append(dst, 0)
	}
	dst = binary.AppendVarint(dst, v[0])
	last := v[0]
	v = v[1:]
	var deltas [deltaBlock]uint64
	for len(v) > 0 {
		n := min(len(v), deltaBlock)
		lowest := int64(1<<63 - 1)
		for i, x := range v[:n] {
			d := x - last
			last = x
			deltas[i] = uint64(d)
			lowest = min(lowest, d)
		}
		v = v[n:]
		dst = appendDeltaBlock(dst, &deltas, n, lowest)
	}
	return dst
}

// appendDeltaBlock packs the first n of deltas less lowest. Miniblocks behind the last value have width 0 and no body.
func appendDeltaBlock(dst []byte, deltas *[deltaBlock]uint64, n int, lowest int64) []byte {
	dst = binary.AppendVarint(dst, lowest)
	at := len(dst)
	dst = append(dst, make([]byte, deltaMinis)...)
	for i := range deltas {
		if i < n {
			deltas[i] -= uint64(lowest)
		} else {
			deltas[i] = 0
		}
	}
	for m := 0; m*deltaMini < n; m++ {
		mini := (*[deltaMini]uint64)(deltas[m*deltaMini:])
		var all uint64
		for _, d := range mini {
			all |= d
		}
		width := uint(bits.Len64(all))
		dst[at+m] = byte(width)
		dst = appendPacked(dst, mini, width)
	}
	return dst
}

// appendPacked bit-packs 32 values, lowest bit first: 4*width bytes.
func appendPacked(dst []byte, v *[deltaMini]uint64, width uint) []byte {
	if width == 0 {
		return dst
	}
	var acc uint64
	var used uint
	for _, x := range v {
		acc |= x << used
		used += width
		if used >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, acc)
			used -= 64
			acc = x >> (width - used) // a shift by 64 gives 0 in Go, which is right for used == 0
		}
	}
	if used > 0 { // 32*width bits are a multiple of 32
		dst = binary.LittleEndian.AppendUint32(dst, uint32(acc))
	}
	return dst
}

// deltaDecoder reads DELTA_BINARY_PACKED of any legal block shape, a miniblock at a time.
type deltaDecoder struct {
	in      []byte
	perMini int
	widths  []byte // of the current block's miniblocks still to come
	minis   int    // per block
	left    uint64 // values still to come
	last    int64
	lowest  int64
	first   bool // the first value, which stands in the header, is still to come
	packed  []byte
	width   uint
	bit     uint // position in packed, in bits
	inMini  int  // values left in the current miniblock
}

// newDeltaDecoder reads the header; ok is false when it makes no sense.
func newDeltaDecoder(in []byte) (d deltaDecoder, ok bool) {
	block, n := binary.Uvarint(in)
	if n <= 0 {
		return d, false
	}
	in = in[n:]
	minis, n := binary.Uvarint(in)
	if n <= 0 {
		return d, false
	}
	in = in[n:]
	total, n := binary.Uvarint(in)
	if n <= 0 {
		return d, false
	}
	in = in[n:]
	first, n := binary.Varint(in)
	if n <= 0 {
		return d, false
	}
	in = in[n:]
	if block == 0 || block > deltaBlockMax || minis == 0 || minis > deltaMinisMax || block%minis != 0 ||
		block/minis%8 != 0 {
		return d, false
	}
	return deltaDecoder{in: in, perMini: int(block / minis), minis: int(minis), left: total, last: first,
		first: true}, true
}

// mini loads the next miniblock.
func (d *deltaDecoder) mini() bool {
	if len(d.widths) == 0 {
		lowest, n := binary.Varint(d.in)
		if n <= 0 || len(d.in)-n < d.minis {
			return false
		}
		d.lowest = lowest
		d.widths = d.in[n : n+d.minis]
		d.in = d.in[n+d.minis:]
	}
	d.width = uint(d.widths[0])
	d.widths = d.widths[1:]
	bytes := d.perMini * int(d.width) / 8
	if d.width > 64 {
		return false
	}
	if bytes > len(d.in) {
		// Some writers cut the last miniblock behind its last value.
		if need := (int(min(d.left, uint64(d.perMini)))*int(d.width) + 7) / 8; need > len(d.in) {
			return false
		}
		bytes = len(d.in)
	}
	d.packed, d.bit, d.inMini = d.in[:bytes], 0, d.perMini
	d.in = d.in[bytes:]
	return true
}

// read fills dst and returns how many values there were; fewer than asked for means the end or broken bytes.
func (d *deltaDecoder) read(dst []int64) int {
	i := 0
	if d.first && len(dst) > 0 && d.left > 0 {
		dst[0] = d.last
		d.first = false
		d.left--
		i = 1
	}
	for i < len(dst) && d.left > 0 {
		if d.inMini == 0 && !d.mini() {
			return i
		}
		n := min(len(dst)-i, d.inMini)
		if uint64(n) > d.left {
			n = int(d.left)
		}
		d.unpack(dst[i : i+n])
		i += n
		d.inMini -= n
		d.left -= uint64(n)
	}
	return i
}

func (d *deltaDecoder) unpack(dst []int64) {
	last, lowest := d.last, d.lowest
	if d.width == 0 {
		for i := range dst {
			last += lowest
			dst[i] = last
		}
		d.last = last
		return
	}
	mask := ^uint64(0) >> (64 - d.width)
	bit := d.bit
	for i := range dst {
		at, shift := bit>>3, bit&7
		var v uint64
		if int(at)+9 <= len(d.packed) {
			v = binary.LittleEndian.Uint64(d.packed[at:])>>shift | uint64(d.packed[at+8])<<(64-shift)
		} else {
			v = loadTail(d.packed, at, shift)
		}
		last += lowest + int64(v&mask)
		dst[i] = last
		bit += d.width
	}
	d.last, d.bit = last, bit
}

// loadTail is the load of unpack near the end of the bytes.
func loadTail(p []byte, at, shift uint) uint64 {
	var v uint64
	for i := uint(0); i < 9 && at+i < uint(len(p)); i++ {
		if s := int(8*i) - int(shift); s >= 0 {
			v |= uint64(p[at+i]) << uint(s)
		} else {
			v |= uint64(p[at+i]) >> uint(-s)
		}
	}
	return v
}

// rest returns the bytes behind the encoded values without decoding them, which is where DELTA_LENGTH_BYTE_ARRAY
// keeps its text.
func (d deltaDecoder) rest() ([]byte, bool) {
	if d.left > 0 && d.first {
		d.left--
		d.first = false
	}
	for d.left > 0 {
		if d.inMini == 0 && !d.mini() {
			return nil, false
		}
		n := min(uint64(d.inMini), d.left)
		d.left -= n
		d.inMini = 0
	}
	return d.in, true
}
