package parquet

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// dictionary collects the distinct values of a chunk while they are few. One of longs and text is in use.
type dictionary struct {
	storage storage
	longs   []int64
	text    []byte
	ends    []uint32
	table   []uint16 // index+1 of the entry, 0 free; open addressing
	mask    uint32
	probed  int // values looked up, to judge early whether a dictionary pays
}

const dictionaryTable = 1 << 13 // at most half full at dictionaryMax

func newDictionary(s storage) *dictionary {
	return &dictionary{storage: s, mask: dictionaryTable - 1}
}

func (d *dictionary) reset() {
	clear(d.table)
	d.longs, d.text, d.ends, d.probed = d.longs[:0], d.text[:0], d.ends[:0], 0
}

// prepare makes the table when the first value comes: of a thousand columns most hold none in most row groups.
func (d *dictionary) prepare() {
	if d.table == nil {
		d.table = make([]uint16, dictionaryTable)
	}
}

func (d *dictionary) len() int {
	if d.storage == asLong || d.storage == asDate {
		return len(d.longs)
	}
	return len(d.ends)
}

func (d *dictionary) entry(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = d.ends[i-1]
	}
	return d.text[start:d.ends[i]]
}

// entryBytesMax: longer values make no dictionary entries, they would be held twice.
const entryBytesMax = 256

// probesMax ends a dictionary whose values collide, by chance or because somebody chose them to.
const probesMax = 100

// textHash hashes short texts in a few multiplications: most dictionaries hold words.
func textHash(x []byte) uint32 {
	const k1, k2 = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
	n := len(x)
	var a, b uint64
	switch {
	case n > 16:
		return uint32(xxh3.Hash(x))
	case n >= 8:
		a, b = binary.LittleEndian.Uint64(x), binary.LittleEndian.Uint64(x[n-8:])
	case n >= 4:
		a = uint64(binary.LittleEndian.Uint32(x)) | uint64(binary.LittleEndian.Uint32(x[n-4:]))<<32
	case n > 0:
		a = uint64(x[0]) | uint64(x[n>>1])<<8 | uint64(x[n-1])<<16
	}
	h := (a+uint64(n))*k1 ^ (b+k2)*k2
	return uint32((h ^ h>>29) * k1 >> 32)
}

// indexLongs appends the index of each value; ok is false when the dictionary has become too large, and n values were
// taken before that.
func (d *dictionary) indexLongs(idx []uint32, v []int64) (_ []uint32, n int, ok bool) {
	d.prepare()
	for i, x := range v {
		h := uint32((uint64(x) * 0x9E3779B97F4A7C15) >> 40)
		probes := 0
		for h &= d.mask; ; h = (h + 1) & d.mask {
			e := d.table[h]
			if probes++; probes > probesMax {
				return idx, i, false
			}
			if e == 0 {
				if len(d.longs) == dictionaryMax {
					return idx, i, false
				}
				d.longs = append(d.longs, x)
				d.table[h] = uint16(len(d.longs))
				idx = append(idx, uint32(len(d.longs)-1))
				break
			}
			if d.longs[e-1] == x {
				idx = append(idx, uint32(e-1))
				break
			}
		}
	}
	d.probed += len(v)
	return idx, len(v), !d.poor()
}

// indexText does the same for texts that lie one behind the other in b and end at ends, the first beginning at start.
func (d *dictionary) indexText(idx []uint32, b []byte, start uint32, ends []uint32) (_ []uint32, n int, ok bool) {
	d.prepare()
	for i, end := range ends {
		x := b[start:end]
		start = end
		if len(x) > entryBytesMax {
			return idx, i, false
		}
		h := textHash(x)
		probes := 0
		for h &= d.mask; ; h = (h + 1) & d.mask {
			e := d.table[h]
			if probes++; probes > probesMax {
				return idx, i, false
			}
			if e == 0 {
				if len(d.ends) == dictionaryMax {
					return idx, i, false
				}
				d.text = append(d.text, x...)
				d.ends = append(d.ends, uint32(len(d.text)))
				d.table[h] = uint16(len(d.ends))
				idx = append(idx, uint32(len(d.ends)-1))
				break
			}
			if bytes.Equal(d.entry(int(e-1)), x) {
				idx = append(idx, uint32(e-1))
				break
			}
		}
	}
	d.probed += len(ends)
	return idx, len(ends), !d.poor()
}

// poor tells early that values are mostly distinct, so that an identifier's column pays for some hundred probes only.
func (d *dictionary) poor() bool { return d.probed >= 512 && d.len()*3 > d.probed*2 }

// plainBytes is what the values of idx take without a dictionary.
func (d *dictionary) plainBytes(idx []uint32) int {
	if d.storage == asLong || d.storage == asDate {
		return 8 * len(idx)
	}
	n := 0
	for _, i := range idx {
		n += len(d.entry(int(i))) + 1
	}
	return n
}

// width is the number of bits of an index. A lone entry's could be 0 by the format; 1 is what every reader has met.
func (d *dictionary) width() uint { return max(1, bitWidth(uint32(max(d.len(), 1)-1))) }

// page is the body of the dictionary page: PLAIN values.
func (d *dictionary) page(dst []byte) []byte {
	switch d.storage {
	case asLong:
		for _, v := range d.longs {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
		}
	case asDate:
		for _, v := range d.longs {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
		}
	case asFixed:
		dst = append(dst, d.text...)
	default:
		for i := range d.ends {
			e := d.entry(i)
			dst = append(binary.LittleEndian.AppendUint32(dst, uint32(len(e))), e...)
		}
	}
	return dst
}

// bounds are the bounds of a page with the given indices: each used entry is looked at once.
func (d *dictionary) bounds(idx []uint32, utf bool) Bounds {
	var used [dictionaryMax/64 + 1]uint64
	for _, i := range idx {
		used[i>>6] |= 1 << (i & 63)
	}
	var longs, lengths []int64
	var text []byte
	for w, word := range used {
		for ; word != 0; word &= word - 1 {
			i := w<<6 + bits.TrailingZeros64(word)
			if d.storage == asLong || d.storage == asDate {
				longs = append(longs, d.longs[i])
				continue
			}
			e := d.entry(i)
			text = append(text, e...)
			lengths = append(lengths, int64(len(e)))
		}
	}
	switch d.storage {
	case asLong, asDate:
		return longBounds(longs, d.storage)
	case asFixed:
		return fixedBoundsOf(text)
	default:
		return textBounds(text, lengths, utf)
	}
}
