package sim

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"dynaferry/internal/feed"
)

// Table is a table and its stream, and remembers all that ever happened to it.
type Table struct {
	w       *World
	r       *rand.Rand
	mu      sync.Mutex
	items   map[string]int // by key, the number of the change that made it what it is
	changes []*Change
	shards  []*shard // as they began
	seq     int
	written chan struct{}
	dark    chan struct{} // closed when the outage begins
	light   chan struct{} // and when it ends
}

// Change is one change of an item, the n-th of the table.
type Change struct {
	N        int
	Key      string
	Event    feed.Event
	New, Old int  // what the item was after and before, as the number of a change; 0 for nothing
	Service  bool // a deletion by TTL
	At       time.Time
}

// record is a change as it stands in a shard.
type record struct {
	*Change
	at     time.Time // when it was put there
	seq    feed.Number
	micros int64
	raw    []byte // as feed.Record has it
}

type shard struct {
	feed.Shard
	low, high int // of the key space, which has space places
	records   []*record
	held      *record   // of Kinesis: comes behind the next one
	listed    time.Time // from when on listings show it
	closed    time.Time
	told      time.Time // from when on listings say that it is closed
}

const (
	space = 1 << 10
	// retention is how long a stream keeps records.
	retention  = 24 * time.Hour
	streamARN  = "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders/stream/2026-01-01T00:00:00.000"
	kinesisARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
	// TableName names the table.
	TableName = "Orders"
)

func newTable(w *World) *Table {
	t := &Table{w: w, r: w.Rand("table", "life", "", 0), items: map[string]int{}, written: make(chan struct{}), dark: make(chan struct{}), light: make(chan struct{})}
	t.seq = 900 + t.r.IntN(100) // numbers grow by a digit soon
	for i := range w.Plan.Shards {
		var gone []string
		if w.Plan.Orphans {
			gone = []string{fmt.Sprintf("shardId-%020d-gone", i)}
		}
		t.begin(i*space/w.Plan.Shards, (i+1)*space/w.Plan.Shards, 0, gone...)
	}
	return t
}

// begin makes a shard, which listings show after some time, but never before its parents.
func (t *Table) begin(low, high int, late time.Duration, parents ...string) {
	listed := time.Now().Add(late)
	for _, s := range t.shards {
		if slices.Contains(parents, s.ID) && s.listed.After(listed) {
			listed = s.listed
		}
	}
	id := fmt.Sprintf("shardId-%020d-%08x", len(t.shards), t.w.mix("table", "shard", "", len(t.shards))>>32)
	t.shards = append(t.shards, &shard{low: low, high: high, listed: listed, Shard: feed.Shard{ID: id, Parents: parents}})
}

