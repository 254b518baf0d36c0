package parquet

import (
	"bytes"
	"io"

	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/column"
	"dynaferry/internal/fault"
)

const magic = "PAR1"

// Writer writes slabs as the data part of a Parquet file: the magic number, then row groups of pages. It is not for
// concurrent use; a worker has its own.
type Writer struct {
	o      Options
	out    io.Writer
	offset int64
	err    error
	meta   *FileMeta
	closed bool

	schema    *column.Schema // of the open row group; nil when it has no row
	chunks    []*chunkWriter
	rows      int64 // in the open row group
	finished  int64 // raw bytes of finished pages in it
	pageBytes int
	arena     arena
	compress  *compressor
	coder     valueCoder
	body      []byte
	packed    []byte
	head      []byte
}

// NewWriter begins a data part on w, which gets a page or dictionary a call. Errors of the options appear at the first Write or at Close.
func NewWriter(w io.Writer, o Options) *Writer {
	o, err := o.filled()
	p := &Writer{o: o, out: w, err: err, meta: &FileMeta{Codec: o.Compression}}
	if err == nil {
		p.compress, p.err = newCompressor(o.Compression, o.Level)
	}
	if p.err == nil {
		p.write([]byte(magic))
	}
	return p
}

// Rows is the number of rows written so far.
func (w *Writer) Rows() int64 { return w.meta.Rows + w.rows }

// Size is the number of bytes handed to the io.Writer so far, and of compressed pages that wait for their row group to
// end: what a file would have about by now. Target file sizes are judged by it.
func (w *Writer) Size() int64 { return w.offset + w.arena.kept }

// Held is the memory in use for the open row group: finished pages, open pages, dictionaries, hashes of bloom filters.
// A row group ends on its own when it passes Options.HeldBytes.
func (w *Writer) Held() int64 {
	n := w.arena.held + int64(cap(w.body)+cap(w.packed))
	for _, c := range w.chunks {
		n += int64(c.held())
	}
	return n
}

// Write appends the rows of s; the caller may use s again afterwards. A slab whose schema does not go on from the last
// one's (a leaf has another kind, or is gone) begins a new row group; new leaves are filled up with nulls.
// After an error the Writer is broken and every call returns that error.
func (w *Writer) Write(s *column.Slab) error {
	if w.closed && w.err == nil {
		w.err = fault.New(fault.Bug, "write to a closed parquet writer")
	}
	if w.err != nil || s.Rows == 0 {
		return w.err
	}
	if err := w.adopt(s.Schema); err != nil {
		return w.fail(err)
	}
	if len(s.Vectors) != len(w.chunks) {
		return w.fail(fault.New(fault.Bug, "slab has %d vectors for %d leaves", len(s.Vectors), len(w.chunks)))
	}
	w.share(s)
	for i := range s.Vectors {
		if err := w.vector(w.chunks[i], &s.Vectors[i], s.Rows); err != nil {
			return w.fail(err)
		}
	}
	w.rows += int64(s.Rows)
	if w.full() {
		return w.fail(w.endRowGroup())
	}
	return nil
}

// Close writes what is held back and returns where everything lies. The stream ends with the data: Footer makes the
// rest. It does not close the io.Writer below. A second Close is an error.
func (w *Writer) Close() (*FileMeta, error) {
	if w.closed && w.err == nil {
		w.err = fault.New(fault.Bug, "parquet writer closed twice")
	}
	w.closed = true
	if w.err == nil {
		w.err = w.endRowGroup()
	}
	if w.err != nil {
		return nil, w.err
	}
	w.meta.Size = w.offset
	return w.meta, nil
}

func (w *Writer) fail(err error) error {
	if err != nil {
		w.err = err
	}
	return err
}

func (w *Writer) write(p []byte) {
	if w.err == nil {
		_, w.err = w.out.Write(p)
		w.offset += int64(len(p))
	}
}

func (w *Writer) full() bool {
	open, held := w.finished, w.arena.held
	for _, c := range w.chunks {
		open += int64(c.openBytes())
		held += int64(c.held())
	}
	return open >= w.o.RowGroupBytes || held >= w.o.HeldBytes || w.rows >= int64(w.o.RowGroupRows)
}

