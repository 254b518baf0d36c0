package cli

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"dynaferry/internal/backup"
)

// demoBackups is the tour's third part: a base by the service's export, a write, a mistake, what changed, and the table as
// it was in the second between the two.
func (a *app) demoBackups(ctx context.Context, dir string, items int) error {
	refunds, mistake := filepath.Join(dir, "refunds.json"), filepath.Join(dir, "mistake.json")
	if err := writeDeeds(filepath.Join(dir, "orders.json"), items, deed{refunds, 10, "refunded"}, deed{mistake, 7, ""}); err != nil {
		return err
	}
	state := filepath.Join(dir, "state")
	unlimited := func(words ...string) []string {
		return append(words, "--write-units", "unlimited", "--state", state)
	}
	a.say("\nNow a backup: the table's definition, and its items by the service's point-in-time export. Then some orders are refunded.")
	for _, step := range [][]string{
		{"backup", "dynamodb://Orders", "s3://lake/backups", "--chain", "--enable-pitr"},
		unlimited("import", refunds, "dynamodb://Orders", "--overwrite"),
	} {
		if err := a.step(ctx, step); err != nil {
			return err
		}
	}
	between := time.Now().UTC().Truncate(time.Second).Add(time.Second)
	if err := waitUntil(ctx, between.Add(time.Second)); err != nil {
		return err
	}
	at := backup.Stamp(between)
	a.say("\nIt is %s. A second later somebody deletes orders by mistake; the next backup has both, the refunds and the mistake.", at)
	for _, step := range [][]string{
		unlimited("import", mistake, "dynamodb://Orders", "--mode", "delete"),
		{"backup", "dynamodb://Orders", "s3://lake/backups", "--chain"},
		{"inspect", "s3://lake/backups"},
	} {
		if err := a.step(ctx, step); err != nil {
			return err
		}
	}
	a.say("\nThe table as it was in the second between, by the service, held against an export of that very second:")
	for _, step := range [][]string{
		{"restore", "dynamodb://Orders", "dynamodb://OrdersThen", "--at", at, "--state", state},
		{"export", "dynamodb://Orders", "s3://lake/then", "--native", "--at", at, "--format", "dynamodb-json"},
		{"verify", "s3://lake/then", "dynamodb://OrdersThen", "--read-units", "unlimited"},
	} {
		if err := a.step(ctx, step); err != nil {
			return err
		}
	}
	a.say("\nAnd as it was at the end of the chain, from the bucket alone, which works also when the service has forgotten:")
	for _, step := range [][]string{
		unlimited("restore", "s3://lake/backups", "dynamodb://OrdersKept", "--read-units", "unlimited"),
		{"verify", "dynamodb://Orders", "dynamodb://OrdersKept", "--read-units", "unlimited", "--state", state},
	} {
		if err := a.step(ctx, step); err != nil {
			return err
		}
	}
	a.say("\nThe second before the mistake is back, and so is the end of the chain, each proven.")
	return nil
}

// waitUntil waits for a time; the service knows whole seconds, and the tour wants one to itself.
func waitUntil(ctx context.Context, at time.Time) error {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

var statusOf = regexp.MustCompile(`"status":\{"S":"[a-z]*"\}`)

// deed is what happens to every so many orders: they get a status, or with "" are named to be deleted.
type deed struct {
	file   string
	every  int
	status string
}

// writeDeeds makes files of what happens to the orders.
func writeDeeds(orders string, items int, deeds ...deed) error {
	if err := writeOrders(orders, items); err != nil {
		return err
	}
	defer os.Remove(orders)
	in, err := os.Open(orders)
	if err != nil {
		return err
	}
	defer in.Close()
	out := make([]*bufio.Writer, len(deeds))
	for i, d := range deeds {
		f, err := os.OpenFile(d.file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		out[i] = bufio.NewWriter(f)
	}
	lines := bufio.NewScanner(in)
	for n := 0; lines.Scan(); n++ {
		for i, d := range deeds {
			if n%d.every != 0 {
				continue
			}
			line := lines.Bytes()
			if d.status != "" {
				line = statusOf.ReplaceAll(line, []byte(`"status":{"S":"`+d.status+`"}`))
			}
			out[i].Write(line)
			out[i].WriteByte('\n')
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	for _, w := range out {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}
