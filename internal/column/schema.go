package column

import "dynaferry/internal/item"

// Kind is the form a column's values have in memory and in files.
type Kind uint8

// The kinds. Long, Decimal18 and Decimal38 are the rungs of the number ladder, in this order.
const (
	Long      Kind = 1 + iota // int64
	Decimal18                 // decimal(Digits,Scale) of at most 18 digits: int64 mantissa
	Decimal38                 // decimal(Digits,Scale): 128-bit mantissa, 16 bytes big-endian two's complement
	Double                    // only by wish: the nearest float64; where that changes digits, Extra holds the number too
	String                    // UTF-8 text
	Binary                    // bytes
	Bool
	Date      // days since 1970-01-01, by wish
	Timestamp // microseconds since 1970-01-01 UTC, by wish
	JSON      // DynamoDB JSON text of a whole value with its type: maps whose keys are data, and the like
	List      // Elem holds the members
	Struct    // Fields holds the members
)

// ExtraName is the name of the catch-all column.
const ExtraName = "_extra"

// LeavesMax is the default of SchemaOptions.LeavesMax: more leaf columns than this slow every reader's planning down
// and make row groups of useful size impossible.
const LeavesMax = 1000

// Field is one column or one member of a nested column. Fields of different schemas belong together when their Source
// (not their Name) is equal, level by level; Compare does so.
type Field struct {
	Name   string    // name in files: safe, unique under case folding among its siblings; "element" for a list's element
	Source string    // the attribute's own name; "" for a list's element
	Kind   Kind      // form
	Scale  int       // Decimal18, Decimal38: digits behind the point
	Digits int       // Decimal18, Decimal38: precision by wish; 0 means the kind's own 18 or 38 (see Precision)
	Type   item.Type // the DynamoDB type a value restores to (N, S, B, BOOL, L, M, SS, NS, BS); 0: JSON of any type
	Format string    // Date and Timestamp by wish: how the attribute's text or number is read, see Formats
	Elem   *Field    // List
	Fields []*Field  // Struct
	ID     int       // position of appearance in the data set: order of columns, never reused
	// Spilled tells that values which another schema could hold in this column (numbers beyond its rung) or in further
	// members of it (left out by LeavesMax or OnNew) lie in Extra: a file of such a column cannot become one of another
	// schema column by column.
	Spilled bool
}

// Precision is the number of decimal digits of a Decimal18 or Decimal38.
func (f *Field) Precision() int {
	switch {
	case f.Digits > 0:
		return f.Digits
	case f.Kind == Decimal18:
		return 18
	case f.Kind == Decimal38:
		return 38
	}
	return 0
}

// Schema is the whole shape of a data set: a pure function of its items (and of the pinned schema, when there is one),
// whatever their order and however they were cut into tasks. A Schema is never changed once somebody else has seen it.
type Schema struct {
	Fields  []*Field // top-level columns in order, Extra not included
	Extra   string   // name of the catch-all column, ExtraName in our files; "" when there is none (foreign files, subsets)
	Spilled bool     // attributes were left out by LeavesMax or OnNew and lie in Extra; see Field.Spilled
}

// Leaf is one leaf column of a schema with its Dremel levels, in depth-first order of the schema; Extra is the last one.
// Every field is optional and every list is the standard three-level LIST of optional elements, so
// MaxDef = optional fields + 2 per list on the path (list present, element slot present counted by the repeated group,
// element not null), MaxRep = lists on the path.
type Leaf struct {
	Field  *Field
	Path   []string // names in the file, "list" and "element" included: orders, list, element, price
	MaxDef uint8
	MaxRep uint8
}

// Leaves lists the leaves in file order, the Extra column last.
func (s *Schema) Leaves() []Leaf { return leavesOf(s) }

// Vector is a run of one leaf's values in Dremel form: one level pair per slot, one value per slot whose Def == MaxDef.
// Exactly one of the value slices is used, by Kind: Longs for Long, Decimal18, Date, Timestamp; Doubles; Bools; and
// Bytes with Ends for String, Binary, JSON and Decimal38 (16 bytes each). Def is nil where every slot has a value
// (all present), Rep is nil where MaxRep is 0. Vectors of one Slab may share their Rep and Def slices.
type Vector struct {
	Leaf    Leaf
	Slots   int // number of level pairs; rows for MaxRep 0
	Def     []uint8
	Rep     []uint8
	Longs   []int64
	Doubles []float64
	Bools   []bool
	Bytes   []byte
	Ends    []uint32 // Ends[i] is the end of value i in Bytes
}

// Slab is a run of rows in columns, with the schema its vectors follow: Vectors[i] belongs to Schema.Leaves()[i].
// A Slab is lent: it is valid until the Shredder that made it is used again. Slabs of one Shredder share the Schema
// pointer as long as the schema stays the same.
type Slab struct {
	Rows    int
	Schema  *Schema
	Vectors []Vector
	Misfits []Misfit // what lies in Extra, counted by column and reason, sorted by path, then reason
}

// Reason says why a value lies in Extra and not (or not only) in its column.
type Reason uint8

// The reasons.
const (
	Conflict Reason = 1 + iota // another type than its column's
	Null                       // NULL, which differs from absent
	Capped                     // no column: beyond LeavesMax
	Unknown                    // no column in the schema that was given (OnNew extra, a fixed schema)
	Range                      // a number beyond its column's rung, a text that is no date
	Inexact                    // in its column in the nearest form only (double, date, timestamp); exact in Extra
)

var reasonNames = [...]string{"", "conflict", "null", "capped", "unknown", "range", "inexact"}

// String returns the reason's name as reports print it.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "?"
}

// Misfit counts values in Extra. Path is a JSON pointer (RFC 6901) of attribute names, "*" standing for a list's element;
// Capped and Unknown are counted at the innermost container that has a column ("" for the item itself).
type Misfit struct {
	Path   string `json:"path"`
	Reason Reason `json:"reason"`
	Count  uint64 `json:"count"`
}

// OnNew says what becomes of attributes that an existing data set has no column for.
type OnNew uint8

// The answers to a new attribute.
const (
	Evolve  OnNew = iota // new columns at the end
	ToExtra              // into Extra, counted as unknown
	Fail                 // an error that names the attribute
)

// SchemaOptions are the wishes that Stats.Schema obeys. The zero value has none.
type SchemaOptions struct {
	Pinned    *Schema  // columns by wish: place, name and form are taken from here; the rest is inferred
	Base      *Schema  // columns of the existing data set: kept as they are and in front; wins over Pinned
	OnNew     OnNew    // with Base: what new attributes become (Fail acts as ToExtra here; the Shredder fails)
	LeavesMax int      // 0 means LeavesMax; Base's and Pinned's leaves are never left out, but count
	Reserved  []string // names no top-level column may take: partition columns; ExtraName always is
	Keys      []string // attributes whose columns come first, for instance the table's key
}
