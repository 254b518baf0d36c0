package store

import (
	"encoding/binary"
	"hash/crc32"
)

// kind says what a log record tells. The numbers are part of the disk format.
type kind uint8

const (
	kindPut         kind = 1 + iota // value is the item
	kindDelete                      // the item is gone
	kindMove                        // an old put, written again with its own seq and time so that its segment can go
	kindTableCreate                 // value is the definition, the key's hash the name
	kindTableUpdate                 // value is the new definition
	kindTableDrop                   // the table is gone, and its items unless their history is kept
	kindEntries                     // index entries of an item that is there already, which old points at
	kindIndexDrop                   // the entries of the index that shard names are gone
	kindShardOpen                   // a shard opens, and its parent closes
	kindTablePurge                  // the items of a dropped table go
)

// control tells records about tables, indexes and shards, each group of which has a frame of its own.
func (k kind) control() bool { return k >= kindTableCreate && k != kindEntries }

// repeats tells records that have the seq and time of an earlier one.
func (k kind) repeats() bool { return k == kindMove || k == kindEntries }

// oldKind says how a record tells the item's state before it.
type oldKind uint8

const (
	oldNone    oldKind = iota // nobody asked for it, or there was none (see prior)
	oldPointer                // it stands at a place in the log that outlives this record
	oldInline                 // it is here
)

// pointer is an index value: which version of an item is current and where its bytes are.
type pointer struct {
	seq     uint64
	time    int64 // Unix ms
	segment uint32
	offset  uint32
	length  uint32
	size    uint32 // by Options.Size
	crc     uint32 // crc32c of the value
}

const pointerLen = 36

func (p *pointer) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, p.seq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(p.time))
	dst = binary.LittleEndian.AppendUint32(dst, p.segment)
	dst = binary.LittleEndian.AppendUint32(dst, p.offset)
	dst = binary.LittleEndian.AppendUint32(dst, p.length)
	dst = binary.LittleEndian.AppendUint32(dst, p.size)
	return binary.LittleEndian.AppendUint32(dst, p.crc)
}

func (p *pointer) parse(b []byte) bool {
	if len(b) != pointerLen {
		return false
	}
	p.seq = binary.LittleEndian.Uint64(b)
	p.time = int64(binary.LittleEndian.Uint64(b[8:]))
	p.segment = binary.LittleEndian.Uint32(b[16:])
	p.offset = binary.LittleEndian.Uint32(b[20:])
	p.length = binary.LittleEndian.Uint32(b[24:])
	p.size = binary.LittleEndian.Uint32(b[28:])
	p.crc = binary.LittleEndian.Uint32(b[32:])
	return true
}

// prior is what a record replaces, as far as counters and garbage need it; replay then reads no index.
type prior struct {
	exists  bool
	segment uint32
	length  uint32
	size    uint32
}

// record is one change in the log. The slices of a parsed record point into the frame.
type record struct {
	kind  kind
	table TableID
	shard uint32 // of the table's stream, 0 without one; for kindIndexDrop the index
	seq   uint64
	time  int64
	key   Key
	prior prior

	service bool   // see Write
	entries []byte // index entries that come and go with it, see entries.go

	old       oldKind
	oldAt     pointer // oldPointer
	oldInline []byte  // oldInline
	inlineAt  int     // where in the record it stands, set by parse

	value []byte // new image or definition; nil for deletes and drops
	size  uint32
	crc   uint32 // crc32c of value
}

// Flags of a record, and where the kind of the old image stands in them.
const (
	flagPrior    = 1 << 0
	flagValue    = 1 << 1
	flagRange    = 1 << 2
	flagService  = 1 << 3
	flagOldShift = 4 // two bits
	flagEntries  = 1 << 6
)

// recordMax bounds a record's length without its key, entries, value and inline old image.
const recordMax = 128

