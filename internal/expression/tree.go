package expression

import (
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// operator is what a node does with its operands; the texts are the service's.
type operator string

const (
	opPath  operator = "path"  // a document path
	opValue operator = "value" // an attribute value

	opAnd     operator = "AND"
	opOr      operator = "OR"
	opNot     operator = "NOT"
	opEQ      operator = "="
	opNE      operator = "<>"
	opLT      operator = "<"
	opLE      operator = "<="
	opGT      operator = ">"
	opGE      operator = ">="
	opBetween operator = "BETWEEN"
	opIn      operator = "IN"
	opPlus    operator = "+"
	opMinus   operator = "-"

	fnExists      operator = "attribute_exists"
	fnNotExists   operator = "attribute_not_exists"
	fnType        operator = "attribute_type"
	fnBeginsWith  operator = "begins_with"
	fnContains    operator = "contains"
	fnSize        operator = "size"
	fnIfNotExists operator = "if_not_exists"
	fnListAppend  operator = "list_append"
)

// function is what the checks know of a function.
type function struct {
	operands int
	update   bool // belongs to update expressions, not to conditions
	value    bool // stands where a value may stand, not where a condition may
}

var functions = map[operator]function{
	fnExists: {operands: 1}, fnNotExists: {operands: 1}, fnType: {operands: 2}, fnBeginsWith: {operands: 2},
	fnContains: {operands: 2}, fnSize: {operands: 1, value: true},
	fnIfNotExists: {operands: 2, update: true, value: true}, fnListAppend: {operands: 2, update: true, value: true},
}

// node is one node of an expression's tree. After the checks it is immutable.
type node struct {
	op       operator
	call     bool // op is a function's name as written, known or not
	operands []*node
	parens   int // pairs of parentheses directly around it

	raw   []Step // of a path, placeholders as written
	path  Path   // of a path, placeholders replaced
	name  string // of a value, with its colon
	value item.Value
	known operand // of a value, prepared for comparing
}

// refuse makes an error whose text is a ValidationException's message.
func refuse(format string, args ...any) error { return fault.New(fault.User, format, args...) }
