package parquet

import (
	"io"

	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/fault"
)

// Info is what inspect shows of a file.
type Info struct {
	Rows      int64             `json:"rows"`
	CreatedBy string            `json:"createdBy"`
	Foreign   bool              `json:"foreign"`
	Note      string            `json:"note,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Groups    []int64           `json:"rowGroups"` // rows of each
	Columns   []ColumnInfo      `json:"columns"`
}

// ColumnInfo is one leaf column over all row groups.
type ColumnInfo struct {
	Path      string   `json:"path"`
	Type      string   `json:"type"`              // physical
	Logical   string   `json:"logical,omitempty"` // annotation
	Codecs    []string `json:"codecs"`
	Encodings []string `json:"encodings"`
	Bytes     int64    `json:"bytes"`
	Raw       int64    `json:"rawBytes"` // before compression
	Values    int64    `json:"values"`   // slots, nulls included
	Nulls     int64    `json:"nulls"`
	Index     bool     `json:"pageIndex"` // in every row group
	Bloom     bool     `json:"bloomFilter"`
	Min       string   `json:"min,omitempty"` // over all row groups, as the value would be read; "" when not known
	Max       string   `json:"max,omitempty"`
}

// Info describes the file from its footer alone.
func (p *Reader) Info() Info {
	info := Info{
		Rows: p.meta.NumRows, CreatedBy: p.meta.CreatedBy, Foreign: p.Foreign(), Note: p.note, Metadata: p.metadata(),
		Columns: make([]ColumnInfo, len(p.leaves)), Groups: []int64{},
	}
	bounds := make([]infoBounds, len(p.leaves))
	for i, leaf := range p.leaves {
		bounds[i].leaf = leaf
		info.Columns[i] = ColumnInfo{Path: leaf.path, Type: leaf.element.Type.V.String(),
			Logical: annotation(leaf.element), Index: true}
	}
	for g := range p.meta.RowGroups {
		group := &p.meta.RowGroups[g]
		info.Groups = append(info.Groups, group.NumRows)
		for i := range group.Columns {
			info.Columns[i].add(&group.Columns[i])
			bounds[i].add(&group.Columns[i].MetaData)
		}
	}
	for i := range bounds {
		info.Columns[i].Min, info.Columns[i].Max = bounds[i].texts()
	}
	return info
}

func (c *ColumnInfo) add(chunk *format.ColumnChunk) {
	m := &chunk.MetaData
	c.Codecs = union(c.Codecs, m.Codec.String())
	for _, e := range encodingsOf(m) {
		c.Encodings = union(c.Encodings, e)
	}
	c.Bytes += m.TotalCompressedSize
	c.Raw += m.TotalUncompressedSize
	c.Values += m.NumValues
	c.Nulls += m.Statistics.NullCount
	c.Index = c.Index && chunk.OffsetIndexLength > 0 && chunk.ColumnIndexLength > 0
	c.Bloom = c.Bloom || m.BloomFilterOffset > 0
}

func union(list []string, s string) []string {
	for _, known := range list {
		if known == s {
			return list
		}
	}
	return append(list, s)
}

// Verify opens a finished file of ours again, as a reader would, and holds it against the metadata it was made from:
// the schema is recognised, row groups and rows are those, every chunk and page lies where it was written and inside
// of the data, and the page index says the same. It reads footer and page indexes, no pages.
func Verify(r io.ReaderAt, size int64, m *FileMeta) error {
	p, err := Open(r, size, ReadOptions{})
	if err != nil {
		return err
	}
	if p.Foreign() {
		return fault.New(fault.Corrupt, "file is not recognised as ours: %s", p.note)
	}
	if p.Rows() != m.Rows || len(p.meta.RowGroups) != len(m.Groups) {
		return fault.New(fault.Corrupt, "file has %d rows in %d row groups, written were %d in %d",
			p.Rows(), len(p.meta.RowGroups), m.Rows, len(m.Groups))
	}
	for g := range p.meta.RowGroups {
		group := &p.meta.RowGroups[g]
		if group.NumRows != m.Groups[g].Rows {
			return fault.New(fault.Corrupt, "row group %d has %d rows, written were %d", g, group.NumRows, m.Groups[g].Rows)
		}
		for i := range group.Columns {
			if _, err := p.pageLocations(group, i); err != nil {
				return fault.At(err, fault.Place{Path: p.leaves[i].path, Offset: chunkStart(&group.Columns[i].MetaData)})
			}
		}
	}
	return nil
}

// pageLocations reads the chunk's offset index and walks it: pages follow each other from the chunk's first byte to its
// last.
func (p *Reader) pageLocations(group *format.RowGroup, i int) ([]format.PageLocation, error) {
	chunk := &group.Columns[i]
	start, end := chunkStart(&chunk.MetaData), chunkStart(&chunk.MetaData)+chunk.MetaData.TotalCompressedSize
	if chunk.OffsetIndexOffset < end || chunk.OffsetIndexLength <= 0 ||
		chunk.OffsetIndexOffset+int64(chunk.OffsetIndexLength) > p.end {
		return nil, fault.New(fault.Corrupt, "offset index lies at byte %d", chunk.OffsetIndexOffset)
	}
	raw := make([]byte, chunk.OffsetIndexLength)
	if err := readAt(p.file, raw, chunk.OffsetIndexOffset); err != nil {
		return nil, err
	}
	var index format.OffsetIndex
	if err := parseThrift(raw, &index); err != nil {
		return nil, err
	}
	at, row := chunk.MetaData.DataPageOffset, int64(-1)
	if at < start || len(index.PageLocations) == 0 {
		return nil, fault.New(fault.Corrupt, "chunk has %d pages from byte %d", len(index.PageLocations), at)
	}
	for _, page := range index.PageLocations {
		if page.Offset != at || page.CompressedPageSize <= 0 || page.FirstRowIndex <= row || page.FirstRowIndex >= group.NumRows {
			return nil, fault.New(fault.Corrupt, "page of row %d lies at byte %d, expected at %d", page.FirstRowIndex,
				page.Offset, at)
		}
		at, row = at+int64(page.CompressedPageSize), page.FirstRowIndex
	}
	if at != end {
		return nil, fault.New(fault.Corrupt, "pages end at byte %d, their chunk at %d", at, end)
	}
	return index.PageLocations, nil
}
