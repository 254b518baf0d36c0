package step

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/parser/lexer"
	"github.com/expr-lang/expr/vm"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// memoryBudget is how many values an expression may make of one item: above what an item of 400 KB can need.
const memoryBudget = 1e6

// expression is a compiled expression. Its operators are ours: expr's own would make floats of numbers.
type expression struct {
	program *vm.Program
	names   []string // top-level attributes that it reads
	uses    map[string]bool
	simple  predicate // the same over the tape, nil where that is not possible
}

// builtins of expr that are kept: those that know nothing of numbers, clocks or JSON.
var builtins = []string{"all", "any", "none", "one", "filter", "map", "find", "findIndex", "findLast", "findLastIndex", "count",
	"split", "join", "replace", "first", "last", "keys", "values", "reverse", "concat"}

// reserved are the names that are no attributes; one of the same name is item["name"].
var reserved = []string{"item", "new", "old", "op", "time", "ttl", "null"}

func compile(text string, at int, condition bool) (*expression, error) {
	source, err := longLiterals(text)
	if err != nil {
		return nil, exprError(err, at)
	}
	e := &expression{uses: map[string]bool{}}
	p := &patcher{source: []rune(source), expression: e}
	opts := []expr.Option{expr.Env(map[string]any{}), expr.AllowUndefinedVariables(), expr.Optimize(false), expr.DisableAllBuiltins(), expr.Patch(p)}
	for _, name := range builtins {
		opts = append(opts, expr.EnableBuiltin(name))
	}
	for name, f := range functions {
		opts = append(opts, expr.Function(name, f))
	}
	config := conf.CreateNew()
	for _, o := range opts {
		o(config)
	}
	for name := range config.Disabled {
		delete(config.Builtins, name)
	}
	tree, err := parser.ParseWithConfig(source, config)
	if err != nil {
		return nil, exprError(err, at)
	}
	p.names(tree.Node)
	if condition {
		e.simple = simplify(tree.Node, p)
	}
	if e.program, err = expr.Compile(source, opts...); err == nil {
		err = p.err
	}
	if p.err != nil {
		err = p.err
	}
	if err != nil {
		return nil, exprError(err, at)
	}
	return e, nil
}

// longLiterals makes integers beyond 64 bits pass the parser, which has no use for their digits: the patcher takes the text.
func longLiterals(text string) (string, error) {
	tokens, err := lexer.Lex(file.NewSource(text))
	if err != nil {
		return "", err
	}
	source := []rune(text)
	for _, t := range slices.Backward(tokens) {
		if t.Kind == lexer.Number && len(t.Value) > 18 && !strings.ContainsAny(t.Value, ".eExXoObB") {
			source = slices.Insert(source, t.To, 'e', '0')
		}
	}
	return string(source), nil
}

// exprError is expr's error with its column in the setting and without its drawing.
func exprError(err error, at int) error {
	var f *file.Error
	if errors.As(err, &f) {
		return place(at+f.Column, "%s", f.Message)
	}
	if fault.KindOf(err) == fault.User {
		return err
	}
	return fault.New(fault.User, "%w", err)
}

// patcher puts our own operators into the tree. Children are visited before their parents.
type patcher struct {
	source []rune
	*expression
	err error
}

func (p *patcher) fail(n ast.Node, format string, args ...any) {
	if p.err == nil {
		p.err = &file.Error{Location: n.Location(), Column: n.Location().From, Message: fmt.Sprintf(format, args...)}
	}
}

// operators are the functions that stand for expr's operators.
var operators = map[string]string{"+": "_add", "-": "_sub", "*": "_mul", "/": "_div", "%": "_mod", "**": "_pow", "^": "_pow",
	"==": "_eq", "!=": "_ne", "<": "_lt", "<=": "_le", ">": "_gt", ">=": "_ge", "in": "_in", "contains": "_contains",
	"startsWith": "_starts", "endsWith": "_ends"}

func call(name string, args ...ast.Node) ast.Node {
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: args}
}

