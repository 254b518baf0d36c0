package local

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// member is one member of a JSON object of a request, its value still raw bytes inside the request's body.
type member struct{ name, raw []byte }

// args are the members of a JSON object, in their order, those that are null included; get takes null for absent, as
// the service does.
type args []member

// get returns the raw value of a member, nil when it is absent or null.
func (a args) get(name string) []byte {
	for i := len(a) - 1; i >= 0; i-- {
		if string(a[i].name) == name {
			if isNull(a[i].raw) {
				return nil
			}
			return a[i].raw
		}
	}
	return nil
}

func isNull(raw []byte) bool { return string(raw) == "null" }

// split cuts a JSON object into its members without looking deeper than brackets and strings; whoever takes a value
// checks it. It reuses into and reports whether raw is an object as far as it looked.
func split(into args, raw []byte) (args, bool) {
	into = into[:0]
	i := space(raw, 0)
	if i == len(raw) || raw[i] != '{' {
		return into, false
	}
	if i = space(raw, i+1); i < len(raw) && raw[i] == '}' {
		return into, space(raw, i+1) == len(raw)
	}
	for {
		if i == len(raw) || raw[i] != '"' {
			return into, false
		}
		end := skipString(raw, i)
		if end < 0 {
			return into, false
		}
		name := raw[i+1 : end-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			unquoted, err := jsontext.AppendUnquote(nil, raw[i:end])
			if err != nil {
				return into, false
			}
			name = unquoted
		}
		if i = space(raw, end); i == len(raw) || raw[i] != ':' {
			return into, false
		}
		i = space(raw, i+1)
		if end = skipValue(raw, i); end < 0 {
			return into, false
		}
		into = append(into, member{name, raw[i:end]})
		if i = space(raw, end); i == len(raw) {
			return into, false
		}
		switch raw[i] {
		case ',':
			i = space(raw, i+1)
		case '}':
			return into, space(raw, i+1) == len(raw)
		default:
			return into, false
		}
	}
}

// elements cuts a JSON array into raw values.
func elements(raw []byte) ([][]byte, bool) {
	var list [][]byte
	i := space(raw, 0)
	if i == len(raw) || raw[i] != '[' {
		return nil, false
	}
	if i = space(raw, i+1); i < len(raw) && raw[i] == ']' {
		return list, space(raw, i+1) == len(raw)
	}
	for {
		end := skipValue(raw, i)
		if end < 0 {
			return nil, false
		}
		list = append(list, raw[i:end])
		if i = space(raw, end); i == len(raw) {
			return nil, false
		}
		switch raw[i] {
		case ',':
			i = space(raw, i+1)
		case ']':
			return list, space(raw, i+1) == len(raw)
		default:
			return nil, false
		}
	}
}

func space(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\n' || raw[i] == '\r' || raw[i] == '\t') {
		i++
	}
	return i
}

