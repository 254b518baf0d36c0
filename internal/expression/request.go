package expression

import (
	"maps"
	"slices"
	"strings"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Request is all expressions of one request. Texts are pointers because the service tells an absent expression from an
// empty one.
type Request struct {
	Names        map[string]string     // ExpressionAttributeNames; nil when absent
	Values       map[string]item.Value // ExpressionAttributeValues; nil when absent
	Update       *string
	Condition    *string
	KeyCondition *string
	Keys         Keys // of the table or index that KeyCondition is about
	Filter       *string
	Projection   *string
	// Takes lists the expressions with values that the operation knows; errors name them.
	Takes []Kind
}

// Compiled is what a request's expressions became; nil where there was none.
type Compiled struct {
	Update       *Update
	Condition    *Condition
	KeyCondition *KeyCondition
	Filter       *Condition
	Projection   *Projection
}

// Limits of placeholders (Developer Guide, "Service, account, and table quotas", and the service's own errors).
const (
	placeholderBytesMax = 255
	nameBytesMax        = 65535
	valuesBytesMax      = 2 << 20
)

// Compile checks and compiles a whole request in the service's order: placeholders, expressions, unused placeholders.
func Compile(r Request) (*Compiled, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	s := NewScope(r.Names, r.Values)
	c := &Compiled{}
	var err error
	if r.Update != nil {
		if c.Update, err = s.Update(*r.Update); err != nil {
			return nil, err
		}
	}
	if r.Condition != nil {
		if c.Condition, err = s.Condition(ConditionKind, *r.Condition); err != nil {
			return nil, err
		}
	}
	if r.KeyCondition != nil {
		if c.KeyCondition, err = s.KeyCondition(*r.KeyCondition, r.Keys); err != nil {
			return nil, err
		}
	}
	if r.Filter != nil {
		if c.Filter, err = s.Condition(Filter, *r.Filter); err != nil {
			return nil, err
		}
	}
	if r.Projection != nil {
		if c.Projection, err = s.Projection(*r.Projection); err != nil {
			return nil, err
		}
	}
	return c, s.Done()
}

func (r *Request) check() error {
	withValues := r.Update != nil || r.Condition != nil || r.KeyCondition != nil || r.Filter != nil
	if r.Names != nil {
		if !withValues && r.Projection == nil {
			return refuse("ExpressionAttributeNames can only be specified when using expressions")
		}
		if err := checkNamesMap(r.Names); err != nil {
			return err
		}
	}
	if r.Values == nil {
		return nil
	}
	if !withValues {
		return r.noValues()
	}
	return checkValuesMap(r.Values)
}

// noValues words the error of values without an expression that could use them.
func (r *Request) noValues() error {
	var kinds []string
	for _, kind := range r.Takes {
		kinds = append(kinds, string(kind))
	}
	verb := "are"
	if len(kinds) == 1 {
		verb = "is"
	}
	return refuse("ExpressionAttributeValues can only be specified when using expressions: %s %s null",
		strings.Join(kinds, " and "), verb)
}

func checkNamesMap(names map[string]string) error {
	if len(names) == 0 {
		return refuse("ExpressionAttributeNames must not be empty")
	}
	for _, key := range slices.Sorted(maps.Keys(names)) {
		if err := checkPlaceholder(key, '#'); err != nil {
			return fault.New(fault.User, "ExpressionAttributeNames contains invalid key: %w", err)
		}
		switch name := names[key]; {
		case name == "":
			return refuse("ExpressionAttributeNames contains invalid value: Empty attribute name for key %s", key)
		case len(name) > nameBytesMax:
			return refuse("ExpressionAttributeNames contains invalid value: "+
				"Attribute name is too large, must be less than 65536 bytes for key %s", key)
		}
	}
	return nil
}

func checkValuesMap(values map[string]item.Value) error {
	if len(values) == 0 {
		return refuse("ExpressionAttributeValues must not be empty")
	}
	size := 0
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if err := checkPlaceholder(key, ':'); err != nil {
			return fault.New(fault.User, "ExpressionAttributeValues contains invalid key: %w", err)
		}
		if err := checkValue(values[key]); err != nil {
			return fault.New(fault.User, "ExpressionAttributeValues contains invalid value: %w for key %s", err, key)
		}
		size += weigh(values[key])
	}
	if size > valuesBytesMax {
		return refuse("ExpressionAttributeValues exceeds max size: %d", valuesBytesMax)
	}
	return nil
}

func checkPlaceholder(key string, sign byte) error {
	if len(key) > placeholderBytesMax {
		return refuse("The expression attribute map contains a key that is too long; size of key: %d", len(key))
	}
	ok := len(key) > 1 && key[0] == sign
	for i := 1; ok && i < len(key); i++ {
		ok = isWord(key[i])
	}
	if !ok {
		return refuse(`Syntax error; key: "%s"`, key)
	}
	return nil
}

var setNames = map[item.Type]string{item.SS: "string set", item.NS: "number set", item.BS: "binary set"}

// checkValue refuses what no attribute may hold: no type, an empty set or one with a member twice, what is no number.
func checkValue(v item.Value) error {
	switch {
	case v.Type < item.S || v.Type > item.BS:
		return refuse("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	case v.Type == item.N:
		_, err := item.ParseNumber([]byte(v.Str))
		return err
	case v.Type.IsSet():
		return checkSet(v)
	}
	for _, element := range v.List {
		if err := checkValue(element); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.Map)) {
		if err := checkValue(v.Map[name]); err != nil {
			return err
		}
	}
	return nil
}

func checkSet(v item.Value) error {
	if len(v.List) == 0 {
		return refuse("One or more parameter values were invalid: An %s  may not be empty", setNames[v.Type])
	}
	seen := map[string]bool{}
	for _, member := range ofValue(v).members() {
		text := member.text
		if v.Type == item.NS {
			number, err := item.ParseNumber(text)
			if err != nil {
				return err
			}
			text = []byte(number)
		}
		if seen[string(text)] {
			return refuse("One or more parameter values were invalid: Input collection contains duplicates.")
		}
		seen[string(text)] = true
	}
	return nil
}

// weigh counts the bytes of a value's content, names included.
func weigh(v item.Value) int {
	size := len(v.Str) + len(v.Bin)
	for _, element := range v.List {
		size += weigh(element)
	}
	for name, member := range v.Map {
		size += len(name) + weigh(member)
	}
	return size
}
