package cli

import (
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"dynaferry/internal/fault"
	"dynaferry/internal/job"
	"dynaferry/internal/source"
)

// archiveFlags are the flags of archive beside those of files.
type archiveFlags struct {
	files     copyFlags
	wish      job.ArchiveWish
	reconcile bool
	base      string
	where     string
	version   string
	evidence  job.Reconcile
}

func (a *app) archiveCommand() *cobra.Command {
	f := &archiveFlags{}
	cmd := &cobra.Command{
		Use:   "archive LOG|dynamodb://TABLE DEST",
		Short: "what TTL deleted, or cold items of a table → compressed, locked files",
		Long: `archive adds to DEST, as it was before, every item that DynamoDB deleted since its time to live was over (userIdentity Service, dynamodb.amazonaws.com).
It goes on behind the last entry of the log that DEST has already, which stands in the same version as the rows: run it as often as you like, kill it
where you like, each deletion is archived once. The log needs old images.

Of a global table each Region's TTL deletions are ordinary ones in the streams of the others: with --table that is looked for, and refused
unless the logs of all other Regions are named by --replica-log. Archive each into the same DEST.

--reconcile looks whether the archive is whole, by evidence that does not come from the stream: of each item of --base, an export or files of the
table at some time, that had expired by --at, the archive must have it, or the table must still, or the log must tell that somebody changed or
deleted it; and of each deletion by TTL in the log since then, the archive must have the item. Every other one is named in a file. It writes nothing
else. The log must have come behind the moment at which the table was asked: let follow run.

Of a table, --where moves the items for which an expression holds: they are copied to DEST, read back, and then deleted from the table, each only
where it is still the very item that was copied, below a budget of write units. Killed anywhere, nothing is deleted that is not in DEST. DynamoDB has no condition
for "and nothing else": an attribute of a new name, added to an item that is else as it was in the milliseconds between look and deletion, goes with it where
no --version-attribute is kept.
dynaferry recall brings them back.

A gap of the log is refused, since nobody knows what expired in it, unless --accept-compacted says otherwise.

Exit codes: 0 done, 1 the log is damaged, 2 usage, 3 done but some records became dead letters, 4 items are missing (--reconcile), 5 conflict, 75 try again, 130 interrupted.`,
		Example: `  dynaferry archive s3://lake/sessions.log s3://archive/sessions --storage-class DEEP_ARCHIVE
  dynaferry archive s3://lake/sessions.log s3://archive/sessions --lock-mode COMPLIANCE --lock-for 61320h --partition 'year,month of expires_at'
  dynaferry archive dynamodb://Orders s3://archive/orders --where 'closed_at < "2020"' --write-units 200
  dynaferry archive s3://lake/sessions.log s3://archive/sessions --table dynamodb://Sessions --replica-log s3://lake-eu/sessions.log`,
		Args: args(2, "a log and a destination"),
		RunE: func(cmd *cobra.Command, given []string) error {
			set, err := f.files.settings(given[1], source.Spec{Address: given[0]})
			if err != nil {
				return err
			}
			env, err := a.env()
			if err != nil {
				return err
			}
			if f.reconcile {
				return a.reconcile(cmd, env, f, given)
			}
			for _, flag := range []string{"base", "at", "ttl-attribute"} {
				if cmd.Flags().Changed(flag) {
					return usage("--%s goes with --reconcile", flag)
				}
			}
			if strings.HasPrefix(given[0], "dynamodb://") {
				return a.move(cmd, env, f, given[0], set)
			}
			for _, flag := range []string{"where", "write-units", "version-attribute", "read-units"} {
				if cmd.Flags().Changed(flag) {
					return usage("--%s: %s is no table", flag, given[0])
				}
			}
			f.wish.Log = given[0]
			r, err := job.NewArchive(cmd.Context(), env, f.wish, set)
			if err != nil {
				return err
			}
			return a.run(cmd.Context(), env, r, a.showCopy)
		},
	}
	f.files.addOutput(cmd)
	p := cmd.Flags()
	p.StringVar(&f.wish.Table, "table", "", "the table: replicas in other Regions are looked for")
	p.StringSliceVar(&f.wish.ReplicaLogs, "replica-log", nil, "with --table: the log of another Region; may be repeated")
	p.BoolVar(&f.wish.AcceptCompacted, "accept-compacted", false, "go on behind a gap of the log: what expired in it is in no archive")
	p.BoolVar(&f.reconcile, "reconcile", false, "look whether DEST has all that expired; write nothing there")
	p.StringVar(&f.base, "base", "", "with --reconcile: export or files of the table at the time from which on its deletions are to be found")
	p.StringVar(&f.evidence.At, "at", "", "with --reconcile: items that had expired by this time (default: now)")
	p.StringVar(&f.evidence.TTL, "ttl-attribute", "", "with --reconcile: attribute that tells when items expire (default: the table's)")
	p.StringVar(&f.evidence.ReadUnits, "read-units", "", "read capacity of the table to use: 500, 50% or unlimited (default: half of what is provisioned; on demand a stated ceiling)")
	p.StringVar(&f.where, "where", "", "of a table: which items to move, an expression as of --step filter: 'closed_at < \"2020\"'")
	p.StringVar(&f.evidence.WriteUnits, "write-units", "", "of a table: write capacity to delete with, likewise")
	p.StringVar(&f.version, "version-attribute", "", "of a table: attribute that tells versions of items which are too wide for a condition over all attributes")
	a.jobFlags(cmd)
	return cmd
}

