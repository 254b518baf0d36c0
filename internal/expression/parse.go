package expression

import "strconv"

// Quotas of the service (Developer Guide, "Service, account, and table quotas").
const (
	expressionBytesMax = 4096
	operatorsMax       = 300
	inOperandsMax      = 100
)

// parser reads one text by recursive descent with one token ahead, which meets a syntax error at the same token as the
// service's own parser. Errors that the service finds only in a text without syntax errors are kept in late.
type parser struct {
	text   string
	tokens []token
	at     int
	late   error
}

// newParser checks what the service checks before it reads.
func newParser(text string) (*parser, error) {
	if text == "" {
		return nil, refuse("The expression can not be empty;")
	}
	if len(text) > expressionBytesMax {
		return nil, refuse("Expression size has exceeded the maximum allowed size; expression size: %d", len(text))
	}
	return &parser{text: text, tokens: lex(text)}, nil
}

func (p *parser) token() token { return p.tokens[p.at] }

func (p *parser) ahead() token { return p.tokens[min(p.at+1, len(p.tokens)-1)] }

func (p *parser) skip() { p.at = min(p.at+1, len(p.tokens)-1) }

// take skips a symbol or keyword when it is the next token.
func (p *parser) take(text string) bool {
	t := p.token()
	if (t.kind != tokenSymbol && t.kind != tokenKeyword) || t.text != text {
		return false
	}
	p.skip()
	return true
}

func (p *parser) expect(text string) error {
	if !p.take(text) {
		return p.syntax()
	}
	return nil
}

// syntax refuses the next token. The text near it goes from the token before to the end of the token behind.
func (p *parser) syntax() error {
	t := p.token()
	from := 0
	if p.at > 0 {
		from = p.tokens[p.at-1].from
	}
	shown := t.text
	if t.kind == tokenKeyword {
		shown = p.text[t.from:t.to]
	}
	return refuse(`Syntax error; token: "%s", near: "%s"`, shown, p.text[from:p.ahead().to])
}

// finish expects the end and gives the first late error.
func (p *parser) finish() error {
	if p.token().kind != tokenEOF {
		return p.syntax()
	}
	return p.late
}

func (p *parser) later(err error) {
	if p.late == nil {
		p.late = err
	}
}

func (p *parser) condition() (*node, error) {
	n, err := p.or(false)
	if err != nil {
		return nil, err
	}
	return n, p.finish()
}

// or, and, not and primary are the grammar's levels. With bare set, the caller stands behind an opening parenthesis and
// takes a lone operand too: (a) = :v.
func (p *parser) or(bare bool) (*node, error) { return p.chain("or", opOr, bare, p.and) }

func (p *parser) and(bare bool) (*node, error) { return p.chain("and", opAnd, bare, p.not) }

func (p *parser) chain(word string, op operator, bare bool, part func(bool) (*node, error)) (*node, error) {
	left, err := part(bare)
	for err == nil && p.take(word) {
		var right *node
		if right, err = part(false); err == nil {
			left = &node{op: op, operands: []*node{left, right}}
		}
	}
	return left, err
}

func (p *parser) not(bare bool) (*node, error) {
	if !p.take("not") {
		return p.primary(bare)
	}
	inner, err := p.not(false)
	if err != nil {
		return nil, err
	}
	return &node{op: opNot, operands: []*node{inner}}, nil
}

// primary reads a comparison, a function or something in parentheses.
func (p *parser) primary(bare bool) (*node, error) {
	var left *node
	var err error
	if p.take("(") {
		if left, err = p.closed(p.or); err != nil {
			return nil, err
		}
		if left.op != opPath && left.op != opValue && !left.call {
			return left, nil
		}
	} else if left, err = p.operand(); err != nil {
		return nil, err
	}
	return p.comparison(left, bare)
}

// closed reads the inside of parentheses and the closing one.
func (p *parser) closed(inside func(bool) (*node, error)) (*node, error) {
	n, err := inside(true)
	if err != nil {
		return nil, err
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	if n.parens++; n.parens > 1 {
		p.later(refuse("The expression has redundant parentheses;"))
	}
	return n, nil
}

var comparators = map[string]operator{"=": opEQ, "<>": opNE, "<": opLT, "<=": opLE, ">": opGT, ">=": opGE}

// comparison reads what follows an operand.
func (p *parser) comparison(left *node, bare bool) (*node, error) {
	if op, ok := comparators[p.token().text]; ok && p.token().kind == tokenSymbol {
		p.skip()
		right, err := p.operand()
		if err != nil {
			return nil, err
		}
		return &node{op: op, operands: []*node{left, right}}, nil
	}
	switch {
	case p.take("between"):
		low, err := p.operand()
		if err != nil {
			return nil, err
		}
		if err := p.expect("and"); err != nil {
			return nil, err
		}
		high, err := p.operand()
		return &node{op: opBetween, operands: []*node{left, low, high}}, err
	case p.take("in"):
		if err := p.expect("("); err != nil {
			return nil, err
		}
		list, err := p.list()
		return &node{op: opIn, operands: append([]*node{left}, list...)}, err
	case left.call:
		return left, nil // whether it may stand here is checked later
	case bare && p.token().text == ")":
		return left, nil
	}
	return nil, p.syntax()
}

// list reads operands up to the closing parenthesis.
func (p *parser) list() ([]*node, error) {
	var list []*node
	for {
		n, err := p.operand()
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if p.take(")") {
			return list, nil
		}
		if err := p.expect(","); err != nil {
			return nil, err
		}
	}
}

// operand reads a path, a value, a function, or one of them in parentheses.
func (p *parser) operand() (*node, error) {
	switch t := p.token(); {
	case t.kind == tokenValue:
		p.skip()
		return &node{op: opValue, name: t.text}, nil
	case t.kind == tokenWord && p.ahead().text == "(" && p.ahead().kind == tokenSymbol:
		p.skip()
		p.skip()
		list, err := p.list()
		return &node{op: operator(t.text), call: true, operands: list}, err
	case p.take("("):
		return p.closed(func(bool) (*node, error) { return p.operand() })
	}
	return p.path()
}

func (p *parser) path() (*node, error) {
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	n := &node{op: opPath, raw: []Step{{Name: name, Index: -1}}}
	for {
		switch {
		case p.take("."):
			if name, err = p.name(); err != nil {
				return nil, err
			}
			n.raw = append(n.raw, Step{Name: name, Index: -1})
		case p.take("["):
			index, err := p.index()
			if err != nil {
				return nil, err
			}
			if err := p.expect("]"); err != nil {
				return nil, err
			}
			n.raw = append(n.raw, Step{Index: index})
		default:
			return n, nil
		}
	}
}

func (p *parser) name() (string, error) {
	t := p.token()
	if t.kind != tokenWord && t.kind != tokenName {
		return "", p.syntax()
	}
	p.skip()
	return t.text, nil
}

func (p *parser) index() (int, error) {
	t := p.token()
	if t.kind != tokenIndex {
		return 0, p.syntax()
	}
	p.skip()
	index, err := strconv.ParseInt(t.text, 10, 32)
	if err != nil {
		p.later(refuse("List index is not within the allowable range; index: [%s]", t.text))
	}
	return int(index), nil
}
