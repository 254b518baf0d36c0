package column

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// schemaVersion is that of the JSON form; docs/formats/columns.md is its specification.
const schemaVersion = 1

// schemaFile is the JSON form of a Schema, as inspect --schema writes it, --schema reads it and our Parquet files carry
// it in their metadata.
type schemaFile struct {
	Version int         `json:"version"`
	Extra   string      `json:"extra,omitzero"`
	Spilled bool        `json:"spilled,omitzero"`
	Columns []fieldFile `json:"columns"`
}

type fieldFile struct {
	Name      string      `json:"name,omitzero"`
	Attribute *string     `json:"attribute,omitzero"`
	Type      string      `json:"type,omitzero"`
	Kind      string      `json:"kind"`
	Format    string      `json:"format,omitzero"`
	ID        *int        `json:"id,omitzero"`
	Spilled   bool        `json:"spilled,omitzero"`
	Element   *fieldFile  `json:"element,omitzero"`
	Fields    []fieldFile `json:"fields,omitzero"`
}

var kindNames = map[Kind]string{Long: "long", Double: "double", String: "text", Binary: "binary", Bool: "bool",
	Date: "date", Timestamp: "timestamp", JSON: "json", List: "list", Struct: "struct"}

// String returns the kind's name in schema files; for the decimals without precision and scale.
func (k Kind) String() string {
	switch k {
	case Decimal18:
		return "decimal(18)"
	case Decimal38:
		return "decimal(38)"
	}
	if name, ok := kindNames[k]; ok {
		return name
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// AppendJSON appends the schema's JSON form, on one line, equal for equal schemas.
func (s *Schema) AppendJSON(dst []byte) []byte {
	file := schemaFile{Version: schemaVersion, Extra: s.Extra, Spilled: s.Spilled, Columns: []fieldFile{}}
	for _, f := range s.Fields {
		file.Columns = append(file.Columns, fileOf(f))
	}
	text, err := json.Marshal(file, jsontext.AllowInvalidUTF8(true))
	fault.Check(err == nil, "a schema that is no JSON")
	return append(dst, text...)
}

// MarshalJSON is AppendJSON to a new slice.
func (s *Schema) MarshalJSON() ([]byte, error) { return s.AppendJSON(nil), nil }

// MarshalText is the form for people: indented, a member a line.
func (s *Schema) MarshalText() ([]byte, error) {
	text := jsontext.Value(s.AppendJSON(nil))
	if err := text.Indent(jsontext.WithIndent("  ")); err != nil {
		return nil, fault.As(fault.Bug, err)
	}
	return append(text, '\n'), nil
}

func fileOf(f *Field) fieldFile {
	out := fieldFile{Name: f.Name, Kind: kindText(f), Format: f.Format, ID: &f.ID, Spilled: f.Spilled}
	if f.Type != 0 {
		out.Type = f.Type.String()
	}
	if f.Source != f.Name {
		out.Attribute = &f.Source
	}
	if f.Elem != nil {
		elem := fileOf(f.Elem)
		elem.Name, elem.Attribute = "", nil
		out.Element = &elem
	}
	for _, member := range f.Fields {
		out.Fields = append(out.Fields, fileOf(member))
	}
	return out
}

func kindText(f *Field) string {
	if f.Kind == Decimal18 || f.Kind == Decimal38 {
		return fmt.Sprintf("decimal(%d,%d)", f.Precision(), f.Scale)
	}
	return f.Kind.String()
}

// ParseSchema reads the JSON form. Attribute defaults to the name and the name to the attribute made safe, type to what
// the kind suggests (json without type takes values of any); "text" with type N keeps numbers as text. Unknown
// members, kinds and types, twins among names or attributes, and combinations that cannot restore a value are
// errors of kind User with line, offset and JSON pointer.
func ParseSchema(data []byte) (*Schema, error) {
	var file schemaFile
	if err := json.Unmarshal(data, &file, json.RejectUnknownMembers(true)); err != nil {
		return nil, placed(data, err)
	}
	p := schemaParser{data: data}
	if file.Version != schemaVersion {
		return nil, p.at("/version", "version %d is not known, %d is", file.Version, schemaVersion)
	}
	s := &Schema{Extra: file.Extra, Spilled: file.Spilled}
	names := newNamer()
	if s.Extra != "" {
		names.take(s.Extra)
	}
	s.Fields = p.fields("/columns", file.Columns, names, 1)
	if p.err != nil {
		return nil, p.err
	}
	numberFields(s)
	return s, nil
}

// UnmarshalJSON is ParseSchema into s.
func (s *Schema) UnmarshalJSON(data []byte) error {
	parsed, err := ParseSchema(data)
	if err == nil {
		*s = *parsed
	}
	return err
}

// placed gives a JSON error its place.
func placed(data []byte, err error) error {
	var place fault.Place
	var syntax *jsontext.SyntacticError
	var meaning *json.SemanticError
	reason := err
	switch {
	case errors.As(err, &syntax):
		place.Offset, place.Path, reason = syntax.ByteOffset, string(syntax.JSONPointer), syntax.Err
	case errors.As(err, &meaning):
		place.Offset, place.Path = meaning.ByteOffset, string(meaning.JSONPointer)
		if meaning.Err != nil {
			reason = meaning.Err
		}
	}
	place.Line = lineOf(data, place.Offset)
	return fault.At(fault.New(fault.User, "read schema: %w", reason), place)
}

func lineOf(data []byte, offset int64) int64 {
	offset = min(max(offset, 0), int64(len(data)))
	return 1 + int64(bytes.Count(data[:offset], []byte("\n")))
}

// schemaParser checks what the JSON says. The first error stays.
type schemaParser struct {
	data []byte
	err  error
}

// at makes an error at a JSON pointer.
func (p *schemaParser) at(pointer, format string, args ...any) error {
	place := fault.Place{Path: pointer, Offset: offsetOf(p.data, pointer)}
	place.Line = lineOf(p.data, place.Offset)
	return fault.At(fault.New(fault.User, "read schema: "+format, args...), place)
}

func (p *schemaParser) fail(pointer, format string, args ...any) {
	if p.err == nil {
		p.err = p.at(pointer, format, args...)
	}
}

// offsetOf finds where the value that a pointer names begins, its holder's when it is not there.
func offsetOf(data []byte, pointer string) int64 {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	best, length := int64(0), -1
	for {
		if _, err := d.ReadToken(); err != nil {
			return best
		}
		at := string(d.StackPointer())
		if len(at) > length && (at == pointer || strings.HasPrefix(pointer, at+"/")) {
			best, length = d.InputOffset(), len(at)
		}
	}
}

func (p *schemaParser) fields(at string, files []fieldFile, names *namer, depth int) []*Field {
	var fields []*Field
	sources := map[string]bool{}
	for i := range files {
		here := at + "/" + strconv.Itoa(i)
		f := p.field(here, &files[i], depth)
		if p.err != nil {
			return nil
		}
		if sources[f.Source] {
			p.fail(here, "attribute %q has two columns", f.Source)
		}
		sources[f.Source] = true
		if f.Name != "" {
			if names.taken[foldName(f.Name)] {
				p.fail(here+"/name", "name %q is taken (readers fold case)", f.Name)
			}
			if safeName(f.Name) != f.Name {
				p.fail(here+"/name", "name %q holds what readers cannot take; %q would do", f.Name, safeName(f.Name))
			}
			names.take(f.Name)
		}
		fields = append(fields, f)
	}
	nameFields(fields, names)
	return fields
}

// schemaDepthMax is what a schema may nest. Those of earlier versions have a column for each of DynamoDB's 32 levels.
const schemaDepthMax = 64

func (p *schemaParser) field(at string, file *fieldFile, depth int) *Field {
	f := &Field{Name: file.Name, Source: file.Name, Format: file.Format, Spilled: file.Spilled, ID: idOpen}
	if file.Attribute != nil {
		f.Source = *file.Attribute
	} else if file.Name == "" && !strings.HasSuffix(at, "/element") {
		p.fail(at, "a column needs a name or an attribute")
	}
	if file.ID != nil {
		if *file.ID < 0 {
			p.fail(at+"/id", "ids count from 0")
		}
		f.ID = *file.ID
	}
	if depth > schemaDepthMax {
		p.fail(at, "nested too deep")
		return f
	}
	p.kind(at, file, f)
	p.kindType(at, file, f)
	p.format(at, f)
	p.nested(at, file, f, depth)
	return f
}

func (p *schemaParser) kind(at string, file *fieldFile, f *Field) {
	for kind, name := range kindNames {
		if name == file.Kind {
			f.Kind = kind
			return
		}
	}
	var precision, scale int
	n, err := fmt.Sscanf(file.Kind, "decimal(%d,%d)", &precision, &scale)
	f.Kind, f.Scale, f.Digits = Decimal38, scale, precision
	switch {
	case err != nil || n != 2 || file.Kind != fmt.Sprintf("decimal(%d,%d)", precision, scale):
		p.fail(at+"/kind", "kind %q is not known: long, decimal(p,s), double, text, binary, bool, date, timestamp, json, "+
			"list, struct", file.Kind)
	case precision < 1 || precision > 38 || scale < 0 || scale > precision:
		p.fail(at+"/kind", "%s: precision is 1 to 38, scale 0 to precision", file.Kind)
	case precision <= 18:
		f.Kind = Decimal18
	}
	if precision == 18 || precision == 38 {
		f.Digits = 0
	}
}

// suggested is the type of a kind when the file names none.
func suggested(f *Field) item.Type {
	switch f.Kind {
	case Long, Decimal18, Decimal38, Double:
		return item.N
	case String:
		return item.S
	case Binary:
		return item.B
	case Bool:
		return item.BOOL
	case Date, Timestamp:
		if _, epoch := epochDecimals(f.Format); epoch {
			return item.N
		}
		return item.S
	case List:
		return item.L
	case Struct:
		return item.M
	}
	return 0
}

func (p *schemaParser) kindType(at string, file *fieldFile, f *Field) {
	f.Type = suggested(f)
	if file.Type == "" {
		return
	}
	given := typeOf([]byte(file.Type))
	if given == 0 || given == item.NULL {
		p.fail(at+"/type", "type %q is not known: S, N, B, BOOL, L, M, SS, NS, BS", file.Type)
		return
	}
	ok := given == f.Type || f.Kind == JSON || f.Kind == String && given == item.N || f.Kind == List && given.IsSet()
	if !ok {
		p.fail(at+"/type", "a column of kind %s cannot hold type %s", file.Kind, file.Type)
	}
	f.Type = given
}

func (p *schemaParser) format(at string, f *Field) {
	if f.Kind != Date && f.Kind != Timestamp {
		if f.Format != "" {
			p.fail(at+"/format", "only dates and timestamps have a format")
		}
		return
	}
	if f.Format == "" {
		f.Format = FormatISO
	}
	switch f.Format {
	case FormatISO, FormatEpochS, FormatEpochMs, FormatEpochUs:
	case FormatISOms, FormatISOus:
		if f.Kind == Date {
			p.fail(at+"/format", "format %s is one of timestamps", f.Format)
		}
	default:
		sample := time.Date(2023, 11, 22, 21, 34, 56, 0, time.UTC)
		back, err := time.Parse(f.Format, sample.Format(f.Format))
		if err != nil || back.Year() != 2023 || back.YearDay() != sample.YearDay() {
			p.fail(at+"/format", "format %q is none of %s nor a layout with year, month and day like 02/01/2006",
				f.Format, strings.Join(formats, ", "))
		}
	}
}

func (p *schemaParser) nested(at string, file *fieldFile, f *Field, depth int) {
	switch {
	case f.Kind != Struct && len(file.Fields) > 0:
		p.fail(at+"/fields", "only a struct has fields")
	case f.Kind != List && file.Element != nil:
		p.fail(at+"/element", "only a list has an element")
	case f.Kind == Struct && len(file.Fields) == 0:
		p.fail(at, "a struct needs fields; kind json holds any map")
	case f.Kind == List && file.Element == nil:
		p.fail(at, "a list needs an element")
	case f.Kind == Struct:
		f.Fields = p.fields(at+"/fields", file.Fields, newNamer(), depth+1)
	case f.Kind == List:
		f.Elem = p.field(at+"/element", file.Element, depth+1)
		f.Elem.Name, f.Elem.Source = elementName, ""
		if f.Type.IsSet() && f.Elem.Type != f.Type.Member() {
			p.fail(at+"/element", "the members of %s are of type %s", f.Type, f.Type.Member())
		}
	}
}
