package column

import (
	"cmp"
	"slices"
	"strings"

	"dynaferry/internal/item"
)

// MisfitCounter counts what lies in the Extra column of rows that have a schema, as the Shredder did that put it there:
// by column and reason. The Extra column alone tells it, so files that were made anew from others are counted at the
// price of that one column. Not for concurrent use.
type MisfitCounter struct {
	top    []*Field
	counts map[Misfit]uint64            // by path and reason, Count 0
	below  map[*Field]map[string]*Field // members by source, nil standing for the item
	over   overrides
	reader textReader
}

// NewMisfitCounter returns a counter at zero.
func NewMisfitCounter(s *Schema) *MisfitCounter {
	return &MisfitCounter{top: s.Fields, counts: map[Misfit]uint64{}, below: map[*Field]map[string]*Field{}}
}

// Add counts a run of rows. extra is the vector of their Extra column; errors are of kind Corrupt.
func (m *MisfitCounter) Add(extra *Vector) error {
	from := uint32(0)
	for _, end := range extra.Ends {
		var err error
		if m.over, err = m.over.parse(extra.Bytes[from:end]); err != nil {
			return err
		}
		for i := range m.over {
			if err := m.entry(&m.over[i]); err != nil {
				return err
			}
		}
		from = end
	}
	return nil
}

// Misfits returns the counts so far, sorted by path, then reason. What has no column counts as Capped, NULL apart, with
// the innermost holder that has one.
func (m *MisfitCounter) Misfits() []Misfit {
	out := make([]Misfit, 0, len(m.counts))
	for at, n := range m.counts {
		at.Count = n
		out = append(out, at)
	}
	slices.SortFunc(out, func(a, b Misfit) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}

func (m *MisfitCounter) entry(e *override) error {
	t, text, err := m.value(e.value)
	if err != nil {
		return err
	}
	var at *Field
	var path []byte
	for _, segment := range e.segments {
		if at != nil && at.Kind == List {
			at, path = at.Elem, append(path, "/*"...)
			continue
		}
		member := m.member(at, segment)
		if member == nil {
			m.count(path, missing(t))
			return nil
		}
		at, path = member, appendSegment(path, segment)
	}
	m.count(path, at.reason(t, text))
	return nil
}

func (m *MisfitCounter) member(holder *Field, source string) *Field {
	members, known := m.below[holder]
	if !known {
		fields := m.top
		if holder != nil {
			fields = holder.Fields
		}
		members = bySource(fields)
		m.below[holder] = members
	}
	return members[source]
}

func (m *MisfitCounter) count(path []byte, reason Reason) {
	m.counts[Misfit{Path: string(path), Reason: reason}]++
}

// value reads the type of a typed value and, where it is a text or number, its text.
func (m *MisfitCounter) value(typed []byte) (item.Type, []byte, error) {
	t := &m.reader
	t.src, t.at, t.depth = typed, 0, 0
	if err := t.expect('{'); err != nil {
		return 0, nil, err
	}
	descriptor, err := t.str()
	if err != nil {
		return 0, nil, err
	}
	kind := typeOf(descriptor)
	if kind != item.S && kind != item.N {
		return kind, nil, nil
	}
	if err := t.expect(':'); err != nil {
		return 0, nil, err
	}
	text, err := t.str()
	return kind, text, err
}

// missing is the reason of a value without column.
func missing(t item.Type) Reason {
	if t == item.NULL {
		return Null
	}
	return Capped
}

// reason says why a value of type t lies in Extra though f is its column.
func (f *Field) reason(t item.Type, text []byte) Reason {
	switch {
	case t == item.NULL:
		return Null
	case t != f.Type:
		return Conflict
	case f.Kind == Double:
		return Inexact
	case f.Kind == Date || f.Kind == Timestamp:
		if _, how := parseMoment(f, text); how != noMoment {
			return Inexact
		}
	}
	return Range
}
