package expression

import (
	"bytes"

	"dynaferry/internal/item"
)

// KeyCondition is a checked key condition: one value of the partition key and, when asked for, a range of the sort key.
// It is immutable.
type KeyCondition struct {
	// Hash is the partition key's value, of the schema's type.
	Hash item.Value
	// Low and High bound the sort key; nil is open. Both are the same value for equality.
	Low, High *item.Value
	// LowOpen and HighOpen exclude the bound itself.
	LowOpen, HighOpen bool
	// Prefix is set for begins_with: Low is the prefix, High is nil, and the range ends with the last value that begins
	// with it (of S or B, in the order of their bytes).
	Prefix bool
}

// Match tells whether a sort key value lies in the range. With no condition on the sort key everything does.
func (k *KeyCondition) Match(sortKey item.Value) bool {
	v := ofValue(sortKey)
	if k.Low != nil {
		low := ofValue(*k.Low)
		if k.Prefix {
			return v.beginsWith(low)
		}
		order, ok := v.compare(low)
		if !ok || order < 0 || order == 0 && k.LowOpen {
			return false
		}
	}
	if k.High != nil {
		order, ok := v.compare(ofValue(*k.High))
		if !ok || order > 0 || order == 0 && k.HighOpen {
			return false
		}
	}
	return true
}

// PrefixEnd returns the least byte string above all that begin with prefix, nil when there is none: the exclusive upper
// bound of a begins_with over keys stored in byte order.
func PrefixEnd(prefix []byte) []byte {
	end := bytes.TrimRight(bytes.Clone(prefix), "\xff")
	if len(end) == 0 {
		return nil
	}
	end[len(end)-1]++
	return end
}

// KeyCondition compiles a key condition expression for a table or index with the given keys.
func (s *Scope) KeyCondition(text string, keys item.KeySchema) (*KeyCondition, error) {
	root, err := s.condition(text)
	if err != nil {
		return nil, invalid(KeyConditionKind, err)
	}
	terms, err := keyTerms(root, nil)
	if err != nil {
		return nil, err
	}
	return newKeyCondition(terms, keys)
}

// keyTerm is one comparison of a key attribute with values.
type keyTerm struct {
	name   string
	op     operator
	values []item.Value
}

var mirrored = map[operator]operator{opEQ: opEQ, opLT: opGT, opLE: opGE, opGT: opLT, opGE: opLE}

// keyTerms flattens the ANDs and refuses what a key condition may not hold.
func keyTerms(n *node, terms []keyTerm) ([]keyTerm, error) {
	switch n.op {
	case opAnd:
		terms, err := keyTerms(n.operands[0], terms)
		if err != nil {
			return nil, err
		}
		return keyTerms(n.operands[1], terms)
	case opEQ, opLT, opLE, opGT, opGE, opBetween, fnBeginsWith:
	default:
		return nil, refuse("Invalid operator used in KeyConditionExpression: %s", n.op)
	}
	term, err := newKeyTerm(n)
	if err != nil {
		return nil, err
	}
	for _, other := range terms {
		if other.name == term.name {
			return nil, refuse("KeyConditionExpressions must only contain one condition per key")
		}
	}
	return append(terms, term), nil
}

func newKeyTerm(n *node) (keyTerm, error) {
	term := keyTerm{op: n.op}
	var path Path
	at := 0
	for i, operand := range n.operands {
		switch {
		case operand.call:
			return term, refuse("KeyConditionExpressions cannot contain nested operations")
		case operand.op == opValue:
			term.values = append(term.values, operand.value)
		case path != nil:
			return term, refuse("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
		default:
			path, at = operand.path, i
		}
	}
	switch {
	case path == nil:
		return term, refuse("Invalid condition in KeyConditionExpression: No key attribute specified")
	case at > 0 && n.op == fnBeginsWith:
		return term, refuse("Invalid condition in KeyConditionExpression: " +
			"begins_with operator must have the key attribute as its first operand")
	case at > 0 && n.op == opBetween:
		return term, refuse("Invalid condition in KeyConditionExpression: " +
			"BETWEEN operator must have the key attribute as its first operand")
	case at > 0:
		term.op = mirrored[n.op]
	}
	if len(path) > 1 {
		return term, refuse("Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: "+
			"Key: %s", path[0].Name)
	}
	term.name = path[0].Name
	return term, nil
}

func newKeyCondition(terms []keyTerm, keys item.KeySchema) (*KeyCondition, error) {
	if len(terms) > 2 {
		return nil, refuse("Conditions can be of length 1 or 2 only")
	}
	var hash, sort *keyTerm
	for i := range terms {
		switch terms[i].name {
		case keys.Hash.Name:
			hash = &terms[i]
		case keys.Range.Name:
			sort = &terms[i]
		}
	}
	switch {
	case hash == nil:
		return nil, refuse("Query condition missed key schema element: %s", keys.Hash.Name)
	case len(terms) == 2 && sort == nil && keys.Range.Name == "":
		return nil, refuse("Query condition missed key schema element")
	case len(terms) == 2 && sort == nil:
		return nil, refuse("Query condition missed key schema element: %s", keys.Range.Name)
	case hash.op != opEQ:
		return nil, refuse("Query key condition not supported")
	}
	if err := checkKeyValues(hash, keys.Hash); err != nil {
		return nil, err
	}
	k := &KeyCondition{Hash: hash.values[0]}
	if sort == nil {
		return k, nil
	}
	if err := checkKeyValues(sort, keys.Range); err != nil {
		return nil, err
	}
	k.bound(sort)
	return k, nil
}

func checkKeyValues(term *keyTerm, attr item.KeyAttr) error {
	for _, v := range term.values {
		switch {
		case v.Type != attr.Type:
			return refuse("One or more parameter values were invalid: Condition parameter type does not match schema type")
		case v.Type == item.S && v.Str == "" && term.op != fnBeginsWith:
			return refuse("One or more parameter values are not valid. "+
				"The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", attr.Name)
		case v.Type == item.B && len(v.Bin) == 0 && term.op != fnBeginsWith:
			return refuse("One or more parameter values are not valid. "+
				"The AttributeValue for a key attribute cannot contain an empty binary value. Key: %s", attr.Name)
		}
	}
	return nil
}

func (k *KeyCondition) bound(term *keyTerm) {
	first := &term.values[0]
	switch term.op {
	case opEQ:
		k.Low, k.High = first, first
	case opLT, opLE:
		k.High, k.HighOpen = first, term.op == opLT
	case opGT, opGE:
		k.Low, k.LowOpen = first, term.op == opGT
	case opBetween:
		k.Low, k.High = first, &term.values[1]
	case fnBeginsWith:
		k.Low, k.Prefix = first, true
	}
}
