package aws

import (
	"context"
	"encoding/json"
	"math"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
)

var _ dynamo.Native = (*DynamoDB)(nil)

// moment is a time as the service's JSON has it: seconds since 1970, with fractions where a service knows them.
type moment float64

func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(math.Round(float64(m) * 1000))).UTC()
}

// ask makes one call of the native operations and reads the member of its reply.
func (d *DynamoDB) ask(ctx context.Context, what, member string, into any,
	operation func(ctx context.Context, options func(*dynamodb.Options)) error) error {
	x := &exchange{}
	if err := d.call(ctx, x, what, operation); err != nil {
		return err
	}
	var reply map[string]json.RawMessage
	if err := json.Unmarshal(x.reply, &reply); err != nil {
		return brokenReply(err)
	}
	if err := json.Unmarshal(reply[member], into); err != nil {
		return brokenReply(err)
	}
	return nil
}

// Backups implements dynamo.Native.
func (d *DynamoDB) Backups(ctx context.Context, table string) (*dynamo.Backups, error) {
	var reply backups
	err := d.ask(ctx, table, "ContinuousBackupsDescription", &reply,
		func(ctx context.Context, options func(*dynamodb.Options)) error {
			_, err := d.sdk.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &table}, options)
			return err
		})
	if err != nil {
		return nil, err
	}
	return reply.port(), nil
}

type backups struct {
	PointInTimeRecoveryDescription struct {
		PointInTimeRecoveryStatus                            string
		RecoveryPeriodInDays                                 int
		EarliestRestorableDateTime, LatestRestorableDateTime moment
	}
}

func (b *backups) port() *dynamo.Backups {
	p := b.PointInTimeRecoveryDescription
	return &dynamo.Backups{Enabled: p.PointInTimeRecoveryStatus == string(types.PointInTimeRecoveryStatusEnabled), Days: p.RecoveryPeriodInDays,
		Earliest: p.EarliestRestorableDateTime.time(), Latest: p.LatestRestorableDateTime.time()}
}

// EnableBackups implements dynamo.Native.
func (d *DynamoDB) EnableBackups(ctx context.Context, table string) error {
	return d.turnBackupsOn(ctx, table, 0)
}

// turnBackupsOn turns continuous backups on and has them kept for so many days; 0 leaves that to the service.
func (d *DynamoDB) turnBackupsOn(ctx context.Context, table string, days int) error {
	in := &dynamodb.UpdateContinuousBackupsInput{TableName: &table,
		PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: sdk.Bool(true)}}
	if days > 0 {
		in.PointInTimeRecoverySpecification.RecoveryPeriodInDays = sdk.Int32(int32(days))
	}
	var reply backups
	err := d.ask(ctx, table, "ContinuousBackupsDescription", &reply,
		func(ctx context.Context, options func(*dynamodb.Options)) error {
			_, err := d.sdk.UpdateContinuousBackups(ctx, in, options)
			return err
		})
	if err != nil {
		return err
	}
	deadline := time.Now().Add(pollFor)
	for on, wait := reply.port(), pollFirst; !on.Enabled; wait = min(2*wait, pollMost) {
		if time.Now().After(deadline) {
			return fault.New(fault.Unavailable, "table %s: continuous backups are not on after %s", table, pollFor)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		if on, err = d.Backups(ctx, table); err != nil {
			return err
		}
	}
	return nil
}

// export is the service's ExportDescription, as far as jobs use it.
type export struct {
	ExportArn, ExportStatus, ExportManifest string
	ExportTime                              moment
	IncrementalExportSpecification          struct{ ExportFromTime, ExportToTime moment }
	ItemCount, BilledSizeBytes              int64
	FailureCode, FailureMessage             string
}

func (e *export) port() *dynamo.Export {
	return &dynamo.Export{ARN: e.ExportArn, Status: e.ExportStatus, Manifest: e.ExportManifest, At: e.ExportTime.time(),
		From: e.IncrementalExportSpecification.ExportFromTime.time(), To: e.IncrementalExportSpecification.ExportToTime.time(),
		Items: e.ItemCount, BilledBytes: e.BilledSizeBytes, FailureCode: e.FailureCode, FailureMessage: e.FailureMessage}
}

