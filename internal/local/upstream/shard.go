package upstream

import (
	"context"
	"encoding/json"
	"math/big"
	"time"

	"dynaferry/internal/fault"
)

// Position is where the reading of a shard stands, for keeping with the data.
type Position struct {
	Shard    string `json:"shard"`
	Parent   string `json:"parent,omitempty"`
	After    string `json:"after,omitempty"` // sequence number of the last record kept; "": from the oldest on
	PassedMs int64  `json:"passedMs"`        // everything written before, in Unix ms, is kept
	Ended    bool   `json:"ended,omitempty"` // nothing comes behind After
	EndedMs  int64  `json:"endedMs,omitempty"`
}

// Record is one change of an item.
type Record struct {
	Seq     string
	Ms      int64           // when it was made, Unix ms: what the record says, but never before what was passed
	Keys    json.RawMessage // raw DynamoDB JSON
	New     json.RawMessage // nil: the item is gone
	Service bool            // the service made it, not a client
}

// Shard is one shard of a stream that is being followed.
type Shard struct {
	Position
	stream *Stream

	iterator string
	unread   []Record
	tipMs    int64       // passed when unread is empty
	empty    []time.Time // when the pages in a row without a record were asked for, the last few
	resume   string      // skip records up to this number: the iterator stands before it
}

// passes is the time before which everything is kept.
func (s *Shard) passes() int64 {
	if len(s.unread) > 0 {
		return s.unread[0].Ms
	}
	if parent := s.stream.shards[s.Parent]; parent != nil {
		return max(s.PassedMs, parent.PassedMs)
	}
	return s.PassedMs
}

// Run returns the unread records of the earliest time, at most n and only up to a time; none when there are none.
func (s *Shard) Run(untilMs int64, n int) []Record {
	if len(s.unread) == 0 || s.unread[0].Ms > untilMs {
		return nil
	}
	end := 1
	for end < len(s.unread) && end < n && s.unread[end].Ms == s.unread[0].Ms {
		end++
	}
	return s.unread[:end]
}

// Behind is the position behind the next n unread records.
func (s *Shard) Behind(n int) Position {
	p := s.Position
	p.Ended = p.Ended && n == len(s.unread)
	if n > 0 {
		last := &s.unread[n-1]
		p.After, p.PassedMs = last.Seq, max(p.PassedMs, last.Ms)
	}
	return p
}

// Advance says that the next n records are kept.
func (s *Shard) Advance(n int) {
	ended := s.Ended
	s.Position = s.Behind(n)
	s.Ended = ended
	if s.unread = s.unread[n:]; len(s.unread) == 0 {
		s.unread = nil
		s.PassedMs = max(s.PassedMs, s.tipMs)
	}
}

type recordReply struct {
	EventName    string `json:"eventName"`
	UserIdentity struct{ Type, PrincipalId string }
	Dynamodb     struct {
		ApproximateCreationDateTime float64
		Keys                        json.RawMessage
		NewImage                    json.RawMessage
		SequenceNumber              string
		StreamViewType              string
	} `json:"dynamodb"`
}

// read asks for the next page.
func (s *Shard) read(ctx context.Context) error {
	if s.iterator == "" {
		if err := s.position(ctx); err != nil || s.iterator == "" {
			return err // without one the next round asks from the oldest record on
		}
	}
	asked := s.stream.now()
	var reply struct {
		Records           []recordReply
		NextShardIterator string
	}
	err := s.stream.client.call(ctx, streamsStem+"GetRecords", map[string]any{"ShardIterator": s.iterator, "Limit": pageRecords}, &reply)
	switch {
	case Is(err, "ExpiredIteratorException"):
		s.iterator = "" // the next round takes a new one
		return nil
	case Is(err, "TrimmedDataAccessException"):
		s.iterator = ""
		return s.trimmed()
	case err != nil:
		return err
	}
	bytes := 0
	for i := range reply.Records {
		r := &reply.Records[i]
		bytes += len(r.Dynamodb.NewImage) + len(r.Dynamodb.Keys)
		if err := s.take(r, asked); err != nil {
			return err
		}
	}
	s.iterator = reply.NextShardIterator
	s.tip(asked, len(reply.Records), bytes)
	if s.iterator == "" {
		s.Ended, s.EndedMs = true, s.stream.now().UnixMilli()
	}
	return nil
}

