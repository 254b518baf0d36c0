package csv

import (
	"bytes"
	"fmt"
	"io"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
)

// scanner cuts the record at the front of a window into cells.
type scanner struct {
	win       *codec.Window
	delimiter byte
	bytesMax  int
	cells     []span
	blank     bool   // the record is a blank line
	plain     []byte // scratch for cells with doubled quotes
}

// span is a cell's content in the window, quotes not included.
type span struct {
	start, end      int
	quoted, doubled bool
}

// scanError says why the front of the window is no record.
type scanError struct {
	kind fault.Kind
	what string
}

// Error implements error.
func (e *scanError) Error() string { return "csv: " + e.what }

func (s *scanner) tooLong() error {
	return &scanError{fault.Limit, fmt.Sprintf("record is longer than %d bytes", s.bytesMax)}
}

// next finds the record's cells and returns its length, line end included. The window is not advanced. Errors are
// io.EOF behind the last record, *scanError, and those of the stream.
func (s *scanner) next() (int, error) {
	s.cells, s.blank = s.cells[:0], false
	seen := 0
	for {
		data := s.win.Bytes()
		end := bytes.IndexByte(data[seen:], '\n')
		if end < 0 {
			if seen = len(data); seen > s.bytesMax {
				return s.quotedRecord()
			}
			err := s.win.More()
			if err == nil {
				continue
			}
			if err != io.EOF || seen == 0 {
				return 0, err
			}
			return s.line(s.win.Bytes(), seen)
		}
		return s.line(data[:seen+end], seen+end+1)
	}
}

// line cuts a line without its line feed; n is the length with it.
func (s *scanner) line(line []byte, n int) (int, error) {
	if bytes.IndexByte(line, '"') >= 0 {
		return s.quotedRecord()
	}
	if n > s.bytesMax {
		return 0, s.tooLong()
	}
	if len(line) > 0 && line[len(line)-1] == '\r' {
		line = line[:len(line)-1]
	}
	if len(line) == 0 {
		s.blank = true
		return n, nil
	}
	start := 0
	for {
		i := bytes.IndexByte(line[start:], s.delimiter)
		if i < 0 {
			s.cells = append(s.cells, span{start: start, end: len(line)})
			return n, nil
		}
		s.cells = append(s.cells, span{start: start, end: start + i})
		start += i + 1
	}
}

// quotedRecord is next for records with quotes, which may hold line feeds.
func (s *scanner) quotedRecord() (int, error) {
	at := 0
	for {
		c, err := s.byteAt(at)
		if err != nil && err != io.EOF {
			return 0, err
		}
		var cell span
		if err == nil && c == '"' {
			cell, at, err = s.quotedCell(at)
		} else {
			cell, at, err = s.plainCell(at)
		}
		if err != nil {
			return 0, err
		}
		s.cells = append(s.cells, cell)
		c, err = s.byteAt(at)
		switch {
		case err != nil && err != io.EOF:
			return 0, err
		case err == nil && c == s.delimiter:
			at++
			continue
		case err == nil && c == '\r': // behind a quoted cell; a line feed follows, or nothing
			at = min(at+2, len(s.win.Bytes()))
		case err == nil:
			at++
		}
		if at > s.bytesMax {
			return 0, s.tooLong()
		}
		return at, nil
	}
}

// byteAt returns a byte of the window, which grows up to it.
func (s *scanner) byteAt(i int) (byte, error) {
	for i >= len(s.win.Bytes()) {
		if i > s.bytesMax {
			return 0, s.tooLong()
		}
		if err := s.win.More(); err != nil {
			return 0, err
		}
	}
	return s.win.Bytes()[i], nil
}

// plainCell reads an unquoted cell up to the delimiter or line end behind it.
func (s *scanner) plainCell(start int) (span, int, error) {
	for at := start; ; at++ {
		c, err := s.byteAt(at)
		if err != nil && err != io.EOF {
			return span{}, 0, err
		}
		switch {
		case err == io.EOF || c == '\n':
			end := at
			if end > start && s.win.Bytes()[end-1] == '\r' {
				end--
			}
			return span{start: start, end: end}, at, nil
		case c == s.delimiter:
			return span{start: start, end: at}, at, nil
		case c == '"':
			return span{}, 0, &scanError{fault.Corrupt, "quote inside an unquoted cell"}
		}
	}
}

// quotedCell reads a cell from its opening to behind its closing quote.
func (s *scanner) quotedCell(start int) (span, int, error) {
	cell := span{start: start + 1, quoted: true}
	for at := start + 1; ; {
		data := s.win.Bytes()
		i := -1
		if at < len(data) {
			i = bytes.IndexByte(data[at:], '"')
		}
		if i < 0 {
			at = len(data)
			if _, err := s.byteAt(at); err == io.EOF {
				return cell, 0, &scanError{fault.Corrupt, "quoted cell does not end"}
			} else if err != nil {
				return cell, 0, err
			}
			continue
		}
		at += i + 1
		c, err := s.byteAt(at)
		if err == nil && c == '"' {
			cell.doubled = true
			at++
			continue
		}
		cell.end = at - 1
		if err == nil && c == '\r' {
			if next, nextErr := s.byteAt(at + 1); nextErr == io.EOF || nextErr == nil && next == '\n' {
				return cell, at, nil
			}
		}
		if err == io.EOF || err == nil && (c == '\n' || c == s.delimiter) {
			return cell, at, nil
		}
		if err == nil {
			err = &scanError{fault.Corrupt, "text behind a closing quote"}
		}
		return cell, 0, err
	}
}

// text returns a cell's content and whether it was quoted; valid until the next call.
func (s *scanner) text(i int) (text []byte, quoted bool) {
	cell := s.cells[i]
	text = s.win.Bytes()[cell.start:cell.end]
	if !cell.doubled {
		return text, cell.quoted
	}
	s.plain = s.plain[:0]
	for {
		i := bytes.IndexByte(text, '"')
		if i < 0 {
			return append(s.plain, text...), true
		}
		s.plain = append(s.plain, text[:i+1]...)
		text = text[i+2:]
	}
}
