package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dynaferry/internal/fault"
	"dynaferry/internal/job"
	"dynaferry/internal/row"
	"dynaferry/internal/source"
)

// windowFlags say which records of a change log are meant.
type windowFlags struct {
	log source.LogSpec
	key string
}

func (f *windowFlags) add(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringVar(&f.log.FromText, "from", "", "changes behind this time: 2026-01-31T18:00:00Z or how long ago, -90m, -2d (default: all)")
	p.StringVar(&f.log.ToText, "to", "", "changes up to and with this time (default: the end of the log)")
	p.StringVar(&f.key, "key", "", `changes of this key alone: {"pk":{"S":"a"}}`)
	p.StringSliceVar(&f.log.Ops, "op", nil, "changes of these kinds alone: put (insert, modify), delete (ttl, app-delete)")
	p.StringVar(&f.log.Where, "where", "", "changes for which this expression holds, as of --step filter: 'price > 10'")
	p.BoolVar(&f.log.AcceptCompacted, "accept-compacted", false, "take a window in which changes are missing, with the final states that stand for them, where they do")
	choices(cmd, "op", source.Ops...)
}

func (f *windowFlags) spec() (source.LogSpec, error) {
	l := f.log
	if f.key != "" {
		if !json.Valid([]byte(f.key)) {
			return l, usage(`--key %q: give it as DynamoDB JSON: {"pk":{"S":"a"}}`, f.key)
		}
		l.Key = json.RawMessage(f.key)
	}
	return l, nil
}

