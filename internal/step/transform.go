package step

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// The bounds of Firehose's transformation contract: a request of at most 6 MB, of which a third goes to base64, in at most
// 5 minutes, three retries. (Amazon Data Firehose Developer Guide, "Transform source data".)
const (
	requestBytesMax   = 4 << 20 // of data before base64
	replyBytesMax     = 64 << 20
	batchRecords      = 500
	batchRecordsMax   = 10_000
	batchBytes        = 1 << 20
	transformTimeout  = time.Minute
	transformTimeMax  = 5 * time.Minute
	transformRetries  = 3
	transformRetryMax = 300
	retryPause        = 100 * time.Millisecond
)

// transform has a program of the user's make other records of records, by the contract of Firehose's transformation
// Lambdas. The data of an item is its attribute map in DynamoDB JSON; that of a change the record as DynamoDB Streams and Kinesis
// show it: {"eventName":…,"dynamodb":{"Keys":…,"NewImage":…,"OldImage":…}}.
type transform struct {
	program
	records int
	timeout time.Duration
	retries int
}

// program is what takes a request: a process or a server.
type program interface {
	// open makes it ready for one Runner.
	open(r *Runner) (caller, error)
}

// caller sends one request, a line of JSON, and returns the reply. An error of kind Unavailable may be tried again. The reply is
// valid until the next call.
type caller interface {
	call(ctx context.Context, request []byte) ([]byte, error)
	close()
}

var transformOptions = []string{"timeout", "retries", "records"}

// settle reads what both kinds of programs have in common.
func (k *transform) settle(given map[string]word) error {
	k.records, k.timeout, k.retries = batchRecords, transformTimeout, transformRetries
	var err error
	if w, ok := given["timeout"]; ok {
		if k.timeout, err = time.ParseDuration(w.text); err != nil || k.timeout <= 0 || k.timeout > transformTimeMax {
			return place(w.at, "timeout=%s: it is a duration up to %s, for instance 30s", w.text, transformTimeMax)
		}
	}
	if w, ok := given["retries"]; ok {
		if k.retries, err = strconv.Atoi(w.text); err != nil || k.retries < 0 || k.retries > transformRetryMax {
			return place(w.at, "retries=%s: it is 0 to %d", w.text, transformRetryMax)
		}
	}
	if w, ok := given["records"]; ok {
		if k.records, err = strconv.Atoi(w.text); err != nil || k.records < 1 || k.records > batchRecordsMax {
			return place(w.at, "records=%s: it is 1 to %d", w.text, batchRecordsMax)
		}
	}
	return nil
}

func (k *transform) pure() bool         { return false }
func (k *transform) outline(o *outline) { o.anything() }

func (k *transform) start(r *Runner) (worker, error) {
	c, err := k.open(r)
	return &transforming{transform: k, caller: c}, err
}

type transforming struct {
	*transform
	caller
	invocation int
}

type request struct {
	InvocationID string          `json:"invocationId"`
	Stream       string          `json:"deliveryStreamArn"`
	Region       string          `json:"region"`
	Records      []requestRecord `json:"records"`
}

type requestRecord struct {
	ID      string `json:"recordId"`
	Arrival int64  `json:"approximateArrivalTimestamp"`
	Data    []byte `json:"data"`
}

type reply struct {
	Records []replyRecord `json:"records"`
}

type replyRecord struct {
	ID     string  `json:"recordId"`
	Result string  `json:"result"`
	Data   *string `json:"data"`
}

// streamRecord is the data of a change.
type streamRecord struct {
	Event string    `json:"eventName,omitempty"`
	User  *identity `json:"userIdentity,omitempty"`
	Body  struct {
		Time     float64         `json:"ApproximateCreationDateTime,omitempty"`
		Keys     json.RawMessage `json:"Keys,omitempty"`
		New      json.RawMessage `json:"NewImage,omitempty"`
		Old      json.RawMessage `json:"OldImage,omitempty"`
		Sequence string          `json:"SequenceNumber,omitempty"`
	} `json:"dynamodb"`
}

type identity struct {
	Type      string `json:"type"`
	Principal string `json:"principalId"`
}

