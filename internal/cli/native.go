package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dynaferry/internal/fault"
	"dynaferry/internal/job"
	"dynaferry/internal/source"
)

// nativeFlags are those of exports that the service itself makes.
type nativeFlags struct {
	native      bool
	set         job.NativeExport
	incremental string
	followOn    string
	enable      bool
}

// nativeOnly are the flags that mean nothing without --native.
var nativeOnly = []string{"at", "incremental", "follow-on", "view", "kms", "bucket-owner", "enable-pitr"}

// ofFiles are the flags of the files that an export is converted to; one that stays as the service wrote it heeds none.
var ofFiles = []string{"compression", "level", "partition", "into", "on-new", "schema", "target-size", "task-size", "bloom", "csv-cells",
	"formula-safe", "columns", "sse", "sse-kms-key", "sse-bucket-key", "storage-class", "lock-mode", "lock-for", "tag", "metadata",
	"filter", "projection", "values", "names", "key", "sort", "step", "steps"}

// ofScans are the flags that only a scan heeds.
var ofScans = []string{"read-units", "consistent", "segments"}

func (f *nativeFlags) add(cmd *cobra.Command) {
	p := cmd.Flags()
	p.BoolVar(&f.native, "native", false, "let the service export (ExportTableToPointInTime): one moment, no read units; needs continuous backups")
	p.StringVar(&f.set.At, "at", "", "native: the moment to export, 2026-01-31T18:00:00Z, now or how long ago, -90m, -2d (default: the service's now)")
	p.StringVar(&f.incremental, "incremental", "", "native: what changed in a window, FROM..TO in times as --at has them; TO may be left out")
	p.StringVar(&f.followOn, "follow-on", "", "native: what changed since the last export of the table below this address, which is DEST as well; or, with a DEST of its own, since this full export or data set and the exports that follow it in DEST")
	p.StringVar(&f.set.View, "view", "", "native: what changes show, new or new-and-old (default: new-and-old)")
	p.StringVar(&f.set.KMSKey, "kms", "", "native: KMS key, in the bucket's Region, that the service encrypts the export with")
	p.StringVar(&f.set.Owner, "bucket-owner", "", "native: account that the bucket belongs to, when it is another")
	p.BoolVar(&f.enable, "enable-pitr", false, "native: turn continuous backups of the table on, which cost about $0.20 a GB of table a month (us-east-1)")
	choices(cmd, "view", "new", "new-and-old")
}

// args are a table and a destination, or a table where --follow-on names the destination.
func (f *nativeFlags) args(cmd *cobra.Command, given []string) error {
	if f.followOn != "" && len(given) != 2 {
		return args(1, "a table, as --follow-on names the destination, or both")(cmd, given)
	}
	return args(2, "a table and a destination")(cmd, given)
}

// check refuses flags that nothing would heed.
func (f *nativeFlags) check(cmd *cobra.Command, form string) error {
	if !f.native {
		return changed(cmd, nativeOnly, "--%s goes with --native")
	}
	if err := changed(cmd, ofScans, "--%s is of a scan; --native reads no read units"); err != nil {
		return err
	}
	if source.OutputFormat(form) == "" {
		return nil
	}
	return changed(cmd, ofFiles, "--%s: with --native and --format dynamodb-json or ion the files stay as the service wrote them")
}

// changed complains about the first of the flags that was given.
func changed(cmd *cobra.Command, names []string, complaint string) error {
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			return usage(complaint, name)
		}
	}
	return nil
}

func (a *app) nativeExport(cmd *cobra.Command, f *copyFlags, n *nativeFlags, table, dest string) error {
	set := n.set
	set.Dest, set.Form, set.FollowOn = dest, f.set.Form, n.followOn != ""
	if set.FollowOn && dest != n.followOn {
		set.Base = n.followOn
	}
	if n.incremental != "" {
		var ok bool
		if set.From, set.To, ok = strings.Cut(n.incremental, ".."); !ok || set.From == "" {
			return usage("--incremental %q: it is FROM..TO", n.incremental)
		}
	}
	if (set.From != "" || set.FollowOn) && !cmd.Flags().Changed("format") {
		set.Form = source.DynamoDBJSON
	}
	if err := n.check(cmd, set.Form); err != nil {
		return err
	}
	copied, err := f.settings(dest, source.Spec{})
	if err != nil {
		return err
	}
	set.Copy = &copied
	env, err := a.env()
	if err != nil {
		return err
	}
	r, err := job.NewNativeExport(cmd.Context(), env, table, set, n.enable)
	if err != nil {
		return err
	}
	return a.run(cmd.Context(), env, r, a.showNative)
}

