package expression

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

func number(text string) item.Value { return item.Value{Type: item.N, Str: text} }

func TestNumbersAreExact(t *testing.T) {
	nines := strings.Repeat("9", 38)
	for _, c := range []struct{ a, op, b, want string }{
		{"1", "+", "1", "2"},
		{"0.1", "+", "0.2", "0.3"},
		{nines, "+", "1", "1" + strings.Repeat("0", 38)},
		{nines, "+", "0.5", "!Attempting to store more than 38 significant digits in a Number"},
		{"1E125", "+", "1E-130", "!Attempting to store more than 38 significant digits in a Number"},
		{"9E125", "+", "9E125",
			"!Number overflow. Attempting to store a number with magnitude larger than supported range"},
		{"1E-130", "+", "1E-130", "0." + strings.Repeat("0", 129) + "2"},
		{"1E-130", "-", "1E-130", "0"},
		{"0", "-", "5", "-5"},
		{"0", "+", "1E-130", "0." + strings.Repeat("0", 129) + "1"},
		{"5", "-", "0", "5"},
		{"-5", "-", "-5", "0"},
		{"1.1E-129", "-", "1E-129", "0." + strings.Repeat("0", 129) + "1"},
		{"100", "-", "0.01", "99.99"},
	} {
		op := Add
		if c.op == "-" {
			op = Subtract
		}
		v, err := op(number(c.a), number(c.b))
		got := v.Str
		if err != nil {
			got = "!" + err.Error()
		}
		if got != c.want {
			t.Errorf("%s %s %s = %s, want %s", c.a, c.op, c.b, got, c.want)
		}
	}
}

func TestSumsAgreeWithRationals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) string {
			return fmt.Sprintf("%d.%de%d", rapid.Int64().Draw(t, label), rapid.Uint32().Draw(t, label),
				rapid.IntRange(-6, 6).Draw(t, label))
		}
		a, b := draw("a"), draw("b")
		v, err := Subtract(number(a), number(b))
		if err != nil {
			if !strings.Contains(err.Error(), "38 significant digits") {
				t.Fatal(err)
			}
			return
		}
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		z, _ := new(big.Rat).SetString(v.Str)
		if x.Sub(x, y).Cmp(z) != 0 {
			t.Fatalf("%s - %s = %s", a, b, v.Str)
		}
	})
}

