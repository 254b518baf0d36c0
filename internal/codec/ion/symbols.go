package ion

import (
	"bytes"

	"dynaferry/internal/fault"
)

// systemSymbols is the system symbol table of Ion 1.0; their ids begin at 1.
var systemSymbols = [...]string{"$ion", "$ion_1_0", "$ion_symbol_table", "name", "version", "imports", "symbols", "max_id",
	"$ion_shared_symbol_table"}

// localFirst is the first id that a local symbol table may give.
const localFirst = len(systemSymbols) + 1

// Bounds of a stream's symbols, above any table of attribute names: appending tables must not eat the memory.
const (
	symbolsMax     = 1 << 20
	symbolBytesMax = 64 << 20
)

// symbols is the current symbol table of a stream.
type symbols struct {
	texts []text // by id; 0 is the symbol without text
	bytes int
}

func newSymbols() *symbols {
	s := &symbols{texts: []text{{unknown: true}}}
	for _, name := range systemSymbols {
		s.texts = append(s.texts, text{b: []byte(name), plain: true})
	}
	return s
}

// reset returns to the system symbols, as a version marker does.
func (s *symbols) reset() { s.texts, s.bytes = s.texts[:localFirst], 0 }

// find returns the text of an id.
func (s *symbols) find(id uint64) (text, error) {
	if id >= uint64(len(s.texts)) {
		return text{}, corrupt("symbol $%d is not in the symbol table", id)
	}
	return s.texts[id], nil
}

// add gives the next id to t.
func (s *symbols) add(t text) error {
	if len(s.texts) >= symbolsMax || s.bytes+len(t.b) > symbolBytesMax {
		return fault.New(fault.Limit, "ion: more than %d symbols or %d bytes of them", symbolsMax, symbolBytesMax)
	}
	s.bytes += len(t.b)
	t.b = bytes.Clone(t.b)
	s.texts = append(s.texts, t)
	return nil
}

// isTable tells whether a top-level value is a local symbol table.
func isTable(v *value) bool {
	return v.kind == kindStruct && v.notes > 0 && string(v.note.b) == "$ion_symbol_table"
}

// read takes a local symbol table: the struct v that c has just returned. When it makes no sense only the system symbols
// are left, so that no id gets a wrong text.
func (s *symbols) read(c cursor, v *value) error {
	var fresh []text
	var appends bool
	err := readTable(c, v, &fresh, &appends)
	if err == errShort {
		return err
	}
	if err != nil || !appends {
		s.reset()
	}
	for i := 0; i < len(fresh) && err == nil; i++ {
		if err = s.add(fresh[i]); err != nil {
			s.reset()
		}
	}
	return err
}

// readTable collects the symbols of a table, and whether they come behind those of the one before.
func readTable(c cursor, v *value, fresh *[]text, appends *bool) error {
	if v.null {
		return nil
	}
	v.expect = nil
	seen := map[string]bool{}
	c.enter(v)
	for {
		more, err := c.next(v)
		if err != nil || !more {
			return err
		}
		name := string(v.field.b)
		if name == "symbols" || name == "imports" {
			if seen[name] {
				return corrupt("a symbol table with two fields %s", name)
			}
			seen[name] = true
		}
		switch {
		case name == "symbols" && v.kind == kindList && !v.null:
			err = readSymbols(c, v, fresh)
		case name == "imports" && v.kind == kindSymbol && string(v.text.b) == "$ion_symbol_table":
			*appends = true
		case name == "imports" && v.kind == kindList && !v.null:
			err = refuseImports(c, v)
		case v.kind.container() && !v.null:
			err = pass(c, v)
		}
		if err != nil {
			return err
		}
	}
}

// readSymbols takes the list of texts. What is no string leaves its id without text.
func readSymbols(c cursor, v *value, fresh *[]text) error {
	c.enter(v)
	for {
		more, err := c.next(v)
		if err != nil || !more {
			return err
		}
		switch {
		case len(*fresh) >= symbolsMax:
			return fault.New(fault.Limit, "ion: more than %d symbols", symbolsMax)
		case v.kind == kindString && !v.null:
			*fresh = append(*fresh, text{b: bytes.Clone(v.text.b), plain: v.text.plain})
			continue
		case v.kind.container() && !v.null:
			if err := pass(c, v); err != nil {
				return err
			}
		}
		*fresh = append(*fresh, text{unknown: true})
	}
}

// refuseImports takes the list of shared tables. None but the system's can be had here.
func refuseImports(c cursor, v *value) error {
	c.enter(v)
	for {
		more, err := c.next(v)
		if err != nil || !more {
			return err
		}
		if !v.kind.container() || v.null {
			continue
		}
		if v.kind != kindStruct {
			if err := pass(c, v); err != nil {
				return err
			}
			continue
		}
		if err := refuseImport(c, v); err != nil {
			return err
		}
	}
}

func refuseImport(c cursor, v *value) error {
	c.enter(v)
	for {
		more, err := c.next(v)
		if err != nil || !more {
			return err
		}
		named := string(v.field.b) == "name" && v.kind == kindString && !v.null && len(v.text.b) > 0
		if named && string(v.text.b) != "$ion" {
			return fault.Hint(fault.New(fault.Unsupported, "ion: the shared symbol table %.100q is not here", v.text.b),
				"write the file anew without shared symbol tables")
		}
		if v.kind.container() && !v.null {
			if err := pass(c, v); err != nil {
				return err
			}
		}
	}
}
