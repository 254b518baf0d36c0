package column

import (
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// ShredOptions say by which schema a Shredder works.
type ShredOptions struct {
	// Schema fixes the columns: second rounds, partitioned writing, re-encoding. No Stats are kept then, and what has no
	// column lies in Extra, counted as Unknown with OnNew ToExtra, else as Capped.
	Schema *Schema
	// SchemaOptions apply without Schema; they must be those that Stats.Schema will be asked with at the commit.
	SchemaOptions
}

// Shredder turns items into columns. It walks each tape once, counts into its Stats on the way and appends to vectors.
//
// Without a fixed schema it works by what it has seen so far: columns come up as attributes do and number columns climb
// the ladder in place. Whenever a slab is taken the form of each column is settled by the Stats so far; if that differs
// from what the slab was gathered in (a majority flipped, a map's keys turned out to be data) the slab is
// re-shaped, which happens a few times a task at most. Slabs of one Shredder keep their columns' order, names
// and IDs; kinds may change from slab to slab, and columns are added behind their siblings.
//
// Use: Append until Rows or Bytes is large enough, Slab, write it, and again; Stats at the end. Not for
// concurrent use.
type Shredder struct {
	opts   ShredOptions
	stats  *Stats // nil with a fixed schema
	schema *Schema
	root   *col
	nextID int
	leaves int  // typed leaves
	limit  int  // leaves that may be typed
	full   bool // LeavesMax was reached: the columns stay what they are
	lent   bool // the columns' memory is lent to a Slab
	raw    int
	recent [recentSlots]*col // columns found last, by what is quickly seen of their names
	extra  extras
	space  []byte
	path   []byte
	order  []int
	err    error
}

// recentSlots are enough for the names that begin the different parts of different kinds of items.
const recentSlots = 256

// NewShredder returns a Shredder without rows.
func NewShredder(o ShredOptions) *Shredder {
	if o.LeavesMax <= 0 {
		o.LeavesMax = LeavesMax
	}
	s := &Shredder{opts: o}
	given := o.Schema
	if given == nil {
		s.stats = &Stats{}
		s.limit = 2 * o.LeavesMax // the first slab may try more columns than will stay
		given = s.stats.Schema(o.SchemaOptions)
	}
	s.build(given)
	return s
}

// build makes empty columns for a schema.
func (s *Shredder) build(schema *Schema) {
	s.schema = schema
	s.root = &col{closed: s.opts.Schema != nil || s.opts.Base != nil && s.opts.OnNew != Evolve}
	s.root.field.Spilled = schema.Spilled
	s.leaves = 0
	clear(s.recent[:])
	s.root.names = newNamer(schema.Extra)
	for _, name := range s.opts.Reserved {
		s.root.names.take(name)
	}
	for _, f := range schema.Fields {
		s.adopt(s.root, f)
	}
	if s.opts.Schema != nil {
		return
	}
	for _, given := range []*Schema{s.opts.Pinned, s.opts.Base} {
		if given != nil {
			for _, f := range given.Fields {
				s.fix(s.root.kids[f.Source], f, given == s.opts.Base)
			}
		}
	}
}

// adopt makes the column of a schema's field below parent.
func (s *Shredder) adopt(parent *col, f *Field) *col {
	c := &col{field: *f, id: f.ID, closed: parent.closed}
	c.field.Elem, c.field.Fields = nil, nil
	c.sync()
	c.place(parent)
	s.nextID = max(s.nextID, f.ID+1)
	if parent.field.Kind != List {
		parent.attach(c)
		parent.order = append(parent.order, c)
	}
	if s.opts.Schema != nil {
		c.fixed = true
	} else if f.Type == item.N {
		c.bins = make([]uint32, binDigits*binScales)
	}
	switch f.Kind {
	case List:
		c.asList()
		c.elem = s.adopt(c, f.Elem)
	case Struct:
		for _, member := range f.Fields {
			s.adopt(c, member)
		}
	default:
		s.leaves++
	}
	s.learn(c)
	return c
}

// learn sets the ladder to what the Stats know, when the column is rebuilt in mid-task.
func (s *Shredder) learn(c *col) {
	if s.stats == nil || s.stats.items == 0 || c.field.Type != item.N {
		return
	}
	var h histogram
	if c.parent.field.Type == item.NS {
		if n := s.known(c.parent); n != nil && n.more != nil {
			h = n.more.members
		}
	} else if n := s.known(c); n != nil {
		h = n.numbers()
	}
	for _, b := range h {
		c.digits, c.scale = max(c.digits, b.shape.digits()), max(c.scale, b.shape.scale())
		c.beyond = c.beyond || !b.shape.fits(rung{kind: Long}) && b.shape.scale() == 0
	}
}

// fix marks the columns whose form is given from outside.
func (s *Shredder) fix(c *col, f *Field, base bool) {
	if c == nil {
		return
	}
	c.fixed = true
	if base {
		c.closed = s.opts.OnNew != Evolve
	}
	if f.Elem != nil && c.elem != nil {
		s.fix(c.elem, f.Elem, base)
	}
	for _, member := range f.Fields {
		s.fix(c.kids[member.Source], member, base)
	}
}

func (c *col) attach(kid *col) {
	if c.kids == nil {
		c.kids = map[string]*col{}
	}
	c.kids[kid.field.Source] = kid
	if c.names == nil {
		c.names = newNamer()
	}
	if kid.field.Name != "" {
		c.names.take(kid.field.Name)
	}
}

// Rows is the number of rows since the last slab.
func (s *Shredder) Rows() int {
	if s.lent {
		return 0
	}
	return s.root.slots.n
}

// Bytes estimates the memory of the rows since the last slab.
func (s *Shredder) Bytes() int {
	if s.lent {
		return 0
	}
	return s.raw + s.root.slots.n*s.leaves
}

// Stats returns the counts of all items so far; it stays the Shredder's and is nil with a fixed schema.
func (s *Shredder) Stats() *Stats {
	if s.stats != nil {
		s.flush(s.root)
	}
	return s.stats
}

// Append adds one item as a row. The only error is that of OnNew Fail, of kind User, at the first item with an attribute
// that the data set has no column for; the Shredder is of no use then.
func (s *Shredder) Append(it item.Item) error {
	if s.lent {
		s.recycle()
	}
	s.root.slots.n++
	if s.stats != nil {
		s.stats.items++
	}
	s.raw += int(it.Tape[0].End - it.Tape[0].Off)
	s.members(s.root, it, 0)
	return s.err
}

func (s *Shredder) recycle() {
	s.root.clear()
	s.extra.reset()
	s.raw, s.lent = 0, false
}

// members appends the members of the map at index i to c. Which column a name belongs to is guessed from what stood
// there last time, or one further; only a wrong guess costs a look-up.
func (s *Shredder) members(c *col, it item.Item, i int) {
	var before *col
	guess := c.first
	tape, src := it.Tape[:i+int(it.Tape[i].Skip)], it.Src[:cap(it.Src)]
	for at := i + 1; at+1 < len(tape); {
		name, value := &tape[at], &tape[at+1]
		kid := guess
		if kid == nil || !kid.name.is(src, name) {
			if kid == nil || name.Flags&item.Escaped != 0 || kid.source != string(src[name.Off:name.End]) {
				if kid = s.find(c, guess, it, at); kid == nil {
					at += 1 + int(value.Skip)
					continue
				}
			}
			if guess == nil || kid != guess && kid != guess.next {
				if before == nil {
					c.first = kid
				} else {
					before.next = kid
				}
			}
		}
		if kid.text && value.Type == item.S && value.Flags&item.Escaped == 0 {
			kid.count++
			kid.here()
			kid.bytes = appendShort(kid.bytes, src, int(value.Off), int(value.End))
			kid.ends = append(kid.ends, uint32(len(kid.bytes)))
			at += 2
		} else {
			s.value(kid, it, at+1)
			at += 1 + int(value.Skip)
		}
		before, guess = kid, kid.next
	}
}

// find returns the column of a member whose name was guessed wrong, nil when it has none; its value is done with then.
func (s *Shredder) find(c, guess *col, it item.Item, at int) *col {
	token, src := &it.Tape[at], it.Src[:cap(it.Src)]
	if guess != nil && guess.next != nil && guess.next.name.is(src, token) {
		return guess.next
	}
	// Where items of several kinds lie side by side most wrong guesses are of names that came before.
	slot := &s.recent[(int(src[token.Off])+int(token.End-token.Off)<<3+c.id<<5)%recentSlots]
	if kid := *slot; kid != nil && kid.parent == c && kid.name.is(src, token) {
		return kid
	}
	name := it.Text(at)
	if kid := c.kids[string(name)]; kid != nil {
		*slot = kid
		return kid
	}
	if c.closed {
		s.unknown(c, name, it, at+1)
		return nil
	}
	most := membersMax
	if c == s.root {
		most = 4 * s.opts.LeavesMax
	}
	if len(c.kids) > most || c != s.root && c.leafCount() > 0 && s.collapsed(c) {
		s.stranger(c, name, Capped, it, at+1)
		return nil
	}
	kid := &col{field: Field{Source: string(name)}, id: s.nextID}
	s.nextID++
	kid.sync()
	kid.place(c)
	c.attach(kid)
	return kid
}

// unknown handles a member that a given schema has no column for.
func (s *Shredder) unknown(c *col, name []byte, it item.Item, i int) {
	reason := Unknown
	if s.opts.Schema != nil && s.opts.OnNew != ToExtra {
		reason = Capped
	}
	s.stranger(c, name, reason, it, i)
	if s.opts.OnNew == Fail && s.opts.Schema == nil && s.err == nil && it.Tape[i].Type != item.NULL {
		at := string(appendSegment(c.appendPath(nil), name))
		s.err = fault.Hint(fault.At(fault.New(fault.User, "the data set has no column for this attribute"),
			fault.Place{Path: at}), "--on-new evolve")
	}
}

// stranger counts a value without column and puts it into Extra.
func (s *Shredder) stranger(c *col, name []byte, reason Reason, it item.Item, i int) {
	if it.Tape[i].Type == item.NULL {
		reason = Null
	} else {
		c.field.Spilled = true
	}
	c.misfits[reason]++
	s.path = appendSegment(c.appendPath(s.path[:0]), name)
	s.extra.add(s.root.slots.n-1, s.path, it, i)
	if s.stats == nil {
		return
	}
	if c == s.root {
		if n := s.stats.attribute(name); n != nil {
			s.stats.value(n, nil, 1, it, i)
		}
		return
	}
	n := s.node(c)
	if s.open(c); n.more.collapsed {
		return
	}
	if kid := s.stats.member(n, name); kid != nil {
		s.stats.value(kid, n, n.more.depth+1, it, i)
	}
}

// misfit puts the value at hand in c into Extra.
func (s *Shredder) misfit(c *col, reason Reason, it item.Item, i int) {
	c.misfits[reason]++
	s.path = c.appendPath(s.path[:0])
	s.extra.add(s.root.slots.n-1, s.path, it, i)
}
