package job

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// FollowStatus is where a follower stands.
type FollowStatus struct {
	Type        string            `json:"type"` // "follow"
	Log         string            `json:"log"`
	Destination string            `json:"destination,omitempty"`
	Seconds     float64           `json:"seconds"`
	Records     int64             `json:"records"` // captured
	LogBytes    int64             `json:"logBytes"`
	Entries     int64             `json:"entries"`
	Gaps        int64             `json:"gaps"`
	Duplicates  int64             `json:"duplicates"`
	Calls       int64             `json:"calls"` // of the stream's service
	Throttles   int64             `json:"throttles"`
	Retries     int64             `json:"retries"`
	LagMillis   map[string]int64  `json:"lagMillis"` // by shard: how old what is not in the log yet is
	Holders     map[string]string `json:"holders,omitempty"`
	Delivered   *FollowDelivered  `json:"delivered,omitempty"`
	USD         float64           `json:"usd"` // so far, of calls and puts, in us-east-1
}

// FollowDelivered is what became visible.
type FollowDelivered struct {
	Epochs    int64  `json:"epochs"`
	Files     int64  `json:"files"`
	Bytes     int64  `json:"bytes"`
	Sent      bool   `json:"sent,omitempty"` // records went into a stream or to who reads them: there are no files
	Records   int64  `json:"records"`        // of the log
	Dropped   int64  `json:"dropped"`        // by steps
	Refused   int64  `json:"refused"`        // dead letters
	Misfits   int64  `json:"misfits"`        // values in _extra
	LagMillis int64  `json:"lagMillis"`
	Error     string `json:"error,omitempty"` // what made it try again last
}

// Prices of us-east-1: a read of DynamoDB Streams, and a put into S3.
const (
	usdStreamRead = 0.02 / 100_000
	usdPut        = 0.005 / 1000
)

// Status is where the follower stands now. It may be called at any time.
func (f *Follow) Status() FollowStatus {
	c := &f.captured
	s := FollowStatus{Type: "follow", Log: f.log.URL(), Destination: f.wish.Dest, Seconds: time.Since(f.began).Seconds(), Records: c.Records.Load(),
		LogBytes: c.Bytes.Load(), Entries: c.Entries.Load(), Gaps: c.Gaps.Load(), Duplicates: c.Duplicates.Load(), Calls: c.Calls.Load(),
		Throttles: c.Throttles.Load(), Retries: c.Retries.Load(), LagMillis: map[string]int64{}}
	for group, writer := range c.Holders() {
		if s.Holders == nil {
			s.Holders = map[string]string{}
		}
		s.Holders[strconv.FormatUint(uint64(group), 10)] = writer
	}
	for shard, lag := range c.Lags() {
		s.LagMillis[shard] = lag.Milliseconds()
	}
	puts := s.Entries
	if f.dest != nil {
		d := &f.delivered
		s.Delivered = &FollowDelivered{Epochs: d.Epochs.Load(), Files: d.Files.Load(), Bytes: d.Bytes.Load(), Records: d.Records.Load(), Sent: f.into != nil,
			Dropped: d.Dropped.Load(), Refused: d.Refused.Load(), Misfits: d.Misfits.Load(), LagMillis: d.Lag().Milliseconds()}
		if err := d.LastError(); err != nil {
			s.Delivered.Error = err.Error()
		}
		puts += s.Delivered.Files + 2*s.Delivered.Epochs // an epoch and what it came to
	}
	s.USD = float64(puts) * usdPut
	if !f.stream.Kinesis {
		s.USD += float64(s.Calls) * usdStreamRead
	}
	return s
}

// String is the live view's line.
func (s FollowStatus) String() string {
	var b strings.Builder
	worst, where := int64(0), ""
	for shard, lag := range s.LagMillis {
		if lag > worst || lag == worst && shard < where {
			worst, where = lag, shard
		}
	}
	fmt.Fprintf(&b, "%d records captured", s.Records)
	if worst > 0 {
		fmt.Fprintf(&b, ", lag %v", (time.Duration(worst) * time.Millisecond).Round(100*time.Millisecond))
	}
	if d := s.Delivered; d != nil {
		if d.Sent {
			fmt.Fprintf(&b, "; %d sent", d.Records)
		} else {
			fmt.Fprintf(&b, "; %d visible in %d files", d.Records, d.Files)
		}
		if d.LagMillis > 0 {
			fmt.Fprintf(&b, ", lag %v", (time.Duration(d.LagMillis) * time.Millisecond).Round(100*time.Millisecond))
		}
		if d.Refused > 0 {
			fmt.Fprintf(&b, ", %d dead letters", d.Refused)
		}
	}
	if s.Gaps > 0 {
		fmt.Fprintf(&b, "; %d GAPS", s.Gaps)
	}
	fmt.Fprintf(&b, "; %d calls, $%.4f", s.Calls, s.USD)
	return b.String()
}
