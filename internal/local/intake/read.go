package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"path"
	"strings"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec"
	"dynaferry/internal/codec/compress"
	"dynaferry/internal/codec/csv"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/codec/ion"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Format is the service's name for the form of objects.
type Format string

// The formats.
const (
	JSON Format = "DYNAMODB_JSON"
	Ion  Format = "ION"
	CSV  Format = "CSV"
)

// Options say how objects are read.
type Options struct {
	Format      Format
	Compression compress.Codec
	Delimiter   byte     // of CSV; 0 is the comma
	Header      []string // of CSV without a header line
	Types       map[string]csv.Spec
}

// Piece is some of an object's items, and what was wrong between them. It is valid during the call only.
type Piece struct {
	Batch  *item.Batch
	Errors []Error
	Bytes  int64 // of the object so far, unpacked
}

// Error is one record, or the rest of an object, that could not become items.
type Error struct {
	Index int64 // of the record in its object, from 0
	Err   error
}

// Read streams one object. It returns an error only for what ends the whole import: the store's errors, and each's own.
func Read(ctx context.Context, b blob.Bucket, info blob.Info, o Options, each func(Piece) error) error {
	if info.Size == 0 {
		return nil
	}
	if o.Format == CSV {
		var err error
		if o.Types, err = columns(ctx, b, info, o); err != nil {
			return err
		}
	}
	body, err := open(ctx, b, info)
	if err != nil {
		return err
	}
	defer body.Close()
	r := &reader{below: &watched{r: body}, last: math.MaxInt64}
	r.plain = compress.NewReader(r.below, o.Compression, compress.Limits{})
	defer r.plain.Close()
	r.items = o.codec(r.plain, r.reject)
	for {
		end, err := r.next(each)
		if err != nil {
			return fmt.Errorf("read %s: %w", info.Name, err)
		}
		if end {
			return nil
		}
	}
}

// open begins to read the version of an object that was listed. One that is gone has changed.
func open(ctx context.Context, b blob.Bucket, info blob.Info) (io.ReadCloser, error) {
	body, _, err := b.Get(ctx, info.Name, blob.ReadOptions{IfMatch: info.ETag})
	if errors.Is(err, blob.ErrNotFound) {
		err = blob.ErrChanged
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", info.Name, err)
	}
	return body, nil
}

// codec opens the reader of the options' format.
func (o Options) codec(r io.Reader, rejects codec.Rejects) codec.Reader {
	switch o.Format {
	case Ion:
		return ion.NewReader(r, ion.ReaderOptions{Rejects: rejects})
	case CSV:
		return csv.NewReader(r, csv.ReaderOptions{Delimiter: o.Delimiter, Header: o.Header, Types: o.Types, Rejects: rejects})
	}
	return ddbjson.NewReader(r, ddbjson.ReaderOptions{Rejects: rejects})
}

// columns keeps the types of those columns that the file has. A file whose beginning cannot be read has none; reading it
// again tells why.
func columns(ctx context.Context, b blob.Bucket, info blob.Info, o Options) (map[string]csv.Spec, error) {
	body, err := open(ctx, b, info)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	plain := compress.NewReader(body, o.Compression, compress.Limits{})
	defer plain.Close()
	head := csv.NewReader(plain, csv.ReaderOptions{Delimiter: o.Delimiter, Header: o.Header, BatchBytes: 1,
		Rejects: func(codec.Reject) error { return nil }})
	_ = head.Read(&item.Batch{})
	types := map[string]csv.Spec{}
	for _, name := range head.Header() {
		if t, ok := o.Types[name]; ok {
			types[name] = t
		}
	}
	return types, nil
}

// watched remembers the store's own error, which is none of the data.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// reader is one object on its way in.
type reader struct {
	below  *watched
	plain  *compress.Reader
	items  codec.Reader
	batch  item.Batch
	errors []Error
	last   int64 // the line that ended the object
}

// reject takes what the codec refuses: a value that breaks a rule, or a line that is no item.
func (r *reader) reject(bad codec.Reject) error {
	if bad.Place.Line >= r.last {
		return nil
	}
	if fault.KindOf(bad.Err) != fault.User {
		r.last = bad.Place.Line
	}
	r.errors = append(r.errors, Error{max(bad.Place.Line-1, 0), bad.Err})
	return nil
}

// next hands on one batch, and tells whether it was the last.
func (r *reader) next(each func(Piece) error) (end bool, err error) {
	r.errors = r.errors[:0]
	err = r.items.Read(&r.batch)
	if r.below.err != nil {
		return true, r.below.err
	}
	if err != nil {
		end = true
		if !errors.Is(err, io.EOF) { // a broken frame or the like: the rest of the object is lost
			r.errors = append(r.errors, Error{max(r.batch.FirstLine-1, 0), err})
		}
		r.batch.Rows = r.batch.Rows[:0]
	}
	keep := len(r.batch.Rows)
	for keep > 0 && r.batch.FirstLine+int64(r.batch.Rows[keep-1].Line) > r.last {
		keep--
	}
	r.batch.Rows = r.batch.Rows[:keep]
	_, bytes := r.plain.Offsets()
	return end || r.last != math.MaxInt64, each(Piece{&r.batch, r.errors, bytes})
}

// LogFolder is where imports of a bucket log what they skipped; imports do not read there.
const LogFolder = "aws-dynamodb/imports"

// LogName is the object with the error log of an import, one JSON object a line, in place of the service's log stream.
func LogName(id string) string { return path.Join(LogFolder, id, "error") }

// List yields the objects that an import of prefix reads.
func List(ctx context.Context, b blob.Bucket, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for info, err := range b.List(ctx, prefix, "") {
			if err == nil && strings.HasPrefix(info.Name, LogFolder+"/") {
				continue
			}
			if !yield(info, err) {
				return
			}
		}
	}
}
