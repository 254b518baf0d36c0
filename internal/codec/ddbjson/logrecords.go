package ddbjson

import (
	"bytes"
	"strconv"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// ParseLogRecords parses lines as a change log keeps them, page.Items.Src, into page's Records and Items: records of
// DynamoDB Streams; of Kinesis {"kinesis":{...},"data":<payload>}, whose Raw is the payload; of a compacted entry changes as
// an incremental export has them, whose event is Modify, or Remove without a new image. What is a line of the log and no
// change of DynamoDB's is a record without event. A line that cannot be read goes to reject with line and offset in
// page.Items, and the next one goes on; with reject nil it ends the parse as the error, and leaves the page without records.
func ParseLogRecords(page *feed.Page, reject codec.Rejects) error {
	return parseRecordPage(page, func(r *recordParser) error { return r.logLines(reject) })
}

func (r *recordParser) logLines(reject codec.Rejects) error {
	for p, line := 0, int64(1); p < len(r.src); line++ {
		end := bytes.IndexByte(r.src[p:], '\n')
		if end < 0 {
			end = len(r.src) - p
		}
		end += p
		if end > p {
			tape, rows := len(r.tape), len(r.b.Rows)
			if err := r.logLine(p, end); err != nil {
				r.tape, r.b.Rows = r.tape[:tape], r.b.Rows[:rows]
				if reject == nil {
					return err
				}
				place := fault.Place{Line: line, Offset: r.b.Offset + int64(p)}
				if err := reject(codec.Reject{Place: place, Raw: r.src[p:end:end], Err: shift(err, r.b)}); err != nil {
					return err
				}
			}
		}
		p = end + 1
	}
	r.checked.src, r.checked.p = r.src, len(r.src)
	return nil
}

// logLine takes the line src[p:end] as a record.
func (r *recordParser) logLine(p, end int) error {
	c := &r.checked
	c.src, c.p, c.tape, c.first = r.src[:end], p, c.tape[:0], 0
	r.entry = shardEntry{}
	r.begin()
	if err := c.each(r.logMember); err != nil {
		return err
	}
	if err := c.finish(); err != nil {
		return err
	}
	r.record.Raw = r.src[p:end:end]
	if r.entry.has != 0 {
		if r.record.Position = (feed.Position{Seq: r.entry.seq, Sub: r.entry.sub}); r.entry.data != nil {
			r.record.Raw = r.entry.data
		}
		r.record.PartitionKey, r.record.Arrived = r.entry.key, r.entry.arrived
	} else if r.has&hasChange == 0 && r.record.Keys != item.NoImage { // of a compacted entry
		if r.record.Event = feed.Modify; r.has&hasNewImage == 0 {
			r.record.Event = feed.Remove
		}
	}
	if err := r.created(); err != nil {
		return err
	}
	if r.record.Event == 0 || r.record.Keys == item.NoImage {
		r.record.Event, r.record.Keys, r.record.New, r.record.Old = 0, item.NoImage, item.NoImage, item.NoImage
	}
	r.page.Records = append(r.page.Records, r.record)
	return nil
}

func (r *recordParser) logMember(name []byte) (err error) {
	c := &r.checked
	switch string(name) {
	case "kinesis":
		r.entry.has |= entrySequence
		return c.each(r.kinesisMember)
	case "data":
		c.space()
		start := c.p
		r.entry.has |= entryData
		if c.next() != '{' { // JSON, and no change
			err = c.skip(0)
		} else {
			err = c.each(r.changeMember)
		}
		r.entry.data = r.src[start:c.p:c.p]
		return err
	case "base64":
		r.entry.has |= entryData
		return c.skip(0)
	case "Keys", "NewImage", "OldImage":
		return r.imageMember(name)
	case "Metadata":
		r.record.Micros, err = c.writeMicros()
		return err
	}
	return r.changeMember(name)
}

func (r *recordParser) kinesisMember(name []byte) (err error) {
	c := &r.checked
	switch string(name) {
	case "sequenceNumber":
		r.entry.seq, err = c.sequence()
	case "subSequenceNumber":
		c.space()
		start := c.p
		if err := c.skip(0); err != nil {
			return err
		}
		if r.entry.sub, err = strconv.ParseUint(string(c.src[start:c.p]), 10, 64); err != nil {
			return c.place(fault.New(fault.Corrupt, "subSequenceNumber is no number"), start)
		}
	case "partitionKey":
		r.entry.key, err = c.view()
	case "approximateArrivalTimestamp":
		r.entry.arrived, err = r.arrival()
	default:
		return c.skip(0)
	}
	return err
}
