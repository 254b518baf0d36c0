package job

import (
	"fmt"
	"slices"
	"strings"

	"dynaferry/internal/codec/compress"
	"dynaferry/internal/fault"
	"dynaferry/internal/source"
)

// check refuses settings that are none, and those that nothing would heed: what a user asked for and does not get is an
// error before anything is done.
func (c *Copy) check() error {
	for _, check := range []func() error{c.checkForm, c.checkInto, c.checkHeeded, c.checkSizes, c.checkSteps} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Copy) checkForm() error {
	allowed := map[string][]string{
		source.Parquet:      {"zstd", "snappy", "gzip", "none"},
		source.DynamoDBJSON: {"gzip"},
		source.Ion:          {"gzip"},
		source.JSON:         {"gzip", "zstd", "none"},
		source.CSV:          {"gzip", "zstd", "none"},
	}
	codecs, ok := allowed[c.Form]
	if !ok {
		return fault.New(fault.User, "--format %s: formats are parquet, dynamodb-json, ion, json and csv", c.Form)
	}
	if !slices.Contains(codecs, c.Compression) {
		return fault.New(fault.User, "--compression %s: %s takes %s", c.Compression, c.Form, strings.Join(codecs, ", "))
	}
	levels := map[string]int{string(compress.Gzip): 9, string(compress.Zstd): 22}
	if c.Form == source.Parquet {
		levels[string(compress.Zstd)] = 4
	}
	if most := levels[c.Compression]; c.Level < 0 || c.Level > most {
		takes := "no level"
		if most > 0 {
			takes = fmt.Sprintf("1 to %d", most)
		}
		return fault.New(fault.User, "--level %d: %s with %s takes %s", c.Level, c.Form, c.Compression, takes)
	}
	return nil
}

func (c *Copy) checkInto() error {
	if !slices.Contains([]string{IntoFail, IntoAppend, IntoReplace, IntoReplacePartitions}, c.Into) {
		return fault.New(fault.User, "--into %s: it is fail, append, replace or replace-partitions", c.Into)
	}
	if !slices.Contains([]string{"evolve", "extra", "fail"}, c.OnNew) {
		return fault.New(fault.User, "--on-new %s: it is evolve, extra or fail", c.OnNew)
	}
	if len(c.Partition) > 0 && c.native() {
		return fault.New(fault.User, "--partition: %s has the layout of a native export, which has no partitions", c.Form)
	}
	if c.Into == IntoReplacePartitions && len(c.Partition) == 0 {
		return fault.New(fault.User, "--into replace-partitions needs --partition")
	}
	return nil
}

// checkHeeded refuses what the format written has no use for.
func (c *Copy) checkHeeded() error {
	for _, wish := range []struct {
		flag  string
		given bool
		forms []string
	}{
		{"--bloom", c.Bloom, []string{source.Parquet}},
		{"--on-new", c.OnNew != "evolve", []string{source.Parquet}},
		{"--schema", len(c.Pinned) > 0, []string{source.Parquet, source.CSV}},
		{"--columns", len(c.CSV.Columns) > 0, []string{source.CSV}},
		{"--formula-safe", c.CSV.FormulaSafe, []string{source.CSV}},
		{"--csv-cells", c.CSV.Cells == "ddbjson", []string{source.CSV}},
	} {
		if wish.given && !slices.Contains(wish.forms, c.Form) {
			return fault.New(fault.User, "%s goes with --format %s, not %s", wish.flag, strings.Join(wish.forms, " or "), c.Form)
		}
	}
	for i, name := range c.CSV.Columns {
		if slices.Contains(c.CSV.Columns[:i], name) {
			return fault.New(fault.User, "--columns: %q twice", name)
		}
	}
	return nil
}

func (c *Copy) checkSizes() error {
	if c.TargetBytes < 1<<20 {
		return fault.New(fault.User, "a target file size of %d bytes; the least is 1 MiB", c.TargetBytes)
	}
	if c.Segments < 0 || c.Segments > source.SegmentsMax {
		return fault.New(fault.User, "--segments %d: it is 1 to %d", c.Segments, source.SegmentsMax)
	}
	return nil
}
