package export

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/compress"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/codec/ion"
	"dynaferry/internal/item"
	"dynaferry/internal/manifest"
)

// Change is what became of one item within a window. Items are raw DynamoDB JSON; Old and New are nil where there was or
// is none.
type Change struct {
	Keys, Old, New []byte
	Micros         int64 // time of the last write, microseconds since 1970
}

// File is one data file in the making. It belongs to one goroutine; Close must be called.
type File struct {
	layout Layout
	name   string
	object *blob.Writer
	sum    hash.Hash
	zip    *compress.Writer
	items  int64
	line   []byte
	batch  item.Batch
}

// A writer holds up to (flight+1) parts in memory, and an export writes several files at once.
const (
	partBytes = blob.PartBytesMin
	flight    = 1
)

// Create begins the file of one part. Nothing is visible before Finish.
func (l Layout) Create(ctx context.Context, b blob.Bucket, part int) *File {
	f := &File{layout: l, name: l.data(part), sum: md5.New()}
	f.object = blob.NewWriter(ctx, b, f.name, blob.WriterOptions{PartBytes: partBytes, Flight: flight})
	f.zip = compress.NewWriter(io.MultiWriter(f.object, f.sum), compress.Gzip, 0)
	return f
}

// Item appends an item of a full export.
func (f *File) Item(raw []byte) error {
	it, err := f.parse(raw)
	if err != nil {
		return err
	}
	if f.layout.Format == Ion {
		f.line = ion.AppendStruct(append(f.line[:0], "$ion_1_0 {Item:"...), it)
		f.line = append(f.line, "}\n"...)
	} else {
		f.line = ddbjson.AppendLine(f.line[:0], it, ddbjson.Wrapped)
	}
	return f.write()
}

// Change appends a record of an incremental export.
func (f *File) Change(c Change) error {
	if !f.layout.OldImages {
		c.Old = nil
	}
	if f.layout.Format == Ion {
		return f.changeIon(c)
	}
	f.line = append(f.line[:0], `{"Metadata":{"WriteTimestampMicros":{"N":"`...)
	f.line = strconv.AppendInt(f.line, c.Micros, 10)
	f.line = append(f.line, `"}}`...)
	for _, m := range []struct {
		name string
		raw  []byte
	}{{"Keys", c.Keys}, {"OldImage", c.Old}, {"NewImage", c.New}} {
		if m.raw == nil {
			continue
		}
		it, err := f.parse(m.raw)
		if err != nil {
			return err
		}
		f.line = append(append(append(f.line, `,"`...), m.name...), `":`...)
		f.line = item.AppendCompact(f.line, it)
	}
	f.line = append(f.line, "}\n"...)
	return f.write()
}

// changeIon writes the record in its further wrapper, which the JSON form does not have.
func (f *File) changeIon(c Change) error {
	f.line = append(f.line[:0], "$ion_1_0 {Record:{"...)
	for _, m := range []struct {
		name string
		raw  []byte
	}{{"Keys:", c.Keys}, {"OldImage:", c.Old}, {"NewImage:", c.New}} {
		if m.raw == nil {
			continue
		}
		it, err := f.parse(m.raw)
		if err != nil {
			return err
		}
		if m.name != "Keys:" {
			f.line = append(f.line, ',')
		}
		f.line = ion.AppendStruct(append(f.line, m.name...), it)
		if m.name == "Keys:" {
			f.line = append(f.line, ",Metadata:{WriteTimestampMicros:"...)
			f.line = strconv.AppendInt(f.line, c.Micros, 10)
			f.line = append(f.line, ".}"...)
		}
	}
	f.line = append(f.line, "}}\n"...)
	return f.write()
}

func (f *File) parse(raw []byte) (item.Item, error) {
	f.batch.Reset()
	f.batch.Src = append(f.batch.Src[:0], raw...)
	f.batch.Src = item.GrowSlack(f.batch.Src)
	if err := ddbjson.Parse(&f.batch, 0); err != nil {
		return item.Item{}, fmt.Errorf("stored item: %w", err)
	}
	return f.batch.Item(0), nil
}

func (f *File) write() error {
	f.items++
	if _, err := f.zip.Write(f.line); err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	return nil
}

// Finish makes the file visible and returns its line of the manifest.
func (f *File) Finish() (manifest.File, error) {
	if err := f.zip.Close(); err != nil {
		return manifest.File{}, fmt.Errorf("write %s: %w", f.name, err)
	}
	info, err := f.object.Finish()
	if err != nil {
		return manifest.File{}, fmt.Errorf("write %s: %w", f.name, err)
	}
	return manifest.File{
		ItemCount: f.items, MD5: base64.StdEncoding.EncodeToString(f.sum.Sum(nil)),
		ETag: strings.Trim(info.ETag, `"`), Key: f.name,
	}, nil
}

// Close drops what was not finished. It may be called again.
func (f *File) Close() error { return f.object.Close() }