// adopt makes s the schema of the open row group, ending the row group when its chunks cannot go on in s.
func (w *Writer) adopt(s *column.Schema) error {
	if w.schema == s {
		return nil
	}
	leaves, err := leavesOf(s)
	if err != nil {
		return err
	}
	old := make(map[string]*chunkWriter, len(w.chunks))
	for _, c := range w.chunks {
		old[c.leaf.key()] = c
	}
	if w.rows > 0 && (column.Compare(w.schema, s) == column.Rebuild || forgets(w.schema, s)) || !w.goesOn(leaves) {
		if err := w.endRowGroup(); err != nil {
			return err
		}
		clear(old)
		w.chunks = nil
	}
	chunks := make([]*chunkWriter, len(leaves))
	for i := range leaves {
		if c := old[leaves[i].key()]; c != nil {
			c.leaf = leaves[i]
			chunks[i] = c
			continue
		}
		if chunks[i], err = w.newChunk(leaves[i]); err != nil {
			return err
		}
	}
	w.schema, w.chunks = s, chunks
	return nil
}

// share sets the size at which the pages of this slab end. Only when all pages under construction together would take
// more than their memory has each an equal share of it: most leaves of a wide schema hold next to nothing.
func (w *Writer) share(s *column.Slab) {
	open := 0
	for i, c := range w.chunks {
		v := &s.Vectors[i]
		open += c.openBytes() + len(v.Bytes) + 8*(len(v.Longs)+len(v.Doubles)) + len(v.Bools)
	}
	w.pageBytes = w.o.PageBytes
	if open > openBytes {
		w.pageBytes = max(pageBytesMin, min(w.o.PageBytes, openBytes/len(w.chunks)))
	}
}

// goesOn tells whether every chunk of the open row group has its place among the leaves.
func (w *Writer) goesOn(leaves []leaf) bool {
	index := byKey(leaves)
	for _, c := range w.chunks {
		if i, ok := index[c.leaf.key()]; !ok || !sameForm(&c.leaf, &leaves[i]) {
			return false
		}
	}
	return true
}

// newChunk makes the chunk of a leaf that appears in the open row group, with nulls for the rows that are there.
func (w *Writer) newChunk(l leaf) (*chunkWriter, error) {
	bloom := false
	for _, name := range w.o.Bloom {
		bloom = bloom || len(l.keys) == 1 && l.Field.Source == name && l.Field.Kind != column.Bool
	}
	c := newChunkWriter(l, bloom)
	if w.rows == 0 {
		return c, nil
	}
	var sibling *chunkWriter
	depth := 0
	for _, o := range w.chunks {
		if n := shared(&o.leaf, &l); n > depth || n == depth && n > 0 && o.rawAll < sibling.rawAll {
			sibling, depth = o, n
		}
	}
	if sibling == nil {
		for left := int(w.rows); left > 0; left -= PageRowsMax {
			c.nulls(min(left, PageRowsMax))
			if left > PageRowsMax {
				if err := w.endPage(c); err != nil {
					return nil, err
				}
			}
		}
		return c, nil
	}
	if err := w.endPage(sibling); err != nil {
		return nil, err
	}
	return c, w.derive(c, sibling, depth)
}

