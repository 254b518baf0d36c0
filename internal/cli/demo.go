package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/job"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

func (a *app) demoCommand() *cobra.Command {
	var o localOptions
	var items int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "the tour: a table becomes Parquet in a bucket, comes back, is followed, backed up and restored to a second, and is shown to be equal",
		Long: `demo starts a DynamoDB and an S3 on loopback, fills a table with orders, exports it to partitioned Parquet, imports that into
another table, and verifies that both are equal. Then it follows the table while orders change, kills the follower in the middle, lets
another go on, and shows that nothing is missing. At last it keeps a chain of backups while orders are changed and, by mistake, deleted, and
restores the table to the second in between. It needs no account and leaves nothing behind, unless --dir says where to keep it.`,
		Example: `  dynaferry demo
  dynaferry demo --items 200000 --dir ./demo`,
		Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), o, items) },
	}
	cmd.Flags().IntVar(&items, "items", 20_000, "orders to make")
	cmd.Flags().StringVar(&o.dir, "dir", "", "keep the world in this folder")
	return cmd
}

// demo is a script of the very commands that users type.
func (a *app) demo(ctx context.Context, o localOptions, items int) error {
	if items < 1 || items > 10_000_000 {
		return usage("--items %d: from 1 to 10,000,000", items)
	}
	o.buckets = []string{"lake"}
	w, err := a.startLocal(ctx, o)
	if err != nil {
		return err
	}
	defer w.close()
	for _, pair := range w.environment() {
		name, value, _ := strings.Cut(pair, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	a.world = world.New()
	a.say("a DynamoDB and an S3 run on this machine: %s and %s", w.tables, w.objects)
	if err := a.demoTable(ctx, w.dir, items); err != nil {
		return err
	}
	for _, step := range [][]string{
		{"export", "dynamodb://Orders", "s3://lake/orders", "--partition", "year,month of created_at", "--read-units", "unlimited", "--into", "replace"},
		{"import", "s3://lake/orders", "dynamodb://OrdersAgain", "--create", "--write-units", "unlimited"},
		{"verify", "dynamodb://Orders", "dynamodb://OrdersAgain", "--read-units", "unlimited", "--state", filepath.Join(w.dir, "state")},
	} {
		if err := a.step(ctx, step); err != nil {
			return err
		}
	}
	a.say("\nThe table went to %s and came back equal, proven by fingerprint.", "s3://lake/orders")
	if err := a.demoFollow(ctx, w.dir, items); err != nil {
		return err
	}
	if err := a.demoBackups(ctx, w.dir, items); err != nil {
		return err
	}
	a.say("\nWith your own table, the same commands:\n\n  dynaferry export dynamodb://YOUR_TABLE s3://your-bucket/prefix --partition 'year,month of created_at'\n" +
		"  dynaferry import s3://your-bucket/prefix dynamodb://ANOTHER_TABLE --create\n  dynaferry verify dynamodb://YOUR_TABLE dynamodb://ANOTHER_TABLE\n" +
		"  dynaferry follow dynamodb://YOUR_TABLE s3://your-bucket/changes --enable-stream new-and-old --format parquet\n" +
		"  dynaferry backup dynamodb://YOUR_TABLE s3://your-bucket/backups --chain --enable-pitr\n  dynaferry restore s3://your-bucket/backups dynamodb://ANOTHER_TABLE")
	if !w.temporary {
		a.say("\nEverything is kept in %s; serve it again with: dynaferry local --dir %s", w.dir, w.dir)
	}
	return nil
}

func (a *app) say(format string, args ...any) {
	if a.flags.json {
		a.story.say(format, args...)
		return
	}
	fmt.Fprintf(a.out, format+"\n", args...)
}

// step runs one command of the tour in this process and shows it as a person would type it.
func (a *app) step(ctx context.Context, words []string) error {
	shown := make([]string, len(words))
	for i, word := range words {
		if shown[i] = word; strings.ContainsAny(word, " ,'") {
			shown[i] = "'" + word + "'"
		}
	}
	a.say("\n$ dynaferry %s", strings.Join(shown, " "))
	inner := &app{in: a.in, out: a.out, err: a.err, world: a.world}
	if a.flags.json {
		words = append(words, "--json")
	}
	root := inner.root()
	root.SetArgs(words)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	inner.story.end()
	if err == nil && inner.code != exitOK {
		err = fault.New(fault.Bug, "the step ended with exit code %d", inner.code)
	}
	return err
}

// demoTable makes the table and fills it by importing a file of orders, which shows an import from JSON on the way.
func (a *app) demoTable(ctx context.Context, dir string, items int) error {
	file := filepath.Join(dir, "orders.json")
	if err := writeOrders(file, items); err != nil {
		return err
	}
	env, err := a.env()
	if err != nil {
		return err
	}
	env.Say, env.State = nil, filepath.Join(dir, "state")
	keys, _, err := (&keyFlags{hash: "customer", sort: "order_id"}).parse(nil)
	if err != nil {
		return err
	}
	start := time.Now()
	r, err := job.NewImport(ctx, env, source.Spec{Address: file}, job.ImportWish{Keys: keys, Import: job.Import{Table: "dynamodb://Orders", Overwrite: true, Tuning: job.Tuning{WriteUnits: "unlimited"}},
		Create: &dynamo.Definition{Version: dynamo.DefinitionVersion, BillingMode: "PAY_PER_REQUEST"}})
	if err != nil {
		return err
	}
	end, _, err := job.Execute(ctx, env, r)
	if err != nil {
		return err
	}
	a.story.end()
	var report job.ImportReport
	if err := json.Unmarshal(end.Report, &report); err != nil {
		return err
	}
	a.say("table Orders has %s items of all ten types (%s)", countText(report.Written), time.Since(start).Round(10*time.Millisecond))
	return os.Remove(file)
}
