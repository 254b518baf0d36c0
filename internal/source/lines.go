package source

import (
	"bufio"
	"bytes"
	"io"
	"strings"

	"dynaferry/internal/codec"
	"dynaferry/internal/codec/csv"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/codec/ion"
	"dynaferry/internal/codec/json"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// newReader chooses the codec of a decompressed stream.
func newReader(r io.Reader, form string, spec Spec, reject codec.Rejects) (codec.Reader, error) {
	switch form {
	case CSV:
		return newCSV(r, spec, reject)
	case Ion:
		return ion.NewReader(r, ion.ReaderOptions{Rejects: reject}), nil
	case DeadLetters:
		return &deadReader{newLineReader(r), reject}, nil
	case JSON, DynamoDBJSON:
	default:
		return nil, fault.New(fault.User, "no reader for the form %q", form)
	}
	if spec.Kind == KindExport || spec.Kind == KindDataset && form == DynamoDBJSON {
		return ddbjson.NewReader(r, ddbjson.ReaderOptions{Rejects: reject}), nil
	}
	buffered := bufio.NewReaderSize(r, guessBytes)
	start, err := peek(buffered)
	if err != nil {
		return nil, err
	}
	g := spec.guess(start, form)
	if g.dynamo && g.lines {
		return ddbjson.NewReader(withoutMark(buffered, start), ddbjson.ReaderOptions{Shape: g.shape, Rejects: reject}), nil
	}
	if g.dynamo {
		return json.NewReader(buffered, json.ReaderOptions{DynamoDB: &g.shape, Replies: g.replies, Rejects: reject}), nil
	}
	types, err := typeHints(spec.Types)
	if err != nil {
		return nil, err
	}
	return json.NewReader(buffered, json.ReaderOptions{Types: types, Rejects: reject}), nil
}

// peek returns the beginning of a JSON stream and refuses what is none by its first bytes.
func peek(r *bufio.Reader) ([]byte, error) {
	start, err := r.Peek(guessBytes)
	if err != nil && err != io.EOF && len(start) == 0 {
		return nil, err
	}
	if bytes.HasPrefix(start, []byte{0xff, 0xfe}) || bytes.HasPrefix(start, []byte{0xfe, 0xff}) {
		return nil, fault.Hint(fault.New(fault.Corrupt, "json: the file is UTF-16"), "convert it with iconv -f UTF-16 -t UTF-8")
	}
	return start, nil
}

// guess tells how a JSON stream that begins with start is read. A plan keeps to the rule that it was made with.
func (s *Spec) guess(start []byte, form string) guess {
	switch {
	case s.Kind == KindDataset: // of ours: its history knows
		return guess{}
	case s.Guess == 0 && looksWrapped(start):
		return guess{dynamo: true, shape: ddbjson.Wrapped, lines: true}
	case s.Guess == 0:
		return guess{dynamo: form == DynamoDBJSON, shape: ddbjson.Bare, lines: true}
	case s.Form == JSON: // somebody said so
		return guess{}
	}
	return guessJSON(start, form)
}

// byteOrderMark is what Windows programs put in front of UTF-8.
const byteOrderMark = "\ufeff"

// withoutMark is r, which begins with start, with blanks in place of a byte order mark, so that offsets stay true.
func withoutMark(r *bufio.Reader, start []byte) io.Reader {
	if !bytes.HasPrefix(start, []byte(byteOrderMark)) {
		return r
	}
	_, _ = r.Discard(len(byteOrderMark)) // they have been peeked at
	return io.MultiReader(strings.NewReader("   "), r)
}

// newCSV merges what the file's own history, the user and the defaults say of its columns.
func newCSV(r io.Reader, spec Spec, reject codec.Rejects) (codec.Reader, error) {
	o := csv.ReaderOptions{Header: spec.CSV.Header, Nulls: spec.CSV.Nulls, QuotedIsText: spec.CSV.Exact, FormulaSafe: spec.CSV.FormulaSafe,
		Rejects: reject, Types: map[string]csv.Spec{}}
	if spec.CSV.Delimiter != "" {
		o.Delimiter = spec.CSV.Delimiter[0]
	}
	switch {
	case spec.CSV.Cells == "ddbjson":
		o.Default = csv.JSON
	case spec.CSV.Infer:
		o.Default = csv.Infer
	}
	for _, types := range []map[string]string{spec.CSV.Types, spec.Types} {
		for name, text := range types {
			t, err := csv.ParseSpec(text)
			if err != nil {
				return nil, err
			}
			o.Types[name] = t
		}
	}
	return csv.NewReader(r, o), nil
}

// parquetTypes are the wishes for foreign Parquet files.
func parquetTypes(spec Spec) map[string]string { return spec.Types }

// looksWrapped tells whether a stream begins with {"Item":{, as lines of exports do.
func looksWrapped(start []byte) bool {
	for _, token := range []string{"{", `"Item"`, ":", "{"} {
		start = bytes.TrimLeft(start, " \t\r\n"+byteOrderMark)
		rest, ok := bytes.CutPrefix(start, []byte(token))
		if !ok {
			return false
		}
		start = rest
	}
	return true
}

func typeHints(types map[string]string) (map[string]item.Type, error) {
	hints := map[string]item.Type{}
	for name, text := range types {
		for t := item.S; t <= item.BS; t++ {
			if t.String() == text {
				hints[name] = t
			}
		}
		if _, ok := hints[name]; !ok && text != "json" {
			return nil, fault.Hint(fault.New(fault.User, "type %q of %q is none of DynamoDB's", text, name),
				"types are S, N, B, BOOL, NULL, L, M, SS, NS, BS")
		}
	}
	return hints, nil
}

// lineReader yields lines of any length up to lineBytesMax with their numbers.
type lineReader struct {
	r      *bufio.Reader
	number int64
	buf    []byte
}

const lineBytesMax = 16 << 20

func newLineReader(r io.Reader) *lineReader { return &lineReader{r: bufio.NewReaderSize(r, 64<<10)} }

// next returns the next non-blank line without its end; the slice is valid until the next call.
func (l *lineReader) next() ([]byte, int64, error) {
	for {
		l.buf = l.buf[:0]
		for {
			part, err := l.r.ReadSlice('\n')
			l.buf = append(l.buf, part...)
			if len(l.buf) > lineBytesMax {
				return nil, 0, fault.New(fault.Limit, "line %d is longer than %d bytes", l.number+1, lineBytesMax)
			}
			if err == bufio.ErrBufferFull {
				continue
			}
			if err == io.EOF && len(l.buf) == 0 {
				return nil, 0, io.EOF
			}
			if err != nil && err != io.EOF {
				return nil, 0, err
			}
			break
		}
		l.number++
		if line := bytes.TrimSpace(l.buf); len(line) > 0 {
			return line, l.number, nil
		}
	}
}
