package job

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/feed/kpl"
)

// lambdaBatch is the records of one shard in an event, as a change log keeps them.
type lambdaBatch struct {
	source string // ARN of the stream
	shard  string // "" of DynamoDB Streams, whose events do not tell it
	first  string // sequence number
	n      int
	at     int64 // of the last record, µs
	sum    *xxh3.Hasher
	lines  []byte
}

// place tells the batch for an error.
func (b *lambdaBatch) place() string {
	if b.shard == "" {
		return b.source
	}
	return b.shard + " of " + b.source
}

// name is a function of which records the batch has: the same batch, tried again, has the same one.
func (b *lambdaBatch) name() string { return fmt.Sprintf("%s-%d-%016x", b.first, b.n, b.sum.Sum64()) }

// lambdaRecord is what matters of a record in an event (AWS Lambda Developer Guide, "Process DynamoDB records", "Process Kinesis
// Data Streams records").
type lambdaRecord struct {
	EventSource    string
	EventSourceARN string
	EventID        string
	DynamoDB       *struct {
		SequenceNumber              string
		ApproximateCreationDateTime float64
	}
	Kinesis *struct {
		SequenceNumber              string
		PartitionKey                string
		Data                        []byte
		ApproximateArrivalTimestamp float64
	}
}

// readEvent reads an event into batches by shard, in the order in which their first records come.
func readEvent(event []byte) ([]*lambdaBatch, error) {
	var e struct{ Records []json.RawMessage }
	if err := json.Unmarshal(event, &e); err != nil {
		return nil, fault.New(fault.Unsupported, "the event is no batch of records: %w", err)
	}
	var batches []*lambdaBatch
	by := map[[2]string]*lambdaBatch{}
	for i, text := range e.Records {
		var r lambdaRecord
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fault.New(fault.Unsupported, "record %d of the event: %w", i+1, err)
		}
		number, shard := "", ""
		switch {
		case r.DynamoDB != nil:
			number = r.DynamoDB.SequenceNumber
		case r.Kinesis != nil:
			number = r.Kinesis.SequenceNumber
			shard, _, _ = strings.Cut(r.EventID, ":")
		default:
			err := fault.New(fault.Unsupported, "record %d of the event is of %q", i+1, r.EventSource)
			return nil, fault.Hint(err, "make an event source mapping of a DynamoDB stream or a Kinesis stream")
		}
		at := [2]string{r.EventSourceARN, shard}
		b := by[at]
		if b == nil {
			b = &lambdaBatch{source: r.EventSourceARN, shard: shard, first: number, sum: xxh3.New()}
			_, _ = b.sum.WriteString(r.EventSourceARN + " " + shard)
			by[at], batches = b, append(batches, b)
		}
		_, _ = b.sum.WriteString(" " + number)
		b.n++
		if err := b.add(&r, text); err != nil {
			return nil, err
		}
	}
	return batches, nil
}

// add appends the record's line; of one that producers have packed, a line for each in it.
func (b *lambdaBatch) add(r *lambdaRecord, text []byte) error {
	if r.Kinesis == nil {
		b.at = int64(math.Round(r.DynamoDB.ApproximateCreationDateTime * 1e6))
		return b.line(text)
	}
	k := r.Kinesis
	b.at = int64(math.Round(k.ApproximateArrivalTimestamp * 1e6))
	record := feed.Record{Position: feed.Position{Seq: feed.Number(k.SequenceNumber)}, Arrived: b.at, PartitionKey: []byte(k.PartitionKey), Raw: k.Data}
	packed, ok := kpl.Parse(k.Data)
	if !ok {
		return b.line(changelog.AppendKinesis(nil, &record))
	}
	for key, data := range packed.Records() {
		record.Sub++
		record.PartitionKey, record.Raw = key, data
		if err := b.line(changelog.AppendKinesis(nil, &record)); err != nil {
			return err
		}
	}
	return nil
}

// line appends a record on one line.
func (b *lambdaBatch) line(text []byte) error {
	out := bytes.NewBuffer(b.lines)
	if err := json.Compact(out, text); err != nil {
		return fault.New(fault.Unsupported, "a record of the event: %w", err)
	}
	out.WriteByte('\n')
	b.lines = out.Bytes()
	return nil
}
