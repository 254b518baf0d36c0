package parquet

import (
	"bytes"
	"encoding/binary"

	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/column"
	"dynaferry/internal/fault"
)

// cursor reads one leaf's chunk of a row group as runs of whole rows.
type cursor struct {
	chunkReader
	maxDef, maxRep uint8

	page     int64 // file offset of the open page's header, for errors
	left     int64 // slots of the open page still to come
	rep, def hybridDecoder
	values   values

	out     column.Vector // decoded and not yet taken; begins at a row
	rows    int           // rows begun in out; the last one is whole only when the next slot begins a row
	present int           // values in out
	each    int           // bytes a row took so far, -1 unknown
}

func newCursor(r *ReadOptions, x *expander, leaf *node) *cursor {
	c := &cursor{maxDef: uint8(leaf.maxDef), maxRep: uint8(leaf.maxRep)}
	c.leaf, c.limits, c.expand = leaf, r, x
	c.values = values{physical: leaf.element.Type.V, width: widthOf(leaf.element)}
	return c
}

// begin points the cursor at a chunk whose bytes lie in [at, end) of the file.
func (c *cursor) begin(meta *format.ColumnMetaData, at, end int64) {
	c.meta, c.at, c.end, c.slots = meta, at, end, meta.NumValues
	c.window, c.start = c.window[:0], 0
	c.left, c.values.dict = 0, nil
	c.out = column.Vector{
		Leaf: c.out.Leaf, Def: c.out.Def[:0], Rep: c.out.Rep[:0], Longs: c.out.Longs[:0], Doubles: c.out.Doubles[:0],
		Bools: c.out.Bools[:0], Bytes: c.out.Bytes[:0], Ends: c.out.Ends[:0],
	}
	c.rows, c.present, c.each = 0, 0, -1
}

// done tells whether every slot was read.
func (c *cursor) done() bool { return c.left == 0 && c.slots == 0 }

// openPage loads data pages until one has a slot.
func (c *cursor) openPage() error {
	for c.left == 0 && c.slots > 0 {
		at := c.at
		h, body, err := c.next()
		if err != nil {
			return err
		}
		c.page = at
		switch h.kind {
		case format.DictionaryPage:
			err = c.dictionary(h, body)
		case format.DataPage:
			err = c.version1(h, body)
		case format.DataPageV2:
			err = c.version2(h, body)
		}
		if err != nil {
			return err
		}
		if c.left > c.slots {
			return c.corrupt(at, "page says %d values where its chunk has %d left", c.left, c.slots)
		}
		c.slots -= c.left
	}
	return nil
}

func (c *cursor) dictionary(h header, body []byte) error {
	if c.values.dict != nil {
		return c.corrupt(c.page, "chunk has two dictionaries")
	}
	if h.encoding != format.Plain && h.encoding != format.PlainDictionary {
		return c.corrupt(c.page, "dictionary in encoding %s", h.encoding)
	}
	raw, err := c.expanded(c.page, body, h.raw, true)
	if err != nil {
		return err
	}
	d := values{physical: c.values.physical, width: c.values.width}
	dict := &dictValues{n: int(h.values)}
	if h.values > int64(len(raw))*8 || !d.open(format.Plain, raw, h.values) || !d.read(&dict.v, dict.n) {
		return c.corrupt(c.page, "dictionary says %d values, its %d bytes hold fewer", h.values, len(raw))
	}
	c.values.dict = dict
	return nil
}

func (c *cursor) version1(h header, body []byte) error {
	raw, err := c.expanded(c.page, body, h.raw, false)
	if err != nil {
		return err
	}
	levels := func(max uint8, coding format.Encoding) (d hybridDecoder, err error) {
		if max == 0 {
			return d, nil
		}
		if coding != format.RLE {
			return d, fault.At(fault.New(fault.Unsupported, "levels in encoding %s, deprecated since 2013", coding),
				fault.Place{Offset: c.page, Path: c.leaf.path})
		}
		if len(raw) < 4 || uint64(binary.LittleEndian.Uint32(raw)) > uint64(len(raw)-4) {
			return d, c.corrupt(c.page, "levels reach beyond their page")
		}
		n := binary.LittleEndian.Uint32(raw)
		d = newHybridDecoder(raw[4:4+n], bitWidth(uint32(max)))
		raw = raw[4+n:]
		return d, nil
	}
	if h.values == 0 {
		return nil
	}
	if c.rep, err = levels(c.maxRep, h.repCode); err != nil {
		return err
	}
	if c.def, err = levels(c.maxDef, h.defCode); err != nil {
		return err
	}
	return c.open(h, raw)
}

