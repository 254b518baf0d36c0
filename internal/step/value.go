package step

import (
	"bytes"
	"fmt"
	"reflect"
	"unicode/utf8"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// What DynamoDB's values are inside of an expression: S string, N item.Decimal, BOOL bool, L []any, M map[string]any, and
// of these. What is absent is nil.
type (
	octets    string
	null      struct{}
	stringSet []any
	numberSet []any
	binarySet []any
)

// toValue decodes the value at index i.
func toValue(it item.Item, i int) any {
	token := &it.Tape[i]
	switch token.Type {
	case item.S:
		return string(it.Text(i))
	case item.N:
		return it.Decimal(i)
	case item.B:
		return octets(it.Bytes(i, nil))
	case item.BOOL:
		return it.Bool(i)
	case item.NULL:
		return null{}
	case item.M:
		return toMap(it, i)
	}
	list := make([]any, 0, it.Count(i))
	for at, end := i+1, i+int(token.Skip); at < end; at += int(it.Tape[at].Skip) {
		list = append(list, toValue(it, at))
	}
	switch token.Type {
	case item.SS:
		return stringSet(list)
	case item.NS:
		return numberSet(list)
	case item.BS:
		return binarySet(list)
	}
	return list
}

func toMap(it item.Item, i int) map[string]any {
	m := make(map[string]any, it.Count(i))
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += 1 + int(it.Tape[at+1].Skip) {
		m[string(it.Text(at))] = toValue(it, at+1)
	}
	return m
}

// fromValue makes a DynamoDB value of what an expression came to.
func fromValue(v any) (item.Value, error) {
	switch v := v.(type) {
	case string:
		if !utf8.ValidString(v) {
			return item.Value{}, errUTF8
		}
		return item.Value{Type: item.S, Str: v}, nil
	case item.Decimal:
		return item.Value{Type: item.N, Str: string(v.Append(nil))}, nil
	case int:
		return item.Value{Type: item.N, Str: fmt.Sprint(v)}, nil
	case bool:
		return item.Value{Type: item.BOOL, Bool: v}, nil
	case octets:
		return item.Value{Type: item.B, Bin: []byte(v)}, nil
	case null:
		return item.Value{Type: item.NULL}, nil
	case map[string]any:
		out := item.Value{Type: item.M, Map: map[string]item.Value{}}
		for name, member := range v {
			m, err := fromValue(member)
			if err == nil && !utf8.ValidString(name) {
				err = errUTF8
			}
			if err != nil {
				return m, err
			}
			out.Map[name] = m
		}
		return out, nil
	}
	return fromList(v)
}

var errUTF8 = fault.New(fault.User, "the expression comes to a text that is no UTF-8")

func fromList(v any) (item.Value, error) {
	out := item.Value{Type: item.L}
	var list []any
	switch v := v.(type) {
	case stringSet:
		out.Type, list = item.SS, v
	case numberSet:
		out.Type, list = item.NS, v
	case binarySet:
		out.Type, list = item.BS, v
	case []any:
		list = v
	case []int:
		for _, n := range v {
			list = append(list, n)
		}
	case nil:
		return out, fault.New(fault.User, "the expression puts an absent value into a list or map")
	default:
		return out, fault.New(fault.User, "the expression comes to %s, which is no value of DynamoDB", kindOf(v))
	}
	for _, e := range list {
		value, err := fromValue(e)
		if err != nil {
			return out, err
		}
		out.List = append(out.List, value)
	}
	return out, nil
}

// kindOf names what a value of an expression is, as type() does.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return "S"
	case item.Decimal, int:
		return "N"
	case octets:
		return "B"
	case bool:
		return "BOOL"
	case null:
		return "NULL"
	case map[string]any:
		return "M"
	case stringSet:
		return "SS"
	case numberSet:
		return "NS"
	case binarySet:
		return "BS"
	case []any, []int:
		return "L"
	default:
		return fmt.Sprintf("%T", v)
	}
}

// number is v as a decimal when it is a number.
func number(v any) (item.Decimal, bool) {
	switch v := v.(type) {
	case item.Decimal:
		return v, true
	case int:
		return decimalOf(int64(v)), true
	}
	return item.Decimal{}, false
}

// equal compares as DynamoDB does: values of two types differ, numbers by value, sets without order.
func equal(a, b any) bool {
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	switch x := a.(type) {
	case string, bool, octets, null, nil:
		return a == b
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for name, member := range x {
			if other, ok := y[name]; !ok || !equal(member, other) {
				return false
			}
		}
		return true
	}
	x, xs := elements(a)
	y, ys := elements(b)
	if !xs || !ys || kindOf(a) != kindOf(b) || len(x) != len(y) {
		return false
	}
	for i, e := range x {
		if kindOf(a) == "L" && !equal(e, y[i]) || kindOf(a) != "L" && !within(e, y) {
			return false
		}
	}
	return true
}

// elements are those of a list or set.
func elements(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case stringSet:
		return v, true
	case numberSet:
		return v, true
	case binarySet:
		return v, true
	case []int:
		var list []any
		for _, n := range v {
			list = append(list, n)
		}
		return list, true
	}
	if r := reflect.ValueOf(v); r.IsValid() && r.Kind() == reflect.Slice { // what builtins make of parts
		var list []any
		for i := range r.Len() {
			list = append(list, r.Index(i).Interface())
		}
		return list, true
	}
	return nil, false
}

func within(v any, list []any) bool {
	for _, e := range list {
		if equal(v, e) {
			return true
		}
	}
	return false
}

// order compares two strings, numbers or binaries. known is false where one of them is absent or NULL; two types have no
// order, which is an error: whoever compares them is mistaken about the data.
func order(a, b any) (c int, known bool, err error) {
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return x.Compare(y), true, nil
		}
	}
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return bytes.Compare([]byte(x), []byte(y)), true, nil
		}
	case octets:
		if y, ok := b.(octets); ok {
			return bytes.Compare([]byte(x), []byte(y)), true, nil
		}
	}
	if a == nil || b == nil || kindOf(a) == "NULL" || kindOf(b) == "NULL" {
		return 0, false, nil
	}
	return 0, false, errOrder(kindOf(a), kindOf(b))
}

func errOrder(a, b string) error {
	return fault.New(fault.User, "%s and %s have no order; look at the type first: type(x) == \"N\" and x > 1", a, b)
}
