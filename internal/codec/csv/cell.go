package csv

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// cells turns cells into values of the item in hand.
type cells struct {
	build   *item.Builder
	scratch *item.Batch // for DynamoDB JSON
	dec     *jsontext.Decoder
	in      *bytes.Buffer
	data    []byte
}

func newCells() cells {
	in := new(bytes.Buffer)
	return cells{build: item.NewBuilder(nil), scratch: &item.Batch{}, dec: jsontext.NewDecoder(in), in: in}
}

func (c *cells) begin(b *item.Batch) { c.build.Reset(b) }

// value appends the value of a cell that is not absent. After an error the item is to be aborted.
func (c *cells) value(text []byte, quoted bool, spec Spec) error {
	switch spec {
	case Text:
		c.build.String(text)
		return nil
	case Infer:
		return c.inferred(text, quoted)
	case JSON:
		return c.ddbJSON(text)
	case Map:
		if c.ddbJSON(text) == nil {
			return nil
		}
		return c.plainJSON(text, '{')
	}
	trimmed := bytes.TrimSpace(text)
	if len(trimmed) > 0 && trimmed[0] == '{' {
		return c.ddbJSON(trimmed)
	}
	switch spec {
	case Number:
		return c.build.Number(trimmed)
	case Bool:
		return c.bool(trimmed)
	case Binary:
		return c.binary(trimmed)
	case List:
		return c.plainJSON(text, '[')
	case SS, NS, BS:
		return c.set(text, spec)
	}
	return fault.New(fault.Bug, "csv: column type %q", spec)
}

// inferred takes unquoted numbers and truth values for what they look like.
func (c *cells) inferred(text []byte, quoted bool) error {
	t := item.S
	if !quoted {
		t = guess(text)
	}
	switch t {
	case item.N:
		return c.build.Number(text)
	case item.BOOL:
		c.build.Bool(text[0] == 't')
	default:
		c.build.String(text)
	}
	return nil
}

// guess returns N for a number as JSON writes it, within DynamoDB's limits, BOOL for true and false, else S. "007",
// "+1" and "1e999" are text: as numbers they would not come back.
func guess(text []byte) item.Type {
	if string(text) == "true" || string(text) == "false" {
		return item.BOOL
	}
	digit := func(c byte) bool { return c-'0' <= 9 }
	if len(text) == 0 || text[0] != '-' && !digit(text[0]) || !digit(text[len(text)-1]) {
		return item.S
	}
	if !jsontext.Value(text).IsValid() {
		return item.S
	}
	if _, err := item.CheckNumber(text); err != nil {
		return item.S
	}
	return item.N
}

func (c *cells) bool(text []byte) error {
	switch {
	case strings.EqualFold(string(text), "true"):
		c.build.Bool(true)
	case strings.EqualFold(string(text), "false"):
		c.build.Bool(false)
	default:
		return mismatch("true or false", text)
	}
	return nil
}

func (c *cells) binary(text []byte) error {
	data, err := base64.StdEncoding.Strict().AppendDecode(c.data[:0], text)
	if err != nil || bytes.ContainsAny(text, "\r\n") {
		return mismatch("base64", text)
	}
	c.data = data
	c.build.Binary(data)
	return nil
}

// quoteMax bounds how much of a wrong cell an error repeats.
const quoteMax = 40

func mismatch(want string, text []byte) error {
	if len(text) > quoteMax {
		return fault.New(fault.Corrupt, "csv: %q... is not %s", text[:quoteMax], want)
	}
	return fault.New(fault.Corrupt, "csv: %q is not %s", text, want)
}

// ddbJSON reads one typed value, {"N":"1"}, and appends nothing when it is none.
func (c *cells) ddbJSON(text []byte) error {
	b := c.scratch
	b.Reset()
	b.Src = append(b.Src, `{"":`...)
	b.Src = append(b.Src, text...)
	b.Src = item.GrowSlack(append(b.Src, '}'))
	if err := ddbjson.Parse(b, 0); err != nil {
		return fault.New(fault.Corrupt, "csv: cell is no DynamoDB JSON: %w", bare(err))
	}
	it := b.Item(0)
	if it.Count(0) != 1 {
		return fault.New(fault.Corrupt, "csv: cell is no DynamoDB JSON: more than one value")
	}
	c.build.Raw(it, 2) // behind the item and the name
	return nil
}

// bare takes the places off an error, which are those of the scratch.
func bare(err error) error {
	for {
		var e *fault.Error
		if !errors.As(err, &e) {
			return err
		}
		err = e.Err
	}
}

// plainJSON reads a JSON value that begins with bracket: numbers are N, strings S, null NULL, arrays L, objects M.
func (c *cells) plainJSON(text []byte, bracket jsontext.Kind) error {
	*c.in = *bytes.NewBuffer(text)
	c.dec.Reset(c.in)
	if kind := c.dec.PeekKind(); kind != bracket {
		return mismatch("JSON that begins with "+string(rune(bracket)), text)
	}
	for depth := 0; ; {
		token, err := c.dec.ReadToken()
		if err != nil {
			return syntaxError(err)
		}
		kind := token.Kind()
		if parent, n := c.dec.StackIndex(c.dec.StackDepth()); kind == '"' && parent == '{' && n%2 == 1 {
			c.build.Name(token.String())
			continue
		}
		switch kind {
		case '"':
			c.build.String([]byte(token.String()))
		case '0':
			if err := c.build.Number([]byte(token.String())); err != nil {
				return err
			}
		case 't', 'f':
			c.build.Bool(kind == 't')
		case 'n':
			c.build.Null()
		case '{':
			c.build.BeginMap()
			depth++
		case '[':
			c.build.BeginList()
			depth++
		default:
			c.build.End()
			if depth--; depth == 0 {
				return c.nothingBehind()
			}
		}
	}
}

// set reads a JSON array of a set's members.
func (c *cells) set(text []byte, spec Spec) error {
	t, err := item.ParseType(string(spec))
	if err != nil {
		return err
	}
	*c.in = *bytes.NewBuffer(text)
	c.dec.Reset(c.in)
	if c.dec.PeekKind() != '[' {
		return mismatch("a JSON array", text)
	}
	if _, err := c.dec.ReadToken(); err != nil {
		return syntaxError(err)
	}
	if c.dec.PeekKind() == ']' {
		return mismatch("a set, which has members", text)
	}
	c.build.BeginSet(t)
	for c.dec.PeekKind() != ']' {
		token, err := c.dec.ReadToken()
		if err != nil {
			return syntaxError(err)
		}
		kind, member := token.Kind(), []byte(token.String())
		switch {
		case t == item.SS && kind == '"':
			c.build.String(member)
		case t == item.NS && (kind == '"' || kind == '0'):
			err = c.build.Number(member)
		case t == item.BS && kind == '"':
			err = c.binary(member)
		default:
			err = mismatch("a member of "+t.String(), member)
		}
		if err != nil {
			return err
		}
	}
	if _, err := c.dec.ReadToken(); err != nil {
		return syntaxError(err)
	}
	c.build.End()
	return c.nothingBehind()
}

func (c *cells) nothingBehind() error {
	if _, err := c.dec.ReadToken(); err != io.EOF {
		return fault.New(fault.Corrupt, "csv: more than one JSON value in a cell")
	}
	return nil
}

func syntaxError(err error) error {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		err = syntax.Err
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fault.New(fault.Corrupt, "csv: cell is no JSON: %w", err)
}
