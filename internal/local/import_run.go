package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/local/intake"
)

// importErrorsLogged is how many errors an import tells one by one; more are counted only, as the service does.
const importErrorsLogged = 10_000

// runImport fills the table beside everything else.
func (db *DB) runImport(i *importRecord, t *table) {
	db.crew.start(func(ctx context.Context) {
		done := *i
		in := &importer{db: db, table: t, record: &done}
		err := in.run(ctx)
		if ctx.Err() != nil {
			return // the next Open goes on
		}
		_ = db.endImport(&done, t, err) // when the store has stopped, the next Open begins the import again
	})
}

// endImport notes how an import ended, and shows its table, unless there was no bucket to read.
func (db *DB) endImport(i *importRecord, t *table, err error) error {
	done := *i
	done.Status, done.EndMs = statusCompleted, millis(db.now())
	switch {
	case err != nil:
		done.Status, done.Failure = statusFailed, failureOf(err)
	case done.Counts.Errors > 0:
		done.Status, done.Failure = statusFailed, &exportFailure{"ItemValidationError",
			"Some of the items failed validation checks. Please check CloudWatch error logs for more details."}
	}
	if err := db.journal.imports.put(done.ID, &done); err != nil {
		return err
	}
	if t == nil {
		return nil
	}
	if done.Failure != nil && done.Failure.Code == codeNoBucket {
		return db.unfilled(t)
	}
	return db.filled(t)
}

// importer is one import at work.
type importer struct {
	db     *DB
	table  *table
	record *importRecord
	bulk   *bulk
	log    []byte
	object string // being read
	before int64  // unpacked bytes of the objects before it
}

func (in *importer) run(ctx context.Context) error {
	source := &in.record.Source
	b, err := in.db.opts.Bucket(ctx, source.Bucket)
	if err != nil {
		return fmt.Errorf("open the bucket %s: %w", source.Bucket, err)
	}
	in.record.Counts = importCounts{}
	if in.bulk, err = in.db.filler(ctx, in.table); err != nil {
		return err
	}
	err = in.readAll(ctx, b)
	err = errors.Join(err, in.bulk.end())
	if len(in.log) > 0 && ctx.Err() == nil {
		if _, logged := b.Put(ctx, intake.LogName(in.record.ID), in.log, blob.PutOptions{}); logged != nil {
			err = errors.Join(err, fmt.Errorf("write the error log: %w", logged))
		}
	}
	return err
}

func (in *importer) readAll(ctx context.Context, b blob.Bucket) error {
	options, objects := in.record.Source.options(in.table), 0
	for info, err := range intake.List(ctx, b, in.record.Source.Prefix) {
		if err != nil {
			return fmt.Errorf("list the objects: %w", err)
		}
		if objects++; objects > importObjectsMax {
			return fault.New(fault.Limit, "more than %d objects begin with the prefix", importObjectsMax)
		}
		in.object, in.before = info.Name, in.record.Counts.Bytes
		if err := intake.Read(ctx, b, info, options, in.take); err != nil {
			return err
		}
	}
	return nil
}

// take puts a piece's items into the table and notes what was wrong with others.
func (in *importer) take(p intake.Piece) error {
	counts := &in.record.Counts
	counts.Bytes = in.before + p.Bytes
	for n := range p.Batch.Rows {
		err := in.put(p.Batch.Item(n))
		var bad *apiError
		if errors.As(err, &bad) {
			in.note(p.Batch.FirstLine+int64(p.Batch.Rows[n].Line)-1, bad.Message)
		} else if err != nil {
			return err
		} else {
			counts.Imported++
		}
		counts.Processed++
	}
	for _, e := range p.Errors {
		counts.Processed++
		in.note(e.Index, e.Err.Error())
	}
	return nil
}

// put checks an item as PutItem would, and hands it on.
func (in *importer) put(it item.Item) error {
	if unnamed(it) {
		return invalid("Empty attribute name")
	}
	if err := item.Validate(it, nil); err != nil {
		return invalid("%s", words(err))
	}
	key, err := in.table.itemKey(it)
	if err != nil {
		return err
	}
	if err := in.table.checkIndexKeys(it, false); err != nil {
		return err
	}
	return in.bulk.put(key, appendNormal(make([]byte, 0, len(it.Raw())+16), it))
}

// note counts an error, and logs it in the service's form.
func (in *importer) note(index int64, message string) {
	if in.record.Counts.Errors++; in.record.Counts.Errors > importErrorsLogged {
		return
	}
	type pointer struct {
		Bucket string `json:"bucket"`
		Key    string `json:"key"`
		Index  int64  `json:"itemIndex"`
	}
	r := in.record
	line, err := json.Marshal(struct {
		Pointer  pointer  `json:"itemS3Pointer"`
		Import   string   `json:"importArn"`
		Messages []string `json:"errorMessages"`
	}{pointer{r.Source.Bucket, in.object, index}, arnIn(r.Region, r.Table, "import", r.ID), []string{message}})
	fault.Check(err == nil, "a line of text is JSON")
	in.log = append(append(in.log, line...), '\n')
}
