package cli

// The stream's half of TestCrash.

// crashRecord is a record of the stream.
type crashRecord struct {
	EventName string `json:"eventName"`
	Dynamodb  struct {
		SequenceNumber     string
		NewImage, OldImage *crashItem
	} `json:"dynamodb"`
}

// stream reads on from where it stood until it has told everything that is in the table, and holds each record against
// what must come next of its key: nothing is left out, nothing comes twice.
func (c *crash) stream(v *victim) {
	var table struct {
		Table struct{ LatestStreamArn string }
	}
	v.must("DescribeTable", map[string]any{"TableName": "crash"}, &table)
	arn := table.Table.LatestStreamArn
	const passes = 20 // a page may be empty though more follows
	for range passes {
		for _, shard := range c.shards(v, arn) {
			c.shard(v, arn, shard)
		}
		if c.behind() == 0 {
			return
		}
	}
	c.t.Errorf("the stream has not told the last writes of %d keys", c.behind())
}

// shards lists the shards, parents first as the service does.
func (c *crash) shards(v *victim, arn string) (shards []string) {
	args := map[string]any{"StreamArn": arn}
	for {
		var page struct {
			StreamDescription struct {
				Shards               []struct{ ShardId string }
				LastEvaluatedShardId string
			}
		}
		v.must("DescribeStream", args, &page)
		for _, s := range page.StreamDescription.Shards {
			shards = append(shards, s.ShardId)
		}
		if page.StreamDescription.LastEvaluatedShardId == "" {
			return shards
		}
		args["ExclusiveStartShardId"] = page.StreamDescription.LastEvaluatedShardId
	}
}

// shard reads one shard until it ends or a page is empty and nothing is awaited any more.
func (c *crash) shard(v *victim, arn, shard string) {
	args := map[string]any{"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
	if seq := c.after[shard]; seq != "" {
		args["ShardIteratorType"], args["SequenceNumber"] = "AFTER_SEQUENCE_NUMBER", seq
	}
	var at struct{ ShardIterator string }
	v.must("GetShardIterator", args, &at)
	for empty := 0; at.ShardIterator != "" && empty < 3; {
		var page struct {
			Records           []crashRecord
			NextShardIterator string
		}
		v.must("GetRecords", map[string]any{"ShardIterator": at.ShardIterator}, &page)
		for i := range page.Records {
			c.tell(shard, &page.Records[i])
		}
		if empty++; len(page.Records) > 0 {
			empty = 0
		}
		at.ShardIterator = page.NextShardIterator
	}
}

// tell holds one record against the model.
func (c *crash) tell(shard string, r *crashRecord) {
	d := &r.Dynamodb
	if last := c.after[shard]; len(d.SequenceNumber) < len(last) || len(d.SequenceNumber) == len(last) && d.SequenceNumber <= last {
		c.t.Errorf("%s: record %s after %s", shard, d.SequenceNumber, last)
	}
	c.after[shard] = d.SequenceNumber
	image := d.NewImage
	if image == nil {
		image = d.OldImage
	}
	if image == nil {
		c.t.Fatalf("a record without images: %+v", r)
	}
	k, ok := image.key()
	n := c.told[k] + 1
	was, is := crashState(k, n-1), crashState(k, n)
	name := "MODIFY"
	if was == nil {
		name = "INSERT"
	} else if is == nil {
		name = "REMOVE"
	}
	if !ok || n > c.versions[k] || r.EventName != name || !sameCrashItem(d.OldImage, was) || !sameCrashItem(d.NewImage, is) {
		c.t.Fatalf("%s of %+v, record %s: write %d was awaited, of %d", r.EventName, k, d.SequenceNumber, n, c.versions[k])
	}
	c.told[k] = n
}

// behind counts the keys whose last write the stream has not told.
func (c *crash) behind() (keys int) {
	for k, n := range c.versions {
		if c.told[k] < n {
			keys++
		}
	}
	return keys
}
