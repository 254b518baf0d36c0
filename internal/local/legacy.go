package local

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"dynaferry/internal/expression"
	"dynaferry/internal/item"
)

// legacy is how the API before expressions is served: its parameters are held against its own rules and then said in
// expressions, which everything behind it knows.
type legacy struct {
	given   bool // the request came in those parameters, which complaints then name
	deletes bool // its AttributeUpdates delete and do nothing else: where there is no item they make none

	request *expression.Request
	names   int // placeholders made so far
}

// translate says the parameters of the API before expressions in r. Which of them the operation takes was looked at.
func (l *legacy) translate(a args, w *wording, r *expression.Request) error {
	*l = legacy{given: true, request: r}
	for _, step := range []struct {
		name string
		read func(raw []byte) (string, error)
		to   **string
	}{
		{"AttributesToGet", l.projection, &r.Projection},
		{"AttributeUpdates", l.updates, &r.Update},
		{"Expected", l.conditions(a, "Expected"), &r.Condition},
		{"QueryFilter", l.conditions(a, "QueryFilter"), &r.Filter},
		{"ScanFilter", l.conditions(a, "ScanFilter"), &r.Filter},
		{"KeyConditions", l.keyConditions, &r.KeyCondition},
	} {
		raw := a.get(step.name)
		if raw == nil || !slices.Contains(w.legacy, step.name) {
			continue
		}
		text, err := step.read(raw)
		if err != nil {
			return err
		}
		if text != "" {
			*step.to = &text
		}
	}
	if a.get("ConditionalOperator") != nil && r.Condition == nil && r.Filter == nil {
		return invalid("ConditionalOperator cannot be used without Filter or Expected")
	}
	return nil
}

// says gives the API before expressions its own words for what is wrong with an item that is to be updated.
func (l *legacy) says(words string) string {
	if l.given && words == "An operand in the update expression has an incorrect data type" {
		return "Type mismatch for attribute to update"
	}
	return words
}

// name makes a placeholder for an attribute.
func (l *legacy) name(attribute string) (string, error) {
	if attribute == "" {
		return "", invalid("Empty attribute name")
	}
	if l.request.Names == nil {
		l.request.Names = map[string]string{}
	}
	for {
		placeholder := fmt.Sprintf("#a%d", l.names)
		l.names++
		if _, taken := l.request.Names[placeholder]; !taken {
			l.request.Names[placeholder] = attribute
			return placeholder, nil
		}
	}
}

// value makes a placeholder for a value.
func (l *legacy) value(v item.Value) string {
	if l.request.Values == nil {
		l.request.Values = map[string]item.Value{}
	}
	for {
		placeholder := fmt.Sprintf(":v%d", l.names)
		l.names++
		if _, taken := l.request.Values[placeholder]; !taken {
			l.request.Values[placeholder] = v
			return placeholder
		}
	}
}

// projection says AttributesToGet.
func (l *legacy) projection(raw []byte) (string, error) {
	list, _, err := args{{[]byte("A"), raw}}.list("A")
	if err != nil {
		return "", err
	}
	v := constraints{}
	if len(list) == 0 {
		v.add("'[]'", "attributesToGet", "Member must have length greater than or equal to 1")
		return "", v.err()
	}
	var placeholders []string
	seen := map[string]bool{}
	for _, raw := range list {
		attribute, err := text(raw)
		if err != nil {
			return "", err
		}
		if seen[attribute] {
			return "", invalidValue("Duplicate value in attribute name: %s", attribute)
		}
		seen[attribute] = true
		placeholder, err := l.name(attribute)
		if err != nil {
			return "", err
		}
		placeholders = append(placeholders, placeholder)
	}
	return strings.Join(placeholders, ", "), nil
}

const classLegacyMap = "java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.%s>"

// updates says AttributeUpdates.
func (l *legacy) updates(raw []byte) (string, error) {
	members, err := object(raw, fmt.Sprintf(classLegacyMap, "AttributeValueUpdate"))
	if err != nil {
		return "", err
	}
	sections := map[string][]string{}
	for _, m := range members {
		section, action, err := l.update(m)
		if err != nil {
			return "", err
		}
		sections[section] = append(sections[section], action)
	}
	var update []string
	for _, section := range []string{"SET", "REMOVE", "ADD", "DELETE"} {
		if actions := sections[section]; len(actions) > 0 {
			update = append(update, section+" "+strings.Join(actions, ", "))
		}
	}
	l.deletes = len(update) > 0 && len(sections["SET"])+len(sections["ADD"]) == 0
	return strings.Join(update, " "), nil
}

