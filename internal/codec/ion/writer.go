package ion

import (
	"io"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// writeBytes is how much is gathered before it is handed to the writer below.
const writeBytes = 64 << 10

// WriterOptions of a Writer; the zero value writes the lines of an export.
type WriterOptions struct {
	Binary bool
}

// Writer is a codec.Writer of Ion. Fields are in the item's order.
type Writer struct {
	w      io.Writer
	buf    []byte
	text   []byte // scratch
	binary *binaryEncoder
	err    error
}

var _ codec.Writer = (*Writer)(nil)

// NewWriter returns a Writer onto w.
func NewWriter(w io.Writer, opts WriterOptions) *Writer {
	out := &Writer{w: w}
	if opts.Binary {
		out.binary = newBinaryEncoder()
		out.buf = append(out.buf, versionMarker...)
	}
	return out
}

// Write implements codec.Writer.
func (w *Writer) Write(b *item.Batch) error {
	for i := range b.Rows {
		if w.binary != nil {
			w.buf = w.binary.append(w.buf, b.Item(i))
		} else {
			w.line(b.Item(i))
		}
		if len(w.buf) >= writeBytes {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return w.err
}

// Close implements codec.Writer.
func (w *Writer) Close() error { return w.flush() }

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

// line writes an item as an export does.
func (w *Writer) line(it item.Item) {
	w.buf = append(w.buf, "$ion_1_0 {Item:"...)
	w.fields(it, 0)
	w.buf = append(w.buf, "}\n"...)
}

// fields writes the map at index i.
func (w *Writer) fields(it item.Item, i int) {
	w.buf = append(w.buf, '{')
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += 1 + int(it.Tape[at+1].Skip) {
		if at > i+1 {
			w.buf = append(w.buf, ',')
		}
		w.name(it, at)
		w.buf = append(w.buf, ':')
		w.value(it, at+1)
	}
	w.buf = append(w.buf, '}')
}

// name writes a name without quotes where the grammar allows it.
func (w *Writer) name(it item.Item, i int) {
	token := &it.Tape[i]
	content := it.Src[token.Off:token.End]
	if token.Flags == 0 && isName(content) {
		w.buf = append(w.buf, content...)
		return
	}
	w.text = it.AppendText(w.text[:0], i)
	w.buf = append(w.buf, '\'')
	w.buf = appendEscaped(w.buf, w.text, '\'')
	w.buf = append(w.buf, '\'')
}

// isName tells whether text is an identifier that stands for itself: no keyword and no symbol id.
func isName(b []byte) bool {
	if len(b) == 0 || class[b[0]]&isDigit != 0 {
		return false
	}
	for _, c := range b {
		if class[c]&isIdent == 0 {
			return false
		}
	}
	return !keyword(b) && (b[0] != '$' || !isDigits(b[1:]))
}

func (w *Writer) value(it item.Item, i int) {
	token := &it.Tape[i]
	content := it.Src[token.Off:token.End]
	switch token.Type {
	case item.S:
		w.buf = append(w.buf, '"')
		if token.Flags&item.Escaped == 0 {
			w.buf = append(w.buf, content...)
		} else {
			w.text = it.AppendText(w.text[:0], i)
			w.buf = appendEscaped(w.buf, w.text, '"')
		}
		w.buf = append(w.buf, '"')
	case item.N:
		w.text = it.AppendNumber(w.text[:0], i)
		w.buf = appendDecimal(w.buf, w.text)
	case item.B:
		w.buf = append(w.buf, "{{"...)
		w.buf = it.AppendText(w.buf, i) // base64 either way
		w.buf = append(w.buf, "}}"...)
	case item.BOOL:
		w.buf = append(w.buf, content...)
	case item.NULL:
		w.buf = append(w.buf, "null"...)
	case item.M:
		w.fields(it, i)
	case item.L:
		w.list(it, i)
	default:
		w.buf = append(w.buf, setNotes[token.Type-item.SS]...)
		w.buf = append(w.buf, "::"...)
		w.list(it, i)
	}
}

func (w *Writer) list(it item.Item, i int) {
	w.buf = append(w.buf, '[')
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += int(it.Tape[at].Skip) {
		if at > i+1 {
			w.buf = append(w.buf, ',')
		}
		w.value(it, at)
	}
	w.buf = append(w.buf, ']')
}

// smallExponent is the exponent of the first digit below which a decimal is written with an exponent.
const smallExponent = -6

// appendDecimal writes a number in normal form as an export does: no needless zero, so that 600 is 6d2; a point where
// there is a fraction, 103. where there is none; an exponent where zeros would follow or more than six would precede.
func appendDecimal(dst, normal []byte) []byte {
	if normal[0] == '-' {
		dst, normal = append(dst, '-'), normal[1:]
	}
	if len(normal) > 2 && normal[1] == '.' && normal[0] == '0' { // a fraction: zeros, then digits
		first := 2
		for normal[first] == '0' {
			first++
		}
		if first-1 <= -smallExponent {
			return append(dst, normal...)
		}
		dst = append(dst, normal[first:]...)
		dst = append(dst, "d-"...)
		return appendUint(dst, len(normal)-2)
	}
	last := len(normal)
	for last > 1 && normal[last-1] == '0' { // with a point there are no zeros at the end
		last--
	}
	dst = append(dst, normal[:last]...)
	if zeros := len(normal) - last; zeros > 0 {
		return appendUint(append(dst, 'd'), zeros)
	}
	for _, c := range normal {
		if c == '.' {
			return dst
		}
	}
	return append(dst, '.')
}

func appendUint(dst []byte, n int) []byte {
	if n >= 10 {
		dst = appendUint(dst, n/10)
	}
	return append(dst, byte('0'+n%10))
}

// appendEscaped writes text between quotes of a kind.
func appendEscaped(dst, text []byte, quote byte) []byte {
	const hex = "0123456789abcdef"
	for _, c := range text {
		switch {
		case c == quote || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ':
			dst = append(dst, c)
		case c == 0:
			dst = append(dst, '\\', '0')
		case c >= '\a' && c <= '\r':
			dst = append(dst, '\\', "abtnvfr"[c-'\a'])
		default:
			dst = append(dst, '\\', 'x', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// AppendStruct appends the item's map as a struct of Ion text, for records that hold more than one.
func AppendStruct(dst []byte, it item.Item) []byte {
	w := Writer{buf: dst}
	w.fields(it, 0)
	return w.buf
}
