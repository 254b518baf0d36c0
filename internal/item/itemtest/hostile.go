package itemtest

import (
	"fmt"
	"strings"

	"dynaferry/internal/item"
)

// Named is an item with a name for the test that carries it.
type Named struct {
	Name string
	Raw  []byte // DynamoDB JSON, compact
}

// Hostile returns items that DynamoDB takes and tools stumble over: ends of the number range, letters that are no
// letters, names that fold, collide or look like paths, NULL against absent, empty things, the deepest nesting,
// values at the size limits, one attribute with every type, what spreadsheets take for formulas. Each has its own
// key "pk" (Keys).
func Hostile() []Named {
	var all []Named
	add := func(name, attributes string) {
		raw := fmt.Sprintf(`{"pk":{"S":"%03d %s"}`, len(all), name)
		if attributes != "" {
			raw += "," + attributes
		}
		all = append(all, Named{name, []byte(raw + "}")})
	}
	hostileNumbers(add)
	hostileText(add)
	hostileShapes(add)
	hostileNames(add)
	hostileConflicts(add)
	hostilePartitions(add)
	hostileSizes(add)
	all = append(all, Named{"longest key", []byte(`{"pk":{"S":"` + strings.Repeat("k", item.HashKeyBytesMax) + `"}}`)})
	for i, text := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "\\tx", "\\rx", "=cmd|' /C calc'!A0", "'=1", "\\u0000=1"} {
		add(fmt.Sprintf("formula %d", i), fmt.Sprintf(`"f":{"S":"%s"}`, text))
	}
	return all
}

type adder func(name, attributes string)

func hostileNumbers(add adder) {
	nines := strings.Repeat("9", 38)
	for _, n := range []string{"0", "-0", "0.0", "-0E+10", "1E-130", "-1E-130", "1." + strings.Repeat("0", 36) + "1", nines, "-" + nines,
		"9.9999999999999999999999999999999999999E+125", "-9.9999999999999999999999999999999999999E+125",
		nines + strings.Repeat("0", 88), "0." + strings.Repeat("0", 91) + nines, "1e125", "1.10", "007", "+5", "5.", ".5", "1E0",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551616",
		"9007199254740993", "0.1", "0.30000000000000004", "123456789012345678", "1234567890123456789.1234567890123456789"} {
		add("number "+n[:min(len(n), 24)], fmt.Sprintf(`"n":{"N":"%s"},"set":{"NS":["%s","77"]},"list":{"L":[{"N":"%s"}]}`, n, n, n))
	}
	for _, s := range []string{"NaN", "Infinity", "-Infinity", "1e400", "0x10", "1_000", "٣"} {
		add("text like a number "+s, fmt.Sprintf(`"n":{"S":"%s"}`, s))
	}
}

func hostileText(add adder) {
	add("empty string", `"s":{"S":""}`)
	texts := [][2]string{
		{"nul", `a\u0000b`}, {"bom", "\ufeffa"}, {"line separator", "a\u2028b\u2029c"}, {"replacement", "\ufffd"},
		{"escaped bom", `\ufeffa`}, {"noncharacter", "\uffff\U0010ffff"}, {"controls", `\u0001\u001f\b\f\n\r\t`},
		{"delete", "\x7f\u0080\u009f"}, {"quotes", `\"\\\/'` + "`"}, {"crlf", `a\r\nb\n`}, {"emoji", "👨‍👩‍👧 🇳🇱"},
		{"escaped pair", `\ud83d\ude00`}, {"combining", "e\u0301 é"}, {"right to left", "\u202eabc\u202c"},
		{"looks like json", `{\"S\":\"x\"}`}, {"looks like null", "null"}, {"only spaces", "   "}, {"backslash n", `\\n\\N`},
		{"csv", `a,b;c\td|e\"\"f`}, {"percent", "%00%2F%"}, {"html", "</script><!--"},
	}
	for _, text := range texts {
		add("text "+text[0], fmt.Sprintf(`"s":{"S":"%s"},"set":{"SS":["%s","x"]}`, text[1], text[1]))
	}
	add("bytes", `"b":{"B":"AP/+gH8="},"e":{"B":""},"set":{"BS":["AA==","","//79"]}`)
}

