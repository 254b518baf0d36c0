package delivery

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/column"
)

// A slab of rows is what the shredder gathers before its columns are written.
const (
	slabRows  = 4 << 10
	slabBytes = 12 << 20
)

// columns makes the epoch's Parquet files. Data are written in one pass with columns that grow; the schema of all is known
// with the last span, is durable before the first file is there, and gives every file its footer.
func (w *work) columns(ctx context.Context) error {
	base, err := w.schema(ctx, w.epoch.Schema)
	if err != nil {
		return err
	}
	pinned, err := w.epoch.Settings.pinned()
	if err != nil {
		return err
	}
	wishes := column.SchemaOptions{Pinned: pinned, Base: base.Parquet, Keys: w.epoch.Settings.Keys}
	makers := make([]*columnMaker, len(w.epoch.Spans))
	err = w.spans(ctx, func(s *spanWork) maker {
		makers[s.n] = &columnMaker{work: w, shred: column.NewShredder(column.ShredOptions{SchemaOptions: wishes})}
		return makers[s.n]
	})
	if err != nil {
		return err
	}
	var stats column.Stats
	var files []*columnFile
	for _, m := range makers {
		stats.Merge(m.shred.Stats())
		files = append(files, m.files...)
	}
	schema := stats.Schema(wishes)
	if w.set == nil && len(files) > 0 && (base.Parquet == nil || !bytes.Equal(schema.AppendJSON(nil), base.Parquet.AppendJSON(nil))) {
		stands, err := w.decideSchema(ctx, &durableSchema{N: w.epoch.N, Parquet: schema}, w.o.Commit)
		if err != nil {
			return err
		}
		schema, w.done.Schema = stands.Parquet, w.epoch.N
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(putsAtOnce)
	for _, f := range files {
		group.Go(func() error { return f.publish(ctx, schema) })
	}
	return group.Wait()
}

// putsAtOnce is how many files are put at once that are ready.
const putsAtOnce = 8

// columnMaker makes the data of a span's Parquet files, one after the other.
type columnMaker struct {
	*work
	shred *column.Shredder
	files []*columnFile
}

// columnFile is the data of a Parquet file without its end.
type columnFile struct {
	maker   *columnMaker
	name    string
	data    bytes.Buffer
	w       *parquet.Writer
	meta    *parquet.FileMeta
	n       int64
	misfits map[string]int64
}

func (m *columnMaker) begin(_ context.Context, name string) (target, error) {
	f := &columnFile{maker: m, name: name, misfits: map[string]int64{}}
	f.w = parquet.NewWriter(&f.data, m.epoch.Settings.parquetOptions())
	return f, nil
}

func (s *Settings) parquetOptions() parquet.Options {
	return parquet.Options{Compression: parquet.Compression(s.Compression), Level: s.Level}
}

func (f *columnFile) add(p *piece) error {
	shred := f.maker.shred
	for i := range p.batch.Rows {
		if err := shred.Append(p.batch.Item(i)); err != nil {
			return err
		}
		if shred.Rows() >= slabRows || shred.Bytes() >= slabBytes {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	f.n += p.n
	return nil
}

func (f *columnFile) flush() error {
	slab := f.maker.shred.Slab()
	if slab == nil {
		return nil
	}
	f.count(slab.Misfits)
	if err := f.w.Write(slab); err != nil {
		return fmt.Errorf("write columns of %s: %w", f.name, err)
	}
	return nil
}

func (f *columnFile) count(misfits []column.Misfit) {
	for _, m := range misfits {
		f.misfits[m.Path+": "+m.Reason.String()] += int64(m.Count)
	}
}

func (f *columnFile) close() (err error) {
	if err = f.flush(); err == nil {
		f.meta, err = f.w.Close()
	}
	if err != nil {
		return fmt.Errorf("write columns of %s: %w", f.name, err)
	}
	f.w = nil
	f.maker.files = append(f.maker.files, f)
	return nil
}

func (f *columnFile) abandon() {}

// publish gives the data its end, and makes the file visible.
func (f *columnFile) publish(ctx context.Context, schema *column.Schema) error {
	w, file, meta := f.maker.work, &f.data, f.meta
	if !parquet.Settled(meta, schema) {
		var out bytes.Buffer
		again, did, err := parquet.Rewrite(bytes.NewReader(file.Bytes()), meta, schema, &out, w.epoch.Settings.parquetOptions())
		if err != nil {
			return fmt.Errorf("write columns of %s again: %w", f.name, err)
		}
		file, meta, f.misfits = &out, again, map[string]int64{}
		f.count(did.Misfits)
	}
	tail, err := parquet.Footer(meta, schema, parquet.FooterOptions{Staged: bytes.NewReader(file.Bytes()), KeyValue: map[string]string{epochKey: fmt.Sprint(w.epoch.N)}})
	if err != nil {
		return fmt.Errorf("footer of %s: %w", f.name, err)
	}
	file.Write(tail)
	size, err := w.put(ctx, f.name, file.Bytes())
	if err != nil {
		return err
	}
	w.made(File{Name: f.name, Size: size, Records: f.n})
	w.mu.Lock()
	defer w.mu.Unlock()
	for what, n := range f.misfits {
		if w.done.Misfits == nil {
			w.done.Misfits = map[string]int64{}
		}
		w.done.Misfits[what] += n
	}
	return nil
}

// epochKey is where a Parquet file's metadata tell its epoch.
const epochKey = "dynaferry.epoch"
