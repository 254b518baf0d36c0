package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"dynaferry/internal/console"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/job"
)

// followFlags are those of follow.
type followFlags struct {
	wish       job.FollowWish
	keys       keyFlags
	files      deliveryFlags
	enable     string
	bufferSize string
	delimiter  string
	listen     string
	heal       bool
	readUnits  string
}

// views are what --enable-stream takes.
var views = map[string]feed.View{"new-and-old": feed.BothImages, "new": feed.NewImage, "old": feed.OldImage, "keys": feed.KeysOnly}

func (f *followFlags) add(cmd *cobra.Command) {
	p := cmd.Flags()
	w, d := &f.wish, &f.wish.Delivery
	p.StringVar(&w.Log, "log", "", "address of the change log (default: DEST/_dynaferry/log; a stream and - need it); without DEST only the log is written")
	p.StringVar(&f.enable, "enable-stream", "", "turn the table's stream on if it has none: new-and-old, new, old or keys")
	p.Uint32Var(&w.Groups, "groups", 0, "chains of a log that is made, which several processes share (default: 1, or those of the log that is there)")
	p.DurationVar(&w.Capture.Freshness, "freshness", 4*time.Second, "from a write to the log, at most, when nothing is in the way")
	p.IntVar(&w.Capture.ReadBudget, "read-budget", 0, "instead of --freshness: calls an hour for an idle shard, 60 for one a minute")
	p.StringArrayVar(&w.Redact, "redact", nil, "keep attributes out of the log, which is for ever: 'drop ssn', 'hash email key=env:NAME' or 'token card.number key=file:PATH'; may be repeated")
	p.BoolVar(&w.Capture.StopAtGap, "stop-at-gap", false, "end when the stream has lost changes, instead of going on behind the gap")
	p.BoolVar(&f.heal, "heal", false, "close the gaps of the log, which the second address names, and end: with what the table's continuous backups know, else by comparing log and table")
	p.StringVar(&f.readUnits, "read-units", "", "read capacity that --bootstrap scan, and --heal without continuous backups, use: 500, 50% or unlimited (default: half of what is provisioned; on demand a stated ceiling)")
	p.BoolVar(&w.Deliver.AcceptGaps, "accept-gaps", false, "deliver what comes behind gaps that are not healed")
	p.DurationVar(&w.Idle, "exit-when-idle", 0, "end when nothing came for so long and all that came is delivered (default: never)")
	p.StringVar(&f.listen, "listen", "", "serve /metrics and /healthz at this address of this machine, for instance 127.0.0.1:9464")

	p.StringVar(&w.Bootstrap, "bootstrap", "", "put a snapshot of the table into DEST/snapshot while changes are captured, once: scan, or export (the service's own, which needs continuous backups)")
	p.DurationVar(&w.Settle, "bootstrap-settle", 0, "how long after every shard is read the snapshot begins, for suites that cannot wait")
	_ = p.MarkHidden("bootstrap-settle")
	p.StringArrayVar(&w.From, "from", nil, "where the delivery begins, decided by its first run: now, trim-horizon, a time (2026-01-31T18:00:00Z, -90m) or, once a shard, a position SHARD:NUMBER (default: all that is in the log)")
	p.StringVar(&d.Name, "name", "", "of the delivery: several may go on from one log (default: changes; of streams kinesis-STREAM, firehose-STREAM, stdout)")
	p.StringVar(&f.bufferSize, "buffer-size", "", "records before compression that make a file (default: 64MiB), or are sent before it is noted that they were (default: 4MiB)")
	p.DurationVar(&w.Deliver.Interval, "buffer-interval", 0, "how long records wait for others; the first after a rest does not (default: 1m, of streams 1s)")
	p.StringVar(&f.delimiter, "delimiter", "", "behind each record of a stream: newline or none (default: newline; of Kinesis none)")
	f.files.add(cmd, d)
	f.keys.add(cmd)
	choices(cmd, "enable-stream", "new-and-old", "new", "old", "keys")
	choices(cmd, "bootstrap", "scan", "export")
	choices(cmd, "delimiter", "newline", "none")
}

