package json

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// namesMax bounds the names that are kept as strings; names beyond it are made anew each time.
const namesMax = 4096

// parser turns the bytes of one record into an item of the batch.
type parser struct {
	types map[string]item.Type
	dec   *jsontext.Decoder
	in    bytes.Buffer
	batch *item.Batch
	build *item.Builder
	tape0 int
	names map[string]string
	path  []byte // of the value to come, kept only when there are types
	text  []byte // scratch
	open  []level
}

// level is an open container.
type level struct {
	kind item.Type // M, L or a set
	path int       // length of the path at its opening
}

func newParser(types map[string]item.Type) *parser {
	dec := jsontext.NewDecoder(new(bytes.Buffer))
	return &parser{types: types, dec: dec, build: item.NewBuilder(nil), names: map[string]string{}}
}

// begin makes b the batch that items go to.
func (p *parser) begin(b *item.Batch) {
	p.batch = b
	p.build.Reset(b)
}

// parse appends the item of one record, or returns an error with line, offset and path and appends nothing.
func (p *parser) parse(raw []byte, place fault.Place) error {
	p.in = *bytes.NewBuffer(raw)
	p.dec.Reset(&p.in)
	p.tape0, p.path, p.open = len(p.batch.Tape), p.path[:0], p.open[:0]
	p.build.Begin(uint32(place.Line - p.batch.FirstLine))
	err := p.object()
	if err == nil {
		p.build.Finish()
		return nil
	}
	return p.failed(err, raw, place)
}

// failed takes the unfinished item back and says where the record is wrong.
func (p *parser) failed(err error, raw []byte, place fault.Place) error {
	at := p.dec.InputOffset()
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &syntax):
		at = syntax.ByteOffset
		err = fault.New(fault.Corrupt, "json: %w", syntax.Err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		at = int64(len(raw))
		err = fault.New(fault.Corrupt, "json: record ends within its object")
	}
	at = min(at, int64(len(raw)))
	place.Line += int64(bytes.Count(raw[:at], newline))
	if at == int64(len(raw)) && bytes.HasSuffix(raw, newline) {
		place.Line--
	}
	place.Offset += at
	path := item.AppendPath(nil, p.batch.Src, p.batch.Tape[p.tape0:], len(p.batch.Tape)-p.tape0)
	if syntax != nil && errors.Is(syntax.Err, jsontext.ErrDuplicateName) { // no token has been made of it
		if len(path) > 0 {
			path = append(path, '.')
		}
		path = append(path, syntax.JSONPointer.LastToken()...)
	}
	place.Path = string(path)
	p.build.Abort()
	return fault.At(err, place)
}

// object reads the record's object and makes sure that nothing follows.
func (p *parser) object() error {
	if kind := p.dec.PeekKind(); kind != '{' {
		if kind == 0 {
			_, err := p.dec.ReadToken()
			return err
		}
		return fault.New(fault.Corrupt, "json: record is no object but a %s", kind)
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return err
	}
	p.open = append(p.open, level{kind: item.M})
	for len(p.open) > 0 {
		if err := p.next(); err != nil {
			return err
		}
	}
	if _, err := p.dec.ReadToken(); err != io.EOF {
		if err == nil {
			err = fault.New(fault.Corrupt, "json: more than one value in a record")
		}
		return err
	}
	return nil
}

// next reads the end of the innermost container, or its next member or element.
func (p *parser) next() error {
	here := p.open[len(p.open)-1]
	kind := p.dec.PeekKind()
	if kind == '}' || kind == ']' {
		return p.end()
	}
	p.path = p.path[:here.path]
	if here.kind != item.M {
		return p.value(kind, here)
	}
	raw, err := p.dec.ReadValue()
	if err != nil {
		return err
	}
	name, err := p.unquote(raw)
	if err != nil {
		return err
	}
	p.build.Name(p.name(name))
	if p.types != nil {
		if here.path > 0 {
			p.path = append(p.path, '.')
		}
		p.path = append(p.path, name...)
	}
	return p.value(p.dec.PeekKind(), here)
}

