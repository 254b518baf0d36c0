package ion

import (
	"dynaferry/internal/fault"
)

// kind is one of Ion's thirteen types.
type kind uint8

const (
	kindNull kind = iota // null.null
	kindBool
	kindInt
	kindFloat
	kindDecimal
	kindTimestamp
	kindSymbol
	kindString
	kindClob
	kindBlob
	kindList
	kindSexp
	kindStruct
)

var kindNames = [...]string{"null", "bool", "int", "float", "decimal", "timestamp", "symbol", "string", "clob", "blob", "list",
	"sexp", "struct"}

func (k kind) String() string { return kindNames[k] }

func (k kind) container() bool { return k >= kindList }

// text is a string's or symbol's text in UTF-8.
type text struct {
	b       []byte // valid until the cursor's next move
	plain   bool   // printable ASCII without quote and backslash, surely
	unknown bool   // a symbol whose table does not tell its text
	quoted  bool   // a symbol between quotes
	at      int    // where it begins
}

// value is one value as the grammar sees it. A container is opened by enter, or passed over by pass.
type value struct {
	kind   kind
	null   bool   // the null of that kind
	truth  bool   // of a bool
	normal bool   // number is in DynamoDB's normal form
	notes  int    // annotations
	note   text   // the first of them
	field  text   // name, inside a struct
	expect *known // the name that should come next, set by the caller of next; nil when nobody knows
	met    bool   // it did
	text   text   // string, symbol
	number []byte // int, decimal: digits, point and exponent with e
	blob   []byte
	at     int // where it begins, annotations included
}

// cursor walks values. Errors of the grammar carry no place; where tells how far it came.
type cursor interface {
	// next reads the next value of the innermost open container into v. At the container's end it leaves it and returns
	// false. After an error v.field is the name of the value that is wrong, when it was read.
	next(v *value) (more bool, err error)
	// enter opens the container that next has returned last.
	enter(v *value)
	// where is the offset in the record's bytes that the cursor has come to, or where it found an error.
	where() int
}

// pass reads to behind the container that v is, whatever its values mean.
func pass(c cursor, v *value) error {
	depth := 1
	v.expect = nil
	c.enter(v)
	for depth > 0 {
		more, err := c.next(v)
		if err != nil {
			return err
		}
		if !more {
			depth--
		} else if v.kind.container() && !v.null {
			c.enter(v)
			depth++
		}
	}
	return nil
}

func corrupt(format string, args ...any) error {
	return fault.New(fault.Corrupt, "ion: "+format, args...)
}
