package parquet

import (
	"io"
	"slices"

	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/fault"
)

// slotsUnknown stands for the level pairs of a page of a nested column, of which a file's indexes say nothing.
const slotsUnknown = -1

// MetaOf reads a finished file of ours as if its end had not been written yet: the FileMeta of its data, null chunks of its
// footer included, and the key-value metadata that FooterOptions put there. The first Size bytes and what Footer makes of
// the FileMeta for a wider schema are a file again: for a schema that needs no null chunks it is the same file, byte for
// byte. Only footer and page indexes are read, from the file's end to the front, in few reads.
//
// A file may not say which bounds of a page are exact, nor how many level pairs a page of a nested column has: nothing that
// a footer holds.
//
// Errors: Corrupt with an offset for what is no file of ours or is damaged, Unsupported for one that a program of others
// has rewritten.
func MetaOf(r io.ReaderAt, size int64) (*FileMeta, map[string]string, error) {
	footer, err := readFooter(r, size, false)
	if err != nil {
		return nil, nil, err
	}
	p, err := open(r, size, footer, ReadOptions{})
	if err != nil {
		return nil, nil, err
	}
	if p.Foreign() {
		return nil, nil, fault.New(fault.Unsupported, "file is not as dynaferry wrote it: %s", p.note)
	}
	b := metaBuilder{file: p, out: &FileMeta{Rows: p.meta.NumRows, Size: int64(len(magic)), Codec: None}}
	if err := parseThrift(footer, &b.meta); err != nil {
		return nil, nil, fault.At(err, fault.Place{Offset: p.end})
	}
	if err := b.window(); err != nil {
		return nil, nil, err
	}
	if err := b.groups(); err != nil {
		return nil, nil, err
	}
	keyValue := p.metadata()
	delete(keyValue, SchemaKey)
	return b.out, keyValue, nil
}

type metaBuilder struct {
	file *Reader
	meta fileMetaData // the same footer, with the exactness of bounds
	out  *FileMeta
}

// window reads all that lies between data and footer at once, and lets the indexes be read from there.
func (b *metaBuilder) window() error {
	p := b.file
	for g := range p.meta.RowGroups {
		for i := range p.meta.RowGroups[g].Columns {
			m := &p.meta.RowGroups[g].Columns[i].MetaData
			if m.BloomFilterOffset > 0 && m.BloomFilterLength <= 0 {
				return fault.New(fault.Unsupported, "column %s has a bloom filter of a length that is not told: another program has rewritten the file",
					p.leaves[i].path)
			}
			b.out.Size = max(b.out.Size, chunkStart(m)+m.TotalCompressedSize, m.BloomFilterOffset+int64(m.BloomFilterLength))
		}
	}
	if length := p.end - b.out.Size; length < 0 || length > FooterBytesMax {
		return fault.New(fault.Corrupt, "data ends at byte %d, the footer begins at %d", b.out.Size, p.end)
	}
	indexes := make([]byte, p.end-b.out.Size)
	if err := readAt(p.file, indexes, b.out.Size); err != nil {
		return err
	}
	p.file = &window{b.out.Size, indexes}
	return nil
}

// window is a part of a file in memory.
type window struct {
	at   int64
	data []byte
}