func (a *app) replayCommand() *cobra.Command {
	var window windowFlags
	var wish job.ReplayWish
	var newer string
	files, images := copyFlags{}, row.Changes
	var ofTables, ofFiles []string // flags
	cmd := &cobra.Command{
		Use:   "replay LOG dynamodb://TABLE|DEST",
		Short: "a window of a change log, or dead letters → a table, forward or reverted; or files, or another log",
		Long: `replay writes what the changes of a window come to: each key's last state once, put or deleted, below a budget of write units; with
--every each change in order. Then it reads every key back, strongly, and compares: what differs (others wrote since) is listed in a file.
Which changes are meant --from, --to, --key, --op and --where say; first it tells what they come to, and at a terminal asks.

Into a table that is not empty you say what happens to items that are there: --overwrite, or --newer ATTRIBUTE, where a change counts
when the table's version is not newer. With --overwrite an attempt that was frozen and wakes up may still land requests that it had under way, each within
10 seconds of its sending.

--revert undoes the window: each key becomes what it was before its first change, only where the item is still what the last one left, by a conditional
write over all of its attributes; items that were made in the window are deleted, those that were deleted are put back. What
changed since is left alone and listed as a conflict. An item too wide for such a condition is compared by --version-attribute, else
left alone too. One race remains where an application keeps no version: an attribute that neither image has, added in the milliseconds between look and write.

A window in which changes are missing (a gap of the log, or final states in their place) is refused unless --accept-compacted says
otherwise; so is one whose end the log has not reached.

Into DEST, a folder, each change of the window becomes a row of files of any form, published all at once like those of convert: --images says
whether a row is what happened in front of the item (changes), the item as it became (new; deletions give none), or both
images with the key apart.

With --format log DEST is another change log, which holds the records of the window as they stand, and says so: it is a part of the first,
with its gaps and what stands for them. It can be inspected and replayed; what wants all that happened (restore --log, archive --reconcile, follow) refuses
it. The flags of objects, --yes and those of a job go with it, and --target-size, which is of an entry's records there (32MiB, and no more). The same command goes on
where the part ends.

--step and --steps are for the changes, in front of all that: what becomes of keys and images, which changes are dropped. Into a table the key stays.

Of a file of dead letters (its name ends in .dead) the items are tried again, as import does.

Exit codes: 0 done and proven, 1 the log is damaged, 2 usage, 3 done but some changes became dead letters or conflicts, 4 keys differ from the log,
5 conflict, 75 try again, 130 interrupted.`,
		Example: `  dynaferry replay s3://lake/orders.log dynamodb://OrdersCopy --from 2026-01-31T18:00:00Z --overwrite
  dynaferry replay s3://lake/orders.log dynamodb://Orders --from -2h --to -90m --revert --dry-run
  dynaferry replay s3://lake/orders.log dynamodb://Orders --key '{"order":{"S":"o-1"}}' --every --newer version
  dynaferry replay s3://lake/orders.log s3://lake/orders-of-may --from 2026-05-01T00:00:00Z --to 2026-06-01T00:00:00Z --images new --step 'drop card'
  dynaferry replay s3://lake/orders.log s3://lake/deletions.log --format log --op delete --storage-class STANDARD_IA
  dynaferry replay s3://lake/orders/_dynaferry/dead-letters/1f2e…-000000-00000.dead dynamodb://Orders --newer version`,
		Args: args(2, "a log and a destination"),
		RunE: func(cmd *cobra.Command, given []string) error {
			var err error
			if wish.Log, err = window.spec(); err != nil {
				return err
			}
			if files.set.Form == formLog {
				return a.replayLog(cmd, given[0], given[1], wish, &files, append(ofTables, ofFiles...))
			}
			if !strings.HasPrefix(given[1], "dynamodb://") {
				if err := without(cmd, ofTables, "%s is no table", given[1]); err != nil {
					return err
				}
				return a.replayFiles(cmd, given[0], given[1], wish.Log, images, &files)
			}
			if err := without(cmd, ofFiles, "%s is a table, which has no files", given[1]); err != nil {
				return err
			}
			if wish.Log.Steps, err = files.steps.texts(); err != nil {
				return err
			}
			wish.Mode.Table = given[1]
			if newer != "" {
				wish.Mode.Mode = job.ModeNewer
				if wish.Mode.Version != "" {
					return usage("--newer names the version itself; --version-attribute goes with --revert")
				}
				wish.Mode.Version = newer
			}
			switch {
			case wish.Revert && len(wish.Log.Steps) > 0:
				return usage("--revert puts back what was: --step does not go with it")
			case wish.Revert && (newer != "" || wish.Mode.Overwrite || wish.Mode.Every):
				return usage("--revert has conditions of its own: --newer, --overwrite and --every do not go with it")
			case wish.Mode.Version != "" && newer == "" && !wish.Revert:
				return usage("--version-attribute goes with --revert; --newer ATTRIBUTE compares versions")
			}
			env, err := a.env()
			if err != nil {
				return err
			}
			if strings.HasSuffix(given[0], source.DeadSuffix) {
				return a.retry(cmd, env, given[0], &window, &wish)
			}
			r, err := job.NewReplay(cmd.Context(), env, given[0], wish)
			if err != nil {
				return err
			}
			return a.run(cmd.Context(), env, r, a.showReplay)
		},
	}
	f := cmd.Flags()
	window.add(cmd)
	files.steps.add(cmd)
	ofFiles = added(cmd, func() {
		files.addFiles(cmd, formLog)
		f.Lookup("format").Usage += "; or log: another change log"
		f.StringVar(&files.set.Into, "into", job.IntoFail, "of files: what an existing destination means: fail, append, replace or replace-partitions")
		f.Var(text(&images, string(row.Changes)), "images", "of files: what becomes a row: changes (what happened, and the item), new (items as they became) or both (images apart)")
		choices(cmd, "into", job.IntoFail, job.IntoAppend, job.IntoReplace, job.IntoReplacePartitions)
		choices(cmd, "images", string(row.Changes), string(row.New), string(row.Both))
	})
	ofTables = added(cmd, func() { tableFlags(f, &wish, &newer) })
	a.jobFlags(cmd)
	return cmd
}