func TestComparisonsByType(t *testing.T) {
	attributes := attributes(`{"n":{"N":"1E2"},"s":{"S":"é😀"},"b":{"B":"/wA="},
"l":{"L":[{"N":"1.0"},{"M":{"k":{"SS":["x","y"]}}}]},
"ns":{"NS":["1","2.50"]},"nul":{"NULL":true},"t":{"BOOL":true},"big":{"N":"99999999999999999999999999999999999999"}}`)
	for text, want := range map[string]bool{
		`n = :hundred`: true, `n <> :hundred`: false, `big > :less`: true, `big = :less`: false, `b > :b7f`: true,
		`l = :l`: true, `ns = :ns`: true, `nul = :nul`: true, `t = :t`: true, `n = :s100`: false, `n <> :s100`: true,
		`n < :s100`: false, `size(s) = :three`: true, `size(l) = :two`: true, `contains(l, :one)`: true,
		`contains(ns, :c)`: true,
		`size(n) <> :two`:  true, `size(nope) = size(nope2)`: false, `nope in (nope2)`: false, `not nope = :two`: true,
		`nope <> n`: true, `n between :two and :hundred`: true,
	} {
		values := map[string]item.Value{}
		for name, v := range comparisonValues {
			if strings.Contains(text, name) {
				values[name] = v
			}
		}
		c, err := NewScope(nil, values).Condition(Filter, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := c.Holds(attributes); got != want {
			t.Errorf("%s over values: %t, want %t", text, got, want)
		}
		if got := c.Match(tape(attributes)); got != want {
			t.Errorf("%s over a tape: %t, want %t", text, got, want)
		}
	}
}

var comparisonValues = attributes(`{":hundred":{"N":"100.0"},":less":{"N":"99999999999999999999999999999999999998"},
":b7f":{"B":"f////w=="},
":l":{"L":[{"N":"1"},{"M":{"k":{"SS":["y","x"]}}}]},":ns":{"NS":["2.5","1.0"]},":nul":{"NULL":true},
":t":{"BOOL":true},":s100":{"S":"100"},":three":{"N":"3"},":two":{"N":"2"},":one":{"N":"1"},":c":{"N":"25e-1"}}`)

func TestRequests(t *testing.T) {
	text := func(s string) *string { return &s }
	value := map[string]item.Value{":v": number("1")}
	for _, c := range []struct {
		name string
		r    Request
		want string
	}{
		{"names alone", Request{Names: map[string]string{"#a": "x"}},
			"ExpressionAttributeNames can only be specified when using expressions"},
		{"values alone", Request{Values: value, Takes: []Kind{Filter}},
			"ExpressionAttributeValues can only be specified when using expressions: FilterExpression is null"},
		{"values alone in an update", Request{Values: value, Takes: []Kind{UpdateKind, ConditionKind}},
			"ExpressionAttributeValues can only be specified when using expressions: " +
				"UpdateExpression and ConditionExpression are null"},
		{"no values", Request{Filter: text("a = :v"), Values: map[string]item.Value{}},
			"ExpressionAttributeValues must not be empty"},
		{"no names", Request{Filter: text("a = :v"), Names: map[string]string{}},
			"ExpressionAttributeNames must not be empty"},
		{"a name without #", Request{Filter: text("a = :v"), Names: map[string]string{"u": "x"}},
			`ExpressionAttributeNames contains invalid key: Syntax error; key: "u"`},
		{"a name of odd characters", Request{Filter: text("a = :v"), Names: map[string]string{"#u-": "x"}},
			`ExpressionAttributeNames contains invalid key: Syntax error; key: "#u-"`},
		{"an empty name", Request{Filter: text("a = :v"), Names: map[string]string{"#u": ""}},
			"ExpressionAttributeNames contains invalid value: Empty attribute name for key #u"},
		{"a long key", Request{Filter: text("a = :v"), Names: map[string]string{"#" + strings.Repeat("a", 300): "x"}},
			"ExpressionAttributeNames contains invalid key: The expression attribute map contains a key that is too long; " +
				"size of key: 301"},
		{"an unused name", Request{Filter: text("a = :v"), Values: value, Names: map[string]string{"#u": "x"}},
			"Value provided in ExpressionAttributeNames unused in expressions: keys: {#u}"},
		{"unused values", Request{Projection: text("a"), Filter: text("a = b"),
			Values: map[string]item.Value{":u": number("1"), ":v": number("2")}},
			"Value provided in ExpressionAttributeValues unused in expressions: keys: {:u, :v}"},
		{"an empty set", Request{Filter: text("a = :v"), Values: map[string]item.Value{":v": {Type: item.SS}}},
			"ExpressionAttributeValues contains invalid value: One or more parameter values were invalid: " +
				"An string set  may not be empty for key :v"},
		{"no type", Request{Filter: text("a = :v"), Values: map[string]item.Value{":v": {}}},
			"ExpressionAttributeValues contains invalid value: Supplied AttributeValue is empty, must contain exactly one of " +
				"the supported datatypes for key :v"},
		{"the update is read first", Request{Update: text("set a = :u"), Condition: text("b = = :b"), Values: value},
			"Invalid UpdateExpression: An expression attribute value used in expression is not defined; attribute value: :u"},
		{"good", Request{Update: text("set #n = :v"), Condition: text("b < :v"), Values: value,
			Names: map[string]string{"#n": "name"}}, ""},
	} {
		_, err := Compile(c.r)
		got := ""
		if err != nil {
			got = err.Error()
			if fault.KindOf(err) != fault.User {
				t.Errorf("%s: kind %s", c.name, fault.KindOf(err))
			}
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestKeyRanges(t *testing.T) {
	keys := TableKeys(item.KeySchema{Hash: item.KeyAttr{Name: "pk", Type: item.S}, Range: item.KeyAttr{Name: "sk", Type: item.S}})
	values := map[string]item.Value{}
	for name, text := range map[string]string{":p": "p", ":a": "b", ":b": "d"} {
		values[name] = item.Value{Type: item.S, Str: text}
	}
	for text, want := range map[string]string{
		"pk = :p": "a b ba c d e", "pk = :p and sk = :a": "b", "pk = :p and sk < :a": "a", "pk = :p and sk <= :a": "a b",
		"pk = :p and sk > :a": "ba c d e", "pk = :p and :a <= sk": "b ba c d e",
		"pk = :p and sk between :a and :b": "b ba c d",
		"begins_with(sk, :a) and pk = :p":  "b ba",
	} {
		k, err := NewScope(nil, values).KeyCondition(text, keys)
		if err != nil {
			t.Fatal(text, err)
		}
		var got []string
		for _, s := range strings.Fields("a b ba c d e") {
			if k.Match([]item.Value{{Type: item.S, Str: s}}) {
				got = append(got, s)
			}
		}
		if strings.Join(got, " ") != want || k.Hash[0].Str != "p" {
			t.Errorf("%s takes %v of %s, want %s", text, got, k.Hash[0].Str, want)
		}
	}
	if got := PrefixEnd([]byte("a\xff\xff")); string(got) != "b" {
		t.Errorf("prefix end %q", got)
	}
	if got := PrefixEnd([]byte("\xff\xff")); got != nil {
		t.Errorf("prefix end %q", got)
	}
}

// TestReturnValues has the answers that the service gives for UPDATED_OLD and UPDATED_NEW of nested targets.
func TestReturnValues(t *testing.T) {
	start := `{"a":{"M":{"b":{"S":"dog"},"c":{"L":[{"N":"1"},{"N":"2"},{"N":"3"}]}}},"d":{"S":"cat"}}`
	values := map[string]item.Value{":v": number("8")}
	for _, c := range []struct{ text, before, after string }{
		{"set a.b = :v", `{"a":{"M":{"b":{"S":"dog"}}}}`, `{"a":{"M":{"b":{"N":"8"}}}}`},
		{"set a.c[1] = :v, a.b = :v", `{"a":{"M":{"b":{"S":"dog"},"c":{"L":[{"N":"2"}]}}}}`,
			`{"a":{"M":{"b":{"N":"8"},"c":{"L":[{"N":"8"}]}}}}`},
		{"set a.x = :v", `{}`, `{"a":{"M":{"x":{"N":"8"}}}}`},
		{"set a.c[100] = :v", `{}`, `{}`},
		{"remove a.c[1]", `{"a":{"M":{"c":{"L":[{"N":"2"}]}}}}`, `{"a":{"M":{"c":{"L":[{"N":"3"}]}}}}`},
		{"remove a.c[1], a.c[3]", `{"a":{"M":{"c":{"L":[{"N":"2"}]}}}}`, `{"a":{"M":{"c":{"L":[{"N":"3"}]}}}}`},
		{"remove d", `{"d":{"S":"cat"}}`, `{}`},
	} {
		u, err := NewScope(nil, values).Update(c.text)
		if err != nil {
			t.Fatal(err)
		}
		old := attributes(start)
		after, err := u.Apply(old)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(item.AppendMap(nil, u.Touched().Value(old))); got != c.before {
			t.Errorf("%s: old %s, want %s", c.text, got, c.before)
		}
		if got := string(item.AppendMap(nil, u.Touched().Value(after))); got != c.after {
			t.Errorf("%s: new %s, want %s", c.text, got, c.after)
		}
	}
}

// TestUpdateOfNothing: an update creates the item when its paths allow.
func TestUpdateOfNothing(t *testing.T) {
	values := map[string]item.Value{":v": number("8")}
	u, err := NewScope(nil, values).Update("set a = if_not_exists(b, :v) add c :v remove d")
	if err != nil {
		t.Fatal(err)
	}
	after, err := u.Apply(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(item.AppendMap(nil, after)); got != `{"a":{"N":"8"},"c":{"N":"8"}}` {
		t.Error(got)
	}
}

// FuzzParse: no text panics any of the four grammars or leaves its error without words; what compiles evaluates alike
// over values and over a tape.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"a = :n", "((a)) < b",
		"set a[1] = if_not_exists(b.c, :n) + :n remove x add y :ss delete z :ss",
		"pk = :s and begins_with(sk, :s)", "size(a) between :n and :n2 or not contains(#a, :s)", "a, b.c[3], #name"} {
		f.Add(seed)
	}
	subject := attributes(measuredItem)
	taped := tape(subject)
	f.Fuzz(func(t *testing.T, text string) {
		scope := NewScope(measuredNames, measuredValues)
		if c, err := scope.Condition(Filter, text); err == nil && c.Holds(subject) != c.Match(taped) {
			t.Errorf("%q: values and tape differ", text)
		} else if err != nil && !strings.HasPrefix(err.Error(), "Invalid FilterExpression: ") {
			t.Errorf("%q: %v", text, err)
		}
		if u, err := scope.Update(text); err == nil {
			if after, err := u.Apply(subject); err == nil {
				u.Touched().Value(after)
			}
		}
		if p, err := scope.Projection(text); err == nil {
			p.Value(subject)
		}
		_, _ = scope.KeyCondition(text, TableKeys(measuredKeys))
	})
}

// BenchmarkMatch: one comparison on a tape should cost about a look-up by name, some 50 ns, and no allocation.
func BenchmarkMatch(b *testing.B) {
	it := tape(attributes(measuredItem))
	c, err := NewScope(nil, map[string]item.Value{":n": number("4"), ":s": {Type: item.S, Str: "xy"}}).
		Condition(Filter, "n > :n and begins_with(s, :s)")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !c.Match(it) {
			b.Fatal("no match")
		}
	}
}