// update says one member of AttributeUpdates: the section of the update expression it belongs to, and its action there.
func (l *legacy) update(m member) (section, action string, err error) {
	body, err := object(m.raw, classStructure)
	if err != nil {
		return "", "", err
	}
	verb, given, err := body.text("Action")
	if err != nil {
		return "", "", err
	}
	if !given {
		verb = "PUT"
	}
	v := constraints{}
	v.oneOf(verb, "attributeUpdates."+string(m.name)+".member.action", "ADD", "DELETE", "PUT")
	if err := v.err(); err != nil {
		return "", "", err
	}
	name, err := l.name(string(m.name))
	if err != nil {
		return "", "", err
	}
	raw := body.get("Value")
	if raw == nil {
		if verb != "DELETE" {
			return "", "", invalidValue("Only DELETE action is allowed when no attribute value is specified")
		}
		return "REMOVE", name, nil
	}
	value, err := legacyValue(raw)
	switch {
	case err != nil:
		return "", "", err
	case verb == "PUT":
		return "SET", name + " = " + l.value(value), nil
	case verb == "DELETE" && !value.Type.IsSet():
		return "", "", invalidValue("DELETE action with value is not supported for the type %s", expression.LongType(value.Type))
	case verb == "ADD" && value.Type == item.L: // not documented, and served
		return "SET", fmt.Sprintf("%s = list_append(if_not_exists(%s, %s), %s)",
			name, name, l.value(item.Value{Type: item.L}), l.value(value)), nil
	case verb == "ADD" && !value.Type.IsSet() && value.Type != item.N:
		return "", "", invalidValue("ADD action is not supported for the type %s", expression.LongType(value.Type))
	}
	return verb, name + " " + l.value(value), nil
}

func legacyValue(raw []byte) (item.Value, error) {
	d := diagnosis{}
	v, err := d.value(raw, 1)
	if err == nil {
		err = d.err
	}
	return v, err
}

// comparison is one condition of the API before expressions.
type comparison struct {
	attribute string
	operator  string
	values    []item.Value
}

var comparisonOperators = []string{"IN", "NULL", "BETWEEN", "LT", "NOT_CONTAINS", "EQ", "GT", "NOT_NULL", "NE", "LE",
	"BEGINS_WITH", "GE", "CONTAINS"}

// conditions says Expected, QueryFilter or ScanFilter, whose members ConditionalOperator joins.
func (l *legacy) conditions(a args, parameter string) func([]byte) (string, error) {
	return func(raw []byte) (string, error) {
		join, given, err := a.text("ConditionalOperator")
		if err != nil {
			return "", err
		}
		v := constraints{}
		v.oneOf(join, "conditionalOperator", "OR", "AND")
		if err := v.err(); err != nil {
			return "", err
		}
		if !given {
			join = "AND"
		}
		list, err := comparisons(raw, parameter)
		if err != nil {
			return "", err
		}
		if given && len(list) == 1 {
			return "", invalid("ConditionalOperator can only be used when Filter or Expected has two or more elements")
		}
		return l.join(list, join)
	}
}

// keyConditions says KeyConditions. What they may be about the expression's own check knows.
func (l *legacy) keyConditions(raw []byte) (string, error) {
	list, err := comparisons(raw, "KeyConditions")
	if err != nil {
		return "", err
	}
	if len(list) == 0 {
		return "", invalid("Conditions can be of length 1 or 2 only")
	}
	for _, c := range list {
		switch c.operator {
		case "NULL", "NOT_NULL", "NE", "CONTAINS", "NOT_CONTAINS", "IN":
			return "", invalid("Attempted conditional constraint is not an indexable operation")
		}
	}
	return l.join(list, "AND")
}

func (l *legacy) join(list []comparison, with string) (string, error) {
	var terms []string
	for _, c := range list {
		term, err := l.term(c)
		if err != nil {
			return "", err
		}
		terms = append(terms, term)
	}
	return strings.Join(terms, " "+with+" "), nil
}

// term says one comparison.
func (l *legacy) term(c comparison) (string, error) {
	name, err := l.name(c.attribute)
	if err != nil {
		return "", err
	}
	values := make([]string, len(c.values))
	for i, v := range c.values {
		values[i] = l.value(v)
	}
	switch c.operator {
	case "NULL":
		return "attribute_not_exists(" + name + ")", nil
	case "NOT_NULL":
		return "attribute_exists(" + name + ")", nil
	case "IN":
		return name + " IN (" + strings.Join(values, ", ") + ")", nil
	case "BETWEEN":
		return name + " BETWEEN " + values[0] + " AND " + values[1], nil
	case "BEGINS_WITH":
		return "begins_with(" + name + ", " + values[0] + ")", nil
	case "CONTAINS":
		return "contains(" + name + ", " + values[0] + ")", nil
	case "NOT_CONTAINS": // what is not there contains nothing, and does not contain nothing either
		return "(attribute_exists(" + name + ") AND NOT contains(" + name + ", " + values[0] + "))", nil
	}
	signs := map[string]string{"EQ": "=", "NE": "<>", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}
	return name + " " + signs[c.operator] + " " + values[0], nil
}

