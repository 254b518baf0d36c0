package expression

import (
	"maps"
	"slices"

	"dynaferry/internal/item"
)

// Update is a checked update expression. It is immutable.
type Update struct {
	actions []action
	root    *branch
	touched *Projection
}

// Update compiles an update expression.
func (s *Scope) Update(text string) (*Update, error) {
	update, err := s.update(text)
	if err != nil {
		return nil, invalid(UpdateKind, err)
	}
	return update, nil
}

func (s *Scope) update(text string) (*Update, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	actions, twice, err := p.update()
	if err != nil {
		return nil, err
	}
	if err := checkActionNames(actions); err != nil {
		return nil, err
	}
	if twice != "" {
		return nil, refuse(`The "%s" section can only be used once in an update expression;`, twice)
	}
	targets := make([]*node, len(actions))
	for i, a := range actions {
		targets[i] = a.target
	}
	touched, err := s.resolvePaths(targets)
	if err != nil {
		return nil, err
	}
	if err := s.checkActionValues(actions); err != nil {
		return nil, err
	}
	return &Update{actions: actions, root: touched.root, touched: touched}, nil
}

func checkActionNames(actions []action) error {
	for _, a := range actions {
		if err := checkReserved(a.target); err != nil {
			return err
		}
		if a.value == nil {
			continue
		}
		if err := checkNames(a.value, inSet); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scope) checkActionValues(actions []action) error {
	var values []*node
	for _, a := range actions {
		if a.value == nil {
			continue
		}
		if err := s.checkOperands(a.value); err != nil {
			return err
		}
		values = append(values, a.value)
	}
	for _, a := range actions {
		if a.verb == "add" || a.verb == "delete" {
			if err := checkOperandOf(a.verb, a.value.value); err != nil {
				return err
			}
		}
	}
	return checkOperators(values...)
}

// Targets returns the document paths that the update writes, in the order of the text.
func (u *Update) Targets() []Path { return u.touched.paths }

// CheckKeys refuses an update that writes to a key attribute of the table.
func (u *Update) CheckKeys(keys item.KeySchema) error {
	for _, path := range u.touched.paths {
		if name := path[0].Name; name == keys.Hash.Name || keys.Range.Name != "" && name == keys.Range.Name {
			return refuse("One or more parameter values were invalid: Cannot update attribute %s. "+
				"This attribute is part of the key", name)
		}
	}
	return nil
}

// Touched projects an item to the update's targets: of the item before it is what ReturnValues=UPDATED_OLD returns, of
// the item after what UPDATED_NEW does, the service's oddities with list indexes included (an index beyond the end is
// looked up as it was written, and a removed element's index shows its follower).
func (u *Update) Touched() *Projection { return u.touched }

// errors of an update that depend on the item.
func errPath() error {
	return refuse("The document path provided in the update expression is invalid for update")
}
func errAbsent() error {
	return refuse("The provided expression refers to an attribute that does not exist in the item")
}
func errType() error { return refuse("An operand in the update expression has an incorrect data type") }

// Apply returns the item after the update; nil is the item that does not exist yet, whose key the caller adds. All
// right sides see the item as it was. Containers on the way to a target are copied, the rest is shared. Set elements of
// a list beyond its end are appended in the order of their indexes; removed elements close ranks afterwards. The item
// given is never changed.
func (u *Update) Apply(attributes map[string]item.Value) (map[string]item.Value, error) {
	after, _, err := u.apply(item.Value{Type: item.M, Map: attributes}, true, u.root, attributes)
	if err != nil {
		return nil, err
	}
	return after.Map, nil
}

// apply works on the value at a branch. The second result tells whether a value stands there afterwards.
func (u *Update) apply(v item.Value, there bool, b *branch, before map[string]item.Value) (item.Value, bool, error) {
	switch {
	case b.leaf > 0:
		return u.act(v, there, b.leaf-1, before)
	case !there:
		return v, false, errPath()
	case b.steps[0].Index < 0:
		return u.applyMembers(v, b, before)
	}
	return u.applyElements(v, b, before)
}

func (u *Update) applyMembers(v item.Value, b *branch, before map[string]item.Value) (item.Value, bool, error) {
	if v.Type != item.M {
		return v, true, errPath()
	}
	members := maps.Clone(v.Map)
	if members == nil {
		members = map[string]item.Value{}
	}
	for i, step := range b.steps {
		old, there := v.Map[step.Name]
		member, stays, err := u.apply(old, there, b.next[i], before)
		if err != nil {
			return v, true, err
		}
		if stays {
			members[step.Name] = member
		} else {
			delete(members, step.Name)
		}
	}
	return item.Value{Type: item.M, Map: members}, true, nil
}

func (u *Update) applyElements(v item.Value, b *branch, before map[string]item.Value) (item.Value, bool, error) {
	if v.Type != item.L {
		return v, true, errPath()
	}
	list := slices.Clone(v.List)
	gone := make([]bool, len(list))
	for i, step := range b.steps {
		var old item.Value
		there := step.Index < len(v.List)
		if there {
			old = v.List[step.Index]
		}
		element, stays, err := u.apply(old, there, b.next[i], before)
		switch {
		case err != nil:
			return v, true, err
		case there:
			list[step.Index], gone[step.Index] = element, !stays
		case stays:
			list = append(list, element)
		}
	}
	kept := list[:0]
	for i, element := range list {
		if i >= len(gone) || !gone[i] {
			kept = append(kept, element)
		}
	}
	return item.Value{Type: item.L, List: kept}, true, nil
}

// act does one action to the value at its target.
func (u *Update) act(old item.Value, there bool, i int, before map[string]item.Value) (item.Value, bool, error) {
	a := u.actions[i]
	switch a.verb {
	case "set":
		v, err := a.value.compute(before)
		return v, true, err
	case "remove":
		return old, false, nil
	case "add":
		sum, err := addTo(old, there, a.value.value)
		return sum, true, err
	}
	return deleteFrom(old, there, a.value.value)
}

// addTo adds a number to a number or members to a set; an absent target becomes the operand.
func addTo(old item.Value, there bool, v item.Value) (item.Value, error) {
	switch {
	case !there:
		return v, nil
	case old.Type != v.Type:
		return old, errType()
	case v.Type == item.N:
		return Add(old, v)
	}
	return item.Value{Type: old.Type, List: union(old, v)}, nil
}

// deleteFrom takes members out of a set; a set that loses all of them goes.
func deleteFrom(old item.Value, there bool, v item.Value) (item.Value, bool, error) {
	switch {
	case !there:
		return old, false, nil
	case old.Type != v.Type:
		return old, true, errType()
	}
	members := ofValue(v).members()
	var kept []item.Value
	for i, member := range ofValue(old).members() {
		if !slices.ContainsFunc(members, member.equal) {
			kept = append(kept, old.List[i])
		}
	}
	return item.Value{Type: old.Type, List: kept}, len(kept) > 0, nil
}

func union(old, v item.Value) []item.Value {
	members := ofValue(old).members()
	list := slices.Clone(old.List)
	for i, member := range ofValue(v).members() {
		if !slices.ContainsFunc(members, member.equal) {
			list = append(list, v.List[i])
		}
	}
	return list
}

// compute evaluates the right side of SET against the item before the update.
func (n *node) compute(s map[string]item.Value) (item.Value, error) {
	switch {
	case n.call && n.op == fnIfNotExists:
		other, err := n.operands[1].compute(s) // also when it is not needed: the service wants it to exist
		if v, ok := n.operands[0].path.find(s); ok && err == nil {
			return v, nil
		}
		return other, err
	case !n.call && n.op == opValue:
		return n.value, nil
	case !n.call && n.op == opPath:
		v, ok := n.path.find(s)
		if !ok {
			return v, errAbsent()
		}
		return v, nil
	}
	left, err := n.operands[0].compute(s)
	if err != nil {
		return left, err
	}
	right, err := n.operands[1].compute(s)
	if err != nil {
		return right, err
	}
	if n.op == fnListAppend {
		if left.Type != item.L || right.Type != item.L {
			return left, errType()
		}
		return item.Value{Type: item.L, List: slices.Concat([]item.Value{}, left.List, right.List)}, nil
	}
	if left.Type != item.N || right.Type != item.N {
		return left, errType()
	}
	if n.op == opMinus {
		return Subtract(left, right)
	}
	return Add(left, right)
}
