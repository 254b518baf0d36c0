package parquet

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/column"
)

// page is a finished page: bytes with header, and what the indexes say about it.
type page struct {
	bytes  []byte
	raw    int // header and body before compression
	row    int64
	slots  int
	nulls  int
	bounds Bounds
	enc    format.Encoding
}

// chunkWriter builds one leaf's chunk of the current row group: the page under construction and the finished ones.
type chunkWriter struct {
	leaf    leaf
	storage storage
	utf     bool // bounds must stay UTF-8

	rep, def hybridEncoder
	rows     int // of the open page
	slots    int
	values   int
	longs    []int64 // values, or lengths of the texts in text
	text     []byte
	doubles  []float64
	bools    []bool
	idx      []uint32 // indices into dict while it is in use

	dict     *dictionary // nil: never tried for this kind
	indexing bool        // the open page takes indices
	dictUsed bool        // a finished page has indices

	pages   []page
	rowsAll int64 // rows of finished pages
	slotAll int64
	nullAll int64
	rawAll  int64
	bounds  Bounds
	stored  bool     // the first page did not compress
	hashes  []uint64 // of a bloom filter; nil without one
	bloom   bool
}

func newChunkWriter(l leaf, bloom bool) *chunkWriter {
	c := &chunkWriter{leaf: l, storage: storageOf(l.Field.Kind), bloom: bloom}
	c.utf = l.Field.Kind != column.Binary
	switch l.Field.Kind {
	case column.Long, column.Decimal18, column.Decimal38, column.String, column.Date, column.Timestamp, column.Binary:
		c.dict = newDictionary(c.storage)
	}
	c.reset()
	return c
}

// reset begins a row group.
func (c *chunkWriter) reset() {
	c.pages, c.rowsAll, c.slotAll, c.nullAll, c.rawAll = c.pages[:0], 0, 0, 0, 0
	c.bounds, c.stored, c.hashes = Bounds{}, false, c.hashes[:0]
	if c.dict != nil {
		c.dict.reset()
	}
	c.indexing, c.dictUsed = c.dict != nil, false
	c.openPage()
}

func (c *chunkWriter) openPage() {
	c.rep.reset(bitWidth(uint32(c.leaf.MaxRep)))
	c.def.reset(bitWidth(uint32(c.leaf.MaxDef)))
	c.rows, c.slots, c.values = 0, 0, 0
	c.longs, c.text, c.doubles, c.bools, c.idx = c.longs[:0], c.text[:0], c.doubles[:0], c.bools[:0], c.idx[:0]
}

// openBytes is the size of the open page as it would be before compression, near enough.
func (c *chunkWriter) openBytes() int {
	n := len(c.text) + 8*len(c.doubles) + len(c.bools)/8 + len(c.rep.out) + len(c.def.out)
	if c.indexing {
		return n + 2*len(c.idx)
	}
	if len(c.text) > 0 {
		return n + 2*len(c.longs)
	}
	return n + 8*len(c.longs)
}

// held is the memory of the open page and of what lives as long as the row group, finished pages apart.
func (c *chunkWriter) held() int {
	n := len(c.text) + 8*(len(c.longs)+len(c.doubles)+len(c.hashes)) + len(c.bools) + 4*len(c.idx) + len(c.rep.out) + len(c.def.out)
	if c.dict != nil {
		n += 2*len(c.dict.table) + len(c.dict.text) + 8*len(c.dict.longs)
	}
	return n
}

// nulls appends rows in which the leaf's top-level column is absent.
func (c *chunkWriter) nulls(rows int) {
	c.rep.run(0, rows)
	c.def.run(0, rows)
	c.rows += rows
	c.slots += rows
}

// piece is a part of a vector that begins and ends at row boundaries.
type piece struct {
	slot, slotEnd   int
	value, valueEnd int
	rows            int
}

// add appends a piece of v to the open page.
func (c *chunkWriter) add(v *column.Vector, p piece) {
	n := p.slotEnd - p.slot
	if c.leaf.MaxRep > 0 {
		if v.Rep != nil {
			c.rep.levels(v.Rep[p.slot:p.slotEnd])
		} else {
			c.rep.run(0, n)
		}
	}
	if v.Def != nil {
		c.def.levels(v.Def[p.slot:p.slotEnd])
	} else {
		c.def.run(uint32(c.leaf.MaxDef), n)
	}
	c.rows += p.rows
	c.slots += n
	c.values += p.valueEnd - p.value
	if c.bloom {
		c.hashes = appendHashes(c.hashes, c.storage, v, p.value, p.valueEnd)
	}
	c.addValues(v, p.value, p.valueEnd)
}

func (c *chunkWriter) addValues(v *column.Vector, from, to int) {
	if from == to {
		return
	}
	switch c.storage {
	case asDouble:
		c.doubles = append(c.doubles, v.Doubles[from:to]...)
	case asBool:
		c.bools = append(c.bools, v.Bools[from:to]...)
	case asLong, asDate:
		if c.indexing {
			var n int
			var ok bool
			if c.idx, n, ok = c.dict.indexLongs(c.idx, v.Longs[from:to]); ok {
				return
			}
			c.expand()
			from += n
		}
		c.longs = append(c.longs, v.Longs[from:to]...)
	default:
		c.addText(v, from, to)
	}
}

