package source

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"strings"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec"
	"dynaferry/internal/codec/compress"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Read streams a file's items and checks at its end what is known of it.
func (s *files) Read(ctx context.Context, u Unit, o ReadOptions) (Stream, error) {
	if s.info.Kind == KindIncremental {
		return nil, NotItems(s.info)
	}
	if u.File == nil {
		return nil, fault.New(fault.Bug, "a unit of %s without file", s.at)
	}
	f := *u.File
	if err := blob.CheckName(f.Name); err != nil {
		return nil, fault.New(fault.Corrupt, "unit %d: %w", u.Order, err)
	}
	st := &stream{file: f, url: strings.TrimSuffix(s.loc.Bucket.URL(), "/") + "/" + f.Name, rejects: o.Rejects}
	var err error
	if f.Form == Parquet {
		err = st.openParquet(ctx, s.loc.Bucket, f.columnsOf(s.spec))
	} else {
		err = st.openBytes(ctx, s.loc.Bucket, f.columnsOf(s.spec))
	}
	if err != nil {
		st.Close()
		return nil, st.at(err)
	}
	if len(f.Constants) > 0 || len(f.Partition) > 0 {
		if st.add, err = newConstants(f, s.spec.Types); err != nil {
			st.Close()
			return nil, st.at(err)
		}
	}
	return st, nil
}

// columnsOf is the spec as it is for this file: CSV of ours says itself how it is read, and no codec has a column for what
// only the path tells.
func (f *File) columnsOf(spec Spec) Spec {
	if f.Dialect > 0 && f.Dialect <= len(spec.Dialects) {
		spec.CSV, spec.Types = spec.Dialects[f.Dialect-1], nil
	}
	if len(f.Partition) == 0 || len(spec.Types) == 0 {
		return spec
	}
	spec.Types = maps.Clone(spec.Types)
	for _, p := range f.Partition {
		delete(spec.Types, p[0])
	}
	return spec
}

// stream is one file being read: raw bytes → checksum → decompression → codec → constants.
type stream struct {
	file    File
	url     string
	rejects codec.Rejects
	items   codec.Reader
	raw     io.Reader // what the codec has not read of the stored bytes
	sum     hash.Hash
	closers []io.Closer
	add     *constants
	inner   item.Batch // when constants are added
	count   int64
	refused int64
	print   item.Fingerprint // when the file's is known
	hasher  item.Hasher
}

func (st *stream) at(err error) error {
	if err == nil || fault.PlaceOf(err).File != "" {
		return err
	}
	return fault.At(err, fault.Place{File: st.url})
}

// reject counts and passes on a record that is no item.
func (st *stream) reject(r codec.Reject) error {
	st.refused++
	r.Place.File = st.url
	if st.rejects == nil {
		return fault.At(r.Err, r.Place)
	}
	return st.rejects(r)
}

func (st *stream) openBytes(ctx context.Context, b blob.Bucket, spec Spec) error {
	plain, err := st.openPlain(ctx, b)
	if err != nil {
		return err
	}
	st.items, err = newReader(plain, st.file.Form, spec, st.reject)
	return err
}

// openPlain opens the decompressed bytes, whose stored form is summed up on the way.
func (st *stream) openPlain(ctx context.Context, b blob.Bucket) (io.Reader, error) {
	body, info, err := b.Get(ctx, st.file.Name, blob.ReadOptions{IfMatch: st.file.ETag})
	if errors.Is(err, blob.ErrChanged) {
		return nil, fault.Hint(fault.New(fault.Conflict, "the file changed since the job was planned"), "start anew with --fresh")
	}
	if err != nil {
		return nil, err
	}
	st.closers = append(st.closers, body)
	if st.file.Size > 0 && info.Size != st.file.Size {
		return nil, fault.New(fault.Corrupt, "has %d bytes; its list says %d", info.Size, st.file.Size)
	}
	st.raw = body
	if st.file.MD5 != "" {
		st.sum = md5.New()
		st.raw = io.TeeReader(body, st.sum)
	}
	if info.Size == 0 && st.file.Items == 0 { // what lies there for a partition without items need not be compressed
		return st.raw, nil
	}
	plain := compress.NewReader(st.raw, compress.Codec(st.file.Compression), compress.Limits{RatioAfter: ratioAfter})
	st.closers = append(st.closers, plain)
	return plain, nil
}

// ratioAfter is the plain bytes after which a ratio that no table has ends a file: blank lines cost time and no memory.
const ratioAfter = 16 << 20

func (st *stream) openParquet(ctx context.Context, b blob.Bucket, spec Spec) error {
	info, err := b.Head(ctx, st.file.Name)
	if err != nil {
		return err
	}
	if st.file.ETag != "" && info.ETag != st.file.ETag {
		return fault.Hint(fault.New(fault.Conflict, "the file changed since the job was planned"), "start anew with --fresh")
	}
	if st.file.Size > 0 && info.Size != st.file.Size {
		return fault.New(fault.Corrupt, "has %d bytes; its list says %d", info.Size, st.file.Size)
	}
	at, err := blob.NewReaderAt(ctx, b, info, blob.ReaderAtOptions{})
	if err != nil {
		return err
	}
	st.closers = append(st.closers, at)
	st.items, err = parquet.Open(at, info.Size, parquet.ReadOptions{Rejects: st.reject, Types: parquetTypes(spec)})
	return err
}

