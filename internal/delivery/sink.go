package delivery

import (
	"bytes"
	"context"
	"encoding/hex"
	"iter"
	"path"
	"slices"
	"unicode/utf8"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/compress"
	"dynaferry/internal/codec/json"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/outlet"
)

// Sink takes the records of epochs in the place of files: a stream of another service, or a program that reads. Nothing that it
// took can be found again there, so it gets an epoch's records again when nobody could say that it had them all: each record
// at least once.
type Sink interface {
	// Limits are those of one record; a Record of 0 bounds nothing.
	Limits() outlet.Limits
	// Send takes records, in the order of the log. On return with nil each has arrived, those of one key in their order. It is
	// called by one goroutine at a time, and tries again for itself what may pass in minutes. Records are the sink's own.
	Send(ctx context.Context, records iter.Seq[outlet.Record]) error
}

// SinkName is the folder, below a log, of all that goes from it into a Sink.
const SinkName = "sinks"

// ledgerOf is the memory of a delivery: beside its files, or of what goes into a sink with the log.
func ledgerOf(b blob.Bucket, dir string, s *Settings) *ledger {
	if s.Into == "" {
		return newLedger(b, dir, s.Name)
	}
	dir = path.Join(dir, SinkName, s.Name)
	return &ledger{bucket: b, dest: dir, dir: dir}
}

// checkSink refuses what is of files alone.
func (s *Settings) checkSink() error {
	only := func(what string) error {
		return fault.Hint(fault.New(fault.User, "%s: it is of files, and %s takes records", what, s.Into), "leave it out, or deliver to s3://bucket/prefix")
	}
	switch {
	case s.Form != DynamoDBJSON && s.Form != JSON:
		return fault.Hint(fault.New(fault.User, "%s takes a line of JSON a record, no %s", s.Into, s.Form), "use --format dynamodb-json or json")
	case s.Compression != string(compress.None) || s.Level != 0:
		return only("compression")
	case s.Prefix != "":
		return only("--prefix")
	case s.ErrorPrefix != "":
		return only("--error-prefix")
	case s.Extension != "":
		return only("--extension")
	}
	return nil
}

// sinkBatchBytes is how many bytes of lines are gathered before they are sent: enough for some requests at once.
const sinkBatchBytes = 8 << 20

// sinkMaker sends the lines of a span, in the order of the log.
type sinkMaker struct{ *work }

func (m sinkMaker) begin(ctx context.Context, _ string) (target, error) {
	return &sinkLines{work: m.work, ctx: ctx}, nil
}

// sinkLines are lines on their way into a sink.
type sinkLines struct {
	*work
	ctx     context.Context
	records []outlet.Record
	bytes   int64
}

func (l *sinkLines) add(p *piece) error {
	lines := bytes.Clone(p.lines) // the piece's memory is used again while these are under way
	start := 0
	for i, end := range p.ends {
		l.records = append(l.records, outlet.Record{Key: p.keys[i], Data: lines[start:end:end]})
		start = end
	}
	if l.bytes += int64(len(lines)); l.bytes >= sinkBatchBytes {
		return l.send()
	}
	return nil
}

func (l *sinkLines) send() error {
	if len(l.records) == 0 {
		return nil
	}
	if err := l.wanted(l.ctx); err != nil {
		return err
	}
	if err := l.o.Sink.Send(l.ctx, slices.Values(l.records)); err != nil {
		return err
	}
	l.mu.Lock()
	l.done.Bytes += l.bytes
	l.mu.Unlock()
	l.records, l.bytes = nil, 0
	return nil
}

func (l *sinkLines) close() error { return l.send() }
func (l *sinkLines) abandon()     {}

// form makes pieces of a page's changes.
func (s *spanWork) form(p *page) error {
	p.form(s.epoch, s.prefixes)
	if s.epoch.Settings.Into == "" {
		return nil
	}
	return p.pack(s.epoch, s.o.Sink.Limits())
}

// codeSize is the reason of records that the sink can never take.
const codeSize = "Record.TooLarge"

// pack makes of pieces of rows pieces of lines, a record each, with keys, and refuses those that are too large.
func (p *page) pack(e *Epoch, limits outlet.Limits) error {
	for i := range p.pieces {
		to := &p.pieces[i]
		lines := to.lines
		if e.Settings.Form == JSON {
			var text bytes.Buffer
			w := json.NewWriter(&text)
			if err := w.Write(&to.batch); err != nil {
				return err
			}
			if err := w.Close(); err != nil {
				return err
			}
			lines = text.Bytes()
		}
		to.lines, to.ends, to.keys, to.n = lines[:0], to.ends[:0], to.keys[:0], 0
		at := 0
		for line := range bytes.Lines(lines) {
			c := &p.changes[to.from[at]]
			at++
			if e.Settings.Bare {
				line = bytes.TrimSuffix(line, []byte("\n"))
			}
			r := outlet.Record{Key: c.key(), Data: line}
			if size := limits.Size(r); limits.Record > 0 && size > limits.Record {
				c.Reason = fault.New(fault.Limit, "%d bytes; %s takes at most %d in a record", size, e.Settings.Into, limits.Record).Error()
				p.refuse(c, codeSize)
				continue
			}
			to.lines = append(to.lines, line...)
			to.ends, to.keys = append(to.ends, len(to.lines)), append(to.keys, r.Key)
			to.n++
		}
	}
	return nil
}

// keyCharactersMax is of a partition key (API PutRecords).
const keyCharactersMax = 256

// key tells records of one item from others: the canonical key as it is behind steps, of a long one its hash; the record's position
// where steps took the key away.
func (c *Change) key() string {
	if !has(c.Keys) {
		return c.Position.String()
	}
	key := item.AppendCanonical(nil, c.Keys)
	if utf8.RuneCount(key) > keyCharactersMax {
		sum := xxh3.Hash128(key).Bytes()
		return hex.EncodeToString(sum[:])
	}
	return string(key)
}