// settings turns flags into what the job wants.
func (f *followFlags) settings(cmd *cobra.Command, given []string) (w job.FollowWish, err error) {
	w = f.wish
	w.Source = given[0]
	if len(given) > 1 {
		w.Dest = given[1]
	}
	if f.enable != "" {
		var ok bool
		if w.EnableStream, ok = views[f.enable]; !ok {
			return w, usage("--enable-stream %q: it is new-and-old, new, old or keys", f.enable)
		}
	}
	if cmd.Flags().Changed("freshness") && w.Capture.ReadBudget > 0 {
		return w, usage("--read-budget is instead of --freshness")
	}
	if w.Capture.ReadBudget < 0 || w.Capture.Freshness < 200*time.Millisecond || w.Idle < 0 {
		return w, usage("--freshness is 200ms or more, --read-budget and --exit-when-idle are not negative")
	}
	if w.Capture.ReadBudget > 0 {
		w.Capture.Freshness = 0
	}
	if f.bufferSize != "" {
		if w.Delivery.BufferBytes, err = parseBytes(f.bufferSize); err != nil {
			return w, usage("--buffer-size %q: %w", f.bufferSize, err)
		}
	}
	switch f.delimiter {
	case "":
	case "newline", "none":
		newline := f.delimiter == "newline"
		w.Newline = &newline
	default:
		return w, usage("--delimiter %q: it is newline or none", f.delimiter)
	}
	if w.Objects, err = f.files.settings(&w.Delivery); err != nil {
		return w, err
	}
	w.LogObjects = w.Objects
	keys, composed, err := f.keys.parse(nil)
	switch {
	case err != nil:
		return w, err
	case len(composed) > 0:
		return w, usage("--key: keys of a stream are attributes; they are not composed")
	case keys != nil:
		w.Keys = *keys
	}
	return w, nil
}

func (a *app) followCommand() *cobra.Command {
	f := &followFlags{}
	cmd := &cobra.Command{
		Use:   "follow SOURCE [DEST]",
		Short: "a table's changes → a log and files, each once and in order, as they happen",
		Long: `follow reads the stream of a table (or a Kinesis stream that a table writes to) into a change log, and makes files of what the log
holds. A change is in the log before anything else is done to it, and in exactly one file that becomes visible whole. Whoever
dies is replaced by running the same command again: it repeats nothing and skips nothing. Several may run it at once.

What the stream lost before it was read is a gap: it stands in the log, is told, and delivery stops before it until it is healed
or --accept-gaps says to go on.

SOURCE is dynamodb://TABLE or kinesis://STREAM. Without DEST only the log is written, to --log.

DEST may also be an actual stream, firehose://STREAM or kinesis://STREAM, or - for stdout: a line of JSON a record. These have no
memory of what they took, so there each record comes at least once: a crash, or an answer that is lost, repeats some. Records of
one item keep their order (Firehose promises none). How far it is stands with the log, which --log names. A record that the service
can never take goes to the dead letters there.

Exit codes: 0 ended as asked, 1 failed, 2 usage, 3 dead letters or gaps, 5 conflict, 130 interrupted (nothing is lost).`,
		Example: `  dynaferry follow dynamodb://Orders s3://lake/orders --enable-stream new-and-old
  dynaferry follow dynamodb://Orders s3://lake/orders --format parquet --buffer-size 128MiB --buffer-interval 5m
  dynaferry follow dynamodb://Orders s3://lake/orders --prefix 'day=!{timestamp:yyyy-MM-dd}/' --format json
  dynaferry follow kinesis://orders-changes --log s3://lake/orders-log --key id
  dynaferry follow dynamodb://Orders firehose://orders --log s3://lake/orders-log
  dynaferry follow dynamodb://Orders - --log s3://lake/orders-log --format json | jq .`,
		Args: func(cmd *cobra.Command, given []string) error {
			if len(given) == 1 && f.wish.Log != "" {
				return nil
			}
			return args(2, "a table or stream and a destination, or --log")(cmd, given)
		},
		RunE: func(cmd *cobra.Command, given []string) error { return a.follow(cmd, f, given) },
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&a.flags.dryRun, "dry-run", false, "of --heal: tell which gaps would be closed, and write nothing")
	a.sizeFlags(cmd)
	return cmd
}

