package kinesis

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dynaferry/internal/local/store"
)

const (
	nameMax       = 128
	shardsMax     = 1000 // open shards of all streams together; the service's quota is between 200 and 20,000
	shardCountMax = 100_000
	onDemandStart = 4 // shards of a stream on demand

	retentionMin = 24
	retentionMax = 365 * 24

	recordKiBMin = 1024
	recordKiBMax = 10240
)

// named is how most requests name their stream.
type named struct {
	StreamName *string
	StreamARN  *string
}

// parseARN returns the stream's name in arn:aws:kinesis:region:account:stream/NAME, whatever Region and account say.
func parseARN(arn string) (string, bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "kinesis" {
		return "", false
	}
	name, ok := strings.CutPrefix(parts[5], "stream/")
	return name, ok && name != "" && !strings.Contains(name, "/")
}

// StreamOfARN returns the name of the stream that an ARN names; ok is false when it is no stream's ARN.
func StreamOfARN(arn string) (name string, ok bool) { return parseARN(arn) }

// ARN is a stream's ARN as a caller in this Region sees it: all Regions share one set of streams.
func ARN(region, name string) string {
	return "arn:aws:kinesis:" + region + ":" + account + ":stream/" + name
}

// check adds what is wrong with the naming to the violations of a request.
func (n named) check(v *checks) { v.name(n.StreamName, "streamName", nameMax) }

// asked finds the stream of a request when nothing is wrong with the naming nor with what v has judged of the rest.
func (c *call) asked(v *checks, n named) (*stream, error) {
	n.check(v)
	if err := v.err(); err != nil {
		return nil, err
	}
	return c.stream(n)
}

// stream finds the stream of a request.
func (c *call) stream(n named) (*stream, error) {
	name := ""
	switch {
	case n.StreamName != nil:
		name = *n.StreamName
	case n.StreamARN != nil:
		var ok bool
		if name, ok = parseARN(*n.StreamARN); !ok {
			return nil, invalidArgument("%s is not a valid StreamARN.", *n.StreamARN)
		}
	default:
		return nil, invalidArgument("Either StreamName or StreamARN must be specified.")
	}
	if n.StreamName != nil && n.StreamARN != nil {
		if of, ok := parseARN(*n.StreamARN); !ok || of != name {
			return nil, invalidArgument("StreamARN %s does not name the stream %s.", *n.StreamARN, name)
		}
	}
	if s := c.find(name); s != nil {
		return s, nil
	}
	return nil, notFound(name)
}

type modeDetails struct{ StreamMode string }

type createStreamIn struct {
	StreamName         *string
	ShardCount         *int
	StreamModeDetails  *modeDetails
	MaxRecordSizeInKiB *int
	Tags               map[string]string
}

func (c *call) createStream(in *createStreamIn) (any, error) {
	v := &checks{}
	v.need(in.StreamName != nil, "streamName")
	v.name(in.StreamName, "streamName", nameMax)
	v.between(in.ShardCount, "shardCount", 1, shardCountMax)
	v.between(in.MaxRecordSizeInKiB, "maxRecordSizeInKiB", recordKiBMin, recordKiBMax)
	mode := modeProvisioned
	if in.StreamModeDetails != nil {
		mode = in.StreamModeDetails.StreamMode
		v.oneOf(&mode, "streamModeDetails.streamMode", modeProvisioned, modeOnDemand)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	shards := onDemandStart
	switch {
	case mode == modeOnDemand && in.ShardCount != nil:
		return nil, validation("ShardCount cannot be specified when StreamMode is ON_DEMAND.")
	case mode == modeProvisioned && in.ShardCount == nil:
		return nil, validation("ShardCount must be specified when StreamMode is PROVISIONED.")
	case in.ShardCount != nil:
		shards = *in.ShardCount
	}
	if err := checkTags(in.Tags, nil); err != nil {
		return nil, err
	}
	d := &description{Version: descriptionVersion, Name: *in.StreamName, ID: uuid(), Mode: mode,
		RetentionHours: retentionMin, RecordKiB: recordKiBMin, Tags: in.Tags}
	if in.MaxRecordSizeInKiB != nil {
		d.RecordKiB = *in.MaxRecordSizeInKiB
	}
	return nil, c.create(d, shards)
}

func (c *call) create(d *description, shards int) error {
	c.change.Lock()
	defer c.change.Unlock()
	if c.find(d.Name) != nil {
		return inUse("Stream %s under account %s already exists.", d.Name, account)
	}
	if err := c.mayOpen(shards); err != nil {
		return err
	}
	d.CreatedMs = c.now().UnixMilli()
	s := newStream(0, d)
	start := s.next(c.now())
	for i := range shards {
		sh := shard{Parent: -1, Adjacent: -1, Low: evenStart(i, shards), High: hashMax, Start: start}
		if i+1 < shards {
			sh.High = evenStart(i+1, shards).plus(-1)
		}
		d.Shards = append(d.Shards, sh)
	}
	text, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("write the description of stream %s: %w", d.Name, err)
	}
	if s.table, err = c.store.CreateTable(text, tablePrefix+d.Name, store.Settings{}); err != nil {
		return err
	}
	c.mu.Lock()
	c.byName[d.Name] = s
	c.mu.Unlock()
	return nil
}

