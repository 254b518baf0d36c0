package local

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"

	"dynaferry/internal/item"
	"dynaferry/internal/local/export"
	"dynaferry/internal/local/store"
)

// The states of exports and imports, and the types of exports.
const (
	statusInProgress = "IN_PROGRESS"
	statusCompleted  = "COMPLETED"
	statusFailed     = "FAILED"

	exportFull        = "FULL_EXPORT"
	exportIncremental = "INCREMENTAL_EXPORT"
	viewNew           = "NEW_IMAGE"
	viewNewAndOld     = "NEW_AND_OLD_IMAGES"
	exportsAtOnce     = 300 // Developer Guide, Service quotas
	exportsListed     = 25
)

// exportRecord is one export: the request, where it stands, and what it came to.
type exportRecord struct {
	ID       string         `json:"id"`
	Region   string         `json:"region"`
	Table    string         `json:"table"`
	TableID  string         `json:"tableId"`
	Source   store.TableID  `json:"source"`
	Keys     item.KeySchema `json:"keys"`
	Parts    int            `json:"parts"`
	Request  exportRequest  `json:"request"`
	Token    string         `json:"token"`
	Sum      string         `json:"sum"` // of the request, to compare those with one token
	Status   string         `json:"status"`
	StartMs  int64          `json:"startMs"`
	EndMs    int64          `json:"endMs,omitempty"`
	FromMs   int64          `json:"fromMs,omitempty"`   // of an incremental one: what the store is asked for
	BeforeMs int64          `json:"beforeMs,omitempty"` // the end of the state, or of the window
	Failure  *exportFailure `json:"failure,omitempty"`
	Items    int64          `json:"items,omitempty"`
	Bytes    int64          `json:"bytes,omitempty"`
}

type exportFailure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// exportRequest is what the caller asked for, defaults filled in but for Type, which answers tell only when it was given.
type exportRequest struct {
	Bucket string        `json:"bucket"`
	Owner  string        `json:"owner,omitempty"`
	Prefix string        `json:"prefix,omitempty"`
	SSE    string        `json:"sse,omitempty"`
	KMSKey string        `json:"kmsKey,omitempty"`
	Format export.Format `json:"format"`
	Type   string        `json:"type,omitempty"`
	AtMs   int64         `json:"atMs,omitempty"`   // ExportTime of a full export
	FromMs int64         `json:"fromMs,omitempty"` // of an incremental one
	ToMs   int64         `json:"toMs,omitempty"`
	View   string        `json:"view,omitempty"`
}

func (r *exportRequest) incremental() bool { return r.Type == exportIncremental }

func (e *exportRecord) layout() export.Layout {
	r := &e.Request
	return export.Layout{Prefix: r.Prefix, ID: e.ID, Format: r.Format, Incremental: r.incremental(), OldImages: r.View == viewNewAndOld}
}

// tableARN is the ARN of a table as a Region sees it, arnIn that of something of a table's.
func tableARN(region, table string) string {
	return "arn:aws:dynamodb:" + region + ":" + account + ":table/" + table
}

func arnIn(region, table, kind, id string) string {
	return tableARN(region, table) + "/" + kind + "/" + id
}

// asked is an export request as it came: times that were not given are nil.
type asked struct {
	exportRequest
	table        string
	token        string
	at, from, to *int64
	window       bool // IncrementalExportSpecification was given
}

func (c *call) readExport() (a asked, err error) {
	v := &constraints{}
	arn, present, err := c.args.text("TableArn")
	if err != nil {
		return a, err
	}
	if !present {
		v.notNull("tableArn")
	}
	if err := c.readExportPlace(v, &a); err != nil {
		return a, err
	}
	format, present, err := c.args.text("ExportFormat")
	if err != nil {
		return a, err
	}
	if a.Format = export.JSON; present {
		enumerated(v, format, "exportFormat", string(export.Ion), string(export.JSON))
		a.Format = export.Format(format)
	}
	if a.Type, present, err = c.args.text("ExportType"); err != nil {
		return a, err
	}
	if present {
		enumerated(v, a.Type, "exportType", exportFull, exportIncremental)
	}
	if a.at, err = c.args.moment("ExportTime"); err != nil {
		return a, err
	}
	if err := c.readExportWindow(v, &a); err != nil {
		return a, err
	}
	if err := v.err(); err != nil {
		return a, err
	}
	if a.table, err = tableOfARN(arn); err != nil && strings.HasPrefix(arn, "arn:") {
		err = invalid("Invalid Request: Table ARN is invalid.")
	} else if err != nil {
		err = invalidValue("tableArn is not a valid ARN")
	}
	return a, err
}