func hostileShapes(add adder) {
	add("key alone", "")
	add("null is not absent", `"a":{"NULL":true},"m":{"M":{"x":{"NULL":true}}},"l":{"L":[{"NULL":true}]}`)
	add("empty containers", `"l":{"L":[]},"m":{"M":{}},"ll":{"L":[{"L":[]},{"M":{}}]},"mm":{"M":{"l":{"L":[]},"m":{"M":{}}}}`)
	add("single sets", `"ss":{"SS":["a"]},"ns":{"NS":["1"]},"bs":{"BS":["AQ=="]}`)
	add("sets with empty members", `"ss":{"SS":[""]},"bs":{"BS":[""]}`)
	add("set against list", `"a":{"SS":["x","y"]},"b":{"L":[{"S":"x"},{"S":"y"}]},"c":{"NS":["1"]},"d":{"L":[{"N":"1"}]}`)
	add("mixed list", `"l":{"L":[{"S":"1"},{"N":"1"},{"B":"MQ=="},{"BOOL":true},{"NULL":true},{"L":[]},{"M":{}},{"SS":["1"]},{"NS":["1"]},{"BS":["MQ=="]}]}`)
	add("32 levels of maps", `"d":`+nest(item.NestingMax-1, `{"M":{"n":`, `{"S":"leaf"}`, `}}`))
	add("32 levels of lists", `"d":`+nest(item.NestingMax-1, `{"L":[`, `{"N":"1"}`, `]}`))
	add("32 levels and a set", `"d":`+nest(item.NestingMax-1, `{"L":[`, `{"SS":["leaf"]}`, `]}`))
	add("32 levels and nothing", `"d":`+nest(item.NestingMax-1, `{"M":{"n":`, `{"M":{}}`, `}}`))
	add("list of 2000", `"l":{"L":[{"N":"0"}`+strings.Repeat(`,{"N":"1"}`, 1999)+`]}`)
	var wide strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&wide, `,"w%d":{"N":"%d"}`, i, i)
	}
	add("1500 attributes", wide.String()[1:])
	add("map of 1500 keys", `"m":{"M":{`+wide.String()[1:]+`}}`)
}

func nest(levels int, open, leaf, shut string) string {
	return strings.Repeat(open, levels) + leaf + strings.Repeat(shut, levels)
}

func hostileNames(add adder) {
	names := []string{"a.b", "a/b", "a b", ` `, `a\"b`, `a\nb`, `a\\b`, "é", "名前", "😀", "__proto__", "constructor", "toString",
		"_extra", "_op", "_seq", "dt", "year", "list", "element", "key_value", "a,b", "a=b", "a;b", "{a}", "[0]", "a'b", "a`b", "$a",
		"#n", ":v", "%2F", "..", ".", "-", "0", "1a", "NULL", "true", `\u0000`, `\u0001`, "\u2028", "\ufeff", "S", "N", "M", "L", "Item",
		"SELECT", "a\u00a0b", "a\u200bb", "_", "__", "a__2", "A__2"}
	var each []string
	for i, name := range names {
		each = append(each, fmt.Sprintf(`"%s":{"N":"%d"}`, name, i))
	}
	all := strings.Join(each, ",")
	add("odd names", all)
	add("odd names inside", `"m":{"M":{`+all+`}}`)
	add("names of one case", `"Name":{"S":"1"},"name":{"S":"2"},"NAME":{"S":"3"},"nAmE":{"N":"4"}`)
	add("names of one case inside", `"m":{"M":{"Ab":{"N":"1"},"aB":{"N":"2"},"ab":{"S":"3"}}}`)
	add("normal forms", `"é":{"S":"composed"},"e`+"\u0301"+`":{"S":"decomposed"},"Å":{"N":"1"},"`+"\u212b"+`":{"N":"2"}`)
	add("folding beyond ASCII", `"straße":{"N":"1"},"STRASSE":{"N":"2"},"ſ":{"N":"3"},"s":{"N":"4"},"İ":{"N":"5"},"i":{"N":"6"}`)
	add("long name", `"`+strings.Repeat("n", 5000)+`":{"N":"1"}`)
	add("longest name", `"`+strings.Repeat("x", item.NameBytesMax)+`":{"S":"64 KB"}`)
	add("long names with one head", `"`+strings.Repeat("h", 300)+`1":{"N":"1"},"`+strings.Repeat("h", 300)+`2":{"N":"2"}`)
	add("prefixes", `"a":{"M":{"b":{"N":"1"}}},"a.b":{"N":"2"},"a_b":{"N":"3"},"a[0]":{"N":"4"}`)
}