// StartExport implements dynamo.Native.
func (d *DynamoDB) StartExport(ctx context.Context, req *dynamo.ExportRequest) (*dynamo.Export, error) {
	in := &dynamodb.ExportTableToPointInTimeInput{TableArn: &req.TableARN, S3Bucket: &req.Bucket, S3Prefix: given(req.Prefix),
		S3BucketOwner: given(req.BucketOwner), ExportFormat: types.ExportFormat(req.Format), ClientToken: given(req.Token)}
	if req.KMSKey != "" {
		in.S3SseAlgorithm, in.S3SseKmsKeyId = types.S3SseAlgorithmKms, &req.KMSKey
	}
	if req.Incremental() {
		in.ExportType = types.ExportTypeIncrementalExport
		in.IncrementalExportSpecification = &types.IncrementalExportSpecification{ExportFromTime: &req.From, ExportToTime: &req.To,
			ExportViewType: types.ExportViewType(req.View)}
	} else if !req.At.IsZero() {
		in.ExportTime = &req.At
	}
	var reply export
	err := d.ask(ctx, req.TableARN, "ExportDescription", &reply,
		func(ctx context.Context, options func(*dynamodb.Options)) error {
			_, err := d.sdk.ExportTableToPointInTime(ctx, in, options)
			return err
		})
	return reply.port(), err
}

// DescribeExport implements dynamo.Native.
func (d *DynamoDB) DescribeExport(ctx context.Context, arn string) (*dynamo.Export, error) {
	var reply export
	err := d.ask(ctx, arn, "ExportDescription", &reply, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.DescribeExport(ctx, &dynamodb.DescribeExportInput{ExportArn: &arn}, options)
		return err
	})
	return reply.port(), err
}

// importing is the service's ImportTableDescription, as far as jobs use it.
type importing struct {
	ImportArn, ImportStatus, TableArn, TableID         string
	ProcessedItemCount, ImportedItemCount              int64
	ErrorCount, ProcessedSizeBytes                     int64
	CloudWatchLogGroupArn, FailureCode, FailureMessage string
}

func (i *importing) port() *dynamo.Import {
	return &dynamo.Import{ARN: i.ImportArn, Status: i.ImportStatus, TableARN: i.TableArn, TableID: i.TableID,
		Processed: i.ProcessedItemCount, Imported: i.ImportedItemCount, Errors: i.ErrorCount, ProcessedBytes: i.ProcessedSizeBytes,
		LogGroup: i.CloudWatchLogGroupArn, FailureCode: i.FailureCode, FailureMessage: i.FailureMessage}
}

// StartImport implements dynamo.Native.
func (d *DynamoDB) StartImport(ctx context.Context, req *dynamo.ImportRequest) (*dynamo.Import, error) {
	if err := req.Table.Keys.Check(); err != nil {
		return nil, err
	}
	table := createInput(&req.Table)
	in := &dynamodb.ImportTableInput{ClientToken: given(req.Token), InputFormat: types.InputFormat(req.Format),
		InputCompressionType: types.InputCompressionType(req.Compression),
		S3BucketSource:       &types.S3BucketSource{S3Bucket: &req.Bucket, S3KeyPrefix: given(req.Prefix), S3BucketOwner: given(req.BucketOwner)},
		TableCreationParameters: &types.TableCreationParameters{TableName: &req.Table.Name, KeySchema: table.KeySchema,
			AttributeDefinitions: table.AttributeDefinitions, BillingMode: table.BillingMode, ProvisionedThroughput: table.ProvisionedThroughput}}
	if req.Format == string(types.InputFormatCsv) && (req.Delimiter != "" || len(req.Header) > 0) {
		in.InputFormatOptions = &types.InputFormatOptions{Csv: &types.CsvOptions{Delimiter: given(req.Delimiter), HeaderList: req.Header}}
	}
	var reply importing
	err := d.ask(ctx, req.Table.Name, "ImportTableDescription", &reply,
		func(ctx context.Context, options func(*dynamodb.Options)) error {
			_, err := d.sdk.ImportTable(ctx, in, options)
			return err
		})
	return reply.port(), err
}

// DescribeImport implements dynamo.Native.
func (d *DynamoDB) DescribeImport(ctx context.Context, arn string) (*dynamo.Import, error) {
	var reply importing
	err := d.ask(ctx, arn, "ImportTableDescription", &reply, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.DescribeImport(ctx, &dynamodb.DescribeImportInput{ImportArn: &arn}, options)
		return err
	})
	return reply.port(), err
}

// ImportBytesMax implements dynamo.Native (Developer Guide, "Service quotas", imports from Amazon S3).
func (d *DynamoDB) ImportBytesMax() int64 {
	switch d.region {
	case "us-east-1", "us-west-2", "eu-west-1":
		return 15 << 40
	}
	return 1 << 40
}

// given is a parameter that is left out when it is "".
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