// enumerated is constraints.oneOf for a value that was given, the empty one included.
func enumerated(v *constraints, value, at string, set ...string) {
	if value == "" {
		v.add("''", at, "Member must satisfy enum value set: ["+strings.Join(set, ", ")+"]")
	}
	v.oneOf(value, at, set...)
}

// readExportPlace reads where the export goes, and its token.
func (c *call) readExportPlace(v *constraints, a *asked) error {
	for _, m := range []struct {
		name, at string
		to       *string
		low, top int
		required bool
	}{
		{"S3Bucket", "s3Bucket", &a.Bucket, 0, 255, true},
		{"S3BucketOwner", "s3BucketOwner", &a.Owner, 12, 12, false},
		{"S3Prefix", "s3Prefix", &a.Prefix, 0, 1024, false},
		{"S3SseAlgorithm", "s3SseAlgorithm", &a.SSE, 1, 16, false},
		{"S3SseKmsKeyId", "s3SseKmsKeyId", &a.KMSKey, 1, keyIDMax, false},
		{"ClientToken", "clientToken", &a.token, 1, 64, false},
	} {
		text, present, err := c.args.text(m.name)
		if err != nil {
			return err
		}
		if !present {
			if m.required {
				v.notNull(m.at)
			}
			continue
		}
		v.length(text, m.at, m.low, m.top)
		*m.to = text
	}
	v.oneOf(a.SSE, "s3SseAlgorithm", "AES256", "KMS")
	if strings.Trim(a.Owner, "0123456789") != "" {
		v.add("'"+a.Owner+"'", "s3BucketOwner", "Member must satisfy regular expression pattern: [0-9]{12}")
	}
	if c.args.get("S3Bucket") != nil && !bucketName.MatchString(a.Bucket) {
		v.add("'"+a.Bucket+"'", "s3Bucket", "Member must satisfy regular expression pattern: "+bucketName.String())
	}
	return nil
}

// bucketName is what the service takes for a bucket's name, and keyName for a key's.
var (
	bucketName = regexp.MustCompile(`^[a-z0-9A-Z]+[\.\-\w]*[a-z0-9A-Z]+$`)
	keyName    = regexp.MustCompile(`^[\w:/\-]+$`)
)

func (c *call) readExportWindow(v *constraints, a *asked) error {
	spec, present, err := c.args.object("IncrementalExportSpecification", classStructure)
	if err != nil || !present {
		return err
	}
	a.window = true
	if a.from, err = spec.moment("ExportFromTime"); err != nil {
		return err
	}
	if a.to, err = spec.moment("ExportToTime"); err != nil {
		return err
	}
	view, present, err := spec.text("ExportViewType")
	if err != nil {
		return err
	}
	if a.View = viewNewAndOld; present {
		enumerated(v, view, "incrementalExportSpecification.exportViewType", viewNew, viewNewAndOld)
		a.View = view
	}
	return nil
}

