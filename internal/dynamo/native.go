package dynamo

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Native is the power of a Client to have the service itself carry tables to S3 and back; find it with Power. Methods
// send their request once and may be called concurrently. Errors are as a Client's; what the service refuses is a
// *RefusedError with its code. Times are those of the service: whoever calls follows what is answered, as services differ
// in how long they make one wait.
type Native interface {
	// Backups tells from when to when the table can be brought back. NotFound.
	Backups(ctx context.Context, table string) (*Backups, error)

	// EnableBackups turns continuous backups on. It returns once they are on; calling it again changes nothing.
	EnableBackups(ctx context.Context, table string) error

	// StartExport begins an export. Calling it again with the same request and token gives the export begun, for 8 hours
	// after that has ended.
	StartExport(ctx context.Context, req *ExportRequest) (*Export, error)

	// DescribeExport tells how an export stands.
	DescribeExport(ctx context.Context, arn string) (*Export, error)

	// StartImport begins an import into a table that it makes. Conflict when the table is there. Calling it again with the
	// same token gives the import begun, while that runs.
	StartImport(ctx context.Context, req *ImportRequest) (*Import, error)

	// DescribeImport tells how an import stands.
	DescribeImport(ctx context.Context, arn string) (*Import, error)

	// ImportErrors returns what the log of an import that has ended says, at most so many lines. Unsupported where there is
	// no such log to ask.
	ImportErrors(ctx context.Context, i *Import, most int) ([]string, error)

	// ImportBytesMax is how many stored bytes one import takes in the Region of this client.
	ImportBytesMax() int64
}

// Backups are a table's continuous backups.
type Backups struct {
	Enabled  bool
	Earliest time.Time // zero while the service does not tell
	Latest   time.Time
	Days     int // how long they are kept; 0 where the service does not tell
}

// The states of exports and imports.
const (
	InProgress = "IN_PROGRESS"
	Completed  = "COMPLETED"
	Failed     = "FAILED"
	Cancelling = "CANCELLING" // of imports
	Cancelled  = "CANCELLED"
)

// ExportRequest asks for the items of a table at a time, or for what changed in a window.
type ExportRequest struct {
	TableARN       string
	Bucket, Prefix string
	BucketOwner    string // account of the bucket; "" is the caller's
	KMSKey         string // "" lets S3 encrypt
	Format         string // DYNAMODB_JSON or ION
	Token          string

	At       time.Time // of a full export; zero is the service's now
	From, To time.Time // of an incremental one, which From makes it
	View     string    // NEW_IMAGE or NEW_AND_OLD_IMAGES
}

// Incremental tells whether changes are asked for.
func (r *ExportRequest) Incremental() bool { return !r.From.IsZero() }

// Export is how an export stands.
type Export struct {
	ARN, Status    string
	Manifest       string // name of manifest-summary.json in the bucket, once it is complete
	At             time.Time
	From, To       time.Time
	Items          int64
	BilledBytes    int64
	FailureCode    string
	FailureMessage string
}

// ImportRequest asks for a new table with the items of all objects below a prefix.
type ImportRequest struct {
	Bucket, Prefix string
	BucketOwner    string
	Format         string // DYNAMODB_JSON, ION or CSV
	Compression    string // NONE, GZIP or ZSTD
	Delimiter      string // of CSV; "" is the comma
	Header         []string
	Table          Definition
	Token          string
}

// Import is how an import stands. Its counts are 0 until it has ended.
type Import struct {
	ARN, Status, TableARN, TableID string
	Processed, Imported, Errors    int64
	ProcessedBytes                 int64
	LogGroup                       string // ARN of the log group that errors are told in
	FailureCode                    string
	FailureMessage                 string
}

// RefusedError is the service's refusal of an export, an import, a restore or continuous backups.
type RefusedError struct{ Code, Message string }

// The codes that jobs tell apart.
const (
	CodeNoBackups          = "PointInTimeRecoveryUnavailableException"
	CodeBackupsNotYet      = "ContinuousBackupsUnavailableException"
	CodeInvalidExportTime  = "InvalidExportTimeException"
	CodeInvalidRestoreTime = "InvalidRestoreTimeException"
	CodeExportConflict     = "ExportConflictException"
	CodeImportConflict     = "ImportConflictException"
	CodeLimitExceeded      = "LimitExceededException"
)

// Error is the code and the service's words.
func (e *RefusedError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// RefusedCode is the code of the *RefusedError in err, "" when there is none.
func RefusedCode(err error) string {
	var e *RefusedError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// Power finds an optional power of a client through decorators, which have Unwrap() Client. A decorator that must see the
// power's calls implements the power itself.
func Power[P any](c Client) (P, bool) {
	for c != nil {
		if p, ok := c.(P); ok {
			return p, true
		}
		u, ok := c.(interface{ Unwrap() Client })
		if !ok {
			break
		}
		c = u.Unwrap()
	}
	var none P
	return none, false
}

// Patient asks a Native again for a while when an answer is lost, broken or a throttle. StartExport and StartImport have
// tokens, so that doing it again does nothing twice.
type Patient struct{ Native }

// Backups is Native's.
func (p Patient) Backups(ctx context.Context, table string) (b *Backups, err error) {
	err = patiently(ctx, func(ctx context.Context) error {
		b, err = p.Native.Backups(ctx, table)
		return err
	})
	return b, err
}

// EnableBackups is Native's. A service that has only just made the table says for a while that it cannot yet.
func (p Patient) EnableBackups(ctx context.Context, table string) error {
	g := NewGovernor(GovernorOptions{RetryFor: enablePatience, TryTimeout: enablePatience})
	return g.Do(ctx, 1, func(ctx context.Context) (float64, error) { return 0, p.Native.EnableBackups(ctx, table) })
}

// enablePatience is how long continuous backups of a new table may be unavailable.
const enablePatience = 5 * time.Minute

// StartExport is Native's.
func (p Patient) StartExport(ctx context.Context, req *ExportRequest) (e *Export, err error) {
	err = patiently(ctx, func(ctx context.Context) error {
		e, err = p.Native.StartExport(ctx, req)
		return err
	})
	return e, err
}

// DescribeExport is Native's.
func (p Patient) DescribeExport(ctx context.Context, arn string) (e *Export, err error) {
	err = patiently(ctx, func(ctx context.Context) error {
		e, err = p.Native.DescribeExport(ctx, arn)
		return err
	})
	return e, err
}

// StartImport is Native's.
func (p Patient) StartImport(ctx context.Context, req *ImportRequest) (i *Import, err error) {
	err = patiently(ctx, func(ctx context.Context) error {
		i, err = p.Native.StartImport(ctx, req)
		return err
	})
	return i, err
}

// DescribeImport is Native's.
func (p Patient) DescribeImport(ctx context.Context, arn string) (i *Import, err error) {
	err = patiently(ctx, func(ctx context.Context) error {
		i, err = p.Native.DescribeImport(ctx, arn)
		return err
	})
	return i, err
}
