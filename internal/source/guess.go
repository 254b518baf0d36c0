package source

import (
	"bytes"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/codec/json"
	"dynaferry/internal/item"
)

const (
	// guessBytes is how far a stream is looked into to tell DynamoDB JSON from plain JSON; an item of usual size is far smaller.
	guessBytes = 64 << 10
	// guessRecords is how many records are looked at: one by one they tell the same.
	guessRecords = 100
	// guessVersion is the rule by which it is told, see Spec.Guess.
	guessVersion = 1
)

// guess is what the beginning of a JSON stream tells of it.
type guess struct {
	dynamo  bool          // its records are DynamoDB JSON
	shape   ddbjson.Shape // of those
	replies bool          // the records are the items of replies of Scan or Query
	lines   bool          // one record a line
	odd     string        // why a person should look, "" when nothing is strange
}

// guessJSON looks at the beginning of a stream. Records are DynamoDB JSON when all values of those looked at have exactly one
// member, which is named like a type of DynamoDB and has a value as that type's: plain JSON as people write it has no such
// values. A stream that begins with {"Item":{ is DynamoDB JSON as before, unless its records say otherwise.
func guessJSON(start []byte, form string) guess {
	start = bytes.TrimLeft(bytes.TrimPrefix(start, []byte(byteOrderMark)), jsonSpace)
	var t tally
	at, replies := replyItems(start)
	switch {
	case replies, bytes.HasPrefix(start, []byte("[")):
		t.elements(start[at:])
	default:
		t.sequence(start)
	}
	g := guess{replies: replies, lines: !replies && !bytes.HasPrefix(start, []byte("[")) && oneALine(start)}
	begins := looksWrapped(start)
	if t.wrapped > 0 || begins && t.bare == 0 {
		g.shape = ddbjson.Wrapped
	} else {
		g.shape = ddbjson.Bare
	}
	switch typed := t.wrapped + t.bare; {
	case form == DynamoDBJSON:
		g.dynamo = true
	case begins:
		g.dynamo = t.wrapped > 0 || t.plain == 0
	case replies && t.records == 0:
		g.dynamo = t.whole
	default:
		g.dynamo = typed > 0 && t.plain == 0 && (t.wrapped == 0 || t.bare == 0)
	}
	switch {
	case g.dynamo:
	case replies:
		g.odd = "it looks like a reply of Scan or Query whose items are plain JSON and is read as one record; jq -c '.Items[]' takes them out"
	case begins && t.bare+t.half == 0:
		g.odd = `it begins like DynamoDB JSON, with {"Item":{, but its values have no types and it is read as plain JSON; --from-format says which it is`
	case t.wrapped+t.bare+t.half > 0:
		g.odd = fmt.Sprintf("of the first %d records %d look like DynamoDB JSON, in part or whole, and others do not: all are read as plain JSON; "+
			"--from-format dynamodb-json reads them as DynamoDB JSON, --from-format json says that they are none", t.records, t.wrapped+t.bare+t.half)
	}
	return g
}

const jsonSpace = " \t\r\n"

// tally counts what records look like.
type tally struct {
	records       int
	wrapped, bare int  // whole in DynamoDB JSON
	half          int  // in part
	plain         int  // not whole in it, half ones among them
	whole         bool // the array they are in ended
}

