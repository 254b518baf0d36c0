package expression

import (
	"strconv"
	"strings"

	"dynaferry/internal/item"
)

// place is where a node stands, which decides what functions it may hold.
type place uint8

const (
	inCondition place = iota // yields a truth
	inOperand                // yields a value
	inSet                    // right side of SET
	inSum                    // operand of + and -, or of a function in an update expression
)

// checkNames is the first walk over the tree, in the order of the text: reserved words, unknown functions, functions
// where they may not stand. The service reports any of these before what checkOperands finds.
func checkNames(n *node, where place) error {
	inside := inOperand
	switch {
	case n.op == opPath && !n.call:
		return checkReserved(n)
	case n.op == opValue && !n.call:
		return nil
	case n.call:
		if err := checkPlace(n.op, where); err != nil {
			return err
		}
		if where == inSet || where == inSum {
			inside = inSum
		}
	case n.op == opAnd || n.op == opOr || n.op == opNot:
		inside = inCondition
	case n.op == opPlus || n.op == opMinus:
		inside = inSum
	}
	for _, operand := range n.operands {
		if err := checkNames(operand, inside); err != nil {
			return err
		}
	}
	return nil
}

func checkReserved(n *node) error {
	for _, step := range n.raw {
		if step.Index < 0 && isReserved(step.Name) {
			return refuse("Attribute name is a reserved keyword; reserved keyword: %s", step.Name)
		}
	}
	return nil
}

func checkPlace(name operator, where place) error {
	f, ok := functions[name]
	updating := where == inSet || where == inSum
	switch {
	case !ok:
		return refuse("Invalid function name; function: %s", name)
	case updating && !f.update:
		return refuse("The function is not allowed in an update expression; function: %s", name)
	case !updating && f.update:
		return refuse("The function is not allowed in a condition expression; function: %s", name)
	case f.value == (where == inCondition) || where == inSum && name == fnListAppend:
		return refuse("The function is not allowed to be used this way in an expression; function: %s", name)
	}
	return nil
}

// checkOperands is the second walk, operands before their operator: placeholders are replaced, then numbers and types
// of operands are checked as far as they are known without an item.
func (s *Scope) checkOperands(n *node) error {
	switch {
	case n.call:
	case n.op == opPath:
		return s.resolvePath(n)
	case n.op == opValue:
		return s.resolveValue(n)
	}
	for _, operand := range n.operands {
		if err := s.checkOperands(operand); err != nil {
			return err
		}
	}
	if n.call {
		return checkCall(n)
	}
	switch n.op {
	case opEQ, opNE:
		return checkDistinct(n)
	case opLT, opLE, opGT, opGE, opBetween:
		return checkOrdered(n)
	case opIn:
		if count := len(n.operands) - 1; count > inOperandsMax {
			return refuse("The IN operator is provided with too many operands; number of operands: %d", count)
		}
		return checkDistinct(n)
	case opPlus, opMinus:
		return checkTypes(n, n.operands, item.N)
	}
	return nil
}

func (s *Scope) resolvePath(n *node) error {
	if n.path != nil {
		return nil
	}
	if len(n.raw) > pathStepsMax {
		return refuse("The document path has too many nesting levels; nesting levels: %d", len(n.raw))
	}
	path := make(Path, len(n.raw))
	for i, step := range n.raw {
		if step.Index < 0 && step.Name[0] == '#' {
			name, ok := s.names[step.Name]
			if !ok {
				return refuse("An expression attribute name used in the document path is not defined; attribute name: %s",
					step.Name)
			}
			s.usedNames[step.Name] = true
			step.Name = name
		}
		path[i] = step
	}
	n.path = path
	return nil
}

func (s *Scope) resolveValue(n *node) error {
	value, ok := s.values[n.name]
	if !ok {
		return refuse("An expression attribute value used in expression is not defined; attribute value: %s", n.name)
	}
	s.usedValues[n.name] = true
	n.value, n.known = value, ofValue(value)
	return nil
}

// checkCall checks a function's operands; its place was checked before.
func checkCall(n *node) error {
	if len(n.operands) != functions[n.op].operands {
		return refuse("Incorrect number of operands for operator or function; operator or function: %s, "+
			"number of operands: %d", n.op, len(n.operands))
	}
	first := n.operands[0]
	switch n.op {
	case fnExists, fnNotExists:
		return checkIsPath(n, first)
	case fnIfNotExists:
		if err := checkIsPath(n, first); err != nil {
			return err
		}
		return checkDistinct(n)
	case fnListAppend:
		return checkTypes(n, n.operands, item.L)
	case fnSize:
		return checkTypes(n, n.operands, item.S, item.B, item.L, item.M, item.SS, item.NS, item.BS)
	case fnBeginsWith:
		if err := checkTypes(n, n.operands, item.S, item.B); err != nil {
			return err
		}
		return checkDistinct(n)
	case fnType:
		return checkTypeName(n)
	}
	return checkDistinct(n)
}

