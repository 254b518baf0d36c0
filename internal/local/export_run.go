package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/local/export"
	"dynaferry/internal/local/store"
	"dynaferry/internal/manifest"
)

// A data file is of one part of the hash space, as the service's files are of one partition each.
const (
	partsMin    = 4         // what a new table on demand has there
	partBytes   = 256 << 20 // of items; the service's partitions are larger, and so are its tables
	partsMax    = 1000
	billedLeast = 10 << 20 // of an incremental export
	itemBilled  = 100      // bytes an item costs beside its own
)

// runExport writes the export beside everything else. One that an earlier process had begun is written again: its objects
// have the same names.
func (db *DB) runExport(e *exportRecord) {
	db.crew.start(func(ctx context.Context) {
		done := *e
		err := db.writeExport(ctx, &done)
		if ctx.Err() != nil {
			return // the next Open goes on
		}
		done.Status = statusCompleted
		if err != nil {
			done.Status, done.Failure = statusFailed, failureOf(err)
			done.EndMs = millis(db.now())
		}
		_ = db.journal.exports.put(done.ID, &done) // when the store has stopped, the next Open writes the export again
	})
}

// failureOf is what the service reports for an error of an export or import.
func failureOf(err error) *exportFailure {
	switch kind := fault.KindOf(err); {
	case errors.Is(err, errNotFollowed):
		return &exportFailure{"PointInTimeRecoveryUnavailable", err.Error()}
	case errors.Is(err, store.ErrTooOld):
		return &exportFailure{"PointInTimeRecoveryUnavailable", "The state at the export time is not kept any more"}
	case errors.Is(err, blob.ErrChanged):
		return &exportFailure{"ObjectModifiedInS3DuringImport", "An object was modified during the import: " + err.Error()}
	case errors.Is(err, blob.ErrNotFound), kind == fault.NotFound:
		return &exportFailure{codeNoBucket, "The specified bucket does not exist"}
	case kind == fault.Permission:
		return &exportFailure{"S3AccessDenied", "Access Denied: " + err.Error()}
	}
	return &exportFailure{"InternalServerError", err.Error()}
}

// partsOf is how many data files an export has of a table of so many bytes.
func partsOf(bytes int64) int {
	return int(min(max(partsMin, (bytes+partBytes-1)/partBytes), partsMax))
}

func (db *DB) writeExport(ctx context.Context, e *exportRecord) error {
	b, err := db.opts.Bucket(ctx, e.Request.Bucket)
	if err != nil {
		return fmt.Errorf("open the bucket %s: %w", e.Request.Bucket, err)
	}
	w := &partsWriter{ctx: ctx, bucket: b, layout: e.layout(), table: &table{keys: e.Keys}, parts: e.Parts}
	if err := w.layout.Begin(ctx, b); err != nil {
		return err
	}
	if err := db.reached(ctx, e.Source, e.BeforeMs); err != nil {
		_, dropped := w.end(err)
		return dropped
	}
	if e.Request.incremental() {
		err = db.store.Changes(ctx, e.Source, before(e.FromMs), before(e.BeforeMs), w.change)
		e.Bytes = max(w.bytes, billedLeast)
	} else {
		err = w.state(db.store.StateAt(e.Source, before(e.BeforeMs), store.ScanOptions{}))
		e.Bytes = w.bytes
	}
	files, err := w.end(err)
	if err != nil {
		return err
	}
	e.EndMs = millis(db.now())
	summary, err := w.layout.Finish(ctx, b, e.summary(), files)
	e.Items = summary.ItemCount
	return err
}

// summary is the manifest without what the layout fills in.
func (e *exportRecord) summary() manifest.Summary {
	at := func(ms int64) string {
		if ms == 0 {
			return ""
		}
		return time.UnixMilli(ms).UTC().Format(manifest.TimeLayout)
	}
	r := &e.Request
	s := manifest.Summary{
		ExportARN: arnIn(e.Region, e.Table, "export", e.ID), StartTime: at(e.StartMs), EndTime: at(e.EndMs),
		TableARN: tableARN(e.Region, e.Table), TableID: e.TableID, ExportTime: at(r.AtMs),
		ExportFromTime: at(r.FromMs), ExportToTime: at(r.ToMs), S3Bucket: r.Bucket, S3SseAlgorithm: r.sse(),
		BilledSizeBytes: e.Bytes,
	}
	if r.KMSKey != "" {
		s.S3SseKmsKeyID = &r.KMSKey
	}
	if r.Prefix != "" {
		s.S3Prefix = &r.Prefix
	}
	return s
}

// partsWriter cuts items or changes that come in hash order into data files.
type partsWriter struct {
	ctx    context.Context
	bucket blob.Bucket
	layout export.Layout
	table  *table // its keys are all that is looked at
	parts  int

	part  int // of file
	file  *export.File
	files []manifest.File
	bytes int64
	spare item.Batch
}

// at makes the file of the key's part the one that is written.
func (w *partsWriter) at(key store.Key) error {
	for w.file == nil || !key.InSegment(w.part, w.parts) {
		if w.file != nil && w.part == w.parts-1 {
			return fault.New(fault.Bug, "a key outside the hash space, or out of order")
		}
		if err := w.next(); err != nil {
			return err
		}
	}
	return nil
}

// next finishes a file and begins the one of the next part.
func (w *partsWriter) next() error {
	if w.file != nil {
		done, err := w.file.Finish()
		if err != nil {
			return err
		}
		w.files = append(w.files, done)
		_ = w.file.Close() // after Finish it does nothing
		w.part++
	}
	w.file = w.layout.Create(w.ctx, w.bucket, w.part)
	return nil
}

// end finishes the files that are left, empty ones too, or drops the one that err stopped.
func (w *partsWriter) end(err error) ([]manifest.File, error) {
	for err == nil && len(w.files) < w.parts-1 {
		err = w.next()
	}
	if err == nil && w.file == nil {
		err = w.next()
	}
	if err == nil {
		var last manifest.File
		last, err = w.file.Finish()
		w.files = append(w.files, last)
	}
	if w.file != nil {
		err = errors.Join(err, w.file.Close())
	}
	return w.files, err
}

// state writes all items of a full export.
func (w *partsWriter) state(items *store.Iterator) error {
	defer items.Close()
	for items.Next() {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.at(items.Key()); err != nil {
			return err
		}
		raw := items.Raw()
		w.bytes += int64(size(raw)) + itemBilled
		if err := w.file.Item(raw); err != nil {
			return err
		}
	}
	return items.Close()
}

// change writes what became of one item in the window.
func (w *partsWriter) change(ch store.Change) error {
	if ch.Old == nil && ch.New == nil {
		return nil // it came and went
	}
	if err := w.at(ch.Key); err != nil {
		return err
	}
	image := ch.New
	if image == nil {
		image = ch.Old
	}
	keys, err := w.table.lastKey(&w.spare, image, nil)
	if err != nil {
		return err
	}
	w.bytes += int64(size(ch.Old)) + int64(size(ch.New))
	return w.file.Change(export.Change{Keys: keys, Old: ch.Old, New: ch.New, Micros: ch.Time.UnixMicro()})
}
