package sink

import (
	"context"
	"fmt"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/column"
	"dynaferry/internal/item"
)

// ParquetOptions set up a Parquet sink.
type ParquetOptions struct {
	Bucket blob.Bucket
	// Staged names the staged objects of this attempt by what they are.
	Staged func(name string) string
	// Target is the staged size at which the next file begins.
	Target int64
	Writer parquet.Options
	// Schema, when given, is the one the files get; else it grows with the items by Columns.
	Schema  *column.Schema
	Columns column.SchemaOptions
	// Put are the options of staged objects.
	Put blob.PutOptions
	// Template gives each file its partition and constants.
	Template File
	// Lean uploads in small parts, one at a time, for tasks that hold much beside the sink.
	Lean bool
}

// slabRows and slabBytes bound what the shredder gathers before its columns are written: large enough that a page is
// full of one slab's values, small enough that two workers stay far below the memory budget.
const (
	slabRows  = 4 << 10
	slabBytes = 12 << 20
)

// Parquet writes items as columns.
type Parquet struct {
	ctx   context.Context
	o     ParquetOptions
	shred *column.Shredder
	tally tally
	strip Stripper

	misfits map[string]int64 // of the file at hand

	out    *blob.Writer // nil between files
	w      *parquet.Writer
	name   string
	n      int
	staged Staged
}

// NewParquet returns a sink; nothing is staged before the first item.
func NewParquet(ctx context.Context, o ParquetOptions) *Parquet {
	return &Parquet{ctx: ctx, o: o, tally: tally{hasher: new(item.Hasher)}, misfits: map[string]int64{},
		shred: column.NewShredder(column.ShredOptions{Schema: o.Schema, SchemaOptions: o.Columns})}
}

// A run of items is hashed before it is shredded: few enough that their tapes stay in the first-level cache, enough that
// each of the two keeps the processor's branch tables to itself for a while. Large items make short runs, since a slab
// ends with a run: what a file tells of its items is what lies in its columns.
const (
	runItems = 16
	runBytes = 64 << 10
)

// Write shreds the items; full slabs are encoded, compressed and sent.
func (p *Parquet) Write(b *item.Batch) error {
	lean := p.strip.Batch(b, p.o.Template.Constants)
	for at := 0; at < len(b.Rows); {
		from, bytes := at, 0
		for ; at < len(b.Rows) && at-from < runItems && bytes < runBytes; at++ {
			p.tally.add(b.Item(at))
			token := &b.Tape[b.Rows[at].First]
			bytes += int(token.End - token.Off)
		}
		for i := from; i < at; i++ {
			if err := p.shred.Append(lean.Item(i)); err != nil {
				return err
			}
		}
		if p.shred.Rows() >= slabRows || p.shred.Bytes() >= slabBytes {
			if err := p.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Parquet) flush() error {
	if p.shred.Rows() == 0 {
		return nil
	}
	if p.out == nil {
		p.name = p.o.Staged(fmt.Sprintf("%03d.columns", p.n))
		p.out = blob.NewWriter(p.ctx, p.o.Bucket, p.name, uploads(p.o.Put, p.o.Lean))
		p.w = parquet.NewWriter(p.out, p.o.Writer)
	}
	slab := p.shred.Slab()
	for _, m := range slab.Misfits {
		p.misfits[m.Path+": "+m.Reason.String()] += int64(m.Count)
	}
	if err := p.w.Write(slab); err != nil {
		return fmt.Errorf("write columns: %w", err)
	}
	if p.out.Bytes()+p.w.Held() >= p.o.Target {
		return p.roll()
	}
	return nil
}

// roll ends the current file.
func (p *Parquet) roll() error {
	if p.out == nil {
		return nil
	}
	meta, err := p.w.Close()
	if err != nil {
		return fmt.Errorf("write columns: %w", err)
	}
	if _, err := p.out.Finish(); err != nil {
		return fmt.Errorf("stage %s: %w", p.name, err)
	}
	f := p.o.Template
	f.Staged, f.Size = p.name, p.out.Bytes()
	f.Meta = p.o.Staged(fmt.Sprintf("%03d.meta", p.n))
	packed, err := meta.AppendBinary(nil)
	if err != nil {
		return err
	}
	if _, err := p.o.Bucket.Put(p.ctx, f.Meta, packed, blob.PutOptions{}); err != nil {
		return fmt.Errorf("stage %s: %w", f.Meta, err)
	}
	p.tally.into(&f)
	p.tally.reset()
	if len(p.misfits) > 0 {
		f.Misfits, p.misfits = p.misfits, map[string]int64{}
	}
	p.staged.Files = append(p.staged.Files, f)
	p.out.Close()
	p.out, p.w, p.n = nil, nil, p.n+1
	return nil
}

// Close ends the last file and stages the stats.
func (p *Parquet) Close() (Staged, error) {
	if err := p.flush(); err != nil {
		return Staged{}, err
	}
	if err := p.roll(); err != nil {
		return Staged{}, err
	}
	if p.o.Schema == nil {
		stats, err := p.shred.Stats().AppendBinary(nil)
		if err != nil {
			return Staged{}, fmt.Errorf("stats of the columns: %w", err)
		}
		p.staged.Stats = p.o.Staged("stats")
		if _, err := p.o.Bucket.Put(p.ctx, p.staged.Stats, stats, blob.PutOptions{}); err != nil {
			return Staged{}, fmt.Errorf("stage %s: %w", p.staged.Stats, err)
		}
	}
	return p.staged, nil
}

// Abandon releases what an attempt that failed holds; staged leftovers stay for the sweep.
func (p *Parquet) Abandon() {
	if p.out != nil {
		p.out.Close()
	}
}