func (c *cursor) version2(h header, body []byte) error {
	n := h.repBytes + h.defBytes
	if h.repBytes < 0 || h.defBytes < 0 || n > int64(len(body)) || n > h.raw {
		return c.corrupt(c.page, "levels reach beyond their page")
	}
	// The window moves on with the next read, so levels are copied.
	levels := bytes.Clone(body[:n])
	c.rep = newHybridDecoder(levels[:h.repBytes], bitWidth(uint32(c.maxRep)))
	c.def = newHybridDecoder(levels[h.repBytes:], bitWidth(uint32(c.maxDef)))
	raw, err := body[n:], error(nil)
	switch {
	case h.plain && int64(len(raw)) != h.raw-n:
		return c.corrupt(c.page, "page says %d bytes and holds %d", h.raw, len(body))
	case h.plain:
		raw = append(grown(c.buf, len(raw)), raw...)
		c.buf = raw
	case len(raw) == 0 && h.raw == n:
	default:
		if raw, err = c.expanded(c.page, raw, h.raw-n, false); err != nil {
			return err
		}
	}
	return c.open(h, raw)
}

func (c *cursor) open(h header, raw []byte) error {
	if !c.values.open(h.encoding, raw, h.values) {
		return c.corrupt(c.page, "values of encoding %s make no sense for %s", h.encoding, c.values.physical)
	}
	c.left = h.values
	return nil
}

// slotsMax bounds the slots of a run of rows: a row that repeats more often is not an item's.
const slotsMax = 1 << 22

// firstRows is how many rows of a chunk are decoded before their size is known.
const firstRows = 4

// stepSlots is how many levels are decoded before their values.
const stepSlots = 1024

// fill decodes until rows whole rows wait or their values take budget bytes, at least one row. It returns how many
// wait; fewer than asked for at the end of the chunk.
func (c *cursor) fill(rows, budget int) (int, error) {
	for {
		whole := c.rows
		if c.maxRep > 0 && c.rows > 0 && !c.atRow() {
			whole--
		}
		if whole >= rows || whole > 0 && c.bytes0() >= budget {
			return min(whole, rows), nil
		}
		if c.left == 0 {
			if c.slots == 0 {
				return min(c.rows, rows), nil
			}
			if err := c.openPage(); err != nil {
				return 0, err
			}
			continue
		}
		if c.out.Slots > slotsMax {
			return 0, fault.At(fault.New(fault.Limit, "a row repeats more than %d times", slotsMax),
				fault.Place{Offset: c.page, Path: c.leaf.path})
		}
		// Rows are taken in steps that the budget bears, judged by the rows before; the first step is a small one, since
		// an item may have 400 KB in one value.
		step := min(rows-c.rows, firstRows)
		if c.rows > 0 {
			c.each = c.bytes0() / c.rows
		}
		if c.each >= 0 {
			step = min(rows-c.rows, (budget-c.bytes0())/max(1, c.each))
		}
		if err := c.step(max(1, step)); err != nil {
			return 0, err
		}
	}
}

// bytes0 is the memory of out's values.
func (c *cursor) bytes0() int {
	return len(c.out.Bytes) + 4*len(c.out.Ends) + 8*(len(c.out.Longs)+len(c.out.Doubles)) + len(c.out.Bools)
}

// atRow tells whether the next slot begins a row, as far as the open page says; openPage comes before it.
func (c *cursor) atRow() bool {
	if c.left == 0 {
		if c.slots > 0 {
			return false // look at the next page first
		}
		return true
	}
	r, _, ok := c.rep.peek()
	return ok && r == 0
}

