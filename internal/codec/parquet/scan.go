package parquet

import (
	"encoding/binary"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/fault"
)

// compact walks thrift's compact protocol without building anything. Footers are walked before the library decodes
// them, because it allocates what a list's header claims; page headers are read with it altogether.
type compact struct {
	in      []byte
	bad     bool
	structs int // structs inside of lists seen so far
}

// Limits of the walk.
const (
	// thriftDepthMax bounds the nesting: parquet.thrift needs less than ten.
	thriftDepthMax = 24
	// footerStructsMax bounds the structs in lists of a footer: schema elements, row groups, chunks, key values. A chunk
	// takes the library about 700 bytes, so a hostile footer costs at most some 140 MB.
	footerStructsMax = 200_000
)

func (c *compact) fail() {
	c.bad, c.in = true, nil
}

func (c *compact) byte() byte {
	if len(c.in) == 0 {
		c.fail()
		return 0
	}
	b := c.in[0]
	c.in = c.in[1:]
	return b
}

func (c *compact) uint() uint64 {
	v, n := binary.Uvarint(c.in)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.in = c.in[n:]
	return v
}

func (c *compact) int() int64 {
	v := c.uint()
	return int64(v>>1) ^ -int64(v&1)
}

// field reads a field header; typ 0 is the end of the struct.
func (c *compact) field(last int16) (id int16, typ byte) {
	b := c.byte()
	typ = b & 15
	if c.bad || typ == 0 {
		return 0, 0
	}
	if delta := int16(b >> 4); delta > 0 {
		return last + delta, typ
	}
	return int16(c.int()), typ
}

// skip walks over a value of a type as field headers have it.
func (c *compact) skip(typ byte, depth int) {
	if c.bad || depth > thriftDepthMax {
		c.fail()
		return
	}
	switch thrift.Type(typ) {
	case thrift.TRUE, thrift.FALSE:
	case thrift.I8:
		c.byte()
	case thrift.I16, thrift.I32, thrift.I64:
		c.uint()
	case thrift.DOUBLE:
		c.bytes(8)
	case thrift.UUID:
		c.bytes(16)
	case thrift.BINARY:
		c.bytes(c.uint())
	case thrift.LIST, thrift.SET:
		c.list(depth)
	case thrift.MAP:
		c.fail() // parquet.thrift has none
	case thrift.STRUCT:
		for last := int16(0); ; {
			id, typ := c.field(last)
			if typ == 0 {
				return
			}
			c.skip(typ, depth+1)
			last = id
		}
	default:
		c.fail()
	}
}

func (c *compact) bytes(n uint64) {
	if n > uint64(len(c.in)) {
		c.fail()
		return
	}
	c.in = c.in[n:]
}

func (c *compact) list(depth int) {
	b := c.byte()
	n, typ := uint64(b>>4), b&15
	if n == 15 {
		n = c.uint()
	}
	if n > uint64(len(c.in)) { // every element takes a byte at least
		c.fail()
		return
	}
	switch thrift.Type(typ) {
	case thrift.TRUE, thrift.FALSE:
		c.bytes(n)
		return
	case thrift.STRUCT:
		c.structs += int(n)
	}
	for range n {
		if c.bad || c.structs > footerStructsMax {
			return
		}
		c.skip(typ, depth+1)
	}
}

// parseFooter decodes file metadata that may be hostile.
func parseFooter(in []byte) (*format.FileMetaData, error) {
	m := new(format.FileMetaData)
	if err := parseThrift(in, m); err != nil {
		return nil, err
	}
	return m, nil
}

// parseThrift decodes one of the library's structs from bytes that may be hostile.
func parseThrift(in []byte, to any) (err error) {
	walk := compact{in: in}
	walk.skip(byte(thrift.STRUCT), 0)
	if walk.structs > footerStructsMax {
		return fault.New(fault.Limit, "metadata has more than %d members", footerStructsMax)
	}
	if walk.bad {
		return fault.New(fault.Corrupt, "metadata is no thrift struct")
	}
	defer func() {
		if r := recover(); r != nil {
			err = fault.New(fault.Corrupt, "metadata makes no sense: %v", r)
		}
	}()
	if err := thrift.Unmarshal(&thrift.CompactProtocol{}, in, to); err != nil {
		return fault.New(fault.Corrupt, "metadata: %w", err)
	}
	return nil
}

// header is what a reader needs of a PageHeader.
type header struct {
	kind     format.PageType
	raw      int64
	packed   int64
	hasCRC   bool
	crc      uint32
	values   int64
	encoding format.Encoding
	defCode  format.Encoding // version 1
	repCode  format.Encoding
	defBytes int64 // version 2
	repBytes int64
	plain    bool // version 2: values are not compressed
	seen     int  // required fields that were there: three of the header, and the member's
}

// whole tells whether all required fields are there: one that a damaged field id hides must not pass for zero.
func (h *header) whole() bool {
	switch h.kind {
	case format.DataPage:
		return h.seen == 3+4
	case format.DictionaryPage:
		return h.seen == 3+2
	case format.DataPageV2:
		return h.seen == 3+6
	}
	return h.kind == format.IndexPage && h.seen >= 3
}

// parseHeader reads a page header at the start of in and returns its length; ok is false when in is too short or
// broken.
func parseHeader(in []byte) (h header, n int, ok bool) {
	c := compact{in: in}
	ignored := int64(0)
	for last := int16(0); ; {
		id, typ := c.field(last)
		if typ == 0 {
			break
		}
		last = id
		number, member := typ == byte(thrift.I32), typ == byte(thrift.STRUCT)
		switch {
		case id == 1 && number:
			h.kind = format.PageType(c.int())
			h.seen++
		case id == 2 && number:
			h.raw = c.int()
			h.seen++
		case id == 3 && number:
			h.packed = c.int()
			h.seen++
		case id == 4 && number:
			h.hasCRC, h.crc = true, uint32(c.int())
		case id == 5 && member && h.kind == format.DataPage:
			h.seen += c.member(map[int16]any{1: &h.values, 2: &h.encoding, 3: &h.defCode, 4: &h.repCode})
		case id == 7 && member && h.kind == format.DictionaryPage:
			h.seen += c.member(map[int16]any{1: &h.values, 2: &h.encoding})
		case id == 8 && member && h.kind == format.DataPageV2:
			h.seen += c.member(map[int16]any{
				1: &h.values, 2: &ignored, 3: &ignored, 4: &h.encoding, 5: &h.defBytes, 6: &h.repBytes, 7: &h.plain})
		default:
			c.skip(typ, 1)
		}
	}
	return h, len(in) - len(c.in), !c.bad
}

// member reads the wanted fields of a struct, skips the rest, and returns how many wanted numbers there were.
func (c *compact) member(want map[int16]any) (numbers int) {
	for last := int16(0); ; {
		id, typ := c.field(last)
		if typ == 0 {
			return numbers
		}
		last = id
		to := want[id]
		flag, isFlag := to.(*bool) // is_compressed; the type is the value
		switch {
		case isFlag && (typ == byte(thrift.TRUE) || typ == byte(thrift.FALSE)):
			*flag = typ == byte(thrift.FALSE)
		case to == nil || isFlag || typ != byte(thrift.I32):
			c.skip(typ, 2)
		default:
			v := c.int()
			numbers++
			if number, ok := to.(*int64); ok {
				*number = v
			} else {
				*to.(*format.Encoding) = format.Encoding(v)
			}
		}
	}
}
