package local

import (
	"slices"
	"strings"

	"dynaferry/internal/expression"
	"dynaferry/internal/item"
)

// wording says which expressions an operation takes, and which parameters of the API before expressions.
type wording struct {
	update, condition, filter, key, projection bool

	values []expression.Kind // those that can use values
	legacy []string
}

var (
	wordingPut = wording{condition: true, values: []expression.Kind{expression.ConditionKind},
		legacy: []string{"Expected", "ConditionalOperator"}}
	wordingCheck  = wording{condition: true, values: []expression.Kind{expression.ConditionKind}}
	wordingUpdate = wording{update: true, condition: true,
		values: []expression.Kind{expression.UpdateKind, expression.ConditionKind},
		legacy: []string{"AttributeUpdates", "Expected", "ConditionalOperator"}}
	wordingGet = wording{projection: true, legacy: []string{"AttributesToGet"}}
	// The service names both expressions of a Query that could use values.
	wordingQuery = wording{filter: true, key: true, projection: true,
		values: []expression.Kind{expression.Filter, expression.KeyConditionKind},
		legacy: []string{"AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"}}
	wordingScan = wording{filter: true, projection: true, values: []expression.Kind{expression.Filter},
		legacy: []string{"AttributesToGet", "ScanFilter", "ConditionalOperator"}}
)

// expressions reads the expression parameters out of a (the request, or one table's part of a BatchGetItem) into a
// request to compile. Values land in c.values, and in c.legacy what came in parameters of the API before expressions.
func (c *call) expressions(a args, w *wording) (r expression.Request, err error) {
	var given []string
	for _, e := range []struct {
		takes bool
		kind  expression.Kind
		to    **string
	}{
		{w.projection, expression.ProjectionKind, &r.Projection}, {w.filter, expression.Filter, &r.Filter},
		{w.update, expression.UpdateKind, &r.Update}, {w.condition, expression.ConditionKind, &r.Condition},
		{w.key, expression.KeyConditionKind, &r.KeyCondition},
	} {
		if !e.takes {
			continue
		}
		text, present, err := a.text(string(e.kind))
		if err != nil {
			return r, err
		}
		if present {
			*e.to = &text
			given = append(given, string(e.kind))
		}
	}
	r.Takes = w.values
	if r.Names, err = names(a); err != nil {
		return r, err
	}
	if raw := a.get("ExpressionAttributeValues"); raw != nil && w.values != nil {
		if err := c.values.parse(&c.batch, raw); err != nil {
			return r, err
		}
		r.Values = map[string]item.Value{}
		if c.values.err == nil {
			r.Values = c.values.Map()
		}
	}
	old, err := checkLegacy(a, w, given)
	if err != nil {
		return r, err
	}
	usesValues := r.Filter != nil || r.Update != nil || r.Condition != nil || r.KeyCondition != nil
	if r.Values != nil && c.values.err != nil && usesValues {
		return r, invalid("ExpressionAttributeValues contains invalid value: %s for key %s",
			plain(c.values.err), c.values.name)
	}
	c.legacy = legacy{}
	if !old {
		return r, nil
	}
	if len(given) == 0 && (r.Names != nil || r.Values != nil) {
		_, err := compile(r) // complains about placeholders without expressions
		return r, err
	}
	return r, c.legacy.translate(a, w, &r)
}

// plain is the message of an error of ours without its name.
func plain(err error) string {
	if e, ok := err.(*apiError); ok {
		return e.Message
	}
	return words(err)
}

func names(a args) (map[string]string, error) {
	members, present, err := a.object("ExpressionAttributeNames", "java.util.Map<java.lang.String, java.lang.String>")
	if err != nil || !present {
		return nil, err
	}
	m := make(map[string]string, len(members))
	for _, member := range members {
		name, err := text(member.raw)
		if err != nil {
			return nil, err
		}
		m[string(member.name)] = name
	}
	return m, nil
}

// checkLegacy tells whether there are parameters of the API before expressions, and refuses them beside expressions.
// KeyConditions may stand beside all but the expression that replaced them.
func checkLegacy(a args, w *wording, given []string) (bool, error) {
	var old []string
	keys := false
	for _, name := range w.legacy {
		switch {
		case a.get(name) == nil:
		case name == "KeyConditions" && !slices.Contains(given, string(expression.KeyConditionKind)):
			keys = true
		default:
			old = append(old, name)
		}
	}
	if len(given) > 0 && len(old) > 0 {
		return false, invalid("Can not use both expression and non-expression parameters in the same request: "+
			"Non-expression parameters: {%s} Expression parameters: {%s}",
			strings.Join(old, ", "), strings.Join(given, ", "))
	}
	return keys || len(old) > 0, nil
}

// compile turns the service's complaint about an expression into an answer.
func compile(r expression.Request) (*expression.Compiled, error) {
	compiled, err := expression.Compile(r)
	if err != nil {
		return nil, invalid("%s", words(err))
	}
	return compiled, nil
}