// mayOpen tells whether so many more shards may be opened.
func (c *call) mayOpen(more int) error {
	if open := c.openShards(); open+more > shardsMax {
		return failf("LimitExceededException", "This request would exceed the shard limit for the account %s in %s. "+
			"Current shard count for the account: %d. Limit: %d. Number of additional shards that would have resulted "+
			"from this request: %d. Refer to the AWS Service Limits page "+
			"(https://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to "+
			"request higher limits.", account, c.region, open, shardsMax, more)
	}
	return nil
}

type deleteStreamIn struct {
	named
	EnforceConsumerDeletion *bool
}

func (c *call) deleteStream(in *deleteStreamIn) (any, error) {
	c.change.Lock()
	defer c.change.Unlock()
	s, err := c.asked(&checks{}, in.named)
	if err != nil {
		return nil, err
	}
	s.write.Lock()
	defer s.write.Unlock()
	d := s.now()
	if len(d.Consumers) > 0 && (in.EnforceConsumerDeletion == nil || !*in.EnforceConsumerDeletion) {
		return nil, inUse("Stream %s under account %s has enhanced fan-out consumers. "+
			"Set EnforceConsumerDeletion to delete it.", d.Name, account)
	}
	if err := c.store.DropTable(s.table); err != nil {
		return nil, err
	}
	c.mu.Lock()
	delete(c.byName, d.Name)
	c.mu.Unlock()
	return nil, nil
}

type describeStreamIn struct {
	named
	Limit                 *int
	ExclusiveStartShardId *string
}

// describeMax is the service's bound on shards in one reply of DescribeStream, and its default.
const (
	describeMax   = 10_000
	describeShown = 100
)

type shardDescription struct {
	ShardId               string
	ParentShardId         string    `json:",omitempty"`
	AdjacentParentShardId string    `json:",omitempty"`
	HashKeyRange          hashRange `json:"HashKeyRange"`
	SequenceNumberRange   sequenceRange
}

type hashRange struct{ StartingHashKey, EndingHashKey string }

type sequenceRange struct {
	StartingSequenceNumber string
	EndingSequenceNumber   string `json:",omitempty"`
}

func (d *description) describe(i int) shardDescription {
	sh := &d.Shards[i]
	out := shardDescription{ShardId: shardID(i), HashKeyRange: hashRange{sh.Low.String(), sh.High.String()},
		SequenceNumberRange: sequenceRange{StartingSequenceNumber: sequence(i, sh.Start)}}
	if sh.Parent >= 0 {
		out.ParentShardId = shardID(sh.Parent)
	}
	if sh.Adjacent >= 0 {
		out.AdjacentParentShardId = shardID(sh.Adjacent)
	}
	if !sh.isOpen() {
		out.SequenceNumberRange.EndingSequenceNumber = sequence(i, sh.End)
	}
	return out
}

// monitoring is what streams without enhanced monitoring show.
var monitoring = []map[string][]string{{"ShardLevelMetrics": {}}}

