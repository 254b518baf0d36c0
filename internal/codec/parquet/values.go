package parquet

import (
	"encoding/binary"
	"math"

	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/column"
)

// values decodes the values of one page lazily, in any encoding (Encodings.md). Integers and booleans of a vector are
// Longs and Bools, floats Doubles, everything else Bytes.
type values struct {
	physical format.Type
	width    int // bytes of a fixed-width value
	encoding format.Encoding
	dict     *dictValues
	in       []byte // PLAIN: bytes still to come; delta forms: the text
	bit      uint   // PLAIN booleans
	stride   int    // BYTE_STREAM_SPLIT: values in the page
	at       int
	index    hybridDecoder
	delta    deltaDecoder // longs, or lengths
	prefix   deltaDecoder // DELTA_BYTE_ARRAY
	last     []byte
	longs    [256]int64
	prefixes [256]int64
	indices  [256]uint32
}

// dictValues is a decoded dictionary page.
type dictValues struct {
	n int
	v column.Vector
}

func widthOf(e *format.SchemaElement) int {
	switch e.Type.V {
	case format.Int32, format.Float:
		return 4
	case format.Int64, format.Double:
		return 8
	case format.Int96:
		return 12
	case format.FixedLenByteArray:
		return int(e.TypeLength.V)
	}
	return 0
}

// open begins a page; false means that its encoding is not for this type or its bytes make no sense.
func (d *values) open(e format.Encoding, in []byte, slots int64) bool {
	if e == format.PlainDictionary {
		e = format.RLEDictionary
	}
	d.encoding, d.in, d.bit, d.at, d.stride = e, in, 0, 0, 0
	d.index, d.delta, d.prefix = hybridDecoder{}, deltaDecoder{}, deltaDecoder{}
	if len(in) == 0 {
		return true // a page without values; asking for one fails then
	}
	ok := true
	switch e {
	case format.Plain:
	case format.RLEDictionary:
		if d.dict == nil || in[0] > 32 {
			return false
		}
		d.index = newHybridDecoder(in[1:], uint(in[0]))
	case format.RLE:
		if d.physical != format.Boolean || len(in) < 4 || uint64(binary.LittleEndian.Uint32(in)) > uint64(len(in)-4) {
			return false
		}
		d.index = newHybridDecoder(in[4:4+binary.LittleEndian.Uint32(in)], 1)
	case format.DeltaBinaryPacked:
		d.delta, ok = newDeltaDecoder(in)
		return ok && (d.physical == format.Int32 || d.physical == format.Int64)
	case format.DeltaLengthByteArray:
		if d.delta, ok = newDeltaDecoder(in); ok {
			d.in, ok = d.delta.rest()
		}
		return ok && d.physical == format.ByteArray
	case format.DeltaByteArray:
		if d.prefix, ok = newDeltaDecoder(in); ok {
			if in, ok = d.prefix.rest(); ok {
				if d.delta, ok = newDeltaDecoder(in); ok {
					d.in, ok = d.delta.rest()
				}
			}
		}
		d.last = d.last[:0]
		return ok && (d.physical == format.ByteArray || d.physical == format.FixedLenByteArray)
	case format.ByteStreamSplit:
		if d.width == 0 || d.physical == format.Int96 || len(in)%d.width != 0 {
			return false
		}
		d.stride = len(in) / d.width
	default:
		return false
	}
	return true
}

// read appends n values to v; false means broken bytes.
func (d *values) read(v *column.Vector, n int) bool {
	if n == 0 {
		return true
	}
	switch d.encoding {
	case format.Plain:
		return d.plain(v, n)
	case format.RLEDictionary:
		return d.chunked(n, func(k int) bool {
			return d.index.read(d.indices[:k]) == k && d.dict.look(v, d.indices[:k], d.physical)
		})
	case format.RLE:
		return d.chunked(n, func(k int) bool {
			if d.index.read(d.indices[:k]) != k {
				return false
			}
			for _, x := range d.indices[:k] {
				v.Bools = append(v.Bools, x != 0)
			}
			return true
		})
	case format.DeltaBinaryPacked:
		return d.chunked(n, func(k int) bool {
			if d.delta.read(d.longs[:k]) != k {
				return false
			}
			if d.physical == format.Int32 {
				for i, x := range d.longs[:k] {
					d.longs[i] = int64(int32(x)) // differences wrap at 32 bits
				}
			}
			v.Longs = append(v.Longs, d.longs[:k]...)
			return true
		})
	case format.DeltaLengthByteArray:
		return d.chunked(n, func(k int) bool { return d.lengths(v, k) })
	case format.DeltaByteArray:
		return d.chunked(n, func(k int) bool { return d.prefixed(v, k) })
	case format.ByteStreamSplit:
		return d.split(v, n)
	}
	return false
}

func (d *values) chunked(n int, do func(k int) bool) bool {
	for n > 0 {
		k := min(n, len(d.longs))
		if !do(k) {
			return false
		}
		n -= k
	}
	return true
}