// comparisons reads and checks a map of conditions by attribute.
func comparisons(raw []byte, parameter string) ([]comparison, error) {
	class, read := "Condition", readCondition
	if parameter == "Expected" {
		class, read = "ExpectedAttributeValue", readExpected
	}
	members, err := object(raw, fmt.Sprintf(classLegacyMap, class))
	if err != nil {
		return nil, err
	}
	var list []comparison
	v := &constraints{}
	for _, m := range members {
		body, err := object(m.raw, classStructure)
		if err != nil {
			return nil, err
		}
		at := strings.ToLower(parameter[:1]) + parameter[1:] + "." + string(m.name) + ".member.comparisonOperator"
		operator, given, err := body.text("ComparisonOperator")
		if err != nil {
			return nil, err
		}
		if v.oneOf(operator, at, comparisonOperators...); !given && class == "Condition" {
			v.notNull(at)
		}
		if err := v.err(); err != nil {
			return nil, err
		}
		c := comparison{attribute: string(m.name), operator: operator}
		if err := read(&c, body); err != nil {
			return nil, err
		}
		if err := c.check(); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// readCondition reads a member of a filter or of KeyConditions.
func readCondition(c *comparison, body args) error {
	list, _, err := body.list("AttributeValueList")
	if err != nil {
		return err
	}
	for _, raw := range list {
		v, err := legacyValue(raw)
		if err != nil {
			return err
		}
		c.values = append(c.values, v)
	}
	return nil
}

// readExpected reads a member of Expected, which may also be said with Value or Exists.
func readExpected(c *comparison, body args) error {
	if err := readCondition(c, body); err != nil {
		return err
	}
	exists, err := body.flag("Exists")
	if err != nil {
		return err
	}
	raw, list := body.get("Value"), body.get("AttributeValueList") != nil
	if raw != nil {
		v, err := legacyValue(raw)
		if err != nil {
			return err
		}
		c.values = append(c.values, v)
	}
	switch {
	case raw != nil && list:
		return invalidValue("Value and AttributeValueList cannot be used together for Attribute: %s", c.attribute)
	case c.operator != "" && exists != nil:
		return invalidValue("Exists and ComparisonOperator cannot be used together for Attribute: %s", c.attribute)
	case c.operator != "" && c.operator != "NULL" && c.operator != "NOT_NULL" && raw == nil && !list:
		return invalidValue("Value or AttributeValueList must be used with ComparisonOperator: %s for Attribute: %s",
			c.operator, c.attribute)
	case c.operator != "":
		return nil
	case list:
		return invalidValue("AttributeValueList can only be used with a ComparisonOperator for Attribute: %s", c.attribute)
	case exists != nil && !*exists && raw != nil:
		return invalidValue("Value cannot be used when Exists is false for Attribute: %s", c.attribute)
	case exists != nil && !*exists:
		c.operator = "NULL"
		return nil
	case raw == nil:
		shown := "null"
		if exists != nil {
			shown = "true"
		}
		return invalidValue("Value must be provided when Exists is %s for Attribute: %s", shown, c.attribute)
	}
	c.operator = "EQ"
	return nil
}

// arguments is how many values an operator takes; IN takes any number but none.
var arguments = map[string]int{"NULL": 0, "NOT_NULL": 0, "BETWEEN": 2}

// check holds a comparison's values against its operator.
func (c *comparison) check() error {
	want, listed := arguments[c.operator]
	if !listed {
		want = 1
	}
	if n := len(c.values); n != want && (c.operator != "IN" || n == 0) {
		return invalidValue("Invalid number of argument(s) for the %s ComparisonOperator", c.operator)
	}
	for _, v := range c.values {
		if v.Type != c.values[0].Type {
			return invalidValue("AttributeValues inside AttributeValueList must be of same type")
		}
		if !compares(c.operator, v.Type) {
			return invalidValue("ComparisonOperator %s is not valid for %s AttributeValue type", c.operator, v.Type)
		}
	}
	if c.operator != "BETWEEN" {
		return nil
	}
	low, err := encodeValue(c.values[0])
	if err != nil {
		return internalError(err)
	}
	high, err := encodeValue(c.values[1])
	if err != nil {
		return internalError(err)
	}
	if bytes.Compare(low, high) > 0 {
		return invalid("The BETWEEN condition was provided a range where the lower bound is greater than the upper bound")
	}
	return nil
}

// compares tells whether an operator takes values of a type.
func compares(operator string, t item.Type) bool {
	switch operator {
	case "EQ", "NE":
		return true
	case "BEGINS_WITH":
		return t == item.S || t == item.B
	case "CONTAINS", "NOT_CONTAINS":
		return t != item.L && t != item.M && !t.IsSet()
	}
	return t == item.S || t == item.N || t == item.B
}
