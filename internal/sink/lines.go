package sink

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"hash"
	"io"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec"
	"dynaferry/internal/codec/compress"
	"dynaferry/internal/item"
)

// LinesOptions set up a sink of row-wise files.
type LinesOptions struct {
	Bucket      blob.Bucket
	Staged      func(name string) string
	Target      int64 // staged size at which the next file begins
	Compression compress.Codec
	Level       int
	// Codec makes the encoder of one file.
	Codec    func(w io.Writer) (codec.Writer, error)
	Put      blob.PutOptions
	Template File
	Lean     bool // as of ParquetOptions
	// Always makes a file even when there is no item, as a native export does for an empty partition.
	Always bool
	// Sized adds up the items' sizes.
	Sized bool
}

// Lines writes items as rows of text.
type Lines struct {
	ctx    context.Context
	o      LinesOptions
	tally  tally
	n      int
	name   string
	out    *blob.Writer
	sum    hash.Hash
	pack   io.WriteCloser
	rows   codec.Writer
	staged Staged
	strip  Stripper
}

// NewLines returns a sink; nothing is staged before the first item, unless Always.
func NewLines(ctx context.Context, o LinesOptions) *Lines {
	return &Lines{ctx: ctx, o: o, tally: tally{hasher: new(item.Hasher), sized: o.Sized}}
}

func (l *Lines) open() error {
	l.name = l.o.Staged(fmt.Sprintf("%03d.rows", l.n))
	l.out = blob.NewWriter(l.ctx, l.o.Bucket, l.name, uploads(l.o.Put, l.o.Lean))
	l.sum = md5.New()
	l.pack = compress.NewWriter(io.MultiWriter(l.out, l.sum), l.o.Compression, l.o.Level)
	var err error
	l.rows, err = l.o.Codec(l.pack)
	return err
}

// Write encodes the batch.
func (l *Lines) Write(b *item.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	if l.out == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	for i := range b.Rows {
		l.tally.add(b.Item(i))
	}
	if err := l.rows.Write(l.strip.Batch(b, l.o.Template.Constants)); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if l.out.Bytes() >= l.o.Target {
		return l.roll()
	}
	return nil
}

func (l *Lines) roll() error {
	if l.out == nil {
		return nil
	}
	if err := l.rows.Close(); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if err := l.pack.Close(); err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	if _, err := l.out.Finish(); err != nil {
		return fmt.Errorf("stage %s: %w", l.name, err)
	}
	f := l.o.Template
	f.Staged, f.Size, f.MD5 = l.name, l.out.Bytes(), base64.StdEncoding.EncodeToString(l.sum.Sum(nil))
	l.tally.into(&f)
	l.tally.reset()
	l.staged.Files = append(l.staged.Files, f)
	l.out.Close()
	l.out, l.n = nil, l.n+1
	return nil
}

// Close ends the last file.
func (l *Lines) Close() (Staged, error) {
	if l.o.Always && l.out == nil && len(l.staged.Files) == 0 {
		if err := l.open(); err != nil {
			return Staged{}, err
		}
	}
	err := l.roll()
	return l.staged, err
}

// Abandon releases what an attempt that failed holds.
func (l *Lines) Abandon() {
	if l.out != nil {
		l.out.Close()
	}
}
