package parquet

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/parquet-go/parquet-go/format"
)

// pageHead is what a page header of ours holds (parquet.thrift, PageHeader). Data pages are version 1: every reader
// takes them, and their levels are compressed with the values, which nested columns gain from.
type pageHead struct {
	dictionary bool
	encoding   format.Encoding
	values     int // slots: nulls count
	raw        int // bytes of the body before compression
}

// appendPage appends a page: its header in thrift's compact protocol, written by hand because it is small and fixed,
// and its compressed body.
func appendPage(dst []byte, h pageHead, body []byte) []byte {
	kind, member := format.DataPage, byte(0x1C) // field 5, data_page_header: 1 behind field 4
	if h.dictionary {
		kind, member = format.DictionaryPage, 0x3C // field 7, dictionary_page_header
	}
	dst = appendThriftInt(dst, int32(kind))
	dst = appendThriftInt(dst, int32(h.raw))
	dst = appendThriftInt(dst, int32(len(body)))
	dst = appendThriftInt(dst, int32(crc32.ChecksumIEEE(body)))
	dst = append(dst, member)
	dst = appendThriftInt(dst, int32(h.values))
	dst = appendThriftInt(dst, int32(h.encoding))
	if !h.dictionary {
		dst = appendThriftInt(dst, int32(format.RLE))
		dst = appendThriftInt(dst, int32(format.RLE))
	}
	dst = append(dst, 0, 0) // stop of the inner, stop of the outer struct
	return append(dst, body...)
}

// appendThriftInt appends the field that follows the last one, of type i32.
func appendThriftInt(dst []byte, v int32) []byte {
	return binary.AppendVarint(append(dst, 0x15), int64(v))
}

// appendLevels appends a level stream with its length in front, as version 1 pages have it.
func appendLevels(dst, stream []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(stream)))
	return append(dst, stream...)
}

// arena keeps finished pages until their row group ends. Its blocks are used again for the next row group: a fresh
// allocation for each page would make the collector run for nothing. The first block is small, since a partition's file
// may hold a few rows.
type arena struct {
	blocks [][]byte
	at     int   // block in use
	held   int64 // memory in use for pages: blocks begun, and pages too large for one, which are dropped at reset
	kept   int64 // bytes of pages
}

const (
	arenaBlock      = 1 << 20
	arenaBlockFirst = 32 << 10
)

// keep returns a copy of p that lives until reset.
func (a *arena) keep(p []byte) []byte {
	a.kept += int64(len(p))
	if len(p) > arenaBlock/4 {
		a.held += int64(len(p))
		return append(make([]byte, 0, len(p)), p...)
	}
	for a.at < len(a.blocks) && cap(a.blocks[a.at])-len(a.blocks[a.at]) < len(p) {
		a.at++
	}
	if a.at == len(a.blocks) {
		size := arenaBlock
		if a.at == 0 && len(p) <= arenaBlockFirst {
			size = arenaBlockFirst
		}
		a.blocks = append(a.blocks, make([]byte, 0, size))
	}
	b := a.blocks[a.at]
	start := len(b)
	if start == 0 {
		a.held += int64(cap(b))
	}
	a.blocks[a.at] = append(b, p...)
	return a.blocks[a.at][start:]
}

func (a *arena) reset() {
	for i := range a.blocks {
		a.blocks[i] = a.blocks[i][:0]
	}
	a.at, a.held, a.kept = 0, 0, 0
}
