package parquet

import (
	"io"

	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/column"
	"dynaferry/internal/fault"
)

// Rewritten says what Rewrite did.
type Rewritten struct {
	Copied  int64 // bytes of the old data taken over as they were
	Encoded int64 // bytes of the old data decoded and encoded again
	Written int64 // bytes of the new data part
	// Misfits are the counts of what lies in the new Extra column; what has no column counts as Capped.
	Misfits []column.Misfit
}

// Rewrite makes, from a data part and its metadata, another data part on w that is Settled for s: chunks that match are
// copied byte for byte, chunks of another rung of the number ladder are converted, and row groups whose values move
// between columns and Extra are shredded anew. src must hold the data part as FileMeta describes it; it is checked page
// by page where it is decoded, errors are of kind Corrupt with their offset.
func Rewrite(src io.ReaderAt, m *FileMeta, s *column.Schema, w io.Writer, o Options) (*FileMeta, Rewritten, error) {
	if o.Compression == "" {
		o.Compression = m.Codec
	}
	r := rewriter{src: src, meta: m, schema: s, w: NewWriter(w, o), read: ReadOptions{}.filled(), misfits: column.NewMisfitCounter(s)}
	var err error
	if r.to, err = leavesOf(s); err != nil {
		return nil, r.did, err
	}
	if r.w.err != nil {
		return nil, r.did, r.w.err
	}
	for i := range m.Groups {
		if err := r.group(&m.Groups[i]); err != nil {
			return nil, r.did, err
		}
	}
	out, err := r.w.Close()
	if err == nil {
		r.did.Written, r.did.Misfits = out.Size, r.misfits.Misfits()
	}
	return out, r.did, err
}

type rewriter struct {
	src    io.ReaderAt
	meta   *FileMeta
	schema *column.Schema
	to     []leaf
	w      *Writer
	read   ReadOptions
	expand expander
	did    Rewritten

	misfits *column.MisfitCounter
}

func (r *rewriter) group(g *GroupMeta) error {
	schema := r.meta.Schemas[g.Schema]
	from, err := leavesOf(schema)
	if err != nil {
		return err
	}
	if schema != r.schema && column.Compare(schema, r.schema) == column.Rebuild {
		return r.rebuild(g, schema, from)
	}
	// Converted chunks are made before anything is written: if a value does not fit, the whole row group is rebuilt.
	converted, fits, err := r.convert(g, from)
	if err != nil {
		return err
	}
	if !fits {
		r.w.arena.reset()
		return r.rebuild(g, schema, from)
	}
	if err := r.countCopied(g, from); err != nil {
		return err
	}
	return r.patch(g, from, converted)
}

// reader opens some chunks of a row group.
func (r *rewriter) reader(g *GroupMeta, from []leaf, chunks []int) *groupReader {
	nodes := make([]*node, len(chunks))
	for i, c := range chunks {
		nodes[i] = nodeOf(&from[c])
	}
	rows := newGroupReader(r.src, &r.read, &r.expand, nodes)
	rows.left = g.Rows
	for i, c := range chunks {
		m := &g.Chunks[c]
		rows.cursors[i].begin(&format.ColumnMetaData{Codec: m.Codec, NumValues: m.Slots}, m.start(), m.start()+m.Bytes)
	}
	return &rows
}

// nodeOf is a leaf of ours as the page reader sees it.
func nodeOf(l *leaf) *node {
	elements := appendElements(nil, l.Field)
	return &node{name: l.Field.Name, element: &elements[0], maxDef: int(l.MaxDef), maxRep: int(l.MaxRep), leaves: 1,
		path: l.name()}
}

// rebuild decodes a row group and shreds its rows anew.
func (r *rewriter) rebuild(g *GroupMeta, schema *column.Schema, from []leaf) error {
	all := make([]int, len(from))
	for i := range all {
		all[i] = i
		r.did.Encoded += g.Chunks[i].Bytes
	}
	rows := r.reader(g, from, all)
	for rows.left > 0 {
		n, vectors, err := rows.next()
		if err != nil {
			return err
		}
		for i := range vectors {
			vectors[i].Leaf = from[i].Leaf
		}
		slab, err := column.Reshape(&column.Slab{Rows: n, Schema: schema, Vectors: vectors}, r.schema)
		if err != nil {
			return err
		}
		if slab.Rows != n {
			return fault.New(fault.Bug, "reshape made %d rows of %d", slab.Rows, n)
		}
		if err := r.countExtra(slab.Vectors); err != nil {
			return err
		}
		if err := r.w.Write(slab); err != nil {
			return err
		}
		rows.drop(n)
	}
	return rows.end()
}

// countExtra counts a run of rows, whose Extra column is the last of the vectors.
func (r *rewriter) countExtra(vectors []column.Vector) error {
	if r.schema.Extra == "" {
		return nil
	}
	return r.misfits.Add(&vectors[len(vectors)-1])
}

