package expression

import (
	"slices"
	"strings"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Kind names an expression as the service's requests and errors do.
type Kind string

// The kinds of expressions. Condition and Filter differ in name only.
const (
	ConditionKind    Kind = "ConditionExpression"
	Filter           Kind = "FilterExpression"
	KeyConditionKind Kind = "KeyConditionExpression"
	ProjectionKind   Kind = "ProjectionExpression"
	UpdateKind       Kind = "UpdateExpression"
)

// Scope holds the names and values of one request, which its expressions share, and remembers which of them were used.
// It is for one goroutine; what it makes is for any number.
type Scope struct {
	names      map[string]string
	values     map[string]item.Value
	usedNames  map[string]bool
	usedValues map[string]bool
}

// NewScope makes a scope. Keys carry their # or :. The maps are not copied and not changed; nil is allowed.
func NewScope(names map[string]string, values map[string]item.Value) *Scope {
	return &Scope{names: names, values: values, usedNames: map[string]bool{}, usedValues: map[string]bool{}}
}

// Condition compiles a condition or filter expression; kind goes into errors: "Invalid FilterExpression: ...".
func (s *Scope) Condition(kind Kind, text string) (*Condition, error) {
	root, err := s.condition(text)
	if err != nil {
		return nil, invalid(kind, err)
	}
	return &Condition{root: root, text: text}, nil
}

func (s *Scope) condition(text string) (*node, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	root, err := p.condition()
	if err != nil {
		return nil, err
	}
	if err := checkNames(root, inCondition); err != nil {
		return nil, err
	}
	if err := s.checkOperands(root); err != nil {
		return nil, err
	}
	return root, checkOperators(root)
}

// Done tells whether every name and value was used, and in the service's words which were not.
func (s *Scope) Done() error {
	if unused := unusedOf(s.names, s.usedNames); len(unused) > 0 {
		return refuse("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}",
			strings.Join(unused, ", "))
	}
	if unused := unusedOf(s.values, s.usedValues); len(unused) > 0 {
		return refuse("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}",
			strings.Join(unused, ", "))
	}
	return nil
}

func unusedOf[V any](all map[string]V, used map[string]bool) []string {
	var unused []string
	for key := range all {
		if !used[key] {
			unused = append(unused, key)
		}
	}
	slices.Sort(unused)
	return unused
}

func invalid(kind Kind, err error) error {
	return fault.New(fault.User, "Invalid %s: %w", kind, err)
}
