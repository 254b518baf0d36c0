package parquet

import (
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/fault"
)

// indexes appends the column indexes of all row groups in the schema's leaf order, then the offset indexes
// (PageIndex.md).
func (b *footerBuilder) indexes() error {
	for g := range b.groups {
		for i, c := range b.chunks[g] {
			index, ok := columnIndex(c, &b.groups[g].Columns[i].MetaData)
			if !ok {
				continue
			}
			at := b.offset()
			if err := b.marshal(index); err != nil {
				return err
			}
			b.groups[g].Columns[i].ColumnIndexOffset = at
			b.groups[g].Columns[i].ColumnIndexLength = int32(b.offset() - at)
		}
	}
	for g := range b.groups {
		for i, c := range b.chunks[g] {
			index := format.OffsetIndex{PageLocations: make([]format.PageLocation, len(c.Pages))}
			for j := range c.Pages {
				p := &c.Pages[j]
				index.PageLocations[j] = format.PageLocation{Offset: p.Offset, CompressedPageSize: p.Bytes, FirstRowIndex: p.Row}
			}
			at := b.offset()
			if err := b.marshal(&index); err != nil {
				return err
			}
			b.groups[g].Columns[i].OffsetIndexOffset = at
			b.groups[g].Columns[i].OffsetIndexLength = int32(b.offset() - at)
		}
	}
	return nil
}

func (b *footerBuilder) marshal(v any) error {
	packed, err := thrift.Marshal(&thrift.CompactProtocol{}, v)
	if err != nil {
		return fault.New(fault.Bug, "encode page index: %w", err)
	}
	b.tail = append(b.tail, packed...)
	return nil
}

// columnIndex is the chunk's; ok is false when a page has values without bounds, for then the format allows none.
func columnIndex(c *ChunkMeta, m *columnMetaData) (_ *format.ColumnIndex, ok bool) {
	index := &format.ColumnIndex{}
	less := lessOf(storageOfPhysical(m.Type))
	ascending, descending := true, true
	var last *Bounds
	for i := range c.Pages {
		p := &c.Pages[i]
		null := p.Nulls == p.Slots
		if !null && !p.Bounds.Known {
			return nil, false
		}
		low, high := p.Bounds.Min, p.Bounds.Max
		if null {
			low, high = []byte{}, []byte{}
		} else {
			if last != nil {
				ascending = ascending && !less(low, last.Min) && !less(high, last.Max)
				descending = descending && !less(last.Min, low) && !less(last.Max, high)
			}
			last = &p.Bounds
		}
		index.NullPages = append(index.NullPages, null)
		index.MinValues = append(index.MinValues, low)
		index.MaxValues = append(index.MaxValues, high)
		index.NullCounts = append(index.NullCounts, int64(p.Nulls))
	}
	switch {
	case ascending:
		index.BoundaryOrder = format.Ascending
	case descending:
		index.BoundaryOrder = format.Descending
	}
	return index, true
}

func storageOfPhysical(t format.Type) storage {
	switch t {
	case format.Int64:
		return asLong
	case format.Int32:
		return asDate
	case format.Double:
		return asDouble
	case format.Boolean:
		return asBool
	case format.FixedLenByteArray:
		return asFixed
	default:
		return asBytes
	}
}
