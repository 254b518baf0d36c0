package local

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"dynaferry/internal/codec/compress"
	"dynaferry/internal/codec/csv"
	"dynaferry/internal/local/intake"
)

// The bounds of imports (Developer Guide, Service quotas; API reference).
const (
	importsAtOnce    = 50
	importObjectsMax = 50_000
	importsListed    = 25
	csvHeadersMax    = 255
	csvDelimiters    = ",\t:;| "
)

// importRecord is one import: the request, where it stands, and what it came to.
type importRecord struct {
	ID      string         `json:"id"`
	Region  string         `json:"region"`
	Table   string         `json:"table"`
	TableID string         `json:"tableId"`
	Source  importSource   `json:"source"`
	Params  string         `json:"params"` // TableCreationParameters as they came
	Token   string         `json:"token"`
	Status  string         `json:"status"`
	StartMs int64          `json:"startMs"`
	EndMs   int64          `json:"endMs,omitempty"`
	Failure *exportFailure `json:"failure,omitempty"`
	Counts  importCounts   `json:"counts"`
}

// importSource is what is read, and how.
type importSource struct {
	Bucket      string        `json:"bucket"`
	Owner       string        `json:"owner,omitempty"`
	Prefix      string        `json:"prefix,omitempty"`
	Format      intake.Format `json:"format"`
	Compression string        `json:"compression"`
	Delimiter   string        `json:"delimiter,omitempty"`
	Header      []string      `json:"header,omitempty"`
	CSV         bool          `json:"csv,omitempty"` // InputFormatOptions were given
}

type importCounts struct {
	Bytes     int64 `json:"bytes"`
	Processed int64 `json:"processed"`
	Imported  int64 `json:"imported"`
	Errors    int64 `json:"errors"`
}

// options are the source's for reading into a table.
func (s *importSource) options(t *table) intake.Options {
	o := intake.Options{Format: s.Format, Compression: compress.Codec(strings.ToLower(s.Compression)), Header: s.Header}
	if s.Delimiter != "" {
		o.Delimiter = s.Delimiter[0]
	}
	o.Types = map[string]csv.Spec{}
	for _, attr := range t.def.attributes() { // of indexes too
		o.Types[attr.AttributeName] = csv.Spec(attr.AttributeType)
	}
	return o
}

func (c *call) readImportSource() (s importSource, err error) {
	v := &constraints{}
	from, present, err := c.args.object("S3BucketSource", classStructure)
	if err != nil {
		return s, err
	}
	if !present {
		v.notNull("s3BucketSource")
	}
	for _, m := range []struct {
		name, at string
		to       *string
		low, top int
	}{
		{"S3Bucket", "s3BucketSource.s3Bucket", &s.Bucket, 1, 255},
		{"S3BucketOwner", "s3BucketSource.s3BucketOwner", &s.Owner, 12, 12},
		{"S3KeyPrefix", "s3BucketSource.s3KeyPrefix", &s.Prefix, 0, 1024},
	} {
		text, has, err := from.text(m.name)
		if err != nil {
			return s, err
		}
		if has {
			v.length(text, m.at, m.low, m.top)
			*m.to = text
		} else if present && m.name == "S3Bucket" {
			v.notNull(m.at)
		}
	}
	format, present, err := c.args.text("InputFormat")
	if err != nil {
		return s, err
	}
	if present {
		enumerated(v, format, "inputFormat", string(intake.JSON), string(intake.Ion), string(intake.CSV))
	} else {
		v.notNull("inputFormat")
	}
	s.Format, s.Compression = intake.Format(format), "NONE"
	packed, present, err := c.args.text("InputCompressionType")
	if err != nil {
		return s, err
	}
	if present {
		enumerated(v, packed, "inputCompressionType", "GZIP", "ZSTD", "NONE")
		s.Compression = packed
	}
	if err := c.readCSV(v, &s); err != nil {
		return s, err
	}
	return s, v.err()
}

// readCSV reads InputFormatOptions, which only CSV has.
func (c *call) readCSV(v *constraints, s *importSource) error {
	options, present, err := c.args.object("InputFormatOptions", classStructure)
	if err != nil || !present {
		return err
	}
	of, present, err := options.object("Csv", classStructure)
	if err != nil || !present {
		return err
	}
	if s.Format != intake.CSV {
		return invalid("InputFormatOptions.Csv can only be specified when InputFormat is CSV")
	}
	s.CSV = true
	const at = "inputFormatOptions.csv."
	if s.Delimiter, present, err = of.text("Delimiter"); err != nil {
		return err
	}
	if present && (len(s.Delimiter) != 1 || !strings.Contains(csvDelimiters, s.Delimiter)) {
		v.add("'"+s.Delimiter+"'", at+"delimiter", `Member must satisfy regular expression pattern: [,;:|\t ]`)
	}
	list, _, err := of.list("HeaderList")
	if err != nil {
		return err
	}
	if len(list) > csvHeadersMax {
		v.add("'[...]'", at+"headerList", fmt.Sprintf("Member must have length less than or equal to %d", csvHeadersMax))
	}
	for _, raw := range list {
		name, err := text(raw)
		if err != nil {
			return err
		}
		s.Header = append(s.Header, name)
	}
	return nil
}