func (p *parser) end() error {
	if _, err := p.dec.ReadToken(); err != nil {
		return err
	}
	p.open = p.open[:len(p.open)-1]
	if len(p.open) > 0 { // the item itself is ended by Finish
		p.build.End()
	}
	return nil
}

// value reads one value that has no type told, or hands it to typed.
func (p *parser) value(kind jsontext.Kind, in level) error {
	if in.kind.IsSet() {
		return p.typed(kind, in.kind.Member())
	}
	if p.types != nil && kind != 'n' {
		if t := p.types[string(p.path)]; t != 0 {
			return p.typed(kind, t)
		}
	}
	switch kind {
	case '"', '0':
		raw, err := p.dec.ReadValue()
		if err != nil {
			return err
		}
		if kind == '0' {
			return p.build.Number(raw)
		}
		text, err := p.unquote(raw)
		if err == nil {
			p.build.String(text)
		}
		return err
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return err
	}
	switch kind {
	case 't', 'f':
		p.build.Bool(kind == 't')
	case 'n':
		p.build.Null()
	case '{':
		p.build.BeginMap()
		p.open = append(p.open, level{item.M, len(p.path)})
	case '[':
		p.build.BeginList()
		if p.types != nil {
			p.path = append(p.path, '[', ']')
		}
		p.open = append(p.open, level{item.L, len(p.path)})
	}
	return nil
}

// typed reads a value of a type that was told.
func (p *parser) typed(kind jsontext.Kind, t item.Type) error {
	switch {
	case t.IsSet() && kind == '[':
		if _, err := p.dec.ReadToken(); err != nil {
			return err
		}
		if p.dec.PeekKind() == ']' { // DynamoDB has no empty sets
			p.build.BeginList()
			t = item.L
		} else {
			p.build.BeginSet(t)
		}
		p.open = append(p.open, level{t, len(p.path)})
		return nil
	case t == item.B && kind == '"':
		text, err := p.string()
		if err != nil {
			return err
		}
		data, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
		if err != nil {
			return fault.New(fault.Corrupt, "json: no base64 where %s is expected", t)
		}
		p.build.Binary(data)
		return nil
	case t == item.N && (kind == '"' || kind == '0'):
		text, err := p.string()
		if err != nil {
			return err
		}
		return p.build.Number(text)
	case t == item.S && (kind == '"' || kind == '0'):
		text, err := p.string()
		if err == nil {
			p.build.String(text)
		}
		return err
	case t == item.BOOL && (kind == 't' || kind == 'f'), t == item.L && kind == '[', t == item.M && kind == '{':
		return p.untyped(kind)
	}
	// Reading on finds a syntax error, which is worth more than what follows.
	if err := p.dec.SkipValue(); err != nil {
		return err
	}
	return fault.New(fault.Corrupt, "json: %s where %s is expected", kind, t)
}

// untyped reads a value whose kind is what its told type has anyway.
func (p *parser) untyped(kind jsontext.Kind) error {
	types := p.types
	p.types = nil
	err := p.value(kind, level{kind: item.L})
	p.types = types
	if kind == '[' {
		p.path = append(p.path, '[', ']')
		p.open[len(p.open)-1].path = len(p.path)
	}
	return err
}

// string reads a string's or number's text.
func (p *parser) string() ([]byte, error) {
	raw, err := p.dec.ReadValue()
	if err != nil || raw.Kind() == '0' {
		return raw, err
	}
	return p.unquote(raw)
}

// unquote returns the text of a valid JSON string, in place when it has no escapes.
func (p *parser) unquote(raw jsontext.Value) ([]byte, error) {
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return inner, nil
	}
	text, err := jsontext.AppendUnquote(p.text[:0], raw)
	p.text = text
	return text, err
}

// name returns text as a string that is made once.
func (p *parser) name(text []byte) string {
	if s, ok := p.names[string(text)]; ok {
		return s
	}
	s := string(text)
	if len(p.names) < namesMax {
		p.names[s] = s
	}
	return s
}
