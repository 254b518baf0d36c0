package job

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/column"
	"dynaferry/internal/dataset"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/manifest"
	"dynaferry/internal/source"
)

// DatasetRecord describes a data set as readers see it now.
type DatasetRecord struct {
	Type       string          `json:"type"` // "data-set"
	Address    string          `json:"address"`
	Format     string          `json:"format"`
	Version    int             `json:"version"` // -1 while the first is being published
	Items      int64           `json:"items"`
	Files      int             `json:"files"`
	Bytes      int64           `json:"bytes"`
	Partitions int             `json:"partitions,omitempty"`
	Keys       *item.KeySchema `json:"keys,omitempty"`
	Partition  []string        `json:"partition,omitempty"` // columns
	Columns    int             `json:"columns,omitempty"`
	Options    json.RawMessage `json:"options,omitempty"` // of the format, for reading back
}

// VersionRecord is one step of a data set's history.
type VersionRecord struct {
	Type        string    `json:"type"` // "version"
	Number      int       `json:"number"`
	State       string    `json:"state"` // visible, or decided: its plan has not finished publishing
	Plan        string    `json:"plan"`
	Created     time.Time `json:"created"`
	Added       int       `json:"added"` // files
	Removed     int       `json:"removed"`
	Widened     int       `json:"widened,omitempty"` // files of earlier versions that got its new columns
	Items       int64     `json:"items"`             // in what it added
	Fingerprint string    `json:"fingerprint"`
}

// ExportRecord describes a native export, or one of ours in its layout.
type ExportRecord struct {
	Type       string              `json:"type"` // "export"
	Address    string              `json:"address"`
	State      string              `json:"state"` // complete or unfinished
	Kind       string              `json:"kind,omitempty"`
	Table      string              `json:"table,omitempty"` // ARN
	ExportTime string              `json:"exportTime,omitempty"`
	From       string              `json:"from,omitempty"` // incremental exports
	To         string              `json:"to,omitempty"`
	View       string              `json:"view,omitempty"`
	Format     string              `json:"format,omitempty"`
	Items      int64               `json:"items"`
	Files      int                 `json:"files"`
	Bytes      int64               `json:"bytes"`       // as stored
	Billed     int64               `json:"billedBytes"` // of the items
	Scan       *manifest.ScanTimes `json:"scan,omitempty"`
	Checks     []string            `json:"checks"`
	Warnings   []string            `json:"warnings,omitempty"`
	Summary    *manifest.Summary   `json:"summary,omitempty"`
}

// ParquetRecord describes a Parquet file by its footer.
type ParquetRecord struct {
	Type    string `json:"type"` // "parquet"
	Address string `json:"address"`
	Bytes   int64  `json:"bytes"`
	parquet.Info
	Schema *column.Schema `json:"schema,omitempty"` // files of ours
}

func (i *inspection) dataset(set *dataset.Set) error {
	r := DatasetRecord{Type: "data-set", Address: i.at.String(), Version: set.Head, Files: len(set.Files)}
	var schema *column.Schema
	if last := set.Last; last != nil {
		r.Format, r.Keys, r.Partition, r.Options = last.Form, last.Keys, last.Partition, last.Options
		if len(last.Schema) > 0 {
			var err error
			if schema, err = column.ParseSchema(last.Schema); err != nil {
				return unreadable("schema of "+i.at.String(), err)
			}
			r.Columns = len(schema.Fields)
		}
	}
	partitions := map[string]bool{}
	for _, f := range set.Files {
		r.Items, r.Bytes = r.Items+f.Items, r.Bytes+f.Size
		if len(f.Partition) > 0 {
			partitions[path.Dir(f.Name)] = true
		}
	}
	r.Partitions = len(partitions)
	if err := i.emit(r); err != nil {
		return err
	}
	if err := i.versions(set); err != nil {
		return err
	}
	if source.OutputFormat(r.Format) != "" {
		if err := i.exportsOf(set); err != nil {
			return err
		}
	}
	if err := i.columns(schema); err != nil {
		return err
	}
	for _, f := range set.Files {
		items := f.Items
		err := i.emit(FileRecord{Type: "file", Name: f.Name, Format: r.Format, Bytes: f.Size, Items: &items, MD5: f.MD5,
			Partition: f.Partition, Constants: f.Constants})
		if err != nil {
			return err
		}
	}
	if set.Head < 0 {
		return nil
	}
	src, err := source.Open(i.ctx, i.env.World, i.spec)
	if err != nil {
		return err
	}
	return i.contents(src)
}

