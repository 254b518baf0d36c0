package parquet

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/zeebo/xxh3"

	"dynaferry/internal/column"
	"dynaferry/internal/fault"
)

// The durable form of FileMeta; docs/formats/parquet.md has the bytes.
const (
	metaMagic    = "DFPM"
	metaVersion  = 1
	metaBytesMax = 256 << 20 // of the expanded form: 2,000,000 pages
)

// AppendBinary appends the durable form: magic, version, checksum, and a zstd frame of the fields.
func (m *FileMeta) AppendBinary(dst []byte) ([]byte, error) {
	var e metaEncoder
	e.uint(uint64(m.Rows))
	e.uint(uint64(m.Size))
	e.bytes([]byte(m.Codec))
	e.uint(uint64(len(m.Schemas)))
	for _, s := range m.Schemas {
		e.bytes(nameless(s).AppendJSON(nil))
	}
	e.uint(uint64(len(m.Groups)))
	for i := range m.Groups {
		g := &m.Groups[i]
		e.uint(uint64(g.Schema))
		e.uint(uint64(g.Rows))
		e.uint(uint64(len(g.Chunks)))
		for j := range g.Chunks {
			e.chunk(&g.Chunks[j])
		}
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return dst, err
	}
	defer z.Close()
	packed := z.EncodeAll(e, nil)
	dst = append(append(dst, metaMagic...), metaVersion)
	dst = binary.LittleEndian.AppendUint64(dst, xxh3.Hash(packed))
	return append(dst, packed...), nil
}

// MarshalBinary is AppendBinary into a new slice; it makes FileMeta fit encoding/json's []byte members through their
// owner.
func (m *FileMeta) MarshalBinary() ([]byte, error) { return m.AppendBinary(nil) }

// UnmarshalBinary reads the durable form. Errors are of kind Corrupt, or Unsupported for a version from the future.
func (m *FileMeta) UnmarshalBinary(data []byte) error {
	const head = len(metaMagic) + 1 + 8
	if len(data) < head || string(data[:4]) != metaMagic {
		return fault.New(fault.Corrupt, "these %d bytes are no file metadata of ours", len(data))
	}
	if data[4] != metaVersion {
		return fault.Hint(fault.New(fault.Unsupported, "file metadata has version %d, known is %d", data[4], metaVersion),
			"use the dynaferry version that began this plan, or a newer one")
	}
	if sum := xxh3.Hash(data[head:]); sum != binary.LittleEndian.Uint64(data[5:]) {
		return fault.New(fault.Corrupt, "file metadata has checksum %016x, its bytes %016x",
			binary.LittleEndian.Uint64(data[5:]), sum)
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(metaBytesMax))
	if err != nil {
		return err
	}
	defer z.Close()
	raw, err := z.DecodeAll(data[head:], nil)
	if err != nil {
		return fault.New(fault.Corrupt, "file metadata: %w", err)
	}
	d := metaDecoder{in: raw}
	got := d.file()
	if d.err == nil && len(d.in) > 0 {
		d.fail()
	}
	if d.err != nil {
		return d.err
	}
	*m = *got
	return nil
}

// nameless is the schema with short names in place of its own: columns are told apart by their attributes, names are
// given by the schema that the footer is made for, and those of a task may not even be unique yet.
func nameless(s *column.Schema) *column.Schema {
	c := *s
	c.Fields = namelessFields(s.Fields)
	return &c
}

func namelessFields(fields []*column.Field) []*column.Field {
	out := make([]*column.Field, len(fields))
	for i, f := range fields {
		out[i] = namelessField(f, "c"+strconv.Itoa(i))
	}
	return out
}

func namelessField(f *column.Field, name string) *column.Field {
	c := *f
	c.Name = name
	if f.Elem != nil {
		c.Elem = namelessField(f.Elem, "element")
	}
	if f.Fields != nil {
		c.Fields = namelessFields(f.Fields)
	}
	return &c
}

type metaEncoder []byte

func (e *metaEncoder) uint(v uint64) { *e = binary.AppendUvarint(*e, v) }

func (e *metaEncoder) bytes(v []byte) {
	e.uint(uint64(len(v)))
	*e = append(*e, v...)
}