// step decodes some slots of the open page and their values; of flat columns at most rows.
func (c *cursor) step(rows int) error {
	budget := int(min(c.left, stepSlots))
	present, slots := 0, 0
	for slots < budget {
		n := uint64(budget - slots)
		d, r := uint32(c.maxDef), uint32(0)
		var m uint64
		ok := true
		if c.maxDef > 0 {
			if d, m, ok = c.def.peek(); !ok {
				return c.corrupt(c.page, "definition levels end early")
			}
			n = min(n, m)
		}
		if c.maxRep > 0 {
			if r, m, ok = c.rep.peek(); !ok {
				return c.corrupt(c.page, "repetition levels end early")
			}
			n = min(n, m)
		}
		if r == 0 {
			if rows == 0 {
				break
			}
			n = min(n, uint64(rows))
			rows -= int(n)
			c.rows += int(n)
		} else if c.rows == 0 || r > uint32(c.maxRep) {
			return c.corrupt(c.page, "repetition level %d makes no sense", r)
		}
		if d > uint32(c.maxDef) {
			return c.corrupt(c.page, "definition level %d of %d", d, c.maxDef)
		}
		if c.maxDef > 0 {
			c.def.take(n)
		}
		if c.maxRep > 0 {
			c.rep.take(n)
			c.out.Rep = appendRun(c.out.Rep, uint8(r), int(n))
		}
		c.out.Def = appendRun(c.out.Def, uint8(d), int(n))
		if d == uint32(c.maxDef) {
			present += int(n)
		}
		slots += int(n)
	}
	c.left -= int64(slots)
	c.out.Slots += slots
	c.present += present
	if !c.values.read(&c.out, present) {
		return c.corrupt(c.page, "values of encoding %s end early or are too long", c.values.encoding)
	}
	return nil
}

func appendRun(dst []uint8, v uint8, n int) []uint8 {
	if n == 1 {
		return append(dst, v)
	}
	at := len(dst)
	dst = append(dst, make([]uint8, n)...)
	if v != 0 {
		run := dst[at:]
		for i := range run {
			run[i] = v
		}
	}
	return dst
}

// take returns the first rows of what fill has decoded; it is valid until drop.
func (c *cursor) take(rows int) column.Vector {
	v := c.out
	v.Slots = c.slotsOf(rows)
	present := bytes.Count(v.Def[:v.Slots], []byte{c.maxDef})
	v.Def = v.Def[:v.Slots]
	if present == v.Slots {
		v.Def = nil
	}
	v.Rep = v.Rep[:min(len(v.Rep), v.Slots)]
	if c.maxRep == 0 {
		v.Rep = nil
	}
	v.Longs = v.Longs[:min(len(v.Longs), present)]
	v.Doubles = v.Doubles[:min(len(v.Doubles), present)]
	v.Bools = v.Bools[:min(len(v.Bools), present)]
	if v.Ends = v.Ends[:min(len(v.Ends), present)]; len(v.Ends) > 0 {
		v.Bytes = v.Bytes[:v.Ends[len(v.Ends)-1]]
	} else {
		v.Bytes = v.Bytes[:0]
	}
	return v
}

func (c *cursor) slotsOf(rows int) int {
	if c.maxRep == 0 {
		return rows
	}
	for i, r := range c.out.Rep {
		if r == 0 {
			if rows == 0 {
				return i
			}
			rows--
		}
	}
	return c.out.Slots
}

// drop forgets the first rows and moves what follows to the front.
func (c *cursor) drop(rows int) {
	slots := c.slotsOf(rows)
	present := bytes.Count(c.out.Def[:slots], []byte{c.maxDef})
	o := &c.out
	o.Slots -= slots
	c.rows -= rows
	c.present -= present
	o.Def = o.Def[:copy(o.Def, o.Def[slots:])]
	if c.maxRep > 0 {
		o.Rep = o.Rep[:copy(o.Rep, o.Rep[slots:])]
	}
	switch c.values.physical {
	case format.Int32, format.Int64:
		o.Longs = o.Longs[:copy(o.Longs, o.Longs[present:])]
	case format.Float, format.Double:
		o.Doubles = o.Doubles[:copy(o.Doubles, o.Doubles[present:])]
	case format.Boolean:
		o.Bools = o.Bools[:copy(o.Bools, o.Bools[present:])]
	default:
		start := uint32(0)
		if present > 0 {
			start = o.Ends[present-1]
		}
		o.Bytes = o.Bytes[:copy(o.Bytes, o.Bytes[start:])]
		o.Ends = o.Ends[:copy(o.Ends, o.Ends[present:])]
		for i := range o.Ends {
			o.Ends[i] -= start
		}
	}
}
