package source

import (
	"context"
	"encoding/json"
	"time"

	"dynaferry/internal/codec"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/step"
	"dynaferry/internal/world"
)

// The forms that items have in files.
const (
	Parquet      = "parquet"
	DynamoDBJSON = "dynamodb-json"
	Ion          = "ion"
	JSON         = "json"
	CSV          = "csv"
	DeadLetters  = "dead-letters"
)

// OutputFormat is the word that the manifests of a native export have for a form, "" for forms that no export has.
func OutputFormat(form string) string {
	return map[string]string{DynamoDBJSON: "DYNAMODB_JSON", Ion: "ION"}[form]
}

// Kinds of sources.
const (
	KindTable       = "table"
	KindExport      = "export"      // native export, or one of ours in its layout
	KindIncremental = "incremental" // changes: one incremental export, or a chain of them
	KindDataset     = "dataset"     // files with a history of ours
	KindFiles       = "files"       // loose files
	KindLog         = "log"         // rows of a window of a change log, or what it deleted; its changes are of KindIncremental
)

// Spec says what to open and how to read it. It is part of a plan: two plans with different Specs are different.
type Spec struct {
	Address string `json:"address"`
	Form    string `json:"form,omitempty"` // of loose files; "" means by suffix and first bytes

	// Tables.
	Consistent bool              `json:"consistent,omitempty"`
	Filter     string            `json:"filter,omitempty"`
	Projection string            `json:"projection,omitempty"`
	Names      map[string]string `json:"names,omitempty"`
	Values     json.RawMessage   `json:"values,omitempty"` // DynamoDB JSON map

	// Guess is the version of the rule by which DynamoDB JSON is told from plain JSON in loose files; Open fills it when it
	// makes a plan. 0 is the rule before there were versions: a stream that begins with {"Item":{ is DynamoDB JSON.
	Guess int `json:"guess,omitempty"`

	CSV CSVSpec `json:"csv,omitzero"` // of loose files
	// Dialects are how the versions of a data set of ours wrote their CSV; each File says which is its own.
	Dialects []CSVSpec `json:"dialects,omitempty"`
	// Types gives attributes of plain formats their DynamoDB type: name → S, N, B, BOOL, SS, NS, BS, json.
	Types map[string]string `json:"types,omitempty"`

	// Seal identifies what was found when the plan was made; Open fills it, Reopen checks nothing against it. It makes a
	// changed source another plan.
	Seal string `json:"seal,omitempty"`
	// Dir is the export's folder or the file's name that Open settled on.
	Dir  string `json:"dir,omitempty"`
	Kind string `json:"kind,omitempty"`
	// File tells that the address names a single file.
	File bool `json:"file,omitempty"`

	// Log says that the address is of a change log, and which of its records are meant.
	Log *LogSpec `json:"log,omitempty"`

	// Overlay are the incremental exports that are laid over the source, or that the source is when its Kind is
	// KindIncremental. Open replaces what the user gave by one entry for each window, in order.
	Overlay []Overlay `json:"overlay,omitempty"`
}

// Overlay names changes, an incremental export or a window of a change log, as Spec does a source.
type Overlay struct {
	Address string `json:"address"`
	Dir     string `json:"dir,omitempty"`
	Seal    string `json:"seal,omitempty"`
	// Log makes it a window of a change log, the last of all. Open fills where it begins.
	Log *LogSpec `json:"log,omitempty"`
}

// CSVSpec is how CSV files are read.
type CSVSpec struct {
	Delimiter string   `json:"delimiter,omitempty"`
	Header    []string `json:"header,omitempty"`
	Nulls     []string `json:"nulls,omitempty"`
	Infer     bool     `json:"infer,omitempty"` // numbers and booleans by their look
	Cells     string   `json:"cells,omitempty"` // typed or ddbjson

	// Files of ours say how they were written, so that they come back exactly.
	Exact       bool              `json:"exact,omitempty"` // quoted cells are text even when empty
	FormulaSafe bool              `json:"formulaSafe,omitempty"`
	Types       map[string]string `json:"types,omitempty"` // by column, in the words of codec/csv
}

