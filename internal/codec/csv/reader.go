package csv

import (
	"bytes"
	"io"
	"slices"
	"unicode/utf8"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// The defaults of ReaderOptions.
const (
	// RecordBytesMax holds the largest item (400 KB) of control characters as quoted DynamoDB JSON.
	RecordBytesMax = 4 << 20
	// BatchBytes is about the best for caches and small enough for many batches in flight.
	BatchBytes = 1 << 20
)

// ReaderOptions of a Reader. The zero value reads as DynamoDB's ImportTable does: comma, header in the file, every
// cell S, empty cells absent; but it stops at the first bad record.
type ReaderOptions struct {
	Delimiter byte // , ; : | tab or space; 0 is the comma
	// Header names the columns of a file that has no header line; then the first line is data.
	Header []string
	// Types says what columns hold. A name that is no column is an error of kind User.
	Types map[string]Spec
	// Default is for columns that Types does not name; "" is S.
	Default Spec
	// Nulls are cells that leave the attribute out, beside the empty cell: "NA", "NULL".
	Nulls []string
	// QuotedIsText takes quoted cells for text even when they are empty or one of Nulls: "" is the empty string and
	// nothing at all is absent. Without it quotes make no difference, as many programs quote everything.
	QuotedIsText bool
	// FormulaSafe takes one apostrophe away from text in front of = + - @ TAB CR, as WriterOptions.FormulaSafe has
	// put it there.
	FormulaSafe bool
	// Rejects receives bad records. When nil the first one ends reading with its error.
	Rejects codec.Rejects
	// RecordBytesMax bounds one record; longer ones are rejected. 0 is the default.
	RecordBytesMax int
	// BatchBytes is how large a batch becomes before it is returned. 0 is the default.
	BatchBytes int
}

// column is a column of the file with the Spec that holds for it.
type column struct {
	name string
	spec Spec
}

// Reader is a codec.Reader of CSV.
type Reader struct {
	win       *codec.Window
	opts      ReaderOptions
	delimiter byte
	columns   []column // nil before the header
	scan      scanner
	cells     cells
	err       error // sticky
}

// NewReader returns a reader over r, whose codec.Chunks are used when it has them. Wrong options are the error of the
// first Read.
func NewReader(r io.Reader, opts ReaderOptions) *Reader {
	if opts.RecordBytesMax == 0 {
		opts.RecordBytesMax = RecordBytesMax
	}
	if opts.BatchBytes == 0 {
		opts.BatchBytes = BatchBytes
	}
	if opts.Default == "" {
		opts.Default = Text
	}
	z := &Reader{win: codec.NewWindow(r), opts: opts, cells: newCells()}
	z.delimiter, z.err = checkDelimiter(opts.Delimiter)
	for _, spec := range opts.Types {
		if _, err := ParseSpec(string(spec)); err != nil && z.err == nil {
			z.err = err
		}
	}
	if _, err := ParseSpec(string(opts.Default)); err != nil && z.err == nil {
		z.err = err
	}
	z.scan = scanner{win: z.win, delimiter: z.delimiter, bytesMax: opts.RecordBytesMax}
	return z
}

// Header returns the columns' names once the first Read has returned.
func (r *Reader) Header() []string {
	var names []string
	for _, c := range r.columns {
		names = append(names, c.name)
	}
	return names
}

// Read implements codec.Reader.
func (r *Reader) Read(b *item.Batch) error {
	b.Reset()
	if r.err == nil && r.columns == nil {
		r.err = r.header()
	}
	b.FirstLine, b.Offset = r.win.Line(), r.win.Offset()
	r.cells.begin(b)
	for r.err == nil && len(b.Src) < r.opts.BatchBytes {
		r.err = r.record(b)
	}
	if len(b.Rows) > 0 {
		return nil
	}
	return r.err
}

// byteOrderMark may stand in front of UTF-8 from Windows programs.
const byteOrderMark = "\ufeff"

// header takes the columns' names from the options or the first record, and their Specs.
func (r *Reader) header() error {
	if err := r.win.AtLeast(len(byteOrderMark)); err != nil && err != io.EOF {
		return err
	}
	switch data := r.win.Bytes(); {
	case bytes.HasPrefix(data, []byte(byteOrderMark)):
		r.win.Advance(len(byteOrderMark))
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		err := r.at(fault.New(fault.Corrupt, "csv: the file is UTF-16"))
		return fault.Hint(err, "convert it with iconv -f UTF-16 -t UTF-8")
	}
	names := slices.Clone(r.opts.Header)
	for names == nil {
		n, err := r.scan.next()
		if err != nil {
			if _, bad := err.(*scanError); bad {
				err = r.at(err)
			}
			return err
		}
		if !r.scan.blank {
			if !utf8.Valid(r.win.Bytes()[:n]) {
				return r.at(fault.New(fault.Corrupt, "csv: invalid UTF-8 in the header"))
			}
			for i := range r.scan.cells {
				text, quoted := r.scan.text(i)
				if !quoted && bytes.IndexByte(text, '\r') >= 0 {
					// The whole file would be one header, and none of its records would be missed.
					return fault.Hint(r.at(fault.New(fault.Corrupt, "csv: the lines of the file end with CR alone")), `convert it with tr '\r' '\n'`)
				}
				if r.opts.FormulaSafe {
					text = withoutApostrophe(text)
				}
				names = append(names, string(text))
			}
		}
		if err := r.setColumns(names); err != nil {
			return err
		}
		r.win.AdvanceLines(n)
	}
	return r.setColumns(names)
}

func (r *Reader) setColumns(names []string) error {
	r.columns = nil
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			return r.at(fault.New(fault.Corrupt, "csv: column %q is there twice", name))
		}
		seen[name] = true
		spec, told := r.opts.Types[name]
		if !told {
			spec = r.opts.Default
		}
		r.columns = append(r.columns, column{name, spec})
	}
	if len(names) == 0 {
		return nil
	}
	for name := range r.opts.Types {
		if !seen[name] {
			return fault.Hint(r.at(fault.New(fault.User, "csv: a type is given for column %q, which is not there", name)),
				"the columns are %q", names)
		}
	}
	return nil
}

