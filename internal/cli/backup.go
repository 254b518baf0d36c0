package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"dynaferry/internal/backup"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/job"
)

func (a *app) backupCommand() *cobra.Command {
	var set job.Backup
	var native, scan, enable bool
	cmd := &cobra.Command{
		Use:   "backup dynamodb://TABLE DEST",
		Short: "a table's definition and data → a place of backups, in full or what changed since the last",
		Long: `backup keeps a table: its definition (keys, indexes, billing and autoscaling, TTL, stream, continuous backups, tags, resource
policy, encryption, class, deletion protection) and its items. DEST, a bucket or a folder, takes any number of backups of one table and
keeps a catalogue of them; dynaferry inspect DEST lists it, dynaferry restore DEST dynamodb://NEW makes the table again.

The items come by the service's own export where the table has continuous backups and DEST is a bucket: of one moment, without read
units. Else they come by scan, below a budget of read units, and show no single moment. --native and --scan choose.

With --chain the first backup is a base, and each later run adds what has changed since the last: incremental exports whose windows
touch, of 15 minutes to 24 hours; a last window that the service calls too short is waited for. Each has the definition as it was
then. Run it daily, or hourly: the table can be restored to the end of every window for as long as the place is kept, also beyond
the 35 days of continuous backups, which a chain needs. --new-base begins the chain anew in the same place.

A backup is in the catalogue when it is whole. A run that died is gone on with by the same command.

Exit codes: 0 done, 1 failed, 2 usage, 5 conflict, 75 try again, 130 interrupted.`,
		Example: `  dynaferry backup dynamodb://Orders s3://backups/orders
  dynaferry backup dynamodb://Orders s3://backups/orders --chain --enable-pitr
  dynaferry backup dynamodb://Orders ./orders-backup`,
		Args: args(2, "a table and a destination"),
		RunE: func(cmd *cobra.Command, given []string) error {
			if native && scan {
				return usage("--native and --scan are two ways: choose one")
			}
			if native {
				set.By = backup.ByNative
				if err := changed(cmd, ofScans, "--%s is of a scan; --native reads no read units"); err != nil {
					return err
				}
			}
			if scan {
				set.By = backup.ByScan
			}
			views := map[string]string{"": "", "new": "NEW_IMAGE", "new-and-old": "NEW_AND_OLD_IMAGES"}
			view, ok := views[set.View]
			if !ok || view != "" && !set.Chain {
				return usage("--view %s: it is new or new-and-old, with --chain", set.View)
			}
			set.Dest, set.View = given[1], view
			env, err := a.env()
			if err != nil {
				return err
			}
			r, err := job.NewBackup(cmd.Context(), env, given[0], set, enable)
			if err != nil {
				return err
			}
			return a.run(cmd.Context(), env, r, a.showBackup)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&native, "native", false, "by the service's own export (default where the table has continuous backups and DEST is a bucket)")
	f.BoolVar(&scan, "scan", false, "by a scan (default elsewhere)")
	f.BoolVar(&set.Chain, "chain", false, "add what changed since the last backup; the first is a base")
	f.BoolVar(&set.NewBase, "new-base", false, "with --chain: begin anew with a base")
	f.BoolVar(&enable, "enable-pitr", false, "turn continuous backups of the table on, which cost about $0.20 a GB of table a month (us-east-1)")
	f.StringVar(&set.View, "view", "", "with --chain: what changes show, new or new-and-old (default: new-and-old)")
	f.StringVar(&set.KMSKey, "kms", "", "native: KMS key, in the bucket's Region, that the service encrypts the export with")
	f.StringVar(&set.Owner, "bucket-owner", "", "native: account that the bucket belongs to, when it is another")
	f.StringVar(&set.ReadUnits, "read-units", "", "scan: read capacity to use: 500, 50% or unlimited (default: half of what is provisioned; on demand a stated ceiling)")
	f.BoolVar(&set.Consistent, "consistent", false, "scan: strongly consistent reads, at twice the units")
	f.IntVar(&set.Segments, "segments", 0, "scan: segments of the table to scan (default: by its size)")
	a.jobFlags(cmd)
	choices(cmd, "view", "new", "new-and-old")
	return cmd
}

// showBackup prints what a backup came to.
func (a *app) showBackup(raw []byte) error {
	var r job.BackupReport
	if err := json.Unmarshal(raw, &r); err != nil {
		return fault.New(fault.Corrupt, "report: %w", err)
	}
	if a.flags.json {
		if err := a.printJSON(a.out, json.RawMessage(raw)); err != nil {
			return err
		}
		return r.Err()
	}
	if r.Number < 0 {
		return r.Err()
	}
	what, items := "base, by the service's export, the table at "+backup.Stamp(r.To), "items"
	switch {
	case r.Kind == backup.Changes:
		what, items = fmt.Sprintf("changes from %s to %s", backup.Stamp(r.From), backup.Stamp(r.To)), "changes"
	case r.By == backup.ByScan:
		what = "base, by scan, ended at " + backup.Stamp(r.To)
	}
	fmt.Fprintf(a.out, "%s\n  backup       %d\n  holds        %s\n  %-12s %s, %s\n", r.Destination, r.Number, what, items, countText(r.Items), bytesText(r.Bytes))
	if r.Windows > 1 {
		fmt.Fprintf(a.out, "  windows      %s\n", countText(int64(r.Windows)))
	}
	fmt.Fprintf(a.out, "  read units   %s\n", countText(int64(r.Units)))
	if r.Fingerprint != "" {
		fmt.Fprintf(a.out, "  fingerprint  %s\n", r.Fingerprint)
	}
	for _, u := range r.Untold {
		fmt.Fprintf(a.out, "  not told     %s: %s\n", u.Setting, printable(u.Reason))
	}
	return r.Err()
}

func (a *app) restoreCommand() *cobra.Command {
	var set job.Restore
	var without []string
	cmd := &cobra.Command{
		Use:   "restore SRC dynamodb://TABLE",
		Short: "a place of backups → the table as it was, proven by fingerprint",
		Long: `restore makes a new table from a place of backups: with its keys, indexes, billing, class and encryption first, then its items, each
written once below a budget of write units, then, when the items are proven, with tags, TTL, continuous backups, stream, resource policy,
autoscaling, and deletion protection last. The proof: the fingerprint of what was read is that of a consistent scan of the new table.

--at chooses the time: the moment of a base or the end of a window of changes (dynaferry inspect SRC lists them); without it the latest.
Of another time the nearest are named. SRC may be a table with continuous backups: then the service itself restores it, to the second
(RestoreTableToPointInTime), into a new table that gets the settings which the service leaves out, as the table has them now.

With --log restore goes to any second that a change log has passed, also beyond the end of a chain of backups: SRC, a place of backups, an export
or a data set that tells its time, is the base, over which each key gets its last change up to --at. Times are the service's stamps, to the second. A
gap of the log is refused, unless final states heal it and --accept-compacted takes them; so is a base of before the log's beginning, and a time that
the log has not reached.

A table that is there is never touched unless --arn repeats its ARN. What happens to its items is then said as for import: --mode if-absent,
--mode newer or --overwrite; nothing, where it is empty. Its settings stay as they are.

What the endpoint does not take is named; --without leaves a setting away. A run that died is gone on with by the same command.

Exit codes: 0 done and proven, 1 the backup is damaged, 2 usage, 3 done but settings or items are missing, 4 the table differs from the
backup, 5 conflict, 75 try again, 130 interrupted.`,
		Example: `  dynaferry restore s3://backups/orders dynamodb://OrdersAgain
  dynaferry restore s3://backups/orders dynamodb://OrdersThen --at 2026-01-31T18:00:00Z
  dynaferry restore s3://backups/orders dynamodb://OrdersThen --at 2026-01-31T18:04:59Z --log s3://lake/orders.log
  dynaferry restore dynamodb://Orders dynamodb://OrdersThen --at=-90m
  dynaferry restore s3://backups/orders dynamodb://Orders --arn arn:aws:dynamodb:eu-west-1:123456789012:table/Orders --mode if-absent`,
		Args: args(2, "a source and a table"),
		RunE: func(cmd *cobra.Command, given []string) error {
			set.Source, set.Table = given[0], given[1]
			for _, s := range without {
				set.Without = append(set.Without, dynamo.Setting(s))
			}
			env, err := a.env()
			if err != nil {
				return err
			}
			r, err := job.NewRestore(cmd.Context(), env, set)
			if err != nil {
				return err
			}
			return a.run(cmd.Context(), env, r, a.showRestore)
		},
	}
	f := cmd.Flags()
	f.StringVar(&set.At, "at", "", "the time to restore, 2026-01-31T18:00:00Z or how long ago, -90m, -2d (default: the latest backup)")
	f.StringVar(&set.Log, "log", "", "change log of the table, which tells what happened behind the latest backup up to --at")
	f.BoolVar(&set.AcceptCompacted, "accept-compacted", false, "with --log: take final states for changes that are missing, where they heal a gap up to --at")
	f.StringVar(&set.ARN, "arn", "", "ARN of the table, repeated, when it is there")
	f.StringVar(&set.Mode, "mode", "", "into a table that is there: put, if-absent or newer")
	f.BoolVar(&set.Overwrite, "overwrite", false, "into a table that is there: put over its items")
	f.StringVar(&set.Version, "version-attribute", "", "attribute that --mode newer compares")
	f.StringSliceVar(&without, "without", nil, "settings to leave away: encryption, class, indexes, ceilings, tags, ttl, pitr, stream, policy, autoscaling, protection")
	f.StringVar(&set.WriteUnits, "write-units", "", "write capacity to use: 500, 50% or unlimited (default: half of what is provisioned; on demand a stated ceiling)")
	f.StringVar(&set.ReadUnits, "read-units", "", "read capacity to use for the proof, likewise")
	a.jobFlags(cmd)
	choices(cmd, "mode", job.ModePut, job.ModeIfAbsent, job.ModeNewer)
	return cmd
}

// showRestore prints what a restore came to.
func (a *app) showRestore(raw []byte) error {
	var r job.RestoreReport
	if err := json.Unmarshal(raw, &r); err != nil {
		return fault.New(fault.Corrupt, "report: %w", err)
	}
	switch {
	case r.Proof == job.ProofDiffers:
		a.code = exitDiffers
	case r.Partial():
		a.code = exitPartial
	}
	if a.flags.json {
		return a.printJSON(a.out, json.RawMessage(raw))
	}
	by := fmt.Sprintf("by backup %d", r.Backup)
	if r.Windows > 0 {
		by += fmt.Sprintf(" and %s windows of changes over its base", countText(int64(r.Windows)))
	}
	switch {
	case r.By == "service":
		by = "by the service"
	case r.Log != "" && r.Backup < 0:
		by = "by " + r.Source
	}
	if r.Log != "" {
		by += " and the changes of " + r.Log
	}
	fmt.Fprintf(a.out, "%s\n  shows        %s at %s, %s\n", r.Table, r.Of, backup.Stamp(r.At), by)
	if r.By != "service" {
		fmt.Fprintf(a.out, "  written      %s\n", countText(r.Written))
	}
	if r.Skipped > 0 {
		fmt.Fprintf(a.out, "  skipped      %s\n", countText(r.Skipped))
	}
	for _, line := range proofs[r.Proof] {
		fmt.Fprintf(a.out, "  %s\n", line)
	}
	if r.Fingerprint != "" {
		fmt.Fprintf(a.out, "  fingerprint  %s\n", r.Fingerprint)
	}
	if r.Proof == job.ProofDiffers {
		fmt.Fprintf(a.out, "  the table    %s\n", r.Found)
	}
	for i, s := range r.Settings {
		fmt.Fprintf(a.out, "%s%s", map[bool]string{true: "  settings     ", false: ", "}[i == 0], s)
	}
	if len(r.Settings) > 0 {
		fmt.Fprintln(a.out)
	}
	for _, u := range r.Unset {
		fmt.Fprintf(a.out, "  not set      %s: %s\n", u.Setting, printable(u.Reason))
	}
	if r.WriteUnits > 0 {
		fmt.Fprintf(a.out, "  write units  %s\n  read units   %s\n", countText(int64(r.WriteUnits)), countText(int64(r.ReadUnits)))
	}
	for _, name := range r.DeadFiles {
		fmt.Fprintf(a.out, "  dead letters %s (%s items that DynamoDB refuses)\n", name, countText(r.DeadLetters))
	}
	return nil
}

// proofs says what proves a restore.
var proofs = map[string][]string{
	job.ProofEqual:   {"proof        equal: the table holds what the backup holds"},
	job.ProofDiffers: {"proof        DIFFERENT: the table does not hold what the backup holds; its settings were not set"},
	job.ProofLive:    {"proof        none: the table held items before"},
	job.ProofService: {"proof        none of ours: the service restored it"},
}

// showBackups prints the catalogue of a place.
func (a *app) showBackups(r job.BackupsRecord) {
	a.head("%s", r.Address)
	a.line("backups", "%s of %s, %s", countText(int64(r.Backups)), r.Table, bytesText(r.Bytes))
	switch n := len(r.Times); n {
	case 0:
		a.line("restores to", "no time: there is no base")
	case 1:
		a.line("restores to", "%s", backup.Stamp(r.Times[0]))
	default:
		a.line("restores to", "%s times, from %s to %s", countText(int64(n)), backup.Stamp(r.Times[0]), backup.Stamp(r.Times[n-1]))
	}
	for _, hole := range r.Holes {
		a.line("hole", "%s", hole)
	}
}

func (a *app) showBackupEntry(r job.BackupRecord) {
	what, items := "base, by the service, at "+backup.Stamp(r.To), "items"
	switch {
	case r.Kind == backup.Changes:
		what, items = fmt.Sprintf("changes from %s to %s", backup.Stamp(r.From), backup.Stamp(r.To)), "changes"
	case r.By == backup.ByScan:
		what = fmt.Sprintf("base, by scan, from %s to %s", backup.Stamp(r.From), backup.Stamp(r.To))
	}
	a.line(fmt.Sprint(r.Number), "%s, %s %s, %s", what, countText(r.Items), items, bytesText(r.Bytes))
}
