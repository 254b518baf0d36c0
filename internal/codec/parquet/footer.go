package parquet

import (
	"encoding/binary"
	"io"
	"maps"
	"slices"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/column"
	"dynaferry/internal/fault"
)

// SchemaKey is the name in a file's key-value metadata under which the schema stands in column's JSON form; it lets a
// reader restore items exactly.
const SchemaKey = "dynaferry.schema"

// FooterOptions are what Footer needs beside metadata and schema.
type FooterOptions struct {
	Staged   io.ReaderAt       // the data part; read only where NeedLevels says so, nil when it says nothing
	KeyValue map[string]string // goes into the file's key-value metadata beside SchemaKey
	Version  string            // of the program, for created_by; "" takes the build's
}

// Range is a run of bytes of the data part.
type Range struct{ Offset, Bytes int64 }

// Settled tells whether Footer alone makes of m what its items written with schema s would have made: it Fits, and no
// value that s has a column for lies in the Extra column. Otherwise Rewrite is needed first.
func Settled(m *FileMeta, s *column.Schema) bool {
	for i := range m.Groups {
		if from := m.Schemas[m.Groups[i].Schema]; from != s && column.Compare(from, s) == column.Rebuild {
			return false
		}
	}
	return Fits(m, s)
}

// Fits tells whether every column that the data has is one of s in the same form, so that Footer makes it a file of s.
// What s has a column for and lies in the Extra column stays there: the items that come back are the same.
func Fits(m *FileMeta, s *column.Schema) bool {
	leaves, err := leavesOf(s)
	if err != nil {
		return false
	}
	index := byKey(leaves)
	checked := make(map[int]bool, len(m.Schemas))
	for i := range m.Groups {
		if checked[m.Groups[i].Schema] {
			continue
		}
		checked[m.Groups[i].Schema] = true
		old, err := leavesOf(m.Schemas[m.Groups[i].Schema])
		if err != nil {
			return false
		}
		for k := range old {
			if j, ok := index[old[k].key()]; !ok || !sameForm(&old[k], &leaves[j]) {
				return false
			}
		}
	}
	return true
}

// NeedLevels lists the parts of the data that Footer will read: for a nested column that a row group lacks, the chunk
// of a sibling whose levels it takes.
func NeedLevels(m *FileMeta, s *column.Schema) ([]Range, error) {
	var need []Range
	err := eachGroup(m, s, func(g *GroupMeta, from, to []leaf, chunkOf []int) error {
		for i := range to {
			if chunkOf[i] >= 0 {
				continue
			}
			if sibling, depth := siblingOf(g, from, &to[i]); depth > 0 {
				c := &g.Chunks[sibling]
				if r := (Range{c.start(), c.Bytes}); !slices.Contains(need, r) {
					need = append(need, r)
				}
			}
		}
		return nil
	})
	slices.SortFunc(need, func(a, b Range) int { return int(min(max(a.Offset-b.Offset, -1), 1)) })
	return need, err
}

// Footer returns the bytes that, behind the data part, make it a file of schema s: null chunks for the columns it
// lacks, page indexes and metadata in the order of s. m must fit s. The same arguments give the same bytes.
func Footer(m *FileMeta, s *column.Schema, f FooterOptions) (tail []byte, err error) {
	if !Fits(m, s) {
		return nil, fault.New(fault.Bug, "footer for a schema that the data must be rewritten for")
	}
	if _, taken := f.KeyValue[SchemaKey]; taken {
		return nil, fault.New(fault.Bug, "metadata %s is not the caller's to set", SchemaKey)
	}
	b := footerBuilder{base: m.Size, staged: f.Staged}
	if b.compress, err = newCompressor(m.Codec, 0); err != nil {
		return nil, err
	}
	if err := eachGroup(m, s, b.group); err != nil {
		return nil, err
	}
	b.dataEnd = b.offset()
	if err := b.indexes(); err != nil {
		return nil, err
	}
	return b.finish(m, s, f)
}

// eachGroup calls do for every row group with the leaves it has, those it shall have, and for each of the latter the
// index of its chunk or -1.
func eachGroup(m *FileMeta, s *column.Schema, do func(g *GroupMeta, from, to []leaf, chunkOf []int) error) error {
	to, err := leavesOf(s)
	if err != nil {
		return err
	}
	for i := range m.Groups {
		g := &m.Groups[i]
		from, err := leavesOf(m.Schemas[g.Schema])
		if err != nil {
			return err
		}
		index := byKey(from)
		chunkOf := make([]int, len(to))
		for j := range to {
			chunkOf[j] = -1
			if c, ok := index[to[j].key()]; ok {
				chunkOf[j] = c
			}
		}
		if err := do(g, from, to, chunkOf); err != nil {
			return err
		}
	}
	return nil
}