// notOfImports are parameters of CreateTable that TableCreationParameters do not have.
var notOfImports = []string{"LocalSecondaryIndexes", "StreamSpecification", "Tags", "TableClass", "DeletionProtectionEnabled",
	"ResourcePolicy", "WarmThroughput"}

// readImportTable reads TableCreationParameters as CreateTable would, into a definition.
func (c *call) readImportTable() (def *definition, raw string, err error) {
	whole := c.args.get("TableCreationParameters")
	if whole == nil {
		v := constraints{}
		v.notNull("tableCreationParameters")
		return nil, "", v.err()
	}
	params, err := object(whole, classStructure)
	if err != nil {
		return nil, "", err
	}
	for _, name := range notOfImports {
		if params.get(name) != nil {
			return nil, "", refused("%s in TableCreationParameters, as the service does not", name)
		}
	}
	asked := c.args
	c.args = params
	defer func() { c.args = asked }()
	name, err := c.createName()
	def = &definition{Version: definitionVersion, Name: name, ID: uuid(), Billing: billingProvisioned}
	if err == nil {
		err = c.readCreate(def)
	}
	var e *apiError
	if errors.As(err, &e) { // the same complaints, one level deeper
		e.Message = strings.ReplaceAll(e.Message, " at '", " at 'tableCreationParameters.")
	}
	return def, string(whole), err
}

func (c *call) importTable() error {
	if c.db.opts.Bucket == nil {
		return refused("imports, as it was started without an S3 half")
	}
	source, err := c.readImportSource()
	if err != nil {
		return err
	}
	token, present, err := c.args.text("ClientToken")
	if err != nil {
		return err
	}
	if !present {
		token = uuid()
	}
	def, params, err := c.readImportTable()
	if err != nil {
		return err
	}
	c.db.change.Lock()
	defer c.db.change.Unlock()
	if earlier, err := c.earlierImport(token, def.Name); earlier != nil || err != nil {
		if err != nil {
			return err
		}
		return c.replyImport(earlier)
	}
	if taken, err := c.taken(def.Name); err != nil || taken {
		return cmp.Or(err, error(inUse("Table already exists: %s", def.Name)))
	}
	if c.db.importing() >= importsAtOnce {
		return failure("LimitExceededException", "There are too many concurrent imports: at most %d", importsAtOnce)
	}
	return c.beginImport(source, def, params, token)
}

// importing counts the imports that run.
func (db *DB) importing() (n int) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	for _, t := range db.fills {
		if t.def.Filling.Import != "" {
			n++
		}
	}
	return n
}

// earlierImport finds the import that runs under the request's token. Of its parameters only the table is compared, and
// one that has ended is not given again, as was measured.
func (c *call) earlierImport(token, table string) (*importRecord, error) {
	now := millis(c.db.now())
	i := c.db.journal.imports.find(func(i *importRecord) bool {
		return i.Token == token && (i.EndMs == 0 || i.EndMs+tokenLifetime.Milliseconds() > now)
	})
	switch {
	case i == nil:
		return nil, nil
	case i.Table != table:
		return nil, failure("ImportConflictException",
			"Duplicate request detected: an import with the client token %s into another table exists", token)
	case i.Status != statusInProgress:
		return nil, nil
	}
	return i, nil
}

// beginImport makes the table and begins to fill it. The caller holds db.change.
func (c *call) beginImport(source importSource, def *definition, params, token string) error {
	now := c.db.now()
	i := &importRecord{ID: taskID(now), Region: c.region, Table: def.Name, TableID: def.ID, Source: source, Params: params,
		Token: token, Status: statusInProgress, StartMs: millis(now)}
	def.CreatedMs = i.StartMs
	if !def.provisioned() {
		def.Changes.OnDemandMs = def.CreatedMs
	}
	def.Filling = &filling{Import: i.ID}
	if err := c.db.journal.imports.put(i.ID, i); err != nil {
		return err
	}
	t, err := c.db.makeFilled(c.ctx, def)
	if err != nil {
		return errors.Join(err, c.db.journal.imports.drop(i.ID))
	}
	if err := c.replyImport(i); err != nil {
		return err
	}
	c.db.runImport(i, t)
	return nil
}

// resumeImports goes on with what an earlier process had begun, from the beginning: putting an item again changes nothing.
// tables are those being filled, by the id of their import.
func (db *DB) resumeImports(tables map[string]*table) error {
	for _, id := range db.journal.imports.ids() {
		i := db.journal.imports.get(id)
		t := tables[id]
		switch {
		case i.Status == statusInProgress && t != nil && db.opts.Bucket != nil:
			db.runImport(i, t)
		case i.Status == statusInProgress:
			reason := saysNoBuckets
			if t == nil {
				reason = "dynaferry local ended before the table was made"
			}
			if err := db.endImport(i, t, errors.New(reason)); err != nil {
				return err
			}
		case t != nil: // it had ended, but its table was not shown yet
			if err := db.filled(t); err != nil {
				return err
			}
		case db.forgotten(i.StartMs):
			if err := db.journal.imports.drop(id); err != nil {
				return err
			}
		}
	}
	return nil
}

