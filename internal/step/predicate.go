package step

import (
	"bytes"
	"slices"

	"github.com/expr-lang/expr/ast"

	"dynaferry/internal/item"
)

// predicate judges an item over its tape, without decoding it: what simple expressions become. It says what the expression
// itself would say, errors included.
type predicate func(it item.Item) (bool, error)

// simplify makes a predicate of comparisons of top-level attributes with literals, joined by and, or and not; nil of anything
// else.
func simplify(node ast.Node, p *patcher) predicate {
	switch n := node.(type) {
	case *ast.UnaryNode:
		if inner := simplify(n.Node, p); inner != nil && (n.Operator == "not" || n.Operator == "!") {
			return func(it item.Item) (bool, error) {
				ok, err := inner(it)
				return !ok && err == nil, err
			}
		}
	case *ast.BinaryNode:
		if join := n.Operator; join == "and" || join == "&&" || join == "or" || join == "||" {
			return simplifyJoin(n, p, join == "and" || join == "&&")
		}
		return p.comparison(n)
	case *ast.CallNode:
		return p.presence(n)
	}
	return nil
}

func simplifyJoin(n *ast.BinaryNode, p *patcher, and bool) predicate {
	left, right := simplify(n.Left, p), simplify(n.Right, p)
	if left == nil || right == nil {
		return nil
	}
	return func(it item.Item) (bool, error) {
		ok, err := left(it)
		if err != nil || ok != and {
			return ok, err
		}
		return right(it)
	}
}

// presence is has(attribute).
func (p *patcher) presence(n *ast.CallNode) predicate {
	if id, ok := n.Callee.(*ast.IdentifierNode); !ok || id.Value != "has" || len(n.Arguments) != 1 {
		return nil
	}
	name, ok := p.attribute(n.Arguments[0])
	if !ok {
		return nil
	}
	return func(it item.Item) (bool, error) {
		_, has := it.Get(name)
		return has, nil
	}
}

// attribute is the name of a top-level attribute.
func (p *patcher) attribute(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, slices.Contains(p.expression.names, n.Value)
	case *ast.MemberNode:
		of, ok := n.Node.(*ast.IdentifierNode)
		name, named := n.Property.(*ast.StringNode)
		if ok && named && of.Value == "item" {
			return name.Value, true
		}
	}
	return "", false
}

// constant is a literal's value.
func (p *patcher) constant(n ast.Node) (any, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.BoolNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode:
		d, ok := p.literal(n)
		return d, ok
	case *ast.UnaryNode:
		if v, ok := p.constant(n.Node); ok && n.Operator == "-" {
			if d, ok := v.(item.Decimal); ok {
				return negate(d), true
			}
		}
	}
	return nil, false
}

// mirrored are the operators with their sides exchanged.
var mirrored = map[string]string{"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

func (p *patcher) comparison(n *ast.BinaryNode) predicate {
	op := n.Operator
	name, ok := p.attribute(n.Left)
	value := n.Right
	if !ok {
		if name, ok = p.attribute(n.Right); !ok || mirrored[op] == "" {
			return nil
		}
		op, value = mirrored[op], n.Left
	}
	if op == "in" {
		return p.oneOf(name, value)
	}
	v, ok := p.constant(value)
	if !ok {
		return nil
	}
	switch op {
	case "==", "!=":
		return func(it item.Item) (bool, error) {
			i, has := it.Get(name)
			return has && same(it, i, v) == (op == "==") || !has && op == "!=", nil
		}
	case "<", "<=", ">", ">=":
		return compare(name, v, op)
	case "startsWith":
		prefix, ok := v.(string)
		if !ok {
			return nil
		}
		return func(it item.Item) (bool, error) {
			i, has := it.Get(name)
			return has && it.Tape[i].Type == item.S && bytes.HasPrefix(it.Text(i), []byte(prefix)), nil
		}
	}
	return nil
}

func (p *patcher) oneOf(name string, value ast.Node) predicate {
	list, ok := value.(*ast.ArrayNode)
	if !ok {
		return nil
	}
	var all []any
	for _, n := range list.Nodes {
		v, ok := p.constant(n)
		if !ok {
			return nil
		}
		all = append(all, v)
	}
	return func(it item.Item) (bool, error) {
		i, has := it.Get(name)
		for _, v := range all {
			if has && same(it, i, v) {
				return true, nil
			}
		}
		return false, nil
	}
}

// same tells whether the value at index i equals a literal.
func same(it item.Item, i int, v any) bool {
	switch v := v.(type) {
	case string:
		return it.Tape[i].Type == item.S && string(it.Text(i)) == v
	case item.Decimal:
		return it.Tape[i].Type == item.N && it.Decimal(i) == v
	case bool:
		return it.Tape[i].Type == item.BOOL && it.Bool(i) == v
	}
	return false
}

func compare(name string, v any, op string) predicate {
	var is func(c int) bool
	switch op {
	case "<":
		is = func(c int) bool { return c < 0 }
	case "<=":
		is = func(c int) bool { return c <= 0 }
	case ">":
		is = func(c int) bool { return c > 0 }
	default:
		is = func(c int) bool { return c >= 0 }
	}
	want := kindOf(v)
	text, _ := v.(string)
	d, _ := v.(item.Decimal)
	return func(it item.Item) (bool, error) {
		i, has := it.Get(name)
		if !has {
			return false, nil
		}
		switch t := it.Tape[i].Type; {
		case t == item.NULL:
			return false, nil
		case t == item.N && want == "N":
			return is(it.Decimal(i).Compare(d)), nil
		case t == item.S && want == "S":
			return is(bytes.Compare(it.Text(i), []byte(text))), nil
		default:
			return false, errOrder(t.String(), want)
		}
	}
}
