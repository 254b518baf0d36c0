package local

// operations are those we serve, by their name in X-Amz-Target.
var operations = map[string]func(*call) error{
	"BatchGetItem":              (*call).batchGetItem,
	"BatchWriteItem":            (*call).batchWriteItem,
	"CreateBackup":              (*call).createBackup,
	"CreateTable":               (*call).createTable,
	"DeleteBackup":              (*call).deleteBackup,
	"DeleteItem":                (*call).deleteItem,
	"DeleteResourcePolicy":      (*call).deleteResourcePolicy,
	"DeleteTable":               (*call).deleteTable,
	"DescribeBackup":            (*call).describeBackup,
	"DescribeContinuousBackups": (*call).describeContinuousBackups,
	"DescribeEndpoints":         (*call).describeEndpoints,
	"DescribeExport":            (*call).describeExport,
	"DescribeImport":            (*call).describeImport,
	"DescribeLimits":            (*call).describeLimits,
	"DescribeTable":             (*call).describeTable,
	"DescribeTimeToLive":        (*call).describeTimeToLive,
	"ExportTableToPointInTime":  (*call).exportTableToPointInTime,
	"GetItem":                   (*call).getItem,
	"GetResourcePolicy":         (*call).getResourcePolicy,
	"ImportTable":               (*call).importTable,
	"ListBackups":               (*call).listBackups,
	"ListExports":               (*call).listExports,
	"ListImports":               (*call).listImports,
	"ListTables":                (*call).listTables,
	"ListTagsOfResource":        (*call).listTagsOfResource,
	"PutItem":                   (*call).putItem,
	"PutResourcePolicy":         (*call).putResourcePolicy,
	"Query":                     (*call).query,
	"RestoreTableFromBackup":    (*call).restoreTableFromBackup,
	"RestoreTableToPointInTime": (*call).restoreTableToPointInTime,
	"Scan":                      (*call).scan,
	"TagResource":               (*call).tagResource,
	"TransactGetItems":          (*call).transactGetItems,
	"TransactWriteItems":        (*call).transactWriteItems,
	"UntagResource":             (*call).untagResource,
	"UpdateContinuousBackups":   (*call).updateContinuousBackups,
	"UpdateItem":                (*call).updateItem,
	"UpdateTable":               (*call).updateTable,
	"UpdateTimeToLive":          (*call).updateTimeToLive,

	"DescribeKinesisStreamingDestination": (*call).describeDestination,
	"DisableKinesisStreamingDestination":  (*call).disableDestination,
	"EnableKinesisStreamingDestination":   (*call).enableDestination,
	"UpdateKinesisStreamingDestination":   (*call).updateDestination,
}

// unserved are the service's other operations, which we refuse by name (API version 2012-08-10).
var unserved = set(
	"BatchExecuteStatement", "CreateGlobalTable",
	"DescribeContributorInsights", "DescribeGlobalTable",
	"DescribeGlobalTableSettings",
	"DescribeTableReplicaAutoScaling",
	"ExecuteStatement", "ExecuteTransaction",
	"ListContributorInsights", "ListGlobalTables",
	"UpdateContributorInsights", "UpdateGlobalTable", "UpdateGlobalTableSettings",
	"UpdateTableReplicaAutoScaling",
)

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, name := range names {
		m[name] = true
	}
	return m
}