// siblingOf finds the chunk that shares most nodes with a missing leaf, and of those the smallest; depth 0 means none.
func siblingOf(g *GroupMeta, from []leaf, missing *leaf) (chunk, depth int) {
	for i := range from {
		n := shared(&from[i], missing)
		if n > depth || n == depth && n > 0 && g.Chunks[i].Bytes < g.Chunks[chunk].Bytes {
			chunk, depth = i, n
		}
	}
	return chunk, depth
}

type footerBuilder struct {
	base     int64
	tail     []byte
	dataEnd  int64
	staged   io.ReaderAt
	compress *compressor
	groups   []rowGroup
	chunks   [][]*ChunkMeta // by row group and leaf of the schema
}

func (b *footerBuilder) offset() int64 { return b.base + int64(len(b.tail)) }

func (b *footerBuilder) group(g *GroupMeta, from, to []leaf, chunkOf []int) error {
	out := rowGroup{NumRows: g.Rows, Ordinal: int16(len(b.groups)), Columns: make([]columnChunk, len(to))}
	chunks := make([]*ChunkMeta, len(to))
	for i := range to {
		if chunkOf[i] >= 0 {
			chunks[i] = &g.Chunks[chunkOf[i]]
		} else {
			var err error
			if chunks[i], err = b.null(g, from, &to[i]); err != nil {
				return err
			}
		}
		out.Columns[i] = columnChunk{MetaData: describe(chunks[i], &to[i])}
		out.TotalByteSize += chunks[i].Raw
		out.TotalCompressedSize += chunks[i].Bytes
	}
	if len(g.Chunks) > 0 {
		out.FileOffset = g.Chunks[0].start()
	}
	b.groups = append(b.groups, out)
	b.chunks = append(b.chunks, chunks)
	return nil
}