// tableFlags are the flags of a replay into a table.
func tableFlags(f *pflag.FlagSet, w *job.ReplayWish, newer *string) {
	f.BoolVar(&w.Revert, "revert", false, "put back what was before the window")
	f.BoolVar(&w.Mode.Every, "every", false, "write each change in the order of its key, not only what all come to")
	f.BoolVar(&w.Mode.Overwrite, "overwrite", false, "write over the items of a table that is not empty")
	f.StringVar(newer, "newer", "", "write where the table's version in this attribute is not newer")
	f.StringVar(&w.Mode.Version, "version-attribute", "", "with --revert: attribute that tells versions of items which are too wide for a condition over all attributes")
	f.BoolVarP(&w.Yes, "yes", "y", false, "do not count first, and ask nothing")
	f.StringVar(&w.Mode.WriteUnits, "write-units", "", "write capacity to use: 500, 50% or unlimited (default: half of what is provisioned; on demand a stated ceiling)")
	f.StringVar(&w.Mode.ReadUnits, "read-units", "", "read capacity to use for reading keys back, likewise")
}

// added are the names of the flags that add adds.
func added(cmd *cobra.Command, add func()) (names []string) {
	before := map[string]bool{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { before[f.Name] = true })
	add()
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !before[f.Name] {
			names = append(names, f.Name)
		}
	})
	return names
}

// without refuses flags that nothing would heed.
func without(cmd *cobra.Command, flags []string, why, what string) error {
	for _, flag := range flags {
		if cmd.Flags().Changed(flag) {
			return usage("--%s: "+why, flag, what)
		}
	}
	return nil
}

// replayFiles is replay into files.
func (a *app) replayFiles(cmd *cobra.Command, from, to string, log source.LogSpec, images row.Images, f *copyFlags) error {
	if strings.HasSuffix(from, source.DeadSuffix) {
		return fault.Hint(usage("%s holds dead letters, whose items are tried again with a table", from), "dynaferry convert %s %s", from, to)
	}
	if !slices.Contains([]row.Images{row.New, row.Both, row.Changes}, images) {
		return usage("--images %s: it is changes, new or both", images)
	}
	set, err := f.settings(to, source.Spec{Address: from})
	if err != nil {
		return err
	}
	env, err := a.env()
	if err != nil {
		return err
	}
	r, err := job.NewReplayFiles(cmd.Context(), env, from, log, images, set)
	if err != nil {
		return err
	}
	return a.run(cmd.Context(), env, r, a.showCopy)
}

// formLog is what --format says of a destination that is a change log.
const formLog = "log"

// replayLog is replay into another log; flags are those of the other destinations.
func (a *app) replayLog(cmd *cobra.Command, from, to string, wish job.ReplayWish, f *copyFlags, flags []string) error {
	scratch := &cobra.Command{}
	heeded := append(added(scratch, func() { new(objectFlags).add(scratch) }), "format", "target-size", "yes")
	flags = slices.DeleteFunc(flags, func(flag string) bool { return slices.Contains(heeded, flag) })
	for _, of := range []struct {
		flags []string
		why   string
	}{{flags, "%s is to be a change log"}, {[]string{"step", "steps"}, "%s is to be a change log, whose records are as the stream gave them"},
		{[]string{"accept-compacted"}, "%s gets what the log has: gaps, and what stands for them"}} {
		if err := without(cmd, of.flags, of.why, to); err != nil {
			return err
		}
	}
	switch {
	case strings.HasPrefix(to, "dynamodb://"):
		return usage("--format log: %s is a table", to)
	case strings.HasSuffix(from, source.DeadSuffix):
		return fault.Hint(usage("%s holds dead letters, which are no changes; their items are tried again with a table", from), "dynaferry replay %s dynamodb://TABLE", from)
	}
	set := job.ReplayLog{Dest: to}
	var err error
	if set.Objects, err = f.objects.settings(); err != nil {
		return err
	}
	if cmd.Flags().Changed("target-size") {
		if set.EntryBytes, err = parseBytes(f.target); err != nil || set.EntryBytes < 1 {
			return usage("--target-size %q: it is a size, 1B or more", f.target)
		}
	}
	env, err := a.env()
	if err != nil {
		return err
	}
	r, err := job.NewReplayLog(cmd.Context(), env, from, wish.Log, set, wish.Yes)
	if err != nil {
		return err
	}
	return a.run(cmd.Context(), env, r, a.showReplayLog)
}