// derive fills a new nested leaf with the nulls that its sibling's levels ask for.
func (w *Writer) derive(c, sibling *chunkWriter, depth int) error {
	var x expander
	for i := range sibling.pages {
		p := &sibling.pages[i]
		raw, slots, err := openPage(&x, p.bytes, w.compress.codec)
		if err != nil {
			return err
		}
		rep, def, err := levelStreams(raw, &sibling.leaf)
		if err != nil {
			return err
		}
		d := deriver{depth: depth, leaf: &sibling.leaf}
		if !d.page(&rep, &def, slots, &c.rep, &c.def) {
			return fault.New(fault.Bug, "levels of %s end early", sibling.leaf.name())
		}
		c.rows += d.rows
		c.slots += d.slots
		if c.rows >= PageRowsMax && i+1 < len(sibling.pages) {
			if err := w.endPage(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// Between two looks at the page's size as many slots are appended as an eighth of a page of numbers has, at most
// pieceSlots.
const pieceSlots = 1024

// vector appends a vector to its chunk, cutting pages at row boundaries.
func (w *Writer) vector(c *chunkWriter, v *column.Vector, rows int) error {
	if c.leaf.MaxDef == 1 && c.leaf.MaxRep == 0 && v.Def != nil && len(v.Longs)+len(v.Doubles)+len(v.Bools)+len(v.Ends) == 0 {
		return w.absent(c, rows)
	}
	maxDef, text := c.leaf.MaxDef, c.storage == asBytes || c.storage == asFixed
	slots := max(1, min(pieceSlots, w.pageBytes/64))
	slot, value, seen := 0, 0, 0
	for slot < v.Slots {
		var p piece
		for want := slots; ; want /= 2 {
			p = cutPiece(v, slot, value, want, maxDef)
			if !text || p.rows <= 1 || p.valueEnd == value || want <= 1 {
				break
			}
			start := uint32(0)
			if value > 0 {
				start = v.Ends[value-1]
			}
			if int(v.Ends[p.valueEnd-1]-start) <= w.pageBytes-len(c.text) {
				break
			}
		}
		c.add(v, p)
		slot, value, seen = p.slotEnd, p.valueEnd, seen+p.rows
		if c.rows >= PageRowsMax || c.openBytes() >= w.pageBytes {
			if err := w.endPage(c); err != nil {
				return err
			}
		}
	}
	if seen != rows {
		return fault.New(fault.Bug, "vector %s has %d rows in a slab of %d", c.leaf.name(), seen, rows)
	}
	return nil
}

// absent appends rows without a value: what most slabs have of a rare attribute.
func (w *Writer) absent(c *chunkWriter, rows int) error {
	for rows > 0 {
		n := min(rows, PageRowsMax-c.rows)
		c.nulls(n)
		rows -= n
		if c.rows >= PageRowsMax {
			if err := w.endPage(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// cutPiece takes whole rows of about want slots.
func cutPiece(v *column.Vector, slot, value, want int, maxDef uint8) piece {
	p := piece{slot: slot, value: value, slotEnd: min(v.Slots, slot+want)}
	if v.Rep == nil {
		p.rows = p.slotEnd - slot
	} else {
		for p.slotEnd < v.Slots && v.Rep[p.slotEnd] != 0 {
			p.slotEnd++
		}
		p.rows = bytes.Count(v.Rep[slot:p.slotEnd], []byte{0})
	}
	p.valueEnd = value + p.slotEnd - slot
	if v.Def != nil {
		p.valueEnd = value + bytes.Count(v.Def[slot:p.slotEnd], []byte{maxDef})
	}
	return p
}

// endPage encodes, compresses and keeps the open page of c.
func (w *Writer) endPage(c *chunkWriter) error {
	if c.rows == 0 {
		return nil
	}
	if len(c.pages) == 0 {
		c.weigh()
	}
	var encoding format.Encoding
	w.body, encoding = c.body(w.body[:0], &w.coder)
	var err error
	if w.packed, err = w.compress.append(w.packed[:0], w.body, c.stored); err != nil {
		return err
	}
	if len(c.pages) == 0 && len(w.body) > 4<<10 {
		c.stored = len(w.packed) > len(w.body)-len(w.body)/32
	}
	w.head = appendPage(w.head[:0], pageHead{encoding: encoding, values: c.slots, raw: len(w.body)}, w.packed)
	p := page{
		bytes: w.arena.keep(w.head), raw: len(w.head) - len(w.packed) + len(w.body),
		row: c.rowsAll, slots: c.slots, nulls: c.slots - c.values, bounds: c.pageBounds(), enc: encoding,
	}
	c.dictUsed = c.dictUsed || encoding == format.RLEDictionary
	c.pages = append(c.pages, p)
	c.rowsAll += int64(c.rows)
	c.slotAll += int64(c.slots)
	c.nullAll += int64(p.nulls)
	c.rawAll += int64(p.raw)
	w.finished += int64(p.raw)
	c.openPage()
	return nil
}
