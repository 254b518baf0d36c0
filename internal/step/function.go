package step

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// functions are what an expression can call; those that begin with _ stand for operators.
var functions = map[string]func(args ...any) (any, error){
	"_add": func(a ...any) (any, error) {
		if x, ok := a[0].(string); ok {
			if y, ok := a[1].(string); ok {
				return x + y, nil
			}
		}
		return arithmetic("+", a, addDecimals)
	},
	"_sub": func(a ...any) (any, error) {
		return arithmetic("-", a, func(x, y item.Decimal) (item.Decimal, error) { return addDecimals(x, negate(y)) })
	},
	"_mul": func(a ...any) (any, error) { return arithmetic("*", a, multiply) },
	"_div": func(a ...any) (any, error) { return arithmetic("/", a, divide) },
	"_mod": func(a ...any) (any, error) { return arithmetic("%", a, remainder) },
	"_pow": power,
	"_neg": func(a ...any) (any, error) {
		d, ok := number(a[0])
		if !ok {
			return nil, fault.New(fault.User, "- of %s", cmpKind(a[0]))
		}
		return negate(d), nil
	},
	"_eq":       func(a ...any) (any, error) { return equal(a[0], a[1]), nil },
	"_ne":       func(a ...any) (any, error) { return !equal(a[0], a[1]), nil },
	"_lt":       ordering(func(c int) bool { return c < 0 }),
	"_le":       ordering(func(c int) bool { return c <= 0 }),
	"_gt":       ordering(func(c int) bool { return c > 0 }),
	"_ge":       ordering(func(c int) bool { return c >= 0 }),
	"_in":       func(a ...any) (any, error) { return holds(a[1], a[0]) },
	"_contains": func(a ...any) (any, error) { return holds(a[0], a[1]) },
	"_starts":   onTexts(strings.HasPrefix),
	"_ends":     onTexts(strings.HasSuffix),
	"_index":    func(a ...any) (any, error) { return index(a[0]) },
	"_member":   member,

	"has":   of1(func(v any) (any, error) { return v != nil, nil }),
	"type":  of1(func(v any) (any, error) { return kindOf(v), nil }),
	"size":  of1(size),
	"len":   of1(size),
	"lower": onText(strings.ToLower),
	"upper": onText(strings.ToUpper),
	"trim":  onText(strings.TrimSpace),
	"hash":  of1(hashOf),
	"mask":  maskOf,
	"abs": of1(func(v any) (any, error) {
		return onNumber("abs", v, func(d item.Decimal) (item.Decimal, error) { d.Neg = false; return d, nil })
	}),
	"floor":  places("floor", floorTo),
	"ceil":   places("ceil", ceilTo),
	"round":  places("round", roundTo),
	"div":    div,
	"min":    extreme("min", -1),
	"max":    extreme("max", 1),
	"string": of1(toText),
	"number": of1(toNumber),
	"iso":    of1(toISO),
	"epoch":  of1(toEpoch),
}