// append adds the record to dst and returns where in dst its value begins.
func (r *record) append(dst []byte) ([]byte, int) {
	flags := byte(r.old) << flagOldShift
	if r.prior.exists {
		flags |= flagPrior
	}
	if r.value != nil {
		flags |= flagValue
	}
	if r.key.Range != nil {
		flags |= flagRange
	}
	if r.service {
		flags |= flagService
	}
	if r.entries != nil {
		flags |= flagEntries
	}
	dst = append(dst, byte(r.kind), flags)
	dst = binary.AppendUvarint(dst, uint64(r.table))
	dst = binary.AppendUvarint(dst, uint64(r.shard))
	dst = binary.LittleEndian.AppendUint64(dst, r.seq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.time))
	dst = appendBytes(dst, r.key.Hash)
	if r.key.Range != nil {
		dst = appendBytes(dst, r.key.Range)
	}
	if r.prior.exists {
		dst = binary.AppendUvarint(dst, uint64(r.prior.segment))
		dst = binary.AppendUvarint(dst, uint64(r.prior.length))
		dst = binary.AppendUvarint(dst, uint64(r.prior.size))
	}
	switch r.old {
	case oldPointer:
		dst = r.oldAt.append(dst)
	case oldInline:
		dst = appendBytes(dst, r.oldInline)
	}
	if r.entries != nil {
		dst = appendBytes(dst, r.entries)
	}
	if r.value == nil {
		return dst, len(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(r.size))
	dst = binary.LittleEndian.AppendUint32(dst, r.crc)
	dst = appendBytes(dst, r.value)
	return dst, len(dst) - len(r.value)
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// parse reads one record from the front of b; valueAt is the value's offset in b, n the record's length. It fails on
// anything append does not write, so a frame with a good checksum that fails here was written by another version.
func (r *record) parse(b []byte) (valueAt, n int, ok bool) {
	p := cursor{b: b}
	*r = record{kind: kind(p.byte())}
	flags := p.byte()
	r.old = oldKind(flags >> flagOldShift & 3)
	r.service = flags&flagService != 0
	r.table = TableID(p.uint32())
	r.shard = p.uint32()
	r.seq = p.fixed64()
	r.time = int64(p.fixed64())
	r.key.Hash = p.bytes()
	if flags&flagRange != 0 {
		r.key.Range = p.bytes()
	}
	if flags&flagPrior != 0 {
		r.prior = prior{exists: true, segment: p.uint32(), length: p.uint32(), size: p.uint32()}
	}
	switch r.old {
	case oldNone:
	case oldPointer:
		p.bad = !r.oldAt.parse(p.take(pointerLen)) || p.bad
	case oldInline:
		r.oldInline = p.bytes()
		r.inlineAt = p.at - len(r.oldInline)
	default:
		p.bad = true
	}
	if flags&flagEntries != 0 {
		r.entries = p.bytes()
	}
	if flags&flagValue != 0 {
		r.size = p.uint32()
		if c := p.take(4); c != nil {
			r.crc = binary.LittleEndian.Uint32(c)
		}
		r.value = p.bytes()
	}
	known := byte(flagPrior | flagValue | flagRange | flagService | flagEntries | 3<<flagOldShift)
	if p.bad || flags&^known != 0 || r.kind < kindPut || r.kind > kindTablePurge {
		return 0, 0, false
	}
	return p.at - len(r.value), p.at, true
}

// cursor reads fields and remembers that one was missing.
type cursor struct {
	b   []byte
	at  int
	bad bool
}

func (p *cursor) take(n int) []byte {
	if p.bad || n < 0 || n > len(p.b)-p.at {
		p.bad = true
		return nil
	}
	p.at += n
	return p.b[p.at-n : p.at : p.at]
}

func (p *cursor) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *cursor) fixed64() uint64 {
	if b := p.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (p *cursor) uvarint() uint64 {
	if p.bad {
		return 0
	}
	v, n := binary.Uvarint(p.b[p.at:])
	if n <= 0 {
		p.bad = true
		return 0
	}
	p.at += n
	return v
}

func (p *cursor) uint32() uint32 {
	v := p.uvarint()
	p.bad = p.bad || v > 1<<32-1
	return uint32(v)
}

func (p *cursor) bytes() []byte {
	n := p.uvarint()
	if n > uint64(len(p.b)) {
		p.bad = true
		return nil
	}
	return p.take(int(n))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