func looking(data []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// elements looks at those of the array that start begins with.
func (t *tally) elements(start []byte) {
	dec := looking(start)
	if _, err := dec.ReadToken(); err != nil {
		return
	}
	for t.records < guessRecords {
		if dec.PeekKind() == ']' {
			t.whole = true
			return
		}
		value, err := valueOf(dec, start)
		if len(value) > 0 {
			t.record(value)
		}
		if err != nil {
			return
		}
	}
}

// sequence looks at values one after the other. Behind one that is damaged it goes on with the next line that begins one.
func (t *tally) sequence(start []byte) {
	for dec := looking(start); t.records < guessRecords; {
		value, err := valueOf(dec, start)
		if err == io.EOF {
			return
		}
		if err == nil {
			t.record(value)
			continue
		}
		next := bytes.Index(value, []byte("\n{"))
		if next < 0 {
			t.record(value)
			return
		}
		t.record(value[:next])
		start = value[next+1:]
		dec = looking(start)
	}
}

// valueOf reads the next value of data, which dec decodes, or with an error what there is of it.
func valueOf(dec *jsontext.Decoder, data []byte) (value []byte, err error) {
	read, err := dec.ReadValue()
	end := min(int(dec.InputOffset()), len(data))
	if err != nil {
		return bytes.TrimLeft(data[end:], jsonSpace+",:"), err
	}
	return data[end-len(read) : end], nil // not read itself, which the decoder takes back
}

// record counts one record, be it cut.
func (t *tally) record(raw []byte) {
	t.records++
	inner := []byte(nil)
	typed, other := membersOf(raw, func(name string, value []byte) {
		if name == "Item" && bytes.HasPrefix(value, []byte("{")) {
			inner = value
		}
	})
	if inner != nil && typed+other <= 1 {
		if in, out := membersOf(inner, nil); in > 0 && out == 0 {
			t.wrapped++
			return
		} else if typed == 0 && in+out == 0 { // an empty item says nothing
			return
		} else if typed == 0 && in > 0 {
			t.half++
		}
	}
	switch {
	case typed > 0 && other == 0:
		t.bare++
	case typed+other > 0 || !bytes.HasPrefix(raw, []byte("{")):
		t.plain++
		if typed > 0 {
			t.half++
		}
	}
}

// membersOf counts the values of an object that are typed, or are not, as far as they can be seen. see is told each and may
// be nil.
func membersOf(raw []byte, see func(name string, value []byte)) (typed, other int) {
	dec := looking(raw)
	if open, err := dec.ReadToken(); err != nil || open.Kind() != '{' {
		return 0, 0
	}
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			return typed, other
		}
		name := token.String()
		value, err := valueOf(dec, raw)
		if see != nil {
			see(name, value)
		}
		switch is, known := isTyped(value); {
		case is:
			typed++
		case known:
			other++
		}
		if err != nil {
			return typed, other
		}
	}
	return typed, other
}

// isTyped tells whether a value is {"S":"..."} or of another type, by its name and what kind of JSON that has; known is
// false for one that is cut before that shows.
func isTyped(value []byte) (is, known bool) {
	dec := looking(value)
	if open, err := dec.ReadToken(); err != nil || open.Kind() != '{' {
		return false, err == nil
	}
	if dec.PeekKind() == '}' {
		return false, true
	}
	name, err := dec.ReadToken()
	if err != nil {
		return false, false
	}
	t, err := item.ParseType(name.String())
	kind := dec.PeekKind()
	if err != nil || kind != 0 && !hasKind(t, kind) {
		return false, true
	}
	if kind == 0 {
		return false, false
	}
	err = dec.SkipValue()
	return err != nil || dec.PeekKind() == '}' || dec.PeekKind() == 0, true
}

// hasKind tells whether DynamoDB JSON has that kind of JSON in a value of type t.
func hasKind(t item.Type, kind jsontext.Kind) bool {
	switch t {
	case item.S, item.N, item.B:
		return kind == '"'
	case item.BOOL:
		return kind == 't' || kind == 'f'
	case item.NULL:
		return kind == 't'
	case item.M:
		return kind == '{'
	}
	return kind == '['
}

// replyItems finds the array of items in a reply of Scan or Query, by its members up to there.
func replyItems(start []byte) (at int, ok bool) {
	dec := looking(start)
	if open, err := dec.ReadToken(); err != nil || open.Kind() != '{' {
		return 0, false
	}
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil || !json.IsReplyMember(token.String()) {
			return 0, false
		}
		if token.String() == "Items" {
			if dec.PeekKind() != '[' {
				return 0, false
			}
			behind := start[dec.InputOffset():]
			return len(start) - len(bytes.TrimLeft(behind, jsonSpace+":")), true
		}
		if dec.SkipValue() != nil {
			return 0, false
		}
	}
	return 0, false
}

// oneALine tells whether the first line is a whole record and nothing else, or all that is seen of one.
func oneALine(start []byte) bool {
	line, _, ended := bytes.Cut(start, []byte("\n"))
	dec := looking(line)
	if _, err := dec.ReadValue(); err != nil {
		return !ended
	}
	return len(bytes.TrimLeft(line[dec.InputOffset():], jsonSpace)) == 0
}