// all implements crowd: it cuts the records into requests.
func (k *transforming) all(r *Runner, b *item.Batch, all []*record) error {
	for len(all) > 0 {
		n, size := 0, 0
		var records []requestRecord
		for n < len(all) && n < k.records && (n == 0 || size < batchBytes) {
			data := dataOf(b, all[n])
			if n > 0 && size+len(data) > requestBytesMax {
				break
			}
			records = append(records, requestRecord{ID: strconv.Itoa(n), Arrival: all[n].facts.Micros / 1000, Data: data})
			size += len(data)
			n++
		}
		if err := k.batch(r, b, all[:n], records); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// dataOf is what a program sees of a record.
func dataOf(b *item.Batch, rec *record) []byte {
	if rec.isItem() {
		return item.AppendCompact(nil, b.Item(int(rec.new)))
	}
	s := streamRecord{Event: string(rec.facts.Op)}
	for _, part := range []struct {
		row int32
		to  *json.RawMessage
	}{{rec.keys, &s.Body.Keys}, {rec.new, &s.Body.New}, {rec.old, &s.Body.Old}} {
		if part.row != item.NoImage {
			*part.to = item.AppendCompact(nil, b.Item(int(part.row)))
		}
	}
	if s.Body.Sequence, s.Body.Time = rec.facts.Position, float64(rec.facts.Micros/1000)/1000; rec.facts.TTL {
		s.User = &identity{"Service", "dynamodb.amazonaws.com"}
	}
	data, _ := json.Marshal(s) // raw messages are JSON that was read
	return data
}

// batch has one request answered, again where that may help, and puts what comes back into the records.
func (k *transforming) batch(r *Runner, b *item.Batch, all []*record, records []requestRecord) error {
	k.invocation++
	data, err := json.Marshal(request{InvocationID: strconv.Itoa(k.invocation), Region: "local", Records: records})
	if err != nil {
		return err
	}
	var answers []replyRecord
	for try := 0; ; try++ {
		if answers, err = k.once(r.ctx, append(data, '\n'), len(all)); err == nil {
			break
		}
		if r.ctx.Err() != nil {
			return context.Cause(r.ctx)
		}
		if try == k.retries || !fault.Retryable(err) {
			for _, rec := range all {
				rec.refuse(fault.New(fault.User, "tried %d times: %w", try+1, err))
			}
			return nil
		}
		select {
		case <-time.After(retryPause << min(try, 6)):
		case <-r.ctx.Done():
		}
	}
	for i, a := range answers {
		k.take(r, b, all[i], a)
	}
	return nil
}

// once sends the request and holds the reply against the contract: every record comes back exactly once.
func (k *transforming) once(ctx context.Context, data []byte, n int) ([]replyRecord, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, k.timeout, fault.New(fault.Unavailable, "no answer within %s", k.timeout))
	defer cancel()
	raw, err := k.call(ctx, data)
	if err != nil {
		return nil, err
	}
	var answer reply
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, fault.New(fault.Unavailable, "the answer is no JSON of the contract: %w", err)
	}
	ordered := make([]replyRecord, n)
	for _, a := range answer.Records {
		i, err := strconv.Atoi(a.ID)
		if err != nil || i < 0 || i >= n || a.ID != strconv.Itoa(i) || ordered[i].ID != "" {
			return nil, fault.New(fault.Unavailable, "the answer has the recordId %.40q, which was not asked for or comes twice", a.ID)
		}
		ordered[i] = a
	}
	for i, a := range ordered {
		if a.ID == "" {
			return nil, fault.New(fault.Unavailable, "the answer has %d of %d records; recordId %d is missing", len(answer.Records), n, i)
		}
	}
	return ordered, nil
}

// take does what the answer says of one record.
func (k *transforming) take(r *Runner, b *item.Batch, rec *record, a replyRecord) {
	switch a.Result {
	case "Dropped":
		r.drop(rec)
	case "ProcessingFailed":
		rec.refuse(fault.New(fault.User, "the program answers ProcessingFailed"))
	case "Ok":
		if err := r.adopt(b, rec, a.Data); err != nil {
			rec.refuse(fault.New(fault.User, "the program's data: %w", err))
		}
	default:
		rec.refuse(fault.New(fault.User, "the program answers %.40q; it is Ok, Dropped or ProcessingFailed", a.Result))
	}
}

// adopt puts the data of an answer in the place of a record's items.
func (r *Runner) adopt(b *item.Batch, rec *record, data *string) error {
	if data == nil {
		return fault.New(fault.User, "there are none")
	}
	raw, err := decodeBase64(*data)
	if err != nil {
		return err
	}
	if rec.isItem() {
		return r.put(b, rec.new, raw)
	}
	var s streamRecord
	if err := json.Unmarshal(raw, &s); err != nil {
		return fault.New(fault.User, "no record of a stream: %w", err)
	}
	for _, part := range []struct {
		name string
		row  int32
		from json.RawMessage
	}{{"Keys", rec.keys, s.Body.Keys}, {"NewImage", rec.new, s.Body.New}, {"OldImage", rec.old, s.Body.Old}} {
		if (part.row == item.NoImage) != (len(part.from) == 0) {
			return fault.New(fault.User, "%s is there where it was not, or gone where it was", part.name)
		}
		if part.row != item.NoImage {
			if err := r.put(b, part.row, part.from); err != nil {
				return fault.New(fault.User, "%s: %w", part.name, err)
			}
		}
	}
	return nil
}

// put parses an item behind the batch and points a row at it.
func (r *Runner) put(b *item.Batch, row int32, raw []byte) error {
	it, err := ddbjson.ParseItem(raw)
	if err != nil {
		return err
	}
	r.own(b)
	r.build.Begin(b.Rows[row].Line)
	r.build.Members(it, 0, 1, len(it.Tape))
	r.replace(b, row)
	return nil
}
