package aws

import (
	"context"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	firehosetypes "github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"dynaferry/internal/outlet"
)

// Limits implements outlet.Client: those of PutRecords (API PutRecords), of which the record's is what every stream takes.
func (k *Kinesis) Limits() outlet.Limits {
	return outlet.Limits{Records: 500, Bytes: 5 << 20, Record: 1 << 20, Keys: true}
}

var _ outlet.Client = (*Kinesis)(nil)

// Put implements outlet.Client by PutRecords.
func (k *Kinesis) Put(ctx context.Context, stream string, records []outlet.Record) ([]outlet.Refusal, error) {
	in := &kinesis.PutRecordsInput{Records: make([]types.PutRecordsRequestEntry, len(records))}
	in.StreamARN, in.StreamName = named(stream)
	for i := range records {
		in.Records[i] = types.PutRecordsRequestEntry{Data: records[i].Data, PartitionKey: &records[i].Key}
	}
	out, err := k.sdk.PutRecords(ctx, in)
	if err != nil {
		return nil, feedError(ctx, "kinesis stream "+stream, "aws kinesis list-streams --region "+k.region, err)
	}
	if sdk.ToInt32(out.FailedRecordCount) == 0 {
		return nil, nil
	}
	refusals := make([]outlet.Refusal, len(records))
	for i, r := range out.Records[:min(len(out.Records), len(records))] {
		refusals[i] = outlet.Refusal{Code: sdk.ToString(r.ErrorCode), Message: sdk.ToString(r.ErrorMessage)}
	}
	return refusals, nil
}

// Firehose puts records into the Data Firehose streams of an account. It may be used concurrently.
type Firehose struct {
	sdk    *firehose.Client
	region string
}

var _ outlet.Client = (*Firehose)(nil)

// Firehose opens the Firehose streams of the session's account, Region and endpoint. It makes no request.
func (s *Session) Firehose() (*Firehose, error) {
	cfg, err := s.service("firehose", firehose.NewFromConfig(s.config).Options().BaseEndpoint)
	if err != nil {
		return nil, err
	}
	client := firehose.NewFromConfig(cfg, func(o *firehose.Options) {
		o.BaseEndpoint = cfg.BaseEndpoint
		o.Retryer = sdk.NopRetryer{}
	})
	return &Firehose{sdk: client, region: cfg.Region}, nil
}

// Limits implements outlet.Client (API PutRecordBatch).
func (f *Firehose) Limits() outlet.Limits {
	return outlet.Limits{Records: 500, Bytes: 4 << 20, Record: 1000 << 10}
}

// Put implements outlet.Client by PutRecordBatch.
func (f *Firehose) Put(ctx context.Context, stream string, records []outlet.Record) ([]outlet.Refusal, error) {
	in := &firehose.PutRecordBatchInput{DeliveryStreamName: &stream, Records: make([]firehosetypes.Record, len(records))}
	for i := range records {
		in.Records[i].Data = records[i].Data
	}
	out, err := f.sdk.PutRecordBatch(ctx, in)
	if err != nil {
		return nil, feedError(ctx, "firehose stream "+stream, "aws firehose list-delivery-streams --region "+f.region, err)
	}
	if sdk.ToInt32(out.FailedPutCount) == 0 {
		return nil, nil
	}
	refusals := make([]outlet.Refusal, len(records))
	for i, r := range out.RequestResponses[:min(len(out.RequestResponses), len(records))] {
		refusals[i] = outlet.Refusal{Code: sdk.ToString(r.ErrorCode), Message: sdk.ToString(r.ErrorMessage)}
	}
	return refusals, nil
}
