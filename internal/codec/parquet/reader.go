package parquet

import (
	"encoding/binary"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/codec"
	"dynaferry/internal/column"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Bounds and defaults of the reader.
const (
	// PageBytesMaxDefault bounds a page before and after compression. DuckDB writes pages of up to 100 MB.
	PageBytesMaxDefault = 128 << 20
	// FooterBytesMax bounds a footer: 200,000 chunks with long bounds.
	FooterBytesMax = 128 << 20
	// BatchRowsDefault is the most rows that one Read yields.
	BatchRowsDefault = 1024
	// batchBytes is about what the values of one Read may take, whatever the rows hold.
	batchBytes = 8 << 20
	// windowBytes is shared by the read windows of all leaves.
	windowBytes = 16 << 20
	windowMax   = 1 << 20
	windowMin   = 32 << 10
)

// ReadOptions are what a Reader needs beside the file. The zero value is the default. Nulls, Dates, Times and Types are
// for foreign files alone: a file of ours says itself what its values are.
type ReadOptions struct {
	Rejects      codec.Rejects     // receives rows that cannot become items; nil makes them errors
	Foreign      bool              // read a file of ours by the rules for foreign files
	Nulls        bool              // nulls become NULL instead of being absent
	Epoch        string            // "s", "ms", "us", "ns": dates and timestamps become N since 1970 instead of ISO text in S
	Types        map[string]string // by column path (orders.price): N, S, B, SS, NS, BS, iso, epoch-s, epoch-ms, epoch-us, epoch-ns
	PageBytesMax int               // 0 is PageBytesMaxDefault
	BatchRows    int               // 0 is BatchRowsDefault
}

func (o ReadOptions) filled() ReadOptions {
	if o.PageBytesMax <= 0 {
		o.PageBytesMax = PageBytesMaxDefault
	}
	if o.BatchRows <= 0 {
		o.BatchRows = BatchRowsDefault
	}
	return o
}

// Reader reads a Parquet file to items. It is a codec.Reader, not for concurrent use.
type Reader struct {
	o       ReadOptions
	file    io.ReaderAt
	end     int64 // where the footer begins
	meta    *format.FileMetaData
	root    *node
	leaves  []*node
	schema  *column.Schema // nil when foreign
	shape   []column.Leaf
	asm     *column.Assembler
	foreign *foreign
	note    string

	expand expander
	rows   groupReader
	group  int   // next row group
	row    int64 // rows handed out
	err    error
}

// Open reads the footer of a file of size bytes. A file that is no Parquet file or is damaged is an error of kind
// Corrupt; an encrypted one, or a codec or type that is not read, of kind Unsupported.
func Open(r io.ReaderAt, size int64, o ReadOptions) (*Reader, error) {
	footer, err := readFooter(r, size, true)
	if err != nil {
		return nil, err
	}
	return open(r, size, footer, o)
}

// open is Open behind the reading of the footer.
func open(r io.ReaderAt, size int64, footer []byte, o ReadOptions) (p *Reader, err error) {
	p = &Reader{o: o.filled(), file: r, end: size - 8 - int64(len(footer))}
	if p.meta, err = parseFooter(footer); err != nil {
		return nil, fault.At(err, fault.Place{Offset: p.end})
	}
	if p.root, p.leaves, err = treeOf(p.meta.Schema); err != nil {
		return nil, fault.At(err, fault.Place{Offset: p.end})
	}
	if err := p.checkGroups(); err != nil {
		return nil, fault.At(err, fault.Place{Offset: p.end})
	}
	if err := p.recognise(); err != nil {
		return nil, err
	}
	p.rows = newGroupReader(r, &p.o, &p.expand, p.leaves)
	return p, nil
}

// readFooter returns the footer's thrift bytes. head asks that the file begins as it should, too.
func readFooter(r io.ReaderAt, size int64, head bool) ([]byte, error) {
	if size < 12 {
		return nil, fault.New(fault.Corrupt, "%d bytes are no parquet file", size)
	}
	first, tail := []byte(magic), make([]byte, 8)
	if head {
		if err := readAt(r, first, 0); err != nil {
			return nil, err
		}
	}
	if err := readAt(r, tail, size-8); err != nil {
		return nil, err
	}
	if string(tail[4:]) == "PARE" {
		return nil, fault.New(fault.Unsupported, "file is encrypted")
	}
	if string(first) != magic {
		return nil, fault.New(fault.Corrupt, "no parquet file: it begins with %q", first)
	}
	if string(tail[4:]) != magic {
		return nil, fault.At(fault.New(fault.Corrupt, "parquet file is cut off: it ends with %q", tail[4:]),
			fault.Place{Offset: size - 4})
	}
	n := int64(binary.LittleEndian.Uint32(tail))
	if n > size-12 || n > FooterBytesMax {
		return nil, fault.At(fault.New(fault.Corrupt, "footer says %d bytes in a file of %d", n, size),
			fault.Place{Offset: size - 8})
	}
	footer := make([]byte, n)
	return footer, readAt(r, footer, size-8-n)
}

func readAt(r io.ReaderAt, p []byte, at int64) error {
	n, err := r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = fault.New(fault.Corrupt, "file ends at byte %d", at+int64(n))
	}
	return fault.At(err, fault.Place{Offset: at})
}

