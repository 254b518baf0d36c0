package csv

import (
	"slices"
	"strings"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Spec says what the cells of a column hold.
type Spec string

// The Specs. In columns of N, BOOL, B, sets, L and M a cell that begins with '{' may be DynamoDB JSON of any type as
// well, which no number, truth value or base64 text begins with.
const (
	Text   Spec = "S"
	Number Spec = "N"     // decimal digits; white space around is ignored
	Bool   Spec = "BOOL"  // true or false in any case; white space around is ignored
	Binary Spec = "B"     // padded standard base64
	SS     Spec = "SS"    // JSON array of strings, or DynamoDB JSON
	NS     Spec = "NS"    // JSON array of numbers or strings, or DynamoDB JSON
	BS     Spec = "BS"    // JSON array of base64 strings, or DynamoDB JSON
	List   Spec = "L"     // plain JSON array, or DynamoDB JSON
	Map    Spec = "M"     // plain JSON object, unless the cell reads as DynamoDB JSON
	JSON   Spec = "json"  // DynamoDB JSON of any type: {"N":"1"}
	Infer  Spec = "infer" // unquoted JSON numbers are N, unquoted true and false BOOL, anything else is S
)

// Specs lists them for help texts.
func Specs() []Spec {
	return []Spec{Text, Number, Bool, Binary, SS, NS, BS, List, Map, JSON, Infer}
}

// ParseSpec reads a Spec. Errors are of kind User.
func ParseSpec(text string) (Spec, error) {
	if s := Spec(text); slices.Contains(Specs(), s) {
		return s, nil
	}
	return "", fault.Hint(fault.New(fault.User, "unknown column type %q", text),
		"use S, N, BOOL, B, SS, NS, BS, L, M, json or infer")
}

// Column is one column of a file.
type Column struct {
	Name string // the attribute's
	// Type says how cells are written and are to be read. "" writes as S for text and the like by each value, and
	// counts as S in Losses.
	Type Spec
}

// TypesOf returns what ReaderOptions.Types must be to read a file with these columns.
func TypesOf(columns []Column) map[string]Spec {
	types := map[string]Spec{}
	for _, c := range columns {
		if c.Type != "" {
			types[c.Name] = c.Type
		}
	}
	return types
}

// Survey learns in a first pass which columns a set of items needs, and as what they lose nothing. The zero value is
// ready.
type Survey struct {
	seen map[string]types
	bare bool // an item without attributes was seen
}

// types is a set of item types, a bit each.
type types uint16

// Observe looks at an item.
func (s *Survey) Observe(it item.Item) {
	if s.seen == nil {
		s.seen = map[string]types{}
	}
	s.bare = s.bare || len(it.Tape) == 1
	for at := 1; at < len(it.Tape); at += 1 + int(it.Tape[at+1].Skip) {
		name, bit := it.Text(at), types(1)<<it.Tape[at+1].Type
		if have := s.seen[string(name)]; have&bit == 0 {
			s.seen[string(name)] = have | bit
		}
	}
}

// Merge adds what another survey has seen.
func (s *Survey) Merge(other *Survey) {
	if s.seen == nil {
		s.seen = map[string]types{}
	}
	s.bare = s.bare || other.bare
	for name, t := range other.seen {
		s.seen[name] |= t
	}
}

// Columns returns the columns: those named first, then the others by name. It depends on the items alone and not on
// their order. A column is S, N, BOOL or B when the text of its cells tells their types, else json.
func (s *Survey) Columns(first ...string) []Column {
	var columns []Column
	for name, t := range s.seen {
		columns = append(columns, Column{name, t.spec()})
	}
	rank := func(c Column) int {
		if i := slices.Index(first, c.Name); i >= 0 {
			return i
		}
		return len(first)
	}
	slices.SortFunc(columns, func(a, b Column) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	if len(columns) == 1 && s.bare {
		columns[0].Type = JSON // a record of one empty cell is blank or "", and text needs the latter
	}
	return columns
}

func (t types) spec() Spec {
	const plain = 1<<item.S | 1<<item.N | 1<<item.B | 1<<item.BOOL
	switch t & plain {
	case 1 << item.S:
		if t == 1<<item.S { // beside text, DynamoDB JSON could not be told from text that looks like it
			return Text
		}
	case 1 << item.N:
		return Number
	case 1 << item.BOOL:
		return Bool
	case 1 << item.B:
		return Binary
	}
	return JSON
}

// delimiters are those that DynamoDB's ImportTable takes (API CsvOptions).
const delimiters = ",;:|\t "

// checkDelimiter returns the delimiter to use, a comma for 0.
func checkDelimiter(d byte) (byte, error) {
	if d == 0 {
		return ',', nil
	}
	if strings.IndexByte(delimiters, d) < 0 {
		return 0, fault.Hint(fault.New(fault.User, "%q is no delimiter", string(rune(d))), `use one of , ; : | tab and space`)
	}
	return d, nil
}

// formula tells whether a spreadsheet would take text for a formula once the apostrophes in front are gone. Texts
// that have apostrophes already are counted too, so that removing one always restores what was written.
func formula(text []byte) bool {
	for len(text) > 0 && text[0] == '\'' {
		text = text[1:]
	}
	return len(text) > 0 && strings.IndexByte("=+-@\t\r", text[0]) >= 0
}
