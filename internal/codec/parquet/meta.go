package parquet

import (
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/column"
)

// FileMeta says where everything lies in a data part that a Writer has written. It travels in the result of a task,
// in the form of AppendBinary, until a commit turns it into a footer.
type FileMeta struct {
	Rows    int64
	Size    int64 // bytes of the data part, the magic number included
	Codec   Compression
	Schemas []*column.Schema // the schemas that row groups were written with
	Groups  []GroupMeta
}

// GroupMeta is one row group. Chunks[i] belongs to Schemas[Schema].Leaves()[i]; later schemas may have more leaves,
// which this row group lacks.
type GroupMeta struct {
	Schema int
	Rows   int64
	Chunks []ChunkMeta
}

// ChunkMeta is one column chunk. Offsets are absolute, sizes include page headers.
type ChunkMeta struct {
	Codec      format.CompressionCodec
	Dictionary int64 // offset of the dictionary page, which stands in front of the data pages; -1 without
	Bytes      int64 // in the file, dictionary page included
	Raw        int64 // the same before compression
	Slots      int64 // level pairs
	Nulls      int64 // slots without value
	Bounds     Bounds
	Pages      []PageMeta
	Bloom      int64 // offset of the bloom filter
	BloomBytes int32 // 0 without
}

// start is the offset of the chunk's first byte.
func (c *ChunkMeta) start() int64 {
	if c.Dictionary >= 0 {
		return c.Dictionary
	}
	return c.Pages[0].Offset
}

// PageMeta is one data page.
type PageMeta struct {
	Offset   int64
	Bytes    int32
	Row      int64 // first row, counted in the row group
	Slots    int32 // level pairs, slotsUnknown where only the page itself says
	Nulls    int32
	Encoding format.Encoding
	Bounds   Bounds
}

func (m *FileMeta) schemaIndex(s *column.Schema) int {
	for i, known := range m.Schemas {
		if known == s {
			return i
		}
	}
	m.Schemas = append(m.Schemas, s)
	return len(m.Schemas) - 1
}
