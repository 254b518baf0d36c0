package delivery

import (
	"slices"
	"strings"

	"dynaferry/internal/codec/compress"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/column"
	"dynaferry/internal/fault"
	"dynaferry/internal/row"
)

// Form is how files are written.
type Form string

// The forms.
const (
	DynamoDBJSON Form = "dynamodb-json" // a line a record
	JSON         Form = "json"          // plain JSON, as codec/json
	CSV          Form = "csv"
	Parquet      Form = "parquet"
)

// Images is what of a change becomes a row; docs/formats/delivery.md has the rules.
type Images = row.Images

// The kinds of rows, as package row makes them.
const (
	New     = row.New
	Both    = row.Both
	Changes = row.Changes
)

// Clock is whose time puts a change into a folder.
type Clock string

// The clocks.
const (
	ChangeTime  Clock = "change"  // when it happened: the running maximum of the service's stamps along the lineage
	CaptureTime Clock = "capture" // when its entry was written into the log
)

// PartitionKey is a name that prefixes may use, and the attribute that it stands for.
type PartitionKey struct {
	Name string   `json:"name"`
	Path []string `json:"path"` // attribute, and members of maps below it
}

// Settings decide what files look like. An epoch holds its own, so they may change from one to the next, but for Form and
// Images. The zero value of a member means its default.
type Settings struct {
	Name        string         `json:"name"` // of the pipeline, in names of files and of state: changes
	Form        Form           `json:"form"` // dynamodb-json
	Images      Images         `json:"images"`
	Compression string         `json:"compression"` // gzip, zstd, snappy (Parquet) or none: gzip for text, zstd for Parquet
	Level       int            `json:"level,omitempty"`
	Prefix      string         `json:"prefix,omitempty"`      // of visible files, with Firehose's expressions
	ErrorPrefix string         `json:"errorPrefix,omitempty"` // of refused records in Firehose's layout; "" keeps them as dead letters
	TimeZone    string         `json:"timeZone,omitempty"`    // IANA name: UTC
	Extension   string         `json:"extension,omitempty"`   // of visible files, with its point
	Clock       Clock          `json:"clock"`                 // change
	Partition   []PartitionKey `json:"partitionKeys,omitempty"`
	BufferBytes int64          `json:"bufferBytes"`       // of records before compression, at which a span is full: 64 MiB
	Columns     *column.Schema `json:"columns,omitempty"` // Parquet: columns by wish, of the items' attributes
	Keys        []string       `json:"keys,omitempty"`    // attributes whose columns come first
	Into        string         `json:"into,omitempty"`    // address of the Sink that takes records in the place of files
	Bare        bool           `json:"bare,omitempty"`    // records of a Sink do not end with a line feed
	Steps       []string       `json:"steps,omitempty"`   // what Options.Transform makes of these is done to each change
}

// Bounds of BufferBytes: Firehose's are 1 and 128 MiB. What a span holds beyond it is less than one entry of the log.
const (
	bufferBytesDefault = 64 << 20
	bufferBytesMax     = 128 << 20
)

const (
	nameBytesMax = 100
	nameDefault  = "changes"
)

// filled returns the settings with their defaults, and what of them is compiled. Errors are of kind User.
func (s Settings) filled() (Settings, *prefixes, error) {
	set(&s.Name, nameDefault)
	set(&s.Form, DynamoDBJSON)
	set(&s.Images, Changes)
	set(&s.Clock, ChangeTime)
	set(&s.BufferBytes, bufferBytesDefault)
	if s.Compression == "" {
		switch {
		case s.Into != "":
			s.Compression = string(compress.None)
		case s.Form == Parquet:
			s.Compression = string(parquet.Zstd)
		default:
			s.Compression = string(compress.Gzip)
		}
	}
	if err := s.check(); err != nil {
		return s, nil, err
	}
	p, err := s.compile()
	return s, p, err
}

// Check tells whether a delivery can be made so, without a look at anything else. Errors are of kind User.
func (s Settings) Check() error {
	_, _, err := s.filled()
	return err
}

func set[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

func (s *Settings) check() error {
	wrong := func(format string, args ...any) error { return fault.New(fault.User, format, args...) }
	plain := func(r rune) bool {
		return r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	if len(s.Name) > nameBytesMax || strings.Trim(s.Name, ".") == "" || strings.IndexFunc(s.Name, func(r rune) bool { return !plain(r) }) >= 0 {
		return wrong("the name %q: letters, digits, point, - and _ make one, %d at most", s.Name, nameBytesMax)
	}
	if !slices.Contains([]Form{DynamoDBJSON, JSON, CSV, Parquet}, s.Form) {
		return fault.Hint(wrong("unknown form %q", s.Form), "use dynamodb-json, json, csv or parquet")
	}
	if !slices.Contains([]Images{New, Both, Changes}, s.Images) {
		return fault.Hint(wrong("unknown images %q", s.Images), "use new, both or changes")
	}
	if s.Clock != ChangeTime && s.Clock != CaptureTime {
		return fault.Hint(wrong("unknown partition time %q", s.Clock), "use change or capture")
	}
	if s.BufferBytes < 1 || s.BufferBytes > bufferBytesMax {
		return wrong("a buffer of %d bytes; 1 to %d", s.BufferBytes, bufferBytesMax)
	}
	if s.Into != "" {
		if err := s.checkSink(); err != nil {
			return err
		}
	}
	if s.Columns != nil && s.Form != Parquet {
		return wrong("columns are fixed of Parquet alone, not of %s", s.Form)
	}
	if s.Extension != "" && (s.Extension[0] != '.' || len(s.Extension) > 128 || strings.ContainsAny(s.Extension, "/\\\x00")) {
		return wrong("the file extension %q: it begins with a point and has at most 128 bytes", s.Extension)
	}
	return s.checkCompression()
}

func (s *Settings) checkCompression() error {
	known := []string{string(compress.Gzip), string(compress.Zstd), string(compress.None)}
	if s.Form == Parquet {
		known = append(known, string(parquet.Snappy))
	}
	if !slices.Contains(known, s.Compression) {
		return fault.Hint(fault.New(fault.User, "%s is not compressed as %q", s.Form, s.Compression), "use %s", strings.Join(known, ", "))
	}
	if s.Form == Parquet {
		return nil
	}
	return compress.CheckLevel(compress.Codec(s.Compression), s.Level)
}

// extension is what names of files end with.
func (s *Settings) extension() string {
	if s.Extension != "" {
		return s.Extension
	}
	switch s.Form {
	case Parquet:
		return ".parquet"
	case CSV:
		return ".csv" + compress.Codec(s.Compression).Suffix()
	}
	return ".json" + compress.Codec(s.Compression).Suffix()
}