// sum is equal for requests that a token takes for the same.
func (a *asked) sum() string {
	at := func(ms *int64) string {
		if ms == nil {
			return "-"
		}
		return fmt.Sprint(*ms)
	}
	text := fmt.Sprintf("%q %+v %s %s %s", a.table, a.exportRequest, at(a.at), at(a.from), at(a.to))
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// together refuses parameters that do not go together.
func (a *asked) together() error {
	switch {
	case a.KMSKey != "" && a.SSE != "KMS":
		return invalid("Invalid Request: KMS Key Id is not supported for this encryption type")
	case a.KMSKey != "" && !keyName.MatchString(a.KMSKey):
		return invalid("Invalid Request: 1 validation error detected: Value '%s' at 's3SseKmsKeyId' failed to satisfy constraint: "+
			"Member must satisfy regular expression pattern: %s", a.KMSKey, keyName)
	case a.Type == "" && a.window:
		return invalid("Invalid Request: Export Type expected to be Incremental Export when incremental export specification is provided")
	case !a.incremental() && a.window:
		return invalid("Invalid Request: When Export Type is Full Export , Incremental Export Specification should not be provided")
	case !a.incremental():
		return nil
	case !a.window:
		return invalid("Invalid Request: Incremental Export Specification expected when export type is set as Incremental Export")
	case a.from == nil:
		return invalid("Invalid Request: ExportFromTime must be provided in IncrementalExportSpecification")
	case a.at != nil:
		return invalid("exportTime cannot be specified when exportType is " + exportIncremental)
	}
	return nil
}

func badExportTime(format string, args ...any) error {
	return failure("InvalidExportTimeException", format, args...)
}

const saysPeriod = "Difference between export period from time and export period to time is "

// secondText is a time as the service's complaints about windows have it.
func secondText(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// times fills in and checks the times of the request against what the table can be brought back to.
func (a *asked) times(db *DB, d *definition) error {
	w := db.window(d.PITR)
	if !a.incremental() {
		if a.at == nil {
			a.AtMs = millis(db.now())
			return nil
		}
		if a.AtMs = *a.at; !w.holds(a.AtMs) {
			return badExportTime("Export Time is invalid")
		}
		return nil
	}
	if a.FromMs, a.ToMs = *a.from, w.latest; a.to != nil {
		a.ToMs = *a.to
	}
	length := time.Duration(a.ToMs-a.FromMs) * time.Millisecond
	switch {
	case a.FromMs < d.CreatedMs-d.CreatedMs%1000: // whose second belongs to it, as that of turning on belongs to the backups
		return badExportTime("Incremental export period from time cannot be less than the table creation time : %s", secondText(a.FromMs))
	case a.ToMs > millis(db.now())+1: // the end is exclusive
		return badExportTime("Incremental export period to time cannot be greater than the current time : %s", secondText(a.ToMs))
	case db.opts.StrictTimes && length < strictWindow:
		return badExportTime(saysPeriod+"less than %d minutes", int(strictWindow.Minutes()))
	case length <= 0:
		return badExportTime(saysPeriod + "not positive")
	case length > windowMax:
		return badExportTime(saysPeriod+"greater than %d hours", int(windowMax.Hours()))
	case !w.holds(a.FromMs) || !w.holds(a.ToMs):
		return badExportTime("Export period must be within %s and %s", clockText(w.earliest), clockText(w.latest))
	}
	return nil
}

func (c *call) exportTableToPointInTime() error {
	if c.db.opts.Bucket == nil {
		return refused("exports, as it was started without an S3 half")
	}
	a, err := c.readExport()
	if err != nil {
		return err
	}
	if err := a.together(); err != nil {
		return err
	}
	c.db.change.Lock()
	defer c.db.change.Unlock()
	t, err := c.table(a.table)
	if err != nil {
		return missing(err, failure("TableNotFoundException", "Table not found: %s", c.arn(a.table)))
	}
	if earlier, err := c.earlierExport(&a); earlier != nil || err != nil {
		if err != nil {
			return err
		}
		return c.replyExport(earlier)
	}
	if t.def.PITR == nil {
		return t.noRecovery()
	}
	sum := a.sum()
	if err := a.times(c.db, t.def); err != nil {
		return err
	}
	running := 0
	for _, id := range c.db.journal.exports.ids() {
		if e := c.db.journal.exports.get(id); e.Status == statusInProgress {
			running++
		}
	}
	if running >= exportsAtOnce {
		return failure("LimitExceededException", "There are too many concurrent exports: at most %d", exportsAtOnce)
	}
	counts, err := c.db.store.Counts(t.id)
	if err != nil {
		return err
	}
	now := c.db.now()
	e := &exportRecord{ID: taskID(now), Region: c.region, Table: a.table, TableID: t.def.ID, Source: t.id, Keys: t.keys,
		Parts: partsOf(counts.Bytes), Request: a.exportRequest,
		Token: a.token, Sum: sum, Status: statusInProgress, StartMs: millis(now)}
	if e.Token == "" {
		e.Token = uuid()
	}
	if a.incremental() {
		e.FromMs, e.BeforeMs = t.def.PITR.from(a.FromMs), a.ToMs
	} else if e.BeforeMs = t.def.PITR.from(a.AtMs); a.at == nil {
		e.BeforeMs = latest(now)
	}
	if err := c.db.journal.exports.put(e.ID, e); err != nil {
		return err
	}
	if err := c.replyExport(e); err != nil {
		return err
	}
	c.db.runExport(e)
	return nil
}

// earlierExport finds the export that the request's token made.
func (c *call) earlierExport(a *asked) (*exportRecord, error) {
	if a.token == "" {
		return nil, nil
	}
	now := millis(c.db.now())
	e := c.db.journal.exports.find(func(e *exportRecord) bool {
		return e.Token == a.token && (e.EndMs == 0 || e.EndMs+tokenLifetime.Milliseconds() > now)
	})
	if e != nil && e.Sum != a.sum() {
		return nil, failure("ExportConflictException", "Export conflict: Duplicate request detected with conflicting parameters")
	}
	return e, nil
}