// countCopied counts the rows of a row group whose Extra column is copied.
func (r *rewriter) countCopied(g *GroupMeta, from []leaf) error {
	last := len(from) - 1
	if last < 0 || g.Chunks[last].Nulls == g.Chunks[last].Slots {
		return nil
	}
	rows := r.reader(g, from, []int{last})
	for rows.left > 0 {
		n, vectors, err := rows.next()
		if err != nil {
			return err
		}
		if err := r.countExtra(vectors); err != nil {
			return err
		}
		rows.drop(n)
	}
	return rows.end()
}

// convert re-encodes the chunks whose leaf has another form in the schema; fits is false when a value has no place
// there.
func (r *rewriter) convert(g *GroupMeta, from []leaf) (converted map[string]*chunkWriter, fits bool, err error) {
	converted = map[string]*chunkWriter{}
	index := byKey(r.to)
	if err := r.w.endRowGroup(); err != nil {
		return nil, false, err
	}
	r.w.pageBytes = max(pageBytesMin, min(r.w.o.PageBytes, openBytes/max(1, len(r.to))))
	for i := range from {
		j, ok := index[from[i].key()]
		if !ok {
			return nil, false, nil
		}
		if sameForm(&from[i], &r.to[j]) {
			continue
		}
		c := newChunkWriter(r.to[j], g.Chunks[i].BloomBytes > 0)
		converted[c.leaf.key()] = c
		rows := r.reader(g, from, []int{i})
		for rows.left > 0 {
			n, vectors, err := rows.next()
			if err != nil {
				return nil, false, err
			}
			vectors[0].Leaf = from[i].Leaf
			v, ok := column.Convert(&vectors[0], r.to[j].Leaf)
			if !ok {
				return nil, false, nil
			}
			if err := r.w.vector(c, v, n); err != nil {
				return nil, false, err
			}
			rows.drop(n)
		}
		if err := rows.end(); err != nil {
			return nil, false, err
		}
		if err := r.w.endPage(c); err != nil {
			return nil, false, err
		}
	}
	return converted, true, nil
}

// patch writes a row group chunk by chunk in the order of the schema: converted, copied, or null.
func (r *rewriter) patch(g *GroupMeta, from []leaf, converted map[string]*chunkWriter) error {
	index := byKey(from)
	out := GroupMeta{Schema: r.w.meta.schemaIndex(r.schema), Rows: g.Rows, Chunks: make([]ChunkMeta, len(r.to))}
	for j := range r.to {
		i, ok := index[r.to[j].key()]
		var err error
		switch c := converted[r.to[j].key()]; {
		case c != nil:
			r.did.Encoded += g.Chunks[i].Bytes
			err = r.w.chunk(c, &out.Chunks[j])
		case ok:
			r.did.Copied += g.Chunks[i].Bytes
			err = r.copy(&g.Chunks[i], &out.Chunks[j])
		default:
			err = r.null(g, from, &r.to[j], &out.Chunks[j])
		}
		if err != nil {
			return err
		}
	}
	for j := range r.to {
		i, ok := index[r.to[j].key()]
		if !ok || g.Chunks[i].BloomBytes == 0 {
			continue
		}
		out.Chunks[j].Bloom, out.Chunks[j].BloomBytes = r.w.offset, g.Chunks[i].BloomBytes
		if c := converted[r.to[j].key()]; c != nil {
			out.Chunks[j].BloomBytes = r.w.bloom(c)
		} else if err := r.bytes(g.Chunks[i].Bloom, int64(g.Chunks[i].BloomBytes)); err != nil {
			return err
		}
	}
	r.w.meta.Groups = append(r.w.meta.Groups, out)
	r.w.meta.Rows += g.Rows
	r.w.finished = 0
	r.w.arena.reset()
	return r.w.err
}

// copy takes a chunk over and shifts its offsets.
func (r *rewriter) copy(from, to *ChunkMeta) error {
	*to = *from
	shift := r.w.offset - from.start()
	if from.Dictionary >= 0 {
		to.Dictionary += shift
	}
	to.Pages = append([]PageMeta(nil), from.Pages...)
	for i := range to.Pages {
		to.Pages[i].Offset += shift
	}
	to.Bloom, to.BloomBytes = 0, 0
	return r.bytes(from.start(), from.Bytes)
}

func (r *rewriter) bytes(at, n int64) error {
	buf := make([]byte, min(n, windowMax))
	for n > 0 {
		part := buf[:min(n, int64(len(buf)))]
		if err := readAt(r.src, part, at); err != nil {
			return err
		}
		r.w.write(part)
		at, n = at+int64(len(part)), n-int64(len(part))
	}
	return r.w.err
}

// null writes a chunk without values.
func (r *rewriter) null(g *GroupMeta, from []leaf, l *leaf, to *ChunkMeta) error {
	b := footerBuilder{base: r.w.offset, staged: r.src, compress: r.w.compress}
	m, err := b.null(g, from, l)
	if err != nil {
		return err
	}
	*to = *m
	r.w.write(b.tail)
	return r.w.err
}