func checkIsPath(n, first *node) error {
	if first.call || first.op != opPath {
		return refuse("Operator or function requires a document path; operator or function: %s", n.op)
	}
	return nil
}

// checkTypeName checks attribute_type's second operand, which must be a value that names a type.
func checkTypeName(n *node) error {
	if err := checkDistinct(n); err != nil {
		return err
	}
	second := n.operands[1]
	if second.op == opPath && !second.call {
		return refuse("Incorrect operand type for operator or function; operator or function: attribute_type, " +
			"operand type: {NS,SS,L,BS,N,M,B,BOOL,NULL,S}")
	}
	if err := checkTypes(n, n.operands[1:], item.S); err != nil {
		return err
	}
	if t, err := item.ParseType(second.value.Str); err != nil || t == item.Name {
		return refuse("Invalid attribute type name found; type: %s, valid types: {N,BS,L,B,NULL,M,S,SS,NS,BOOL}",
			second.value.Str)
	}
	return nil
}

// knownType is the type an operand has whatever the item: a value's own, N for size; 0 when the item decides.
func knownType(n *node) item.Type {
	switch {
	case n.call && n.op == fnSize:
		return item.N
	case !n.call && n.op == opValue:
		return n.value.Type
	}
	return 0
}

func checkTypes(n *node, operands []*node, allowed ...item.Type) error {
	for _, operand := range operands {
		known := knownType(operand)
		ok := known == 0
		for _, t := range allowed {
			ok = ok || known == t
		}
		if !ok {
			return refuse("Incorrect operand type for operator or function; operator or function: %s, operand type: %s",
				n.op, known)
		}
	}
	return nil
}

// checkDistinct refuses a path compared with itself.
func checkDistinct(n *node) error {
	first := n.operands[0]
	if first.call || first.op != opPath {
		return nil
	}
	for _, other := range n.operands[1:] {
		if !other.call && other.op == opPath && other.path.equal(first.path) {
			return refuse("The first operand must be distinct from the remaining operands for this operator or function; "+
				"operator: %s, first operand: %s", n.op, first.path)
		}
	}
	return nil
}

// checkOrdered checks operators that need an order: types that have one, and bounds in it.
func checkOrdered(n *node) error {
	if err := checkTypes(n, n.operands, item.S, item.N, item.B); err != nil {
		return err
	}
	if err := checkDistinct(n); err != nil || n.op != opBetween {
		return err
	}
	low, high := n.operands[1], n.operands[2]
	if low.call || high.call || low.op != opValue || high.op != opValue {
		return nil
	}
	const bounds = "; lower bound operand: AttributeValue: %s, upper bound operand: AttributeValue: %s"
	if low.value.Type != high.value.Type {
		return refuse("The BETWEEN operator requires same data type for lower and upper bounds"+bounds,
			shown(low.value), shown(high.value))
	}
	if order, ok := low.known.compare(high.known); ok && order > 0 {
		return refuse("The BETWEEN operator requires upper bound to be greater than or equal to lower bound"+bounds,
			shown(low.value), shown(high.value))
	}
	return nil
}

// shown renders a scalar as the service's errors do: {N:1}. A binary is shown by its length, as the service does.
func shown(v item.Value) string {
	if v.Type == item.B {
		n := strconv.Itoa(len(v.Bin))
		return "{B:java.nio.HeapByteBuffer[pos=0 lim=" + n + " cap=" + n + "]}"
	}
	return "{" + v.Type.String() + ":" + v.Str + "}"
}

// checkOperators is the last check: how many operators and functions there are.
func checkOperators(roots ...*node) error {
	count := 0
	for _, root := range roots {
		count += root.operators()
	}
	if count > operatorsMax {
		return refuse("The expression contains too many operators; operator count: %d", operatorsMax+1)
	}
	return nil
}

func (n *node) operators() int {
	count := 0
	if n.call || n.op != opPath && n.op != opValue {
		count = 1
	}
	for _, operand := range n.operands {
		count += operand.operators()
	}
	return count
}

// LongType is the name of a type in errors of ADD and DELETE: STRING_SET.
func LongType(t item.Type) string { return longTypes[t] }

// longTypes are the names that ADD and DELETE use in their errors.
var longTypes = map[item.Type]string{item.S: "STRING", item.N: "NUMBER", item.B: "BINARY", item.BOOL: "BOOLEAN",
	item.NULL: "NULL", item.L: "LIST", item.M: "MAP", item.SS: "STRING_SET", item.NS: "NUMBER_SET", item.BS: "BINARY_SET"}

// checkOperandOf checks the value of ADD (a number or a set) or DELETE (a set).
func checkOperandOf(verb string, v item.Value) error {
	if v.Type.IsSet() || verb == "add" && v.Type == item.N {
		return nil
	}
	upper := strings.ToUpper(verb)
	return refuse("Incorrect operand type for operator or function; operator: %s, operand type: %s, "+
		"typeSet: ALLOWED_FOR_%s_OPERAND", upper, longTypes[v.Type], upper)
}
