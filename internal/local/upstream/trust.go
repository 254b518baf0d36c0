package upstream

import (
	"strings"
	"time"
)

// Trust says what a page of a stream proves about the time at which it was asked for.
type Trust struct {
	Lag   time.Duration // after an acknowledged write every page shows it, if it comes that far
	Pages int           // so many pages in a row, each without a record, are the end of what there is
	Short bool          // a page of fewer records than it could hold is the end of what there is
}

// Cautious is for a service that may show a record seconds late, as ScyllaDB does by design (its time window for streams is
// 10 s), and may give empty pages in the middle of a shard, as AWS does.
var Cautious = Trust{Lag: 10 * time.Second, Pages: 5}

// immediate is for DynamoDB Local, whose single process writes the record with the item.
var immediate = Trust{Lag: 500 * time.Millisecond, Pages: 1, Short: true}

// TrustOf chooses by the ARN of a table, which tells DynamoDB Local by its Region.
func TrustOf(tableARN string) Trust {
	if strings.HasPrefix(tableARN, "arn:aws:dynamodb:ddblocal:") {
		return immediate
	}
	return Cautious
}

// Gap is the error of a stream that cannot be read without a hole.
type Gap struct {
	Shard  string // "": of the stream as a whole
	Reason string
}

// Error renders shard and reason.
func (g *Gap) Error() string {
	if g.Shard == "" {
		return g.Reason
	}
	return "shard " + g.Shard + ": " + g.Reason
}

const (
	retention    = 24 * time.Hour // of a stream's records
	trimMargin   = time.Hour      // what is younger than the retention less this cannot have been trimmed
	endedKept    = 48 * time.Hour // an ended shard is remembered so long, as a child may be told late
	childless    = time.Minute    // after which an ended shard's children would have been told
	pageRecords  = 1000           // of GetRecords
	pageShort    = pageRecords / 2
	shortBytes   = 512 << 10 // a page is at most 1 MB
	readersMax   = 8         // requests at a time
	shardsMax    = 20_000    // far above what any stream has
	describeWait = 2 * time.Second
)
