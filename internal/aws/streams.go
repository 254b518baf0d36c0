package aws

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// Streams is a feed.Client of DynamoDB Streams. Replies are taken before the SDK decodes them, as DynamoDB's are. It may be
// used concurrently.
type Streams struct {
	sdk    *dynamodbstreams.Client
	creds  sdk.CredentialsProvider
	region string
	// whole: the endpoint does not know ShardFilter, and children are picked from the whole list.
	whole atomic.Bool
}

var _ feed.Client = (*Streams)(nil)

// Streams opens the streams of the session's account, Region and endpoint. An endpoint that is named for DynamoDB alone is
// the streams' too: those of its tables are nowhere else. It makes no request.
func (s *Session) Streams() (*Streams, error) {
	found := dynamodbstreams.NewFromConfig(s.config).Options().BaseEndpoint
	if found == nil {
		found = dynamodb.NewFromConfig(s.config).Options().BaseEndpoint
	}
	cfg, err := s.service("dynamodb streams", found)
	if err != nil {
		return nil, err
	}
	client := dynamodbstreams.NewFromConfig(cfg, func(o *dynamodbstreams.Options) {
		o.BaseEndpoint = cfg.BaseEndpoint
		o.Retryer = sdk.NopRetryer{}
	})
	return &Streams{sdk: client, creds: cfg.Credentials, region: cfg.Region}, nil
}

// WholeLists tells that the endpoint has refused ShardFilter or passed over it, so that asking for children costs as many
// calls as listing all shards.
func (s *Streams) WholeLists() bool { return s.whole.Load() }

func (s *Streams) call(ctx context.Context, x *exchange, what string, operation func(func(*dynamodbstreams.Options)) error) error {
	err := x.carry(s.creds, func() error {
		return operation(func(o *dynamodbstreams.Options) { o.APIOptions = x.with(o.APIOptions) })
	})
	if err != nil {
		return feedError(ctx, what, "aws dynamodbstreams list-streams --region "+s.region, err)
	}
	return nil
}

type streamReply struct {
	StreamDescription struct {
		StreamArn, StreamStatus, TableName string
		StreamViewType                     feed.View
		KeySchema                          []struct{ AttributeName, KeyType string }
		Shards                             []shardReply
		LastEvaluatedShardId               string
	}
	date time.Time // of the reply, by the service's clock
}

func (s *Streams) describe(ctx context.Context, in *dynamodbstreams.DescribeStreamInput) (*streamReply, error) {
	x, out := &exchange{}, &streamReply{}
	err := s.call(ctx, x, "stream "+*in.StreamArn, func(options func(*dynamodbstreams.Options)) error {
		_, err := s.sdk.DescribeStream(ctx, in, options)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(x.reply, out); err != nil {
		return nil, brokenReply(err)
	}
	out.date = x.received
	return out, nil
}

// Describe implements feed.Client. The service does not tell the types of key attributes: they are 0.
func (s *Streams) Describe(ctx context.Context, stream string) (*feed.Stream, error) {
	reply, err := s.describe(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: &stream, Limit: sdk.Int32(1)})
	if err != nil {
		return nil, err
	}
	d := &reply.StreamDescription
	out := &feed.Stream{ARN: d.StreamArn, Table: d.TableName, View: d.StreamViewType,
		Open: strings.HasPrefix(d.StreamStatus, "ENABL"), Date: reply.date}
	for _, k := range d.KeySchema {
		if k.KeyType == "HASH" {
			out.Keys.Hash = item.KeyAttr{Name: k.AttributeName}
		} else {
			out.Keys.Range = item.KeyAttr{Name: k.AttributeName}
		}
	}
	return out, nil
}

// Shards implements feed.Client. Where an endpoint does not know ShardFilter the whole list is read, see WholeLists.
func (s *Streams) Shards(ctx context.Context, stream, of string) ([]feed.Shard, error) {
	if of == "" || s.whole.Load() {
		return s.list(ctx, stream, of, nil)
	}
	shards, err := s.list(ctx, stream, of, &types.ShardFilter{Type: types.ShardFilterTypeChildShards, ShardId: &of})
	if kind := fault.KindOf(err); kind == fault.User || kind == fault.Unsupported {
		// Either it does not know the filter, or not the shard: then the whole list tells.
		if shards, err = s.list(ctx, stream, of, nil); err == nil {
			s.whole.Store(true)
		}
	}
	return shards, err
}

func (s *Streams) list(ctx context.Context, stream, of string, filter *types.ShardFilter) ([]feed.Shard, error) {
	in := &dynamodbstreams.DescribeStreamInput{StreamArn: &stream, ShardFilter: filter}
	var shards []feed.Shard
	for range pagesMax {
		reply, err := s.describe(ctx, in)
		if err != nil {
			return nil, err
		}
		d := &reply.StreamDescription
		for i := range d.Shards {
			shards = append(shards, d.Shards[i].shard())
		}
		if d.LastEvaluatedShardId == "" {
			return s.sorted(shards, of, filter != nil), nil
		}
		in.ExclusiveStartShardId = &d.LastEvaluatedShardId
	}
	return nil, fault.New(fault.Unavailable, "stream %s: the list of its shards has no end", stream)
}

func (s *Streams) sorted(shards []feed.Shard, of string, filtered bool) []feed.Shard {
	if of == "" {
		return feed.SortShards(shards)
	}
	children := feed.ChildrenOf(of, shards)
	if filtered && len(children) < len(shards) {
		s.whole.Store(true) // the filter was passed over
	}
	return children
}

// sequenceDigitsMin is the fewest digits of a sequence number that the API takes; leading zeros make up for what lacks.
const sequenceDigitsMin = 21

// Iterator implements feed.Client.
func (s *Streams) Iterator(ctx context.Context, stream, shard string, after feed.Position) (string, error) {
	in := &dynamodbstreams.GetShardIteratorInput{StreamArn: &stream, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
	if !after.IsZero() {
		number := after.Seq.String()
		number = strings.Repeat("0", max(0, sequenceDigitsMin-len(number))) + number
		in.ShardIteratorType, in.SequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &number
	}
	x := &exchange{}
	err := s.call(ctx, x, "shard "+shard+" of "+stream, func(options func(*dynamodbstreams.Options)) error {
		_, err := s.sdk.GetShardIterator(ctx, in, options)
		return err
	})
	return iteratorOf(x, err)
}

func iteratorOf(x *exchange, err error) (string, error) {
	if err != nil {
		return "", err
	}
	var reply struct{ ShardIterator string }
	if err := json.Unmarshal(x.reply, &reply); err != nil {
		return "", brokenReply(err)
	}
	if reply.ShardIterator == "" {
		return "", fault.New(fault.Unavailable, "broken reply: no ShardIterator")
	}
	return reply.ShardIterator, nil
}

// streamRecordsMax is the most that GetRecords may be asked for.
const streamRecordsMax = 1000

// Read implements feed.Client.
func (s *Streams) Read(ctx context.Context, iterator string, limit int, p *feed.Page) error {
	n := int32(min(max(limit, 1), streamRecordsMax))
	return readPage(p, func(x *exchange) error {
		return s.call(ctx, x, "read a stream", func(options func(*dynamodbstreams.Options)) error {
			_, err := s.sdk.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: &iterator, Limit: &n}, options)
			return err
		})
	}, ddbjson.ParseRecords)
}
