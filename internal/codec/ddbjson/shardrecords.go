package ddbjson

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unsafe"

	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/feed/kpl"
	"dynaferry/internal/item"
)

// ParseShardRecords parses a reply of GetRecords of Kinesis Data Streams, page.Items.Src, into page's Records, Items, Next,
// Children and Behind. Data is decoded where it stands, aggregates of producers are taken apart, changes that span lines are
// put on one. A payload that is no change of DynamoDB's is a record without event, as it came. An error leaves the page
// without records.
func ParseShardRecords(page *feed.Page) error {
	page.Behind = -1
	return parseRecordPage(page, func(r *recordParser) error { return r.checked.each(r.shardMember) })
}

// shardEntry is one member of a Kinesis reply's Records.
type shardEntry struct {
	seq       feed.Number
	sub       uint64 // in a line of a change log
	arrived   int64  // µs
	key, data []byte
	at        int // of data in src
	has       uint32
}

func (r *recordParser) shardMember(name []byte) error {
	c := &r.checked
	switch string(name) {
	case "Records":
		return r.list(r.shardRecord)
	case "NextShardIterator":
		return r.iterator()
	case "MillisBehindLatest":
		return r.behind()
	case "ChildShards":
		return r.children()
	}
	return c.skip(0)
}

func (r *recordParser) behind() error {
	c := &r.checked
	if c.next() == 'n' {
		return c.skip(0)
	}
	start := c.p
	if err := c.skip(0); err != nil {
		return err
	}
	ms, err := strconv.ParseInt(string(c.src[start:c.p]), 10, 64)
	if err != nil || ms > int64(1<<62/time.Millisecond) {
		return c.place(fault.New(fault.Corrupt, "MillisBehindLatest is no duration"), start)
	}
	if ms < 0 {
		ms = 1 // by stamps of a clock that was set back, as moto tells it: behind, whatever the span is; 0 would say at the tip
	}
	r.page.Behind = time.Duration(ms) * time.Millisecond
	return nil
}

func (r *recordParser) children() error {
	c := &r.checked
	c.space()
	start := c.p
	if err := c.skip(0); err != nil {
		return err
	}
	var list []struct {
		ShardId      string
		ParentShards []string
	}
	if err := json.Unmarshal(c.src[start:c.p], &list); err != nil {
		return c.place(fault.New(fault.Corrupt, "ChildShards: %w", err), start)
	}
	for _, s := range list {
		r.page.Children = append(r.page.Children, feed.Shard{ID: s.ShardId, Parents: s.ParentShards})
	}
	return nil
}

// The members of an entry that must be there.
const (
	entrySequence = 1 << iota
	entryData
)

// shardRecord takes one record of Kinesis and makes records of what is in it.
func (r *recordParser) shardRecord() error {
	c := &r.checked
	c.space()
	start := c.p
	r.entry = shardEntry{}
	if err := c.each(r.entryMember); err != nil {
		return err
	}
	e := &r.entry
	if e.has != entrySequence|entryData {
		return c.place(fault.New(fault.Corrupt, "a record lacks SequenceNumber or Data, or has one twice"), start)
	}
	n, err := base64.StdEncoding.Decode(e.data, e.data) // what is written never passes what is read
	if err != nil {
		return c.place(fault.New(fault.Corrupt, "Data of record %s is no base64", e.seq), e.at)
	}
	data := e.data[:n:n]
	if aggregate, ok := kpl.Parse(data); ok {
		r.aggregated(data, aggregate)
		return nil
	}
	r.payload(e.at, e.at+n, 0, e.key)
	return nil
}

func (r *recordParser) aggregated(data []byte, aggregate kpl.Aggregate) {
	sub := uint64(0)
	for key, part := range aggregate.Records() {
		sub++
		from := r.entry.at + within(data, part)
		r.payload(from, from+len(part), sub, key)
	}
}

func (r *recordParser) entryMember(name []byte) (err error) {
	c := &r.checked
	e := &r.entry
	switch string(name) {
	case "SequenceNumber":
		e.seq, err = c.sequence()
		e.has += entrySequence
	case "PartitionKey":
		e.key, err = c.view()
	case "ApproximateArrivalTimestamp":
		e.arrived, err = r.arrival()
	case "Data":
		c.space()
		e.at = c.p + 1
		var text []byte
		if text, err = c.view(); err == nil {
			e.data = c.src[e.at : e.at+len(text)]
			copy(e.data, text) // the same bytes, unless they had escapes: then they are fewer now
		}
		e.has += entryData
	default:
		return c.skip(0)
	}
	return err
}

// arrival reads seconds since 1970, of which there may be parts, as µs.
func (r *recordParser) arrival() (int64, error) {
	c := &r.checked
	c.space()
	start := c.p
	if err := c.skip(0); err != nil {
		return 0, err
	}
	seconds, err := strconv.ParseFloat(string(c.src[start:c.p]), 64)
	if err != nil || !(math.Abs(seconds) < 1e12) {
		return 0, c.place(fault.New(fault.Corrupt, "a time of arrival is no time"), start)
	}
	return int64(math.Round(seconds * 1e6)), nil
}

// within is where part, a piece of data, begins in it.
func within(data, part []byte) int {
	return int(uintptr(unsafe.Pointer(unsafe.SliceData(part))) - uintptr(unsafe.Pointer(unsafe.SliceData(data))))
}

// payload makes a record of src[from:to].
func (r *recordParser) payload(from, to int, sub uint64, key []byte) {
	behind := &r.src[:len(r.src)+1][to]
	before := *behind
	outer := r.checked.src
	p := r.checked.p
	tape, rows := len(r.tape), len(r.b.Rows)
	var err error
	for again := false; ; again = true {
		*behind, r.checked.src, r.checked.p = 0, r.src[:to], from
		if err = r.change(); err == nil {
			err = r.checked.finish()
		}
		*behind = before
		if err != nil || again || !spansLines(r.src[from:to]) {
			break
		}
		r.tape, r.b.Rows = r.tape[:tape], r.b.Rows[:rows]
		to = from + len(onOneLine(r.src[from:to]))
		behind = &r.src[:len(r.src)+1][to]
		before = *behind
	}
	r.checked.src, r.checked.p, r.checked.first = outer, p, 0
	if err != nil || r.record.Event == 0 || r.record.Keys == item.NoImage {
		r.tape, r.b.Rows = r.tape[:tape], r.b.Rows[:rows]
		r.record = feed.Record{Keys: item.NoImage, New: item.NoImage, Old: item.NoImage}
	}
	r.record.Raw = r.src[from:to:to]
	r.record.Position = feed.Position{Seq: r.entry.seq, Sub: sub}
	r.record.PartitionKey, r.record.Arrived = key, r.entry.arrived
	r.page.Records = append(r.page.Records, r.record)
}
