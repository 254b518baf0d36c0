package capture

import (
	"cmp"
	"context"
	"time"

	"dynaferry/internal/changelog"
	"dynaferry/internal/commit"
	"dynaferry/internal/feed"
)

// Options say how a stream is carried; the zero value is right for most.
type Options struct {
	// Writer is the random id of this process; "" draws one.
	Writer string

	// Freshness is how long after a write its record is in the log, when nothing is in the way: 4 s.
	Freshness time.Duration
	// ReadBudget is instead how many calls an hour an idle shard may cost. Derive tells what each means for the other.
	ReadBudget int
	// CallsPerSecond bounds the reads of one shard, over paceCalls of them: 5, which is Kinesis's limit; of DynamoDB Streams
	// it leaves room for the second reader that a shard may have.
	CallsPerSecond float64

	// SegmentEvery is between two entries when little comes: a quarter of Freshness. After a rest the first record is put
	// at once, and so is what no other record will be read for in that time.
	// While a put is under way the next entry grows, to at most about SegmentBytes of records: 32 MiB.
	SegmentEvery time.Duration
	SegmentBytes int
	// TipEvery is how often a quiet log is told that it is complete: 1 hour. Whoever waits for State.Passed wants less.
	TipEvery time.Duration
	// Retention is how long the service keeps records: 24 hours. A Kinesis stream may have more.
	Retention time.Duration
	// MemoryBytes bounds what is held of pages and drafts, about: 128 MiB, whatever the number of shards. Where it is less,
	// so are SegmentBytes and Builder.OpenBytes that are 0.
	MemoryBytes int64

	// Lease is how long a process that shows no life is believed to hold its groups: 8 s. Below 0 there are no leases: this
	// process is alone, or fails when another captures the same log. A lease costs a put every third of it for each group.
	Lease time.Duration

	// Redact changes a record before the log sees it: it may replace r.Raw, and rows of p.Items. It is called by several
	// goroutines at once, once a record and attempt. An error ends Run.
	Redact func(p *feed.Page, r *feed.Record) error

	// Until ends Run once all that happened before is in the log: all shards of all groups have passed it.
	Until time.Time
	// StopAtGap ends Run with the GapError of the first gap, once its entry is in the log.
	StopAtGap bool
	// OnGap is told each gap once its entry is in the log.
	OnGap func(*GapError)

	// OnEntry is told each entry that this process put into the log. It must not wait.
	OnEntry func(*changelog.Entry)

	Metrics *Metrics // what happens is counted there, if it is not nil
	Chain   changelog.ChainOptions
	Builder changelog.BuilderOptions
}

const (
	freshnessDefault = 4 * time.Second
	callsDefault     = 5
	segmentDefault   = 32 << 20
	tipEveryDefault  = time.Hour
	retentionDefault = 24 * time.Hour
	memoryDefault    = 128 << 20
	openDefault      = 16 << 20 // of changelog.Builder
	segmentBytesMin  = 4 << 20
	openBytesMin     = 4 << 20

	// pageMemory is what a page of 1 MB takes: the reply, and the records that are found in it; redactedMemory is that with
	// the tape of the images, which only Redact looks at.
	pageMemory     = 2 << 20
	redactedMemory = 4 << 20
	pagesMin       = 4
	pagesMax       = 64
)

// withDefaults fills in what is not said.
func (o Options) withDefaults(ctx context.Context, kinesis bool) Options {
	if o.Writer == "" {
		o.Writer = commit.NewID(ctx, "writer").String()
	}
	r := Derive(kinesis, o)
	o.Freshness, o.ReadBudget = r.Freshness, r.ReadBudget
	o.SegmentEvery = cmp.Or(o.SegmentEvery, r.segment)
	o.CallsPerSecond = cmp.Or(o.CallsPerSecond, callsDefault)
	o.MemoryBytes = cmp.Or(o.MemoryBytes, memoryDefault)
	o.SegmentBytes = cmp.Or(o.SegmentBytes, int(min(segmentDefault, max(o.MemoryBytes/4, segmentBytesMin))))
	o.Builder.OpenBytes = cmp.Or(o.Builder.OpenBytes, int(min(openDefault, max(o.MemoryBytes/8, openBytesMin))))
	o.TipEvery = cmp.Or(o.TipEvery, tipEveryDefault)
	o.Retention = cmp.Or(o.Retention, retentionDefault)
	o.Lease = cmp.Or(o.Lease, leaseDefault)
	if o.Metrics == nil {
		o.Metrics = new(Metrics)
	}
	return o
}

// pages is how many pages are in memory at once: a quarter of what there is. An eighth is for open blocks, the rest for two drafts,
// however badly they compress.
func (o *Options) pages() int {
	each := int64(pageMemory)
	if o.Redact != nil {
		each = redactedMemory
	}
	return int(min(max(o.MemoryBytes/4/each, pagesMin), pagesMax))
}
