package json

import (
	"io"

	"dynaferry/internal/item"
)

// writeBytes is how much is gathered before it is handed to the writer below.
const writeBytes = 64 << 10

// Writer is a codec.Writer of JSON lines: one object a line, names in the item's order, no white space.
type Writer struct {
	w    io.Writer
	buf  []byte
	loss losses
	path []byte
	err  error
}

// NewWriter returns a writer of JSON lines onto w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write implements codec.Writer.
func (w *Writer) Write(b *item.Batch) error {
	for i := range b.Rows {
		if w.err != nil {
			return w.err
		}
		it := b.Item(i)
		w.path = w.path[:0]
		w.object(it, 0)
		w.buf = append(w.buf, '\n')
		if len(w.buf) >= writeBytes {
			w.flush()
		}
	}
	return w.err
}

// Close implements codec.Writer.
func (w *Writer) Close() error {
	if w.err == nil {
		w.flush()
	}
	return w.err
}

// Losses reports which attributes lost their type so far, by path.
func (w *Writer) Losses() []Loss { return w.loss.report() }

func (w *Writer) flush() {
	_, w.err = w.w.Write(w.buf)
	w.buf = w.buf[:0]
}

// object writes the map at index i. Names and strings are copied as they stand in the item, escapes included.
func (w *Writer) object(it item.Item, i int) {
	w.buf = append(w.buf, '{')
	depth := len(w.path)
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += 1 + int(it.Tape[at+1].Skip) {
		if at > i+1 {
			w.buf = append(w.buf, ',')
		}
		w.buf = it.AppendName(w.buf, at)
		w.buf = append(w.buf, ':')
		value := &it.Tape[at+1]
		if value.Type >= item.L || value.Type == item.B { // the others never need their path
			if depth > 0 {
				w.path = append(w.path, '.')
			}
			w.path = it.AppendText(w.path, at)
		}
		w.value(it, at+1)
		w.path = w.path[:depth]
	}
	w.buf = append(w.buf, '}')
}

func (w *Writer) value(it item.Item, i int) {
	token := &it.Tape[i]
	switch token.Type {
	case item.S:
		w.quoted(it, token)
	case item.N:
		w.buf = it.AppendNumber(w.buf, i)
	case item.B:
		w.loss.add(w.path, item.B)
		w.quoted(it, token)
	case item.BOOL:
		w.buf = append(w.buf, it.Src[token.Off:token.End]...)
	case item.NULL:
		w.buf = append(w.buf, "null"...)
	case item.M:
		w.object(it, i)
	case item.L:
		depth := len(w.path)
		w.path = append(w.path, '[', ']')
		w.array(it, i, w.value)
		w.path = w.path[:depth]
	default:
		w.loss.add(w.path, token.Type)
		w.array(it, i, w.member)
	}
}

// member writes a member of a set, whose loss is told for the set.
func (w *Writer) member(it item.Item, i int) {
	if it.Tape[i].Type == item.N {
		w.buf = it.AppendNumber(w.buf, i)
		return
	}
	w.quoted(it, &it.Tape[i])
}

func (w *Writer) array(it item.Item, i int, element func(item.Item, int)) {
	w.buf = append(w.buf, '[')
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += int(it.Tape[at].Skip) {
		if at > i+1 {
			w.buf = append(w.buf, ',')
		}
		element(it, at)
	}
	w.buf = append(w.buf, ']')
}

func (w *Writer) quoted(it item.Item, token *item.Token) {
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, it.Src[token.Off:token.End]...)
	w.buf = append(w.buf, '"')
}
