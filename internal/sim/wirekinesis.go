package sim

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// kinesis answers what Kinesis Data Streams is asked, as the service and not as the port does: an iterator behind records that
// are trimmed begins at what is left, and one may begin at a record that was read before.
func (w *Wire) kinesis(ctx context.Context, operation string, body []byte) (said any, date time.Time, err error) {
	var in struct {
		StreamARN, ShardId, ShardIteratorType, StartingSequenceNumber, ShardIterator string
		Limit                                                                        int
		ShardFilter                                                                  struct{ ShardId string } // of type AFTER_SHARD_ID
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, date, err
	}
	service := &client{t: w.p.w.Table, p: w.p, raw: true}
	switch operation {
	case "DescribeStreamSummary":
		d, err := service.Describe(ctx, in.StreamARN)
		if err != nil {
			return nil, date, err
		}
		return map[string]any{"StreamDescriptionSummary": map[string]string{"StreamARN": d.ARN, "StreamStatus": "ACTIVE"}}, date, nil
	case "ListShards":
		after := in.ShardFilter.ShardId
		list, err := service.shards(ctx, after, func(s *shard) bool { return s.ID > after })
		return map[string]any{"Shards": shardReplies(list)}, date, err
	case "GetShardIterator":
		after, err := startOf(in.ShardIteratorType, in.StartingSequenceNumber)
		if err != nil {
			return nil, date, err
		}
		iterator, err := service.Iterator(ctx, in.StreamARN, in.ShardId, after)
		return map[string]string{"ShardIterator": iterator}, date, err
	case "GetRecords":
		var p feed.Page
		if err := service.Read(ctx, in.ShardIterator, in.Limit, &p); err != nil {
			return nil, date, err
		}
		return kinesisPage(&p), p.Date, nil
	}
	return nil, date, fault.New(fault.Unsupported, "%s", operation)
}

// startOf is the position behind which an iterator begins. Numbers are whole, so that at one is behind the one below.
func startOf(kind, number string) (feed.Position, error) {
	switch kind {
	case "TRIM_HORIZON":
		return feed.Position{}, nil
	case "AFTER_SEQUENCE_NUMBER":
		return feed.Position{Seq: feed.Number(number)}, nil
	case "AT_SEQUENCE_NUMBER":
		n, err := strconv.Atoi(number)
		return feed.Position{Seq: feed.Number(strconv.Itoa(n - 1))}, err
	}
	return feed.Position{}, fault.New(fault.Unsupported, "iterators of type %s", kind)
}

// kinesisPage is a page as GetRecords of Kinesis tells it.
func kinesisPage(p *feed.Page) any {
	type record struct {
		SequenceNumber, PartitionKey string
		Data                         []byte
		ApproximateArrivalTimestamp  json.RawMessage
	}
	type child struct {
		ShardId      string
		ParentShards []string
	}
	page := struct {
		Records            []record
		NextShardIterator  *string
		MillisBehindLatest int64
		ChildShards        []child `json:",omitempty"`
	}{Records: []record{}, MillisBehindLatest: (p.Behind + time.Millisecond - 1).Milliseconds()} // 0 is the tip alone
	for i := range p.Records {
		r := &p.Records[i]
		page.Records = append(page.Records, record{SequenceNumber: r.Seq.String(), PartitionKey: string(r.PartitionKey), Data: r.Raw,
			ApproximateArrivalTimestamp: json.RawMessage(seconds(r.Arrived / 1e3))})
	}
	if p.Next != "" {
		page.NextShardIterator = &p.Next
	}
	for _, s := range p.Children {
		page.ChildShards = append(page.ChildShards, child{s.ID, s.Parents})
	}
	return page
}