// healing closes the gaps of a log.
func (a *app) healing(ctx context.Context, f *followFlags, given []string) error {
	env, err := a.env()
	if err != nil {
		return err
	}
	w := job.HealWish{Source: given[0], At: f.wish.Log, ReadUnits: f.readUnits}
	if len(given) > 1 && w.At == "" {
		w.At = given[1]
	}
	if w.LogObjects, err = f.files.objects.settings(); err != nil {
		return err
	}
	report, err := job.Heal(ctx, env, w)
	a.story.end()
	if err != nil {
		return err
	}
	if a.flags.json {
		return a.printJSON(a.out, report)
	}
	fmt.Fprintf(a.out, "%s\n  healed     %d gaps\n", report.Log, len(report.Healed))
	for _, g := range report.Healed {
		fmt.Fprintf(a.out, "  entry %d of group %d: %s final states of %s to %s (%s)\n", g.Entry, g.Group, countText(g.Records), g.From, g.To, g.Source)
	}
	return nil
}

func (a *app) follow(cmd *cobra.Command, f *followFlags, given []string) error {
	if f.heal {
		return a.healing(cmd.Context(), f, given)
	}
	if a.flags.dryRun {
		return usage("--dry-run is of --heal")
	}
	f.wish.ReadUnits = f.readUnits
	wish, err := f.settings(cmd, given)
	if err != nil {
		return err
	}
	env, err := a.env()
	if err != nil {
		return err
	}
	wish.Capture.MemoryBytes = env.Memory / 2
	report := a.out
	if wish.Stdout = a.out; wish.Dest == job.Stdout {
		report = a.err // the result is the records
	}
	ctx := cmd.Context()
	follower, err := job.NewFollow(ctx, env, wish)
	if err != nil {
		return err
	}
	if start := follower.Start(); a.flags.json {
		if err := a.printJSON(report, start); err != nil {
			return err
		}
	} else {
		a.story.say("%s\n  log        %s\n  into       %s", start, start.Log, start.Destination)
	}
	stop, err := a.serveStatus(ctx, f.listen, follower)
	if err != nil {
		return err
	}
	err = follower.Run(ctx)
	stop()
	a.story.end()
	if err != nil {
		return err
	}
	return a.showFollow(ctx, report, follower.Status())
}

func (a *app) showFollow(ctx context.Context, out io.Writer, s job.FollowStatus) error {
	if s.Gaps > 0 || s.Delivered != nil && s.Delivered.Refused > 0 {
		a.code = exitPartial
	}
	if ctx.Err() != nil {
		a.code = exitInterrupted
	}
	if a.flags.json {
		return a.printJSON(out, s)
	}
	fmt.Fprintf(out, "%s\n  captured   %s in %d entries, %s\n", s.Log, countText(s.Records), s.Entries, bytesText(s.LogBytes))
	if d := s.Delivered; d != nil {
		kept := countText(d.Records - d.Dropped - d.Refused)
		if d.Sent {
			fmt.Fprintf(out, "%s\n  sent       %s, %s\n", s.Destination, kept, bytesText(d.Bytes))
		} else {
			fmt.Fprintf(out, "%s\n  visible    %s in %d files, %s\n", s.Destination, kept, d.Files, bytesText(d.Bytes))
		}
		if d.Dropped > 0 {
			fmt.Fprintf(out, "  dropped    %s\n", countText(d.Dropped))
		}
		if d.Refused > 0 {
			fmt.Fprintf(out, "  refused    %s, in dead letters\n", countText(d.Refused))
		}
	}
	if s.Gaps > 0 {
		fmt.Fprintf(out, "  gaps       %d\n", s.Gaps)
	}
	fmt.Fprintf(out, "  calls      %d, about $%.4f so far\n", s.Calls, s.USD)
	return nil
}

// textFlag is a flag whose value is a kind of text.
type textFlag[T ~string] struct{ to *T }

func text[T ~string](to *T, value string) *textFlag[T] {
	*to = T(value)
	return &textFlag[T]{to}
}

func (f *textFlag[T]) String() string {
	if f.to == nil {
		return ""
	}
	return string(*f.to)
}
func (f *textFlag[T]) Set(value string) error { *f.to = T(value); return nil }
func (f *textFlag[T]) Type() string           { return "string" }

// readFile reads a file that a flag names.
func readFile(flag, name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fault.New(fault.User, "%s: %w", flag, err)
	}
	return data, nil
}

// serveStatus serves what watches a follower, where that was asked for.
func (a *app) serveStatus(ctx context.Context, address string, f *job.Follow) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	at, stop, err := console.Serve(ctx, address, f)
	if err == nil {
		a.story.say("  watch      http://%s/metrics and http://%s/healthz", at, at)
	}
	return stop, err
}
