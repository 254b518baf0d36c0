package local

import (
	"math"
	"strconv"
	"sync"
	"time"

	"dynaferry/internal/item"
)

// units renders capacity units the way the service does: 1.0, 0.5.
func appendUnits(dst []byte, units float64) []byte {
	if units == math.Trunc(units) {
		return strconv.AppendFloat(dst, units, 'f', 1, 64)
	}
	return strconv.AppendFloat(dst, units, 'f', -1, 64)
}

// appendConsumed appends one ConsumedCapacity object. kind is Read or Write for transactions, which tell their units
// under that name too, else "".
func appendConsumed(dst []byte, table string, units float64, indexes bool, kind string) []byte {
	dst = appendCapacity(dst, units, kind)
	if indexes {
		dst = append(appendCapacity(append(dst, `,"Table":`...), units, kind), '}')
	}
	dst = append(dst, `,"TableName":`...)
	return append(item.AppendString(dst, []byte(table)), '}')
}

// appendCapacity appends {"CapacityUnits":n and leaves the object open.
func appendCapacity(dst []byte, units float64, kind string) []byte {
	dst = appendUnits(append(dst, `{"CapacityUnits":`...), units)
	if kind != "" {
		dst = append(append(append(dst, ',', '"'), kind...), `CapacityUnits":`...)
		dst = appendUnits(dst, units)
	}
	return dst
}

// consumption is what ReturnConsumedCapacity asked for.
type consumption uint8

const (
	consumedNone consumption = iota
	consumedTotal
	consumedIndexes
)

var consumptions = map[string]consumption{"TOTAL": consumedTotal, "INDEXES": consumedIndexes}

// burst is how long unused capacity is kept: the service's 300 seconds.
const burst = 300 * time.Second

// bucket is a token bucket of capacity units. A request passes while there is anything in it and may overdraw it, since
// what it costs is known only afterwards; the debt is then waited out. A rate of 0 never throttles.
type bucket struct {
	mu     sync.Mutex
	rate   float64 // units a second
	tokens float64
	at     time.Time
}

// set changes the rate. A bucket that had none starts full, else the tokens are kept up to the new bound.
func (b *bucket) set(rate float64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate == 0 {
		b.tokens, b.at = rate*burst.Seconds(), now
	}
	b.fill(now)
	b.rate = rate
	b.tokens = min(b.tokens, rate*burst.Seconds())
}

func (b *bucket) fill(now time.Time) {
	if d := now.Sub(b.at).Seconds(); d > 0 {
		b.tokens = min(b.tokens+d*b.rate, b.rate*burst.Seconds())
		b.at = now
	}
}

// open tells whether a request may pass.
func (b *bucket) open(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate == 0 {
		return true
	}
	b.fill(now)
	return b.tokens > 0
}

// take books what a request has cost.
func (b *bucket) take(units float64) {
	b.mu.Lock()
	b.tokens -= units
	b.mu.Unlock()
}

// limiter holds a table's two buckets.
type limiter struct{ read, write bucket }

// apply sets the rates from a definition: provisioned units, or the ceiling asked for on demand (none: no limit).
func (l *limiter) apply(d *definition, now time.Time) {
	read, write := d.maxRead(), d.maxWrite()
	if d.provisioned() {
		read, write = d.ReadUnits, d.WriteUnits
	}
	l.read.set(float64(max(read, 0)), now)
	l.write.set(float64(max(write, 0)), now)
}

const saysExceeded = "The level of configured provisioned throughput for the table was exceeded. " +
	"Consider increasing your provisioning level with the UpdateTable API."

const saysOnDemand = "Throughput exceeds the maximum OnDemandThroughput configured on table or index. " +
	"For more information on table or index level onDemandThroughput, refer to " +
	"https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode-max-throughput.html"

// throttled is the error of a request that found a bucket empty. verb is Read or Write.
func (c *call) throttled(t *table, verb string) *apiError {
	e := &apiError{400, nsDynamo + "ProvisionedThroughputExceededException", saysExceeded, nil}
	reason := "Table" + verb + "ProvisionedThroughputExceeded"
	if !t.def.provisioned() {
		e.Type, e.Message = nsCoral+"ThrottlingException", saysOnDemand
		reason = "Table" + verb + "MaxOnDemandThroughputExceeded"
	}
	e.Extra = append(e.Extra, `,"ThrottlingReasons":[{"reason":"`+reason+`","resource":`...)
	e.Extra = item.AppendString(e.Extra, []byte(c.arn(t.def.Name)))
	e.Extra = append(e.Extra, "}]"...)
	return e
}

// mayRead and mayWrite are nil unless throttling is on and the table's bucket is empty.
func (c *call) mayRead(t *table) error {
	if c.db.opts.Throttle && !t.limit.read.open(c.db.now()) {
		return c.throttled(t, "Read")
	}
	return nil
}

func (c *call) mayWrite(t *table) error {
	if c.db.opts.Throttle && !t.limit.write.open(c.db.now()) {
		return c.throttled(t, "Write")
	}
	return nil
}

func (c *call) didRead(t *table, units float64) {
	if c.db.opts.Throttle {
		t.limit.read.take(units)
	}
}

func (c *call) didWrite(t *table, units float64) {
	if c.db.opts.Throttle {
		t.limit.write.take(units)
	}
}