// move archives items of a table.
func (a *app) move(cmd *cobra.Command, env *job.Env, f *archiveFlags, table string, set job.Copy) error {
	if f.where == "" {
		return fault.Hint(usage("archive: of a table it wants to know which items: --where"), "what TTL deletes is archived from the log of its changes: dynaferry archive LOG DEST")
	}
	set.Tuning = f.evidence.Tuning
	r, err := job.NewMove(cmd.Context(), env, table, f.where, f.version, set)
	if err != nil {
		return err
	}
	return a.run(cmd.Context(), env, r, a.showMove)
}

// showMove prints what a move came to.
func (a *app) showMove(raw []byte) error {
	var r job.MoveReport
	if err := json.Unmarshal(raw, &r); err != nil {
		return fault.New(fault.Corrupt, "report: %w", err)
	}
	if r.Rejects > 0 || r.Changed > 0 {
		a.code = exitPartial
	}
	if a.flags.json {
		return a.printJSON(a.out, json.RawMessage(raw))
	}
	a.head("%s", r.Destination)
	a.line("items", "%s in %s files, %s", countText(r.Items), countText(int64(r.Files)), bytesText(r.Bytes))
	a.line("deleted", "%s", countText(r.Deleted))
	if r.Gone > 0 {
		a.line("gone", "%s, which others had deleted meanwhile", countText(r.Gone))
	}
	if r.Changed > 0 {
		a.line("stay", "%s, which are no longer what was copied", countText(r.Changed))
	}
	for _, name := range append(r.Changes, r.DeadLetters...) {
		a.line("they are in", "%s", name)
	}
	a.line("units", "%s read, %s written", countText(int64(r.ReadUnits)), countText(int64(r.WriteUnits)))
	return nil
}

func (a *app) recallCommand() *cobra.Command {
	var where string
	wish := job.ImportWish{Import: job.Import{Mode: job.ModeIfAbsent}}
	cmd := &cobra.Command{
		Use:   "recall ARCHIVE dynamodb://TABLE",
		Short: "archived items → the table they came from, where they are absent",
		Long: `recall puts items of an archive back, each only where the table has none of its key. Of several rows of a key the last that was archived counts.
The archive keeps them. A time to live that is over makes DynamoDB delete them again.

Exit codes: 0 done, 1 the archive is damaged, 2 usage, 3 done but some items became dead letters, 5 conflict, 75 try again, 130 interrupted.`,
		Example: `  dynaferry recall s3://archive/orders dynamodb://Orders --where 'customer == "c-17"'`,
		Args:    args(2, "an archive and a table"),
		RunE: func(cmd *cobra.Command, given []string) error {
			wish.Table = given[1]
			if where != "" {
				wish.Steps = []string{"filter " + where}
			}
			env, err := a.env()
			if err != nil {
				return err
			}
			r, err := job.NewImport(cmd.Context(), env, source.Spec{Address: given[0]}, wish)
			if err != nil {
				return err
			}
			return a.run(cmd.Context(), env, r, a.showImport)
		},
	}
	f := cmd.Flags()
	f.StringVar(&where, "where", "", "which items, an expression as of --step filter (default: all)")
	f.StringVar(&wish.WriteUnits, "write-units", "", "write capacity to use: 500, 50% or unlimited (default: half of what is provisioned; on demand a stated ceiling)")
	a.jobFlags(cmd)
	return cmd
}

// reconcile holds an archive against other evidence.
func (a *app) reconcile(cmd *cobra.Command, env *job.Env, f *archiveFlags, given []string) error {
	if f.base == "" {
		return usage("--reconcile: --base is missing: an export or files of the table from which on its deletions are to be found")
	}
	set := f.evidence
	set.Log, set.Archive, set.Table, set.AcceptCompacted = given[0], given[1], f.wish.Table, f.wish.AcceptCompacted
	set.ReplicaLogs = f.wish.ReplicaLogs
	r, err := job.NewReconcile(cmd.Context(), env, source.Spec{Address: f.base}, set)
	if err != nil {
		return err
	}
	return a.run(cmd.Context(), env, r, a.showReconcile)
}

// showReconcile prints what a reconciliation came to.
func (a *app) showReconcile(raw []byte) error {
	var r job.ReconcileReport
	if err := json.Unmarshal(raw, &r); err != nil {
		return fault.New(fault.Corrupt, "report: %w", err)
	}
	if r.Misses > 0 {
		a.code = exitDiffers
	}
	if a.flags.json {
		return a.printJSON(a.out, json.RawMessage(raw))
	}
	a.head("%s", r.Archive)
	for _, line := range []struct {
		what string
		n    int64
	}{{"base items", r.Base}, {"expired", r.Expired}, {"still there", r.There}, {"archived", r.Found}, {"changed", r.Changed}, {"missing", r.Misses}} {
		a.line(line.what, "%s", countText(line.n))
	}
	for _, name := range r.Missing {
		a.line("they are in", "%s", name)
	}
	return nil
}
