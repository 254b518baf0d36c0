package kinesis

// operations are those we serve, by their name in X-Amz-Target.
var operations = map[string]func(*call, []byte) (any, error){
	"AddTagsToStream":               operation((*call).addTagsToStream),
	"CreateStream":                  operation((*call).createStream),
	"DecreaseStreamRetentionPeriod": operation((*call).decreaseRetention),
	"DeleteStream":                  operation((*call).deleteStream),
	"DeregisterStreamConsumer":      operation((*call).deregisterConsumer),
	"DescribeLimits":                operation((*call).describeLimits),
	"DescribeStream":                operation((*call).describeStream),
	"DescribeStreamConsumer":        operation((*call).describeConsumer),
	"DescribeStreamSummary":         operation((*call).describeSummary),
	"GetRecords":                    operation((*call).getRecords),
	"GetShardIterator":              operation((*call).getShardIterator),
	"IncreaseStreamRetentionPeriod": operation((*call).increaseRetention),
	"ListShards":                    operation((*call).listShards),
	"ListStreamConsumers":           operation((*call).listConsumers),
	"ListStreams":                   operation((*call).listStreams),
	"ListTagsForResource":           operation((*call).listTagsForResource),
	"ListTagsForStream":             operation((*call).listTagsForStream),
	"MergeShards":                   operation((*call).mergeShards),
	"PutRecord":                     operation((*call).putRecord),
	"PutRecords":                    operation((*call).putRecords),
	"RegisterStreamConsumer":        operation((*call).registerConsumer),
	"RemoveTagsFromStream":          operation((*call).removeTagsFromStream),
	"SplitShard":                    operation((*call).splitShard),
	"SubscribeToShard":              operation((*call).subscribeToShard),
	"TagResource":                   operation((*call).tagResource),
	"UntagResource":                 operation((*call).untagResource),
	"UpdateMaxRecordSize":           operation((*call).updateMaxRecordSize),
	"UpdateShardCount":              operation((*call).updateShardCount),
	"UpdateStreamMode":              operation((*call).updateStreamMode),
}

// unserved are the service's other operations, which we refuse by name (API version 2013-12-02).
var unserved = map[string]bool{
	"CreateChannel": true, "DeleteChannel": true, "DeleteResourcePolicy": true, "DescribeAccountSettings": true,
	"DescribeChannel": true, "DisableEnhancedMonitoring": true, "EnableEnhancedMonitoring": true,
	"GetResourcePolicy": true, "ListChannels": true, "PutResourcePolicy": true, "StartStreamEncryption": true,
	"StopStreamEncryption": true, "UpdateAccountSettings": true, "UpdateChannel": true,
	"UpdateStreamRecordDistributionStrategy": true, "UpdateStreamWarmThroughput": true,
}
