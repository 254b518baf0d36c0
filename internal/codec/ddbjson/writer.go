package ddbjson

import (
	"io"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// writeBytes is how much a Writer gathers before it writes.
const writeBytes = 64 << 10

// WriterOptions set up a Writer; the zero value writes export lines.
type WriterOptions struct {
	Shape Shape
}

// Writer writes items as lines, {"Item":{...}} or bare. It is a codec.Writer. An item goes out byte for byte as it
// came; one with white space between its parts is written without.
type Writer struct {
	w     io.Writer
	shape Shape
	buf   []byte
	err   error
}

var _ codec.Writer = (*Writer)(nil)

// NewWriter returns a Writer onto w.
func NewWriter(w io.Writer, opts WriterOptions) *Writer {
	return &Writer{w: w, shape: opts.Shape}
}

// Write implements codec.Writer.
func (w *Writer) Write(b *item.Batch) error {
	for i := range b.Rows {
		w.buf = AppendLine(w.buf, b.Item(i), w.shape)
		if len(w.buf) >= writeBytes {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return w.err
}

// AppendLine appends one item's line, line feed included.
func AppendLine(dst []byte, it item.Item, shape Shape) []byte {
	if shape == Wrapped {
		dst = append(dst, `{"Item":`...)
	}
	if item.IsCompact(it) {
		dst = append(dst, it.Raw()...)
	} else {
		dst = item.AppendCompact(dst, it)
	}
	if shape == Wrapped {
		dst = append(dst, '}')
	}
	return append(dst, '\n')
}

// flush writes what is gathered. An error stays: what follows would leave a hole.
func (w *Writer) flush() error {
	if w.err != nil || len(w.buf) == 0 {
		return w.err
	}
	n, err := w.w.Write(w.buf)
	if err == nil && n < len(w.buf) {
		err = io.ErrShortWrite
	}
	if err != nil {
		w.err = fault.As(fault.Unavailable, err)
	}
	w.buf = w.buf[:0]
	return w.err
}

// Close implements codec.Writer.
func (w *Writer) Close() error { return w.flush() }
