package ddbjson

import (
	"io"

	"dynaferry/internal/codec"
	"dynaferry/internal/item"
)

// Shape tells what one line of a stream is.
type Shape uint8

const (
	// Wrapped lines are {"Item":{...}}, as DynamoDB's full exports have them.
	Wrapped Shape = iota
	// Bare lines are the attribute map itself: {"Id":{"N":"1"}}.
	Bare
)

// Page is what a Scan, Query or BatchGetItem reply says beside its items.
type Page struct {
	Last        []byte  // LastEvaluatedKey as it came, in b.Src; nil when absent
	Count       int     // -1 when absent
	Scanned     int     // -1 when absent
	Units       float64 // ConsumedCapacity.CapacityUnits, summed when there are several
	Unprocessed []byte  // UnprocessedKeys as they came; nil when absent or empty
}

func Parse(b *item.Batch, from int) error { panic("later") }
func ParseLines(b *item.Batch, shape Shape, final bool, reject codec.Rejects) (consumed int, err error) {
	panic("later")
}
func ParsePage(b *item.Batch) (Page, error) { panic("later") }

// ReaderOptions set up a Reader; the zero value reads export lines and stops at the first bad one.
type ReaderOptions struct {
	Shape      Shape
	Rejects    codec.Rejects
	ChunkBytes int
	LineMax    int
}

type Reader struct{}

func NewReader(r io.Reader, opts ReaderOptions) *Reader { panic("later") }
func (r *Reader) Read(b *item.Batch) error              { panic("later") }

// WriterOptions set up a Writer.
type WriterOptions struct {
	Shape Shape
}

type Writer struct{}

func NewWriter(w io.Writer, opts WriterOptions) *Writer { panic("later") }
func (w *Writer) Write(b *item.Batch) error             { panic("later") }
func (w *Writer) Close() error                          { panic("later") }
