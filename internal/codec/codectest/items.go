package codectest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"dynaferry/internal/item"
)

// Parse decodes an attribute map in DynamoDB JSON. It is slow, independent of codec/ddbjson, and panics on what is
// none.
func Parse(raw string) map[string]item.Value {
	var members map[string]map[string]json.RawMessage
	must(json.Unmarshal([]byte(raw), &members))
	return parseMembers(members)
}

func parseMembers(members map[string]map[string]json.RawMessage) map[string]item.Value {
	values := make(map[string]item.Value, len(members))
	for name, wrapped := range members {
		values[name] = parseValue(wrapped)
	}
	return values
}

func parseValue(wrapped map[string]json.RawMessage) item.Value {
	if len(wrapped) != 1 {
		panic(fmt.Sprintf("codectest: %d types in a value", len(wrapped)))
	}
	for name, raw := range wrapped {
		t, err := item.ParseType(name)
		must(err)
		return parseTyped(t, raw)
	}
	return item.Value{}
}

func parseTyped(t item.Type, raw []byte) item.Value {
	v := item.Value{Type: t}
	switch t {
	case item.S, item.N:
		must(json.Unmarshal(raw, &v.Str))
	case item.B:
		var text string
		must(json.Unmarshal(raw, &text))
		data, err := base64.StdEncoding.DecodeString(text)
		must(err)
		v.Bin = data
	case item.BOOL:
		must(json.Unmarshal(raw, &v.Bool))
	case item.M:
		var members map[string]map[string]json.RawMessage
		must(json.Unmarshal(raw, &members))
		v.Map = parseMembers(members)
	case item.L:
		var elements []map[string]json.RawMessage
		must(json.Unmarshal(raw, &elements))
		for _, e := range elements {
			v.List = append(v.List, parseValue(e))
		}
	case item.SS, item.NS, item.BS:
		var members []json.RawMessage
		must(json.Unmarshal(raw, &members))
		for _, m := range members {
			v.List = append(v.List, parseTyped(t.Member(), m))
		}
	}
	return v
}

func must(err error) {
	if err != nil {
		panic("codectest: " + err.Error())
	}
}

// Make builds an item from a decoded one.
func Make(members map[string]item.Value) item.Item {
	it, err := item.FromMap(members)
	must(err)
	return it
}

// Canonical is the canonical DynamoDB JSON of a decoded item.
func Canonical(members map[string]item.Value) string {
	return string(item.AppendCanonical(nil, Make(members)))
}

// Odd lists items that stand on the borders of what DynamoDB and the formats allow, one thought each.
func Odd() []string {
	return []string{
		`{}`,
		`{"a":{"S":""}}`,
		`{"a":{"B":""}}`,
		`{"":{"S":"empty name"}}`,
		`{"a":{"NULL":true},"b":{"S":"NULL"},"c":{"S":"null"},"d":{"S":"true"},"e":{"S":"1"},"f":{"S":"NA"}}`,
		`{"a":{"N":"0"},"b":{"N":"-1"},"c":{"N":"0.1"},"d":{"N":"100000000000000000000000000000000000000"}}`,
		`{"a":{"N":"99999999999999999999999999999999999999"},"b":{"N":"1E-130"},` +
			`"c":{"N":"9.9999999999999999999999999999999999999E+125"}}`,
		`{"a":{"BOOL":true},"b":{"BOOL":false}}`,
		`{"a":{"L":[]},"b":{"M":{}},"c":{"L":[{"L":[{"L":[]}]}]},"d":{"L":[{"NULL":true},{"M":{"":{"S":""}}}]}}`,
		`{"a":{"SS":["b","a"]},"b":{"NS":["10","2","1"]},"c":{"BS":["AA==","AAE=","/+8="]},"d":{"B":"AAECAwQ="}}`,
		`{"a":{"M":{"s":{"SS":["x"]},"l":{"L":[{"NS":["1"]},{"B":"AA=="}]}}}}`,
		`{"quote\"d":{"S":"say \"hi\", ok"},"back\\slash":{"S":"\\"},"comma,":{"S":",;|:\t "},` +
			`"new\nline":{"S":"a\nb\r\nc\r"}}`,
		`{"ctl":{"S":"\u0000\u0001\u001f\u007f"},"sep":{"S":"\u2028\u2029\ufeff"},` +
			`"emoji":{"S":"\ud83d\ude00"},"é":{"S":"e\u0301"}}`,
		`{"=1+1":{"S":"=1+1"},"plus":{"S":"+1"},"minus":{"S":"-1"},"at":{"S":"@x"},` +
			`"tab":{"S":"\tx"},"cr":{"S":"\rx"},"q":{"S":"'=1"}}`,
		`{"a.b":{"S":"dots"},"a":{"M":{"b":{"S":"nested"}}},"a[0]":{"S":"x"},` +
			`"A":{"S":"case"},"__proto__":{"S":"p"},"$ref":{"N":"1"}}`,
		`{"json":{"S":"{\"S\":\"x\"}"},"list":{"S":"[1]"},"html":{"S":"<a href='x'>&amp;</a>"}}`,
		`{" ":{"S":" "},"lead":{"S":" x"},"trail":{"S":"x "},"both":{"S":"\u00a0x\u00a0"}}`,
		`{"long":{"S":"` + strings.Repeat("0123456789abcdef", 4000) + `"},"` + strings.Repeat("n", 5000) + `":{"N":"1"}}`,
		`{"deep":` + strings.Repeat(`{"L":[`, 30) + `{"S":"x"}` + strings.Repeat(`]}`, 30) + `}`,
	}
}

// describe renders a mismatch short enough to read.
func describe(got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	cut := func(b []byte) []byte {
		return bytes.ToValidUTF8(b[max(0, min(len(b), i-40)):min(len(b), i+80)], []byte("?"))
	}
	return fmt.Sprintf("differ at byte %d:\n got ...%s\nwant ...%s", i, cut(got), cut(want))
}
