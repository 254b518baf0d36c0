package ion

import (
	"io"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// ChangeReader yields the changes of an incremental export:
// $ion_1_0 {Record:{Keys:{...},Metadata:{WriteTimestampMicros:1.},OldImage:{...},NewImage:{...}}}. It is a
// codec.ChangeReader; what Reader says of text, binary and lists holds for it.
type ChangeReader struct{ records *Reader }

var _ codec.ChangeReader = (*ChangeReader)(nil)

// NewChangeReader returns a ChangeReader over r.
func NewChangeReader(r io.Reader, opts ReaderOptions) *ChangeReader {
	return &ChangeReader{NewReader(r, opts)}
}

// ReadChanges implements codec.ChangeReader.
func (c *ChangeReader) ReadChanges(b *item.Changes) error {
	r := c.records
	b.Reset()
	b.FirstLine, b.Offset = r.line, r.win.Offset()
	r.mapper.begin(&b.Batch)
	r.mapper.changes = b
	for r.err == nil && len(b.Src) < r.opts.BatchBytes {
		r.err = r.step()
	}
	if len(b.List) > 0 {
		return nil
	}
	return r.err
}

const wrapChange = "each record is to be $ion_1_0 {Record:{Keys:{...},Metadata:{...},NewImage:{...}}}"

// change takes {Record:{...}}, which c has just returned as v.
func (m *mapper) change(c cursor, v *value, line uint32) error {
	switch {
	case v.notes > 0:
		return m.refuse(v.note.at, corrupt("the record is annotated with %.40q", v.note.b))
	case v.kind != kindStruct || v.null:
		return m.refuse(v.at, fault.Hint(corrupt("the record is %s, not {Record:{...}}", described(v)), wrapChange))
	}
	change := item.Change{Key: item.NoImage, New: item.NoImage, Old: item.NoImage, Line: line}
	records := 0
	err := m.fields(c, func(name string) error {
		switch {
		case name == "Item":
			return m.refuse(m.v.field.at, corrupt("the record is an item, as full exports have them, not a change"))
		case name != "Record" || records > 0:
			return m.refuse(m.v.field.at, fault.Hint(corrupt("the record's field is %.40q, want one Record", name), wrapChange))
		case m.v.kind != kindStruct || m.v.null || m.v.notes > 0:
			return m.refuse(m.v.at, corrupt("the Record is %s, not a struct", described(&m.v)))
		}
		records++
		return m.fields(c, func(name string) error { return m.part(c, name, line, &change) })
	})
	if err != nil {
		return err
	}
	switch {
	case records == 0:
		return fault.Hint(corrupt("the record has no field Record"), wrapChange)
	case change.Key == item.NoImage:
		return corrupt("the change has no Keys")
	case m.batch.Item(int(change.Key)).Count(0) == 0:
		return corrupt("the change's Keys are empty")
	}
	m.changes.List = append(m.changes.List, change)
	return nil
}

// fields hands each field of the struct that c has just returned to take, which has to read to its value's end.
func (m *mapper) fields(c cursor, take func(name string) error) error {
	c.enter(&m.v)
	var seen []string
	for {
		m.v.expect = nil
		more, err := c.next(&m.v)
		if err != nil || !more {
			return err
		}
		if m.v.field.unknown {
			return m.refuse(m.v.field.at, corrupt("the record's field has no known name"))
		}
		name := string(m.v.field.b)
		for _, before := range seen {
			if before == name {
				return m.refuse(m.v.field.at, corrupt("the record has two fields %.40q", name))
			}
		}
		seen = append(seen, name)
		if err := take(name); err != nil {
			return err
		}
	}
}

// part takes one field of a Record.
func (m *mapper) part(c cursor, name string, line uint32, change *item.Change) error {
	switch name {
	case "Keys":
		return m.image(c, line, &m.keys, &change.Key)
	case "NewImage":
		return m.image(c, line, &m.shape, &change.New)
	case "OldImage":
		return m.image(c, line, &m.shape, &change.Old)
	case "Metadata":
		if m.v.kind != kindStruct || m.v.null {
			return m.refuse(m.v.at, corrupt("the Metadata are %s, not a struct", described(&m.v)))
		}
		return m.fields(c, func(name string) error { return m.metadata(c, name, change) })
	}
	return m.passField(c)
}

func (m *mapper) metadata(c cursor, name string, change *item.Change) error {
	v := &m.v
	if name != "WriteTimestampMicros" {
		return m.passField(c)
	}
	if v.null || v.kind != kindDecimal && v.kind != kindInt {
		return m.refuse(v.at, corrupt("WriteTimestampMicros is %s, not a decimal", described(v)))
	}
	micros, err := item.ParseMicros(v.number)
	if err != nil {
		return m.refuse(v.at, fault.As(fault.Corrupt, err))
	}
	change.Micros = micros
	return nil
}

// passField passes over a value that means nothing to us.
func (m *mapper) passField(c cursor) error {
	if m.v.kind.container() && !m.v.null {
		return pass(c, &m.v)
	}
	return nil
}

// image takes a struct of attributes as a row; a null is like its absence.
func (m *mapper) image(c cursor, line uint32, s *shape, into *int32) error {
	v := &m.v
	switch {
	case v.notes > 0:
		return m.refuse(v.note.at, corrupt("an image is annotated with %.40q", v.note.b))
	case v.null:
		return nil
	case v.kind != kindStruct:
		return m.refuse(v.at, corrupt("an image is %s, not a struct", described(v)))
	}
	m.tape0 = len(m.batch.Tape)
	m.build.Begin(line)
	m.open = true
	c.enter(v)
	if err := m.members(c, 0, s); err != nil {
		return err // the caller wants the path before it aborts
	}
	m.build.Finish()
	m.open = false
	m.tape0 = len(m.batch.Tape)
	*into = int32(len(m.batch.Rows) - 1)
	return nil
}