// Visit implements ast.Visitor.
func (p *patcher) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		if d, ok := p.literal(n.(ast.Node)); ok {
			ast.Patch(node, &ast.ConstantNode{Value: d})
		}
	case *ast.UnaryNode:
		switch n.Operator {
		case "-":
			ast.Patch(node, call("_neg", n.Node))
		case "+":
			p.fail(n, "a plus in front of a value does nothing")
		}
	case *ast.BinaryNode:
		if name, ok := operators[n.Operator]; ok {
			ast.Patch(node, call(name, n.Left, n.Right))
		} else if n.Operator == ".." {
			n.Left, n.Right = call("_index", n.Left), call("_index", n.Right)
		}
	case *ast.MemberNode:
		ast.Patch(node, call("_member", n.Node, n.Property))
	case *ast.SliceNode:
		if n.From != nil {
			n.From = call("_index", n.From)
		}
		if n.To != nil {
			n.To = call("_index", n.To)
		}
	case *ast.BytesNode:
		ast.Patch(node, &ast.ConstantNode{Value: octets(n.Value)})
	case *ast.CallNode:
		if _, plain := n.Callee.(*ast.IdentifierNode); !plain {
			p.fail(n, "values have no methods")
		}
	case *ast.BuiltinNode:
		if !slices.Contains(builtins, n.Name) {
			p.fail(n, "no function %s; there are %s", n.Name, strings.Join(functionNames(), ", "))
		}
	}
}

// literal is the exact number that a literal was written as.
func (p *patcher) literal(n ast.Node) (item.Decimal, bool) {
	at := n.Location()
	if at.To > len(p.source) || at.From >= at.To {
		p.fail(n, "a number without text")
		return item.Decimal{}, false
	}
	text := strings.ReplaceAll(string(p.source[at.From:at.To]), "_", "")
	if i, ok := n.(*ast.IntegerNode); ok && strings.ContainsAny(text, "xXoObB") {
		return decimalOf(int64(i.Value)), true
	}
	d, err := item.ParseDecimal([]byte(text))
	if err != nil {
		p.fail(n, "%s", fault.Reason(err))
	}
	return d, err == nil
}

// names finds the attributes that the expression reads, in the tree as it was parsed.
func (p *patcher) names(root ast.Node) {
	bound, callees, seen := map[string]bool{}, map[*ast.IdentifierNode]bool{}, map[string]bool{}
	ast.Walk(&root, visitor(func(n *ast.Node) {
		switch n := (*n).(type) {
		case *ast.VariableDeclaratorNode:
			bound[n.Name] = true
		case *ast.CallNode:
			id, ok := n.Callee.(*ast.IdentifierNode)
			if !ok {
				return
			}
			callees[id] = true
			if _, known := functions[id.Value]; !known || id.Value[0] == '_' {
				p.fail(n, "no function %s; there are %s", id.Value, strings.Join(functionNames(), ", "))
			}
		}
	}))
	ast.Walk(&root, visitor(func(n *ast.Node) {
		id, ok := (*n).(*ast.IdentifierNode)
		switch {
		case !ok || callees[id] || seen[id.Value] || bound[id.Value]:
		case id.Value == "$env":
			p.fail(id, "attributes are named one by one; item is all of them")
		case slices.Contains(reserved, id.Value):
			p.uses[id.Value], seen[id.Value] = true, true
		default:
			seen[id.Value] = true
			p.expression.names = append(p.expression.names, id.Value)
		}
	}))
	slices.Sort(p.expression.names)
}

type visitor func(*ast.Node)

func (v visitor) Visit(n *ast.Node) { v(n) }

// evaluator runs an expression, for one goroutine.
type evaluator struct {
	*expression
	vm  vm.VM
	env map[string]any
}

func newEvaluator(e *expression) *evaluator {
	return &evaluator{expression: e, vm: vm.VM{MemoryBudget: memoryBudget}, env: map[string]any{}}
}

// of evaluates for one image of a record; absent is nil.
func (e *evaluator) of(it item.Item, s *subject) (any, error) {
	clear(e.env)
	for _, name := range e.names {
		if i, ok := it.Get(name); ok {
			e.env[name] = toValue(it, i)
		}
	}
	if e.uses["item"] {
		e.env["item"] = toMap(it, 0)
	}
	if e.uses["new"] && s.new.Tape != nil {
		e.env["new"] = toMap(s.new, 0)
	}
	if e.uses["old"] && s.old.Tape != nil {
		e.env["old"] = toMap(s.old, 0)
	}
	if e.uses["op"] && s.Op != "" {
		e.env["op"] = string(s.Op)
	}
	if e.uses["time"] && s.Micros != 0 {
		e.env["time"] = shift(decimalOf(s.Micros), -6)
	}
	if e.uses["ttl"] {
		e.env["ttl"] = s.TTL
	}
	if e.uses["null"] {
		e.env["null"] = null{}
	}
	out, err := e.vm.Run(e.program, e.env)
	if err != nil {
		return nil, runError(err)
	}
	return out, nil
}