// Live makes all writes of the plan happen.
func (t *Table) Live() {
	defer close(t.written)
	p := &t.w.Plan
	jumps := map[int]bool{}
	for range p.Jumps {
		jumps[t.r.IntN(p.Writes)] = true
	}
	dark, light := -1, -1
	if p.Outage {
		dark = t.r.IntN(p.Writes)
		light = dark + t.r.IntN(p.Writes-dark)
	}
	for i := range p.Writes {
		if i == dark {
			time.Sleep(time.Duration(1 + t.r.IntN(1e6))) // not while the first are started
			close(t.dark)
			time.Sleep(time.Duration(t.r.Int64N(int64(20 * time.Hour))))
		}
		pause := time.Duration(t.r.ExpFloat64() * float64(p.Every))
		if jumps[i] {
			pause += 16*time.Minute + time.Duration(t.r.Int64N(int64(24*time.Minute)))
		}
		time.Sleep(pause + time.Duration(t.r.IntN(1000)))
		t.write()
		if t.r.IntN(100) < p.Splits {
			t.divide()
		}
		if i == light {
			// From hours that lose nothing up to days after which all is gone.
			time.Sleep(time.Duration(t.r.Int64N(int64(30 * time.Hour))))
			close(t.light)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.shards {
		s.flush()
	}
}

// Written is closed when all writes have happened.
func (t *Table) Written() <-chan struct{} { return t.written }

func place(key string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32()>>8) % space
}

// write changes an item.
func (t *Table) write() {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &Change{N: len(t.changes) + 1, Key: fmt.Sprintf("k%d", t.r.IntN(t.w.Plan.Keys)), At: time.Now()}
	c.Old = t.items[c.Key]
	kind := t.r.IntN(10)
	switch {
	case c.Old == 0:
		c.Event, c.New = feed.Insert, c.N
	case kind < 2:
		c.Event, c.Service = feed.Remove, kind == 0
	default:
		c.Event, c.New = feed.Modify, c.N
	}
	t.changes = append(t.changes, c)
	delete(t.items, c.Key)
	if c.New > 0 {
		t.items[c.Key] = c.New
	}
	for _, s := range t.shards {
		if at := place(c.Key); s.closed.IsZero() && s.low <= at && at < s.high {
			t.stream(s, c)
		}
	}
}

// stream puts a change into its shard, of Kinesis perhaps twice or behind the next one.
func (t *Table) stream(s *shard, c *Change) {
	chance := t.r.IntN(10)
	if t.w.Plan.Kinesis && chance == 0 && s.held == nil {
		s.held = t.record(c)
		return
	}
	s.records = append(s.records, t.record(c))
	s.flush()
	if t.w.Plan.Kinesis && chance == 1 {
		s.records = append(s.records, t.record(c))
	}
}

// flush puts down what was held back. Numbers are those of the place in the shard.
func (s *shard) flush() {
	if s.held == nil {
		return
	}
	held := s.held
	s.held = nil
	if n := len(s.records); n > 0 && held.seq.Compare(s.records[n-1].seq) < 0 {
		last := s.records[n-1]
		held.seq, last.seq = last.seq, held.seq
	}
	held.at = time.Now()
	s.records = append(s.records, held)
}

func (t *Table) record(c *Change) *record {
	t.seq += 1 + t.r.IntN(9)
	r := &record{Change: c, at: time.Now(), seq: feed.Number(fmt.Sprint(t.seq)), micros: c.At.UnixMicro()}
	if !t.w.Plan.Kinesis { // to the second, and not always forward
		back := time.Duration(max(0, t.r.IntN(8)-5)) * time.Second
		r.micros = c.At.Add(-back).Truncate(time.Second).UnixMicro()
	}
	r.render(t.w.Plan.Kinesis)
	return r
}

var eventNames = [...]string{feed.Insert: "INSERT", feed.Modify: "MODIFY", feed.Remove: "REMOVE"}

// render makes what DynamoDB would send, or put into Kinesis.
func (r *record) render(kinesis bool) {
	b := fmt.Appendf(nil, `{"eventID":"%032x","eventName":%q,`, r.N, eventNames[r.Event])
	created := r.micros / 1e6
	if kinesis {
		created = r.micros
		b = fmt.Appendf(b, `"recordFormat":"application/json","tableName":%q,`, TableName)
	}
	b = fmt.Appendf(b, `"dynamodb":{"ApproximateCreationDateTime":%d,"Keys":%s`, created, keyJSON(r.Key))
	if r.New > 0 {
		b = fmt.Appendf(b, `,"NewImage":%s`, itemJSON(r.Key, r.New))
	}
	if r.Old > 0 {
		b = fmt.Appendf(b, `,"OldImage":%s`, itemJSON(r.Key, r.Old))
	}
	if kinesis {
		b = append(b, `,"ApproximateCreationDateTimePrecision":"MICROSECOND"}`...)
	} else {
		b = fmt.Appendf(b, `,"SequenceNumber":%q}`, r.seq)
	}
	if r.Service {
		b = append(b, `,"userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"}`...)
	}
	r.raw = append(b, '}')
}

// arrived is when Kinesis took the record, as precisely as it tells: in ms.
func (r *record) arrived() int64 { return r.at.UnixMilli() }

// line is the record as a log must hold it.
func (r *record) line(kinesis bool) string {
	if !kinesis {
		return string(r.raw)
	}
	return fmt.Sprintf(`{"kinesis":{"sequenceNumber":%q,"subSequenceNumber":0,"partitionKey":%q,"approximateArrivalTimestamp":%s},"data":%s}`,
		r.seq, r.Key, seconds(r.arrived()), r.raw)
}

// seconds writes ms as the JSON of Kinesis does.
func seconds(ms int64) string { return strconv.FormatFloat(float64(ms)/1e3, 'f', -1, 64) }

func keyJSON(key string) string { return fmt.Sprintf(`{"id":{"S":%q}}`, key) }

func itemJSON(key string, n int) string { return fmt.Sprintf(`{"id":{"S":%q},"v":{"N":"%d"}}`, key, n) }

// divide ends a shard: it splits, rolls over, or of Kinesis merges with its neighbour. Children are listed late.
func (t *Table) divide() {
	t.mu.Lock()
	defer t.mu.Unlock()
	var open []*shard
	for _, s := range t.shards {
		if s.closed.IsZero() {
			open = append(open, s)
		}
	}
	late := func() time.Duration {
		if t.r.IntN(2) == 0 {
			return 0
		}
		return time.Duration(t.r.Int64N(int64(time.Minute)))
	}
	end := func(s *shard) {
		s.flush()
		s.closed, s.told = time.Now(), time.Now().Add(time.Duration(t.r.IntN(5000))*time.Millisecond)
	}
	s := open[t.r.IntN(len(open))]
	middle := (s.low + s.high) / 2
	if t.w.Plan.Kinesis && t.r.IntN(2) == 0 {
		for _, other := range open {
			if other.low == s.high {
				end(s)
				end(other)
				t.begin(s.low, other.high, late(), s.ID, other.ID)
				return
			}
		}
	}
	end(s)
	if len(open) >= 6 || middle == s.low || !t.w.Plan.Kinesis && t.r.IntN(2) == 0 {
		t.begin(s.low, s.high, late(), s.ID)
		return
	}
	t.begin(s.low, middle, late(), s.ID)
	t.begin(middle, s.high, late(), s.ID)
}

// Items is what stands in the table: by key, the number of the change that made it so.
func (t *Table) Items() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.items)
}

// Changes are all changes so far, in their order.
func (t *Table) Changes() []*Change {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.changes)
}

// Lines are the records of each shard so far, in their order, as feed.Record.Raw has them.
func (t *Table) Lines() map[string][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := map[string][]string{}
	for _, s := range t.shards {
		lines[s.ID] = nil
		for _, r := range s.records {
			lines[s.ID] = append(lines[s.ID], string(r.raw))
		}
	}
	return lines
}
