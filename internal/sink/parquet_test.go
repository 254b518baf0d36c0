package sink_test

import (
	"context"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
	"dynaferry/internal/sink"
)

// Each file tells the number and the fingerprint of its own items: as many as its columns have rows.
func TestFilesTellTheirItems(t *testing.T) {
	ctx := context.Background()
	bucket, err := folder.Open(t.TempDir(), folder.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := sink.NewParquet(ctx, sink.ParquetOptions{Bucket: bucket, Staged: func(name string) string { return "staged/" + name }, Target: 1})
	var hasher item.Hasher
	var all item.Fingerprint
	written := 0
	for round := range 40 {
		b := &item.Batch{Src: item.WithSlack(itemtest.OrderLines(nil, 1, uint64(1000*round), 333))}
		if _, _, err := new(ddbjson.Parser).ParseLines(b, ddbjson.Wrapped, true, nil); err != nil {
			t.Fatal(err)
		}
		written += b.Len()
		for i := range b.Rows {
			all.Add(hasher.Item(b.Item(i)))
		}
		if err := p.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	staged, err := p.Close()
	if err != nil {
		t.Fatal(err)
	}
	if files := staged.Files; len(files) < 3 {
		t.Fatalf("%d files", len(files))
	}
	var sum item.Fingerprint
	for _, f := range staged.Files {
		packed, _, err := blob.ReadAll(ctx, bucket, f.Meta, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var meta parquet.FileMeta
		if err := meta.UnmarshalBinary(packed); err != nil {
			t.Fatal(err)
		}
		rows := meta.Rows
		print, err := item.ParseFingerprint(f.Fingerprint)
		if err != nil {
			t.Fatal(err)
		}
		if f.Items != rows || int64(print.Count) != rows {
			t.Errorf("%s tells %d items and %s, its columns have %d rows", f.Staged, f.Items, f.Fingerprint, rows)
		}
		sum.Merge(print)
	}
	if sum.String() != all.String() || int(sum.Count) != written {
		t.Errorf("files add up to %s, want %s", sum.String(), all.String())
	}
}