func (w *window) ReadAt(p []byte, at int64) (int, error) {
	if at < w.at || at > w.at+int64(len(w.data)) {
		return 0, fault.New(fault.Corrupt, "an index lies at byte %d, before %d where the data ends", at, w.at)
	}
	n := copy(p, w.data[at-w.at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b *metaBuilder) groups() error {
	p := b.file
	if len(p.meta.RowGroups) > 0 {
		b.out.schemaIndex(p.schema)
	}
	if len(b.meta.RowGroups) != len(p.meta.RowGroups) {
		return fault.New(fault.Bug, "one footer has %d and %d row groups", len(b.meta.RowGroups), len(p.meta.RowGroups))
	}
	for g := range p.meta.RowGroups {
		group := &p.meta.RowGroups[g]
		if len(b.meta.RowGroups[g].Columns) != len(group.Columns) {
			return fault.New(fault.Bug, "row group %d has %d and %d chunks", g, len(b.meta.RowGroups[g].Columns), len(group.Columns))
		}
		out := GroupMeta{Rows: group.NumRows, Chunks: make([]ChunkMeta, len(group.Columns))}
		for i := range group.Columns {
			if err := b.chunk(g, i, &out.Chunks[i]); err != nil {
				return fault.At(err, fault.Place{Path: p.leaves[i].path, Offset: chunkStart(&group.Columns[i].MetaData)})
			}
		}
		b.out.Groups = append(b.out.Groups, out)
	}
	if len(b.out.Groups) == 0 || len(b.out.Groups[0].Chunks) == 0 {
		return nil
	}
	for c, number := range codecNumbers {
		if number == b.out.Groups[0].Chunks[0].Codec {
			b.out.Codec = c
			return nil
		}
	}
	return fault.New(fault.Unsupported, "file is compressed as %s, which dynaferry does not write", b.out.Groups[0].Chunks[0].Codec)
}

// chunk is the inverse of describe.
func (b *metaBuilder) chunk(g, i int, c *ChunkMeta) error {
	group, m := &b.file.meta.RowGroups[g], &b.meta.RowGroups[g].Columns[i].MetaData
	locations, err := b.file.pageLocations(group, i)
	if err != nil {
		return err
	}
	if locations[0].FirstRowIndex != 0 {
		return fault.New(fault.Corrupt, "chunk begins with row %d", locations[0].FirstRowIndex)
	}
	*c = ChunkMeta{Codec: m.Codec, Dictionary: -1, Bytes: m.TotalCompressedSize, Raw: m.TotalUncompressedSize, Slots: m.NumValues,
		Nulls: m.Statistics.NullCount, Bloom: m.BloomFilterOffset, BloomBytes: m.BloomFilterLength, Pages: make([]PageMeta, len(locations))}
	if start := chunkStart(&group.Columns[i].MetaData); start < m.DataPageOffset {
		c.Dictionary = start
	}
	if s := &m.Statistics; s.MinValue.Valid && s.MaxValue.Valid {
		c.Bounds = Bounds{Known: true, Min: s.MinValue.V, Max: s.MaxValue.V, MinExact: s.MinValueIsExact.V, MaxExact: s.MaxValueIsExact.V}
	}
	encodings, err := encodingsOfPages(m, len(locations))
	if err != nil {
		return err
	}
	for n, at := range locations {
		page := PageMeta{Offset: at.Offset, Bytes: at.CompressedPageSize, Row: at.FirstRowIndex, Slots: slotsUnknown, Encoding: encodings[n]}
		next := group.NumRows
		if n+1 < len(locations) {
			next = locations[n+1].FirstRowIndex
		}
		if b.file.leaves[i].maxRep == 0 {
			page.Slots = int32(next - page.Row)
		}
		c.Pages[n] = page
	}
	return b.index(g, i, c)
}

// encodingsOfPages gives each page an encoding, in the numbers that the chunk says; which page has which does not matter to
// a footer.
func encodingsOfPages(m *columnMetaData, pages int) ([]format.Encoding, error) {
	var encodings []format.Encoding
	for _, s := range m.EncodingStats {
		if s.PageType == format.DataPage && s.Count >= 0 && int(s.Count) <= pages {
			encodings = append(encodings, slices.Repeat([]format.Encoding{s.Encoding}, int(s.Count))...)
		}
	}
	if len(encodings) != pages {
		return nil, fault.New(fault.Unsupported, "the encodings of %d pages are told of %d: another program has rewritten the file", pages, len(encodings))
	}
	return encodings, nil
}

// index adds what the column index says of pages: nulls and bounds. Without one no page has bounds, see columnIndex.
func (b *metaBuilder) index(g, i int, c *ChunkMeta) error {
	chunk := &b.file.meta.RowGroups[g].Columns[i]
	if chunk.ColumnIndexLength == 0 {
		return nil
	}
	if chunk.ColumnIndexLength < 0 || int64(chunk.ColumnIndexLength) > FooterBytesMax {
		return fault.New(fault.Corrupt, "column index has %d bytes", chunk.ColumnIndexLength)
	}
	raw := make([]byte, chunk.ColumnIndexLength)
	if err := readAt(b.file.file, raw, chunk.ColumnIndexOffset); err != nil {
		return err
	}
	var index format.ColumnIndex
	if err := parseThrift(raw, &index); err != nil {
		return err
	}
	n := len(c.Pages)
	if len(index.NullPages) != n || len(index.MinValues) != n || len(index.MaxValues) != n || len(index.NullCounts) != n {
		return fault.New(fault.Corrupt, "column index is of %d pages, the chunk has %d", len(index.NullPages), n)
	}
	for j := range c.Pages {
		p := &c.Pages[j]
		if p.Nulls = int32(index.NullCounts[j]); index.NullPages[j] {
			p.Slots = p.Nulls
			continue
		}
		p.Bounds = Bounds{Known: true, Min: index.MinValues[j], Max: index.MaxValues[j]}
	}
	return nil
}
