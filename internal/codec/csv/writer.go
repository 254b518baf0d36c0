package csv

import (
	"bytes"
	"encoding/base64"
	"io"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// writeBytes is how much is gathered before it is handed to the writer below.
const writeBytes = 64 << 10

// WriterOptions of a Writer. Columns must be given; Survey finds them.
type WriterOptions struct {
	Columns   []Column
	Delimiter byte // , ; : | tab or space; 0 is the comma
	// AllJSON writes every cell as DynamoDB JSON, as if all columns were of Type json: nothing is ever lost, nothing
	// easy to read.
	AllJSON bool
	// FormulaSafe puts an apostrophe in front of text (and column names) that a spreadsheet would run as a formula: =
	// + - @ TAB CR. Reading such a file loses nothing with ReaderOptions.FormulaSafe, and keeps the apostrophes
	// without it.
	FormulaSafe bool
	// Drop leaves attributes out that have no column, and counts them. Without it they are an error.
	Drop bool
	// CRLF ends lines as RFC 4180 says; the default is LF, as nearly everybody writes.
	CRLF bool
	// ByteOrderMark makes Excel read the file as UTF-8.
	ByteOrderMark bool
}

// Writer is a codec.Writer of CSV with a header.
type Writer struct {
	w       io.Writer
	opts    WriterOptions
	columns map[string]int
	cells   []int32 // tape index of each column's value in the item at hand, -1 without one
	buf     []byte
	text    []byte // scratch
	loss    losses
	err     error
	started bool
}

// NewWriter returns a writer onto w. Wrong options are the error of the first call.
func NewWriter(w io.Writer, opts WriterOptions) *Writer {
	z := &Writer{w: w, opts: opts, columns: map[string]int{}, loss: losses{}}
	z.opts.Delimiter, z.err = checkDelimiter(opts.Delimiter)
	if len(opts.Columns) == 0 {
		// Items without attributes still are records; a column without a name holds their place.
		z.opts.Columns = []Column{{Type: JSON}}
	}
	for i, c := range z.opts.Columns {
		if _, err := ParseSpec(string(c.Type)); c.Type != "" && err != nil && z.err == nil {
			z.err = err
		}
		if _, twice := z.columns[c.Name]; twice && z.err == nil {
			z.err = fault.New(fault.User, "column %q is there twice", c.Name)
		}
		z.columns[c.Name] = i
	}
	z.cells = make([]int32, len(z.opts.Columns))
	return z
}

// Write implements codec.Writer. An attribute without a column is an error of kind User that names it.
func (w *Writer) Write(b *item.Batch) error {
	w.header()
	for i := range b.Rows {
		if w.err != nil {
			return w.err
		}
		w.err = w.record(b.Item(i))
		if len(w.buf) >= writeBytes && w.err == nil {
			w.flush()
		}
	}
	return w.err
}

// Close implements codec.Writer. A file without records has its header.
func (w *Writer) Close() error {
	w.header()
	if w.err == nil {
		w.flush()
	}
	return w.err
}

// Losses reports what will not come back so far, by column.
func (w *Writer) Losses() []Loss { return w.loss.report() }

func (w *Writer) flush() {
	_, w.err = w.w.Write(w.buf)
	w.buf = w.buf[:0]
}

func (w *Writer) header() {
	if w.started || w.err != nil {
		return
	}
	w.started = true
	if w.opts.ByteOrderMark {
		w.buf = append(w.buf, byteOrderMark...)
	}
	for i, c := range w.opts.Columns {
		if i > 0 {
			w.buf = append(w.buf, w.opts.Delimiter)
		}
		w.plain([]byte(c.Name))
	}
	w.endLine()
}

func (w *Writer) endLine() {
	if w.opts.CRLF {
		w.buf = append(w.buf, '\r')
	}
	w.buf = append(w.buf, '\n')
}

func (w *Writer) record(it item.Item) error {
	for i := range w.cells {
		w.cells[i] = -1
	}
	for at := 1; at < len(it.Tape); at += 1 + int(it.Tape[at+1].Skip) {
		name := it.Text(at)
		if i, ok := w.columns[string(name)]; ok {
			w.cells[i] = int32(at + 1)
		} else if w.opts.Drop {
			w.loss.add(string(name), it.Tape[at+1].Type, dropped)
		} else {
			err := fault.New(fault.User, "attribute has no column")
			err = fault.Hint(err, "name the attribute among the columns, or ask for others to be dropped")
			return fault.At(err, fault.Place{Path: string(name)})
		}
	}
	for i, at := range w.cells {
		if i > 0 {
			w.buf = append(w.buf, w.opts.Delimiter)
		}
		if at >= 0 {
			w.cell(it, int(at), w.opts.Columns[i])
		} else if len(w.cells) == 1 {
			w.buf = append(w.buf, '"', '"') // else the line were blank and no record
		}
	}
	w.endLine()
	return nil
}

// cell writes a value plain when the column's Spec reads it back so, or when the column has none, else as DynamoDB
// JSON.
func (w *Writer) cell(it item.Item, at int, c Column) {
	t := it.Tape[at].Type
	switch {
	case w.opts.AllJSON || c.Type == JSON:
		w.json(it, at)
		return
	case c.Type == Infer:
		if t == item.S && w.looksTyped(it.Text(at)) {
			w.quoted(it.Text(at)) // quotes mean text there
			return
		}
		if t != item.S && t != item.N && t != item.BOOL {
			w.loss.add(c.Name, t, becomesText)
			w.json(it, at)
			return
		}
	case c.Type == "" || c.Type == Text:
		if t != item.S {
			w.loss.add(c.Name, t, becomesText)
		}
	case string(c.Type) != t.String():
		w.json(it, at)
		return
	}
	switch t {
	case item.S:
		w.plain(it.Text(at))
	case item.N:
		w.buf = it.AppendNumber(w.buf, at)
	case item.BOOL:
		token := it.Tape[at]
		w.buf = append(w.buf, it.Src[token.Off:token.End]...)
	case item.B:
		w.binary(it, at)
	default:
		w.json(it, at)
	}
}

// looksTyped tells whether unquoted text would be taken for another type in a column of Infer.
func (w *Writer) looksTyped(text []byte) bool {
	return guess(text) != item.S && !(w.opts.FormulaSafe && formula(text))
}

// binary writes base64, but for the plus in front that a spreadsheet would run.
func (w *Writer) binary(it item.Item, at int) {
	data := it.Bytes(at, nil)
	text := base64.StdEncoding.AppendEncode(nil, data)
	if w.opts.FormulaSafe && formula(text) {
		w.json(it, at)
		return
	}
	w.plain(text)
}

func (w *Writer) json(it item.Item, at int) {
	w.text = it.AppendValue(w.text[:0], at)
	w.quoted(w.text) // it has quotes in any case
}

// plain writes text with quotes only where they are needed.
func (w *Writer) plain(text []byte) {
	if w.opts.FormulaSafe && formula(text) {
		w.text = append(append(w.text[:0], '\''), text...)
		text = w.text
	}
	if len(text) == 0 || text[0] == ' ' || text[len(text)-1] == ' ' || bytes.IndexByte(text, w.opts.Delimiter) >= 0 ||
		bytes.ContainsAny(text, "\"\r\n\t") || bytes.HasPrefix(text, []byte(byteOrderMark)) {
		w.quoted(text)
		return
	}
	w.buf = append(w.buf, text...)
}

func (w *Writer) quoted(text []byte) {
	w.buf = append(w.buf, '"')
	for {
		i := bytes.IndexByte(text, '"')
		if i < 0 {
			break
		}
		w.buf = append(w.buf, text[:i+1]...)
		w.buf = append(w.buf, '"')
		text = text[i+1:]
	}
	w.buf = append(w.buf, text...)
	w.buf = append(w.buf, '"')
}
