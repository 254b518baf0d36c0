package parquet

import (
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/fault"
)

// endRowGroup finishes all open pages and writes the row group: chunk behind chunk in the slab's order, then the bloom
// filters.
func (w *Writer) endRowGroup() error {
	if w.rows == 0 {
		return w.err
	}
	if len(w.meta.Groups) == rowGroupsMax {
		return fault.New(fault.Limit, "a parquet file holds at most %d row groups", rowGroupsMax)
	}
	g := GroupMeta{Schema: w.meta.schemaIndex(w.schema), Rows: w.rows, Chunks: make([]ChunkMeta, len(w.chunks))}
	for i, c := range w.chunks {
		if err := w.endPage(c); err != nil {
			return err
		}
		if c.rowsAll != w.rows {
			return fault.New(fault.Bug, "chunk %s has %d rows in a row group of %d", c.leaf.name(), c.rowsAll, w.rows)
		}
		if err := w.chunk(c, &g.Chunks[i]); err != nil {
			return err
		}
	}
	for i, c := range w.chunks {
		if c.bloom {
			g.Chunks[i].Bloom = w.offset
			g.Chunks[i].BloomBytes = w.bloom(c)
		}
		c.reset()
	}
	w.meta.Groups = append(w.meta.Groups, g)
	w.meta.Rows += w.rows
	w.rows, w.finished = 0, 0
	w.arena.reset()
	return w.err
}

// chunk writes one chunk and describes it in m.
func (w *Writer) chunk(c *chunkWriter, m *ChunkMeta) error {
	*m = ChunkMeta{Codec: w.compress.codec, Dictionary: -1, Slots: c.slotAll, Nulls: c.nullAll,
		Pages: make([]PageMeta, len(c.pages))}
	start := w.offset
	if c.dictUsed {
		m.Dictionary = start
		w.body = c.dict.page(w.body[:0])
		var err error
		if w.packed, err = w.compress.append(w.packed[:0], w.body, false); err != nil {
			return err
		}
		h := pageHead{dictionary: true, encoding: format.Plain, values: c.dict.len(), raw: len(w.body)}
		w.head = appendPage(w.head[:0], h, w.packed)
		w.write(w.head)
		m.Raw += int64(len(w.head) - len(w.packed) + len(w.body))
	}
	less := lessOf(c.storage)
	ordered := true
	for i := range c.pages {
		p := &c.pages[i]
		m.Pages[i] = PageMeta{
			Offset: w.offset, Bytes: int32(len(p.bytes)), Row: p.row, Slots: int32(p.slots), Nulls: int32(p.nulls),
			Encoding: p.enc, Bounds: p.bounds,
		}
		w.write(p.bytes)
		m.Raw += int64(p.raw)
		m.Bounds.widen(p.bounds, less)
		ordered = ordered && (p.bounds.Known || p.nulls == p.slots)
	}
	if !ordered {
		m.Bounds = Bounds{} // a page without bounds (NaN) leaves the chunk without
	}
	m.Bytes = w.offset - start
	return w.err
}
