package kinesis

import (
	"encoding/base64"
	"encoding/json"
	"time"
)

type shardFilter struct {
	Type      *string
	ShardId   *string
	Timestamp *moment
}

type listShardsIn struct {
	named
	NextToken               *string
	ExclusiveStartShardId   *string
	MaxResults              *int
	ShardFilter             *shardFilter
	StreamCreationTimestamp *moment
}

const (
	listShardsMax = 10_000
	listShardsRun = 1000
	tokenLife     = 5 * time.Minute
)

// shardsToken is where a list of shards goes on.
type shardsToken struct {
	Stream string       `json:"stream"`
	ID     string       `json:"id"`
	After  int          `json:"after"`
	MadeMs int64        `json:"madeMs"`
	Filter *shardFilter `json:"filter,omitempty"`
}

var filterTypes = []string{"AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP"}

func (c *call) listShards(in *listShardsIn) (any, error) {
	v := &checks{}
	in.check(v)
	v.name(in.ExclusiveStartShardId, "exclusiveStartShardId", nameMax)
	v.between(in.MaxResults, "maxResults", 1, listShardsMax)
	if in.ShardFilter != nil {
		v.need(in.ShardFilter.Type != nil, "shardFilter.type")
		v.oneOf(in.ShardFilter.Type, "shardFilter.type", filterTypes...)
		v.name(in.ShardFilter.ShardId, "shardFilter.shardId", nameMax)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	token, err := c.shardsFrom(in)
	if err != nil {
		return nil, err
	}
	s, err := c.stream(named{StreamName: &token.Stream})
	if err != nil {
		return nil, err
	}
	d := s.now()
	if token.ID != "" && token.ID != d.ID {
		return nil, notFound(token.Stream)
	}
	if in.StreamCreationTimestamp != nil && in.StreamCreationTimestamp.ms()/1000 != d.CreatedMs/1000 {
		return nil, notFound(token.Stream)
	}
	keep, err := d.filter(token.Filter, c.now())
	if err != nil {
		return nil, err
	}
	limit := listShardsRun
	if in.MaxResults != nil {
		limit = *in.MaxResults
	}
	shards := []shardDescription{}
	out := map[string]any{}
	for i := token.After + 1; i < len(d.Shards); i++ {
		if d.Shards[i].Gone || !keep(i) {
			continue
		}
		if len(shards) == limit {
			token.ID, token.MadeMs = d.ID, c.now().UnixMilli()
			text, err := json.Marshal(token)
			if err != nil {
				return nil, err
			}
			out["NextToken"] = base64.StdEncoding.EncodeToString(text)
			break
		}
		shards = append(shards, d.describe(i))
		token.After = i
	}
	out["Shards"] = shards
	return out, nil
}

// shardsFrom reads where to begin: a token, or a stream with an optional start.
func (c *call) shardsFrom(in *listShardsIn) (t shardsToken, err error) {
	given := in.StreamName != nil || in.StreamARN != nil
	if in.NextToken == nil {
		if !given {
			return t, invalidArgument("Either NextToken or StreamName should be provided.")
		}
		s, err := c.stream(in.named)
		if err != nil {
			return t, err
		}
		t = shardsToken{Stream: s.now().Name, After: -1, Filter: in.ShardFilter}
		if in.ExclusiveStartShardId != nil {
			i, ok := parseShardID(*in.ExclusiveStartShardId)
			if !ok {
				return t, invalidArgument("Invalid ExclusiveStartShardId %s.", *in.ExclusiveStartShardId)
			}
			t.After = i
		}
		return t, nil
	}
	if in.StreamName != nil || in.ExclusiveStartShardId != nil || in.StreamCreationTimestamp != nil {
		return t, invalidArgument("NextToken and StreamName cannot be provided together.")
	}
	text, err := base64.StdEncoding.DecodeString(*in.NextToken)
	if err != nil || json.Unmarshal(text, &t) != nil || t.Stream == "" {
		return t, invalidArgument("Invalid NextToken.")
	}
	if in.StreamARN != nil {
		if name, ok := parseARN(*in.StreamARN); !ok || name != t.Stream {
			return t, invalidArgument("StreamARN %s does not match the NextToken.", *in.StreamARN)
		}
	}
	if c.now().UnixMilli()-t.MadeMs > tokenLife.Milliseconds() {
		return t, failf("ExpiredNextTokenException", "NextToken expired. It was created at time %s while right now it is %s which is "+
			"further in the future than the tolerated delay of %d milliseconds.", amzTime(t.MadeMs), amzTime(c.now().UnixMilli()),
			tokenLife.Milliseconds())
	}
	return t, nil
}

// filter tells which shards a filter lets through.
func (d *description) filter(f *shardFilter, now time.Time) (func(int) bool, error) {
	if f == nil {
		return func(int) bool { return true }, nil
	}
	at := d.horizon(now)
	switch *f.Type {
	case "AFTER_SHARD_ID":
		if f.ShardId == nil {
			return nil, invalidArgument("ShardFilter of type AFTER_SHARD_ID needs a ShardId.")
		}
		after, ok := parseShardID(*f.ShardId)
		if !ok {
			return nil, invalidArgument("Invalid ShardId %s in ShardFilter.", *f.ShardId)
		}
		return func(i int) bool { return i > after }, nil
	case "AT_LATEST":
		return func(i int) bool { return d.Shards[i].isOpen() }, nil
	case "AT_TIMESTAMP", "FROM_TIMESTAMP":
		if f.Timestamp == nil {
			return nil, invalidArgument("ShardFilter of type %s needs a Timestamp.", *f.Type)
		}
		at = max(at, sequenceAt(f.Timestamp.ms()))
	}
	// A shard is open at a number from its start up to where it was closed.
	from := func(i int) bool { return d.Shards[i].isOpen() || d.Shards[i].End > at }
	if *f.Type == "FROM_TRIM_HORIZON" || *f.Type == "FROM_TIMESTAMP" {
		return from, nil
	}
	// The shards of the stream's beginning were open at every earlier moment.
	return func(i int) bool { return from(i) && (d.Shards[i].Start <= at || d.Shards[i].Parent < 0) }, nil
}