// checkGroups holds the footer's numbers against each other and the file, so that reading can rely on them.
func (p *Reader) checkGroups() error {
	rows := int64(0)
	for g := range p.meta.RowGroups {
		group := &p.meta.RowGroups[g]
		if group.NumRows < 0 || group.NumRows > 1<<56 || len(group.Columns) != len(p.leaves) {
			return fault.New(fault.Corrupt, "row group %d has %d rows and %d chunks for %d columns",
				g, group.NumRows, len(group.Columns), len(p.leaves))
		}
		rows += group.NumRows
		for i := range group.Columns {
			if err := p.checkChunk(group, i); err != nil {
				return fault.At(err, fault.Place{Path: p.leaves[i].path})
			}
		}
	}
	if rows != p.meta.NumRows {
		return fault.New(fault.Corrupt, "footer says %d rows, its row groups %d", p.meta.NumRows, rows)
	}
	return nil
}

func (p *Reader) checkChunk(group *format.RowGroup, i int) error {
	chunk, leaf := &group.Columns[i], p.leaves[i]
	m := &chunk.MetaData
	if chunk.FilePath != "" {
		return fault.New(fault.Unsupported, "column chunk lies in another file: %q", chunk.FilePath)
	}
	if m.Type != leaf.element.Type.V {
		return fault.New(fault.Corrupt, "chunk has type %s, its column %s", m.Type, leaf.element.Type.V)
	}
	if m.NumValues < 0 || m.NumValues > 1<<56 || leaf.maxRep == 0 && m.NumValues != group.NumRows ||
		m.NumValues < group.NumRows {
		return fault.New(fault.Corrupt, "chunk has %d values in a row group of %d rows", m.NumValues, group.NumRows)
	}
	if at := chunkStart(m); m.NumValues > 0 && (at < 4 || at >= p.end || m.TotalCompressedSize <= 0 ||
		m.TotalCompressedSize > p.end-at) {
		return fault.New(fault.Corrupt, "chunk of %d bytes begins at byte %d, the footer at %d", m.TotalCompressedSize,
			at, p.end)
	}
	return nil
}

func chunkStart(m *format.ColumnMetaData) int64 {
	if m.DictionaryPageOffset > 0 && m.DictionaryPageOffset < m.DataPageOffset {
		return m.DictionaryPageOffset
	}
	return m.DataPageOffset
}

// recognise finds out whether the file is ours: it says so in its metadata, and its own schema is the one said.
func (p *Reader) recognise() error {
	if !p.o.Foreign {
		for i := range p.meta.KeyValueMetadata {
			if kv := &p.meta.KeyValueMetadata[i]; kv.Key == SchemaKey {
				p.schema, p.note = p.ownSchema(kv.Value)
			}
		}
	}
	if p.schema != nil {
		p.shape = p.schema.Leaves()
		p.asm = column.NewAssembler(p.schema)
		return nil
	}
	if p.note == "" && !p.o.Foreign {
		for _, n := range p.root.children {
			if n.leaf() && n.name == column.ExtraName {
				p.note = "there is a column " + n.name + " but no metadata " + SchemaKey + ": another program has rewritten the file"
			}
		}
	}
	var err error
	p.foreign, err = newForeign(p.root, &p.o)
	return err
}

func (p *Reader) ownSchema(text string) (*column.Schema, string) {
	s, err := column.ParseSchema([]byte(text))
	if err != nil {
		return nil, "metadata " + SchemaKey + " does not parse: " + err.Error()
	}
	want := elementsOf(s)
	if len(want) != len(p.meta.Schema) {
		return nil, "columns differ from metadata " + SchemaKey + ": another program has rewritten the file"
	}
	for i := 1; i < len(want); i++ {
		if !sameElement(&want[i], &p.meta.Schema[i]) {
			return nil, "column " + p.meta.Schema[i].Name + " differs from metadata " + SchemaKey + ": another program has rewritten the file"
		}
	}
	if want[0].NumChildren != p.meta.Schema[0].NumChildren {
		return nil, "columns differ from metadata " + SchemaKey
	}
	return s, ""
}

