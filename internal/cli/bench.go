package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"dynaferry/internal/bench"
	"dynaferry/internal/fault"
)

func (a *app) benchCommand() *cobra.Command {
	var o bench.Options
	var out string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "measure this program on this machine, each number against a reference in the same run",
		Long: `bench makes a native export of orders, and measures in CPU seconds: converting it to Parquet against gzip -dc of the same files;
items of many shapes against uniform ones; scan pages and write bodies against the AWS SDK's own code; fingerprints; and growth.
The local DynamoDB is measured in a process of its own under clients on the same cores, DynamoDB Local beside it. A follower is measured
between a stream whose pages are ready and the local S3, each in a process of its own on the same cores: what it carries into the log and
into Parquet, how soon a write is visible in the bucket, how much memory it takes, and how soon it goes on in a long log.

Exit codes: 0 every number meets what it must, 4 one does not, 1 failed.`,
		Example: `  dynaferry bench
  dynaferry bench --items 100000 --growth 3 --out bench.json`,
		Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			exe, err := os.Executable()
			if err != nil {
				return err
			}
			o.Exe, o.Say, o.Build, o.BucketCommand = exe, a.story.say, version(), bucketCommandName
			if o.Dir == "" {
				if o.Dir, err = os.MkdirTemp("", "dynaferry-bench-"); err != nil {
					return err
				}
			} else {
				o.Dir = filepath.Join(o.Dir, "dynaferry-bench")
			}
			result, err := bench.Run(cmd.Context(), o, a.showRow)
			if err != nil {
				return err
			}
			return a.keepBench(result, out)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Items, "items", 1_000_000, "items of the corpus")
	f.IntVar(&o.Growth, "growth", 10, "how many times more items the growth row converts")
	f.IntVar(&o.Runs, "runs", 3, "pairs of measurements a row")
	f.StringVar(&o.Dir, "dir", "", "scratch folder (default: a temporary one)")
	f.StringVar(&o.Peers, "peers", "", "folder that make peers filled, for the rows against DuckDB, polars, chDB and DynamoDB Local")
	f.StringVar(&o.Only, "only", "", "rows whose name contains this, or one of several with commas between: fingerprint, scan, batch-write, convert, mixed, peers, growth, local, follow")
	f.BoolVar(&o.Long, "long", false, "take the whole time for rows that are shortened: writes a minute apart for the delay of rare changes")
	f.StringSliceVar(&o.Follow, "follow-flag", nil, "another flag of each follow that is measured, for instance --memory=128MiB; may be repeated")
	f.BoolVar(&o.Keep, "keep", false, "keep the corpus in --dir")
	f.StringVar(&out, "out", "", "file for the whole result as JSON")
	return cmd
}

// streamCommand serves a ready stream until its caller ends it.
func (a *app) streamCommand() *cobra.Command {
	var s bench.ReadyStream
	cmd := &cobra.Command{Use: bench.StreamCommand, Hidden: true, Short: "serve a stream whose pages are ready; bench starts it itself", Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.Serve(cmd.Context(), func(url string, records int) {
				_ = a.printJSON(a.out, bench.Announcement{URL: url, Records: records})
			})
		}}
	f := cmd.Flags()
	f.IntVar(&s.Shards, "shards", 1, "shards")
	f.IntVar(&s.Pages, "pages", 1, "pages of about 1 MB in each")
	f.DurationVar(&s.Delay, "delay", 0, "before every reply")
	f.BoolVar(&s.Open, "open", false, "shards stay open behind their last page")
	return cmd
}

func (a *app) showRow(r bench.Row) {
	if a.flags.json {
		_ = a.printJSON(a.out, r)
		return
	}
	verdict, relation := "ok", ">="
	if !r.OK {
		verdict = "MISSED"
	}
	if r.AtMost {
		relation = "<="
	}
	fmt.Fprintf(a.out, "%-72s %8.2f %-9s must %s %g, aim %g  (%.2f to %.2f)  %s\n", r.Name, r.Value, r.Unit, relation, r.Must, r.Aim, r.Spread[0], r.Spread[1], verdict)
}

func (a *app) keepBench(result *bench.Result, out string) error {
	if out != "" {
		data, err := json.MarshalIndent(result, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(out, append(data, '\n'), 0o644); err != nil {
			return fault.New(fault.User, "--out: %w", err)
		}
	}
	for _, r := range result.Rows {
		if !r.OK {
			a.code = exitDiffers
		}
	}
	return nil
}