// null appends a chunk without values for a leaf that the row group lacks.
func (b *footerBuilder) null(g *GroupMeta, from []leaf, l *leaf) (*ChunkMeta, error) {
	c := newChunkWriter(*l, false)
	m := &ChunkMeta{Codec: b.compress.codec, Dictionary: -1}
	row := int64(0)
	flush := func() error {
		if c.rows == 0 {
			return nil
		}
		var coder valueCoder
		body, encoding := c.body(nil, &coder)
		packed, err := b.compress.append(nil, body, false)
		if err != nil {
			return err
		}
		p := PageMeta{Offset: b.offset(), Row: row, Slots: int32(c.slots), Nulls: int32(c.slots), Encoding: encoding}
		b.tail = appendPage(b.tail, pageHead{encoding: encoding, values: c.slots, raw: len(body)}, packed)
		p.Bytes = int32(b.offset() - p.Offset)
		row += int64(c.rows)
		m.Pages = append(m.Pages, p)
		m.Bytes += int64(p.Bytes)
		m.Raw += int64(p.Bytes) + int64(len(body)-len(packed))
		m.Slots += int64(c.slots)
		m.Nulls += int64(c.slots)
		c.openPage()
		return nil
	}
	sibling, depth := siblingOf(g, from, l)
	if depth == 0 {
		c.nulls(int(g.Rows))
		return m, flush()
	}
	if b.staged == nil {
		return nil, fault.New(fault.Bug, "footer needs the levels of %s, but no staged data was given", from[sibling].name())
	}
	var x expander
	for i := range g.Chunks[sibling].Pages {
		if err := b.derive(&x, &g.Chunks[sibling], i, &from[sibling], depth, c); err != nil {
			return nil, err
		}
		if c.rows >= PageRowsMax {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	if row != g.Rows {
		return nil, fault.New(fault.Corrupt, "levels of %s make %d rows of %d", from[sibling].name(), row, g.Rows)
	}
	return m, nil
}

// derive reads a page of the sibling from the staged data and appends its derived levels to c.
func (b *footerBuilder) derive(x *expander, from *ChunkMeta, page int, sibling *leaf, depth int, c *chunkWriter) error {
	p := &from.Pages[page]
	bytes := make([]byte, p.Bytes)
	if _, err := b.staged.ReadAt(bytes, p.Offset); err != nil && err != io.EOF {
		return fault.At(err, fault.Place{Offset: p.Offset})
	}
	raw, slots, err := openPage(x, bytes, from.Codec)
	if err != nil {
		return fault.At(err, fault.Place{Offset: p.Offset})
	}
	rep, def, err := levelStreams(raw, sibling)
	if err != nil {
		return fault.At(err, fault.Place{Offset: p.Offset})
	}
	d := deriver{leaf: sibling, depth: depth}
	if !d.page(&rep, &def, slots, &c.rep, &c.def) {
		return fault.At(fault.New(fault.Corrupt, "levels of %s end early", sibling.name()), fault.Place{Offset: p.Offset})
	}
	c.rows += d.rows
	c.slots += d.slots
	return nil
}

// describe is a chunk's metadata under the leaf's name in the new schema.
func describe(c *ChunkMeta, l *leaf) columnMetaData {
	m := columnMetaData{
		Type: storageOf(l.Field.Kind).physical(), PathInSchema: l.Path, Codec: c.Codec, NumValues: c.Slots,
		TotalUncompressedSize: c.Raw, TotalCompressedSize: c.Bytes, DataPageOffset: c.Pages[0].Offset,
		BloomFilterOffset: c.Bloom, BloomFilterLength: c.BloomBytes,
	}
	used := map[format.Encoding]int32{}
	for i := range c.Pages {
		used[c.Pages[i].Encoding]++
	}
	if c.Dictionary >= 0 {
		m.DictionaryPageOffset = c.Dictionary
		m.EncodingStats = append(m.EncodingStats, format.PageEncodingStats{PageType: format.DictionaryPage,
			Encoding: format.Plain, Count: 1})
	}
	for _, e := range slices.Sorted(maps.Keys(used)) {
		m.EncodingStats = append(m.EncodingStats, format.PageEncodingStats{PageType: format.DataPage, Encoding: e,
			Count: used[e]})
		m.Encoding = append(m.Encoding, e)
	}
	if c.Dictionary >= 0 && used[format.Plain] == 0 {
		m.Encoding = append(m.Encoding, format.Plain)
	}
	m.Encoding = append(m.Encoding, format.RLE) // the levels
	m.Statistics.NullCount = c.Nulls
	if b := &c.Bounds; b.Known {
		m.Statistics.MinValue, m.Statistics.MaxValue = thrift.New(b.Min), thrift.New(b.Max)
		m.Statistics.MinValueIsExact, m.Statistics.MaxValueIsExact = thrift.New(b.MinExact), thrift.New(b.MaxExact)
	}
	return m
}

// finish appends the metadata and the end of the file.
func (b *footerBuilder) finish(m *FileMeta, s *column.Schema, f FooterOptions) ([]byte, error) {
	for i := range b.groups {
		keepInFile(&b.groups[i], b.chunks[i], b.dataEnd)
	}
	meta := fileMetaData{Version: 2, Schema: elementsOf(s), NumRows: m.Rows, RowGroups: b.groups,
		CreatedBy: createdBy(f.Version)}
	if meta.RowGroups == nil {
		meta.RowGroups = []rowGroup{}
	}
	meta.KeyValueMetadata = append(meta.KeyValueMetadata, format.KeyValue{Key: SchemaKey,
		Value: string(s.AppendJSON(nil))})
	for _, key := range slices.Sorted(maps.Keys(f.KeyValue)) {
		meta.KeyValueMetadata = append(meta.KeyValueMetadata, format.KeyValue{Key: key, Value: f.KeyValue[key]})
	}
	for range s.Leaves() {
		// One for each leaf, or readers ignore minima and maxima.
		meta.ColumnOrders = append(meta.ColumnOrders, format.ColumnOrder{Value: &format.TypeDefinedOrder{}})
	}
	packed, err := thrift.Marshal(&thrift.CompactProtocol{}, &meta)
	if err != nil {
		return nil, fault.New(fault.Bug, "encode footer: %w", err)
	}
	b.tail = append(b.tail, packed...)
	b.tail = binary.LittleEndian.AppendUint32(b.tail, uint32(len(packed)))
	return append(b.tail, magic...), nil
}

// keepInFile cares for readers that share a file out by byte ranges. parquet-java, and so Spark and Hive, gives a row
// group to the range that holds the offset of its first column's chunk plus half of total_compressed_size. Where the
// first column of the schema is a null chunk behind all data, or was written late, that point may lie behind the end
// of the file, and the row group would belong to nobody: its rows would be lost without a word. There the total is
// stated so much smaller that the point falls into the file; nothing else reads this optional field.
func keepInFile(g *rowGroup, chunks []*ChunkMeta, dataEnd int64) {
	if len(chunks) == 0 {
		return
	}
	if first := chunks[0].start(); first+g.TotalCompressedSize/2 >= dataEnd {
		g.TotalCompressedSize = max(1, 2*(dataEnd-1-first))
	}
}