// Read yields the next items. The batch's File is the file's address.
func (st *stream) Read(b *item.Batch) error {
	var err error
	if st.add == nil {
		err = st.items.Read(b)
	} else if err = st.items.Read(&st.inner); err == nil {
		err = st.add.apply(&st.inner, b)
	}
	if err == io.EOF {
		if err := st.finish(); err != nil {
			return st.at(err)
		}
		b.Reset()
		return io.EOF
	}
	if err != nil {
		return st.at(err)
	}
	b.File = st.url
	st.count += int64(b.Len())
	if st.file.Fingerprint != "" {
		for i := range b.Rows {
			st.print.Add(st.hasher.Item(b.Item(i)))
		}
	}
	return nil
}

// finish checks the promises: the stored bytes' MD5, the number of records and their fingerprint.
func (st *stream) finish() error {
	if st.sum != nil {
		// The decompressor stops at the stream's end; what may stand behind it belongs to the checksum too.
		if _, err := io.Copy(io.Discard, st.raw); err != nil {
			return err
		}
		if got := base64.StdEncoding.EncodeToString(st.sum.Sum(nil)); got != st.file.MD5 {
			return fault.Hint(fault.New(fault.Corrupt, "its MD5 is %s, the manifest says %s", got, st.file.MD5), "copy the file again from where it was made")
		}
	}
	if n := st.count + st.refused; st.file.Items >= 0 && n != st.file.Items {
		return fault.New(fault.Corrupt, "has %d items; its list says %d", n, st.file.Items)
	}
	if want := st.file.Fingerprint; want != "" && st.refused == 0 && st.print.String() != want {
		return fault.Hint(fault.New(fault.Corrupt, "its items have the fingerprint %s, the data set's history says %s", st.print, want),
			"make the file again, or read it for itself, by its own name")
	}
	return nil
}

func (st *stream) Close() error {
	var first error
	for i := len(st.closers) - 1; i >= 0; i-- {
		if err := st.closers[i].Close(); err != nil && first == nil {
			first = err
		}
	}
	st.closers = nil
	return first
}

// constants adds to each item the attributes that the file's path or its metadata say once for all.
type constants struct {
	batch item.Batch // one item that holds them
	names []string
}

func newConstants(f File, types map[string]string) (*constants, error) {
	c := &constants{}
	build := item.NewBuilder(&c.batch)
	build.Begin(0)
	for name, raw := range f.Constants {
		var b item.Batch
		b.Src = fmt.Appendf(b.Src, `{"v":%s}`, raw)
		if err := ddbjson.Parse(&b, 0); err != nil {
			return nil, fault.New(fault.Corrupt, "constant attribute %q: %w", name, err)
		}
		build.Name(name)
		i, _ := b.Item(0).Get("v")
		build.Raw(b.Item(0), i)
		c.names = append(c.names, name)
	}
	for _, p := range f.Partition {
		if _, known := f.Constants[p[0]]; known || p[1] == NullPartition {
			continue
		}
		build.Name(p[0])
		if types[p[0]] == "N" {
			if err := build.Number([]byte(p[1])); err != nil {
				return nil, fault.New(fault.User, "partition %s=%s is no number: %w", p[0], p[1], err)
			}
		} else {
			build.String([]byte(p[1]))
		}
		c.names = append(c.names, p[0])
	}
	build.Finish()
	return c, nil
}

// NullPartition is the Hive word for a partition without value.
const NullPartition = "__HIVE_DEFAULT_PARTITION__"

// apply copies in to out with the constants added; an attribute of the item itself wins.
func (c *constants) apply(in, out *item.Batch) error {
	out.Reset()
	out.FirstLine, out.Offset = in.FirstLine, in.Offset
	extra := c.batch.Item(0)
	build := item.NewBuilder(out)
	for r := range in.Rows {
		it := in.Item(r)
		build.Begin(in.Rows[r].Line)
		for i := 1; i < len(it.Tape); i += 1 + int(it.Tape[i+1].Skip) {
			build.Name(string(it.Text(i)))
			build.Raw(it, i+1)
		}
		for i := 1; i < len(extra.Tape); i += 1 + int(extra.Tape[i+1].Skip) {
			name := string(extra.Text(i))
			if _, own := it.Get(name); own {
				continue
			}
			build.Name(name)
			build.Raw(extra, i+1)
		}
		build.Finish()
	}
	return nil
}

// deadLine is one line of a dead-letter file (docs/formats/dead-letters.md).
type deadLine struct {
	Item json.RawMessage `json:"item"`
	Raw  string          `json:"raw"`
}

// deadReader reads the items of a dead-letter file back.
type deadReader struct {
	lines   *lineReader
	rejects codec.Rejects
}

func (d *deadReader) Read(b *item.Batch) error {
	b.Reset()
	for b.Len() < 1000 {
		line, number, err := d.lines.next()
		if err == io.EOF && b.Len() > 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if b.Len() == 0 {
			b.FirstLine = number
		}
		if err := parseDead(b, line); err != nil {
			if err := d.rejects(codec.Reject{Place: fault.Place{Line: number}, Raw: line, Err: err}); err != nil {
				return err
			}
			continue
		}
		b.Rows[b.Len()-1].Line = uint32(number - b.FirstLine)
	}
	return nil
}

func parseDead(b *item.Batch, line []byte) error {
	var dead deadLine
	if err := json.Unmarshal(line, &dead); err != nil {
		return fault.New(fault.Corrupt, "not a dead letter: %w", err)
	}
	if len(dead.Item) == 0 {
		return fault.Hint(fault.New(fault.Corrupt, "the record could not be read as an item: %s", clip(dead.Raw)), "mend it in its source file")
	}
	from := len(b.Src)
	b.Src = append(b.Src, dead.Item...)
	return ddbjson.Parse(b, from)
}

func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
