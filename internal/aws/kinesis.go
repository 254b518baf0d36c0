package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// Kinesis is a feed.Client of Kinesis Data Streams. Replies are taken before the SDK decodes them. It may be used
// concurrently.
type Kinesis struct {
	sdk    *kinesis.Client
	creds  sdk.CredentialsProvider
	region string
}

var _ feed.Client = (*Kinesis)(nil)

// Kinesis opens the Kinesis streams of the session's account, Region and endpoint. It makes no request.
func (s *Session) Kinesis() (*Kinesis, error) {
	cfg, err := s.service("kinesis", kinesis.NewFromConfig(s.config).Options().BaseEndpoint)
	if err != nil {
		return nil, err
	}
	client := kinesis.NewFromConfig(cfg, func(o *kinesis.Options) {
		o.BaseEndpoint = cfg.BaseEndpoint
		o.Retryer = sdk.NopRetryer{}
	})
	return &Kinesis{sdk: client, creds: cfg.Credentials, region: cfg.Region}, nil
}

func (k *Kinesis) call(ctx context.Context, x *exchange, what string, operation func(func(*kinesis.Options)) error) error {
	err := x.carry(k.creds, func() error {
		return operation(func(o *kinesis.Options) { o.APIOptions = x.with(o.APIOptions) })
	})
	if err != nil {
		return feedError(ctx, what, "aws kinesis list-streams --region "+k.region, err)
	}
	return nil
}

// named gives a stream to a request: by its name, and by its ARN where that is known. Requests take both (API, "you must use either
// the StreamARN or the StreamName parameter, or both"), and moto's iterators are of the name alone.
func named(stream string) (arn, name *string) {
	if strings.HasPrefix(stream, "arn:") {
		_, short, ok := strings.Cut(stream, ":stream/")
		if !ok {
			return &stream, nil
		}
		return &stream, &short
	}
	return nil, &stream
}

// Describe implements feed.Client.
func (k *Kinesis) Describe(ctx context.Context, stream string) (*feed.Stream, error) {
	in := &kinesis.DescribeStreamSummaryInput{}
	in.StreamARN, in.StreamName = named(stream)
	x := &exchange{}
	err := k.call(ctx, x, "kinesis stream "+stream, func(options func(*kinesis.Options)) error {
		_, err := k.sdk.DescribeStreamSummary(ctx, in, options)
		return err
	})
	if err != nil {
		return nil, err
	}
	var reply struct {
		StreamDescriptionSummary struct{ StreamARN, StreamStatus string }
	}
	if err := json.Unmarshal(x.reply, &reply); err != nil {
		return nil, brokenReply(err)
	}
	d := &reply.StreamDescriptionSummary
	return &feed.Stream{ARN: d.StreamARN, Kinesis: true, View: feed.BothImages,
		Open: d.StreamStatus == "ACTIVE" || d.StreamStatus == "UPDATING", Date: x.received}, nil
}

// Shards implements feed.Client. Children have higher numbers than their parents, so that AFTER_SHARD_ID spares the lower ones.
func (k *Kinesis) Shards(ctx context.Context, stream, of string) ([]feed.Shard, error) {
	if of == "" {
		shards, err := k.list(ctx, stream, nil)
		return feed.SortShards(shards), err
	}
	shards, err := k.list(ctx, stream, &types.ShardFilter{Type: types.ShardFilterTypeAfterShardId, ShardId: &of})
	if kind := fault.KindOf(err); kind == fault.User || kind == fault.Unsupported {
		shards, err = k.list(ctx, stream, nil) // it does not know the filter, or not the shard
	}
	return feed.ChildrenOf(of, shards), err
}