// skipString returns the index behind the string that opens at raw[i], -1 when it does not end.
func skipString(raw []byte, i int) int {
	// Most strings of a request are shorter than what a search costs to begin with: names of types and of attributes.
	const short = 12
	i++
	for end := min(i+short, len(raw)); i < end; i++ {
		if raw[i] == '"' {
			return i + 1
		}
		if raw[i] == '\\' {
			i++ // what is escaped is no end
		}
	}
	if i >= len(raw) {
		return -1
	}
	for {
		n := bytes.IndexByte(raw[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		slashes := 0
		for raw[i-1-slashes] == '\\' {
			slashes++
		}
		if i++; slashes%2 == 0 {
			return i
		}
	}
}

// skipValue returns the index behind the value at raw[i], -1 when there is none.
func skipValue(raw []byte, i int) int {
	if i >= len(raw) {
		return -1
	}
	switch raw[i] {
	case '"':
		return skipString(raw, i)
	case '{', '[':
		return skipNested(raw, i)
	}
	start := i
	for i < len(raw) && !delimiter(raw[i]) {
		i++
	}
	if !jsontext.Value(raw[start:i]).IsValid() {
		return -1
	}
	return i
}

func delimiter(c byte) bool {
	return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '"' || c == ':'
}

func skipNested(raw []byte, i int) int {
	depth := 0
	for i < len(raw) {
		switch raw[i] {
		case '"':
			if i = skipString(raw, i); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

// kindWord is the service's name for the JSON token that raw starts with, in its complaints about types.
func kindWord(raw []byte) string {
	switch raw[0] {
	case '"':
		return "STRING_VALUE"
	case 't':
		return "TRUE_VALUE"
	case 'f':
		return "FALSE_VALUE"
	case '{':
		return "START_OBJECT"
	case '[':
		return "START_ARRAY"
	}
	if bytes.ContainsAny(raw, ".eE") {
		return "DECIMAL_VALUE"
	}
	return "NUMBER_VALUE"
}

// wrongType is what the service says when raw stands where a value of a simple Java class was expected.
func wrongType(raw []byte, class string) error {
	switch raw[0] {
	case '[':
		return serialization("Unrecognized collection type class java.lang.%s", class)
	case '{':
		return serialization("Start of structure or map found where not expected")
	}
	if class == "Boolean" {
		return serialization("Unexpected token received from parser")
	}
	return serialization("%s cannot be converted to %s", kindWord(raw), class)
}

// text decodes a JSON string.
func text(raw []byte) (string, error) {
	if raw[0] != '"' {
		return "", wrongType(raw, "String")
	}
	s, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return "", serialization("")
	}
	return string(s), nil
}

// text returns a string member, "" and false when it is absent.
func (a args) text(name string) (string, bool, error) {
	raw := a.get(name)
	if raw == nil {
		return "", false, nil
	}
	s, err := text(raw)
	return s, true, err
}

// flag returns a boolean member, nil when it is absent.
func (a args) flag(name string) (*bool, error) {
	switch raw := a.get(name); {
	case raw == nil:
		return nil, nil
	case string(raw) == "true", string(raw) == "false":
		v := raw[0] == 't'
		return &v, nil
	default:
		return nil, wrongType(raw, "Boolean")
	}
}

// integer returns an integer member, nil when it is absent. The service cuts fractions off.
func (a args) integer(name, class string) (*int64, error) {
	raw := a.get(name)
	if raw == nil {
		return nil, nil
	}
	if c := raw[0]; c != '-' && (c < '0' || c > '9') {
		return nil, wrongType(raw, class)
	}
	if v, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return &v, nil
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f > 1<<62 || f < -(1<<62) {
		return nil, serialization("%s cannot be converted to %s", kindWord(raw), class)
	}
	v := int64(f)
	return &v, nil
}

// object returns a member that is a JSON object of the service's type class, split; nil and false when absent.
func (a args) object(name, class string) (args, bool, error) {
	raw := a.get(name)
	if raw == nil {
		return nil, false, nil
	}
	members, err := object(raw, class)
	return members, true, err
}

func object(raw []byte, class string) (args, error) {
	switch raw[0] {
	case '{':
	case '[':
		return nil, serialization("Unrecognized collection type %s", class)
	default:
		return nil, serialization("Unexpected field type")
	}
	members, ok := split(nil, raw)
	if !ok {
		return nil, serialization("")
	}
	return members, nil
}

// list returns a member that is a JSON array, nil and false when absent.
func (a args) list(name string) ([][]byte, bool, error) {
	raw := a.get(name)
	if raw == nil {
		return nil, false, nil
	}
	switch raw[0] {
	case '[':
	case '{':
		return nil, true, serialization("Start of structure or map found where not expected")
	default:
		return nil, true, serialization("Unexpected field type")
	}
	list, ok := elements(raw)
	if !ok {
		return nil, true, serialization("")
	}
	return list, true, nil
}