func (i *inspection) versions(set *dataset.Set) error {
	emit := func(v *dataset.Version, state string) error {
		return i.emit(VersionRecord{Type: "version", Number: v.Number, State: state, Plan: v.Plan, Created: v.Created,
			Added: len(v.Added) - v.Widens(), Removed: len(v.Removed) - v.Widens(), Widened: v.Widens(), Items: v.Items, Fingerprint: v.Fingerprint})
	}
	for n := range set.Head + 1 {
		v, err := set.Version(i.ctx, n)
		if err != nil {
			return err
		}
		if err := emit(v, "visible"); err != nil {
			return err
		}
	}
	for n := range set.Open {
		if err := emit(&set.Open[n], "decided"); err != nil {
			return err
		}
	}
	return nil
}

func (i *inspection) columns(s *column.Schema) error {
	if s == nil {
		return nil
	}
	for _, f := range s.Fields {
		r := ColumnRecord{Type: "column", Name: f.Name, Attribute: f.Source, Kind: kindText(f)}
		if f.Type != 0 {
			r.DynamoDB = f.Type.String()
		}
		if err := i.emit(r); err != nil {
			return err
		}
	}
	return nil
}

// kindText writes a column's kind with what is below it: list of struct(sku text, price decimal(18,2)).
func kindText(f *column.Field) string {
	switch f.Kind {
	case column.Decimal18, column.Decimal38:
		return fmt.Sprintf("decimal(%d,%d)", f.Precision(), f.Scale)
	case column.List:
		return "list of " + kindText(f.Elem)
	case column.Struct:
		members := make([]string, len(f.Fields))
		for n, m := range f.Fields {
			members[n] = m.Name + " " + kindText(m)
		}
		return "struct(" + strings.Join(members, ", ") + ")"
	}
	return f.Kind.String()
}

// exports describes every export at or below the address. One that is damaged is an error; the others are told first.
func (i *inspection) exports(finished, unfinished []string) error {
	slices.Sort(finished)
	slices.Sort(unfinished)
	var first error
	for _, dir := range finished {
		e, err := manifest.Open(i.ctx, i.loc.Bucket, dir)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		if err := i.export(e, len(finished) == 1); err != nil {
			return err
		}
	}
	for _, dir := range unfinished {
		err := i.emit(ExportRecord{Type: "export", Address: i.below(dir), State: "unfinished",
			Checks: []string{"no manifest-summary.json: the service has not finished it, or it failed"}})
		if err != nil {
			return err
		}
	}
	return first
}

// exportsOf describes the exports that a data set in their layout holds.
func (i *inspection) exportsOf(set *dataset.Set) error {
	finished, _, err := manifest.Find(i.ctx, set.Root, set.Dir)
	if err != nil {
		return err
	}
	slices.Sort(finished)
	for _, dir := range finished {
		e, err := manifest.Open(i.ctx, set.Root, dir)
		if err != nil {
			return err
		}
		if err := i.export(e, false); err != nil {
			return err
		}
	}
	return nil
}

func (i *inspection) export(e *manifest.Export, whole bool) error {
	s := e.Summary
	r := ExportRecord{Type: "export", Address: i.below(e.Dir), State: "complete", Kind: "full", Table: s.TableARN,
		ExportTime: s.ExportTime, From: s.ExportFromTime, To: s.ExportToTime, View: s.OutputView, Format: s.OutputFormat, Items: s.ItemCount,
		Files: len(e.Files), Billed: s.BilledSizeBytes, Scan: s.Scan, Warnings: e.Warnings, Summary: &s,
		Checks: []string{"manifests agree with each other and their checksums", "every data file is there and no other"}}
	if slices.ContainsFunc(e.Warnings, func(w string) bool { return strings.Contains(w, "no checksum") }) {
		r.Checks[0] = "manifests agree with each other"
	}
	if s.Incremental() {
		r.Kind = "incremental"
	}
	for _, f := range e.Files {
		r.Bytes += f.Size
	}
	if err := i.emit(r); err != nil {
		return err
	}
	if !whole {
		return nil
	}
	for _, f := range e.Files {
		items := f.ItemCount
		err := i.emit(FileRecord{Type: "file", Name: path.Base(f.Name), Bytes: f.Size, Items: &items, MD5: f.MD5})
		if err != nil {
			return err
		}
	}
	known := s.OutputFormat == source.OutputFormat(source.DynamoDBJSON) || s.OutputFormat == source.OutputFormat(source.Ion)
	if !known && !i.o.Count {
		return nil // described; reading it is refused by name
	}
	spec := i.spec
	spec.Kind, spec.Dir = source.KindExport, e.Dir
	if s.Incremental() {
		spec.Kind = source.KindIncremental
	}
	src, err := source.Open(i.ctx, i.env.World, spec)
	if err != nil {
		return err
	}
	if s.Incremental() {
		return i.changes(src)
	}
	return i.contents(src)
}

