package local

// operations are those we serve, by their name in X-Amz-Target.
var operations = map[string]func(*call) error{
	"BatchGetItem":              (*call).batchGetItem,
	"BatchWriteItem":            (*call).batchWriteItem,
	"CreateTable":               (*call).createTable,
	"DeleteItem":                (*call).deleteItem,
	"DeleteTable":               (*call).deleteTable,
	"DescribeContinuousBackups": (*call).describeContinuousBackups,
	"DescribeEndpoints":         (*call).describeEndpoints,
	"DescribeLimits":            (*call).describeLimits,
	"DescribeTable":             (*call).describeTable,
	"DescribeTimeToLive":        (*call).describeTimeToLive,
	"GetItem":                   (*call).getItem,
	"ListTables":                (*call).listTables,
	"ListTagsOfResource":        (*call).listTagsOfResource,
	"PutItem":                   (*call).putItem,
	"Query":                     (*call).query,
	"Scan":                      (*call).scan,
	"TagResource":               (*call).tagResource,
	"TransactGetItems":          (*call).transactGetItems,
	"TransactWriteItems":        (*call).transactWriteItems,
	"UntagResource":             (*call).untagResource,
	"UpdateItem":                (*call).updateItem,
	"UpdateTable":               (*call).updateTable,
}

// unserved are the service's other operations, which we refuse by name (API version 2012-08-10).
var unserved = set(
	"BatchExecuteStatement", "CreateBackup", "CreateGlobalTable", "DeleteBackup", "DeleteResourcePolicy",
	"DescribeBackup", "DescribeContributorInsights", "DescribeExport", "DescribeGlobalTable",
	"DescribeGlobalTableSettings", "DescribeImport", "DescribeKinesisStreamingDestination",
	"DescribeTableReplicaAutoScaling", "DisableKinesisStreamingDestination", "EnableKinesisStreamingDestination",
	"ExecuteStatement", "ExecuteTransaction", "ExportTableToPointInTime", "GetResourcePolicy", "ImportTable",
	"ListBackups", "ListContributorInsights", "ListExports", "ListGlobalTables", "ListImports", "PutResourcePolicy",
	"RestoreTableFromBackup", "RestoreTableToPointInTime",
	"UpdateContinuousBackups", "UpdateContributorInsights", "UpdateGlobalTable", "UpdateGlobalTableSettings",
	"UpdateKinesisStreamingDestination", "UpdateTableReplicaAutoScaling", "UpdateTimeToLive",
)

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, name := range names {
		m[name] = true
	}
	return m
}