// showNative prints what a native export came to: of one that was converted, as any other.
func (a *app) showNative(raw []byte) error {
	var r job.NativeReport
	if err := json.Unmarshal(raw, &r); err != nil {
		return fault.New(fault.Corrupt, "report: %w", err)
	}
	if r.Type != "native-export" {
		return a.showCopy(raw)
	}
	if a.flags.json {
		if err := a.printJSON(a.out, json.RawMessage(raw)); err != nil {
			return err
		}
		return r.Err()
	}
	if !slices.ContainsFunc(r.Exports, func(e job.NativeExported) bool { return e.Failure == nil }) {
		return r.Err()
	}
	fmt.Fprintln(a.out, r.Destination)
	for _, e := range r.Exports {
		if e.Failure != nil {
			continue
		}
		showExported(a.out, &e)
		fmt.Fprintf(a.out, "    items      %s in %s files of %s\n", countText(e.Items), countText(int64(e.Files)), r.Format)
		fmt.Fprintf(a.out, "    billed     %s\n", bytesText(e.BilledBytes))
	}
	fmt.Fprintf(a.out, "  read units   %s\n", countText(int64(r.Units)))
	return r.Err()
}

// showExported prints which export of the service's something is.
func showExported(w io.Writer, e *job.NativeExported) {
	const layout = "2006-01-02T15:04:05.999Z"
	if e.From.IsZero() {
		fmt.Fprintf(w, "  export       %s, the table at %s\n", e.ID, e.At.Format(layout))
		return
	}
	fmt.Fprintf(w, "  export       %s, changes from %s to %s\n", e.ID, e.From.Format(layout), e.To.Format(layout))
}

// asker puts questions at a terminal; it is nil where there is none.
func (a *app) asker() func(string) (bool, error) {
	in, ok := a.in.(*os.File)
	if !ok || a.flags.json || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	return func(question string) (bool, error) {
		a.story.end()
		fmt.Fprintf(a.err, "%s [y/N] ", question)
		line, err := bufio.NewReader(in).ReadString('\n')
		if err != nil && err != io.EOF {
			return false, fault.New(fault.User, "read the answer: %w", err)
		}
		answer := strings.ToLower(strings.TrimSpace(line))
		return answer == "y" || answer == "yes", nil
	}
}

// nativeImportNot are the flags of import that the service heeds none of.
var nativeImportNot = []string{"overlay", "mode", "overwrite", "version-attribute", "dedupe", "overlay", "write-units", "read-units", "consistent", "step", "steps"}

// logLinesShown is how much of the service's error log a person is shown; --json has more, and the log all.
const logLinesShown = 20

// showNativeImport prints what a native import came to.
func (a *app) showNativeImport(raw []byte) error {
	var r job.NativeImportReport
	if err := json.Unmarshal(raw, &r); err != nil {
		return fault.New(fault.Corrupt, "report: %w", err)
	}
	if a.flags.json {
		if err := a.printJSON(a.out, json.RawMessage(raw)); err != nil {
			return err
		}
		return r.Err()
	}
	if r.ID == "" { // it never began
		return r.Err()
	}
	fmt.Fprintf(a.out, "%s\n  import       %s\n  read         %s, %s unpacked\n  written      %s\n", r.Table, r.ID, countText(r.Processed), bytesText(r.Bytes), countText(r.Imported))
	if r.Errors > 0 {
		fmt.Fprintf(a.out, "  errors       %s\n", countText(r.Errors))
	}
	for _, line := range r.Log[:min(len(r.Log), logLinesShown)] {
		fmt.Fprintf(a.out, "    %s\n", printable(line))
	}
	if r.LogAt != "" {
		fmt.Fprintf(a.out, "  error log    %s\n", r.LogAt)
	}
	return r.Err()
}
