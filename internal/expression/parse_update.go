package expression

import "strings"

// action is one action of an update expression: SET path = value, REMOVE path, ADD path value, DELETE path value.
type action struct {
	verb   string // set, remove, add or delete
	target *node
	value  *node // nil for remove
}

// update reads the four sections in any order. A section that stands twice is found by the checks.
func (p *parser) update() (actions []action, twice string, err error) {
	seen := map[string]bool{}
	for first := true; first || p.token().kind != tokenEOF; first = false {
		verb := p.token()
		if verb.kind != tokenKeyword || !isSection(verb.text) {
			return nil, "", p.syntax()
		}
		p.skip()
		if seen[verb.text] && twice == "" {
			twice = strings.ToUpper(verb.text)
		}
		seen[verb.text] = true
		for more := true; more; more = p.take(",") {
			a, err := p.action(verb.text)
			if err != nil {
				return nil, "", err
			}
			actions = append(actions, a)
		}
	}
	return actions, twice, p.finish()
}

func isSection(word string) bool {
	return word == "set" || word == "remove" || word == "add" || word == "delete"
}

func (p *parser) action(verb string) (action, error) {
	a := action{verb: verb}
	var err error
	if a.target, err = p.path(); err != nil {
		return a, err
	}
	switch verb {
	case "set":
		if err = p.expect("="); err == nil {
			a.value, err = p.sum()
		}
	case "add", "delete":
		t := p.token()
		if t.kind != tokenValue {
			return a, p.syntax()
		}
		p.skip()
		a.value = &node{op: opValue, name: t.text}
	}
	return a, err
}

// sum reads the right side of SET: an operand, or two with + or - between, in parentheses or not.
func (p *parser) sum() (*node, error) {
	var left *node
	var err error
	if p.take("(") {
		left, err = p.closed(func(bool) (*node, error) { return p.sum() })
		if err == nil && (left.op == opPlus || left.op == opMinus) {
			return left, nil
		}
	} else {
		left, err = p.operand()
	}
	if err != nil {
		return nil, err
	}
	for _, op := range []operator{opPlus, opMinus} {
		if !p.take(string(op)) {
			continue
		}
		right, err := p.operand()
		if err != nil {
			return nil, err
		}
		return &node{op: op, operands: []*node{left, right}}, nil
	}
	return left, nil
}

// projection reads paths with commas between.
func (p *parser) projection() ([]*node, error) {
	var paths []*node
	for more := true; more; more = p.take(",") {
		n, err := p.path()
		if err != nil {
			return nil, err
		}
		paths = append(paths, n)
	}
	return paths, p.finish()
}
