package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/job"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// importFlags are the flags of import.
type importFlags struct {
	src                   sourceFlags
	keys                  keyFlags
	wish                  job.ImportWish
	steps                 stepFlags
	create, native        bool
	billing, owner        string
	overlays              []string
	readUnits, writeUnits int64
}

func (a *app) importCommand() *cobra.Command {
	o := &importFlags{}
	cmd := &cobra.Command{
		Use:   "import SRC dynamodb://TABLE",
		Short: "files, exports or a table → a new or existing table",
		Long: `import writes the items of any source into a table, below a budget of write units. Into a table that is not empty you say what
happens to items that are there: --mode if-absent, --mode newer, or --overwrite.

With plain puts (the default into an empty table, and --overwrite) an attempt that was frozen and wakes up may still land the
requests it had under way, each within 10 seconds of its sending: an application's write in that window can be overwritten.
if-absent and newer are conditional writes and cannot do that.

Of an incremental export the puts and deletions are applied, to a table that holds what it follows: --overwrite, or --mode newer,
where a deletion counts when the table's version is not newer than the deleted one's. Of several windows, a prefix that holds them or
--overlay, which must touch, each item is written once, as the last window left it. Of a full export with --overlay likewise: the
changes are laid over its items, and what comes of it is written.

Duplicate keys inside the input are resolved (--dedupe), counted and kept in a file. What DynamoDB would refuse goes to a
dead-letter file; import of that file is the retry.

With --native the service itself reads dynamodb-json, ion or csv from S3, gzip, zstd or not packed, into a new table. Its limits are checked
first: one format, at most 50,000 objects and 1 TB (15 TB in us-east-1, us-west-2, eu-west-1), nothing else below their prefix. It takes
the last of several items with one key in no order, reads every CSV cell but the keys as text, and skips what it cannot read; its error
log is shown. import waits for it, also after an interruption.

Exit codes: 0 done, 1 the source is damaged, 2 usage, 3 done but some items became dead letters, 5 conflict, 75 try again, 130 interrupted.`,
		Example: `  dynaferry import s3://lake/orders dynamodb://Orders2 --create
  dynaferry import flights.csv dynamodb://Flights --create --key 'carrier|flight' --sort time_hour --types year=N,month=N
  dynaferry import s3://backup/orders dynamodb://Orders3 --native
  dynaferry import ./orders dynamodb://Orders --mode newer --version-attribute updated_at`,
		Args: args(2, "a source and a table"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runImport(cmd, o, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.wish.Mode, "mode", "", "put, if-absent, newer or delete (default: put, into an empty table only)")
	f.BoolVar(&o.wish.Overwrite, "overwrite", false, "put over the items of a table that is not empty; see above for what that risks beside a writing application")
	f.StringVar(&o.wish.Version, "version-attribute", "", "attribute that --mode newer compares")
	f.StringVar(&o.wish.Dedupe, "dedupe", "last", "which of several items with one key counts: first, last or newest:ATTRIBUTE, in source order")
	f.StringVar(&o.wish.WriteUnits, "write-units", "", "write capacity to use: 500, 50% or unlimited (default: half of what is provisioned; on demand a stated ceiling)")
	f.BoolVar(&o.create, "create", false, "create the table, from the definition stored beside the data or from --key and --sort")
	f.BoolVar(&o.native, "native", false, "let the service import (ImportTable) from S3 into a new table that it makes, without write units")
	f.StringVar(&o.owner, "bucket-owner", "", "native: account that the bucket belongs to, when it is another")
	f.StringVar(&o.billing, "billing", "", "with --create: PAY_PER_REQUEST or PROVISIONED (default: as the definition says, else PAY_PER_REQUEST)")
	f.Int64Var(&o.readUnits, "provision-read", 0, "with --billing PROVISIONED: read units")
	f.Int64Var(&o.writeUnits, "provision-write", 0, "with --billing PROVISIONED: write units")
	overlayFlag(cmd, &o.overlays, "an incremental export to lay over SRC, or behind it where SRC is one; may be repeated")
	o.steps.add(cmd)
	o.keys.add(cmd)
	o.src.add(cmd, "")
	o.src.addTable(cmd)
	a.jobFlags(cmd)
	choices(cmd, "mode", job.ModePut, job.ModeIfAbsent, job.ModeNewer, job.ModeDelete)
	choices(cmd, "dedupe", "first", "last", "newest:")
	choices(cmd, "billing", "PAY_PER_REQUEST", "PROVISIONED")
	return cmd
}

func (a *app) runImport(cmd *cobra.Command, o *importFlags, args []string) error {
	spec, err := o.src.spec(args[0])
	if err != nil {
		return err
	}
	if err := o.src.forTable(args[0]); err != nil {
		return err
	}
	if err := changed(cmd, nativeImportNot, "--%s: with --native the service puts every item into a table that it makes"); o.native && err != nil {
		return err
	}
	if err := changed(cmd, []string{"bucket-owner"}, "--%s goes with --native"); !o.native && err != nil {
		return err
	}
	for _, name := range []string{"billing", "provision-read", "provision-write"} {
		if cmd.Flags().Changed(name) && !o.create && !o.native {
			return usage("--%s goes with --create", name)
		}
	}
	if o.wish.Steps, err = o.steps.texts(); err != nil {
		return err
	}
	spec.Overlay = overlaySpecs(o.overlays)
	o.wish.Table, o.wish.ReadUnits = args[1], o.src.readUnits
	if o.wish.Keys, o.wish.Compose, err = o.keys.parse(spec.Types); err != nil {
		return err
	}
	if o.create || o.native {
		o.wish.Create = &dynamo.Definition{Version: dynamo.DefinitionVersion, BillingMode: o.billing, ReadUnits: o.readUnits, WriteUnits: o.writeUnits}
	}
	env, err := a.env()
	if err != nil {
		return err
	}
	if o.native {
		r, err := job.NewNativeImport(cmd.Context(), env, spec, o.wish, o.owner)
		if err != nil {
			return err
		}
		return a.run(cmd.Context(), env, r, a.showNativeImport)
	}
	r, err := job.NewImport(cmd.Context(), env, spec, o.wish)
	if err != nil {
		return err
	}
	return a.run(cmd.Context(), env, r, a.showImport)
}

// showImport prints what an import came to.
func (a *app) showImport(raw []byte) error {
	var r job.ImportReport
	if err := json.Unmarshal(raw, &r); err != nil {
		return fault.New(fault.Corrupt, "report: %w", err)
	}
	if r.DeadLetters > 0 {
		a.code = exitPartial
	}
	if a.flags.json {
		return a.printJSON(a.out, json.RawMessage(raw))
	}
	fmt.Fprintf(a.out, "%s\n  read         %s\n", r.Table, countText(r.Read))
	for _, line := range []struct {
		what string
		n    int64
	}{{"written", r.Written}, {"deleted", r.Deleted}, {"equal", r.Equal}, {"skipped", r.Skipped}, {"duplicates", r.Duplicates}, {"dropped", r.Dropped}, {"dead letters", r.DeadLetters}} {
		if line.n > 0 || line.what == "written" && r.Deleted == 0 {
			fmt.Fprintf(a.out, "  %-12s %s\n", line.what, countText(line.n))
		}
	}
	if r.Refused > 0 {
		fmt.Fprintf(a.out, "  of these     %s refused by a step, kept in *.refused.dead as they were: import that with the same steps\n", countText(r.Refused))
	}
	if r.Units > 0 {
		fmt.Fprintf(a.out, "  write units  %s\n", countText(int64(r.Units)))
	}
	a.showFiles("duplicates", r.DuplicateFiles)
	a.showFiles("dead letters", r.DeadLetterFiles)
	return nil
}

// fileNamesMax is how many files a report names; more are told by their folder, and all of them stand in --json.
const fileNamesMax = 8

func (a *app) showFiles(what string, names []string) {
	if n := len(names); n > fileNamesMax {
		fmt.Fprintf(a.out, "  %s in %d files below %s\n", what, n, names[0][:strings.LastIndexByte(names[0], '/')+1])
		return
	}
	for _, name := range names {
		fmt.Fprintf(a.out, "  %s in %s\n", what, name)
	}
}

func (a *app) verifyCommand() *cobra.Command {
	var src sourceFlags
	var keys keyFlags
	var set job.Verify
	var overlays []string
	cmd := &cobra.Command{
		Use:   "verify A B",
		Short: "are the items of two sources equal?",
		Long: `verify compares any two of tables, exports and files: counts, a fingerprint of the contents that does not depend on order, and,
where they differ, every key with both sides. Keys of a live table that changed while it was read are told apart.

--overlay lays incremental exports over A, a full export or a data set made from one or from a table: what is compared is the table as it
was when the last window ended. It is checked as by convert.

Exit codes: 0 equal, 4 different, 2 usage, 1 failed, 75 try again, 130 interrupted.`,
		Example: `  dynaferry verify dynamodb://Orders s3://lake/orders
  dynaferry verify ./a.csv ./b.parquet --key id
  dynaferry verify s3://backup/orders dynamodb://Orders2 --overlay s3://backup/orders`,
		Args: args(2, "two sources"),
		RunE: func(cmd *cobra.Command, args []string) error {
			first, err := src.spec(args[0])
			if err != nil {
				return err
			}
			first.Overlay = overlaySpecs(overlays)
			second, err := src.spec(args[1])
			if err != nil {
				return err
			}
			if err := src.forTable(args...); err != nil {
				return err
			}
			if set.Keys, _, err = keys.parse(first.Types); err != nil {
				return err
			}
			set.ReadUnits = src.readUnits
			env, err := a.env()
			if err != nil {
				return err
			}
			r, err := job.NewVerify(cmd.Context(), env, first, second, set)
			if err != nil {
				return err
			}
			return a.run(cmd.Context(), env, r, a.showVerify)
		},
	}
	overlayFlag(cmd, &overlays, "incremental export laid over A: its manifest, its folder or a prefix with several; may be repeated")
	cmd.Flags().IntVar(&set.Limit, "limit", job.LimitDefault, "differences to print; the file in the state root has all")
	keys.add(cmd)
	src.add(cmd, "")
	src.addTable(cmd)
	a.jobFlags(cmd)
	return cmd
}

// showVerify prints the comparison.
func (a *app) showVerify(raw []byte) error {
	var r job.VerifyReport
	if err := json.Unmarshal(raw, &r); err != nil {
		return fault.New(fault.Corrupt, "report: %w", err)
	}
	if !r.Equal {
		a.code = exitDiffers
	}
	if a.flags.json {
		return a.printJSON(a.out, json.RawMessage(raw))
	}
	verdict := "equal"
	if !r.Equal {
		verdict = "different"
	}
	fmt.Fprintf(a.out, "%s\n", verdict)
	for side, name := range []string{r.A, r.B} {
		fmt.Fprintf(a.out, "  %s: %s items, fingerprint %s\n", name, countText(r.Items[side]), r.Fingerprints[side])
		if r.Rejects[side] > 0 {
			fmt.Fprintf(a.out, "    %s records could not be read and were left out\n", countText(r.Rejects[side]))
		}
	}
	if r.OnlyA+r.OnlyB+r.Changed+r.Moving > 0 {
		fmt.Fprintf(a.out, "  only in the first %s, only in the second %s, changed %s, changed during the read %s\n",
			countText(r.OnlyA), countText(r.OnlyB), countText(r.Changed), countText(r.Moving))
	}
	for _, d := range r.Differences {
		note := ""
		if d.During {
			note = "  (changed during the read)"
		}
		fmt.Fprintf(a.out, "  %s%s\n    - %s\n    + %s\n", d.Key, note, shown(d.A), shown(d.B))
	}
	if r.All != "" {
		fmt.Fprintf(a.out, "  all differences: %s\n", r.All)
	}
	if r.Unlocated {
		fmt.Fprintln(a.out, "  name the keys to see which items differ: --key, --sort")
	}
	return nil
}

// shownBytesMax is how much of an item a terminal gets; --json and the file of all differences have the whole.
const shownBytesMax = 2000

func shown(item []byte) string {
	if len(item) <= shownBytesMax {
		return string(item)
	}
	return fmt.Sprintf("%s… (%s)", strings.ToValidUTF8(string(item[:shownBytesMax]), ""), bytesText(int64(len(item))))
}
