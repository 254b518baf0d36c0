package column

import "dynaferry/internal/item"

// Kind is the form a column's values have in memory and in files.
type Kind uint8

// The kinds. Long, Decimal18 and Decimal38 are the rungs of the number ladder, in this order.
const (
	Long      Kind = 1 + iota // int64
	Decimal18                 // decimal(18,Scale): int64 mantissa
	Decimal38                 // decimal(38,Scale): 128-bit mantissa, 16 bytes big-endian two's complement
	Double                    // only by wish: may change digits
	String                    // UTF-8 text
	Binary                    // bytes
	Bool
	Date      // days since 1970-01-01, by wish
	Timestamp // microseconds since 1970-01-01 UTC, by wish
	JSON      // DynamoDB JSON text of a whole value: maps whose keys are data, and the like
	List      // Elem holds the members
	Struct    // Fields holds the members
)

// Field is one column or one member of a nested column.
type Field struct {
	Name   string    // name in files: safe, unique under case folding among its siblings
	Source string    // the attribute's own name; "" for a list's element
	Kind   Kind      // form
	Scale  int       // Decimal18, Decimal38
	Type   item.Type // the DynamoDB type a value of this column restores to (N, S, B, BOOL, L, M, SS, NS, BS)
	Format string    // Date and Timestamp by wish: how the attribute's text or number is read ("iso", "epoch-s", "epoch-ms", "epoch-us", or a layout)
	Elem   *Field    // List
	Fields []*Field  // Struct
	ID     int       // position of appearance in the data set: order of columns, never reused
}

// Schema is the whole shape of a data set: a pure function of its items (and of the pinned schema, when there is one),
// whatever their order and however they were cut into tasks.
type Schema struct {
	Fields []*Field // top-level columns in order, Extra not included
	Extra  string   // name of the catch-all column, "_extra" unless an attribute is called so
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
// (all present), Rep is nil where MaxRep is 0.
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
// A Slab is lent: it is valid until the Shredder that made it is used again.
type Slab struct {
	Rows    int
	Schema  *Schema
	Vectors []Vector
}