// hostileConflicts gives one attribute every type, at the top and inside.
func hostileConflicts(add adder) {
	values := []string{`{"S":"x"}`, `{"N":"1.5"}`, `{"B":"AQ=="}`, `{"BOOL":false}`, `{"NULL":true}`, `{"L":[{"N":"1"}]}`,
		`{"M":{"k":{"S":"v"}}}`, `{"SS":["x"]}`, `{"NS":["2"]}`, `{"BS":["Ag=="]}`, `{"L":[]}`, `{"M":{}}`, `{"S":""}`, `{"N":"1E+100"}`}
	for i, v := range values {
		add(fmt.Sprintf("conflict %d", i), `"c":`+v+`,"m":{"M":{"c":`+v+`}},"l":{"L":[`+v+`]}`)
	}
}

// hostilePartitions are values that stand badly in a path.
func hostilePartitions(add adder) {
	values := []string{"a/b", "a%2Fb", "a=b", "a:b", "..", ".", "", " ", "a ", "__HIVE_DEFAULT_PARTITION__", "null", "é", "😀", "a\\\\b",
		"a?b", "a#b", "a*b", "a\\\"b", "C:", "con", "x=y/z", "\\n", "\\u0000", strings.Repeat("p", 1024), strings.Repeat("é", 600)}
	for i, v := range values {
		add(fmt.Sprintf("partition %d", i), fmt.Sprintf(`"part":{"S":"%s"}`, v))
	}
	add("partition null", `"part":{"NULL":true}`)
	add("partition number", `"part":{"N":"1.50"}`)
	add("partition absent", `"other":{"S":"x"}`)
}

func hostileSizes(add adder) {
	add("large text", `"s":{"S":"`+strings.Repeat("0123456789abcdef", 20_000)+`"}`)
	add("large letters", `"s":{"S":"`+strings.Repeat("漢", 120_000)+`"}`)
	add("large escapes", `"s":{"S":"`+strings.Repeat(`\n`, 300_000)+`"}`)
	add("large binary", `"b":{"B":"`+strings.Repeat("AAAA", 100_000)+`"}`)
}

// Refusal is what must not pass, and why.
type Refusal struct {
	Named
	// Syntax: it is no DynamoDB JSON, so the parser must refuse it. Otherwise it parses, and item.Validate with Keys
	// must refuse it.
	Syntax bool
	Reason string // part of the error's text
}

// Refused returns what must be refused, whole or broken.
func Refused() []Refusal {
	var all []Refusal
	syntax := func(name, raw, reason string) {
		all = append(all, Refusal{Named{name, []byte(raw)}, true, reason})
	}
	rule := func(name, raw, reason string) {
		all = append(all, Refusal{Named{name, []byte(raw)}, false, reason})
	}
	refusedJSON(syntax)
	refusedText(syntax)
	refusedNumbers(syntax)
	refusedRules(rule)
	return all
}