type bucketSource struct {
	S3BucketOwner string `json:",omitempty"`
	S3Bucket      string
	S3KeyPrefix   string `json:",omitempty"`
}

func (i *importRecord) bucketSource() bucketSource {
	return bucketSource{i.Source.Owner, i.Source.Bucket, i.Source.Prefix}
}

// logGroup is where the service would log; we log into an object beside the data (intake.LogName).
func (c *call) logGroup() string {
	return "arn:aws:logs:" + c.region + ":" + account + ":log-group:/aws-dynamodb/imports:*"
}

// The service's ImportTableDescription, members in its order.
type importDescription struct {
	ImportArn               string
	ImportStatus            string
	TableArn                string
	TableId                 string
	ClientToken             string
	S3BucketSource          bucketSource
	ErrorCount              int64
	CloudWatchLogGroupArn   string
	InputFormat             string
	InputFormatOptions      *formatOptions `json:",omitempty"`
	InputCompressionType    string
	TableCreationParameters json.RawMessage
	StartTime               seconds
	EndTime                 *seconds `json:",omitempty"`
	ProcessedSizeBytes      *int64   `json:",omitempty"`
	ProcessedItemCount      int64
	ImportedItemCount       int64
	FailureCode             string `json:",omitempty"`
	FailureMessage          string `json:",omitempty"`
}

type formatOptions struct {
	Csv struct {
		Delimiter  string   `json:",omitempty"`
		HeaderList []string `json:",omitempty"`
	}
}

func (c *call) replyImport(i *importRecord) error {
	d := importDescription{
		ImportArn: arnIn(c.region, i.Table, "import", i.ID), ImportStatus: i.Status, TableArn: c.arn(i.Table), TableId: i.TableID,
		ClientToken: i.Token, S3BucketSource: i.bucketSource(), ErrorCount: i.Counts.Errors, CloudWatchLogGroupArn: c.logGroup(),
		InputFormat: string(i.Source.Format), InputCompressionType: i.Source.Compression,
		TableCreationParameters: json.RawMessage(i.Params), StartTime: seconds(i.StartMs), EndTime: maybeSeconds(i.EndMs),
		ProcessedItemCount: i.Counts.Processed, ImportedItemCount: i.Counts.Imported,
	}
	if i.Source.CSV {
		d.InputFormatOptions = new(formatOptions)
		d.InputFormatOptions.Csv.Delimiter, d.InputFormatOptions.Csv.HeaderList = i.Source.Delimiter, i.Source.Header
	}
	if i.EndMs != 0 {
		d.ProcessedSizeBytes = &i.Counts.Bytes
	}
	if i.Failure != nil {
		d.FailureCode, d.FailureMessage = i.Failure.Code, i.Failure.Message
	}
	return c.replyJSON("ImportTableDescription", d)
}

func (c *call) describeImport() error {
	arn, present, err := c.args.text("ImportArn")
	if err != nil {
		return err
	}
	v := &constraints{}
	if !present {
		v.notNull("importArn")
		return v.err()
	}
	id, err := taskOf(arn, "import")
	if err != nil {
		return err
	}
	i := c.db.journal.imports.get(id)
	if i == nil || c.db.forgotten(i.StartMs) {
		return failure("ImportNotFoundException", "Import not found: %s", arn)
	}
	return c.replyImport(i)
}

func (c *call) listImports() error {
	table, limit, after, err := c.readListing("PageSize", "pageSize", importsListed)
	if err != nil {
		return err
	}
	type summary struct {
		ImportArn             string
		ImportStatus          string
		TableArn              string
		S3BucketSource        bucketSource
		CloudWatchLogGroupArn string
		InputFormat           string
		StartTime             seconds
		EndTime               *seconds `json:",omitempty"`
	}
	reply := struct {
		ImportSummaryList []summary
		NextToken         string `json:",omitempty"`
	}{ImportSummaryList: []summary{}}
	for _, id := range c.db.journal.imports.ids() {
		i := c.db.journal.imports.get(id)
		if i == nil || id <= after || table != "" && i.Table != table || c.db.forgotten(i.StartMs) {
			continue
		}
		if len(reply.ImportSummaryList) == limit {
			reply.NextToken = after
			break
		}
		after = id
		reply.ImportSummaryList = append(reply.ImportSummaryList, summary{arnIn(c.region, i.Table, "import", id), i.Status,
			c.arn(i.Table), i.bucketSource(), c.logGroup(), string(i.Source.Format), seconds(i.StartMs), maybeSeconds(i.EndMs)})
	}
	return c.replyWhole(reply)
}
