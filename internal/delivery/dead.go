package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"unicode/utf8"

	"dynaferry/internal/blob"
	"dynaferry/internal/dataset"
)

// deadLetters is the file of a span's records that cannot pass: a dead letter each, or with an error prefix an error record
// of Firehose. It is a function of the epoch like every other.
type deadLetters struct {
	name string
	out  *blob.Writer // nil until the first one
	n    int64
}

func newDeadLetters(s *spanWork) *deadLetters {
	e := s.epoch
	folder := path.Join(dataset.Hidden, "dead-letters")
	if e.Settings.Into != "" {
		folder = "dead-letters" // below the sink's own
	}
	return &deadLetters{name: path.Join(folder, s.stem(s.n)+".dead")}
}

// letter is a line of a file of dead letters (docs/formats/dead-letters.md).
type letter struct {
	File          string   `json:"file"`
	Line          int64    `json:"line,omitempty"`
	Shard         string   `json:"shard,omitempty"`
	Position      string   `json:"position,omitempty"`
	ErrorMessages []string `json:"errorMessages"`
	Raw           string   `json:"raw,omitempty"`
	RawBase64     []byte   `json:"rawBase64,omitempty"`
}

// errorRecord is a line of Firehose's (Amazon Data Firehose Developer Guide, "Handle data delivery failures"), and where the
// record stands in our log. The attempt ends when the record was captured: a clock would make other bytes each time.
type errorRecord struct {
	AttemptsMade           int    `json:"attemptsMade"`
	ArrivalTimestamp       int64  `json:"arrivalTimestamp"` // ms
	ErrorCode              string `json:"errorCode"`
	ErrorMessage           string `json:"errorMessage"`
	AttemptEndingTimestamp int64  `json:"attemptEndingTimestamp"` // ms
	RawData                []byte `json:"rawData"`
	Source                 string `json:"source"`
	ShardID                string `json:"shardId,omitempty"`
	SequenceNumber         string `json:"sequenceNumber,omitempty"`
}

// processingFailed is Firehose's name for records that a transformation or a partition key refused.
const processingFailed = "processing-failed"

func (d *deadLetters) add(ctx context.Context, s *spanWork, refused []refusal) error {
	for i := range refused {
		r := &refused[i]
		if d.out == nil {
			if err := d.begin(ctx, s, r); err != nil {
				return err
			}
		}
		d.n++
		line, err := json.Marshal(d.line(s, r))
		if err != nil {
			return fmt.Errorf("write dead letters: %w", err)
		}
		if _, err := d.out.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("write dead letters: %w", err)
		}
	}
	return nil
}

func (d *deadLetters) begin(ctx context.Context, s *spanWork, first *refusal) (err error) {
	if e := s.epoch; e.Settings.ErrorPrefix != "" {
		stem := s.stem(s.n)
		prefix := s.prefixes.render(s.prefixes.errors, subject{micros: first.micros, seed: stem, kind: processingFailed})
		if d.name, err = cleanName(prefix + stem + "-errors.json"); err != nil {
			return err
		}
	}
	d.out = s.writer(ctx, d.name)
	return nil
}

func (d *deadLetters) line(s *spanWork, r *refusal) any {
	source := fmt.Sprintf("%s#%d of group %d", s.epoch.Log.Stream, r.entry, s.span.Group)
	if s.set != nil {
		source = s.set.Source
	}
	position := ""
	if !r.position.IsZero() {
		position = r.position.String()
	}
	if s.epoch.Settings.ErrorPrefix != "" {
		return errorRecord{1, r.micros / 1000, r.code, r.reason, r.at / 1000, r.raw, source, r.shard, position}
	}
	l := letter{File: source, Line: r.line, Shard: r.shard, Position: position, ErrorMessages: []string{r.reason}}
	if l.RawBase64 = r.raw; utf8.Valid(r.raw) {
		l.Raw, l.RawBase64 = string(r.raw), nil
	}
	return l
}

func (d *deadLetters) close(ctx context.Context, s *spanWork) error {
	if d.out == nil {
		return nil
	}
	defer d.abandon()
	if err := s.wanted(ctx); err != nil {
		return err
	}
	size, err := s.finishFile(ctx, d.name, d.out)
	if err == nil {
		s.made(File{Name: d.name, Size: size, Records: d.n, Refused: true})
	}
	return err
}

func (d *deadLetters) abandon() {
	if d.out != nil {
		d.out.Close()
	}
}
