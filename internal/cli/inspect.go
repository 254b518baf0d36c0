package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dynaferry/internal/item"
	"dynaferry/internal/job"
)

func (a *app) inspectCommand() *cobra.Command {
	var src sourceFlags
	var o job.InspectOptions
	var key string
	cmd := &cobra.Command{
		Use:   "inspect X",
		Short: "what is in this file, export, data set, change log, table or plan",
		Long: `inspect looks at whatever stands at an address and changes nothing: a table, a data set of ours with its
versions, a place of backups, a native export, a change log with its groups, shards and gaps, one of its entries or index objects, a
Parquet, JSON or CSV file, a plan with its tasks, a state root (_dynaferry), a commit object, a table definition, a file of dead letters.

--count reads everything: items, sizes, units, types by attribute, fingerprint, and every checksum on the way. --item
and --key print single items in canonical DynamoDB JSON with what DynamoDB counts for them. --schema writes the columns,
for --schema of export and convert: those of a data set or a Parquet file as they are, of anything else as reading it
infers them.

Exit codes: 0 done, 1 damaged or not there, 2 usage, 75 try again, 130 interrupted.`,
		Example: `  dynaferry inspect s3://lake/orders
  dynaferry inspect dynamodb://Orders --key '{"customer":{"S":"c-1"},"order_id":{"S":"o-7"}}'
  dynaferry inspect ./orders.csv --schema > columns.json
  dynaferry inspect s3://lake/orders/_dynaferry/plans/1f2e3d4c-000000
  dynaferry inspect s3://lake/orders.log/chain/000/000000000007 --first 10`,
		Args: args(1, "one address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := src.spec(args[0])
			if err != nil {
				return err
			}
			f := cmd.Flags()
			if f.Changed("item") && o.Item < 1 {
				return usage("--item %d: items count from 1", o.Item)
			}
			if alone := countTrue(o.Schema, f.Changed("item"), key != "", o.Count); alone > 1 {
				return usage("--count, --schema, --item and --key are different questions: ask one at a time")
			}
			o.Key, o.ReadUnits = json.RawMessage(key), src.readUnits
			env, err := a.env()
			if err != nil {
				return err
			}
			show := a.showRecord()
			return job.Inspect(cmd.Context(), env, spec, o, func(r job.Record) error {
				a.story.end()
				return show(r)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Count, "count", false, "read everything and count it")
	f.BoolVar(&o.Schema, "schema", false, "write the columns as a schema file, and nothing else")
	f.Int64Var(&o.Item, "item", 0, "print item number N in source order, from 1")
	f.StringVar(&key, "key", "", `print the items with this key: {"pk":{"S":"a"}}`)
	f.IntVar(&o.First, "first", 3, "items to show of files and tables, records of a change log")
	src.add(cmd, "")
	src.addTable(cmd)
	a.sizeFlags(cmd)
	return cmd
}

func countTrue(all ...bool) int {
	n := 0
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

// filesShown is how many lines of one kind a person is shown; --json has all.
const filesShown = 20

// showRecord makes the printer of records: JSON lines, or text that leaves out what nobody reads.
func (a *app) showRecord() func(job.Record) error {
	if a.flags.json {
		return func(r job.Record) error { return a.printJSON(a.out, r) }
	}
	shown := map[string]int{}
	return func(r job.Record) error {
		kind := recordKind(r)
		if shown[kind]++; shown[kind] > filesShown && (kind == "file" || kind == "task") {
			if shown[kind] == filesShown+1 {
				fmt.Fprintf(a.out, "  … more with --json\n")
			}
			return nil
		}
		return a.showText(r, shown[kind] == 1)
	}
}

func recordKind(r job.Record) string {
	switch r.(type) {
	case job.FileRecord:
		return "file"
	case job.TaskRecord:
		return "task"
	case job.BackupRecord:
		return "backup"
	}
	return fmt.Sprintf("%T", r)
}

func (a *app) showText(record job.Record, first bool) error {
	switch r := record.(type) {
	case job.TableRecord:
		a.showTable(r)
	case job.DatasetRecord:
		a.showDataset(r)
	case job.VersionRecord:
		a.showVersion(r, first)
	case job.BackupsRecord:
		a.showBackups(r)
	case job.BackupRecord:
		a.showBackupEntry(r)
	case job.ColumnRecord:
		a.heading(first, "columns")
		a.line(r.Name, "%s%s", r.Kind, attributeNote(r))
	case job.FileRecord:
		a.heading(first, "files")
		a.showFile(r)
	case job.FilesRecord:
		a.head("%s", r.Address)
		a.line("format", "%s", r.Format)
		a.line("files", "%s, %s", countText(int64(r.Files)), bytesText(r.Bytes))
		a.warnings(r.Warnings)
	case job.ExportRecord:
		a.showExport(r)
	case job.ParquetRecord:
		a.showParquet(r)
	case job.ItemRecord:
		a.showItem(r)
	case job.CountRecord:
		a.showCount(r)
	case job.ChangeRecord:
		a.showChange(r)
	case job.ChangeCountRecord:
		a.showChangeCount(r)
	case job.AttributeRecord:
		a.heading(first, "attributes")
		a.line(printable(r.Attribute), "%s", typesText(r.Types))
	case job.SchemaRecord:
		text, err := r.Schema.MarshalText()
		if err != nil {
			return err
		}
		_, err = a.out.Write(text)
		return err
	case job.DefinitionRecord:
		a.head("definition of table %s", r.Table)
		a.line("keys", "%s", keysLine(&r.Keys))
		a.line("billing", "%s", r.Billing)
	default:
		if a.showLog(record, first) {
			return nil
		}
		return a.showEngine(record, first)
	}
	return nil
}

func (a *app) head(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }

func (a *app) heading(first bool, what string) {
	if first {
		fmt.Fprintf(a.out, "%s\n", what)
	}
}

func (a *app) line(name, format string, args ...any) {
	fmt.Fprintf(a.out, "  %-14s %s\n", name, fmt.Sprintf(format, args...))
}

func (a *app) warnings(texts []string) {
	for _, text := range texts {
		a.line("warning", "%s", text)
	}
}

func attributeNote(r job.ColumnRecord) string {
	if r.Attribute != r.Name {
		return fmt.Sprintf("  (attribute %q)", r.Attribute)
	}
	return ""
}

func keysLine(k *item.KeySchema) string {
	if k == nil || k.Empty() {
		return "not known"
	}
	text := fmt.Sprintf("%s (%s)", k.Hash.Name, k.Hash.Type)
	if k.Range.Name != "" {
		text += fmt.Sprintf(", %s (%s)", k.Range.Name, k.Range.Type)
	}
	return text
}

func typesText(types map[string]uint64) string {
	parts := make([]string, 0, len(types))
	for _, name := range sortedKeys(types) {
		parts = append(parts, fmt.Sprintf("%s %s", name, countText(int64(types[name]))))
	}
	return strings.Join(parts, ", ")
}

func (a *app) showTable(r job.TableRecord) {
	a.head("%s", r.Address)
	a.line("status", "%s", r.Status)
	a.line("keys", "%s", keysLine(&r.Keys))
	if r.Billing == "PROVISIONED" {
		a.line("billing", "PROVISIONED, %g read units, %g write units", r.Read, r.Write)
	} else {
		a.line("billing", "%s", r.Billing)
	}
	a.line("items", "%s, %s (as the service counted, about every six hours)", countText(r.Items), bytesText(r.Bytes))
	a.line("arn", "%s", r.ARN)
}

func (a *app) showDataset(r job.DatasetRecord) {
	a.head("%s", r.Address)
	a.line("data set", "%s, version %d", r.Format, r.Version)
	a.line("items", "%s", countText(r.Items))
	a.line("files", "%s, %s", countText(int64(r.Files)), bytesText(r.Bytes))
	a.line("keys", "%s", keysLine(r.Keys))
	if len(r.Partition) > 0 {
		a.line("partitions", "%s, by %s", countText(int64(r.Partitions)), strings.Join(r.Partition, ", "))
	}
}

func (a *app) showVersion(r job.VersionRecord, first bool) {
	a.heading(first, "versions")
	text := fmt.Sprintf("%s  %s items in %s files", r.Created.Format("2006-01-02 15:04:05 MST"), countText(r.Items),
		countText(int64(r.Added)))
	if r.Removed > 0 {
		text += fmt.Sprintf(", %s replaced", countText(int64(r.Removed)))
	}
	if r.Widened > 0 {
		text += fmt.Sprintf(", %s widened", countText(int64(r.Widened)))
	}
	if r.State != "visible" {
		text += ", being published by plan " + r.Plan
	}
	a.line(fmt.Sprint(r.Number), "%s", text)
}

func (a *app) showFile(r job.FileRecord) {
	text := bytesText(r.Bytes)
	if r.Items != nil {
		text += fmt.Sprintf(", %s items", countText(*r.Items))
	}
	if r.Compression != "" {
		text += ", " + r.Compression
	}
	fmt.Fprintf(a.out, "  %s  %s\n", r.Name, text)
}

func (a *app) showExport(r job.ExportRecord) {
	a.head("%s", r.Address)
	a.line("export", "%s", strings.TrimSpace(r.Kind+" "+r.State))
	if r.State == "complete" {
		a.line("table", "%s", r.Table)
		switch {
		case r.Scan != nil:
			a.line("time", "%s; made by a scan from %s to %s", r.ExportTime, r.Scan.Start, r.Scan.End)
		case r.From != "":
			a.line("time", "changes from %s to %s", r.From, r.To)
			a.line("view", "%s", r.View)
		default:
			a.line("time", "%s", r.ExportTime)
		}
		a.line("format", "%s", r.Format)
		what := "items"
		if r.Kind == "incremental" {
			what = "changes"
		}
		a.line(what, "%s, %s as DynamoDB counts", countText(r.Items), bytesText(r.Billed))
		a.line("data files", "%s, %s", countText(int64(r.Files)), bytesText(r.Bytes))
	}
	for _, text := range r.Checks {
		a.line("check", "%s", text)
	}
	a.warnings(r.Warnings)
}

func (a *app) showParquet(r job.ParquetRecord) {
	a.head("%s", r.Address)
	a.line("rows", "%s in %d row groups, %s", countText(r.Rows), len(r.Groups), bytesText(r.Bytes))
	a.line("written by", "%s", r.CreatedBy)
	origin := "of ours: items come back exactly"
	if r.Foreign {
		origin = "foreign: read by the rules for foreign files"
	}
	a.line("origin", "%s", origin)
	if r.Note != "" {
		a.line("note", "%s", r.Note)
	}
	for _, name := range sortedKeys(r.Metadata) {
		if strings.HasPrefix(name, "dynaferry.") && name != "dynaferry.schema" {
			a.line(strings.TrimPrefix(name, "dynaferry."), "%s", r.Metadata[name])
		}
	}
	fmt.Fprintf(a.out, "columns\n")
	for _, c := range r.Columns {
		kind := c.Type
		if c.Logical != "" && c.Logical != "OTHER" {
			kind += " " + c.Logical
		}
		text := fmt.Sprintf("%s, %s of %s, %s", kind, bytesText(c.Bytes), bytesText(c.Raw), strings.Join(c.Encodings, "+"))
		if c.Nulls > 0 {
			text += fmt.Sprintf(", %s nulls", countText(c.Nulls))
		}
		if c.Min != "" || c.Max != "" {
			text += fmt.Sprintf(", %q to %q", c.Min, c.Max)
		}
		if c.Bloom {
			text += ", bloom filter"
		}
		a.line(c.Path, "%s", text)
	}
}

func (a *app) showItem(r job.ItemRecord) {
	fmt.Fprintf(a.out, "%s\n", r.Item)
	place := ""
	if r.File != "" {
		place = fmt.Sprintf(", %s:%d", r.File, r.Line)
	}
	a.story.say("  %s bytes, %g read units, %g write units%s", countText(int64(r.Bytes)), r.ReadUnits, r.WriteUnits, place)
	if r.Refused != "" {
		a.story.say("  DynamoDB would refuse it: %s", r.Refused)
	}
}

func (a *app) showCount(r job.CountRecord) {
	a.head("count")
	a.line("items", "%s", countText(r.Items))
	if r.Rejects > 0 {
		a.line("no items", "%s records, the first: %s", countText(r.Rejects), r.FirstReject)
	}
	a.line("size", "%s as DynamoDB counts, the largest item %s", bytesText(r.Bytes), bytesText(int64(r.Largest)))
	a.line("units", "%s to read one by one, %s to write", countText(int64(r.ReadUnits)), countText(int64(r.WriteUnits)))
	if r.Consumed > 0 {
		a.line("consumed", "%s read units", countText(int64(r.Consumed)))
	}
	a.line("attributes", "%s", countText(int64(r.Attributes)))
	a.line("fingerprint", "%s", r.Fingerprint)
}

// showEngine shows what the engine contract left: plans, tasks, commit objects, staged objects.
func (a *app) showEngine(record job.Record, first bool) error {
	switch r := record.(type) {
	case job.StateRecord:
		a.head("%s", r.Address)
		a.line("plans", "%s", countText(int64(r.Plans)))
	case job.PlanRecord:
		a.showPlan(r)
	case job.TaskRecord:
		a.heading(first, "tasks")
		text := r.State
		if r.Generation > 0 {
			text += fmt.Sprintf(", generation %d because %s", r.Generation, r.Reopened)
		}
		if r.Attempt != "" {
			text += ", attempt " + r.Attempt
		}
		if r.Error != "" {
			text += ", " + r.Error
		}
		if r.Poison != "" {
			text += ", poison: " + r.Poison
		}
		a.line(fmt.Sprint(r.Index), "%s", text)
	case job.CommitRecord:
		a.head("%s", r.Address)
		a.line("commit object", "%s, write id %s", r.Format, r.WriteID)
		sound := "sound (crc32c " + r.CRC32C + ")"
		if !r.Sound {
			sound = r.Problem
		}
		a.line("state", "%s", sound)
		fmt.Fprintf(a.out, "%s\n", r.Body)
	case job.StagedRecord:
		a.head("%s", r.Address)
		a.line("staged", "%s, %s", r.Kind, bytesText(r.Bytes))
		for _, l := range []struct {
			name string
			n    int64
		}{{"items", r.Items}, {"attributes", int64(r.Names)}, {"row groups", int64(r.RowGroups)},
			{"parts", int64(r.Partitions)}, {"runs", int64(r.Runs)}} {
			if l.n > 0 {
				a.line(l.name, "%s", countText(l.n))
			}
		}
		a.line("note", "%s", r.Note)
	default:
		return a.printJSON(a.out, record)
	}
	return nil
}

func (a *app) showPlan(r job.PlanRecord) {
	a.head("plan %s", r.ID)
	a.line("verb", "%s, round %d", r.Verb, r.Round+1)
	state := r.State
	if r.Next != "" {
		state += ": goes on as plan " + r.Next
	}
	a.line("state", "%s", state)
	a.line("tasks", "%s of %s done", countText(int64(r.Done)), countText(int64(r.Tasks)))
	if r.Reopened > 0 {
		a.line("reopened", "%s tasks, because their data failed a check", countText(int64(r.Reopened)))
	}
	a.line("created", "%s by %s", r.Created.Format("2006-01-02 15:04:05 MST"), r.Writer)
	a.line("source", "%s", clipped(r.Source))
	a.line("settings", "%s", clipped(r.Settings))
	if len(r.Tuning) > 0 {
		a.line("tuning", "%s", clipped(r.Tuning))
	}
	if len(r.Report) > 0 {
		a.line("report", "%s", clipped(r.Report))
	}
}

// clipped is the beginning of a JSON text, enough to recognise it by.
func clipped(text []byte) string {
	const most = 200
	if runes := []rune(string(text)); len(runes) > most {
		return string(runes[:most]) + "… (--json has all)"
	}
	return string(text)
}
