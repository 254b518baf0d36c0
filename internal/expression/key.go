package expression

import (
	"bytes"
	"cmp"
	"strings"

	"dynaferry/internal/item"
)

// Keys are the key attributes of what a key condition is about, each part in its order: one of a table, up to four of a
// global index. Range is nil when there is no sort key.
type Keys struct{ Hash, Range []item.KeyAttr }

// TableKeys are the keys of a table, or of an index like one.
func TableKeys(k item.KeySchema) Keys {
	keys := Keys{Hash: []item.KeyAttr{k.Hash}}
	if k.Range.Name != "" {
		keys.Range = []item.KeyAttr{k.Range}
	}
	return keys
}

// composite tells whether any part is more than one attribute, which the service words its own way.
func (k Keys) composite() bool { return len(k.Hash) > 1 || len(k.Range) > 1 }

// attr finds a key attribute.
func (k Keys) attr(name string) (item.KeyAttr, bool) {
	for _, part := range [][]item.KeyAttr{k.Hash, k.Range} {
		for _, attr := range part {
			if attr.Name == name {
				return attr, true
			}
		}
	}
	return item.KeyAttr{}, false
}

// KeyCondition is a checked key condition: one value of each attribute of the partition key and, when asked for, values
// of the first attributes of the sort key and a range of the next one. It is immutable.
type KeyCondition struct {
	// Hash holds the partition key's values, of the schema's types.
	Hash []item.Value
	// Equal holds the values of sort key attributes before the one that has the range.
	Equal []item.Value
	// Low and High bound the sort key attribute behind those of Equal; nil is open. Both are the same value for equality.
	Low, High *item.Value
	// LowOpen and HighOpen exclude the bound itself.
	LowOpen, HighOpen bool
	// Prefix is set for begins_with: Low is the prefix, High is nil, and the range ends with the last value that begins
	// with it (of S or B, in the order of their bytes).
	Prefix bool

	late error
}

// Late is what is wrong with a condition on a key of several attributes. The service says it after all else that it finds in a
// request's expressions; nothing else of the condition holds then.
func (k *KeyCondition) Late() error { return k.late }

// Match tells whether the values of a sort key's attributes lie in the range. With no condition on the sort key everything
// does.
func (k *KeyCondition) Match(sortKey []item.Value) bool {
	for i, want := range k.Equal {
		if !ofValue(sortKey[i]).equal(ofValue(want)) {
			return false
		}
	}
	if k.Low == nil && k.High == nil {
		return true
	}
	v := ofValue(sortKey[len(k.Equal)])
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
func (s *Scope) KeyCondition(text string, keys Keys) (*KeyCondition, error) {
	root, err := s.condition(text)
	if err != nil {
		return nil, invalid(KeyConditionKind, err)
	}
	terms, err := keyTerms(root, nil)
	if err != nil {
		return nil, err
	}
	k, err := newKeyCondition(terms, keys)
	if err != nil && keys.composite() {
		return &KeyCondition{late: err}, nil
	}
	return k, err
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

func newKeyCondition(terms []keyTerm, keys Keys) (*KeyCondition, error) {
	byName := make(map[string]*keyTerm, len(terms))
	for i := range terms {
		byName[terms[i].name] = &terms[i]
	}
	check := checkKeyTerms
	if keys.composite() {
		check = checkCompositeTerms
	}
	if err := check(byName, keys); err != nil {
		return nil, err
	}
	k := &KeyCondition{}
	for _, attr := range keys.Hash {
		term := byName[attr.Name]
		if err := checkKeyValues(term, attr); err != nil {
			return nil, err
		}
		k.Hash = append(k.Hash, term.values[0])
	}
	for i, attr := range keys.Range {
		term := byName[attr.Name]
		if term == nil {
			break
		}
		if err := checkKeyValues(term, attr); err != nil {
			return nil, err
		}
		if i+1 < len(keys.Range) && byName[keys.Range[i+1].Name] != nil {
			k.Equal = append(k.Equal, term.values[0])
			continue
		}
		k.bound(term)
	}
	return k, nil
}

// checkKeyTerms judges which attributes of a key of one or two are asked for, and how.
func checkKeyTerms(terms map[string]*keyTerm, keys Keys) error {
	hash := terms[keys.Hash[0].Name]
	other := false // there is a term on something else than the two
	for name := range terms {
		if _, known := keys.attr(name); !known {
			other = true
		}
	}
	switch {
	case len(terms) > 2:
		return refuse("Conditions can be of length 1 or 2 only")
	case hash == nil:
		return refuse("Query condition missed key schema element: %s", keys.Hash[0].Name)
	case other && len(keys.Range) == 0:
		return refuse("Query condition missed key schema element")
	case other:
		return refuse("Query condition missed key schema element: %s", keys.Range[0].Name)
	case hash.op != opEQ:
		return refuse("Query key condition not supported")
	}
	return nil
}

// checkCompositeTerms judges it for keys of several attributes: all of the partition key and the first ones of the sort key
// are given a value; the last one asked for may have a range.
func checkCompositeTerms(terms map[string]*keyTerm, keys Keys) error {
	var missing []string
	for _, attr := range keys.Hash {
		if term := terms[attr.Name]; term == nil || term.op != opEQ {
			missing = append(missing, attr.Name)
		}
	}
	if len(missing) > 0 {
		return refuse("HASH key attributes %s must have equality conditions specified in the query", strings.Join(missing, ", "))
	}
	if len(terms) > len(keys.Hash)+len(keys.Range) {
		return refuse("Query key condition not supported")
	}
	for name := range terms {
		if _, known := keys.attr(name); !known {
			return refuse("Query condition missed key schema element")
		}
	}
	var ranged []string
	for _, attr := range keys.Range {
		term := terms[attr.Name]
		if term == nil {
			missing = append(missing, attr.Name)
			continue
		}
		if before := cmp.Or(strings.Join(missing, ", "), strings.Join(ranged, ", ")); before != "" {
			return refuse("RANGE key attributes %s must have equality conditions specified in the query "+
				"because a condition is present on key attribute %s", before, attr.Name)
		}
		if term.op != opEQ {
			ranged = append(ranged, attr.Name)
		}
	}
	return nil
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