// showReplayLog prints what a part of a log holds.
func (a *app) showReplayLog(raw []byte) error {
	var r job.ReplayLogReport
	if err := json.Unmarshal(raw, &r); err != nil {
		return fault.New(fault.Corrupt, "report: %w", err)
	}
	if a.flags.json {
		return a.printJSON(a.out, json.RawMessage(raw))
	}
	a.head("%s", r.Log)
	a.line("part of", "%s", r.Of)
	a.line("records", "%s in %s entries, %s", countText(int64(r.Records)), countText(int64(r.Entries)), bytesText(r.Bytes))
	if r.Gaps > 0 {
		a.line("gaps", "%d, %d of them not healed", r.Gaps, r.Open)
	}
	return nil
}

// retry is replay of dead letters: an import of their items.
func (a *app) retry(cmd *cobra.Command, env *job.Env, from string, window *windowFlags, wish *job.ReplayWish) error {
	for _, flag := range []string{"from", "to", "key", "op", "where", "accept-compacted", "revert", "every", "version-attribute", "yes"} {
		if cmd.Flags().Changed(flag) {
			return usage("--%s is of a change log; %s holds dead letters, whose items are tried again", flag, from)
		}
	}
	wish.Mode.Steps = wish.Log.Steps
	r, err := job.NewImport(cmd.Context(), env, source.Spec{Address: from}, job.ImportWish{Import: wish.Mode})
	if err != nil {
		return err
	}
	return a.run(cmd.Context(), env, r, a.showImport)
}

// showReplay prints what a replay came to.
func (a *app) showReplay(raw []byte) error {
	var r job.ReplayReport
	if err := json.Unmarshal(raw, &r); err != nil {
		return fault.New(fault.Corrupt, "report: %w", err)
	}
	switch {
	case r.Differ > r.Newer:
		a.code = exitDiffers
	case r.DeadLetters > 0 || r.Conflicts > 0:
		a.code = exitPartial
	}
	if a.flags.json {
		return a.printJSON(a.out, json.RawMessage(raw))
	}
	a.head("%s", r.Table)
	a.line("changes", "%s of %s keys", countText(r.Read), countText(r.Keys))
	for _, line := range []struct {
		what string
		n    int64
	}{{"written", r.Written}, {"deleted", r.Deleted}, {"as before", r.Unchanged}, {"equal", r.Equal}, {"skipped", r.Skipped}, {"conflicts", r.Conflicts}, {"dead letters", r.DeadLetters}} {
		if line.n > 0 || line.what == "written" && r.Deleted == 0 {
			a.line(line.what, "%s", countText(line.n))
		}
	}
	switch r.Proof {
	case job.ProofEqual:
		a.line("proof", "every key that was read back is as the log says: %s", r.Fingerprint)
	case job.ProofDiffers:
		what := fmt.Sprintf("%s keys are not as the log says", countText(r.Differ))
		if r.Newer > 0 {
			what += fmt.Sprintf(", %s of them since the table's version is newer", countText(r.Newer))
		}
		a.line("proof", "%s", what)
	}
	for _, name := range r.Differences {
		a.line("they are in", "%s", name)
	}
	for _, name := range r.Conflicting {
		a.line("conflicts in", "%s", name)
	}
	for _, name := range r.DeadLetterFiles {
		a.line("letters in", "%s", name)
	}
	if r.Units > 0 {
		a.line("write units", "%s", countText(int64(r.Units)))
	}
	return nil
}
