package parquet

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// hybridEncoder writes Parquet's RLE/bit-packed hybrid (Encodings.md, "Run Length Encoding / Bit-Packing Hybrid")
// as a stream: eight or more equal values become a run, the rest is packed in groups of eight. Levels of a page are
// never kept one by one, so a sparse column costs next to nothing while its page is open.
type hybridEncoder struct {
	out    []byte
	width  uint
	prev   uint32
	repeat int // how often prev came in a row; from 8 on the values are not in group
	group  [8]uint32
	n      int // values in group
	header int // index in out of the open bit-packed run's header, -1 when none is open
	groups int // groups in the open bit-packed run
}

func (e *hybridEncoder) reset(width uint) {
	e.out, e.width = e.out[:0], width
	e.prev, e.repeat, e.n, e.header, e.groups = 0, 0, 0, -1, 0
}

// put appends one value.
func (e *hybridEncoder) put(v uint32) {
	if v == e.prev {
		e.repeat++
		if e.repeat >= 8 {
			return
		}
	} else {
		if e.repeat >= 8 {
			e.endRun()
		}
		e.prev, e.repeat = v, 1
	}
	e.group[e.n] = v
	e.n++
	if e.n == 8 {
		e.pack()
	}
}

// run appends n times v.
func (e *hybridEncoder) run(v uint32, n int) {
	for n > 0 {
		if v == e.prev && e.repeat >= 8 {
			e.repeat += n
			return
		}
		e.put(v)
		n--
	}
}

// levels appends one value a byte, eight at once wherever a group can begin.
func (e *hybridEncoder) levels(v []byte) {
	i := 0
	for i < len(v) {
		if e.repeat >= 8 {
			n := equalBytes(v[i:], byte(e.prev))
			e.repeat += n
			if i += n; i == len(v) {
				return
			}
			e.endRun()
		}
		if e.n == 0 {
			i += e.packLevels(v[i:])
		}
		for i < len(v) && e.repeat < 8 && (e.n > 0 || i+8 > len(v)) {
			e.put(uint32(v[i]))
			i++
		}
	}
}

// everyByte repeats a byte it is multiplied with.
const everyByte = 0x0101010101010101

// equalBytes is how many bytes v begins with that are b, counted a word at a time: runs are what levels mostly are.
func equalBytes(v []byte, b byte) int {
	n := 0
	for ; n+8 <= len(v); n += 8 {
		if other := binary.LittleEndian.Uint64(v[n:]) ^ uint64(b)*everyByte; other != 0 {
			return n + bits.TrailingZeros64(other)>>3
		}
	}
	for n < len(v) && v[n] == b {
		n++
	}
	return n
}

// runMin is how many equal levels begin a run: packed, fewer take no more room than the run and the new header behind it,
// and where items of several kinds lie side by side, levels change all the time.
const runMin = 32

// packLevels appends whole groups of eight up to runMin equal values, which begin a run, and returns how many values it
// took.
func (e *hybridEncoder) packLevels(v []byte) int {
	i := 0
	for i+8 <= len(v) {
		if beginsRun(v[i:]) {
			e.prev, e.repeat = uint32(v[i]), 8
			return i + 8
		}
		if e.header < 0 || e.groups == groupsMax {
			e.endPacked()
			e.openPacked()
		}
		most, at := min(groupsMax-e.groups, (len(v)-i)/8), len(e.out)
		e.out = slices.Grow(e.out, most*int(e.width)+8)
		n := packGroups(e.out[at:cap(e.out)], v[i:], e.width, most)
		e.out, e.groups = e.out[:at+n*int(e.width)], e.groups+n
		i += 8 * n
		e.prev, e.repeat = uint32(v[i-1]), 0
	}
	return i
}

// packGroups packs most groups of v, fewer where a run begins, and returns how many. It writes a word at a time, so out
// is longer than they are.
func packGroups(out, v []byte, width uint, most int) int {
	at := uint(0)
	for n := range most {
		// All bytes are equal when turning changes nothing; with a look at one of them Go loads the word by bytes.
		word := binary.LittleEndian.Uint64(v[8*n : 8*n+8])
		if word == bits.RotateLeft64(word, 8) && beginsRun(v[8*n:]) {
			return n
		}
		binary.LittleEndian.PutUint64(out[at:at+8], gathered(word, width))
		at += width
	}
	return most
}

// beginsRun tells whether v begins with runMin equal values.
func beginsRun(v []byte) bool { return len(v) >= runMin && equalBytes(v[:runMin], v[0]) == runMin }

// gathered is the eight bytes of word, each below 1<<w, in 8*w bits: neighbours move together, then pairs, then fours.
func gathered(word uint64, w uint) uint64 {
	const bytes, pairs = 0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF
	if w == 1 {
		return word * 0x0102040810204080 >> 56
	}
	word = word&bytes | word>>8&bytes<<w
	word = word&pairs | word>>16&pairs<<(2*w)
	return word&math.MaxUint32 | word>>32<<(4*w)
}

// values appends values one by one, eight at once where they are no run.
func (e *hybridEncoder) values(v []uint32) {
	for len(v) > 0 {
		if e.n == 0 && e.repeat < 8 && len(v) >= 8 {
			g := (*[8]uint32)(v)
			if g[0] != g[1] || g[0] != g[2] || g[0] != g[3] || g[0] != g[4] || g[0] != g[5] || g[0] != g[6] || g[0] != g[7] {
				e.group, e.prev = *g, g[7]
				e.pack()
				v = v[8:]
				continue
			}
		}
		e.put(v[0])
		v = v[1:]
	}
}