func (c *call) describeStream(in *describeStreamIn) (any, error) {
	v := &checks{}
	v.between(in.Limit, "limit", 1, describeMax)
	v.name(in.ExclusiveStartShardId, "exclusiveStartShardId", nameMax)
	s, err := c.asked(v, in.named)
	if err != nil {
		return nil, err
	}
	limit, after := describeShown, ""
	if in.Limit != nil {
		limit = *in.Limit
	}
	if in.ExclusiveStartShardId != nil {
		after = *in.ExclusiveStartShardId
	}
	d := s.now()
	shards, more := []shardDescription{}, false
	for i := range d.Shards {
		if d.Shards[i].Gone || shardID(i) <= after {
			continue
		}
		if more = len(shards) == limit; more {
			break
		}
		shards = append(shards, d.describe(i))
	}
	return map[string]any{"StreamDescription": map[string]any{
		"EncryptionType": "NONE", "EnhancedMonitoring": monitoring, "HasMoreShards": more,
		"RetentionPeriodHours": d.RetentionHours, "Shards": shards, "StreamARN": ARN(c.region, d.Name),
		"StreamCreationTimestamp": seconds(d.CreatedMs), "StreamModeDetails": modeDetails{d.Mode},
		"StreamName": d.Name, "StreamStatus": "ACTIVE",
	}}, nil
}

func (c *call) describeSummary(in *named) (any, error) {
	s, err := c.asked(&checks{}, *in)
	if err != nil {
		return nil, err
	}
	d := s.now()
	return map[string]any{"StreamDescriptionSummary": map[string]any{
		"ConsumerCount": len(d.Consumers), "EncryptionType": "NONE", "EnhancedMonitoring": monitoring,
		"MaxRecordSizeInKiB": d.RecordKiB, "OpenShardCount": len(d.open()), "RetentionPeriodHours": d.RetentionHours,
		"StreamARN": ARN(c.region, d.Name), "StreamCreationTimestamp": seconds(d.CreatedMs),
		"StreamModeDetails": modeDetails{d.Mode}, "StreamName": d.Name, "StreamStatus": "ACTIVE",
	}}, nil
}

type listStreamsIn struct {
	ExclusiveStartStreamName *string
	Limit                    *int
	NextToken                *string
}

// listStreamsMax is the service's bound, and default, of streams in one reply.
const listStreamsMax = 100

func (c *call) listStreams(in *listStreamsIn) (any, error) {
	v := &checks{}
	v.between(in.Limit, "limit", 1, 10_000)
	v.name(in.ExclusiveStartStreamName, "exclusiveStartStreamName", nameMax)
	v.length(in.NextToken, "nextToken", 1, 1<<20)
	if err := v.err(); err != nil {
		return nil, err
	}
	limit, after := listStreamsMax, ""
	if in.Limit != nil {
		limit = min(*in.Limit, listStreamsMax)
	}
	switch {
	case in.NextToken != nil:
		after = *in.NextToken
	case in.ExclusiveStartStreamName != nil:
		after = *in.ExclusiveStartStreamName
	}
	names := c.names()
	at, found := slices.BinarySearch(names, after)
	if found {
		at++
	}
	names = names[at:]
	out := map[string]any{"HasMoreStreams": len(names) > limit}
	if len(names) > limit {
		names = names[:limit]
		out["NextToken"] = names[limit-1]
	}
	summaries := []map[string]any{}
	for _, name := range names {
		if s := c.find(name); s != nil {
			d := s.now()
			summaries = append(summaries, map[string]any{"StreamARN": ARN(c.region, name), "StreamName": name,
				"StreamCreationTimestamp": seconds(d.CreatedMs), "StreamModeDetails": modeDetails{d.Mode},
				"StreamStatus": "ACTIVE"})
		}
	}
	out["StreamNames"], out["StreamSummaries"] = names, summaries
	return out, nil
}

type nothing struct{}

func (c *call) describeLimits(*nothing) (any, error) {
	onDemand := 0
	for _, name := range c.names() {
		if s := c.find(name); s != nil && s.now().Mode == modeOnDemand {
			onDemand++
		}
	}
	return map[string]any{"OnDemandStreamCount": onDemand, "OnDemandStreamCountLimit": shardsMax / onDemandStart,
		"OpenShardCount": c.openShards(), "ShardLimit": shardsMax}, nil
}
