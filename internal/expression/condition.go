package expression

import "dynaferry/internal/item"

// Condition is a checked condition or filter expression. It is immutable.
type Condition struct {
	root *node
	text string
}

// String returns the expression's text.
func (c *Condition) String() string { return c.text }

// Paths returns every document path the condition reads, in the order of the text, repeated ones too.
func (c *Condition) Paths() []Path { return c.root.paths(nil) }

func (n *node) paths(to []Path) []Path {
	if n.op == opPath && !n.call {
		return append(to, n.path)
	}
	for _, operand := range n.operands {
		to = operand.paths(to)
	}
	return to
}

// Holds evaluates the condition against a decoded item; nil is the item that does not exist.
func (c *Condition) Holds(attributes map[string]item.Value) bool {
	return c.root.holds(subject{attributes: attributes})
}

// Match evaluates the condition against an item's tape. Only the attributes that it names are looked at, scalars
// without being copied.
func (c *Condition) Match(it item.Item) bool { return c.root.holds(subject{it: &it}) }

// subject is an item in either form. It is a struct and no interface so that the tape's stays on the stack.
type subject struct {
	attributes map[string]item.Value
	it         *item.Item
}

func (s subject) at(p Path) operand {
	if s.it == nil {
		if v, ok := p.find(s.attributes); ok {
			return ofValue(v)
		}
		return operand{}
	}
	if i, ok := p.seek(*s.it); ok {
		return ofTape(s.it, i)
	}
	return operand{}
}

// holds gives a node's truth. A comparison with an absent attribute, or of values without a common order, is false,
// except that <> is then true.
func (n *node) holds(s subject) bool {
	switch n.op {
	case opAnd:
		return n.operands[0].holds(s) && n.operands[1].holds(s)
	case opOr:
		return n.operands[0].holds(s) || n.operands[1].holds(s)
	case opNot:
		return !n.operands[0].holds(s)
	case fnExists:
		return n.operands[0].operand(s).exists()
	case fnNotExists:
		return !n.operands[0].operand(s).exists()
	}
	left, right := n.operands[0].operand(s), n.operands[1].operand(s)
	switch n.op {
	case opEQ:
		return left.equal(right)
	case opNE:
		return !left.equal(right)
	case opIn:
		for _, other := range n.operands[1:] {
			if left.equal(other.operand(s)) {
				return true
			}
		}
		return false
	case opBetween:
		low, okLow := left.compare(right)
		high, okHigh := left.compare(n.operands[2].operand(s))
		return okLow && okHigh && low >= 0 && high <= 0
	case fnType:
		return left.exists() && left.kind.String() == n.operands[1].value.Str
	case fnBeginsWith:
		return left.beginsWith(right)
	case fnContains:
		return left.contains(right)
	}
	order, ok := left.compare(right)
	return ok && ordered(n.op, order)
}

func ordered(op operator, order int) bool {
	switch op {
	case opLT:
		return order < 0
	case opLE:
		return order <= 0
	case opGT:
		return order > 0
	}
	return order >= 0
}

func (n *node) operand(s subject) operand {
	switch {
	case n.call: // size is the one function that yields a value in conditions
		return n.operands[0].operand(s).size()
	case n.op == opValue:
		return n.known
	}
	return s.at(n.path)
}