func refusedJSON(syntax func(name, raw, reason string)) {
	const pk = `{"pk":{"S":"k"},`
	syntax("nothing", ``, "unexpected end")
	syntax("an array", `[]`, "unexpected")
	syntax("a string", `"pk"`, "unexpected")
	syntax("unfinished", `{"pk":{"S":"k"}`, "unexpected end")
	syntax("unfinished string", `{"pk":{"S":"k`, "unexpected end")
	syntax("trailing comma", `{"pk":{"S":"k"},}`, "unexpected")
	syntax("trailing garbage", `{"pk":{"S":"k"}}x`, "unexpected")
	syntax("second item", `{"pk":{"S":"k"}}{"pk":{"S":"l"}}`, "unexpected")
	syntax("comment", pk+`/* */"a":{"S":""}}`, "unexpected")
	syntax("single quotes", `{'pk':{"S":"k"}}`, "unexpected")
	syntax("untyped value", pk+`"a":"x"}`, "unexpected")
	syntax("untyped null", pk+`"a":null}`, "unexpected")
	syntax("unknown descriptor", pk+`"a":{"X":"x"}}`, "unknown type descriptor")
	syntax("descriptor in lower case", pk+`"a":{"s":"x"}}`, "unknown type descriptor")
	syntax("no descriptor", pk+`"a":{}}`, "Supplied AttributeValue is empty")
	syntax("two descriptors", pk+`"a":{"S":"x","N":"1"}}`, "more than one datatypes")
	syntax("same descriptor twice", pk+`"a":{"S":"x","S":"x"}}`, "more than one datatypes")
	syntax("number as JSON number", pk+`"a":{"N":1}}`, "unexpected")
	syntax("string as JSON number", pk+`"a":{"S":1}}`, "unexpected")
	syntax("bool as string", pk+`"a":{"BOOL":"true"}}`, "unexpected")
	syntax("bool of other case", pk+`"a":{"BOOL":True}}`, "unexpected")
	syntax("null false", pk+`"a":{"NULL":false}}`, "Null attribute value types must have the value of true")
	syntax("list as map", pk+`"a":{"L":{}}}`, "unexpected")
	syntax("map as list", pk+`"a":{"M":[]}}`, "unexpected")
	syntax("set of values", pk+`"a":{"SS":[{"S":"x"}]}}`, "unexpected")
	syntax("list of strings", pk+`"a":{"L":["x"]}}`, "unexpected")
	syntax("duplicate name", pk+`"a":{"S":"x"},"a":{"S":"x"}}`, "duplicate attribute name")
	syntax("duplicate name by escape", pk+`"a":{"S":"x"},"\u0061":{"S":"y"}}`, "duplicate attribute name")
	syntax("duplicate key", `{"pk":{"S":"k"},"pk":{"S":"l"}}`, "duplicate attribute name")
	syntax("duplicate name inside", pk+`"m":{"M":{"a":{"S":"x"},"b":{"N":"1"},"a":{"S":"x"}}}}`, "duplicate attribute name")
	syntax("duplicate long name", pk+`"`+strings.Repeat("n", 80)+`":{"S":"x"},"`+strings.Repeat("n", 80)+`":{"S":"x"}}`,
		"duplicate attribute name")
	syntax("33 levels", pk+`"d":`+nest(item.NestingMax, `{"M":{"n":`, `{"S":"x"}`, `}}`)+`}`, "Nesting Levels have exceeded")
	syntax("33 levels of lists", pk+`"d":`+nest(item.NestingMax, `{"L":[`, `{"S":"x"}`, `]}`)+`}`, "Nesting Levels have exceeded")
	syntax("100,000 levels", pk+`"d":`+strings.Repeat(`{"L":[`, 100_000), "Nesting Levels have exceeded")
	syntax("100,000 brackets", strings.Repeat(`[`, 100_000), "unexpected")
	syntax("100,000 braces", strings.Repeat(`{"a":`, 100_000), "unknown type descriptor")
}

func refusedText(syntax func(name, raw, reason string)) {
	bad := func(name, content, reason string) {
		syntax(name, `{"pk":{"S":"k"},"a":{"S":"x`+content+`y"}}`, reason)
		syntax(name+" in a name", `{"pk":{"S":"k"},"x`+content+`y":{"S":""}}`, reason)
		syntax(name+" in a set", `{"pk":{"S":"k"},"a":{"SS":["x`+content+`y"]}}`, reason)
	}
	bad("stray continuation", "\x80", "invalid UTF-8")
	bad("lead alone", "\xc3", "invalid UTF-8")
	bad("overlong", "\xc0\xaf", "invalid UTF-8")
	bad("overlong of three", "\xe0\x80\xaf", "invalid UTF-8")
	bad("raw surrogate", "\xed\xa0\x80", "invalid UTF-8")
	bad("beyond Unicode", "\xf4\x90\x80\x80", "invalid UTF-8")
	bad("cut short", "\xf0\x9f\x98", "invalid UTF-8")
	bad("byte ff", "\xff", "invalid UTF-8")
	bad("lone high surrogate", `\ud83d`, "lone surrogate")
	bad("lone low surrogate", `\ude00`, "lone surrogate")
	bad("two low surrogates", `\ude00\ude00`, "lone surrogate")
	bad("pair turned", `\ude00\ud83d`, "lone surrogate")
	bad("high and letter", `\ud83d\u0041`, "lone surrogate")
	bad("raw line feed", "\n", "control character")
	bad("raw nul", "\x00", "control character")
	bad("raw tab", "\t", "control character")
	bad("bad escape", `\x41`, "invalid escape")
	bad("short escape", `\u12`, "invalid escape")
	bad("escape of no digits", `\u12g4`, "invalid escape")
	syntax("byte order mark", "\ufeff"+`{"pk":{"S":"k"}}`, "unexpected")
	for _, content := range []string{"AAA", "AA*=", "-_==", "A=AA", "====", "A===", "AA ==", `AA==\n`, "=", "é==="} {
		syntax("base64 "+content, `{"pk":{"S":"k"},"b":{"B":"`+content+`"}}`, "invalid base64")
		syntax("base64 in a set "+content, `{"pk":{"S":"k"},"b":{"BS":["AA==","`+content+`"]}}`, "invalid base64")
	}
}