// sameElement compares what decides about a column's values; field ids and the like may differ.
func sameElement(a, b *format.SchemaElement) bool {
	decimal := func(e *format.SchemaElement) (p, s int32, ok bool) {
		if d, is := e.LogicalType.Value.(*format.DecimalType); is {
			return d.Precision, d.Scale, true
		}
		return e.Precision.V, e.Scale.V, e.ConvertedType == thrift.New(deprecated.Decimal)
	}
	ap, as, ad := decimal(a)
	bp, bs, bd := decimal(b)
	return a.Name == b.Name && a.Type == b.Type && a.RepetitionType == b.RepetitionType && ad == bd &&
		a.NumChildren.V == b.NumChildren.V && (a.Type.V != format.FixedLenByteArray || a.TypeLength == b.TypeLength) &&
		(!ad || ap == bp && as == bs) && annotation(a) == annotation(b)
}

// annotation is an element's logical type, however it is given.
func annotation(e *format.SchemaElement) string {
	if e.LogicalType.Value != nil {
		return e.LogicalType.String()
	}
	if e.ConvertedType.Valid {
		switch e.ConvertedType.V {
		case deprecated.UTF8:
			return "STRING"
		case deprecated.List:
			return "LIST"
		case deprecated.Date:
			return "DATE"
		case deprecated.TimestampMicros:
			return "TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)"
		case deprecated.Decimal:
			return "DECIMAL"
		}
		return "OTHER"
	}
	return ""
}

// Schema is the schema of a file of ours, nil for a foreign file.
func (p *Reader) Schema() *column.Schema { return p.schema }

// Foreign tells whether the rules for foreign files apply; Note says why where it may surprise.
func (p *Reader) Foreign() bool { return p.schema == nil }

// Note is a sentence for the user about why a file that says it is ours is read as a foreign one, or "".
func (p *Reader) Note() string { return p.note }

// Rows is the number of rows that the footer says.
func (p *Reader) Rows() int64 { return p.meta.NumRows }

// Read fills b with the next items, at most ReadOptions.BatchRows; see codec.Reader. FirstLine is the number of the
// first row, counted from 1 over the whole file; Offset stays 0. Errors repeat.
func (p *Reader) Read(b *item.Batch) (err error) {
	b.Reset()
	if p.err != nil {
		return p.err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fault.New(fault.Corrupt, "row %d makes no sense: %v", p.row+1, r)
		}
		if err != nil {
			b.Reset()
			p.err = err
		}
	}()
	for b.Len() == 0 {
		first := p.row
		slab, err := p.slab()
		if err != nil {
			return err
		}
		b.FirstLine = first + 1
		if p.schema != nil {
			err = p.asm.Items(slab, b)
			for i := range b.Rows {
				b.Rows[i].Line = uint32(i)
			}
		} else {
			err = p.foreign.items(slab, b, first, p.o.Rejects)
		}
		if err != nil {
			return fault.At(fault.As(fault.Corrupt, err), fault.Place{Line: first + 1})
		}
		p.rows.drop(slab.Rows)
	}
	return nil
}

// slab decodes the next rows of all leaves; drop forgets them. io.EOF behind the last row.
func (p *Reader) slab() (*column.Slab, error) {
	for p.rows.left == 0 {
		if err := p.rows.end(); err != nil {
			return nil, err
		}
		if p.group == len(p.meta.RowGroups) {
			return nil, io.EOF
		}
		group := &p.meta.RowGroups[p.group]
		for i, c := range p.rows.cursors {
			m := &group.Columns[i].MetaData
			c.begin(m, chunkStart(m), min(p.end, chunkStart(m)+m.TotalCompressedSize))
		}
		p.rows.left = group.NumRows
		p.group++
		if len(p.leaves) == 0 && group.NumRows > 0 {
			return nil, fault.New(fault.Unsupported, "file has rows but no columns")
		}
	}
	rows, vectors, err := p.rows.next()
	if err != nil {
		return nil, err
	}
	for i := range p.shape {
		vectors[i].Leaf = p.shape[i]
	}
	p.row += int64(rows)
	return &column.Slab{Rows: rows, Schema: p.schema, Vectors: vectors}, nil
}

// metadata returns the file's key-value metadata.
func (p *Reader) metadata() map[string]string {
	m := make(map[string]string, len(p.meta.KeyValueMetadata))
	for i := range p.meta.KeyValueMetadata {
		m[p.meta.KeyValueMetadata[i].Key] = p.meta.KeyValueMetadata[i].Value
	}
	return m
}

// encodingsOf names a chunk's encodings in a fixed order.
func encodingsOf(m *format.ColumnMetaData) []string {
	var names []string
	for _, e := range m.Encoding {
		if name := e.String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
