package cli

import (
	"encoding/json"

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
	evidence  job.Reconcile
}

func (a *app) archiveCommand() *cobra.Command {
	f := &archiveFlags{}
	cmd := &cobra.Command{
		Use:   "archive LOG DEST",
		Short: "what TTL deleted → compressed, locked files",
		Long: `archive adds to DEST, as it was before, every item that DynamoDB deleted since its time to live was over (userIdentity Service, dynamodb.amazonaws.com).
It goes on behind the last entry of the log that DEST has already, which stands in the same version as the rows: run it as often as you like, kill it
where you like, each deletion is archived once. The log needs old images.

Of a global table each Region's TTL deletions are ordinary ones in the streams of the others: with --table that is looked for, and refused
unless the logs of all other Regions are named by --replica-log. Archive each into the same DEST.

--reconcile looks whether the archive is whole, by evidence that does not come from the stream: of each item of --base, an export or files of the
table at some time, that had expired by --at, the archive must have it, or the table must still, or the log must tell that somebody changed or
deleted it; and of each deletion by TTL in the log since then, the archive must have the item. Every other one is named in a file. It writes nothing
else. The log must have come behind the moment at which the table was asked: let follow run.

A gap of the log is refused, since nobody knows what expired in it, unless --accept-compacted says otherwise.

Exit codes: 0 done, 1 the log is damaged, 2 usage, 3 done but some records became dead letters, 4 items are missing (--reconcile), 5 conflict, 75 try again, 130 interrupted.`,
		Example: `  dynaferry archive s3://lake/sessions.log s3://archive/sessions --storage-class DEEP_ARCHIVE
  dynaferry archive s3://lake/sessions.log s3://archive/sessions --lock-mode COMPLIANCE --lock-for 61320h --partition 'year,month of expires_at'
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
			for _, flag := range []string{"base", "at", "ttl-attribute", "read-units"} {
				if cmd.Flags().Changed(flag) {
					return usage("--%s goes with --reconcile", flag)
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
	p.StringVar(&f.evidence.ReadUnits, "read-units", "", "with --reconcile: read capacity of the table to use: 500, 50% or unlimited (default: half of what is provisioned; on demand a stated ceiling)")
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