// at adds the place of the window's beginning.
func (r *Reader) at(err error) error {
	return fault.At(fault.As(fault.Corrupt, err), fault.Place{Line: r.win.Line(), Offset: r.win.Offset()})
}

// record reads one record.
func (r *Reader) record(b *item.Batch) error {
	n, err := r.scan.next()
	if bad, ok := err.(*scanError); ok {
		return r.badLine(bad)
	}
	if err != nil {
		return err
	}
	if r.scan.blank {
		r.win.AdvanceLines(n)
		return nil
	}
	raw := r.win.Bytes()[:n]
	if err := r.item(b, raw); err != nil {
		if err := r.reject(raw, err); err != nil {
			return err
		}
	}
	r.win.AdvanceLines(n)
	return nil
}

// item turns the scanned record into an item.
func (r *Reader) item(b *item.Batch, raw []byte) error {
	if len(r.scan.cells) != len(r.columns) {
		return fault.New(fault.Corrupt, "csv: record has %d cells, the header has %d", len(r.scan.cells), len(r.columns))
	}
	if !utf8.Valid(raw) {
		return r.invalidUTF8()
	}
	build := r.cells.build
	build.Begin(uint32(r.win.Line() - b.FirstLine))
	for i := range r.columns {
		c := &r.columns[i]
		text, quoted := r.scan.text(i)
		if r.absent(text, quoted, c.spec) {
			continue
		}
		build.Name(c.name)
		if r.opts.FormulaSafe && (c.spec == Text || c.spec == Infer) {
			if stripped := withoutApostrophe(text); len(stripped) < len(text) {
				build.String(stripped)
				continue
			}
		}
		if err := r.cells.value(text, quoted, c.spec); err != nil {
			build.Abort()
			return fault.At(err, fault.Place{Path: c.name})
		}
	}
	build.Finish()
	return nil
}

func (r *Reader) invalidUTF8() error {
	for i := range r.columns {
		if text, _ := r.scan.text(i); !utf8.Valid(text) {
			return fault.At(fault.New(fault.Corrupt, "csv: invalid UTF-8"), fault.Place{Path: r.columns[i].name})
		}
	}
	return fault.New(fault.Corrupt, "csv: invalid UTF-8")
}

// absent tells whether a cell leaves its attribute out.
func (r *Reader) absent(text []byte, quoted bool, spec Spec) bool {
	holdsText := spec == Text || spec == Infer || spec == Binary
	if quoted && r.opts.QuotedIsText && holdsText {
		return false
	}
	if len(text) == 0 {
		return true
	}
	for _, null := range r.opts.Nulls {
		if string(text) == null {
			return true
		}
	}
	return false
}

// withoutApostrophe undoes FormulaSafe.
func withoutApostrophe(text []byte) []byte {
	if len(text) > 0 && text[0] == '\'' && formula(text) {
		return text[1:]
	}
	return text
}

// reject hands a record over with the line and offset of its beginning.
func (r *Reader) reject(raw []byte, err error) error {
	place := fault.Place{Line: r.win.Line(), Offset: r.win.Offset(), Path: fault.PlaceOf(err).Path}
	err = fault.At(err, fault.Place{Line: place.Line, Offset: place.Offset})
	if r.opts.Rejects == nil {
		return err
	}
	return r.opts.Rejects(codec.Reject{Place: place, Raw: raw, Err: err})
}

// badLine rejects the line that a record without an end begins on. Reading goes on at the next line, since a quote
// that is not closed would otherwise take good records with it.
func (r *Reader) badLine(bad *scanError) error {
	data := r.win.Bytes()
	raw := data[:min(len(data), r.opts.RecordBytesMax)]
	if i := bytes.IndexByte(raw, '\n'); i >= 0 {
		raw = raw[:i+1]
	}
	if err := r.reject(raw, fault.New(bad.kind, "csv: %s", bad.what)); err != nil {
		return err
	}
	return r.win.SkipLine()
}
