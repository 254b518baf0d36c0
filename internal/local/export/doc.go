// Package export writes what ExportTableToPointInTime leaves in a bucket: the objects of one export.
//
// It hides one decision: the service's layout (DynamoDB Developer Guide, "Output format of DynamoDB table exports"), that
// is, which objects there are, what a line of each form looks like and in which order they appear. Where items come from
// and what becomes of a failure is package local's work. docs/local.md shows the layout.
//
// Invariants: names depend on the export's id and the part's number alone, so that an export that is written again after a
// crash replaces its own objects and leaves no others; manifest-summary.json comes last, so whoever sees it sees all; a
// data file is whole or not there.
//
// Package local imports it. It imports blob, manifest, the codecs and item.
//
//	l := export.Layout{Prefix: "backups", ID: id, Format: export.JSON}
//	err := l.Begin(ctx, bucket)
//	f := l.Create(ctx, bucket, 0)
//	defer f.Close()
//	err = f.Item(raw)
//	file, err := f.Finish()
//	err = l.Finish(ctx, bucket, summary, []manifest.File{file})
package export
