package source

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/compress"
	"dynaferry/internal/codec/csv"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/dataset"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/manifest"
	"dynaferry/internal/world"
)

// files is every source that is a list of files.
type files struct {
	at    world.Address
	loc   world.Location
	spec  Spec
	info  Info
	units []File

	changes []windowFiles // of Info.Windows
}

func (s *files) Spec() Spec             { return s.spec }
func (s *files) Info() Info             { return s.info }
func (s *files) Address() world.Address { return s.at }

// Units keeps files whole: one unit each, in source order.
func (s *files) Units(context.Context, int64, int) ([]Unit, error) {
	if s.info.Kind == KindIncremental {
		return s.ChangeUnits(), nil
	}
	units := make([]Unit, len(s.units))
	for i := range s.units {
		units[i] = Unit{Order: i, File: &s.units[i]}
	}
	return units, nil
}

// openFiles looks for, in this order: what the spec pinned, a history of ours, a native export, loose files.
func openFiles(ctx context.Context, w *world.World, at world.Address, spec Spec) (Source, error) {
	loc, err := w.Existing(ctx, at)
	if err != nil {
		return nil, err
	}
	s := &files{at: at, loc: loc, spec: spec}
	s.info = Info{URL: at.String(), Items: -1, Form: spec.Form}
	// A form that was given is of loose files: verify has one for both its sides, of which one may tell its own.
	for _, try := range []func(context.Context) (bool, error){s.openDataset, s.openExport} {
		found, err := try(ctx)
		if err != nil {
			return nil, err
		}
		if found {
			return s.finish(ctx, w)
		}
	}
	if err := s.openLoose(ctx); err != nil {
		return nil, err
	}
	if spec.Seal == "" { // when the plan is made, not for each of its tasks
		s.lookInside(ctx)
	}
	return s.finish(ctx, w)
}

// lookMax is how many files of a form are looked at before a job: odd ones come from one program.
const lookMax = 4

// lookInside warns of files that may not be what they seem. Parquet that was ours and no longer is: a program that knows
// nothing of the metadata has changed columns, and what only the metadata tells (sets, numbers kept as text, values in
// _extra) does not come back. JSON that is DynamoDB JSON in part.
func (s *files) lookInside(ctx context.Context) {
	looked := map[string]int{}
	for _, f := range s.units {
		note := ""
		if looked[f.Form]++; looked[f.Form] > lookMax {
			continue
		}
		switch f.Form {
		case Parquet:
			if note = s.parquetNote(ctx, f); note != "" {
				note += "; it is read by the rules for foreign files"
			}
		case JSON, DynamoDBJSON:
			s.spec.Guess = guessVersion
			note = s.jsonNote(ctx, f)
		}
		if note != "" {
			s.info.Warnings = append(s.info.Warnings, fmt.Sprintf("%s: %s", f.Name, note))
			looked[f.Form] = lookMax
		}
	}
}

// jsonNote is what is strange of a JSON file; what is wrong with it is for the task that reads it.
func (s *files) jsonNote(ctx context.Context, f File) string {
	st := &stream{file: f}
	defer st.Close()
	plain, err := st.openPlain(ctx, s.loc.Bucket)
	if err != nil {
		return ""
	}
	start, err := peek(bufio.NewReaderSize(plain, guessBytes))
	if err != nil {
		return ""
	}
	return s.spec.guess(start, f.Form).odd
}

// parquetNote is what the reader has to say of a file; what is wrong with the file is for the task that reads it.
func (s *files) parquetNote(ctx context.Context, f File) string {
	st := &stream{file: f}
	defer st.Close()
	if err := st.openParquet(ctx, s.loc.Bucket, Spec{}); err != nil {
		return ""
	}
	if r, ok := st.items.(*parquet.Reader); ok {
		return r.Note()
	}
	return ""
}