func (e *hybridEncoder) pack() {
	if e.header < 0 || e.groups == groupsMax {
		e.endPacked()
		e.openPacked()
	}
	e.groups++
	g, w := &e.group, e.width
	if w <= 16 {
		// Four values fit a word; eight make 128 bits of which the lowest 8*width count.
		low := uint64(g[0]) | uint64(g[1])<<w | uint64(g[2])<<(2*w) | uint64(g[3])<<(3*w)
		high := uint64(g[4]) | uint64(g[5])<<w | uint64(g[6])<<(2*w) | uint64(g[7])<<(3*w)
		n := len(e.out)
		e.out = binary.LittleEndian.AppendUint64(e.out, low|high<<(4*w))
		e.out = binary.LittleEndian.AppendUint64(e.out, high>>(64-4*w))
		e.out = e.out[:n+int(w)]
	} else {
		var acc uint64
		var bits uint
		for _, v := range g {
			acc |= uint64(v) << bits
			for bits += w; bits >= 8; bits -= 8 {
				e.out = append(e.out, byte(acc))
				acc >>= 8
			}
		}
	}
	e.n, e.repeat = 0, 0
}

// groupsMax is how many groups the one byte of a bit-packed run's header counts.
const groupsMax = 63

func (e *hybridEncoder) openPacked() {
	e.header = len(e.out)
	e.out = append(e.out, 0)
}

func (e *hybridEncoder) endPacked() {
	if e.header >= 0 {
		e.out[e.header] = byte(e.groups<<1 | 1)
		e.header, e.groups = -1, 0
	}
}

func (e *hybridEncoder) endRun() {
	e.endPacked()
	e.out = binary.AppendUvarint(e.out, uint64(e.repeat)<<1)
	for bits := uint(0); bits < e.width; bits += 8 {
		e.out = append(e.out, byte(e.prev>>bits))
	}
	e.repeat, e.n = 0, 0
}

// finish ends the stream and returns it; it is valid until the next reset.
func (e *hybridEncoder) finish() []byte {
	if e.repeat >= 8 {
		e.endRun()
	} else if e.n > 0 {
		for e.n < 8 {
			e.group[e.n] = 0
			e.n++
		}
		e.pack()
	}
	e.endPacked()
	return e.out
}

// hybridDecoder reads the hybrid lazily: a run of a billion values costs nothing until they are asked for.
type hybridDecoder struct {
	in     []byte
	width  uint
	value  uint32
	run    uint64 // values left of the current run
	packed uint64 // values left in the current bit-packed run
	bits   uint64 // read but unused bits of the packed run
	nbits  uint
}

func newHybridDecoder(in []byte, width uint) hybridDecoder {
	return hybridDecoder{in: in, width: width}
}

// next loads the next run; false means that the stream is over or broken.
func (d *hybridDecoder) next() bool {
	header, n := binary.Uvarint(d.in)
	if n <= 0 {
		return false
	}
	d.in = d.in[n:]
	if header&1 == 1 {
		groups := header >> 1
		if groups == 0 || groups > uint64(len(d.in))+1 && d.width > 0 || groups > 1<<32 {
			return false
		}
		d.packed, d.bits, d.nbits = groups*8, 0, 0
		return true
	}
	d.run = header >> 1
	bytes := int(d.width+7) / 8
	if d.run == 0 || len(d.in) < bytes {
		return false
	}
	d.value = 0
	for i := range bytes {
		d.value |= uint32(d.in[i]) << (8 * i)
	}
	d.in = d.in[bytes:]
	return true
}

// peek returns the value of the current run and how often it follows, loading the next run when needed; packed values
// come one by one. ok is false at the end of the stream.
func (d *hybridDecoder) peek() (v uint32, n uint64, ok bool) {
	if d.run == 0 && d.packed == 0 && !d.next() {
		return 0, 0, false
	}
	if d.run > 0 {
		return d.value, d.run, true
	}
	for d.nbits < d.width {
		if len(d.in) == 0 {
			return 0, 0, false // a last group cut short by its writer ends the stream
		}
		d.bits |= uint64(d.in[0]) << d.nbits
		d.nbits += 8
		d.in = d.in[1:]
	}
	return uint32(d.bits & (1<<d.width - 1)), 1, true
}

// take consumes n values of what peek showed.
func (d *hybridDecoder) take(n uint64) {
	if d.run > 0 {
		d.run -= n
		return
	}
	d.packed--
	d.bits >>= d.width
	d.nbits -= d.width
}

// read fills dst and returns how many values there were.
func (d *hybridDecoder) read(dst []uint32) int {
	i := 0
	for i < len(dst) {
		v, n, ok := d.peek()
		if !ok {
			break
		}
		if d.run > 0 {
			n = min(n, uint64(len(dst)-i))
			for range n {
				dst[i] = v
				i++
			}
			d.run -= n
			continue
		}
		dst[i] = v
		i++
		d.take(1)
	}
	return i
}

// bitWidth is the number of bits that hold 0..max.
func bitWidth(max uint32) uint {
	n := uint(0)
	for ; max > 0; max >>= 1 {
		n++
	}
	return n
}