func (d *values) plain(v *column.Vector, n int) bool {
	if d.physical == format.Boolean {
		if uint64(d.bit)+uint64(n) > uint64(len(d.in))*8 {
			return false
		}
		for range n {
			v.Bools = append(v.Bools, d.in[d.bit>>3]>>(d.bit&7)&1 != 0)
			d.bit++
		}
		return true
	}
	if d.physical == format.ByteArray {
		for range n {
			if len(d.in) < 4 || uint64(binary.LittleEndian.Uint32(d.in)) > uint64(len(d.in)-4) {
				return false
			}
			end := 4 + int(binary.LittleEndian.Uint32(d.in))
			appendText(v, d.in[4:end])
			d.in = d.in[end:]
		}
		return true
	}
	if n > len(d.in)/d.width {
		return false
	}
	d.fixed(v, d.in[:n*d.width])
	d.in = d.in[n*d.width:]
	return true
}

// fixed appends the fixed-width values in p.
func (d *values) fixed(v *column.Vector, p []byte) {
	switch d.physical {
	case format.Int32:
		for ; len(p) > 0; p = p[4:] {
			v.Longs = append(v.Longs, int64(int32(binary.LittleEndian.Uint32(p))))
		}
	case format.Int64:
		for ; len(p) > 0; p = p[8:] {
			v.Longs = append(v.Longs, int64(binary.LittleEndian.Uint64(p)))
		}
	case format.Float:
		for ; len(p) > 0; p = p[4:] {
			v.Doubles = append(v.Doubles, float64(math.Float32frombits(binary.LittleEndian.Uint32(p))))
		}
	case format.Double:
		for ; len(p) > 0; p = p[8:] {
			v.Doubles = append(v.Doubles, math.Float64frombits(binary.LittleEndian.Uint64(p)))
		}
	default:
		for ; len(p) > 0; p = p[d.width:] {
			appendText(v, p[:d.width])
		}
	}
}

func appendText(v *column.Vector, p []byte) {
	v.Bytes = append(v.Bytes, p...)
	v.Ends = append(v.Ends, uint32(len(v.Bytes)))
}

func (d *values) lengths(v *column.Vector, k int) bool {
	if d.delta.read(d.longs[:k]) != k {
		return false
	}
	for _, n := range d.longs[:k] {
		if n < 0 || n > int64(len(d.in)) {
			return false
		}
		appendText(v, d.in[:n])
		d.in = d.in[n:]
	}
	return true
}

func (d *values) prefixed(v *column.Vector, k int) bool {
	if d.prefix.read(d.prefixes[:k]) != k || d.delta.read(d.longs[:k]) != k {
		return false
	}
	for i, n := range d.longs[:k] {
		keep := d.prefixes[i]
		if n < 0 || n > int64(len(d.in)) || keep < 0 || keep > int64(len(d.last)) {
			return false
		}
		d.last = append(d.last[:keep], d.in[:n]...)
		d.in = d.in[n:]
		if d.physical == format.FixedLenByteArray && len(d.last) != d.width {
			return false
		}
		if len(v.Bytes)+len(d.last) > vectorBytesMax {
			return false
		}
		appendText(v, d.last)
	}
	return true
}

// split puts the bytes of values together that BYTE_STREAM_SPLIT has torn apart.
func (d *values) split(v *column.Vector, n int) bool {
	if n > d.stride-d.at {
		return false
	}
	value := make([]byte, d.width)
	for range n {
		for b := range value {
			value[b] = d.in[b*d.stride+d.at]
		}
		d.at++
		d.fixed(v, value)
	}
	return true
}

// vectorBytesMax bounds the text of one vector: its ends have 32 bits, and a dictionary can repeat a long value as
// often as it likes.
const vectorBytesMax = 1 << 27

// look appends dictionary entries; false when an index is beyond them.
func (t *dictValues) look(v *column.Vector, idx []uint32, physical format.Type) bool {
	switch physical {
	case format.Int32, format.Int64:
		for _, i := range idx {
			if int(i) >= t.n {
				return false
			}
			v.Longs = append(v.Longs, t.v.Longs[i])
		}
	case format.Float, format.Double:
		for _, i := range idx {
			if int(i) >= t.n {
				return false
			}
			v.Doubles = append(v.Doubles, t.v.Doubles[i])
		}
	case format.Boolean:
		for _, i := range idx {
			if int(i) >= t.n {
				return false
			}
			v.Bools = append(v.Bools, t.v.Bools[i])
		}
	default:
		for _, i := range idx {
			if int(i) >= t.n {
				return false
			}
			start := uint32(0)
			if i > 0 {
				start = t.v.Ends[i-1]
			}
			if len(v.Bytes)+int(t.v.Ends[i]-start) > vectorBytesMax {
				return false
			}
			appendText(v, t.v.Bytes[start:t.v.Ends[i]])
		}
	}
	return true
}
