package capture

import (
	"cmp"
	"fmt"
	"math"
	"time"
)

// Rates are how often shards are read, and what that costs.
type Rates struct {
	Freshness  time.Duration // from a write to the log, at most, when nothing is in the way and all was quiet
	ReadBudget int           // calls an hour of a shard that is idle
	// Full is between two calls for a shard while any shard of the stream has records, and Idle what it grows to.
	Full, Idle time.Duration
	segment    time.Duration
	kinesis    bool
}

const (
	// idleMax is how long a shard sleeps at most: longer, and a record that wakes its siblings came too late to matter.
	idleMax = 60 * time.Second
	// putTime is what a put, its answer and the page before it are taken to need.
	putTime = 500 * time.Millisecond
	// segmentMin keeps an idle log from a put for every record.
	segmentMin = 200 * time.Millisecond
	segmentMax = 10 * time.Second

	// The price of GetRecords on DynamoDB Streams in us-east-1; those of Kinesis cost nothing beyond the shard.
	usdPerRead     = 0.02 / 100_000
	freeReadsMonth = 2_500_000
	hoursMonth     = 730
)

// Derive tells what follows from Freshness, or from ReadBudget if that is set.
func Derive(kinesis bool, o Options) Rates {
	r := Rates{kinesis: kinesis}
	calls := cmp.Or(o.CallsPerSecond, callsDefault)
	least := time.Duration(float64(time.Second) / calls)
	if o.ReadBudget > 0 {
		r.ReadBudget = o.ReadBudget
		r.Idle = min(max(time.Hour/time.Duration(o.ReadBudget), least), idleMax)
		r.segment = cmp.Or(o.SegmentEvery, freshnessDefault/4)
		r.Freshness = r.Idle + r.segment + putTime
		r.Full = min(max(freshnessDefault/4, least), r.Idle)
		return r
	}
	r.Freshness = cmp.Or(o.Freshness, freshnessDefault)
	r.segment = cmp.Or(o.SegmentEvery, min(max(r.Freshness/4, segmentMin), segmentMax))
	r.Full = max(r.Freshness/4, least)
	r.Idle = min(max(r.Freshness-r.segment-putTime, r.Full), idleMax)
	r.Full = min(r.Full, r.Idle)
	r.ReadBudget = int(math.Ceil(float64(time.Hour) / float64(r.Idle)))
	return r
}

// MonthUSD is what reading that many shards that are idle costs a month, beyond the free tier.
func (r Rates) MonthUSD(shards int) float64 {
	if r.kinesis {
		return 0
	}
	calls := float64(shards) * float64(time.Hour) / float64(r.Idle) * hoursMonth
	return max(0, calls-freeReadsMonth) * usdPerRead
}

// String is a line of the start report.
func (r Rates) String() string {
	return fmt.Sprintf("fresh within %v; %d calls an hour for an idle shard", r.Freshness, r.ReadBudget)
}

// interval is how long a shard rests, that long after a record came from any of them: it grows slowly enough that who
// writes every minute is read at less than twice the full rate's cost, and never beyond Idle.
func (r Rates) interval(quiet time.Duration) time.Duration {
	return min(max(quiet/4, r.Full), r.Idle)
}