// Info is what is known of a source before it is read.
type Info struct {
	Kind       string
	Form       string
	URL        string
	Definition *dynamo.Definition // of the table the items are of, when known
	Keys       *item.KeySchema    // nil when unknown
	Unique     bool               // no key can occur twice (a table, a full export)
	Items      int64              // exact for exports and data sets, an estimate for tables, -1 when unknown
	Exact      bool               // Items is exact
	Bytes      int64              // as stored; an estimate for tables
	Table      *dynamo.Table      // tables
	Warnings   []string
	Time       time.Time       // the moment the items show, zero when there is none
	Shows      *Moment         // what is known of that moment and of the table, nil when nothing is
	Windows    []Window        // of changes, laid over the source or, of KindIncremental, the source itself
	Schema     json.RawMessage // column schema of a data set
	Log        *LogInfo        // of a change log
}

// Unit is a part of a source that one task reads from its beginning.
type Unit struct {
	Order    int      `json:"order"` // place in source order
	Segment  int      `json:"segment,omitempty"`
	Segments int      `json:"segments,omitempty"` // > 0 for tables
	File     *File    `json:"file,omitempty"`
	Log      *LogSpan `json:"log,omitempty"`    // of a change log
	Window   int      `json:"window,omitempty"` // which of Info.Windows the file is of, from 1; 0 for files of items
}

// File is a unit that is a file.
type File struct {
	Name        string                     `json:"name"` // in the bucket
	Form        string                     `json:"form"`
	Compression string                     `json:"compression,omitempty"`
	Size        int64                      `json:"size"`
	ETag        string                     `json:"etag,omitempty"` // what must still stand when read; "" is not checked
	MD5         string                     `json:"md5,omitempty"`
	Items       int64                      `json:"items"`                 // -1 when unknown
	Fingerprint string                     `json:"fingerprint,omitempty"` // of the items, where our history tells it
	Constants   map[string]json.RawMessage `json:"constants,omitempty"`
	Partition   [][2]string                `json:"partition,omitempty"` // Hive columns of foreign files: name, text
	Dialect     int                        `json:"dialect,omitempty"`   // which of Spec.Dialects, from 1; 0 is Spec.CSV
}

// ReadOptions are what reading takes beyond the unit.
type ReadOptions struct {
	Rejects  codec.Rejects    // records that are no items; nil stops at the first
	Scanner  *dynamo.Scanner  // tables: keeps the read budget; nil reads unbridled
	Governor *dynamo.Governor // of the Scanner
	// Steps is what the steps of a change log take from the world around; nil refuses them.
	Steps *step.Env
	// Pages, when set, is told each page's consumed units and the time of the reply.
	Pages func(units float64, received time.Time)
}

// Stream yields a unit's items. At io.EOF everything the source promises of the unit has been checked.
type Stream interface {
	codec.Reader
	Close() error
}

// Source is an opened source.
type Source interface {
	Spec() Spec
	Info() Info
	// Units cuts the source: files are kept whole; a table gets about one segment per bytes of its size, at least least.
	Units(ctx context.Context, bytes int64, least int) ([]Unit, error)
	// Read streams the items of one unit. The caller closes it.
	Read(ctx context.Context, u Unit, o ReadOptions) (Stream, error)
	// Address is where the source stands.
	Address() world.Address
}

// Open looks at an address and opens what stands there; what arrives damaged of it is read again.
func Open(ctx context.Context, w *world.World, spec Spec) (Source, error) {
	return fault.Again(ctx, func() (Source, error) { return openOnce(ctx, w, spec) })
}

func openOnce(ctx context.Context, w *world.World, spec Spec) (Source, error) {
	at, err := world.Parse(spec.Address)
	if err != nil {
		return nil, err
	}
	spec.Address = at.String() // whole: a task of the plan may run in another working directory
	if at.Scheme == world.DynamoDB {
		return openTable(ctx, w, at, spec)
	}
	if spec.Log != nil {
		return openLog(ctx, w, at, spec)
	}
	return openFiles(ctx, w, at, spec)
}