func refusedNumbers(syntax func(name, raw, reason string)) {
	bad := func(n, reason string) {
		syntax("number "+n, `{"pk":{"S":"k"},"n":{"N":"`+n+`"}}`, reason)
		syntax("number in a set "+n, `{"pk":{"S":"k"},"n":{"NS":["1","`+n+`"]}}`, reason)
	}
	for _, n := range []string{"", " 1", "1 ", "abc", "NaN", "Infinity", "-", "+", ".", "1e", "1e+", "e5", "1.2.3", "1,5", "--1", "0x10",
		"1_000", "1d", "٣", "1 000", "−1", "1e1.5", `1\n`} {
		bad(n, "The parameter cannot be converted to a numeric value")
	}
	bad(strings.Repeat("1", 39), "more than 38 significant digits")
	bad("1."+strings.Repeat("0", 37)+"1", "more than 38 significant digits")
	bad("1e126", "Number overflow")
	bad("-1E+126", "Number overflow")
	bad("1e400", "Number overflow")
	bad("1e99999999999999999999", "Number overflow")
	bad("1"+strings.Repeat("0", 126), "Number overflow")
	bad("1e-131", "Number underflow")
	bad("-9.9E-131", "Number underflow")
	bad("1e-99999999999999999999", "Number underflow")
}

func refusedRules(rule func(name, raw, reason string)) {
	rule("no key", `{"a":{"S":"x"}}`, "Missing the key pk in the item")
	rule("key of another type", `{"pk":{"N":"1"}}`, "Type mismatch for key pk expected: S actual: N")
	rule("key of type NULL", `{"pk":{"NULL":true}}`, "Type mismatch for key pk expected: S actual: NULL")
	rule("empty key", `{"pk":{"S":""}}`, "cannot contain an empty string value. Key: pk")
	rule("long key", `{"pk":{"S":"`+strings.Repeat("k", item.HashKeyBytesMax+1)+`"}}`, "Size of hashkey has exceeded")
	rule("long key in letters", `{"pk":{"S":"`+strings.Repeat("é", item.HashKeyBytesMax/2+1)+`"}}`, "Size of hashkey has exceeded")
	rule("empty string set", `{"pk":{"S":"k"},"s":{"SS":[]}}`, "An string set  may not be empty")
	rule("empty number set", `{"pk":{"S":"k"},"s":{"NS":[]}}`, "An number set  may not be empty")
	rule("empty binary set", `{"pk":{"S":"k"},"s":{"BS":[]}}`, "Binary sets should not be empty")
	rule("duplicate strings", `{"pk":{"S":"k"},"s":{"SS":["a","b","a"]}}`, "Input collection [a, b, a] contains duplicates")
	rule("duplicate strings by escape", `{"pk":{"S":"k"},"s":{"SS":["a","\u0061"]}}`, "contains duplicates")
	rule("duplicate numbers", `{"pk":{"S":"k"},"s":{"NS":["1","1.0"]}}`, "contains duplicates")
	rule("duplicate zeros", `{"pk":{"S":"k"},"s":{"NS":["0","-0"]}}`, "contains duplicates")
	rule("duplicate binaries", `{"pk":{"S":"k"},"s":{"BS":["AQ==","AQ=="]}}`, "contains duplicates")
	rule("duplicates inside", `{"pk":{"S":"k"},"m":{"M":{"l":{"L":[{"SS":["a","a"]}]}}}}`, "contains duplicates")
	rule("too large", `{"pk":{"S":"k"},"s":{"S":"`+strings.Repeat("x", item.ItemBytesMax)+`"}}`, "Item size has exceeded")
	rule("too large by names", `{"pk":{"S":"k"},"m":{"M":{`+manyNames(7, 60_000)+`}}}`, "Item size has exceeded")
	rule("name too long", `{"pk":{"S":"k"},"`+strings.Repeat("n", item.NameBytesMax+1)+`":{"N":"1"}}`, "Attribute name is too large")
}

func manyNames(n, size int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"%d%s":{"N":"1"}`, i, strings.Repeat("n", size)))
	}
	return strings.Join(all, ",")
}
