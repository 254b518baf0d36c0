package cli

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dynaferry/internal/column"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/job"
	"dynaferry/internal/source"
)

// sourceFlags say how a source is read; several commands share them.
type sourceFlags struct {
	form       string
	delimiter  string
	header     []string
	nulls      []string
	infer      bool
	types      []string
	filter     string
	projection string
	names      string
	values     string
	consistent bool
	readUnits  string
}

func (f *sourceFlags) add(cmd *cobra.Command, prefix string) {
	p := cmd.Flags()
	p.StringVar(&f.form, prefix+"from-format", "", "format of loose files: parquet, dynamodb-json, ion, json or csv (default: by name and first bytes)")
	p.StringVar(&f.delimiter, prefix+"delimiter", "", "of CSV files read: one character, or tab (default ,)")
	p.StringSliceVar(&f.header, prefix+"header", nil, "names of CSV columns, for files whose first line is data")
	p.StringArrayVar(&f.nulls, prefix+"null", nil, "CSV text that means: no such attribute, for instance NA; may be repeated")
	p.BoolVar(&f.infer, prefix+"infer", false, "read CSV cells that look like numbers or booleans as such (default: all are strings but those of --types)")
	p.StringSliceVar(&f.types, prefix+"types", nil, "DynamoDB types of attributes in CSV, JSON or Parquet: year=N,tags=SS,…")
}

func (f *sourceFlags) addTable(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringVar(&f.readUnits, "read-units", "", "read capacity to use: 500, 50% or unlimited (default: half of what is provisioned; on demand a stated ceiling)")
	p.BoolVar(&f.consistent, "consistent", false, "strongly consistent reads, at twice the units")
}

func (f *sourceFlags) addFilter(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringVar(&f.filter, "filter", "", "keep items for which this DynamoDB filter expression holds: 'price > :p AND attribute_exists(region)'")
	p.StringVar(&f.projection, "projection", "", "keep these attributes: a DynamoDB projection expression")
	p.StringVar(&f.values, "values", "", `values of the expressions in DynamoDB JSON: {":p":{"N":"10"}}`)
	p.StringVar(&f.names, "names", "", `names of the expressions as JSON: {"#s":"status"}`)
}

// spec makes the source's Spec. Tables filter by themselves; the rest is filtered here.
func (f *sourceFlags) spec(address string) (source.Spec, error) {
	s := source.Spec{Address: address, Form: f.form, Consistent: f.consistent,
		CSV: source.CSVSpec{Header: f.header, Nulls: f.nulls, Infer: f.infer}}
	var err error
	if s.CSV.Delimiter, err = delimiter(f.delimiter); err != nil {
		return s, err
	}
	for _, t := range f.types {
		i := strings.LastIndexByte(t, '=') // names may hold one, types do not
		if i < 0 {
			return s, usage("--types %q: it is name=TYPE", t)
		}
		if s.Types == nil {
			s.Types = map[string]string{}
		}
		s.Types[t[:i]] = t[i+1:]
	}
	if forms := []string{source.Parquet, source.DynamoDBJSON, source.Ion, source.JSON, source.CSV}; f.form != "" && !slices.Contains(forms, f.form) {
		return s, usage("--from-format %s: formats are parquet, dynamodb-json, ion, json and csv", f.form)
	}
	if strings.HasPrefix(address, "dynamodb://") {
		s.Filter, s.Projection = f.filter, f.projection
		if s.Names, s.Values, err = f.placeholders(); err != nil {
			return s, err
		}
	}
	return s, nil
}

// forTable refuses what is said of tables where none of the sources is one.
func (f *sourceFlags) forTable(addresses ...string) error {
	for _, address := range addresses {
		if strings.HasPrefix(address, "dynamodb://") {
			return nil
		}
	}
	what := strings.Join(addresses, " and ")
	switch {
	case f.readUnits != "":
		return usage("--read-units: %s is no table", what)
	case f.consistent:
		return usage("--consistent: %s is no table", what)
	}
	return nil
}

func (f *sourceFlags) placeholders() (names map[string]string, values json.RawMessage, err error) {
	if f.names != "" {
		if err := json.Unmarshal([]byte(f.names), &names); err != nil {
			return nil, nil, usage("--names: %w", err)
		}
	}
	if f.values != "" {
		if !json.Valid([]byte(f.values)) {
			return nil, nil, usage("--values: not JSON")
		}
		values = json.RawMessage(f.values)
	}
	return names, values, nil
}

