package local

import (
	"bytes"
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
)

// record is one attribute map of a request: an item, a key, or the values of expressions. err is what is wrong with a
// value in it; it is kept apart because the service complains about values only after it has looked at other things.
type record struct {
	item.Item
	size int    // by item.Size: whether it is too large is judged later, in the operation's words
	name string // the top-level attribute err is about
	err  error
}

// classAttributeMap is the service's name for the type of an attribute map.
const (
	classAttribute    = "class com.amazonaws.dynamodb.v20120810.AttributeValue"
	classAttributeMap = "java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>"
)

// parse reads raw, which lies in a buffer with item.Slack bytes behind it, into r, its tape behind those of b. The
// returned error is about JSON that is none or of the wrong type; r.err about values.
func (r *record) parse(b *item.Batch, raw []byte) error {
	r.err, r.name, b.Src = nil, "", raw
	tape, rows := len(b.Tape), b.Len()
	var err error
	if end, ok := ddbjson.Next(b, 0); !ok || end != len(raw) {
		b.Tape, b.Rows = b.Tape[:tape], b.Rows[:rows]
		err = ddbjson.Parse(b, 0)
	}
	if err == nil {
		err = r.accept(b.Item(rows))
	}
	if err != nil {
		return r.diagnose(raw, err)
	}
	return nil
}

// accept takes a tokenised item. The returned error is a broken rule of values, for diagnose to put into words.
func (r *record) accept(it item.Item) error {
	r.Item = it
	if unnamed(it) {
		r.err = invalid("Empty attribute name")
		return nil
	}
	if err := item.ValidateValues(it); err != nil {
		return err
	}
	r.size = item.Size(it)
	return nil
}

// unnamed tells whether any attribute or member has an empty name.
func unnamed(it item.Item) bool {
	for i := range it.Tape {
		if it.Tape[i].Type == item.Name && it.Tape[i].Off == it.Tape[i].End {
			return true
		}
	}
	return false
}

// diagnose is the slow way: it finds what the service would say about a map the tokenizer or the rules refuse, and
// accepts what only they are strict about (a name given twice: the last one wins).
func (r *record) diagnose(raw []byte, cause error) error {
	members, err := object(raw, classAttributeMap)
	if err != nil {
		return err
	}
	if !jsontext.Value(raw).IsValid(jsontext.AllowDuplicateNames(true)) {
		return serialization("")
	}
	values := map[string]item.Value{}
	for _, m := range members {
		d := diagnosis{}
		if len(m.name) == 0 {
			d.fail(invalid("Empty attribute name"))
		}
		v, err := d.value(m.raw, 1)
		if err != nil {
			return err
		}
		if d.err != nil && r.err == nil {
			r.err, r.name = d.err, string(m.name)
		}
		values[string(m.name)] = v
	}
	if r.err != nil {
		return nil
	}
	it, err := item.FromMap(values)
	if err == nil {
		err = item.ValidateValues(it)
	}
	if err != nil {
		if cause == nil {
			cause = err
		}
		r.err = invalid("%s", words(cause))
		return nil
	}
	r.Item, r.size = it, item.Size(it)
	return nil
}

// diagnosis decodes one value the way the service does. err is the first complaint about its content.
type diagnosis struct{ err error }

func (d *diagnosis) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

const (
	saysEmpty = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
	saysMany  = "Supplied AttributeValue has more than one datatypes set, " +
		"must contain exactly one of the supported datatypes"
)

// depthMax is DynamoDB's bound on nesting: 32 levels below the item.
const depthMax = 32

func (d *diagnosis) value(raw []byte, depth int) (item.Value, error) {
	var v item.Value
	switch raw[0] {
	case 'n':
		d.fail(invalid(saysEmpty))
		return v, nil
	case '{':
	case '[':
		return v, serialization("Unrecognized collection type %s", classAttribute)
	default:
		return v, serialization("Unexpected value type in payload")
	}
	if depth > depthMax+1 {
		d.fail(invalid("Nesting Levels have exceeded supported limits"))
		return v, nil
	}
	members, ok := split(nil, raw)
	if !ok {
		return v, serialization("")
	}
	n := 0
	for _, m := range members {
		t, err := item.ParseType(string(m.name))
		if err != nil || isNull(m.raw) {
			continue // members the service does not know, and those that are null, are ignored
		}
		n++
		if v, err = d.typed(t, m.raw, depth); err != nil {
			return v, err
		}
	}
	switch {
	case n == 0:
		d.fail(invalid(saysEmpty))
	case n > 1:
		d.fail(invalid(saysMany))
	}
	return v, nil
}