// below is the address of a name in the bucket.
func (i *inspection) below(name string) string {
	return strings.TrimSuffix(i.loc.Bucket.URL(), "/") + "/" + name
}

// files describes loose files: a single Parquet file by its footer, all others by what their names say.
func (i *inspection) files(src source.Source) error {
	units, err := src.Units(i.ctx, 1, 1)
	if err != nil {
		return err
	}
	if len(units) == 1 && units[0].File.Form == source.Parquet {
		return i.parquet(units[0].File)
	}
	info := src.Info()
	err = i.emit(FilesRecord{Type: "files", Address: i.at.String(), Format: info.Form, Files: len(units), Bytes: info.Bytes,
		Warnings: info.Warnings})
	if err != nil {
		return err
	}
	for _, u := range units {
		f := u.File
		r := FileRecord{Type: "file", Name: f.Name, Format: f.Form, Compression: f.Compression, Bytes: f.Size}
		for _, p := range f.Partition {
			r.Partition = append(r.Partition, p[0]+"="+p[1])
		}
		if err := i.emit(r); err != nil {
			return err
		}
	}
	return nil
}

// open opens a Parquet file's footer.
func (i *inspection) open(name string) (*parquet.Reader, *blob.ReaderAt, error) {
	info, err := i.loc.Bucket.Head(i.ctx, name)
	if err != nil {
		return nil, nil, err
	}
	at, err := blob.NewReaderAt(i.ctx, i.loc.Bucket, info, blob.ReaderAtOptions{})
	if err != nil {
		return nil, nil, err
	}
	r, err := parquet.Open(at, info.Size, parquet.ReadOptions{})
	if err != nil {
		at.Close()
		return nil, nil, fault.At(err, fault.Place{File: i.below(name)})
	}
	return r, at, nil
}

func (i *inspection) parquet(f *source.File) error {
	r, at, err := i.open(f.Name)
	if err != nil {
		return err
	}
	defer at.Close()
	info := r.Info()
	if !info.Foreign {
		delete(info.Metadata, parquet.SchemaKey) // it is the record's Schema
	}
	return i.emit(ParquetRecord{Type: "parquet", Address: i.at.String(), Bytes: at.Size(), Info: info, Schema: r.Schema()})
}

// fileSchema is the schema that a single Parquet file of ours carries; nil for anything else.
func (i *inspection) fileSchema(src source.Source) (*column.Schema, error) {
	units, err := src.Units(i.ctx, 1, 1)
	if err != nil || len(units) != 1 || units[0].File == nil || units[0].File.Form != source.Parquet {
		return nil, err
	}
	if i.loc.Bucket == nil {
		if i.loc, err = i.env.World.Existing(i.ctx, i.at); err != nil {
			return nil, err
		}
	}
	r, at, err := i.open(units[0].File.Name)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	return r.Schema(), nil
}

// definition shows a table definition; done is false for a file of that name that is none.
func (i *inspection) definition(info blob.Info) (done bool, err error) {
	data, _, err := blob.ReadAll(i.ctx, i.loc.Bucket, info.Name, 1<<20)
	if err != nil {
		return false, err
	}
	var def dynamo.Definition
	if json.Unmarshal(data, &def) != nil || def.Version == 0 {
		return false, nil
	}
	return true, i.emit(DefinitionRecord{Type: "definition", Table: def.Name, Keys: def.Keys, Billing: def.BillingMode,
		Definition: data})
}

// keysText writes keys for people: customer (S), order_id (S).
func keysText(k item.KeySchema) string {
	var parts []string
	for _, a := range k.Attrs() {
		parts = append(parts, fmt.Sprintf("%s (%s)", a.Name, a.Type))
	}
	return strings.Join(parts, ", ")
}