func delimiter(text string) (string, error) {
	switch {
	case text == "tab" || text == `\t`:
		return "\t", nil
	case len(text) > 1:
		return "", usage("--delimiter %q: it is one character, or tab", text)
	}
	return text, nil
}

// keyFlags name the keys of items whose source does not.
type keyFlags struct{ hash, sort string }

func (f *keyFlags) add(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringVar(&f.hash, "key", "", "partition key of the items, where the source does not say: id, id:N, or composed of others: 'carrier|flight', 'pk=carrier|flight'")
	p.StringVar(&f.sort, "sort", "", "sort key, likewise")
}

// parse gives the keys and what is to be composed. Types may be named behind a colon and are S else.
func (f *keyFlags) parse(types map[string]string) (*item.KeySchema, []job.Composed, error) {
	if f.hash == "" {
		if f.sort != "" {
			return nil, nil, usage("--sort goes with --key")
		}
		return nil, nil, nil
	}
	var keys item.KeySchema
	var composed []job.Composed
	for _, k := range []struct {
		text string
		attr *item.KeyAttr
	}{{f.hash, &keys.Hash}, {f.sort, &keys.Range}} {
		if k.text == "" {
			continue
		}
		attr, c, err := parseKey(k.text, types)
		if err != nil {
			return nil, nil, err
		}
		*k.attr = attr
		if c != nil {
			composed = append(composed, *c)
		}
	}
	if err := keys.Check(); err != nil {
		return nil, nil, fault.As(fault.User, err)
	}
	return &keys, composed, nil
}

func parseKey(text string, types map[string]string) (item.KeyAttr, *job.Composed, error) {
	name, parts, named := strings.Cut(text, "=")
	if !named {
		parts = name
	}
	if strings.Contains(parts, "|") {
		c := &job.Composed{Name: name, Parts: strings.Split(parts, "|"), Sep: "|"}
		for _, part := range c.Parts {
			if part == "" {
				return item.KeyAttr{}, nil, usage("--key %q: an empty part", text)
			}
		}
		return item.KeyAttr{Name: name, Type: item.S}, c, nil
	}
	if named {
		return item.KeyAttr{}, nil, usage("--key %q: only a key composed of several attributes gets a name", text)
	}
	kind := types[name]
	if i := strings.LastIndexByte(name, ':'); i > 0 && i >= len(name)-2 {
		name, kind = name[:i], name[i+1:]
	}
	attr := item.KeyAttr{Name: name, Type: item.S}
	switch kind {
	case "", "S":
	case "N":
		attr.Type = item.N
	case "B":
		attr.Type = item.B
	default:
		return attr, nil, usage("--key %q: keys are S, N or B, not %s", text, kind)
	}
	return attr, nil, nil
}

// copyFlags are the flags of export and convert.
type copyFlags struct {
	source    sourceFlags
	keys      keyFlags
	set       job.Copy
	partition string
	schema    string
	target    string
	task      string
	objects   objectFlags
	csvOut    string
	overlays  []string
	steps     stepFlags
}

func (f *copyFlags) add(cmd *cobra.Command) {
	f.addOutput(cmd)
	cmd.Flags().StringVar(&f.set.Into, "into", "fail", "what an existing destination means: fail, append, replace or replace-partitions")
	f.source.addFilter(cmd)
	f.keys.add(cmd)
	choices(cmd, "into", job.IntoFail, job.IntoAppend, job.IntoReplace, job.IntoReplacePartitions)
}

// addOutput adds what is said of what is written.
func (f *copyFlags) addOutput(cmd *cobra.Command) {
	f.addFiles(cmd)
	f.steps.add(cmd)
}