// functionNames are the names that a user may call.
func functionNames() []string {
	names := slices.Clone(builtins)
	for name := range maps.Keys(functions) {
		if name[0] != '_' {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// takes checks the number of arguments.
func takes(args []any, least, most int) error {
	if len(args) < least || len(args) > most {
		return fault.New(fault.User, "%d arguments of a function that takes %d", len(args), most)
	}
	return nil
}

func of1(f func(any) (any, error)) func(...any) (any, error) {
	return func(args ...any) (any, error) {
		if err := takes(args, 1, 1); err != nil {
			return nil, err
		}
		return f(args[0])
	}
}

// onText is f of a string; of what is absent or NULL nothing.
func onText(f func(string) string) func(...any) (any, error) {
	return of1(func(v any) (any, error) {
		switch v := v.(type) {
		case string:
			return f(v), nil
		case nil, null:
			return nil, nil
		default:
			return nil, fault.New(fault.User, "a string is wanted, not %s", kindOf(v))
		}
	})
}

func onTexts(f func(a, b string) bool) func(...any) (any, error) {
	return func(a ...any) (any, error) {
		x, ok := a[0].(string)
		y, also := a[1].(string)
		return ok && also && f(x, y), nil
	}
}

func arithmetic(op string, a []any, f func(x, y item.Decimal) (item.Decimal, error)) (any, error) {
	x, ok := number(a[0])
	y, also := number(a[1])
	if !ok || !also {
		return nil, fault.New(fault.User, "%s %s %s", cmpKind(a[0]), op, cmpKind(a[1]))
	}
	d, err := f(x, y)
	return d, err
}

// powerMax is the largest exponent: 2^126 has 38 digits.
const powerMax = 130

func power(a ...any) (any, error) {
	x, ok := number(a[0])
	n, err := index(a[1])
	if !ok || err != nil || n < 0 || n > powerMax {
		return nil, fault.New(fault.User, "a power is of a number, with a whole exponent from 0 to %d", powerMax)
	}
	out := decimalOf(1)
	for range n {
		if out, err = multiply(out, x); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func ordering(is func(c int) bool) func(...any) (any, error) {
	return func(a ...any) (any, error) {
		c, known, err := order(a[0], a[1])
		return known && is(c), err
	}
}

// holds tells whether a list or set has an element, a map a name, or a text a part.
func holds(whole, part any) (any, error) {
	switch w := whole.(type) {
	case nil, null:
		return false, nil
	case string:
		p, ok := part.(string)
		return ok && strings.Contains(w, p), nil
	case map[string]any:
		p, ok := part.(string)
		_, has := w[p]
		return ok && has, nil
	}
	list, ok := elements(whole)
	if !ok {
		return nil, fault.New(fault.User, "%s has no elements", kindOf(whole))
	}
	return within(part, list), nil
}

// member is a member of a map or an element of a list, negative places counted from its end; what is not there is nothing.
func member(a ...any) (any, error) {
	if m, ok := a[0].(map[string]any); ok {
		name, ok := a[1].(string)
		if !ok {
			return nil, fault.New(fault.User, "a member of a map has a name, not %s", cmpKind(a[1]))
		}
		return m[name], nil
	}
	list, ok := elements(a[0])
	if !ok {
		return nil, nil
	}
	if _, name := a[1].(string); name {
		return nil, nil
	}
	n, err := index(a[1])
	if n < 0 {
		n += len(list)
	}
	if err != nil || n < 0 || n >= len(list) {
		return nil, err
	}
	return list[n], nil
}

// size is DynamoDB's size(): the bytes of a string or binary, the elements of a list, map or set.
func size(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return len(v), nil
	case octets:
		return len(v), nil
	case map[string]any:
		return len(v), nil
	}
	list, ok := elements(v)
	if !ok {
		return nil, fault.New(fault.User, "%s has no size", kindOf(v))
	}
	return len(list), nil
}

func hashOf(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	text, ok := v.(string)
	if !ok {
		value, err := fromValue(v)
		if err != nil {
			return nil, err
		}
		text = string(item.AppendValue(nil, value))
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:]), nil
}

func maskOf(args ...any) (any, error) {
	if err := takes(args, 1, 2); err != nil {
		return nil, err
	}
	last := 0
	if len(args) == 2 {
		var err error
		if last, err = index(args[1]); err != nil {
			return nil, err
		}
	}
	text, err := toText(args[0])
	if text == nil || err != nil {
		return nil, err
	}
	return string((&mask{last: max(last, 0), with: []byte("*")}).hide([]byte(text.(string)))), nil
}

func onNumber(name string, v any, f func(item.Decimal) (item.Decimal, error)) (any, error) {
	if v == nil {
		return nil, nil
	}
	d, ok := number(v)
	if !ok {
		return nil, fault.New(fault.User, "%s of %s", name, kindOf(v))
	}
	return f(d)
}

// placesMax bounds how far behind the point a number is cut.
const placesMax = 130

func decimals(v any) (int, error) {
	n, err := index(v)
	if err != nil || n < 0 || n > placesMax {
		return 0, fault.New(fault.User, "decimals are 0 to %d", placesMax)
	}
	return n, nil
}

func places(name string, f func(item.Decimal, int) (item.Decimal, error)) func(...any) (any, error) {
	return func(args ...any) (any, error) {
		if err := takes(args, 1, 2); err != nil {
			return nil, err
		}
		n := 0
		if len(args) == 2 {
			var err error
			if n, err = decimals(args[1]); err != nil {
				return nil, err
			}
		}
		return onNumber(name, args[0], func(d item.Decimal) (item.Decimal, error) { return f(d, n) })
	}
}

func div(args ...any) (any, error) {
	if err := takes(args, 3, 3); err != nil {
		return nil, err
	}
	n, err := decimals(args[2])
	if err != nil {
		return nil, err
	}
	return arithmetic("/", args, func(x, y item.Decimal) (item.Decimal, error) { return divideTo(x, y, n) })
}

// extreme is the least or greatest of its arguments, or of one list.
func extreme(name string, way int) func(...any) (any, error) {
	return func(args ...any) (any, error) {
		if len(args) == 1 {
			if list, ok := elements(args[0]); ok {
				args = list
			}
		}
		var best any
		for _, v := range args {
			if best == nil {
				best = v
				continue
			}
			c, known, err := order(v, best)
			if err != nil {
				return nil, fault.New(fault.User, "%s: %w", name, err)
			}
			if known && c == way {
				best = v
			}
		}
		return best, nil
	}
}

func toText(v any) (any, error) {
	switch v := v.(type) {
	case nil, null:
		return nil, nil
	case string:
		return v, nil
	case bool:
		if v {
			return "true", nil
		}
		return "false", nil
	}
	if d, ok := number(v); ok {
		return string(d.Append(nil)), nil
	}
	return nil, fault.New(fault.User, "%s has no text", kindOf(v))
}

func toNumber(v any) (any, error) {
	switch v := v.(type) {
	case nil, null:
		return nil, nil
	case string:
		d, err := item.ParseDecimal([]byte(v))
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	return onNumber("number", v, func(d item.Decimal) (item.Decimal, error) { return d, nil })
}

func toISO(v any) (any, error) {
	d, ok := number(v)
	if v == nil {
		return nil, nil
	}
	t, whole := timeOf(d)
	if !ok || !whole {
		return nil, fault.New(fault.User, "iso() is of seconds since 1970, at most to the nanosecond")
	}
	return t.Format(time.RFC3339Nano), nil
}

func toEpoch(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	text, _ := v.(string)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || !utf8.ValidString(text) {
		return nil, fault.New(fault.User, "epoch() is of a time as 2026-11-25T23:50:00Z")
	}
	return item.ParseDecimal(epochText(t, false))
}
