package ion

import (
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// mapper turns Ion values into an item of a batch.
type mapper struct {
	build *item.Builder
	batch *item.Batch
	tape0 int
	v     value // the one that is looked at
	at    int   // where what was refused begins, -1 when the cursor knows

	shape  shape // of the items
	keys   shape // of a change's
	learnt int

	changes *item.Changes // records are changes, not items
	mark    mark          // what a change that is refused takes back
	open    bool          // an image has been begun
}

// mark is how far a batch was filled.
type mark struct{ src, tape, rows int }

// setNotes are the annotations that make a list a set.
var setNotes = [...]string{"$dynamodb_SS", "$dynamodb_NS", "$dynamodb_BS"}

// begin makes b the batch that items go to.
func (m *mapper) begin(b *item.Batch) {
	m.batch = b
	m.build.Reset(b)
}

// record appends the item of one top-level value, which c has just returned, or takes everything back.
func (m *mapper) record(c cursor, v *value, line uint32) error {
	m.tape0, m.at = len(m.batch.Tape), -1
	if m.changes != nil {
		m.mark, m.open = mark{len(m.batch.Src), len(m.batch.Tape), len(m.batch.Rows)}, false
		return m.change(c, v, line)
	}
	m.open = true
	m.build.Begin(line)
	if err := m.wrapper(c, v); err != nil {
		return err // the caller wants the path before it aborts
	}
	m.build.Finish()
	return nil
}

// abort takes back what a refused record has left in the batch.
func (m *mapper) abort() {
	if m.open {
		m.build.Abort()
	}
	if m.changes != nil {
		b := m.batch
		b.Src, b.Tape, b.Rows = b.Src[:m.mark.src], b.Tape[:m.mark.tape], b.Rows[:m.mark.rows]
	}
}

// wrapper takes {Item:{...}}.
func (m *mapper) wrapper(c cursor, v *value) error {
	switch {
	case v.notes > 0:
		return m.refuse(v.note.at, fault.New(fault.Corrupt, "ion: the record is annotated with %.40q", v.note.b))
	case v.kind != kindStruct || v.null:
		return m.refuse(v.at, fault.Hint(fault.New(fault.Corrupt, "ion: the record is %s, not {Item:{...}}", described(v)), wrapIt))
	}
	c.enter(v)
	v = &m.v
	items := 0
	for {
		v.expect = nil
		more, err := c.next(v)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if err := m.wrapped(v, items); err != nil {
			return err
		}
		items++
		c.enter(v)
		if err := m.members(c, 0, &m.shape); err != nil {
			return err
		}
	}
	if items == 0 {
		return fault.Hint(corrupt("the record has no field Item"), wrapIt)
	}
	return nil
}

const wrapIt = "each record is to be $ion_1_0 {Item:{...}}"

// wrapped tells whether the field that was read is the record's Item.
func (m *mapper) wrapped(v *value, items int) error {
	name := v.field.b
	switch {
	case v.field.unknown:
		return m.refuse(v.field.at, corrupt("the record's field has no known name"))
	case string(name) == "Record" && items == 0:
		return m.refuse(v.field.at, fault.Hint(fault.New(fault.Unsupported,
			"ion: the record is a change of an incremental export, which is no item of a table"),
			"name the export by its manifest or folder, as an overlay or for import"))
	case string(name) != "Item":
		return m.refuse(v.field.at, fault.Hint(corrupt("the record's field is %.40q, want Item", name), wrapIt))
	case items > 0:
		return m.refuse(v.field.at, corrupt("the record has two fields Item"))
	case v.notes > 0:
		return m.refuse(v.note.at, corrupt("the item is annotated with %.40q", v.note.b))
	case v.kind != kindStruct || v.null:
		return m.refuse(v.at, corrupt("the item is %s, not a struct", described(v)))
	}
	return nil
}

// refuse remembers where what is refused begins.
func (m *mapper) refuse(at int, err error) error {
	m.at = at
	return err
}

// described names a value's type with its article.
func described(v *value) string {
	switch {
	case v.null && v.kind == kindNull:
		return "null"
	case v.null:
		return "null." + v.kind.String()
	case v.kind == kindInt:
		return "an int"
	}
	return "a " + v.kind.String()
}

// members takes the fields of an opened struct whose shape is given. Its values are at level+1.
func (m *mapper) members(c cursor, level int, s *shape) error {
	f := fields{shape: s, names: nameSet{open: len(m.batch.Tape) - 1}}
	v := &m.v
	for {
		v.field.at, v.expect, v.met = -1, f.expected(), false
		more, err := c.next(v)
		if err != nil && err != errShort && v.field.at >= 0 && !v.field.unknown {
			m.build.NameText(v.field.b) // for the path
		}
		if err != nil || !more {
			return err
		}
		if v.field.unknown {
			return m.refuse(v.field.at, corrupt("a field without known name"))
		}
		k, twice := f.name(m)
		if twice {
			return m.refuse(v.field.at, corrupt("duplicate attribute name"))
		}
		if v.kind.container() || v.notes > 0 || v.null {
			err = m.value(c, level+1, k.below())
		} else {
			err = m.single(level + 1)
		}
		if err != nil {
			return err
		}
	}
}

// single takes a value without annotations that is no container and no null.
func (m *mapper) single(level int) error {
	if level > item.NestingMax {
		return m.refuse(m.v.at, item.ErrNesting())
	}
	return m.scalar()
}

// value takes the value that was read, at a level; structs in it have shape s.
func (m *mapper) value(c cursor, level int, s *shape) error {
	v := &m.v
	switch {
	case level > item.NestingMax:
		return m.refuse(v.at, item.ErrNesting())
	case v.notes > 0:
		return m.set(c)
	case v.null:
		m.build.Null()
		return nil
	case v.kind == kindStruct:
		m.build.BeginMap()
		c.enter(v)
		if err := m.members(c, level, s); err != nil {
			return err
		}
		m.build.End()
		return nil
	case v.kind == kindList:
		m.build.BeginList()
		return m.elements(c, level, s)
	}
	return m.scalar()
}

// elements takes the values of a list that has been begun.
func (m *mapper) elements(c cursor, level int, s *shape) error {
	v := &m.v
	c.enter(v)
	for {
		more, err := c.next(v)
		if err != nil {
			return err
		}
		if !more {
			m.build.End()
			return nil
		}
		if err := m.value(c, level+1, s); err != nil {
			return err
		}
	}
}

// scalar takes a value that is no container and no null, whatever its annotations.
func (m *mapper) scalar() error {
	v := &m.v
	switch v.kind {
	case kindString, kindSymbol:
		switch {
		case v.text.unknown:
			return m.refuse(v.at, corrupt("a symbol without known text"))
		case v.text.plain:
			m.build.PlainString(v.text.b)
		default:
			m.build.String(v.text.b)
		}
	case kindDecimal, kindInt:
		if v.normal {
			m.build.NormalNumber(v.number)
			return nil
		}
		if err := m.build.Number(v.number); err != nil {
			return m.refuse(v.at, err)
		}
	case kindBlob:
		m.build.Binary(v.blob)
	case kindBool:
		m.build.Bool(v.truth)
	default:
		return m.foreign()
	}
	return nil
}

// foreign refuses a value of a type that no attribute has.
func (m *mapper) foreign() error {
	v := &m.v
	err := corrupt("%s has no DynamoDB type", described(v))
	switch v.kind {
	case kindFloat:
		err = fault.Hint(err, "write numbers as decimals: 1.5, 15d-1 or 2d3, never with e")
	case kindTimestamp:
		err = fault.Hint(err, "write times as strings or numbers")
	case kindClob:
		err = fault.Hint(err, "write bytes as a blob, text as a string")
	case kindSexp:
		err = fault.Hint(err, "write a list: [a,b]")
	}
	return m.refuse(v.at, err)
}

// set takes an annotated value, which must be a set.
func (m *mapper) set(c cursor) error {
	v := &m.v
	t := item.Type(0)
	for i, note := range setNotes {
		if string(v.note.b) == note && !v.note.unknown {
			t = item.SS + item.Type(i)
		}
	}
	switch {
	case t == 0:
		return m.refuse(v.note.at, fault.Hint(corrupt("the annotation %.40q means nothing to DynamoDB", v.note.b),
			"annotations are $dynamodb_SS, $dynamodb_NS and $dynamodb_BS"))
	case v.notes > 1:
		return m.refuse(v.note.at, corrupt("a set with %d annotations", v.notes))
	case v.kind != kindList || v.null:
		return m.refuse(v.at, corrupt("%s is annotated as a set of type %s, which a list alone can be", described(v), t))
	}
	m.build.BeginSet(t)
	c.enter(v)
	for {
		more, err := c.next(v)
		if err != nil {
			return err
		}
		if !more {
			m.build.End()
			return nil
		}
		if v.notes > 0 || v.null || memberOf(v.kind) != t {
			return m.refuse(v.at, corrupt("%s in a set of type %s", described(v), t))
		}
		if err := m.scalar(); err != nil {
			return err
		}
	}
}

// memberOf is the type of the set that values of a kind may be in.
func memberOf(k kind) item.Type {
	switch k {
	case kindString, kindSymbol:
		return item.SS
	case kindInt, kindDecimal:
		return item.NS
	case kindBlob:
		return item.BS
	}
	return 0
}