func (c *chunkWriter) addText(v *column.Vector, from, to int) {
	start := uint32(0)
	if from > 0 {
		start = v.Ends[from-1]
	}
	if c.indexing {
		var n int
		var ok bool
		if c.idx, n, ok = c.dict.indexText(c.idx, v.Bytes, start, v.Ends[from:to]); ok {
			return
		}
		c.expand()
		if from += n; n > 0 {
			start = v.Ends[from-1]
		}
	}
	if from == to {
		return
	}
	c.text = append(c.text, v.Bytes[start:v.Ends[to-1]]...)
	c.longs = slices.Grow(c.longs, to-from)
	for _, end := range v.Ends[from:to] {
		c.longs = append(c.longs, int64(end-start))
		start = end
	}
}

// expand gives the dictionary up for the open page and those that follow, and writes the open page's values out.
func (c *chunkWriter) expand() {
	c.indexing = false
	for _, i := range c.idx {
		if c.storage == asLong || c.storage == asDate {
			c.longs = append(c.longs, c.dict.longs[i])
			continue
		}
		e := c.dict.entry(int(i))
		c.text = append(c.text, e...)
		c.longs = append(c.longs, int64(len(e)))
	}
	c.idx = c.idx[:0]
}

// weigh decides at the end of a chunk's first page whether its dictionary pays.
func (c *chunkWriter) weigh() {
	if !c.indexing || c.dictUsed || len(c.idx) == 0 {
		return
	}
	width := int(c.dict.width())
	plain, coded := c.dict.plainBytes(c.idx), len(c.idx)*width/8+len(c.dict.text)+4*len(c.dict.ends)+8*len(c.dict.longs)
	if c.storage == asLong || c.storage == asDate {
		// Numbers close together pack as well without a dictionary.
		low, high := slices.Min(c.dict.longs), slices.Max(c.dict.longs)
		if bits.Len64(uint64(high-low)) <= width+2 {
			coded = math.MaxInt
		}
	}
	if coded >= plain {
		c.expand()
	}
}

// valueCoder is the scratch memory in which values are encoded.
type valueCoder struct {
	index  hybridEncoder
	prefix prefixCoder
}

// body appends the open page's uncompressed body and returns the encoding of its values.
func (c *chunkWriter) body(dst []byte, coder *valueCoder) ([]byte, format.Encoding) {
	if c.leaf.MaxRep > 0 {
		dst = appendLevels(dst, c.rep.finish())
	}
	dst = appendLevels(dst, c.def.finish())
	switch {
	case c.values == 0:
		return dst, format.Plain // an empty delta stream is a corner that not every reader knows
	case c.indexing:
		width := c.dict.width()
		coder.index.reset(width)
		coder.index.values(c.idx)
		dst = append(dst, byte(width))
		return append(dst, coder.index.finish()...), format.RLEDictionary
	}
	switch c.storage {
	case asLong:
		return appendDelta(dst, c.longs), format.DeltaBinaryPacked
	case asDate:
		// Differences of INT32 must fit 32 bits, which days within a human's reach do.
		if low, high := slices.Min(c.longs), slices.Max(c.longs); high-low < 1<<30 {
			return appendDelta(dst, c.longs), format.DeltaBinaryPacked
		}
		for _, v := range c.longs {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
		}
	case asDouble:
		for _, v := range c.doubles {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		}
	case asBool:
		dst = appendBools(dst, c.bools)
	case asFixed:
		dst = append(dst, c.text...)
	default:
		if prefixWorth(c.text, c.longs) {
			return coder.prefix.append(dst, c.text, c.longs), format.DeltaByteArray
		}
		dst = appendDelta(dst, c.longs)
		return append(dst, c.text...), format.DeltaLengthByteArray
	}
	return dst, format.Plain
}

func appendBools(dst []byte, v []bool) []byte {
	var acc byte
	for i, x := range v {
		if x {
			acc |= 1 << (i & 7)
		}
		if i&7 == 7 {
			dst = append(dst, acc)
			acc = 0
		}
	}
	if len(v)&7 != 0 {
		dst = append(dst, acc)
	}
	return dst
}

// pageBounds are the bounds of the open page.
func (c *chunkWriter) pageBounds() Bounds {
	switch {
	case c.values == 0:
		return Bounds{}
	case c.indexing:
		return c.dict.bounds(c.idx, c.utf)
	}
	switch c.storage {
	case asLong, asDate:
		return longBounds(c.longs, c.storage)
	case asDouble:
		return doubleBounds(c.doubles)
	case asBool:
		return boolBounds(c.bools)
	case asFixed:
		return fixedBoundsOf(c.text)
	default:
		return textBounds(c.text, c.longs, c.utf)
	}
}