func (e *metaEncoder) chunk(c *ChunkMeta) {
	e.uint(uint64(c.Codec))
	e.uint(uint64(c.Dictionary + 1))
	for _, v := range []int64{c.Bytes, c.Raw, c.Slots, c.Nulls, c.Bloom, int64(c.BloomBytes)} {
		e.uint(uint64(v))
	}
	e.bounds(&c.Bounds)
	e.uint(uint64(len(c.Pages)))
	last := int64(0)
	for i := range c.Pages {
		p := &c.Pages[i]
		e.uint(uint64(p.Offset - last)) // pages follow each other: small numbers
		last = p.Offset
		for _, v := range []int64{int64(p.Bytes), p.Row, int64(p.Slots), int64(p.Nulls), int64(p.Encoding)} {
			e.uint(uint64(v))
		}
		e.bounds(&p.Bounds)
	}
}

func (e *metaEncoder) bounds(b *Bounds) {
	if !b.Known {
		e.uint(0)
		return
	}
	flags := uint64(1)
	if b.MinExact {
		flags |= 2
	}
	if b.MaxExact {
		flags |= 4
	}
	e.uint(flags)
	e.bytes(b.Min)
	e.bytes(b.Max)
}

// metaDecoder reads what metaEncoder wrote; the first thing that makes no sense ends in err, after which it yields
// zeros.
type metaDecoder struct {
	in  []byte
	err error
}

func (d *metaDecoder) fail() {
	if d.err == nil {
		d.err = fault.New(fault.Corrupt, "file metadata makes no sense %d bytes before its end", len(d.in))
	}
	d.in = nil
}

func (d *metaDecoder) uint() uint64 {
	v, n := binary.Uvarint(d.in)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.in = d.in[n:]
	return v
}

// int is a number below 2^56, so that sums of two never overflow.
func (d *metaDecoder) int() int64 {
	v := d.uint()
	if v >= 1<<56 {
		d.fail()
		return 0
	}
	return int64(v)
}

func (d *metaDecoder) int32() int32 {
	v := d.uint()
	if v >= 1<<31 {
		d.fail()
		return 0
	}
	return int32(v)
}

// count is a number of things that take at least each bytes, so it bounds what is allocated for them.
func (d *metaDecoder) count(each int) int {
	v := d.uint()
	if v > uint64(len(d.in)/each) {
		d.fail()
		return 0
	}
	return int(v)
}

func (d *metaDecoder) bytes() []byte {
	n := d.count(1)
	v := d.in[:n]
	d.in = d.in[n:]
	return bytes.Clone(v)
}

func (d *metaDecoder) file() *FileMeta {
	m := &FileMeta{Rows: d.int(), Size: d.int(), Codec: Compression(d.bytes())}
	if _, known := codecNumbers[m.Codec]; !known {
		d.fail()
	}
	m.Schemas = make([]*column.Schema, d.count(2))
	leaves := make([]int, len(m.Schemas))
	for i := range m.Schemas {
		s, err := column.ParseSchema(d.bytes())
		if d.err == nil && err != nil {
			d.err = fault.As(fault.Corrupt, err)
		}
		if d.err != nil {
			return m
		}
		m.Schemas[i], leaves[i] = s, len(s.Leaves())
	}
	m.Groups = make([]GroupMeta, d.count(3))
	for i := range m.Groups {
		g := &m.Groups[i]
		g.Schema, g.Rows = int(d.int32()), d.int()
		g.Chunks = make([]ChunkMeta, d.count(10))
		if d.err != nil || g.Schema >= len(m.Schemas) || leaves[g.Schema] != len(g.Chunks) {
			d.fail()
			return m
		}
		for j := range g.Chunks {
			d.chunk(&g.Chunks[j])
		}
	}
	return m
}

func (d *metaDecoder) chunk(c *ChunkMeta) {
	c.Codec, c.Dictionary = format.CompressionCodec(d.int32()), d.int()-1
	c.Bytes, c.Raw, c.Slots, c.Nulls, c.Bloom, c.BloomBytes = d.int(), d.int(), d.int(), d.int(), d.int(), d.int32()
	c.Bounds = d.bounds()
	c.Pages = make([]PageMeta, d.count(7))
	if len(c.Pages) == 0 {
		d.fail() // a chunk has a page at least
	}
	last := int64(0)
	for i := range c.Pages {
		p := &c.Pages[i]
		last += d.int()
		p.Offset, p.Bytes, p.Row, p.Slots, p.Nulls = last, d.int32(), d.int(), d.int32(), d.int32()
		p.Encoding = format.Encoding(d.int32())
		p.Bounds = d.bounds()
	}
}

func (d *metaDecoder) bounds() Bounds {
	flags := d.uint()
	if flags == 0 {
		return Bounds{}
	}
	return Bounds{Known: true, Min: d.bytes(), Max: d.bytes(), MinExact: flags&2 != 0, MaxExact: flags&4 != 0}
}