// take adds a record to the unread ones.
func (s *Shard) take(r *recordReply, asked time.Time) error {
	d := &r.Dynamodb
	if d.Keys == nil || d.SequenceNumber == "" {
		return fault.New(fault.Corrupt, "shard %s has a record without keys or sequence number", s.Shard)
	}
	if s.resume != "" {
		if !behind(d.SequenceNumber, s.resume) {
			return nil
		}
		s.resume = ""
	}
	if d.NewImage == nil && r.EventName != "REMOVE" {
		return &Gap{s.Shard, "a record of an item shows no new image"}
	}
	floor := s.PassedMs
	if n := len(s.unread); n > 0 {
		floor = s.unread[n-1].Ms
	}
	// Times are cut to seconds, which is what the service knows, and do not lie ahead of us.
	ms := min(int64(d.ApproximateCreationDateTime)*1000, asked.UnixMilli())
	s.unread = append(s.unread, Record{Seq: d.SequenceNumber, Ms: max(ms, floor), Keys: d.Keys, New: d.NewImage,
		Service: r.UserIdentity.Type == "Service"})
	return nil
}

// tip looks at what a page proves.
func (s *Shard) tip(asked time.Time, records, bytes int) {
	trust := s.stream.trust
	var from time.Time
	if records > 0 {
		s.empty = s.empty[:0]
	} else if s.empty = append(s.empty, asked); len(s.empty) >= trust.Pages {
		s.empty = s.empty[len(s.empty)-trust.Pages:]
		from = s.empty[0]
	}
	if trust.Short && records < pageShort && bytes < shortBytes {
		from = asked
	}
	s.tipMs = 0
	if from.IsZero() {
		return
	}
	s.tipMs = from.Add(-trust.Lag).UnixMilli()
	if len(s.unread) == 0 {
		s.PassedMs = max(s.PassedMs, s.tipMs)
	}
}

// behind compares sequence numbers, which have no fixed width.
func behind(a, b string) bool {
	x, okX := new(big.Int).SetString(a, 10)
	y, okY := new(big.Int).SetString(b, 10)
	if !okX || !okY {
		return a > b
	}
	return x.Cmp(y) > 0
}

// position takes an iterator behind what is kept.
func (s *Shard) position(ctx context.Context) error {
	now := s.stream.now()
	if s.PassedMs > 0 && now.UnixMilli()-s.PassedMs > retention.Milliseconds() {
		return &Gap{s.Shard, "nothing of it was read since " + timeText(s.PassedMs) + ", and a stream keeps 24 hours"}
	}
	in := map[string]string{"StreamArn": s.stream.arn, "ShardId": s.Shard, "ShardIteratorType": "TRIM_HORIZON"}
	if s.After != "" && s.resume == "" {
		in["ShardIteratorType"], in["SequenceNumber"] = "AFTER_SEQUENCE_NUMBER", s.After
	}
	var reply struct{ ShardIterator string }
	err := s.stream.client.call(ctx, streamsStem+"GetShardIterator", in, &reply)
	if Is(err, "TrimmedDataAccessException") {
		return s.trimmed()
	}
	s.iterator = reply.ShardIterator
	return err
}

// trimmed decides what trimmed data means: nothing when all that may be trimmed by now was passed before, for instance in a
// shard that was quiet for a day.
func (s *Shard) trimmed() error {
	if s.PassedMs == 0 || s.stream.now().UnixMilli()-s.PassedMs > (retention-trimMargin).Milliseconds() {
		return &Gap{s.Shard, "records behind " + timeText(s.PassedMs) + " were trimmed before they were read"}
	}
	s.resume = s.After
	return nil
}

func timeText(ms int64) string {
	if ms == 0 {
		return "its beginning"
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}
