package local

import (
	"cmp"
	"strings"
)

// The service's ExportDescription, members in its order.
type exportDescription struct {
	ExportArn                      string
	ExportStatus                   string
	StartTime                      seconds
	EndTime                        *seconds `json:",omitempty"`
	ExportManifest                 string   `json:",omitempty"`
	TableArn                       string
	TableId                        string
	ExportTime                     *seconds `json:",omitempty"`
	ClientToken                    string
	S3Bucket                       string
	S3BucketOwner                  string `json:",omitempty"`
	S3Prefix                       string `json:",omitempty"`
	S3SseAlgorithm                 string
	S3SseKmsKeyId                  string `json:",omitempty"`
	FailureCode                    string `json:",omitempty"`
	FailureMessage                 string `json:",omitempty"`
	ExportFormat                   string
	BilledSizeBytes                *int64             `json:",omitempty"`
	ItemCount                      *int64             `json:",omitempty"`
	ExportType                     string             `json:",omitempty"`
	IncrementalExportSpecification *windowDescription `json:",omitempty"`
}

type windowDescription struct {
	ExportFromTime seconds
	ExportToTime   seconds
	ExportViewType string
}

// sse is the encryption that was asked for. Objects here have none; what is told is what the service would have done.
func (r *exportRequest) sse() string { return cmp.Or(r.SSE, "AES256") }

func (c *call) replyExport(e *exportRecord) error {
	r := &e.Request
	d := exportDescription{
		ExportArn: arnIn(c.region, e.Table, "export", e.ID), ExportStatus: e.Status, StartTime: seconds(e.StartMs),
		EndTime: maybeSeconds(e.EndMs), TableArn: c.arn(e.Table), TableId: e.TableID, ExportTime: maybeSeconds(r.AtMs),
		ClientToken: e.Token, S3Bucket: r.Bucket, S3BucketOwner: r.Owner, S3Prefix: r.Prefix, S3SseAlgorithm: r.sse(), S3SseKmsKeyId: r.KMSKey,
		ExportFormat: string(r.Format), ExportType: r.Type,
	}
	if r.incremental() {
		d.IncrementalExportSpecification = &windowDescription{seconds(r.FromMs), seconds(r.ToMs), r.View}
	}
	if e.Status == statusCompleted {
		d.ExportManifest, d.BilledSizeBytes, d.ItemCount = e.layout().Summary(), &e.Bytes, &e.Items
	}
	if e.Failure != nil {
		d.FailureCode, d.FailureMessage = e.Failure.Code, e.Failure.Message
	}
	return c.replyJSON("ExportDescription", d)
}

// taskOf checks an ARN of an export or import and returns its id: one of another account is somebody else's, and what is
// no such ARN is no ARN.
func taskOf(arn, kind string) (string, error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" && (parts[1] != "aws" || parts[2] != "dynamodb" || parts[4] != account) {
		return "", &apiError{400, nsCoral + "AccessDeniedException", "Access is denied", nil}
	}
	id := lastOf(arn, kind)
	if id == "" {
		return "", invalid("Invalid %s ARN", strings.ToUpper(kind[:1])+kind[1:])
	}
	return id, nil
}

func (c *call) describeExport() error {
	arn, present, err := c.args.text("ExportArn")
	if err != nil {
		return err
	}
	v := &constraints{}
	if !present {
		v.notNull("exportArn")
		return v.err()
	}
	id, err := taskOf(arn, "export")
	if err != nil {
		return err
	}
	e := c.db.journal.exports.get(id)
	if e == nil || c.db.forgotten(e.StartMs) {
		return failure("ExportNotFoundException", "Export not found: Export not found: %s", arn)
	}
	return c.replyExport(e)
}

// forgotten tells whether exports and imports begun then are not told any more.
func (db *DB) forgotten(startMs int64) bool {
	return startMs+jobsListed.Milliseconds() <= millis(db.now())
}

// readListing reads what ListExports and ListImports have in common: a table, a page size and where to go on.
func (c *call) readListing(size, at string, top int) (table string, limit int, after string, err error) {
	v := &constraints{}
	n, err := c.args.integer(size, "Integer")
	if err != nil {
		return "", 0, "", err
	}
	v.atLeast(n, at, 1)
	v.atMost(n, at, int64(top))
	if limit = top; n != nil {
		limit = int(*n)
	}
	if after, _, err = c.args.text("NextToken"); err != nil {
		return "", 0, "", err
	}
	arn, present, err := c.args.text("TableArn")
	if err != nil {
		return "", 0, "", err
	}
	if err := v.err(); err != nil {
		return "", 0, "", err
	}
	if present {
		table, err = tableOfARN(arn)
	}
	return table, limit, after, err
}

func (c *call) listExports() error {
	table, limit, after, err := c.readListing("MaxResults", "maxResults", exportsListed)
	if err != nil {
		return err
	}
	type summary struct{ ExportArn, ExportStatus, ExportType string }
	reply := struct {
		ExportSummaries []summary
		NextToken       string `json:",omitempty"`
	}{ExportSummaries: []summary{}}
	for _, id := range c.db.journal.exports.ids() {
		e := c.db.journal.exports.get(id)
		if e == nil || id <= after || table != "" && e.Table != table || c.db.forgotten(e.StartMs) {
			continue
		}
		if len(reply.ExportSummaries) == limit {
			reply.NextToken = after
			break
		}
		after = id
		kind := exportFull
		if e.Request.incremental() {
			kind = exportIncremental
		}
		reply.ExportSummaries = append(reply.ExportSummaries, summary{arnIn(c.region, e.Table, "export", id), e.Status, kind})
	}
	return c.replyWhole(reply)
}