// runError is what went wrong with one item, in words.
func runError(err error) error {
	var f *file.Error
	if !errors.As(err, &f) {
		return fault.New(fault.User, "%w", err)
	}
	if inner := errors.Unwrap(f); inner != nil && fault.KindOf(inner) == fault.User {
		return inner
	}
	return fault.New(fault.User, "%s (at character %d of the expression)", f.Message, f.Column+1)
}

// filter lets items pass for which an expression is true.
type filter struct{ *expression }

func parseFilter(_ []word, rest string, at int) (kind, error) {
	e, err := compile(rest, at, true)
	return &filter{e}, err
}

func (k *filter) pure() bool       { return true }
func (k *filter) outline(*outline) {}
func (k *filter) start(*Runner) (worker, error) {
	return &filtering{k, newEvaluator(k.expression)}, nil
}

type filtering struct {
	*filter
	eval *evaluator
}

func (k *filtering) passes(s *subject) (bool, error) {
	it := s.current()
	if k.simple != nil {
		return k.simple(it)
	}
	v, err := k.eval.of(it, s)
	if err != nil {
		return false, err
	}
	passes, ok := v.(bool)
	if !ok {
		return false, fault.New(fault.User, "the expression comes to %s, not to true or false", cmpKind(v))
	}
	return passes, nil
}

func cmpKind(v any) string {
	if v == nil {
		return "nothing"
	}
	return kindOf(v)
}

// mapping puts what an expression comes to into an attribute; where that is nothing, the attribute is absent afterwards.
type mapping struct {
	name string
	*expression
}

func parseMap(_ []word, rest string, at int) (kind, error) {
	begin := behindName(rest)
	if begin == 0 {
		return nil, place(at, "it is NAME=EXPRESSION")
	}
	left, err := words(rest[:begin-1])
	if err != nil {
		return nil, err
	}
	if len(left) != 1 {
		return nil, place(at, "it is NAME=EXPRESSION; a name with spaces stands in quotes")
	}
	name, err := left[0].name()
	if err != nil {
		return nil, err
	}
	e, err := compile(rest[begin:], at+begin, false)
	return &mapping{name, e}, err
}

// behindName is where the expression of a map begins: behind the first equals sign outside of quotes; 0 when there is none.
func behindName(rest string) int {
	var quote byte
	for i := range len(rest) {
		switch c := rest[i]; {
		case quote != 0 && c == '\\' && quote == '"':
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '=':
			return i + 1
		}
	}
	return 0
}

func (k *mapping) pure() bool         { return true }
func (k *mapping) outline(o *outline) { o.put(k.name, 0) }
func (k *mapping) start(*Runner) (worker, error) {
	return &mapper{k, newEvaluator(k.expression)}, nil
}

type mapper struct {
	*mapping
	eval *evaluator
}

func (k *mapper) touches(item.Item) bool { return true }

func (k *mapper) image(w *item.Builder, it item.Item, s *subject) (bool, error) {
	from := it
	at, there := it.Get(k.mapping.name)
	if s.inKey {
		if !there {
			return false, nil
		}
		from = s.current()
	}
	v, err := k.eval.of(from, s)
	if err != nil {
		return false, err
	}
	if v == nil {
		if !there {
			return false, nil
		}
		w.Members(it, 0, 1, at-1)
		w.Members(it, 0, at+int(it.Tape[at].Skip), len(it.Tape))
		return true, nil
	}
	value, err := fromValue(v)
	if err != nil {
		return false, err
	}
	return putMember(w, it, s, k.mapping.name, func(item.Item) error { return w.Value(value) })
}

// index is v as a place in a list.
func index(v any) (int, error) {
	d, ok := number(v)
	n, whole := d.Int()
	if !ok || !whole || n > math.MaxInt32 || n < math.MinInt32 {
		return 0, fault.New(fault.User, "%s is no place in a list", cmpKind(v))
	}
	return int(n), nil
}
