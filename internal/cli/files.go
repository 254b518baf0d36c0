package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"dynaferry/internal/blob"
	"dynaferry/internal/column"
	"dynaferry/internal/delivery"
	"dynaferry/internal/fault"
	"dynaferry/internal/job"
)

// deliveryFlags say what files of changes look like; the commands that make some have the same.
type deliveryFlags struct {
	steps     stepFlags
	objects   objectFlags
	partition []string
	hive      string
	schema    string
}

func (f *deliveryFlags) add(cmd *cobra.Command, d *delivery.Settings) {
	p := cmd.Flags()
	p.Var(text(&d.Form, string(delivery.DynamoDBJSON)), "format", "dynamodb-json (records as the stream gives them), json, csv or parquet")
	p.Var(text(&d.Images, string(delivery.Changes)), "images", "new (items as they are now), both, or changes (what happened, and the item)")
	p.StringVar(&d.Compression, "compression", "", "gzip, zstd or none; of parquet zstd, snappy, gzip or none (default: gzip, of parquet zstd)")
	p.IntVar(&d.Level, "level", 0, "of compression (default: the codec's own)")
	p.StringVar(&d.Prefix, "prefix", "", "of file names, with Firehose's expressions: 'year=!{timestamp:yyyy}/kind=!{partitionKeyFromQuery:kind}/'")
	p.StringVar(&d.ErrorPrefix, "error-prefix", "", "of what steps refuse, in Firehose's error layout: 'failed/!{firehose:error-output-type}/' (default: dead letters)")
	p.StringVar(&d.TimeZone, "time-zone", "UTC", "of timestamps in prefixes, by IANA name")
	p.StringVar(&d.Extension, "extension", "", "of file names, for instance .jsonl.gz (default: by format and compression)")
	p.Var(text(&d.Clock, string(delivery.ChangeTime)), "partition-time", "whose time prefixes mean: change (when it happened) or capture (when it was read)")
	p.StringArrayVar(&f.partition, "partition-key", nil, "name in prefixes and the attribute it stands for: kind=order.kind; may be repeated")
	p.StringVar(&f.hive, "partition", "", "Hive partitions by attributes, behind --prefix, as export has them: 'region, kind'")
	p.StringVar(&f.schema, "schema", "", "parquet: file that fixes columns; inspect --schema writes one")
	choices(cmd, "format", "dynamodb-json", "json", "csv", "parquet")
	choices(cmd, "images", "new", "both", "changes")
	choices(cmd, "compression", "gzip", "zstd", "snappy", "none")
	choices(cmd, "partition-time", "change", "capture")
	f.steps.add(cmd)
	f.objects.add(cmd)
}

// settings reads what flags alone do not set in d, and tells how objects are stored.
func (f *deliveryFlags) settings(d *delivery.Settings) (objects blob.Settings, err error) {
	if objects, err = f.objects.settings(); err != nil {
		return objects, err
	}
	if d.Steps, err = f.steps.texts(); err != nil {
		return objects, err
	}
	for _, text := range f.partition {
		name, path, ok := strings.Cut(text, "=")
		if !ok || name == "" || path == "" {
			return objects, usage("--partition-key %q: it is name=attribute", text)
		}
		d.Partition = append(d.Partition, delivery.PartitionKey{Name: name, Path: strings.Split(path, ".")})
	}
	if err := f.hivePartitions(d); err != nil {
		return objects, err
	}
	return objects, f.pinned(d)
}

// hivePartitions writes --partition as the prefix and the keys that it stands for.
func (f *deliveryFlags) hivePartitions(d *delivery.Settings) error {
	if f.hive == "" {
		return nil
	}
	columns, err := job.ParsePartition(f.hive)
	if err != nil {
		return err
	}
	for _, c := range columns {
		if c.Part != "" {
			return fault.Hint(usage("--partition %s: %s is a part of a time; a delivery has that of the change", f.hive, c.Name), "--prefix '%s=!{timestamp:%s}/'",
				c.Name, map[string]string{"year": "yyyy", "month": "MM", "day": "dd", "hour": "HH", "date": "yyyy-MM-dd"}[c.Part])
		}
		d.Prefix += c.Name + "=!{partitionKeyFromQuery:" + c.Name + "}/"
		d.Partition = append(d.Partition, delivery.PartitionKey{Name: c.Name, Path: []string{c.Of}})
	}
	return nil
}

func (f *deliveryFlags) pinned(d *delivery.Settings) error {
	if f.schema == "" {
		return nil
	}
	data, err := readFile("--schema", f.schema)
	if err != nil {
		return err
	}
	if d.Columns, err = column.ParseSchema(data); err != nil {
		return inFile(f.schema, err)
	}
	return nil
}