// addFiles adds what is said of files, which may have more forms than those of items.
func (f *copyFlags) addFiles(cmd *cobra.Command, more ...string) {
	p := cmd.Flags()
	p.StringVar(&f.set.Form, "format", "parquet", "parquet, dynamodb-json or ion (the layout of a native export), json or csv")
	p.StringVar(&f.set.Compression, "compression", "", "parquet: zstd, snappy, gzip, none; json and csv: gzip, zstd, none (default: zstd; gzip)")
	p.IntVar(&f.set.Level, "level", 0, "of compression: parquet with zstd 1 to 4, json and csv with zstd 1 to 22, gzip 1 to 9 (default: gzip 6, else 1)")
	p.StringVar(&f.partition, "partition", "", "Hive partitions: 'region', 'year,month,day of created_at, region'; parts are year, month, day, hour, date")
	p.StringVar(&f.set.OnNew, "on-new", "evolve", "what an attribute without column means in an existing data set: evolve, extra or fail")
	p.StringVar(&f.schema, "schema", "", "file that pins or overrides columns; inspect --schema writes one")
	p.StringVar(&f.target, "target-size", "256MiB", "size of the files written, where there is enough data")
	p.StringVar(&f.task, "task-size", "", "source bytes of one task (default: 1GiB of a table, 128MiB of files)")
	p.BoolVar(&f.set.Bloom, "bloom", false, "parquet: bloom filters on the key columns")
	p.StringVar(&f.csvOut, "csv-cells", "typed", "csv: typed (plain cells, DynamoDB JSON where nested) or ddbjson (all cells, loses nothing)")
	p.BoolVar(&f.set.CSV.FormulaSafe, "formula-safe", false, "csv: put ' in front of text that a spreadsheet would run")
	p.StringSliceVar(&f.set.CSV.Columns, "columns", nil, "csv: the columns, in order (default: every attribute seen)")
	f.objects.add(cmd)
	choices(cmd, "format", append([]string{source.Parquet, source.DynamoDBJSON, source.Ion, source.JSON, source.CSV}, more...)...)
	choices(cmd, "compression", "zstd", "snappy", "gzip", "none")
	choices(cmd, "on-new", "evolve", "extra", "fail")
	choices(cmd, "csv-cells", "typed", "ddbjson")
}

// choices lets shells complete a flag's values.
func choices(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	fault.Check(err == nil, "a flag that is not there has choices")
}

func (f *copyFlags) settings(dest string, spec source.Spec) (job.Copy, error) {
	set := f.set
	set.Dest, set.ReadUnits = dest, f.source.readUnits
	var err error
	if set.Steps, err = f.steps.texts(); err != nil {
		return set, err
	}
	if set.Partition, err = partitionFlag(f.partition); err != nil {
		return set, err
	}
	if set.Keys, _, err = f.keys.parse(spec.Types); err != nil {
		return set, err
	}
	if f.schema != "" {
		if set.Pinned, err = os.ReadFile(f.schema); err != nil {
			return set, fault.New(fault.User, "--schema: %w", err)
		}
		if _, err := column.ParseSchema(set.Pinned); err != nil {
			return set, inFile(f.schema, err)
		}
	}
	if set.TargetBytes, err = parseBytes(f.target); err != nil {
		return set, usage("--target-size %q: %w", f.target, err)
	}
	if set.TargetBytes == 0 { // which stands for the default below
		return set, usage("--target-size %q: the least is 1 MiB", f.target)
	}
	if f.task != "" {
		if set.TaskBytes, err = parseBytes(f.task); err != nil {
			return set, usage("--task-size %q: %w", f.task, err)
		}
		if set.TaskBytes < 1 {
			return set, usage("--task-size %q: the least is 1B", f.task)
		}
	}
	switch f.csvOut {
	case "typed", "ddbjson":
		set.CSV.Cells = f.csvOut
	default:
		return set, usage("--csv-cells %q: it is typed or ddbjson", f.csvOut)
	}
	if set.CSV.Delimiter, err = delimiter(f.source.delimiter); err != nil {
		return set, err
	}
	if !strings.HasPrefix(spec.Address, "dynamodb://") {
		set.Filter, set.Projection = f.source.filter, f.source.projection
		if set.Names, set.Values, err = f.source.placeholders(); err != nil {
			return set, err
		}
	}
	set.Objects, err = f.objects.settings()
	return set, err
}

// inFile names the file in an error that knows the line.
func inFile(name string, err error) error {
	place := fault.PlaceOf(err)
	place.File = name
	var placed *fault.Error
	if errors.As(err, &placed) && placed.Place != (fault.Place{}) {
		err = placed.Err
	}
	return fault.At(err, place)
}

func partitionFlag(text string) ([]job.PartitionColumn, error) {
	if text == "" {
		return nil, nil
	}
	return job.ParsePartition(text)
}

