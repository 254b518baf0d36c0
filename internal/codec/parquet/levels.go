package parquet

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/fault"
)

// openPage parses, checks and expands a page of ours that lies in memory, and tells its level pairs.
func openPage(x *expander, p []byte, codec format.CompressionCodec) (body []byte, slots int, err error) {
	head, packed, err := splitPage(p)
	if err != nil {
		return nil, 0, err
	}
	if head.Type != format.DataPage || head.CRC != int32(crc32.ChecksumIEEE(packed)) {
		return nil, 0, fault.New(fault.Corrupt, "page checksum differs")
	}
	if head.UncompressedPageSize < 0 || head.UncompressedPageSize > pageBytesLimit {
		return nil, 0, fault.New(fault.Corrupt, "page says %d bytes", head.UncompressedPageSize)
	}
	body, err = x.expand(nil, codec, packed, int(head.UncompressedPageSize))
	return body, int(head.DataPageHeader.V.NumValues), err
}

// pageBytesLimit is the largest page that is read: ours are far smaller, but for one value of 400 KB and more.
const pageBytesLimit = 256 << 20

// splitPage parses a page of ours that lies in memory.
func splitPage(p []byte) (head format.PageHeader, body []byte, err error) {
	n, err := readPageHeader(p, &head)
	if err != nil {
		return head, nil, err
	}
	body = p[n:]
	if int(head.CompressedPageSize) != len(body) {
		return head, nil, fault.New(fault.Corrupt, "page of %d bytes says %d", len(body), head.CompressedPageSize)
	}
	return head, body, nil
}

// readPageHeader decodes the header at the start of p and returns its length.
func readPageHeader(p []byte, head *format.PageHeader) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fault.New(fault.Corrupt, "page header makes no sense: %v", r)
		}
	}()
	r := bytes.NewReader(p)
	*head = format.PageHeader{}
	if err := thrift.NewDecoder((&thrift.CompactProtocol{}).NewReader(r)).Decode(head); err != nil {
		return 0, fault.New(fault.Corrupt, "page header: %w", err)
	}
	return len(p) - r.Len(), nil
}

// levelStreams cuts the level streams off the body of a version 1 page.
func levelStreams(body []byte, l *leaf) (rep, def hybridDecoder, err error) {
	take := func(width uint) (hybridDecoder, error) {
		if len(body) < 4 || uint64(binary.LittleEndian.Uint32(body)) > uint64(len(body)-4) {
			return hybridDecoder{}, fault.New(fault.Corrupt, "levels of %s reach beyond their page", l.name())
		}
		n := binary.LittleEndian.Uint32(body)
		stream := body[4 : 4+n]
		body = body[4+n:]
		return newHybridDecoder(stream, width), nil
	}
	if l.MaxRep > 0 {
		if rep, err = take(bitWidth(uint32(l.MaxRep))); err != nil {
			return rep, def, err
		}
	}
	def, err = take(bitWidth(uint32(l.MaxDef)))
	return rep, def, err
}

// deriver makes the levels of a leaf without values from those of a sibling with which it shares depth leading nodes: a
// slot of the sibling that repeats below the shared nodes is no slot of the new leaf, and its definition ends with
// them.
type deriver struct {
	leaf  *leaf // the sibling
	depth int
	rows  int
	slots int
}

// page derives one page's levels; false when the streams hold fewer than slots levels.
func (d *deriver) page(rep, def *hybridDecoder, slots int, toRep, toDef *hybridEncoder) bool {
	lists := count(d.leaf.repeated[:d.depth])
	for slots > 0 {
		v, n, ok := def.peek()
		if !ok {
			return false
		}
		n = min(n, uint64(slots))
		r := uint32(0)
		if d.leaf.MaxRep > 0 {
			var m uint64
			if r, m, ok = rep.peek(); !ok {
				return false
			}
			n = min(n, m)
			rep.take(n)
		}
		def.take(n)
		slots -= int(n)
		if int(r) > lists {
			continue
		}
		toRep.run(r, int(n))
		toDef.run(min(v, uint32(d.depth)), int(n))
		d.slots += int(n)
		if r == 0 {
			d.rows += int(n)
		}
	}
	return true
}
