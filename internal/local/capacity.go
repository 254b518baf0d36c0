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
func appendConsumed(dst []byte, t *table, u units, how consumption, kind string) []byte {
	dst = appendCapacity(dst, u.total(), kind)
	if how == consumedIndexes {
		dst = append(appendCapacity(append(dst, `,"Table":`...), u.base, kind), '}')
		dst = t.appendIndexes(dst, u, true, kind)
		dst = t.appendIndexes(dst, u, false, kind)
	}
	dst = append(dst, `,"TableName":`...)
	return append(item.AppendString(dst, []byte(t.def.Name)), '}')
}

// appendIndexes appends what local or global indexes cost, those that cost nothing left out.
func (t *table) appendIndexes(dst []byte, u units, local bool, kind string) []byte {
	open := false
	for i, n := range u.indexes {
		if n == 0 || t.indexes[i].Local != local {
			continue
		}
		switch {
		case open:
			dst = append(dst, ',')
		case local:
			dst = append(dst, `,"LocalSecondaryIndexes":{`...)
		default:
			dst = append(dst, `,"GlobalSecondaryIndexes":{`...)
		}
		open = true
		dst = append(item.AppendString(dst, []byte(t.indexes[i].Name)), ':')
		dst = append(appendCapacity(dst, n, kind), '}')
	}
	if open {
		dst = append(dst, '}')
	}
	return dst
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

// set sets the rates: provisioned units, or the ceiling asked for on demand (none: no limit).
func (l *limiter) set(provisioned bool, read, write int64, ceiling *onDemandCeiling, now time.Time) {
	if !provisioned {
		read, write = 0, 0
		if ceiling != nil {
			read, write = ceiling.Read, ceiling.Write
		}
	}
	l.read.set(float64(max(read, 0)), now)
	l.write.set(float64(max(write, 0)), now)
}

const saysExceeded = "The level of configured provisioned throughput for the table was exceeded. " +
	"Consider increasing your provisioning level with the UpdateTable API."

const saysOnDemand = "Throughput exceeds the maximum OnDemandThroughput configured on table or index. " +
	"For more information on table or index level onDemandThroughput, refer to " +
	"https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode-max-throughput.html"

const saysIndexExceeded = "The level of configured provisioned throughput for one or more global secondary indexes of the table " +
	"was exceeded. Consider increasing your provisioning level for the under-provisioned global secondary indexes with the " +
	"UpdateTable API"

// throttled is the error of a request that found a bucket empty, of the table or of an index of it. verb is Read or Write.
func (c *call) throttled(t *table, ix *servedIndex, verb string) *apiError {
	e := &apiError{400, nsDynamo + "ProvisionedThroughputExceededException", saysExceeded, nil}
	what, resource := "Table", c.arn(t.def.Name)
	if ix != nil {
		what, resource, e.Message = "Index", resource+"/index/"+ix.Name, saysIndexExceeded
	}
	reason := what + verb + "ProvisionedThroughputExceeded"
	if !t.def.provisioned() {
		e.Type, e.Message = nsCoral+"ThrottlingException", saysOnDemand
		reason = what + verb + "MaxOnDemandThroughputExceeded"
	}
	e.Extra = append(e.Extra, `,"ThrottlingReasons":[{"reason":"`+reason+`","resource":`...)
	e.Extra = item.AppendString(e.Extra, []byte(resource))
	e.Extra = append(e.Extra, "}]"...)
	return e
}

// mayRead and mayWrite are nil unless throttling is on and a bucket is empty: that of the table, or of the global index which
// is read.
func (c *call) mayRead(t *table, ix *servedIndex) error {
	if !c.db.opts.Throttle {
		return nil
	}
	if ix != nil && !ix.Local {
		if !ix.limit.read.open(c.db.now()) {
			return c.throttled(t, ix, "Read")
		}
		return nil
	}
	if !t.limit.read.open(c.db.now()) {
		return c.throttled(t, nil, "Read")
	}
	return nil
}

func (c *call) mayWrite(t *table) error {
	if !c.db.opts.Throttle {
		return nil
	}
	if !t.limit.write.open(c.db.now()) {
		return c.throttled(t, nil, "Write")
	}
	return nil
}

// mayIndex is mayWrite for the global indexes that a write changes: those that cannot keep up hold it back, as the service
// says of their back pressure. A write that leaves an index alone does not wait for it.
func (c *call) mayIndex(t *table, costs []float64) error {
	if !c.db.opts.Throttle {
		return nil
	}
	for i, n := range costs {
		if ix := &t.indexes[i]; n > 0 && !ix.Local && !ix.limit.write.open(c.db.now()) {
			return c.throttled(t, ix, "Write")
		}
	}
	return nil
}

func (c *call) didRead(t *table, u units) {
	c.took(t, u, func(l *limiter) *bucket { return &l.read })
}

func (c *call) didWrite(t *table, u units) {
	c.took(t, u, func(l *limiter) *bucket { return &l.write })
}

// took books what a request has cost; local indexes take from their table.
func (c *call) took(t *table, u units, of func(*limiter) *bucket) {
	if !c.db.opts.Throttle {
		return
	}
	own := u.base
	for i, n := range u.indexes {
		if ix := &t.indexes[i]; ix.Local {
			own += n
		} else {
			of(ix.limit).take(n)
		}
	}
	of(t.limit).take(own)
}