func (k *Kinesis) list(ctx context.Context, stream string, filter *types.ShardFilter) ([]feed.Shard, error) {
	in := &kinesis.ListShardsInput{ShardFilter: filter}
	in.StreamARN, in.StreamName = named(stream)
	var shards []feed.Shard
	for range pagesMax {
		x := &exchange{}
		err := k.call(ctx, x, "kinesis stream "+stream, func(options func(*kinesis.Options)) error {
			_, err := k.sdk.ListShards(ctx, in, options)
			return err
		})
		if err != nil {
			return nil, err
		}
		var reply struct {
			Shards    []shardReply
			NextToken string
		}
		if err := json.Unmarshal(x.reply, &reply); err != nil {
			return nil, brokenReply(err)
		}
		for i := range reply.Shards {
			shards = append(shards, reply.Shards[i].shard())
		}
		if reply.NextToken == "" {
			return shards, nil
		}
		in = &kinesis.ListShardsInput{NextToken: &reply.NextToken} // which stands for all the rest
	}
	return nil, fault.New(fault.Unavailable, "kinesis stream %s: the list of its shards has no end", stream)
}

// Iterator implements feed.Client. Kinesis goes on at its oldest record, and does not say so, when the one asked for is
// no longer kept. So the record at the position is read again: when something else stands there, or nothing, it is
// ErrTrimmed. Of a shard that has rested longer than it keeps records that may be too much; who saw its tip since knows.
func (k *Kinesis) Iterator(ctx context.Context, stream, shard string, after feed.Position) (string, error) {
	if after.IsZero() {
		return k.iterator(ctx, stream, shard, types.ShardIteratorTypeTrimHorizon, nil)
	}
	number := after.Seq.String()
	at, err := k.iterator(ctx, stream, shard, types.ShardIteratorTypeAtSequenceNumber, &number)
	if err != nil {
		return "", err
	}
	behind, err := k.confirm(ctx, at, after.Seq)
	switch {
	case err != nil:
		return "", fmt.Errorf("shard %s of %s at %s: %w", shard, stream, after, err)
	case after.Sub > 0:
		return at, nil
	case behind != "":
		return behind, nil
	}
	return k.iterator(ctx, stream, shard, types.ShardIteratorTypeAfterSequenceNumber, &number) // for the last page, with the children
}

// emptyPagesMax is how many empty pages may stand in front of a record that is there.
const emptyPagesMax = 20

// confirm reads the first record and returns the iterator behind it. ErrTrimmed when its number is another.
func (k *Kinesis) confirm(ctx context.Context, iterator string, want feed.Number) (string, error) {
	var p feed.Page
	for range emptyPagesMax {
		if err := k.Read(ctx, iterator, 1, &p); err != nil {
			return "", err
		}
		if len(p.Records) > 0 {
			if p.Records[0].Seq != want {
				return "", feed.ErrTrimmed
			}
			return p.Next, nil
		}
		if p.Next == "" || p.Behind == 0 {
			return "", feed.ErrTrimmed
		}
		iterator = p.Next
	}
	return "", fault.New(fault.Unavailable, "the shard gives empty pages only")
}

func (k *Kinesis) iterator(ctx context.Context, stream, shard string, kind types.ShardIteratorType, number *string) (string, error) {
	in := &kinesis.GetShardIteratorInput{ShardId: &shard, ShardIteratorType: kind, StartingSequenceNumber: number}
	in.StreamARN, in.StreamName = named(stream)
	x := &exchange{}
	err := k.call(ctx, x, "shard "+shard+" of kinesis stream "+stream, func(options func(*kinesis.Options)) error {
		_, err := k.sdk.GetShardIterator(ctx, in, options)
		return err
	})
	return iteratorOf(x, err)
}

// kinesisRecordsMax is the most that GetRecords may be asked for.
const kinesisRecordsMax = 10_000

// Read implements feed.Client.
func (k *Kinesis) Read(ctx context.Context, iterator string, limit int, p *feed.Page) error {
	n := int32(min(max(limit, 1), kinesisRecordsMax))
	return readPage(p, func(x *exchange) error {
		return k.call(ctx, x, "read a kinesis stream", func(options func(*kinesis.Options)) error {
			_, err := k.sdk.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: &iterator, Limit: &n}, options)
			return err
		})
	}, ddbjson.ParseShardRecords)
}