func (a *app) exportCommand() *cobra.Command {
	f, native := &copyFlags{}, &nativeFlags{}
	cmd := &cobra.Command{
		Use:   "export dynamodb://TABLE DEST",
		Short: "a table → files, by parallel scan or by the service's own export",
		Long: `export scans a table in parallel, below a budget of read units, and writes its items as files. Nothing of it is visible in
DEST before the whole is there. A run that was interrupted goes on where it stopped: run the same command again.

With --native the service exports the table as it was at one moment, or with --incremental and --follow-on what changed, without read units.
It needs continuous backups (point-in-time recovery) of the table and a bucket; export waits for it, also after an interruption, and never
begins a second one. --format dynamodb-json and ion leave what the service wrote; parquet, json and csv convert it in the same job, and
what the service wrote, which waits below _dynaferry, is removed once that is done. Windows longer than a day are cut into several.

Exit codes: 0 done, 1 the service could not export, 2 usage, 3 done but some records became dead letters, 5 DEST is not free, 75 try again,
130 interrupted.`,
		Example: `  dynaferry export dynamodb://Orders s3://lake/orders
  dynaferry export dynamodb://Orders ./orders --partition 'year,month of created_at' --read-units 50%
  dynaferry export dynamodb://Orders s3://backup/orders --format dynamodb-json
  dynaferry export dynamodb://Orders s3://backup/orders --native --at -1h --format dynamodb-json
  dynaferry export dynamodb://Orders --native --follow-on s3://backup/orders`,
		Args: native.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			if native.native {
				return a.nativeExport(cmd, f, native, args[0], append(args, native.followOn)[1])
			}
			if err := native.check(cmd, f.set.Form); err != nil {
				return err
			}
			return a.copy(cmd, "export", f, args[0], args[1])
		},
	}
	f.add(cmd)
	f.source.addTable(cmd)
	native.add(cmd)
	cmd.Flags().IntVar(&f.set.Segments, "segments", 0, "scan segments, each a task (default: by the table's size)")
	a.jobFlags(cmd)
	return cmd
}

func (a *app) convertCommand() *cobra.Command {
	f := &copyFlags{}
	cmd := &cobra.Command{
		Use:   "convert SRC DEST",
		Short: "files of any form → files of any other",
		Long: `convert reads a native export (its manifest, its folder or a prefix above), a data set of ours, or loose files, and writes them in
another form. Manifests are checked: MD5, counts, missing and extra objects.

--overlay lays incremental exports over SRC, a full export or a data set made from one or from a table: what comes out is the table
as it was when the last window ended. Windows must touch, begin at SRC's time or before it, and be of one table; all of that is
checked before anything is read.

Exit codes: 0 done, 1 the source is damaged, 2 usage, 3 done but some records became dead letters, 5 DEST is not free, 75 try again,
130 interrupted.`,
		Example: `  dynaferry convert s3://backup/AWSDynamoDB/01693685827463-2d8752fd ./orders
  dynaferry convert ./orders.csv ./orders-parquet --key order_id --types total=N
  dynaferry convert s3://backup/AWSDynamoDB/01693685827463-2d8752fd ./orders --overlay s3://backup/AWSDynamoDB/01693772227463-8a1be2f0`,
		Args: args(2, "a source and a destination"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.copy(cmd, "convert", f, args[0], args[1]) },
	}
	f.add(cmd)
	f.source.add(cmd, "")
	overlayFlag(cmd, &f.overlays, "incremental export laid over SRC: its manifest, its folder or a prefix with several; may be repeated")
	a.jobFlags(cmd)
	return cmd
}

func args(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if len(given) != n {
			return usage("%s: it takes %s", cmd.Name(), what)
		}
		return nil
	}
}

func (a *app) copy(cmd *cobra.Command, verb string, f *copyFlags, from, to string) error {
	spec, err := f.source.spec(from)
	if err != nil {
		return err
	}
	spec.Overlay = overlaySpecs(f.overlays)
	set, err := f.settings(to, spec)
	if err != nil {
		return err
	}
	env, err := a.env()
	if err != nil {
		return err
	}
	r, err := job.NewCopy(cmd.Context(), env, verb, spec, set)
	if err != nil {
		return err
	}
	return a.run(cmd.Context(), env, r, a.showCopy)
}