func (d *diagnosis) typed(t item.Type, raw []byte, depth int) (item.Value, error) {
	v := item.Value{Type: t}
	var err error
	switch t {
	case item.S:
		v.Str, err = text(raw)
	case item.N:
		if v.Str, err = text(raw); err == nil {
			d.number(&v.Str)
		}
	case item.B:
		v.Bin, err = decodeBinary(raw)
	case item.BOOL, item.NULL:
		if string(raw) != "true" && string(raw) != "false" {
			return v, wrongType(raw, "Boolean")
		}
		v.Bool = raw[0] == 't'
		if t == item.NULL && !v.Bool {
			d.fail(invalidValue("Null attribute value types must have the value of true"))
		}
	case item.L:
		err = d.list(&v, raw, depth)
	case item.M:
		err = d.members(&v, raw, depth)
	default:
		err = d.set(&v, raw)
	}
	return v, err
}

func (d *diagnosis) list(v *item.Value, raw []byte, depth int) error {
	list, _, err := args{{[]byte("L"), raw}}.list("L")
	if err != nil {
		return err
	}
	v.List = make([]item.Value, len(list))
	for i, e := range list {
		if v.List[i], err = d.value(e, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (d *diagnosis) members(v *item.Value, raw []byte, depth int) error {
	members, err := object(raw, classAttributeMap)
	if err != nil {
		return err
	}
	v.Map = make(map[string]item.Value, len(members))
	for _, m := range members {
		if v.Map[string(m.name)], err = d.value(m.raw, depth+1); err != nil {
			return err
		}
	}
	return nil
}

var setWords = map[item.Type]string{item.SS: "string", item.NS: "number", item.BS: "binary"}

func (d *diagnosis) set(v *item.Value, raw []byte) error {
	list, _, err := args{{[]byte("SS"), raw}}.list("SS")
	if err != nil {
		return err
	}
	if len(list) == 0 {
		if v.Type == item.BS {
			d.fail(invalidValue("Binary sets should not be empty"))
		} else {
			d.fail(invalidValue("An %s set  may not be empty", setWords[v.Type]))
		}
	}
	seen, shown, double := map[string]bool{}, []string{}, false
	for _, e := range list {
		if isNull(e) {
			d.fail(invalidValue("An %s set may not have a null string as a member", setWords[v.Type]))
			continue
		}
		m := item.Value{Type: v.Type.Member()}
		var key string
		switch m.Type {
		case item.B:
			m.Bin, err = decodeBinary(e)
			key = string(m.Bin)
			shown = append(shown, base64.StdEncoding.EncodeToString(m.Bin))
		case item.N:
			if m.Str, err = text(e); err == nil {
				d.number(&m.Str)
			}
			key = m.Str
		default:
			m.Str, err = text(e)
			key = m.Str
			shown = append(shown, key)
		}
		if err != nil {
			return err
		}
		double = double || seen[key]
		seen[key] = true
		v.List = append(v.List, m)
	}
	if double {
		switch all := strings.Join(shown, ", "); v.Type {
		case item.NS:
			d.fail(invalid("Input collection contains duplicates"))
		case item.BS:
			d.fail(invalidValue("Input collection [%s]of type BS contains duplicates.", all))
		default:
			d.fail(invalidValue("Input collection [%s] contains duplicates.", all))
		}
	}
	return nil
}

// number brings the text into normal form, or complains.
func (d *diagnosis) number(s *string) {
	n, err := item.ParseNumber([]byte(*s))
	if err != nil {
		d.fail(invalid("%s", err.Error()))
		return
	}
	*s = string(n)
}

// decodeBinary decodes base64; the service's decoder ignores loose bits behind the last byte.
func decodeBinary(raw []byte) ([]byte, error) {
	s, err := text(raw)
	if err != nil {
		return nil, err
	}
	if len(s)%4 != 0 {
		return nil, serialization("Base64 encoded length is expected a multiple of 4 bytes but found: %d", len(s))
	}
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, serialization("Invalid Base64 character in the value %q", s)
	}
	return data, nil
}

// appendNormal appends the item with every number in normal form and no loose bits behind the bytes of binary values;
// all else byte for byte as it came.
func appendNormal(dst []byte, it item.Item) []byte {
	from := it.Tape[0].Off
	for i := range it.Tape {
		token := &it.Tape[i]
		switch {
		case token.Type == item.N && token.Flags&item.Normal == 0:
			dst = append(dst, it.Src[from:token.Off]...)
			dst = it.AppendNumber(dst, i)
		case token.Type == item.B && loose(it.Src[token.Off:token.End]):
			dst = append(dst, it.Src[from:token.Off]...)
			dst = base64.StdEncoding.AppendEncode(dst, it.Bytes(i, nil))
		default:
			continue
		}
		from = token.End
	}
	return append(dst, it.Src[from:it.Tape[0].End]...)
}

// loose tells whether base64 text may say bits behind its last byte: MR== means what MQ== does. Escaped text is taken
// for loose.
func loose(content []byte) bool {
	if bytes.IndexByte(content, '\\') >= 0 {
		return true
	}
	n := len(content)
	if n < 4 || content[n-1] != '=' {
		return false
	}
	if content[n-2] == '=' {
		return bytes.IndexByte([]byte("AQgw"), content[n-3]) < 0 // four bits must be 0
	}
	return bytes.IndexByte([]byte("AEIMQUYcgkosw048"), content[n-2]) < 0 // two
}