// finish draws the seal over everything that would make a task read something else.
func (s *files) finish(ctx context.Context, w *world.World) (Source, error) {
	if err := s.checkTypes(); err != nil {
		return nil, err
	}
	if len(s.spec.Overlay) > 0 {
		if err := s.addWindows(ctx, w); err != nil {
			return nil, err
		}
	}
	for _, f := range s.units {
		s.info.Bytes += f.Size
	}
	s.spec.Seal = sealOf(s.units) // those of windows stand in the overlay
	s.spec.Kind = s.info.Kind
	if s.info.Definition == nil {
		def, err := readDefinition(ctx, s.loc)
		if err != nil {
			return nil, err
		}
		s.info.Definition = def
	}
	if s.info.Keys == nil && s.info.Definition != nil {
		s.info.Keys = &s.info.Definition.Keys
	}
	return s, nil
}

// sealOf is a short text that other files, or changed ones, do not have.
func sealOf(list []File) string {
	h := sha256.New()
	for _, f := range list {
		fmt.Fprintf(h, "%q %d %q %q\n", f.Name, f.Size, f.ETag, f.MD5)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// checkTypes refuses types that no reader of the source's form knows, before any file is read.
func (s *files) checkTypes() error {
	switch s.info.Form {
	case CSV:
		for name, text := range s.spec.Types {
			if _, err := csv.ParseSpec(text); err != nil {
				return fmt.Errorf("--types %s=%s: %w", name, text, err)
			}
		}
	case JSON:
		_, err := typeHints(s.spec.Types)
		return err
	}
	return nil
}

// DefinitionName is where a table's definition is stored beside its data. It has no suffix: a pattern like **/*.json looks
// into our folder too. Before, it stood under DefinitionNameOld.
const (
	DefinitionName    = dataset.Hidden + "/definition"
	DefinitionNameOld = dataset.Hidden + "/definition.json"
)

// readDefinition finds the table definition stored beside the data, at the location itself or, for an export's folder or a
// file, at the nearest folder above that has one.
func readDefinition(ctx context.Context, loc world.Location) (*dynamo.Definition, error) {
	for dir := loc.Prefix; ; dir = path.Dir(dir) {
		if dir == "." {
			dir = ""
		}
		for _, name := range []string{DefinitionName, DefinitionNameOld} {
			data, _, err := blob.ReadAll(ctx, loc.Bucket, path.Join(dir, name), 1<<20)
			if errors.Is(err, blob.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("look for a table definition: %w", err)
			}
			var def dynamo.Definition
			if err := json.Unmarshal(data, &def); err != nil || def.Version != dynamo.DefinitionVersion {
				return nil, fault.New(fault.Corrupt, "%s is not a table definition of version %d", path.Join(dir, name), dynamo.DefinitionVersion)
			}
			return &def, nil
		}
		if dir == "" {
			return nil, nil
		}
	}
}

func (s *files) openDataset(ctx context.Context) (bool, error) {
	set, err := dataset.Load(ctx, s.loc.Bucket, s.loc.Prefix)
	if err != nil {
		return false, err
	}
	if set.Head < 0 {
		if len(set.Open) > 0 {
			return false, fault.Hint(fault.New(fault.Conflict, "%s: a job is about to publish its first version and has not finished", s.at),
				"run that job again, it goes on where it stopped")
		}
		return false, nil
	}
	s.info.Kind, s.info.Form, s.info.Keys, s.info.Schema = KindDataset, set.Last.Form, set.Last.Keys, set.Last.Schema
	s.info.Items, s.info.Exact, s.info.Time = 0, true, set.Last.Created
	s.info.Unique = set.Head == 0 && s.info.Keys != nil && set.Last.Extra["unique"] != nil
	if err := s.showsOf(set); err != nil {
		return false, err
	}
	for _, v := range set.Open {
		s.info.Warnings = append(s.info.Warnings, fmt.Sprintf("version %d of plan %s is decided but not published yet; it is left out", v.Number, v.Plan))
	}
	for _, f := range set.Files {
		s.info.Items += f.Items
		u := File{Name: set.Name(f.Name), Form: set.Last.Form, Compression: compressionOf(f.Name), Size: f.Size,
			MD5: f.MD5, Items: f.Items, Constants: f.Constants}
		if u.Form == CSV {
			if u.Dialect, err = s.dialect(f.Options); err != nil {
				return false, err
			}
		}
		if u.Form == Parquet { // which loses nothing, and has no checksum over its footer
			u.Fingerprint = f.Fingerprint
		}
		s.units = append(s.units, u)
	}
	return true, nil
}

// dialect finds or notes how a version wrote its files: each chose the types of its columns by its own items. What a plan
// knows keeps its place.
func (s *files) dialect(options json.RawMessage) (int, error) {
	if len(options) == 0 {
		return 0, nil
	}
	var d CSVSpec
	if err := json.Unmarshal(options, &d); err != nil {
		return 0, fault.New(fault.Corrupt, "%s: options of the data set: %w", s.at, err)
	}
	same := func(known CSVSpec) bool { return reflect.DeepEqual(known, d) }
	if i := slices.IndexFunc(s.spec.Dialects, same); i >= 0 {
		return i + 1, nil
	}
	s.spec.Dialects = append(slices.Clip(s.spec.Dialects), d)
	return len(s.spec.Dialects), nil
}

func (s *files) openExport(ctx context.Context) (bool, error) {
	dir := s.loc.Prefix
	if s.spec.Dir != "" {
		dir = s.spec.Dir
	}
	if s.spec.Kind == KindIncremental && len(s.spec.Overlay) > 0 { // of a plan, which names each window
		s.info.Kind, s.info.Exact, s.info.Items = KindIncremental, true, 0
		return true, nil
	}
	finished, unfinished, err := manifest.Find(ctx, s.loc.Bucket, dir)
	if err != nil {
		return false, err
	}
	chain, full, err := s.openIncremental(ctx, finished, unfinished)
	if err != nil || chain {
		return chain, err
	}
	if len(full) == 1 && len(s.spec.Overlay) > 0 { // the changes beside it are to be laid over it
		finished = full
	}
	e, err := manifest.Only(ctx, s.loc.Bucket, dir, finished, unfinished)
	if errors.Is(err, blob.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	form, err := exportForm(s.at, e)
	if err != nil {
		return false, err
	}
	s.spec.Dir = e.Dir
	s.info.Kind, s.info.Form, s.info.Items, s.info.Exact, s.info.Unique = KindExport, form, e.Summary.ItemCount, true, true
	s.info.Warnings = e.Warnings
	if t, err := time.Parse(time.RFC3339, e.Summary.ExportTime); err == nil {
		s.info.Time = t
	}
	if s.info.Shows, err = momentOf(e); err != nil {
		return false, err
	}
	s.units = exportFiles(e, form)
	return true, nil
}

// exportForm is the form of an export's files.
func exportForm(at world.Address, e *manifest.Export) (string, error) {
	for _, form := range []string{DynamoDBJSON, Ion} {
		if e.Summary.OutputFormat == OutputFormat(form) {
			return form, nil
		}
	}
	return "", fault.New(fault.Unsupported, "%s has the output format %s; this program reads DYNAMODB_JSON and ION", at, e.Summary.OutputFormat)
}

func exportFiles(e *manifest.Export, form string) []File {
	list := make([]File, len(e.Files))
	for i, f := range e.Files {
		list[i] = File{Name: f.Name, Form: form, Compression: string(compress.Gzip), Size: f.Size, MD5: f.MD5, Items: f.ItemCount}
	}
	return list
}

// openLoose lists files below the address, or takes the one it names.
func (s *files) openLoose(ctx context.Context) error {
	s.info.Kind = KindFiles
	prefix := s.loc.Prefix
	if prefix != "" {
		info, err := s.loc.Bucket.Head(ctx, prefix)
		if err == nil {
			f, err := s.looseFile(info, "")
			if err != nil {
				return err
			}
			s.units, s.info.Form, s.spec.File = []File{f}, f.Form, true
			return nil
		}
		if !errors.Is(err, blob.ErrNotFound) {
			return fmt.Errorf("look at %s: %w", s.at, err)
		}
		prefix += "/"
	}
	for info, err := range s.loc.Bucket.List(ctx, prefix, "") {
		if err != nil {
			return fmt.Errorf("list %s: %w", s.at, err)
		}
		rest := strings.TrimPrefix(info.Name, prefix)
		// The files of a data set are read by its history, not by their names: guessing would lose types.
		if below, _, ours := strings.Cut(rest, "/"+dataset.Hidden+"/versions/"); ours {
			return fault.Hint(fault.New(fault.User, "%s holds data sets below it, among them %s", s.at, below), "name one: %s", s.at.Join(below))
		}
		if hidden(rest) || info.Size == 0 && strings.HasSuffix(info.Name, "/") {
			continue
		}
		f, err := s.looseFile(info, rest)
		if err != nil {
			return err
		}
		if s.info.Form == "" {
			s.info.Form = f.Form
		}
		s.units = append(s.units, f)
	}
	if len(s.units) == 0 {
		return fault.New(fault.NotFound, "%s: no file, no export and no data set is there", s.at)
	}
	return nil
}

// hidden follows Hive: names that begin with _ or . are no data, in any folder.
func hidden(name string) bool {
	for segment := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(segment, ".") || strings.HasPrefix(segment, "_") && !strings.Contains(segment, "=") {
			return true
		}
	}
	return false
}

func (s *files) looseFile(info blob.Info, rest string) (File, error) {
	f := File{Name: info.Name, Form: s.spec.Form, Compression: compressionOf(info.Name), Size: info.Size, ETag: info.ETag, Items: -1}
	if f.Form == "" {
		f.Form = formOf(info.Name)
	}
	if f.Form == "" {
		return File{}, fault.Hint(fault.New(fault.User, "%s: its name does not tell its format", info.Name),
			"say it with --from-format parquet|dynamodb-json|ion|json|csv")
	}
	for segment := range strings.SplitSeq(path.Dir(rest), "/") {
		if column, value, ok := dataset.ParseSegment(segment); ok {
			f.Partition = append(f.Partition, [2]string{column, value})
		}
	}
	return f, nil
}

func compressionOf(name string) string {
	switch path.Ext(name) {
	case ".gz":
		return string(compress.Gzip)
	case ".zst", ".zstd":
		return string(compress.Zstd)
	}
	return ""
}

// What our own files of JSON lines end with, which are no data: dead letters, and the differences that verify found.
const (
	DeadSuffix        = ".dead"
	DifferencesSuffix = ".differences"
)

// formOf tells the form by the suffix; "" when it does not say. JSON stands for either of the JSON forms until the first
// bytes are seen.
func formOf(name string) string {
	for _, suffix := range []string{".gz", ".zst", ".zstd"} {
		name = strings.TrimSuffix(name, suffix)
	}
	ext := path.Ext(name)
	switch {
	case ext == ".parquet" || ext == ".parq":
		return Parquet
	case ext == DeadSuffix || strings.HasSuffix(name, DeadSuffix+".jsonl"): // as they were named before
		return DeadLetters
	case slices.Contains([]string{".json", ".jsonl", ".ndjson", DifferencesSuffix}, ext):
		return JSON
	case ext == ".csv" || ext == ".tsv":
		return CSV
	case ext == ".ion" || ext == ".10n":
		return Ion
	}
	return ""
}

// KeysFrom resolves the keys of a source by the order of design section 7: what the user said, the stored definition or
// description, else a typed error.
func KeysFrom(given *item.KeySchema, info Info) (*item.KeySchema, error) {
	if given != nil {
		return given, nil
	}
	if info.Keys != nil {
		return info.Keys, nil
	}
	return nil, fault.Hint(fault.New(fault.User, "%s: the keys of its items are not known", info.URL), "name them: --key id, or --key id --sort created_at")
}
